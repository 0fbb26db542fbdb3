"""Sets bounds to one input: how long it may take, and after which time it is ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

MIB = 1 << 20


class Bounds(NamedTuple):
    """What an input may take. Seconds are of this process's own CPU time where nothing else is said.

    A busy machine makes everything slow, but CPU time hardly. What waits takes none, and has a bound by the clock.
    """

    slow: float = 0.5
    """Seconds from which an input is too slow."""
    slow_per_byte: float = 2e-6
    """The same for each of its bytes, where this is more: reading a long text takes its time."""
    hang: float = 5.0
    """Seconds after which an input is ended, or `HANG_FACTOR` times what its bytes may take where that is more."""
    wait: float = 60.0
    """Seconds by the clock after which an input is ended."""
    tick: float = 0.25
    """Seconds by the clock between two looks at the input."""
    memory: int = 64 * MIB
    """Bytes that an input may take in addition to `memory_per_byte`, and that all inputs together may leave behind."""
    memory_per_byte: int = 100
    """Bytes that an input may take for each of its own."""

    def seconds_for(self, size: int) -> float:
        """Give how many seconds an input of so many bytes may take."""
        return max(self.slow, size * self.slow_per_byte)

    def bytes_for(self, size: int) -> int:
        """Give how many bytes of memory an input of so many bytes may take."""
        return self.memory + size * self.memory_per_byte


DEFAULT_BOUNDS = Bounds()

HANG_FACTOR = 4
"""How many times as long as its bytes may take an input runs at least until it is ended."""


class Hung(BaseException):
    """An input was ended, because it took too long. No handler of ``Exception`` must catch it."""


class Watch:
    """Runs one input after the other on the main thread, and ends one that takes too long.

    It looks by a signal, so it ends what runs Python code or waits. What never comes back from a C library can only be
    ended with its process (see `tests.fuzz.crew`).
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._ends = (0.0, 0.0)
        self._running = False
        self._before: Callable[[int, FrameType | None], object] | int | signal.Handlers | None = None

    def __enter__(self) -> Watch:
        self._before = signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, self._bounds.tick, self._bounds.tick)
        return self

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def run(self, function: Callable[[], object], size: int) -> float:
        """Run an input of so many bytes. Give the seconds that it took, or raise what it raised, or `Hung`."""
        began = time.thread_time()
        most = max(self._bounds.hang, HANG_FACTOR * size * self._bounds.slow_per_byte)
        self._ends = (began + most, time.monotonic() + self._bounds.wait)
        self._running = True
        try:
            function()
            return time.thread_time() - began
        finally:
            self._running = False

    def _look(self, number: int, frame: FrameType | None) -> None:
        if self._running and (time.thread_time() > self._ends[0] or time.monotonic() > self._ends[1]):
            self._running = False
            raise Hung
