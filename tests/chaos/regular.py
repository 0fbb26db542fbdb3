"""A thread that does one thing again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from .model import Span

STALL = 0.5
"""Seconds. By so much a look is late only where the machine has no time for it, or waits for it."""
END = 10.0
"""Seconds for the last look to end."""


class Regular:
    """Calls a function every so many seconds, from when the block is entered until it is left.

    Arguments:
        look: the function.
        every: seconds from the begin of one call to that of the next; a call that takes longer is followed at once.
        name: the thread's.

    Attributes:
        stalls: when calls began late by `STALL` or more.
    """

    def __init__(self, look: Callable[[], None], every: float, name: str) -> None:
        self.stalls: list[Span] = []
        self._look = look
        self._every = every
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Regular:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(END)

    def check(self) -> None:
        """Raise what a call has raised: there are no further ones then."""
        if self._failure is not None:
            raise RuntimeError(f"{self._thread.name} ended") from self._failure

    def _run(self) -> None:
        due = time.monotonic()
        try:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                late = time.monotonic() - due
                if late > STALL:
                    now = time.time()
                    self.stalls.append((now - late, now))
                    due = time.monotonic()
                self._look()
                due += self._every
        except BaseException as error:
            # For whoever checks: nobody else would ever hear of it.
            self._failure = error
