"""Whether another client is in libvirtd now, and so may be inside a domain's monitor.

A client that is inside a monitor holds one of libvirtd's workers the whole time. So if all busy workers are ours, no
monitor has to be checked before it is used. One reading of libvirtd's admin interface saves a call per domain.

A client may enter a monitor after the reading and before we use the monitor. Then our call finds that out by itself,
just as after a check of the monitor. But it may happen to several calls at once, so a read makes several readings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from virt2.workers.budget import Budget

FRESH = 0.1
"""Seconds for which a reading is valid. In that time others may freeze domains unseen, and each costs a slot."""


class Workers(Protocol):
    """What libvirtd says about its workers."""

    @property
    def busy(self) -> int:
        """How many normal workers are in a call now, for all clients."""

    @property
    def free_workers(self) -> int:
        """How many workers were started and are idle."""

    @property
    def job_queue_depth(self) -> int:
        """How many calls wait for a worker."""


_Reading = TypeVar("_Reading", bound=Workers)


class OtherClients:
    """Watches libvirtd's workers, for all readers.

    Arguments:
        budget: knows what our own calls hold now, and is told whether calls wait for a worker.
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
        """How many workers our own calls held at the last reading."""

    def __repr__(self) -> str:
        return f"<OtherClients alone_at={self._alone_at}>"

    def reading(self, attempt: Callable[[], _Reading]) -> _Reading:
        """Make a reading. It is called on a thread that may hang in it. Raises what the attempt raises."""
        taken, before = self._clock(), self._budget.used
        limits = attempt()
        self.held = self._budget.used
        # Some of our calls may be over in libvirtd but not here yet, or the other way round. As many others may be
        # mistaken for ours.
        ours = max(before, self.held)
        # More may be allowed, but libvirtd does not always start them (see `Limits.starved`).
        self._budget.see_queue(taken if limits.job_queue_depth and not limits.free_workers else None)
        self._alone_at = taken if limits.busy <= ours else None
        return limits

    def reconnected(self) -> None:
        """Note a new connection. It may be to a new libvirtd, which enters monitors by itself when it starts."""
        self._connected_at = self._clock()

    def check(self, answered: float | None) -> bool:
        """Find out whether no other client is in a domain's monitor. Has a new reading made if the last one is old.

        Arguments:
            answered: when all of the domain's last calls were answered, None if they were not.
        """
        if answered is None or answered <= self._connected_at:
            return False
        now, alone_at = self._clock(), self._alone_at
        if now - self._asked_at > FRESH / 2:
            # Several workers may get here at the same time. One attempt is made for all of them.
            self.ask()
        return alone_at is not None and now - alone_at <= FRESH

    def ask(self) -> None:
        """Have a new reading made. It is called when a read begins, so that the reading is there when it is needed."""
        self._asked_at = self._clock()
        self._ask()
