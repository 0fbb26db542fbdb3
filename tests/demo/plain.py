"""The view for pipes and files: what happens, and a table every interval, line after line."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from .overview import Row
from .table import plain_table

WIDTH = 160
"""Characters, where the output is not a terminal."""


class Plain:
    """Prints everything as it comes, in ASCII and without colours."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, color_system=None, no_color=True)
        if not self._console.file.isatty():
            self._console = Console(highlight=False, color_system=None, no_color=True, width=WIDTH)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, words: str, clock: str) -> None:
        """Print what happens, which are sentences of the demo itself; `clock` is the time of day."""
        self._print(f"*** {clock} {words}")

    def log(self, line: str) -> None:
        """Print a line of collectd's log."""
        self._print(line)

    def show(self, titles: Sequence[str], rows: Sequence[Row], clock: str) -> None:
        """Print a table; `clock` is the time of day."""
        self._print(clock)
        self._console.print(plain_table(titles, rows, self._console.width))

    def redraw(self) -> None:
        """Do nothing: what was printed stays."""

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)
