"""Notes what was really done when, from any thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from .model import FOREVER, Deed, Span


class Journal:
    """What was done, and when other clients were in libvirtd.

    Arguments:
        wall: tells the time.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._lock = threading.Lock()
        self._deeds: list[Deed] = []
        self._visits: list[list[float]] = []

    def begin(self, kind: str, targets: tuple[str, ...] = (), detail: str = "") -> Deed:
        """Note that something begins now; the caller fills in the rest."""
        deed = Deed(kind, targets, detail, self._wall())
        with self._lock:
            self._deeds.append(deed)
        return deed

    @contextlib.contextmanager
    def visit(self) -> Iterator[None]:
        """Note that a call of another client is under way, inside of this block."""
        visit = [self._wall(), FOREVER]
        with self._lock:
            self._visits.append(visit)
        try:
            yield
        finally:
            visit[1] = self._wall()

    def deeds(self) -> list[Deed]:
        """All that was done, by begin."""
        with self._lock:
            return sorted(self._deeds, key=lambda deed: deed.began)

    def visits(self) -> list[Span]:
        """When calls of other clients were under way; those that still are have no end."""
        with self._lock:
            return [(begin, end) for begin, end in self._visits]
