"""Which of a pool's queued jobs may run now: one decision, whose cases are listed in `decide`.

Nothing here waits, and nothing is changed. Whoever calls holds the budget's lock.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import NamedTuple

from virt2.workers.budget import Budget
from virt2.workers.job import SERVER, STALLED_AFTER, Job


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


def slots_for_server(budget: Budget) -> Slots:
    """Class A takes any slot.

    `Budget.has_room_for_server` says what goes beyond the budget.
    """
    if budget.has_room_for_server():
        return Slots(1, 1)
    return Slots(0, int(budget.has_room_for_server(probe=True)))


def slots_for_others(budget: Budget, of_share: int, stuck_reads: Collection[float], strict: bool) -> Slots:
    """All but class A keeps to the pool's share, and leaves the slot that is set aside.

    With stuck calls in the pool, one slot beyond the share is for the other domains, unless the pool is strict. Without
    it, those behind the stuck ones in the queue would never have a turn. Domains that go on answering may have one slot
    more than that. If nothing else is left, they may have the one that is set aside, which none of the others can take
    from them.

    Arguments:
        budget: of all pools.
        of_share: how many slots of the pool's share are free; negative where the share was made smaller.
        stuck_reads: when the reads began in which calls of this pool were made that are stuck.
        strict: whether the share is kept to by domains that do not go on answering, even with stuck calls.
    """
    room = budget.room
    for_all = room - budget.set_aside
    if not stuck_reads:
        for_all = min(of_share, for_all)
        return Slots(for_all, for_all)
    beyond = 0 if strict else 1
    return Slots(min(of_share + beyond, for_all), min(of_share + beyond + 1, room), min(stuck_reads))


def decide(job: Job, slots: Slots, budget: Budget, now: float) -> Verdict:
    """Decide about one job, by the first of these cases that holds."""
    # It wished to be run again later.
    if job.not_before > now:
        return Verdict.TOO_EARLY
    # All slots that it may have are taken.
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
