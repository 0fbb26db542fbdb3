"""Looks at libvirtd's workers and at what collectd holds, all the time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from virt2.errors import AdminUnavailable
from virt2.sources.admin import Session

from .model import Held, Usage
from .regular import Regular

LOOK = 0.1
"""Seconds between two looks at libvirtd's workers. A read takes about so long."""
ANSWERED = 0.02
"""Seconds after which a worker that has answered is free: libvirtd counts it as one that is busy for a moment."""
COUNT = 1.0
"""Seconds between two looks at what collectd holds."""
TIMEOUT = 1.0
"""Seconds for libvirtd's admin interface, which answers in a millisecond unless libvirtd is frozen."""
REST = 2.0
"""Seconds without a look after one that failed: each one waits in the backlog of a frozen libvirtd."""


class Watch:
    """Two threads that look.

    Arguments:
        uri: of libvirtd, as seen from here.
        pid: tells collectd's pid, as seen from here; 0 while it does not run.
    """

    def __init__(self, uri: str, pid: Callable[[], int]) -> None:
        self.held: list[Held] = []
        self.usage: list[Usage] = []
        self._session = Session(uri, TIMEOUT)
        self._rest_until = 0.0
        self._pid = pid
        self._parts = [Regular(self._look, LOOK, "chaos/workers"), Regular(self._count, COUNT, "chaos/usage")]

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look, as long as the block lasts."""
        with self._parts[0], self._parts[1]:
            yield
        self._session.close()

    def check(self) -> None:
        """Raise what has ended the looks, if they have ended."""
        for part in self._parts:
            part.check()

    def _look(self) -> None:
        if time.monotonic() < self._rest_until:
            return
        before = time.time()
        try:
            first = self._session.limits()
            time.sleep(ANSWERED)
            last = self._session.limits()
        except AdminUnavailable:
            # libvirtd is frozen or away, or its admin socket is.
            self._rest_until = time.monotonic() + REST
            return
        self.held.append(Held(before, time.time(), min(first.busy, last.busy), last.max_workers))

    def _count(self) -> None:
        pid = self._pid()
        usage = None if pid == 0 else usage_of(pid, time.time())
        if usage is not None:
            self.usage.append(usage)


def usage_of(pid: int, now: float) -> Usage | None:
    """What a process holds; None where it has ended."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    if "VmRSS" not in status:
        # It has ended, and its parent has not taken note.
        return None
    return Usage(now, pid, descriptors, int(status["Threads"]), int(status["VmRSS"].split()[0]))
