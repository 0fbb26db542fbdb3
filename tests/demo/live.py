"""The view for terminals: one table in place, in colour, and below it what happened last."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live as Drawing
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from .overview import Row
from .table import live_table

STAMP = re.compile(r"\[\d+-\d+-\d+ (\d+:\d+:\d+)\] \[(\w+)\] ")
"""How collectd begins a line of its log."""
NEWS = 6
"""Lines below the table that are kept free of rows."""
KEPT = 200
"""Pieces of news: more than any terminal shows."""
AROUND_ROWS = 5
"""Lines beside rows and news: the heading, the table's titles and rule, how many rows are not shown, an empty one."""


class News:
    """What was said and logged last."""

    def __init__(self) -> None:
        self._items: deque[Text] = deque(maxlen=KEPT)

    def say(self, words: str, clock: str) -> None:
        """Add what the demo itself says."""
        self._items.append(Text(f"{clock} {words}", "bold yellow"))

    def log(self, line: str) -> None:
        """Add a line of collectd's log."""
        stamp = STAMP.match(line)
        if stamp is None:
            self._items.append(Text(line))
            return
        style = "red" if stamp[2] in ("warning", "error") else "dim"
        self._items.append(Text(f"{stamp[1]} {line[stamp.end() :]}", style))

    def lines(self, console: Console, options: ConsoleOptions, room: int) -> list[list[Segment]]:
        """Give the newest lines that fit, oldest first."""
        found: list[list[Segment]] = []
        for item in reversed(self._items):
            if len(found) >= room:
                break
            found = [*console.render_lines(item, options.update(height=None)), *found]
        return found[-room:] if room > 0 else []


class Frame:
    """All that is on the screen, for whatever size the terminal has when it is drawn."""

    def __init__(self, news: News) -> None:
        self._news = news
        self.titles: Sequence[str] = ()
        self.rows: Sequence[Row] = ()
        self.clock = ""
        """The time of day."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw as many rows as leave room for the news, and as many news as fit below."""
        width, height = options.max_width, options.height or console.height
        lines = console.render_lines(Text(self._heading(), "reverse"), options.update(height=1, no_wrap=True))
        if self.rows:
            shown = self._shown(height)
            lines += console.render_lines(live_table(self.titles, shown, width), options.update(height=None))
            if len(shown) < len(self.rows):
                lines.append([Segment(f"and {len(self.rows) - len(shown)} more", Style(dim=True))])
        lines.append([])
        lines += self._news.lines(console, options, height - len(lines))
        for line in lines[:height]:
            yield from line
            yield Segment.line()

    def _heading(self) -> str:
        stuck = sum(row.is_stuck for row in self.rows)
        return f"virt2  {self.clock}  {len(self.rows)} domains, {stuck} stuck  (Ctrl-C ends it)"

    def _shown(self, height: int) -> Sequence[Row]:
        """Choose the rows for which there is room: where there is not enough for all, stuck domains are first."""
        room = max(1, height - AROUND_ROWS - NEWS)
        if len(self.rows) <= room:
            return self.rows
        return sorted(self.rows, key=lambda row: not row.is_stuck)[:room]


class Live:
    """Draws on a screen of its own; the terminal is as it was afterwards, with the last frame printed on it.

    Arguments:
        console: on a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._news = News()
        self._frame = Frame(self._news)
        self._drawing = Drawing(self._frame, console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Live:
        self._drawing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._drawing.stop()
        if self._frame.rows:
            self._console.print(live_table(self._frame.titles, self._frame.rows, self._console.width))

    def say(self, words: str, clock: str) -> None:
        """Show what happens, which are sentences of the demo itself; `clock` is the time of day."""
        self._news.say(words, clock)
        self.redraw()

    def log(self, line: str) -> None:
        """Show a line of collectd's log, with the next table."""
        self._news.log(line)

    def show(self, titles: Sequence[str], rows: Sequence[Row], clock: str) -> None:
        """Show a table in the place of the last one; `clock` is the time of day."""
        self._frame.titles, self._frame.rows, self._frame.clock = titles, rows, clock
        self.redraw()

    def redraw(self) -> None:
        """Draw everything for the size that the terminal has now."""
        self._drawing.refresh()
