"""Each case of the one decision: whether a queued job may run now."""

from __future__ import annotations

import threading

import pytest

from virt2.workers.admission import Slots, Verdict, decide, slots_for_others, slots_for_server
from virt2.workers.budget import Budget
from virt2.workers.job import MONITOR, NO_STORAGE, SERVER, STALLED_AFTER, Job, Round, StorageUse

NOW = 1000.0
FREE, NONE = Slots(1, 1), Slots(0, 0)


class Holder:
    """A pool, as far as the budget knows it."""

    def __init__(self, budget: Budget) -> None:
        self.monitor_held = 0
        self.wanted = threading.Condition(budget.lock)


def job(uuid: str = "a", kind: str = MONITOR, *, since: float = NOW, **more) -> Job:
    made = Job(uuid, kind, lambda connection, job: None, **more)
    made.clock, made.since = lambda: NOW, since
    return made


def budget(*running: Job, size: int = 4) -> Budget:
    """A budget whose slots these jobs hold."""
    made = Budget(size)
    for each in running:
        made.take(Holder(made), each)
    return made


NFS = StorageUse(frozenset({"nfs"}))
AVOIDS_NFS = NFS._replace(detours=True)
STUCK = NOW - STALLED_AFTER


@pytest.mark.parametrize(
    ("running", "storage", "proven", "verdict"),
    [
        pytest.param([], NO_STORAGE, False, Verdict.RUN, id="nothing is in its way"),
        pytest.param([job("a")], NO_STORAGE, False, Verdict.OCCUPIED, id="a call for its domain"),
        pytest.param([job("b")], NO_STORAGE, False, Verdict.RUN, id="a call for another domain"),
        pytest.param([job("a", SERVER)], NO_STORAGE, False, Verdict.RUN, id="a call of another kind for its domain"),
        pytest.param([job("b", storage=NFS)], NFS, False, Verdict.OCCUPIED, id="a call on its storage"),
        pytest.param([job("b", storage=NFS)], NFS, True, Verdict.OCCUPIED, id="a call on its storage, which answered"),
        pytest.param([job("b", storage=NFS)], NO_STORAGE, False, Verdict.RUN, id="a call on storage it does not touch"),
        pytest.param([job("b", storage=NFS)], AVOIDS_NFS, False, Verdict.OCCUPIED, id="the first call of this read"),
        pytest.param([job("b", storage=NFS)], AVOIDS_NFS, True, Verdict.RUN, id="storage that answered in this read"),
        pytest.param(
            [job("b", storage=NFS, since=STUCK)], AVOIDS_NFS, True, Verdict.DETOUR, id="a stuck call on its storage"
        ),
        pytest.param(
            [job("b", storage=NFS, since=STUCK)], NFS, False, Verdict.OCCUPIED, id="a stuck call, and no way round"
        ),
    ],
)
def test_what_other_calls_mean_to_a_job_that_has_a_slot(running, storage, proven, verdict):
    queued = job("a", storage=storage)
    queued.round = Round(1, NOW)
    if proven:
        queued.round.proven = frozenset({"nfs"})
    assert decide(queued, FREE, budget(*running), NOW) is verdict


def test_a_job_that_wished_to_run_later_waits_before_anything_else_is_looked_at():
    queued = job()
    queued.not_before = NOW + 0.1
    assert decide(queued, NONE, budget(job()), NOW) is Verdict.TOO_EARLY
    assert decide(queued, FREE, budget(), NOW + 0.1) is Verdict.RUN


@pytest.mark.parametrize(
    ("queued", "slots", "verdict"),
    [
        (job(), NONE, Verdict.NO_SLOT),
        (job(kind=SERVER), NONE, Verdict.NO_SLOT),
        (job(kind=SERVER), Slots(0, 1), Verdict.NO_SLOT),
        (job(kind=SERVER, probe=True), Slots(0, 1), Verdict.RUN),
        (job(answered=None), Slots(0, 1, 500.0), Verdict.NO_SLOT),
        (job(answered=499.0), Slots(0, 1, 500.0), Verdict.NO_SLOT),
        (job(answered=500.0), Slots(0, 1, 500.0), Verdict.RUN),
        (job(answered=500.0), Slots(0, 0, 500.0), Verdict.NO_SLOT),
    ],
)
def test_who_has_a_slot_where_they_are_short(queued, slots, verdict):
    assert decide(queued, slots, budget(), NOW) is verdict


def test_class_a_takes_any_slot_and_a_probe_one_beyond():
    assert slots_for_server(budget(size=1)) == (1, 1, None)
    assert slots_for_server(budget(job(), size=1)) == (0, 1, None)
    assert slots_for_server(budget(job(kind=SERVER, probe=True), size=1)) == (0, 0, None)


@pytest.mark.parametrize(
    ("held", "of_share", "stuck", "strict", "slots"),
    [
        (0, 2, [], False, (2, 2, None)),
        (2, 2, [], False, (1, 1, None)),
        (3, 0, [], False, (0, 0, None)),
        (2, 0, [], False, (0, 0, None)),
        (2, 0, [7.0, 5.0], False, (1, 2, 5.0)),
        (2, 0, [7.0, 5.0], True, (0, 1, 5.0)),
        (3, 0, [5.0], False, (0, 1, 5.0)),
        (4, 0, [5.0], False, (-1, 0, 5.0)),
    ],
)
def test_all_else_keeps_to_its_share_and_leaves_one_slot(held, of_share, stuck, strict, slots):
    running = [job(str(number)) for number in range(held)]
    assert slots_for_others(budget(*running), of_share, stuck, strict) == slots
