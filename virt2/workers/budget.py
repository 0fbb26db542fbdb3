"""The budget of libvirtd's workers: which calls of ours hold a worker, over all readers.

Guarantees:

* A job holds a *slot* from before its first call until its last call came back. A call that never returns holds its
  slot for ever, because libvirtd's worker is stuck in it too. Another thread of ours would only take one more worker.
* A call that was cut off by a lost connection leaves its slot *charged*, because libvirtd's worker may still be in it.
* At most one job of each kind runs for one domain.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from virt2.workers.connects import Connects
from virt2.workers.job import AGENT, MONITOR, SERVER, Job


class Doubt(enum.Enum):
    """Whether libvirtd may have no worker for us: calls to monitors do not come back, and nothing else has since."""

    NONE = "there is no doubt"
    UNASKED = "a call that needs libvirtd alone would show what they wait for"
    ASKED = "such a call is being made"


class Holder(Protocol):
    """What the budget needs to know about a pool."""

    monitor_held: int
    """How many slots its calls hold that are not class A, charged ones included. Under the budget's lock."""
    wanted: threading.Condition
    """Notified when a slot may be free again. It uses the budget's lock."""


class Charge:
    """A call that was cut off while libvirtd may still be working on it."""

    __slots__ = ("began", "daemon", "pool", "since", "storage", "what")

    def __init__(self, pool: Holder, job: Job, daemon: object, began: float) -> None:
        self.pool = pool
        self.what = job.what
        self.since = job.since
        self.storage = job.storage
        self.daemon = daemon
        self.began = began
        """When the read began in which the call was made."""

    def __repr__(self) -> str:
        return f"<Charge {self.what} pool={self.pool!r}>"


