"""One file that shows a result in any browser, with the network off."""

from __future__ import annotations

import html
import json
import math
import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..base.files import write_whole
from .data import page_data

if TYPE_CHECKING:
    from ..calculator import PhonaxCalculator
    from ..studies.study import Study

_LIBRARIES = ("vendor/plotly-basic.min.js", "vendor/3Dmol-min.js")


def write_page(study: Study, path: str | os.PathLike[str], calc: PhonaxCalculator | None = None) -> None:
    """Write a page of a study: its table, and of phonons structure, bands, densities and modes that move.

    Args:
        study: of `phonon_study` or another.
        path: usually report.html; replaced where it is there.
        calc: that of the study. Where bands are exact, modes move with it alone.

    Raises:
        OutputError: it cannot be written.
    """
    # Bytes of a file's name that are no UTF-8 would be no text.
    write_whole(path, page(page_data(study, calc)).encode("utf-8", "backslashreplace"))


def page(data: dict[str, Any]) -> str:
    """The text of a page of such data."""
    parts = {
        "TITLE": html.escape(data["title"]),
        "STYLE": _read("page.css"),
        "LIBRARIES": "\n".join(f"<script>{_read(name)}</script>" for name in _LIBRARIES),
        # No text inside can end the element, or begin another.
        "DATA": json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "SCRIPT": _read("page.js"),
    }
    text = _read("page.html")
    for name, part in parts.items():
        text = text.replace(f"<!--{name}-->", part, 1)
    return text


def _finite(value: Any) -> Any:
    """Null for what JSON has no number for, which a browser would refuse to read."""
    if isinstance(value, dict):
        return {name: _finite(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(own) for own in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(name: str) -> str:
    return (files(__package__) / "static" / name).read_text(encoding="utf-8")
