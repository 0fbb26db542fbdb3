"""``virt2 top``: the domains with their rates, live, and the storage domains that are suspected."""

from __future__ import annotations

import argparse
import contextlib
import locale
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

from virt2 import threads
from virt2.cli import client, commands, process, report, saying, screen, word
from virt2.cli.columns import fit, within
from virt2.cli.findings import FINE
from virt2.cli.rates import Rates
from virt2.cli.screen import KEYS, ORDERS, View
from virt2.status.answers import Top

if TYPE_CHECKING:
    import curses

LOOK = 0.1
"""Seconds that a new answer waits at the most until it is shown."""
SHORTEST, LONGEST = 0.5, 3600.0
"""Bounds of the interval, seconds."""
PAGE = 10
SECOND = 0.8
"""Seconds that a virt2 which runs has for the second answer of ``--once``. With the usual interval before it that is
under 3 s."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Shows the active domains with their rates until q is pressed: those whose monitor is blocked first and marked,"
        " and below them the storage domains, the suspected ones first and marked. The virt2 that runs is asked. Where"
        " none runs, this host is looked at each time, and there are no rates of disks and interfaces. With --once the"
        " exit status is 1 where something is wrong."
    )
    parser.add_argument(
        "--interval", type=_interval, default=2.0, metavar="SECONDS", help="how often it is asked (2 by default)"
    )
    parser.add_argument("--once", action="store_true", help="print once what two answers tell, an interval apart")
    parser.add_argument("--sort", choices=ORDERS, default="cpu", help="what the others are sorted by")
    word.declare(parser)


def _interval(text: str) -> float:
    seconds = float(text)
    if not SHORTEST <= seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"accepted is a number of seconds from {SHORTEST:g} to {LONGEST:g}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Show the domains until somebody ends it, or print them once. Gives the exit status."""
    if not arguments.once and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise commands.CannotDo("There is no terminal to show the domains on. With --once they are printed.")
    began = time.monotonic()
    with word.Source(arguments, began) as source:
        live = Live(source, arguments.interval)
        if arguments.once:
            return _once(live, arguments, began)
        return _show(live, arguments)


class Live:
    """The newest answer, and the rates of all answers so far.

    Arguments:
        source: gives the answers.
        every: seconds between two answers.
    """

    def __init__(self, source: word.Source, every: float) -> None:
        self._source = source
        self._every = every
        self._rates = Rates()
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._told = source.ask("top")
        self._rates.take(self._told.answer)
        self._note = ""
        self.turns = 1
        """How often it was asked."""

    def __repr__(self) -> str:
        return f"<Live turns={self.turns}>"

    def ask(self, patience: float = client.LIMIT) -> None:
        """Ask once more. What goes wrong is shown with the last answer.

        Arguments:
            patience: seconds that a virt2 which runs has for its answer.
        """
        try:
            told, note = self._source.ask("top", patience=patience), ""
        except commands.CannotDo as error:
            told, note = None, str(error)
        except Exception as error:
            # This thread must not end, because the screen would go on as if all was well.
            told, note = None, process.unforeseen(error)
        with self._lock:
            if told is not None:
                self._told = told
                self._rates.take(told.answer)
            self._note = note
            self.turns += 1

    def start(self) -> None:
        """Ask again and again, on a thread of its own."""
        threads.start("virt2/top", self._run)

    def stop(self) -> None:
        """Ask no more."""
        self._over.set()

    def view(self, order: str) -> View:
        """Give what is to be shown now."""
        with self._lock:
            answer: Top = self._told.answer
            figures = {row["uuid"]: self._rates.of(row["uuid"]) for row in answer["domains"]}
            about = ". ".join((*self._told.missing, self._told.about))
            return View(
                answer, figures.__getitem__, about, time.strftime("%H:%M:%S"), self._every, order, note=self._note
            )

    @property
    def told(self) -> word.Word:
        """The last answer, and where it is from."""
        return self._told

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.ask()


def _once(live: Live, arguments: argparse.Namespace, began: float) -> int:
    if not live.told.missing:
        # Where something hangs, a second answer would take as long as the first, and would know no more.
        # From one question to the next, as they are asked while this goes on.
        time.sleep(max(began + arguments.interval - time.monotonic(), 0.0))
        live.ask(SECOND)
    view = live.view(arguments.sort)
    for line in screen.lines(view, report.columns(), None):
        print(line.text)
    return saying.status_of(live.told, bool(view.note) or screen.is_wrong(view.answer))


