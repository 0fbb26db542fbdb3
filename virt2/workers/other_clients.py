"""Whether anybody else is in libvirtd now, and so may be inside a domain's monitor.

Whoever is inside a monitor holds one of libvirtd's workers, however long that takes. So where every worker that is busy
is one of ours, no monitor needs to be looked at before it is used: one word of libvirtd's admin interface saves a call
per domain. What changes between that word and the use of a monitor is found out by the call itself, as it is with a
look at the monitor, only that more of them can come together: the word is asked for anew several times in a read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from virt2.workers.budget import Budget

FRESH = 0.1
"""Seconds for which a reading counts: that long somebody else may freeze domains unseen, at a slot each."""


class Workers(Protocol):
    """What libvirtd says of its workers."""

    @property
    def busy(self) -> int:
        """Normal workers that are in a call now, of all clients."""

    @property
    def available(self) -> int:
        """How many more normal calls libvirtd could take on at once."""

    @property
    def job_queue_depth(self) -> int:
        """Calls that wait for a worker."""


_Reading = TypeVar("_Reading", bound=Workers)


class OtherClients:
    """Watches libvirtd's workers, for all readers.

    Arguments:
        budget: what our own calls hold now; told whether calls wait for a worker.
        ask: has a new reading made (see `reading`), without waiting for it.
        clock: monotonic seconds.
    """

    def __init__(self, budget: Budget, ask: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._ask = ask
        self._clock = clock
        self._alone_at: float | None = None
        self._asked_at = 0.0
        self._connected_at = 0.0
        self.held = 0
        """Workers that our own calls held at the last reading."""

    def __repr__(self) -> str:
        return f"<OtherClients alone_at={self._alone_at}>"

    def reading(self, attempt: Callable[[], _Reading]) -> _Reading:
        """Make a reading; called by the thread that may hang in it. Raises what the attempt raises."""
        taken, before = self._clock(), self._budget.used
        limits = attempt()
        self.held = self._budget.used
        # Some of ours may be over at libvirtd and not here yet, or the other way round: so many may hide behind them.
        ours = max(before, self.held)
        self._budget.see_queue(taken if limits.job_queue_depth and limits.available <= 0 else None)
        self._alone_at = taken if limits.busy <= ours else None
        return limits

    def reconnected(self) -> None:
        """There is a new connection, maybe to a new libvirtd, which enters monitors by itself when it starts."""
        self._connected_at = self._clock()

    def away(self, answered: float | None) -> bool:
        """Whether nobody else is in the monitor of a domain; `answered`: when all of its last calls were answered."""
        if answered is None or answered <= self._connected_at:
            return False
        now, alone_at = self._clock(), self._alone_at
        if now - self._asked_at > FRESH / 2:
            # Several workers may find this at a time: one attempt is made for all of them.
            self.ask()
        return alone_at is not None and now - alone_at <= FRESH

    def ask(self) -> None:
        """Have a new reading made; to be called when a read begins, for the reading to be there when it is needed."""
        self._asked_at = self._clock()
        self._ask()
