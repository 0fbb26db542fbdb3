"""Finding running domains while libvirt's list hangs: by their processes, each looked up on its own.

A domain whose object lock is held makes every form of list hang, but the look-up of any other is answered at once. So
a collectd that is started in that state still finds what runs.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from virt2.budget import SERVER, Budget, Job
from virt2.errors import CallFailed, DomainBusy, DomainGone, Unsupported
from virt2.inventory import Inventory
from virt2.pool import Pool

LOOK_UP = "look-up"


class Guest(Protocol):
    """A QEMU process (see `virt2.procfs.guests`)."""

    @property
    def name(self) -> str:
        """The domain's name."""

    @property
    def uuid(self) -> str:
        """The domain's UUID."""


class Scout:
    """Adds to the inventory what runs and is not in it.

    Arguments:
        inventory: takes the domains.
        budget: a look-up holds a worker of libvirtd like any call.
        pool: workers of its own.
        guests: the QEMU processes of this host; raises OSError where they cannot be seen.
    """

    def __init__(self, inventory: Inventory, budget: Budget, pool: Pool, guests: Callable[[], Iterable[Guest]]) -> None:
        self._inventory = inventory
        self._budget = budget
        self._pool = pool
        self._guests = guests
        self._looking = threading.Lock()

    def look(self, deadline: float) -> None:
        """Look once, until `deadline` at the most; one at a time, others return at once."""
        if not self._looking.acquire(blocking=False):
            return
        try:
            self._pool.run(self._jobs(), deadline)
        finally:
            self._looking.release()

    def _jobs(self) -> list[Job]:
        try:
            guests = list(self._guests())
        except OSError:
            # Not this host's processes, or not for us to see: then only the list tells what runs.
            return []
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

    def _find(self, guest: Guest, connection: Any, job: Job) -> None:
        try:
            job.doing(LOOK_UP)
            line = connection.find(guest.name)
            job.doing("XMLDesc")
            self._inventory.adopt(connection, line)
            job.hear()
        except (DomainGone, DomainBusy, CallFailed, Unsupported):
            # It is on its way in or out; the next look, or the list, has it.
            return