class Budget:
    """How many of libvirtd's workers may be held at a time, and which calls hold them.

    Arguments:
        size: the number of slots.
        daemon: gives the identity of the libvirtd that runs now, None when unknown. It changes when libvirtd is
            restarted.
    """

    def __init__(self, size: int, daemon: Callable[[], object] = lambda: None) -> None:
        self.lock = threading.Lock()
        self.in_flight: dict[tuple[str, str], Job] = {}
        """The jobs that hold a slot, by domain and kind. It is read without the lock, and written under it."""
        self.charges: dict[tuple[str, str], Charge] = {}
        self.connects = Connects()
        """Connections that are being made. They hold no slot."""
        self._others = 0
        self._hangs: Callable[[], bool] = lambda: False
        """Tells whether the list of domains hangs in the slot that it has."""
        self._awaited = 0
        """How many callers wait for a slot that belongs to no pool."""
        self._answered_at = 0.0
        self._queue_seen: float | None = None
        self._daemon = daemon
        self._pools: list[Holder] = []
        self._wanted = threading.Condition(self.lock)
        self._refused: set[Holder] = set()
        """Pools that found no slot, and wait to be told when there may be one."""
        self._set_size(size)

    def __repr__(self) -> str:
        return f"<Budget size={self._size} used={self.used} charged={len(self.charges)}>"

    @property
    def size(self) -> int:
        """The number of slots."""
        return self._size

    @property
    def used(self) -> int:
        """How many slots are held by calls in flight, or are charged for calls that were cut off."""
        return len(self.in_flight) + len(self.charges) + self._others

    @property
    def answered_at(self) -> float:
        """When libvirtd last answered a call that is not a priority call, by the pools' clock."""
        return max([self._answered_at, *(job.heard for job in tuple(self.in_flight.values()))])

    def see_queue(self, when: float | None) -> None:
        """Note when libvirtd had no free worker and calls waited (the pools' clock); None if it has free workers."""
        self._queue_seen = when

    @property
    def calls_wait(self) -> bool:
        """Whether calls of ours may wait for a worker, because libvirtd had a queue after it last answered us.

        Then a call that does not come back tells nothing about its domain, because the call may not have begun.
        """
        seen = self._queue_seen
        return seen is not None and seen > self.answered_at

    @property
    def room(self) -> int:
        """How many slots are free for pools; 0 or less where there are none.

        A slot that the list of domains waits for is not free. Otherwise pools with many jobs would take it again and
        again for as long as a read takes.
        """
        return self._size - self.used - self._awaited

    def has_room_for_server(self, probe: bool = False) -> bool:
        """Whether a class A call may be made now. Caller holds the lock.

        Two calls go beyond the budget. One is a probe, one at a time: if all slots are charged, only a probe can find
        out that they are free again. The other is any class A call where all slots are stuck, the one that is set aside
        as well, in class B or by a lock that keeps the list: what libvirtd itself knows of the others is reported even
        then. With no slot set aside this is so only where it is not known whether the calls that are stuck wait for
        monitors or for libvirtd's workers.
        """
        if self._size - self.used - self._awaited > 0:
            return True
        if probe and not any(job.probe for job in self.in_flight.values()):
            return True
        if self.used != self._size or not (self._size > 2 or self.doubt() is Doubt.UNASKED):
            return False
        calls = self.in_flight.values()
        if self._others:
            return self._hangs() and all(job.stalled for job in calls)
        return all(job.kind != SERVER and job.stalled for job in calls)

    def resize(self, size: int) -> None:
        """Set the number of slots. If more are held now, no slot is free until enough calls have come back."""
        with self.lock:
            self._set_size(size)
            self._wake()

    def _set_size(self, size: int) -> None:
        self._size = size
        self.set_aside = 1 if size > 2 else 0
        """How many slots are not for class B calls. With a budget over 2, one slot is for class A, and for the monitors
        of domains that go on answering while others are stuck."""

    def acquire(self, timeout: float, hangs: Callable[[], bool] = lambda: False) -> bool:
        """Take a slot for the list of domains, which belongs to no pool. Returns False if none was free in time.

        Arguments:
            timeout: seconds.
            hangs: tells from then on whether what has the slot hangs. It must not wait.
        """
        with self.lock:
            self._awaited += 1
            try:
                free = self._wanted.wait_for(self._is_free, timeout)
            finally:
                self._awaited -= 1
            if free:
                self._others += 1
                self._hangs = hangs
            else:
                self._wake()
            return free

    def release(self) -> None:
        """Give back a slot taken with `acquire`."""
        with self.lock:
            self._others -= 1
            self._wake()

    def running(self, uuid: str, kind: str) -> Job | None:
        """Give the job of that kind that is in a call for the domain now; None if there is none."""
        return self.in_flight.get((uuid, kind))

    def touched(self, storage: frozenset[str]) -> bool:
        """Whether a class C call is in flight on any of these storage domains, or was cut off there."""
        return any(not storage.isdisjoint(call.storage) for call in self._calls())

    def first_stuck(self) -> float | None:
        """When the read began in which the first of all stuck calls was made; None if none is stuck."""
        began = [job.read_began for job in self.in_flight.values() if job.stalled]
        return min([*began, *(charge.began for charge in self.charges.values())], default=None)

    def stuck_storage(self, since: float) -> frozenset[str]:
        """Give the storage domains on which a class C call has been in flight since then or longer."""
        return frozenset().union(*(call.storage for call in self._calls() if call.since <= since))

    def _calls(self) -> tuple[Job | Charge, ...]:
        return (*tuple(self.in_flight.values()), *tuple(self.charges.values()))

    def stalled_since(self, monitors: bool = False) -> float | None:
        """When the oldest call was made that needs libvirtd alone and should have come back; None if there is none.

        Arguments:
            monitors: whether calls that need a monitor count too.
        """
        jobs = [job for job in tuple(self.in_flight.values()) if job.server_call or (monitors and _is_in_monitor(job))]
        return min((job.since for job in jobs if job.stalled), default=None)

    def doubt(self) -> Doubt:
        """Whether libvirtd may have no worker for us, and whether that is being found out."""
        jobs = tuple(self.in_flight.values())
        calls = [job.since for job in jobs if _is_in_monitor(job) and job.stalled]
        if not calls or self.answered_at >= max(calls):
            return Doubt.NONE
        return Doubt.ASKED if any(job.server_call for job in jobs) else Doubt.UNASKED

    def charged(self, uuid: str) -> Charge | None:
        """Give the oldest call of that domain that was cut off and may still occupy libvirtd and the monitor."""
        if not self.charges:
            return None
        with self.lock:
            found = [self.charges[key] for key in _of_domain(self.charges, uuid)]
        return min(found, key=lambda charge: charge.since, default=None)

    def discharge(self, uuid: str) -> None:
        """Drop the charges of a domain whose monitor nobody uses, because libvirtd has finished the calls."""
        with self.lock:
            for key in _of_domain(self.charges, uuid):
                self._drop(key)
            self._wake()

    def expire(self, kind: str, since: float) -> None:
        """Drop the charges of one kind for calls made before then, because libvirtd has given up those calls."""
        with self.lock:
            for key in [key for key, charge in self.charges.items() if key[1] == kind and charge.since < since]:
                self._drop(key)
            self._wake()

    def review(self, active: Iterable[str]) -> None:
        """Drop the charges of domains that are gone, and of a libvirtd that is gone."""
        alive = set(active)
        daemon = self._daemon()
        with self.lock:
            for key, charge in list(self.charges.items()):
                if key[0] not in alive or charge.daemon != daemon:
                    self._drop(key)
            self._wake()

    def identity(self) -> object:
        """Give the identity of the libvirtd that runs now. A charge belongs to one libvirtd."""
        return self._daemon()

    def register(self, pool: Holder) -> None:
        """Have a pool told when a slot may be free again."""
        with self.lock:
            self._pools.append(pool)

    def take(self, pool: Holder, job: Job) -> None:
        """Give a job its slot. Caller holds the lock, and has decided that the job may run."""
        self.in_flight[job.uuid, job.kind] = job
        if job.kind != SERVER:
            pool.monitor_held += 1

    def give_back(self, pool: Holder, job: Job, charge: Charge | None) -> bool:
        """Take back a job's slot, unless it stays charged. Returns whether another pool was refused a slot meanwhile.

        Caller holds the lock.
        """
        key = (job.uuid, job.kind)
        del self.in_flight[key]
        self._answered_at = max(self._answered_at, job.heard)
        if charge is not None and key not in self.charges:
            self.charges[key] = charge
        elif job.kind != SERVER:
            pool.monitor_held -= 1
        others_wait = bool(self._refused - {pool})
        self._wake()
        return others_wait

    def refuse(self, pool: Holder) -> None:
        """Note that a pool found no slot, and must be told when there may be one. Caller holds the lock."""
        self._refused.add(pool)

    def _is_free(self) -> bool:
        """Whether the list of domains may have a slot now. Caller holds the lock.

        If everything that holds a slot is stuck, one such call goes beyond the budget. The list of domains is a
        priority call, which libvirtd answers even if it has no worker left. It shows whether workers are lacking, or
        whether the lock of a domain is held.
        """
        if self.used < self._size:
            return True
        return self.used > 0 and not self._others and all(job.stalled for job in self.in_flight.values())

    def _drop(self, key: tuple[str, str]) -> None:
        charge = self.charges.pop(key)
        if key[1] != SERVER:
            charge.pool.monitor_held -= 1

    def _wake(self) -> None:
        self._wanted.notify_all()
        if self._refused:
            self._refused.clear()
            for pool in self._pools:
                pool.wanted.notify_all()


def _is_in_monitor(job: Job) -> bool:
    """Whether a job is in a call that needs a monitor."""
    return job.kind == MONITOR and not job.priority and not job.server_call


def _of_domain(charges: Iterable[tuple[str, str]], uuid: str) -> list[tuple[str, str]]:
    """Give the keys of a domain's charges, without its agent's, because control info tells nothing about those."""
    return [key for key in charges if key[0] == uuid and key[1] != AGENT]
