"""Puts texts into columns that fit a terminal. It is pure.

Every text is made printable here, because names come from domains. This is no library's table because a table of a
hundred domains has to be there in a tenth of a second, and those that there are take as long for the table alone.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from virt2.text.printable import printable

GAP = "  "
CUT = "…"
LONGEST = 1000
"""Most bytes of one cell."""


class Column(NamedTuple):
    """One column."""

    title: str
    least: int = 0
    """To how many cells of the terminal it may be cut; 0 where it is never cut."""
    leave: int = 0
    """When it is left out where there is no room: the greatest first; 0 for never."""
    right: bool = False
    """Whether its texts are put to the right, as numbers are."""


def cells(text: str) -> int:
    """Give how many cells of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def fit(text: str, width: int, right: bool = False) -> str:
    """Make a printable text as wide as that many cells: it is cut, or filled with blanks."""
    taken = cells(text)
    if taken > width:
        kept, taken = "", len(CUT) if width else 0
        for char in text if width else "":
            taken += _cells_of(char)
            if taken > width:
                break
            kept += char
        text = kept + CUT[:width]
        taken = cells(text)
    blanks = " " * (width - taken)
    return blanks + text if right else text + blanks


def within(text: str, encoding: str) -> str:
    """Replace what an encoding lacks by question marks that take as many cells."""
    made = []
    for char in text:
        try:
            char.encode(encoding)
        except UnicodeEncodeError:
            char = "?" * _cells_of(char)
        made.append(char)
    return "".join(made)


class Table(NamedTuple):
    """A table that fits."""

    lines: list[str]
    """Its titles, and a line for each row."""
    left_out: list[str]
    """The titles of the columns that there was no room for."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> Table:
    """Make a table.

    Arguments:
        columns: what is in it.
        rows: the texts of each row, one for each column.
        width: how many cells there are; None where it may have any width. Where even the least does not fit, lines are
            longer.
    """
    shown = [[column.title for column in columns], *([printable(text, LONGEST) for text in row] for row in rows)]
    widths = fitted(columns, [max(map(cells, texts)) for texts in zip(*shown)], width)
    return Table(
        [
            GAP.join(fit(row[number], size, columns[number].right) for number, size in widths.items()).rstrip(" ")
            for row in shown
        ],
        [column.title for number, column in enumerate(columns) if number not in widths],
    )


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> dict[int, int]:
    """Give the numbers of the columns that are shown, each with its width."""
    widths = dict(enumerate(natural))
    while width is not None:
        excess = sum(widths.values()) + len(GAP) * (len(widths) - 1) - width
        while excess > 0:
            spare = {
                number: size - columns[number].least
                for number, size in widths.items()
                if columns[number].least and size > columns[number].least
            }
            if not spare:
                break
            # The widest loses most, because it still tells most of its text then.
            widest = max(spare, key=lambda number: widths[number])
            others = [size for number, size in widths.items() if number in spare and number != widest]
            # As wide as the next one, or one cell less where both are the same.
            step = max(others, default=0) if max(others, default=0) < widths[widest] else widths[widest] - 1
            down_to = max(columns[widest].least, widths[widest] - excess, step)
            excess -= widths[widest] - down_to
            widths[widest] = down_to
        if excess <= 0:
            break
        leave = max(widths, key=lambda number: columns[number].leave)
        if not columns[leave].leave:
            break
        del widths[leave]
        widths = {number: natural[number] for number in widths}
    return widths


def _cells_of(char: str) -> int:
    if unicodedata.east_asian_width(char) in "WF":
        return 2
    return 0 if unicodedata.category(char) in ("Mn", "Me") else 1
