"""Slots: who has one, who waits, and what becomes of those whose calls do not come back."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fake_time import BOUND, LOOK
from tests.unit.workers.pool_bench import READ, Bench, Wire, late_jobs, probe
from virt2.errors import Disconnected
from virt2.workers.job import MONITOR, SERVER, Again, Job
from virt2.workers.pool import Pool


class TestNobodyIsKeptBack:
    """What may not run now never keeps back what may."""

    @pytest.mark.parametrize("size", [1, 2])
    def test_a_probe_behind_jobs_without_a_slot_gives_the_slots_back(self, bench, size):
        b = bench(size, daemon=1)
        pool = b.pool(share=size)
        names = [f"s{number}" for number in range(size)]
        b.stuck = set(names)
        b.run(pool, b.jobs(" ".join(names), SERVER))
        b.cut()
        b.stuck.clear()
        assert (b.budget.used, b.budget.room) == (size, 0)
        jobs = [*b.jobs("a b c d", SERVER), *(probe(b, name) for name in names)]
        assert b.run(pool, jobs) == []
        assert b.budget.used == 0

    def test_so_it_does_with_more_charged_than_there_are_slots(self, bench):
        b = bench(1, daemon=1)
        pool = b.pool()
        b.stuck = {"s"}
        b.run(pool, b.jobs("s"))
        b.cut()
        b.run(pool, [probe(b, "s", still=True)])
        b.cut()
        assert b.budget.used == 2
        b.stuck.clear()
        assert b.run(pool, [*b.jobs("a b", SERVER), probe(b, "s")]) == []
        assert b.budget.used == 0

    def test_the_list_has_its_turn_while_a_pool_has_many_jobs(self, bench):
        b = bench(1)
        pool = b.pool()
        order: list[str] = []
        waiting = threading.Event()

        def take_list() -> None:
            waiting.set()
            if b.budget.acquire(BOUND):
                order.append("list")
                b.budget.release()

        lister = threading.Thread(target=take_list)

        def work(connection: Wire, job: Job) -> None:
            job.doing("info")
            if not order:
                lister.start()
                assert waiting.wait(BOUND)
                limit = time.monotonic() + BOUND
                while not b.budget._wanted._waiters:
                    assert time.monotonic() < limit
                    time.sleep(LOOK)
            order.append(job.uuid)

        assert b.run(pool, [Job(str(number), SERVER, work) for number in range(50)]) == []
        lister.join(BOUND)
        assert order[:2] == ["0", "list"]

    def test_two_pools_with_many_jobs_take_turns_at_one_slot(self, bench):
        b = bench(1)
        first, second = b.pool("1"), b.pool("2")
        begun = threading.Event()

        def wait_for_others(connection: Wire, job: Job) -> None:
            job.doing("info")
            begun.set()
            limit = time.monotonic() + BOUND
            while second not in b.budget._refused:
                assert time.monotonic() < limit
                time.sleep(LOOK)

        def run(pool: Pool, jobs: list[Job]) -> threading.Thread:
            pool._wait = threading.Event.wait
            thread = threading.Thread(target=lambda: pool.run(jobs, b.clock() + READ))
            thread.start()
            return thread

        names = [f"{number}" for number in range(20)]
        runs = [run(first, [Job("", SERVER, wait_for_others), *(b.job(f"1-{name}", SERVER) for name in names)])]
        assert begun.wait(BOUND)
        runs.append(run(second, [b.job(f"2-{name}", SERVER) for name in names]))
        for thread in runs:
            thread.join(BOUND)
        turns = [name[0] for name in b.calls]
        assert len(turns) == 40
        assert turns.index("2") < 10
        assert sum(one != two for one, two in zip(turns, turns[1:])) >= 10


def test_the_kind_of_a_job_is_what_it_says_not_which_object_says_it(bench):
    b = bench(3)
    pool = b.pool(share=2)
    kind = "".join(["ser", "ver"])
    b.stuck = {"s", "t"}
    b.run(pool, b.jobs("s t"))
    assert b.run(pool, b.jobs("a b", kind)) == []
    assert pool.monitor_held == 2


def test_however_many_are_stuck_the_budget_is_not_exceeded(bench):
    b = bench(5)
    pool = b.pool(share=4)
    b.stuck = {f"s{number}" for number in range(20)}
    for _ in range(3):
        names = [f"s{number}" for number in range(20)]
        idle = [name for name in names if b.budget.running(name, MONITOR) is None]
        b.run(pool, [*b.jobs(" ".join(idle)), *[b.job(name, SERVER) for name in idle]])
    assert b.most_used == b.budget.used == 5
    assert b.most_monitor <= 4


def test_class_b_leaves_a_slot_to_class_a(bench):
    b = bench(3)
    pool = b.pool(share=10)
    b.stuck = {"s", "t", "u"}
    assert b.run(pool, b.jobs("s t u")) == ["u"]
    b.stuck.discard("u")
    assert b.run(pool, [*b.jobs("a b", SERVER), *b.jobs("c")]) == ["c"]
    assert b.calls == ["s", "t", "a", "b"]


@pytest.mark.parametrize("size", [1, 2])
def test_a_small_budget_sets_nothing_aside(bench, size):
    b = bench(size)
    pool = b.pool(share=10)
    b.stuck = {"s", "t", "u"}
    b.run(pool, b.jobs("s t u"))
    assert len(b.calls) == size
    # Nothing was answered since, so one call more shows what the stuck ones wait for.
    assert b.run(pool, b.jobs("a", SERVER)) == []
    b.budget._answered_at = b.clock()
    assert b.run(pool, b.jobs("a", SERVER)) == ["a"]


def test_a_pool_keeps_to_its_share_and_one_more_once_that_is_stuck(bench):
    b = bench(10)
    pool = b.pool(share=2)
    b.stuck = {"s", "t", "u", "v"}
    b.run(pool, b.jobs("s t u v"))
    assert (pool.monitor_held, b.calls) == (3, ["s", "t", "u"])
    assert b.run(pool, b.jobs("a", SERVER)) == []


class TestLastSlot:
    """With all of its share stuck, a pool has one slot more for those that answer, the one set aside at the last."""

    def test_domains_that_answered_since_the_first_call_got_stuck_may_use_it(self, bench):
        b = bench(3)
        pool = b.pool(share=2)
        b.stuck = {"s", "t"}
        b.run(pool, b.jobs("s t"))
        b.clock.now += 9
        since = b.budget.running("s", MONITOR).since
        unknown, before, after = (
            b.job("unknown"),
            b.job("before", answered=since - 60.0),
            b.job("after", answered=since + 0.5),
        )
        assert b.run(pool, [unknown, before, after]) == ["unknown", "before"]
        assert b.calls == ["s", "t", "after"]

    @pytest.mark.parametrize("stuck", [1, 8])
    def test_as_many_may_be_stuck_as_the_budget_has_less_two_and_nobody_is_starved(self, bench, stuck):
        b = bench(stuck + 2)
        pool = b.pool(share=stuck + 1)
        b.stuck = {f"s{number}" for number in range(stuck)}
        b.run(pool, b.jobs(" ".join(sorted(b.stuck))))
        assert b.run(pool, b.jobs("a b c")) == []

    @pytest.mark.parametrize("late", [False, True], ids=["first", "late"])
    def test_class_a_goes_on_beyond_the_budget_should_one_of_those_get_stuck(self, bench, late):
        b = bench(3)
        pool = b.pool(share=2)
        b.stuck = {"s", "t", "u"}
        b.run(pool, b.jobs("s t"))
        b.run(pool, [b.job("u", answered=b.clock() + 1.0)])
        assert (b.calls, b.budget.used) == (["s", "t", "u"], 3)
        assert b.run(pool, late_jobs(b, "a b") if late else b.jobs("a b", SERVER)) == []
        assert b.calls[-2:] == ["a", "b"]
        assert b.most_used == 4
        b.stuck |= {"x", "y"}
        assert b.run(pool, b.jobs("x y", SERVER)) == ["y"]
        assert b.budget.used == 4

    def test_domains_of_a_pool_without_stuck_calls_may_use_it_as_well(self, bench):
        b = bench(3)
        stuck, well = b.pool("1", share=2), b.pool("2", share=1)
        b.stuck = {"s", "t", "u"}
        b.run(stuck, b.jobs("s t"))
        b.clock.now += 9
        since = b.budget.running("s", MONITOR).since
        jobs = [b.job("unknown"), b.job("before", answered=since - 60.0), b.job("after", answered=since + 0.5)]
        assert b.run(well, jobs) == ["unknown", "before"]
        assert b.run(well, b.jobs("a b", SERVER)) == []
        assert b.run(well, [b.job("u", answered=b.clock()), b.job("v", answered=b.clock())]) == ["v"]
        assert b.budget.used == 3

    @pytest.mark.parametrize(("hangs", "left"), [(True, []), (False, ["a", "b"])])
    def test_class_a_goes_on_beyond_the_budget_where_a_lock_keeps_the_list_too(self, bench, hangs, left):
        b = bench(3)
        pool = b.pool(share=2)
        b.stuck = {"s"}
        b.run(pool, b.jobs("s"))
        b.run(pool, b.jobs("s", SERVER))
        assert b.budget.acquire(0.0, hangs=lambda: hangs)
        assert b.run(pool, b.jobs("a b", SERVER)) == left
        b.stuck |= {"x", "y"}
        assert b.run(pool, b.jobs("x y", SERVER)) == (["y"] if hangs else ["x", "y"])
        assert b.budget.used == 3 + hangs
        b.budget.release()

    def test_a_stuck_call_in_a_small_share_does_not_starve_domains_nobody_knows(self, bench):
        b = bench(10)
        pool = b.pool(share=2)
        b.stuck = {"s"}
        b.run(pool, b.jobs("s"))
        assert b.run(pool, b.jobs("a b c")) == []

    def test_a_share_that_is_all_stuck_is_exceeded_by_two_for_those_known_to_answer(self, bench):
        b = bench(10)
        pool = b.pool(share=2)
        b.stuck = {"s", "t", "u", "v", "w"}
        b.run(pool, b.jobs("s t"))
        known = [b.job(name, answered=b.clock() + 1.0) for name in "uvwx"]
        assert b.run(pool, known) == ["w", "x"]
        assert pool.monitor_held == 4

    def test_those_that_were_not_asked_yet_when_the_share_got_stuck_are_not_starved(self, bench):
        # Half of the domains stop in the middle of a read: those that were to be asked next have not answered in it.
        b = bench(10)
        pool = b.pool(share=2)
        b.stuck = {"s", "t"}
        before = b.clock() - 1.0
        b.run(pool, b.jobs("s t"))
        b.clock.now += 9
        assert b.run(pool, [b.job(name, answered=before) for name in "abc"]) == []

    def test_one_of_those_that_gets_stuck_as_well_takes_nothing_from_those_known_to_answer(self, bench):
        b = bench(10)
        pool = b.pool(share=2)
        b.stuck = {"s", "t", "u", "v"}
        before = b.clock() - 1.0
        b.run(pool, b.jobs("s t"))
        b.clock.now += 9
        known = [b.job(name, answered=b.clock()) for name in "ab"]
        assert b.run(pool, [*(b.job(name, answered=before) for name in "uvc"), *known]) == ["v", "c"]
        assert pool.monitor_held == 3

    def test_those_that_answered_in_the_same_read_before_it_may_too(self, bench):
        # Else a single stuck domain would cost every domain asked before it all of its disks, for good.
        b = bench(3)
        pool = b.pool(share=2)
        b.stuck = {"s"}
        answered: dict[str, float] = {}

        def work(connection: Wire, job: Job) -> None:
            answered["a"] = job.doing("blockStats")
            b.clock.now += 0.01

        def stick(connection: Wire, job: Job) -> None:
            if not answered:
                raise Again(0.01)
            job.doing("blockStats")
            b.stage.hold(lambda: "s" in b.stuck)

        b.run(pool, [Job("s", MONITOR, stick), Job("t", MONITOR, stick), Job("a", MONITOR, work)])
        b.clock.now += 9
        assert answered["a"] < b.budget.running("s", MONITOR).since
        assert b.run(pool, [b.job("a", answered=answered["a"])]) == []

    def test_anybody_may_while_nothing_is_stalled(self, bench):
        b = bench(10)
        assert b.run(b.pool(share=2), b.jobs("a b c d")) == []

    def test_anybody_may_once_the_stuck_call_came_back(self, bench):
        b = bench(3)
        pool = b.pool(share=2)
        b.stuck = {"s", "t"}
        b.run(pool, b.jobs("s t"))
        assert b.run(pool, b.jobs("a")) == ["a"]
        b.release()
        assert b.run(pool, b.jobs("a s")) == []

    def test_a_call_that_was_cut_off_counts_like_one_in_flight(self, bench):
        b = bench(3, daemon=1)
        pool = b.pool(share=2)
        b.stuck = {"s", "t", "u"}
        b.run(pool, b.jobs("s t"))
        b.cut()
        assert b.run(pool, [b.job("u"), b.job("a", answered=b.clock())]) == ["u"]
        assert b.calls == ["s", "t", "a"]

    def test_other_slots_of_the_share_are_for_anybody(self, bench):
        b = bench(10)
        pool = b.pool(share=3)
        b.stuck = {"s"}
        b.run(pool, b.jobs("s"))
        assert b.run(pool, b.jobs("a b c")) == []


class TestCharges:
    """A call cut off with its connection leaves its slot charged, for libvirtd may still be in it."""

    @pytest.fixture
    def cut(self, bench) -> tuple[Bench, Pool]:
        b = bench(4, daemon=1)
        pool = b.pool(share=3)
        b.stuck = {"s"}
        b.run(pool, b.jobs("s a"))
        b.cut()
        return b, pool

    def test_the_slot_stays_charged(self, cut):
        b, pool = cut
        charge = b.budget.charged("s")
        assert (charge.what, charge.daemon) == ("blockStats", 1)
        assert b.budget.running("s", MONITOR) is None
        assert (b.budget.used, pool.monitor_held, pool.busy) == (1, 1, 0)
        assert b.budget.charged("a") is None

    def test_it_is_given_back_when_libvirtd_is_known_to_be_done(self, cut):
        b, pool = cut
        b.budget.discharge("a")
        assert b.budget.used == 1
        b.budget.discharge("s")
        assert (b.budget.used, pool.monitor_held, b.budget.charged("s")) == (0, 0, None)

    def test_it_is_kept_while_the_domain_and_libvirtd_are_the_same(self, cut):
        b, _ = cut
        b.budget.review(["s", "a"])
        assert b.budget.used == 1

    def test_it_is_given_back_with_the_domain(self, cut):
        b, pool = cut
        b.budget.review(["a"])
        assert (b.budget.used, pool.monitor_held) == (0, 0)

    def test_it_is_given_back_when_libvirtd_was_restarted(self, cut):
        b, pool = cut
        b.daemon = 2
        b.budget.review(["s", "a"])
        assert (b.budget.used, pool.monitor_held) == (0, 0)

    def test_it_is_tied_to_the_libvirtd_its_connection_went_to(self, bench):
        b = bench(4, daemon=1)
        pool = b.pool(share=3)
        b.stuck = {"s"}
        b.run(pool, b.jobs("s"))
        # The cut is noticed only when the next libvirtd is there.
        b.daemon = 2
        b.cut()
        b.budget.review(["s"])
        assert b.budget.used == 0

    def test_a_second_cut_for_the_same_domain_is_not_charged_twice(self, cut):
        b, pool = cut
        b.run(pool, b.jobs("s"))
        b.cut()
        assert (b.budget.used, pool.monitor_held) == (1, 1)
        b.budget.discharge("s")
        assert (b.budget.used, pool.monitor_held) == (0, 0)

    def test_the_oldest_call_is_the_one_told(self, cut):
        b, pool = cut
        b.run(pool, b.jobs("s", SERVER))
        b.cut()
        assert b.budget.used == 2
        assert b.budget.charged("s") is b.budget.charges["s", MONITOR]
        b.budget.discharge("s")
        assert (b.budget.used, pool.monitor_held) == (0, 0)

    def test_a_call_that_fails_with_its_connection_is_charged(self, bench):
        b = bench(4)

        def lose(connection: Wire, job: Job) -> None:
            job.doing("info")
            raise Disconnected("reset")

        assert b.run(b.pool(), [Job("a", SERVER, lose)]) == []
        assert b.budget.used == 1

    def test_a_call_that_was_never_made_is_not_charged(self, bench):
        b = bench(4)

        def lose(connection: Wire, job: Job) -> None:
            raise Disconnected("reset")

        b.run(b.pool(), [Job("a", SERVER, lose)])
        assert b.budget.used == 0

    def test_a_probe_may_exceed_the_budget_by_one(self, bench):
        b = bench(1, daemon=1)
        pool = b.pool(share=1)
        b.stuck = {"s"}
        b.run(pool, b.jobs("s"))
        b.cut()
        assert b.run(pool, b.jobs("s", SERVER)) == ["s"]
        b.stuck = {"p", "q"}
        left = b.run(pool, [b.job("p", SERVER, probe=True), b.job("q", SERVER, probe=True)])
        assert (left, b.calls, b.budget.used) == (["q"], ["s", "p"], 2)


def test_a_smaller_budget_waits_until_calls_come_back(bench):
    b = bench(4)
    pool = b.pool(share=3)
    b.stuck = {"s", "t", "u"}
    b.run(pool, b.jobs("s t u"))
    b.budget.resize(2)
    assert b.budget.used == 3
    assert b.run(pool, b.jobs("a", SERVER)) == ["a"]
    b.release("s", "t")
    assert b.run(pool, b.jobs("a", SERVER)) == []


def test_a_larger_budget_is_used_by_a_read_under_way(bench):
    b = bench(1)
    b.stuck = {"s"}
    grown = []

    def grow_and_wait(event: threading.Event, seconds: float) -> bool:
        b.clock.settle()
        if not grown:
            grown.append(b.calls.copy())
            b.budget.resize(2)
        return b.clock.wait(event, seconds)

    pool = b.pool(share=2, wait=grow_and_wait)
    b.run(pool, [*b.jobs("s"), *b.jobs("a", SERVER)][::1])
    assert sorted(b.calls) == ["a", "s"]


def test_two_pools_share_one_budget_and_take_turns(bench):
    b = bench(1)
    first = b.pool("1")
    b.stuck = {"s"}
    b.run(first, b.jobs("s"))
    second = b.pool("2", wait=b.release_and_wait)
    assert b.run(second, b.jobs("a b")) == []
    assert b.calls == ["s", "a", "b"]
    assert b.most_used == 1


def test_a_pool_that_is_stuck_through_leaves_others_their_share(bench):
    b = bench(5)
    first, second = b.pool("1", share=2), b.pool("2", share=2)
    b.stuck = {"s", "t", "u"}
    b.run(first, b.jobs("s t u"))
    assert b.run(second, [*b.jobs("a b c"), *b.jobs("a b c", SERVER)]) == []


def test_a_slot_for_a_call_that_belongs_to_no_pool(bench):
    b = bench(1)
    assert b.budget.acquire(0)
    assert not b.budget.acquire(0)
    assert b.run(b.pool(), b.jobs("a")) == ["a"]
    b.budget.release()
    assert b.budget.acquire(0)
    b.budget.release()
    assert b.budget.used == 0


def test_who_waits_for_such_a_slot_has_it_as_soon_as_the_budget_grows(bench):
    b = bench(1)
    assert b.budget.acquire(0)
    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(b.budget.acquire(BOUND)))
    thread.start()
    limit = time.monotonic() + BOUND
    while not b.budget._wanted._waiters:
        assert time.monotonic() < limit
        thread.join(LOOK)
    began = time.monotonic()
    b.budget.resize(2)
    thread.join(BOUND)
    assert got == [True]
    assert time.monotonic() - began < BOUND


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.integers(0, 2), st.sets(st.integers(0, 9), max_size=8)),
        st.tuples(st.just("stick"), st.integers(0, 9)),
        st.tuples(st.just("release"), st.integers(0, 9)),
        st.tuples(st.just("cut")),
        st.tuples(st.just("resize"), st.integers(1, 8)),
        st.tuples(st.just("restart")),
    ),
    max_size=12,
)


@given(st.integers(1, 8), STEPS)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_no_slot_is_lost_and_none_is_used_twice(size, steps):
    b = Bench(size, daemon=0)
    pools = [b.pool(str(number), share=number + 1) for number in range(3)]
    try:
        largest = size
        for step, *arguments in steps:
            if step == "run":
                pool, numbers = pools[arguments[0]], arguments[1]
                largest = max(b.budget.size, b.budget.used)
                b.most_used = 0
                b.run(pool, [b.job(str(number), kind) for number in numbers for kind in (SERVER, MONITOR)], 0.2)
                assert b.most_used <= largest
            elif step == "stick":
                b.stuck.add(str(arguments[0]))
            elif step == "release":
                b.release(str(arguments[0]))
            elif step == "cut":
                b.cut()
            elif step == "resize":
                b.budget.resize(arguments[0])
            else:
                b.daemon = int(str(b.daemon)) + 1
                b.cut()
                b.budget.review(map(str, range(10)))
                assert not b.budget.charges
            assert b.budget.used == len(b.inside) + len(b.budget.charges)
            assert not b.violations
        b.release()
        b.budget.review([])
        assert b.budget.used == 0
        assert [pool.monitor_held for pool in pools] == [0, 0, 0]
    finally:
        b.end()
        b.clock.settle()
