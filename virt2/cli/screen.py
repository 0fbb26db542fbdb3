"""What ``virt2 top`` shows, as lines of text. It is pure: the terminal is drawn on elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from virt2.cli import report, saying
from virt2.cli.columns import Column, fit, table
from virt2.cli.rates import Figures
from virt2.status.answers import BLOCKED, StorageRow, Top, TopRow
from virt2.text.printable import printable

PLAIN, TITLE, STUCK, QUIET = "plain", "title", "stuck", "quiet"
"""The styles of a line."""
MARK = "!"
"""Marks a domain that is stuck, and a storage domain that is suspected."""
MOST_ABOVE = 4
"""Lines above the titles of the columns at the most, where something is wrong that takes more than one to say."""
LEAST_FOR_MORE = 16
"""Lines of a terminal from which it may take more than one."""
STORAGE_PART = 4
"""The second pane has this part of the lines at the most."""
LEAST_FOR_STORAGE = 12
"""Lines of a terminal from which there is a second pane."""
HELP = "q quit  c cpu  m mem  d disk  n net  a name  r reverse  p pause  arrows scroll"
KEYS = {"c": "cpu", "m": "memory", "d": "disk", "n": "net", "a": "name"}
"""What each key sorts by."""
ORDERS = tuple(KEYS.values())

COLUMNS = (
    Column(" "),
    Column("DOMAIN", least=12),
    Column("CPU%", right=True),
    Column("MEM", right=True),
    Column("READ/s", right=True),
    Column("WRITE/s", right=True),
    Column("RX/s", right=True),
    Column("TX/s", right=True),
    Column("STATE", least=7),
    Column("MONITOR", least=12, leave=1),
    Column("READER", least=4, leave=2),
    Column("STORAGE", least=8, leave=3),
)
STORAGE = (Column(" "), Column("STORAGE DOMAIN", least=14), Column("DOMAINS", right=True), Column("STUCK", least=10))
_SIZES = "BKMGTPE"


class Line(NamedTuple):
    """One line, with its style."""

    text: str
    style: str = PLAIN


class View(NamedTuple):
    """What is to be shown, and how."""

    answer: Top
    figures: Callable[[str], Figures]
    """Gives by UUID what is known of a domain."""
    about: str
    """Where the answer is from, in a sentence."""
    clock: str = ""
    """The time of day."""
    every: float = 2.0
    """Seconds between two answers."""
    order: str = "cpu"
    """One of `ORDERS`."""
    is_reversed: bool = False
    is_paused: bool = False
    first: int = 0
    """How many domains are above the screen."""
    note: str = ""
    """Why there is no newer answer; empty where there is one."""


def lines(view: View, width: int | None, height: int | None) -> list[Line]:
    """Give the lines of the whole screen. Where it has no bounds, there is no line with the keys.

    Arguments:
        width, height: of the terminal; None for any.
    """
    above, below = _header(view, width, height), _below(view, width, height)
    room = room_for(view, width, height)
    first = max(0, min(view.first, len(view.answer["domains"]) - room))
    rows = in_order(view)[first : first + room]
    title, *texts = table(COLUMNS, [_texts(row, view.figures(row["uuid"])) for row in rows], width).lines
    shown = [Line(title, TITLE)]
    shown += [Line(text, STUCK if is_stuck(row) else PLAIN) for row, text in zip(rows, texts)]
    if height is not None:
        shown += [Line("")] * (room - len(rows))
    made = [*above, *shown, *below]
    return made if height is None else [*made[: max(height - 1, 0)], made[-1]][:height]


def room_for(view: View, width: int | None, height: int | None) -> int:
    """Give how many domains there is room for."""
    if height is None:
        return len(view.answer["domains"])
    return max(height - len(_header(view, width, height)) - 1 - len(_below(view, width, height)), 0)


def in_order(view: View) -> list[TopRow]:
    """Put the stuck domains first, the longest stuck before all, and the others as is wanted."""
    stuck = [row for row in view.answer["domains"] if is_stuck(row)]
    others = [row for row in view.answer["domains"] if not is_stuck(row)]
    others.sort(key=lambda row: (row["name"], row["uuid"]), reverse=view.order == "name" and view.is_reversed)
    if view.order != "name":
        sign = 1 if view.is_reversed else -1
        others.sort(key=lambda row: _by(sign, weight(view.figures(row["uuid"]), view.order)))
    return [*sorted(stuck, key=_stuck_for, reverse=True), *others]


def weight(figures: Figures, order: str) -> float | None:
    """Give the number that a domain is sorted by; None where it is not known."""
    if order == "cpu":
        return figures.cpu
    if order == "memory":
        return figures.memory
    pair = (figures.read, figures.written) if order == "disk" else (figures.received, figures.sent)
    known = [number for number in pair if number is not None]
    return sum(known) if known else None


def is_stuck(row: TopRow) -> bool:
    """Whether a domain's monitor is blocked."""
    return row["monitor"]["state"] == BLOCKED


