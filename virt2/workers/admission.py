"""Which of a pool's queued jobs may run now: one decision, whose cases are listed in `decide`.

Nothing here waits, and nothing is changed. Whoever calls holds the budget's lock.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import NamedTuple

from virt2.workers.budget import Budget
from virt2.workers.job import MONITOR, SERVER, STALLED_AFTER, Job


class Verdict(enum.Enum):
    """What becomes of a queued job when a worker looks at it."""

    RUN = "run"
    DETOUR = "run without touching the storage"
    TOO_EARLY = "it wished to be run later"
    NO_SLOT = "there is no slot for it"
    OCCUPIED = "it waits for another call of ours"


class Slots(NamedTuple):
    """The slots that one pool may give to jobs of one queue now: to those of class A, or to all others."""

    for_all: int
    """How many slots there are for any job; 0 or less where there are none."""
    for_preferred: int
    """How many slots there are for a job that goes before others: in class A a probe, else a job for a domain that goes
    on answering while others are stuck."""
    first_stuck: float | None = None
    """When the read began in which the first of the pool's stuck calls was made. None where no call is stuck. A domain
    that answered then or later goes on answering."""
    wider: Slots | None = None
    """The slots of a job that needs a monitor alone, where it may have others than these."""

    @property
    def exhausted(self) -> bool:
        """Whether no job may have a slot."""
        return self.for_all <= 0 and self.for_preferred <= 0 and (self.wider is None or self.wider.exhausted)


def slots_for_server(budget: Budget) -> Slots:
    """Class A takes any slot.

    `Budget.has_room_for_server` says what goes beyond the budget.
    """
    if budget.has_room_for_server():
        return Slots(1, 1)
    return Slots(0, int(budget.has_room_for_server(probe=True)))


def slots_for_others(budget: Budget, of_share: int, stuck_reads: Collection[float]) -> Slots:
    """All but class A keeps to the pool's share, and leaves the slot that is set aside.

    With stuck calls in the pool, domains that go on answering may have one more: beyond the share and, where nothing
    else is left, the one that is set aside. A job that needs a monitor alone may have one more than that, so that
    domains behind the stuck ones in the queue have their turn, and take nothing from those that go on answering. What
    waits for a storage or an agent may not, because the share says how much of that may be stuck.

    A pool without stuck calls keeps to its share, and may use the slot that is set aside as well where stuck calls of
    other pools have left it no other.

    Arguments:
        budget: of all pools.
        of_share: how many slots of the pool's share are free; negative where the share was made smaller.
        stuck_reads: when the reads began in which calls of this pool were made that are stuck.
    """
    room = budget.room
    for_all = min(of_share, room - budget.set_aside)
    if not stuck_reads:
        for_those_that_answer = min(of_share, room)
        elsewhere = budget.first_stuck() if for_all <= 0 < for_those_that_answer else None
        return Slots(for_all, for_all if elsewhere is None else for_those_that_answer, elsewhere)
    first_stuck = min(stuck_reads)
    wider = Slots(min(of_share + 1, room - budget.set_aside), min(of_share + 2, room), first_stuck)
    return Slots(for_all, min(of_share + 1, room), first_stuck, wider)


def decide(job: Job, slots: Slots, budget: Budget, now: float) -> Verdict:
    """Decide about one job, by the first of these cases that holds."""
    # It wished to be run again later.
    if job.not_before > now:
        return Verdict.TOO_EARLY
    # All slots that it may have are taken.
    if slots.wider is not None and job.kind == MONITOR and (not job.storage or job.detours):
        slots = slots.wider
    if slots.for_all <= 0 and (slots.for_preferred <= 0 or not _is_preferred(job, slots)):
        return Verdict.NO_SLOT
    # A call of its kind is out for its domain, which changed readers: it is still in a call of its former pool.
    if (job.uuid, job.kind) in budget.in_flight:
        return Verdict.OCCUPIED
    # No other call touches its storage, or it touches none.
    if not job.storage or not budget.touched(job.storage):
        return Verdict.RUN
    # Another call touches its storage, and it has to touch it too.
    if not job.detours:
        return Verdict.OCCUPIED
    # Another call is stuck on its storage, and it can do without touching it.
    if not job.storage.isdisjoint(budget.stuck_storage(now - STALLED_AFTER)):
        return Verdict.DETOUR
    # The storage has answered in this read already, so its calls need not wait for each other.
    if job.round is not None and job.storage <= job.round.proven:
        return Verdict.RUN
    # The call that touches its storage now is the first of this read: it finds out alone whether the storage answers.
    return Verdict.OCCUPIED


def _is_preferred(job: Job, slots: Slots) -> bool:
    """Whether a job goes before others of its queue where slots are short (see `Slots.for_preferred`)."""
    if job.kind == SERVER:
        return job.probe
    return job.answered is not None and slots.first_stuck is not None and job.answered >= slots.first_stuck
