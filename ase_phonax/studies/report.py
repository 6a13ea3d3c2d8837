"""A report: titled groups of labelled rows, as data, and as text of any width."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

# The layout is our own: rich breaks lines at no-break spaces, cuts numbers where columns get narrow, and has no blocks.
WIDTH = 100  # columns of a page
_LABEL = 22

# What stays on one line: a number with its unit or degeneracy, rows of a matrix, wave vectors, products.
_NUMBER = r"[-+]?\d[\d.,]*(?:e[-+]\d+)?"
_UNITS = r"THz|Å[²³]?|eV\S*|meV\S*|K|GPa|Pa|kJ/mol|J/K/mol|cm⁻¹|1/cm|amu|MB|atoms?|steps?|%|degrees|frames"
_TOGETHER = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<=\d) (?=(?:{_UNITS})(?![\w/]))",
        r"(?<=\d) (?=\(\d+\))",
        rf"(?<=\d) (?={_NUMBER}(?:°|,|;|\)|$| ))",
        r"(?<=\d) (?=[×±] )|(?<=[×±]) (?=\d)",
        r"(?<=q) (?==)|(?<==) ",
    )
)
_VECTOR = re.compile(rf"\((?:{_NUMBER},? ?)+\)")
_HELD = "\N{NO-BREAK SPACE}"
_CAPITALS = re.compile(r"\b[A-Z]{5,}:")  # UNSTABLE: ...


@dataclass(frozen=True)
class Row:
    """A label, and what is said of it; paragraphs have no label.

    Attributes:
        doubt: it says what is not to be trusted.
    """

    label: str | None
    text: str
    doubt: bool = False


@dataclass(frozen=True)
class Columns:
    """Cells under headings.

    Attributes:
        left: columns that are flush left.
        prose: the last column is text, flush left, that goes on below itself.
        doubtful: numbers of rows that are not to be trusted.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[int, ...] = ()
    prose: bool = False
    doubtful: tuple[int, ...] = ()


@dataclass
class Group:
    """Rows under a heading; those below the title have none."""

    name: str | None
    rows: list[Row | Columns] = field(default_factory=list)


class Report:
    """What a run tells a person, in groups of rows; `str` is its text.

    Settings are named as in errors, in backquotes and as Python has them: `tolerance`, `exact=True`.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.groups = [Group(None)]

    def group(self, name: str) -> None:
        """Begin a group."""
        self.groups.append(Group(name))

    def row(self, label: str, text: str, *, doubt: bool = False) -> None:
        """One line of the group; a long text goes on below itself.

        Args:
            label: in front of it.
            text: two or more spaces in it divide what is kept on one line as long as that is possible.
            doubt: it says what is not to be trusted, as do words in capitals; terminals show it in a colour.
        """
        self.groups[-1].rows.append(Row(label, text, doubt or bool(_CAPITALS.search(text))))

    def paragraph(self, text: str, *, doubt: bool = False) -> None:
        """Lines of the group without a label."""
        self.groups[-1].rows.append(Row(None, text, doubt or bool(_CAPITALS.search(text))))

    def columns(
        self,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        *,
        left: Sequence[int] = (),
        prose: bool = False,
        doubtful: Sequence[int] = (),
    ) -> None:
        """Cells under headings, flush right; what does not fit side by side follows in a block of its own.

        Args:
            head: the headings; every block begins with the first column.
            rows: as many cells each.
            left: columns that are flush left.
            prose: the last column is text, flush left, that goes on below itself.
            doubtful: numbers of rows that are not to be trusted.
        """
        columns = Columns(tuple(head), tuple(map(tuple, rows)), tuple(left), prose, tuple(doubtful))
        self.groups[-1].rows.append(columns)

    def text(self, width: int = WIDTH, words: Callable[[str], str] = str) -> str:
        """Its lines, wrapped.

        Args:
            width: columns.
            words: what its rows say -> how the reader calls it; the command line puts options for settings.
        """
        lines = _wrapped(width, self.title)
        for group in self.groups:
            if group.name is not None:
                lines += ["", *_wrapped(width, group.name, rest="  ")]
            for row in group.rows:
                if isinstance(row, Columns):
                    lines += _columns_in_lines(width, row)
                else:
                    lines += _row_in_lines(width, replace(row, text=words(row.text)))
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def _row_in_lines(width: int, row: Row) -> list[str]:
    if row.label is None:
        return _wrapped(width, row.text, "  ", "  ")
    label = f"  {row.label:<{_LABEL}}" + "  " * (len(row.label) >= _LABEL)
    return _wrapped(width, row.text, label, " " * (_LABEL + 2)) or [f"  {row.label}"]


def _columns_in_lines(width: int, columns: Columns) -> list[str]:
    table = [columns.head, *columns.rows]
    sizes = [max(map(len, column)) for column in zip(*table, strict=True)]
    fixed = len(columns.head) - columns.prose
    blocks, used = [[0]], 2 + sizes[0]
    for k in range(1, fixed):
        if used + 2 + sizes[k] > width:
            blocks.append([0])
            used = 2 + sizes[0]
        blocks[-1].append(k)
        used += 2 + sizes[k]
    lines: list[str] = []
    for number, block in enumerate(blocks):
        lines += [""] * (number > 0)
        for cells in table:
            line = "  " + "  ".join(f"{cells[k]:{'<' if k in columns.left else '>'}{sizes[k]}}" for k in block)
            if columns.prose and block is blocks[-1]:
                lines += _wrapped(width, cells[-1], line + "  ", " " * (len(line) + 2)) or [line.rstrip()]
            else:
                lines.append(line.rstrip())
    return lines


def _wrapped(width: int, text: str, first: str = "", rest: str = "") -> list[str]:
    room = width - len(rest)
    parts = re.split("( {2,})", text)
    held = "".join(part if part.isspace() else _held_together(part, room) for part in parts)
    lines = textwrap.wrap(
        held,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_HELD, " ").rstrip() for line in lines]


def _held_together(text: str, room: int) -> str:
    """The text with spaces that hold, where a line must not be broken."""
    if len(text) <= room:
        return text.replace(" ", _HELD)
    text = _VECTOR.sub(lambda vector: vector[0].replace(" ", _HELD), text)
    for pattern in _TOGETHER:
        text = pattern.sub(_HELD, text)
    return text
