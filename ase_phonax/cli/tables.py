"""Reports as wide as the terminal."""

from __future__ import annotations

import shutil

from ..studies.report import WIDTH, Report
from .wording import as_typed

NARROWEST, WIDEST = 50, 120  # columns: below and beyond them tables do not follow the terminal


def width() -> int:
    """Columns of a table: those of the terminal, within reason, or of a page where there is none."""
    return max(NARROWEST, min(WIDEST, shutil.get_terminal_size((WIDTH, 24)).columns))


class Table(Report):
    """A report whose text follows the terminal."""

    def __str__(self) -> str:
        return self.text(width(), as_typed)
