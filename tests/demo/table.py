"""Rows as a table that fits a width: columns that matter less are left out before a cell is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import ASCII2, SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from .ages import MARK
from .overview import COLUMNS, NONE, Row

LEFT = 3
"""Columns that are words; the others are numbers."""
LEAVES_FIRST = ("reader", "tag", "out/s", "net in/s", "memory", "write/s", "disk read/s", "CPU %")
"""What is left out of a narrow table, in this order; the other columns stay."""
AROUND = 3
"""Characters of a column beside its text: a space on each side, and what is between it and the next one."""
STUCK = "bold red"


def fitting(titles: Sequence[str], rows: Sequence[Row], width: int) -> list[int]:
    """Choose the columns that fit.

    Arguments:
        titles: of all columns.
        width: characters of a line.

    Returns:
        The numbers of the columns, in their order.
    """
    widths = [max(map(cell_len, column)) for column in zip(titles, *(row.cells for row in rows))]
    chosen = list(range(len(titles)))
    for title in LEAVES_FIRST:
        if sum(widths[number] + AROUND for number in chosen) <= width:
            break
        chosen.remove(titles.index(title))
    return chosen


def plain_table(titles: Sequence[str], rows: Sequence[Row], width: int) -> Table:
    """Make a table of ASCII without colours."""
    return _table(ASCII2, titles, rows, fitting(titles, rows, width - 1), False)


def live_table(titles: Sequence[str], rows: Sequence[Row], width: int) -> Table:
    """Make a table for a terminal, in colours: its title, a rule, and a line for each row."""
    return _table(SIMPLE_HEAD, titles, rows, fitting(titles, rows, width + 1), True)


def _table(box: Box, titles: Sequence[str], rows: Sequence[Row], columns: Sequence[int], is_live: bool) -> Table:
    table = Table(box=box, show_edge=not is_live, header_style="bold" if is_live else "")
    for number in columns:
        table.add_column(titles[number], justify="left" if number < LEFT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(row.cells[number], _style(row, number) if is_live else "") for number in columns))
    return table


def _style(row: Row, number: int) -> str:
    cell = row.cells[number]
    if cell.startswith(MARK) or (number == COLUMNS.index("domain") and row.is_stuck):
        return STUCK
    return "dim" if cell == NONE else ""