def _show(live: Live, arguments: argparse.Namespace) -> int:
    """Show it on the terminal, which is as it was afterwards, however this ends."""
    import curses

    with contextlib.suppress(locale.Error):
        # Where there is no such locale, other characters than ASCII are shown as question marks.
        locale.setlocale(locale.LC_ALL, "")
    # Ctrl-C would end the process before the terminal is restored.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        curses.setupterm()
    except curses.error as error:
        raise commands.CannotDo(f"This terminal cannot be used: {error}. Set TERM, or use --once.") from None
    if curses.tigetstr("cup") is None:
        raise commands.CannotDo(
            "This terminal cannot be used: nothing can be written at a place of it that is chosen. Set TERM to what it"
            " really is, or use --once."
        )
    live.start()
    try:
        curses.wrapper(lambda window: Viewer(window, live, arguments.sort).run())
    except curses.error:
        if _is_there():
            raise
        # What is not there cannot be restored.
        raise SystemExit(128 + signal.SIGHUP) from None
    finally:
        live.stop()
    return FINE


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _is_there() -> bool:
    """Whether the terminal is still there."""
    return os.isatty(sys.stdin.fileno())


class Viewer:
    """Draws on a terminal, and takes keys, until q is pressed."""

    def __init__(self, window: curses.window, live: Live, order: str) -> None:
        import curses

        self._curses = curses
        self._window = window
        self._live = live
        self._order = order
        self._is_reversed = False
        self._first = 0
        self._paused: View | None = None
        self._styles = {screen.TITLE: curses.A_REVERSE, screen.STUCK: curses.A_BOLD, screen.QUIET: curses.A_DIM}
        with contextlib.suppress(curses.error):
            # Terminals without a cursor to hide, or without colours, are fine as they are.
            curses.curs_set(0)
        with contextlib.suppress(curses.error):
            curses.use_default_colors()
            curses.init_pair(1, curses.COLOR_RED, -1)
            self._styles[screen.STUCK] |= curses.color_pair(1)
        window.timeout(int(LOOK * 1000))
        window.keypad(True)

    def __repr__(self) -> str:
        return f"<Viewer by {self._order}>"

    def run(self) -> None:
        """Show what there is until q is pressed."""
        drawn = 0
        while True:
            if drawn != self._live.turns and self._paused is None:
                drawn = self._live.turns
                self._draw()
            key = self._window.getch()
            if key in (ord("q"), ord("Q")):
                return
            if key == -1 and not _is_there():
                # The terminal is gone, and nobody was told by a signal. No key would come, nor would it be waited for.
                raise SystemExit(128 + signal.SIGHUP)
            if key != -1:
                self._press(key)
                self._draw()

    def _press(self, key: int) -> None:
        curses = self._curses
        steps = {
            curses.KEY_UP: -1,
            curses.KEY_DOWN: 1,
            curses.KEY_PPAGE: -PAGE,
            curses.KEY_NPAGE: PAGE,
        }
        char = chr(key) if 0 <= key < 128 else ""
        if char in KEYS:
            self._order, self._is_reversed, self._first = KEYS[char], False, 0
        elif char == "r":
            self._is_reversed = not self._is_reversed
        elif char == "p":
            self._paused = None if self._paused is not None else self._live.view(self._order)
        elif key in steps:
            height, width = self._window.getmaxyx()
            view = self._paused if self._paused is not None else self._live.view(self._order)
            most = max(0, len(view.answer["domains"]) - screen.room_for(view, width, height))
            self._first = max(0, min(self._first + steps[key], most))
        elif key == curses.KEY_HOME:
            self._first = 0
        elif key == curses.KEY_RESIZE:
            curses.update_lines_cols()

    def _draw(self) -> None:
        view = self._paused if self._paused is not None else self._live.view(self._order)
        view = view._replace(
            order=self._order,
            is_reversed=self._is_reversed,
            is_paused=self._paused is not None,
            first=self._first,
        )
        height, width = self._window.getmaxyx()
        self._window.erase()
        # The last cell of the screen cannot be written without scrolling.
        for number, line in enumerate(screen.lines(view, max(width - 1, 1), height)):
            # curses leaves out what the terminal's characters lack, and counts characters where cells count.
            text = line.text if line.text.isascii() else within(line.text, self._window.encoding)
            with contextlib.suppress(self._curses.error):
                # The terminal may have become smaller meanwhile. It is drawn again then.
                self._window.addstr(number, 0, fit(text, width - 1).rstrip(" "), self._styles.get(line.style, 0))
        self._window.refresh()
