"""Reports on standard output: as wide as the terminal, and there with what a terminal can add to text.

The layout is that of `studies.report`, piped or not. rich, imported for a terminal alone, makes headings bold, labels
coloured, and what is not to be trusted yellow.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from ..studies.report import Columns, Group, Report, Row
from .tables import width
from .wording import as_typed

if TYPE_CHECKING:
    from rich.text import Text

_HEADING, _LABEL, _WARNING = "bold", "cyan", "yellow"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody looks at a stream, on a screen that can paint over what stands there."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def print_report(report: Report) -> None:
    """Print a report; with styles on a terminal, unless NO_COLOR is set."""
    if not is_terminal(sys.stdout) or os.environ.get("NO_COLOR"):
        print(report.text(width(), as_typed))
        return
    from rich.console import Console

    console = Console(file=sys.stdout, force_terminal=True, force_jupyter=False, highlight=False)
    console.print(styled(report, width()), soft_wrap=True)


def styled(report: Report, columns: int) -> Text:
    """The text of a report of some width, with styles."""
    from rich.text import Text

    lines = [Text(line, _HEADING) for line in Report(report.title).text(columns).splitlines()]
    for group in report.groups:
        if group.name is not None:
            lines += [Text(line, _HEADING) for line in _lines(Group(group.name), columns)]
        for row in group.rows:
            plain = _lines(Group(None, [row]), columns)
            if isinstance(row, Columns):
                lines += _styled_columns(row, plain)
            else:
                lines += _styled_row(row, plain)
    return Text("\n").join(lines)


def _lines(group: Group, columns: int) -> list[str]:
    """The lines of a part of a report, as they stand in the whole."""
    part = Report("")
    part.groups = [group]
    return part.text(columns, as_typed).split("\n")


def _styled_row(row: Row, lines: list[str]) -> list[Text]:
    from rich.text import Text

    if row.doubt:
        return [Text(line, _WARNING) for line in lines]
    first = Text(lines[0])
    first.stylize(_LABEL, 2, 2 + len(row.label or ""))
    return [first, *map(Text, lines[1:])]


def _styled_columns(columns: Columns, lines: list[str]) -> list[Text]:
    """Headings at the top of each block; a doubtful row warns in every block."""
    from rich.text import Text

    styled, number = list[Text](), -1  # of the row; -1 is that of the headings
    for line in lines:
        style = _LABEL if number < 0 else _WARNING if number in columns.doubtful else ""
        styled.append(Text(line, style))
        number = number + 1 if line else -1
    return styled
