"""Finds running domains while libvirt's list hangs: it sees their processes, and looks each domain up on its own.

A domain whose object lock is held makes every form of list hang, but the look-up of any other domain is answered at
once. So a collectd that is started in that state still finds what runs.
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
    """One search for processes. It has a thread of its own, because the kernel may let it wait at a command line."""

    def __init__(self, guests: Callable[[], Iterable[Guest]]) -> None:
        self.done = threading.Event()
        self.found: list[Guest] = []
        self._guests = guests

    def run(self) -> None:
        """Search; the thread's body."""
        try:
            self.found = list(self._guests())
        except OSError:
            # They are not this host's processes, or we may not see them. Then only the list tells what runs.
            return
        finally:
            self.done.set()


class Discovery:
    """Adds to the inventory what runs and is not in it.

    Arguments:
        inventory: takes the domains.
        budget: counts the look-ups, because each holds a worker of libvirtd like any call.
        pool: its own workers.
        guests: gives the QEMU processes of this host; raises OSError where they cannot be seen.
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
        self._lock = threading.Lock()
        self._is_looking = False
        """Whether a look is under way. It is set under the lock."""
        self._search: _Search | None = None
        """The one that has not come back yet. Only the look that is under way touches it."""

    def __repr__(self) -> str:
        return f"<Discovery looking={self._is_looking}>"

    def look(self, deadline: float) -> None:
        """Look once, until `deadline` at the most. Whoever comes while somebody looks returns at once."""
        with self._lock:
            if self._is_looking:
                return
            self._is_looking = True
        try:
            self._pool.run(self._jobs(self._processes(deadline)), deadline)
        finally:
            self._is_looking = False

    def _processes(self, deadline: float) -> list[Guest]:
        """Search for processes; finds none where the search does not end in time.

        Then its thread goes on waiting, and the first look after its end takes what it found. Only the look that began
        a search waits for it, because one process may keep it waiting for days.
        """
        search = self._search
        patience = 0.0
        if search is None:
            patience = max(0.0, deadline - self._clock())
            search = _Search(self._guests)
            try:
                threads.start("virt2/look", search.run)
            except RuntimeError:
                # This process can have no more threads; the next read tries again.
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
                    # Where a look-up was cut off, libvirtd may still be in it: then there is no second one.
                    if self._budget.charged(guest.uuid) is None:
                        jobs.append(Job(guest.uuid, SERVER, functools.partial(self._find, guest)))
                elif running.stalled and running.what == LOOK_UP:
                    # Its lock is held. At least it can be said that it is there, and that it is stuck.
                    self._inventory.adopt_unseen(guest.uuid, guest.name)
        return jobs

    def _find(self, guest: Guest, connection: Connection, job: Job) -> None:
        try:
            job.doing(LOOK_UP, priority=True)
            line = connection.find(guest.name)
            job.doing("XMLDesc")
            self._inventory.adopt(connection, line)
            job.hear()
        except (DomainGone, DomainBusy, CallFailed, Unsupported):
            # It is just starting or ending; the next look has it, or the list.
            return
