"""Links that leave docs/, such as those to examples, lead to the repository when the pages become a site."""

import posixpath
import re
from typing import Any

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)\s#]+)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Called by MkDocs for every page."""
    folder = posixpath.dirname(page.file.src_uri)

    def lead(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, match.group(1)))
        if path.startswith("docs/"):
            return match.group(1)
        kind = "blob" if "." in posixpath.basename(path) else "tree"
        return f"{config.repo_url.rstrip('/')}/{kind}/main/{path}"

    return _LINK.sub(lead, markdown)