def is_wrong(answer: Top) -> bool:
    """Whether something of an answer is wrong."""
    return (
        bool(saying.trouble(answer["reach"]))
        or any(map(is_stuck, answer["domains"]))
        or any(row["suspected"] for row in answer["storage"])
    )


def size(number: float | None) -> str:
    """Write a number of bytes in four characters or five."""
    if number is None:
        return "-"
    power = 0
    while number >= 999.5 and power < len(_SIZES) - 1:
        number, power = number / 1024, power + 1
    return f"{number:.0f}{_SIZES[power]}" if number >= 9.95 or not power else f"{number:.1f}{_SIZES[power]}"


def _by(sign: int, number: float | None) -> float:
    return math.inf if number is None else sign * number


def _stuck_for(row: TopRow) -> float:
    since = row["monitor"]["since"]
    return since["seconds"] if since is not None else 0.0


def _header(view: View, width: int | None, height: int | None) -> list[Line]:
    answer = view.answer
    stuck = sum(map(is_stuck, answer["domains"]))
    first = "up" if answer["reach"]["state"] == "up" else answer["reach"]["state"]
    paused = ", paused" if view.is_paused else ""
    by = f"by {view.order}{', reversed' if view.is_reversed else ''}"
    text = (
        f"virt2 {view.clock}  libvirt {first}, {len(answer['domains'])} domains, {stuck} stuck, every"
        f" {view.every:g} s, {by}{paused}"
    )
    first_line = Line(_cut(text, width), STUCK if stuck else PLAIN)
    trouble = view.note or saying.trouble(answer["reach"])
    if not trouble:
        return [first_line, Line(_cut(view.about, width), QUIET)]
    most = MOST_ABOVE - 1 if height is None or height >= LEAST_FOR_MORE else 1
    told = report.wrapped(trouble, width)
    # What does not fit is cut in the last line.
    told[most - 1 :] = [" ".join(told[most - 1 :])] if len(told) > most else told[most - 1 :]
    return [first_line, *(Line(_cut(line, width), STUCK) for line in told)]


def _below(view: View, width: int | None, height: int | None) -> list[Line]:
    """Give what is below the domains."""
    if height is None:
        return _storage(view.answer["storage"], width, None)
    most = height // STORAGE_PART if height >= LEAST_FOR_STORAGE else 0
    return [*_storage(view.answer["storage"], width, most), Line(HELP, TITLE)]


def _storage(rows: Sequence[StorageRow], width: int | None, most: int | None) -> list[Line]:
    """Give the second pane, of a number of lines at the most."""
    if not rows or (most is not None and most < 2):
        return []
    shown = rows if most is None else rows[: most - 1]
    texts = [
        [
            MARK if row["suspected"] else " ",
            row["name"],
            str(row["domains"]),
            ", ".join(row["stuck"]) or ("a call does not come back" if row["suspended"] else "-"),
        ]
        for row in shown
    ]
    title, *made = table(STORAGE, texts, width).lines
    return [
        Line(title, TITLE),
        *(Line(text, STUCK if row["suspected"] else PLAIN) for row, text in zip(shown, made)),
    ]


def _texts(row: TopRow, figures: Figures) -> list[str]:
    monitor = row["monitor"]
    told = f"{saying.since(monitor['since'])} {monitor['cause']}" if is_stuck(row) else monitor["state"]
    return [
        MARK if is_stuck(row) else " ",
        row["name"],
        "-" if figures.cpu is None else f"{figures.cpu:.1f}" if figures.cpu < 999.95 else f"{figures.cpu:.3g}",
        size(figures.memory),
        *map(size, figures[2:]),
        "STUCK" if is_stuck(row) else row["state"] or "-",
        told,
        row["reader"] or "-",
        ", ".join(row["storage"]) or "-",
    ]


def _cut(text: str, width: int | None) -> str:
    line = printable(text, report.LONGEST)
    return line if width is None else fit(line, width).rstrip(" ")
