"""Finding running domains while libvirt's list hangs: by their processes, each looked up on its own.

A domain whose object lock is held makes every form of list hang, but the look-up of any other is answered at once. So
a collectd that is started in that state still finds what runs.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from virt2 import threads
from virt2.domains.connection import Connection
from virt2.domains.inventory import Inventory
from virt2.errors import CallFailed, DomainBusy, DomainGone, Unsupported
from virt2.workers.budget import Budget
from virt2.workers.job import SERVER, Job
from virt2.workers.pool import Pool

LOOK_UP = "look-up"


class Guest(Protocol):
    """A QEMU process (see `virt2.sources.procfs.guests`)."""

    @property
    def name(self) -> str:
        """The domain's name."""

    @property
    def uuid(self) -> str:
        """The domain's UUID."""


class _Search:
    """One search for processes, on a thread of its own: the kernel may keep whoever reads a command line waiting."""

    def __init__(self, guests: Callable[[], Iterable[Guest]]) -> None:
        self.done = threading.Event()
        self.found: list[Guest] = []
        self._guests = guests

    def run(self) -> None:
        """Search; the thread's body."""
        try:
            self.found = list(self._guests())
        except OSError:
            # Not this host's processes, or not for us to see: then only the list tells what runs.
            return
        finally:
            self.done.set()


class Discovery:
    """Adds to the inventory what runs and is not in it.

    Arguments:
        inventory: takes the domains.
        budget: a look-up holds a worker of libvirtd like any call.
        pool: workers of its own.
        guests: the QEMU processes of this host; raises OSError where they cannot be seen.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        inventory: Inventory,
        budget: Budget,
        pool: Pool,
        guests: Callable[[], Iterable[Guest]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inventory = inventory
        self._budget = budget
        self._pool = pool
        self._guests = guests
        self._clock = clock
        self._looking = threading.Lock()
        self._search: _Search | None = None
        """The one that has not come back yet."""

    def look(self, deadline: float) -> None:
        """Look once, until `deadline` at the most; one at a time, others return at once."""
        if not self._looking.acquire(blocking=False):
            return
        try:
            self._pool.run(self._jobs(self._processes(deadline)), deadline)
        finally:
            self._looking.release()

    def _processes(self, deadline: float) -> list[Guest]:
        """The processes there are; none where the search does not end in time.

        Its thread waits on then, and the next look after it has ended takes what it found. Only the look that began a
        search waits for it, because a process may keep it waiting for days.
        """
        search = self._search
        patience = 0.0
        if search is None:
            patience = max(0.0, deadline - self._clock())
            search = _Search(self._guests)
            try:
                threads.start("virt2/look", search.run)
            except RuntimeError:
                # No threads left in this process; the next read tries again.
                return []
            self._search = search
        if not search.done.wait(patience):
            return []
        self._search = None
        return search.found

    def _jobs(self, guests: Iterable[Guest]) -> list[Job]:
        jobs = []
        for guest in guests:
            if self._inventory.wants(guest.name, guest.uuid) and not self._inventory.knows(guest.uuid):
                running = self._budget.running(guest.uuid, SERVER)
                if running is None:
                    # Nor a second look-up for one that was cut off while libvirtd may still be in it.
                    if self._budget.charged(guest.uuid) is None:
                        jobs.append(Job(guest.uuid, SERVER, functools.partial(self._find, guest)))
                elif running.stalled and running.what == LOOK_UP:
                    # Its lock is held: that it is there and stuck can be said, if nothing else.
                    self._inventory.adopt_unseen(guest.uuid, guest.name)
        return jobs

    def _find(self, guest: Guest, connection: Connection, job: Job) -> None:
        try:
            job.doing(LOOK_UP)
            line = connection.find(guest.name)
            job.doing("XMLDesc")
            self._inventory.adopt(connection, line)
            job.hear()
        except (DomainGone, DomainBusy, CallFailed, Unsupported):
            # It is on its way in or out; the next look, or the list, has it.
            return
