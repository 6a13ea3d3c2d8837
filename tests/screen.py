"""A terminal in memory: what a person sees of the characters that a program writes to one."""

import re

_CONTROL = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")


class Screen:
    """Lines as they stand on a terminal of some width; those that have scrolled away still count.

    It knows what rich uses: carriage return, cursor up, erasing of a line, colours, and lines too long for the width.
    """

    def __init__(self, columns: int = 10_000) -> None:
        self.columns = columns
        self._lines = [""]
        self._row, self._column = 0, 0
        self._rest = ""  # of a control sequence that is not complete yet
        self.styled: list[str] = []  # what was written in any style

    def feed(self, text: str) -> None:
        """Characters as they come, in pieces of any size."""
        text, self._rest = self._rest + text, ""
        place = 0
        while place < len(text):
            if text[place] == "\x1b":
                sequence = _CONTROL.match(text, place)
                if sequence is None:
                    self._rest = text[place:]
                    return
                self._control(*sequence.groups())
                place = sequence.end()
            else:
                self._put(text[place])
                place += 1

    def lines(self) -> list[str]:
        """From the top, without spaces at their ends and without empty ones at the bottom."""
        lines = [line.rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _control(self, arguments: str, kind: str) -> None:
        if kind == "A":
            self._row = max(0, self._row - int(arguments or 1))
        elif kind == "K":
            assert arguments == "2", "rich erases whole lines"
            self._lines[self._row] = ""
        else:
            assert kind == "m", f"a control sequence that this terminal does not know: {arguments}{kind}"
            self.styled.append(arguments)

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._next_line()
        else:
            if self._column >= self.columns:
                self._next_line()
            line = self._lines[self._row].ljust(self._column)
            self._lines[self._row] = line[: self._column] + character + line[self._column + 1 :]
            self._column += 1

    def _next_line(self) -> None:
        self._row, self._column = self._row + 1, 0
        if self._row == len(self._lines):
            self._lines.append("")
