"""Where files are kept that can be had again: downloaded models, compiled training steps."""

import os
from pathlib import Path

VARIABLE = "ASE_PHONAX_CACHE"


def cache_folder(purpose: str) -> Path:
    """The user's folder for a purpose: below `ASE_PHONAX_CACHE`, or where the platform keeps caches. Not created."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen).expanduser() / purpose
    import platformdirs

    return platformdirs.user_cache_path("ase-phonax", appauthor=False) / purpose
