"""The folder of a run: nobody else's while it lasts, an earlier run's until there is something to put in its place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..base.claims import claimed_folder
from ..base.errors import OutputError
from ..base.files import TEMPORARY
from ..models.potential import Potential
from .checkpoints import NAME as CHECKPOINT
from .history import CSV, FIGURE

MODEL = "model.h5"
PROVENANCE = "provenance.json"  # a block for each start that came to its end


@contextmanager
def working_in(
    folder: Path, model: str | os.PathLike | Potential | None, *, resume: bool, overwrite: bool
) -> Iterator[bool]:
    """The folder is made and belongs to this run alone inside the block; a folder without results vanishes again.

    Args:
        model: what the run starts from, which may be a file; None for nothing.
        resume, overwrite: what may be done to an earlier run.

    Returns:
        Whether an earlier run is there that is to be replaced.

    Raises:
        OutputError: an earlier run, or the model itself, would be lost, another run works there at this moment, or
            the folder can be neither made nor written.
    """
    with claimed_folder(folder):
        there = [name for name in (CHECKPOINT, MODEL) if (folder / name).exists()]
        if there and not resume and not overwrite:
            raise OutputError(
                f"{folder} holds an earlier run",
                f"its {' and '.join(there)} would be lost",
                "go on with `resume=True`, replace it with `overwrite=True`, or choose another run.output",
            )
        if isinstance(model, (str, os.PathLike)) and _same(Path(model), folder / MODEL):
            raise OutputError(
                f"the model {model} lies where this run would write its own",
                "what one starts from would be replaced",
                "choose another run.output",
            )
        for part in folder.glob(TEMPORARY):
            if part.is_file() and not part.is_symlink():
                with suppress(OSError):
                    part.unlink()  # a killed run was writing it
        yield bool(there) and overwrite


def make_way(folder: Path) -> None:
    """Remove what belongs to an earlier run before the first checkpoint of a new one takes the place of the old.

    Up to that moment the old checkpoint remains, from which --resume makes all of this again.
    """
    for name in (MODEL, FIGURE, CSV, PROVENANCE):
        (folder / name).unlink(missing_ok=True)


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one is not there, or is a model's name
        return False
