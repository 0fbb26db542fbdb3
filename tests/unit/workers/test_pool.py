"""Workers, slots and the budget: what the module's docstring guarantees, looked at from inside the calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.fakes import BOUND, LOOK, Clock, Stage
from virt2 import threads
from virt2.errors import Disconnected
from virt2.workers import pool as pool_module
from virt2.workers.budget import Budget
from virt2.workers.connects import Connects
from virt2.workers.job import MONITOR, SERVER, Again, Job, StorageUse
from virt2.workers.pool import BUSY_WORKERS, STALLED_AFTER, TICK, Pool, Runtime

READ = 1.0
"""Seconds a read may take."""


class Wire:
    """A connection."""

    def __init__(self) -> None:
        self.alive = True
        self.closed = threading.Event()

    def close(self) -> None:
        self.alive = False
        self.closed.set()


class Bench:
    """Pools over one budget, and jobs whose calls can be stuck; no real time passes."""

    def __init__(self, size: int, daemon: object = None) -> None:
        self.stage = Stage()
        self.clock = Clock(self.stage)
        self.daemon = daemon
        self.budget = Budget(size, lambda: self.daemon)
        self.pools: list[Pool] = []
        self.wires: list[Wire] = []
        self.stuck: set[str] = set()
        self.calls: list[str] = []
        """Domains, in the order of the calls made for them."""
        self.violations: list[str] = []
        self.most_used = 0
        self.most_monitor = 0
        self._lock = threading.Lock()
        self.inside: list[tuple[str, str]] = []

    def pool(
        self, name: str = "0", share: int = 1, wait: Callable[[threading.Event, float], bool] | None = None
    ) -> Pool:
        pool = Pool(name, self.budget, self.connect, share=share, runtime=Runtime(self.clock, wait or self.clock.wait))
        self.clock.watch(self.budget, pool)
        self.pools.append(pool)
        return pool

    def connect(self) -> Wire:
        self.stage.hold(lambda: "connect" in self.stuck)
        wire = Wire()
        self.wires.append(wire)
        return wire

    def job(
        self,
        uuid: str,
        kind: str = MONITOR,
        *,
        answered: float | None = None,
        probe: bool = False,
        again: float = 0.0,
        storage: Iterable[str] = (),
    ) -> Job:
        wishes = [again] if again else []

        def work(connection: Wire, job: Job) -> None:
            job.doing("blockStats")
            with self._lock:
                self.calls.append(uuid)
                self.inside.append((uuid, kind))
                self._look()
            try:
                self.stage.hold(lambda: uuid in self.stuck and connection.alive)
            finally:
                with self._lock:
                    self.inside.remove((uuid, kind))
            if not connection.alive:
                raise Disconnected("connection reset")
            if wishes:
                raise Again(wishes.pop())

        return Job(uuid, kind, work, answered=answered, probe=probe, storage=StorageUse(frozenset(storage)))

    def jobs(self, uuids: str, kind: str = MONITOR) -> list[Job]:
        return [self.job(uuid, kind) for uuid in uuids.split()]

    def _look(self) -> None:
        """From inside a call: is every promise kept at this moment?"""
        self.most_used = max(self.most_used, self.budget.used)
        monitor = sum(kind == MONITOR for _, kind in self.inside)
        self.most_monitor = max(self.most_monitor, monitor)
        if len(self.inside) > self.budget.used:
            self.violations.append(f"{len(self.inside)} calls with {self.budget.used} slots")
        if len(set(self.inside)) != len(self.inside):
            self.violations.append(f"two calls at once for a domain: {self.inside}")

    def run(self, pool: Pool, jobs: list[Job], seconds: float = READ) -> list[str]:
        """Run jobs; returns the domains of those that were not begun."""
        _, left = pool.run(jobs, self.clock() + seconds)
        return [job.uuid for job in left]

    def release(self, *uuids: str) -> None:
        """Let stuck calls answer; all of them when none is named."""
        self.stuck -= set(uuids or self.stuck)
        self.stage.review()
        self.clock.settle()

    def release_and_wait(self, event: threading.Event, seconds: float) -> bool:
        """To be a pool's ``wait``: lets stuck calls answer when its read has come to a halt."""
        self.clock.settle(event)
        self.stuck.clear()
        self.stage.review()
        return self.clock.wait(event, seconds)

    def cut(self) -> None:
        """Lose all connections."""
        for wire in self.wires:
            wire.alive = False
        self.stage.review()
        self.clock.settle()

    def end(self) -> None:
        self.stuck.clear()
        self.stage.review()
        for pool in self.pools:
            pool.stop()


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(size: int, daemon: object = None) -> Bench:
        made.append(Bench(size, daemon))
        return made[-1]

    yield make
    for bench in made:
        bench.end()
        assert not bench.violations


def test_all_jobs_are_done_and_every_slot_is_given_back(bench):
    b = bench(4)
    pool = b.pool(share=3)
    assert b.run(pool, [*b.jobs("a b c d e f", SERVER), *b.jobs("a b c d e f")]) == []
    assert sorted(b.calls) == sorted("abcdef" * 2)
    assert (b.budget.used, pool.monitor_held, pool.busy) == (0, 0, 0)


def test_a_read_without_jobs_is_over_at_once(bench):
    b = bench(4)
    before = b.clock()
    assert b.run(b.pool(), []) == []
    assert b.clock() == before


def test_class_a_goes_first(bench):
    b = bench(1)
    assert b.run(b.pool(), [*b.jobs("a b"), *b.jobs("c d", SERVER)]) == []
    assert b.calls == ["c", "d", "a", "b"]


def late_jobs(bench, uuids):
    jobs = bench.jobs(uuids, SERVER)
    for job in jobs:
        job.late = True
    return jobs


def test_but_late_jobs_of_it_go_last(bench):
    b = bench(1)
    assert b.run(b.pool(), [*late_jobs(b, "e f"), *b.jobs("a b"), *b.jobs("c d", SERVER)]) == []
    assert b.calls == ["c", "d", "a", "b", "e", "f"]


def test_late_jobs_are_made_where_others_wait_for_slots_that_are_not_for_them(bench):
    b = bench(3)
    pool = b.pool(share=10)
    b.stuck = {"s", "t"}
    b.run(pool, b.jobs("s t"))
    assert b.run(pool, [*b.jobs("c"), *late_jobs(b, "a b")]) == ["c"]
    assert b.calls == ["s", "t", "a", "b"]


def test_late_jobs_that_there_is_no_time_for_are_not_made_in_the_next_read(bench):
    b = bench(1)
    pool = b.pool()
    b.stuck = {"s"}
    assert b.run(pool, [*b.jobs("s", SERVER), *late_jobs(b, "a")]) == ["a"]
    b.release()
    assert b.run(pool, b.jobs("b")) == []
    assert b.calls == ["s", "b"]


def test_a_slot_is_held_until_the_call_comes_back_not_until_the_read_is_over(bench):
    b = bench(4)
    pool = b.pool(share=3)
    b.stuck = {"s"}
    began = b.clock()
    assert b.run(pool, b.jobs("s a b")) == []
    assert b.clock() >= began + READ
    assert (b.budget.used, pool.monitor_held, pool.stalled, pool.busy) == (1, 1, 1, 1)
    assert b.budget.running("s", MONITOR).what == "blockStats"
    b.release()
    assert (b.budget.used, pool.monitor_held, pool.stalled, pool.busy) == (0, 0, 0, 0)
    assert b.budget.running("s", MONITOR) is None


def test_a_job_is_seen_to_hold_a_slot_with_the_time_since_when_it_does(bench, monkeypatch):
    b = bench(2)
    b.clock.now += 100.0
    seen = []
    take = b.budget.take

    def look(pool, job):
        take(pool, job)
        # The budget is read without its lock.
        seen.append((job.since, job.stalled))

    monkeypatch.setattr(b.budget, "take", look)
    assert b.run(b.pool(), [*b.jobs("a"), b.job("b", again=0.0)]) == []
    assert seen == [(b.clock(), False)] * 2


def test_who_is_stuck_for_how_long_is_told_by_the_clock(bench):
    b = bench(4)
    pool = b.pool(share=3)
    b.stuck = {"s"}
    b.run(pool, b.jobs("s"))
    assert (pool.stuck(0.5), pool.stuck(2.0)) == (1, 0)
    b.clock.now += 1.5
    assert pool.stuck(2.0) == 1


def test_a_read_with_nothing_stuck_makes_no_more_workers_than_make_it_shorter(bench):
    b = bench(20)
    pool = b.pool(share=19)
    b.run(pool, [b.job(f"domain {number}") for number in range(100)])
    assert pool.workers <= BUSY_WORKERS
    assert len(b.wires) <= pool.workers


def test_others_stand_in_for_stalled_workers_within_the_same_read(bench):
    b = bench(10)
    pool = b.pool(share=9)
    b.stuck = {"s", "t", "u", "v", "w"}
    began = b.clock()
    _, left = pool.run([*b.jobs("s t u v w"), *b.jobs("a b c d e f")], began + READ)
    assert left == []
    assert set("abcdef") <= set(b.calls)
    assert pool.stalled == 5
    assert pool.workers <= 5 + BUSY_WORKERS


def test_a_worker_is_counted_out_only_after_longer_than_calls_take(bench):
    b = bench(10)
    pool = b.pool(share=9)
    b.stuck = set("stuv")
    b.run(pool, b.jobs("s t u v a"), STALLED_AFTER * 0.9)
    assert "a" not in b.calls
    assert (pool.stalled, pool.workers) == (0, BUSY_WORKERS)


class TestConnecting:
    """A connection is made before a job is taken: where it does not come, nothing is held."""

    def test_one_that_does_not_come_holds_no_job_no_domain_and_no_slot(self, bench):
        b = bench(4)
        b.stuck = {"connect"}
        pool = b.pool(share=2)
        began = b.clock()
        assert b.run(pool, [*b.jobs("a b"), *b.jobs("a b", SERVER)]) == ["a", "b", "a", "b"]
        assert (b.budget.used, b.budget.in_flight, pool.busy, pool.stalled) == (0, {}, 0, 0)
        assert (pool.workers, pool.connecting, b.budget.connects.since) == (1, 1, began)
        b.release()
        assert (pool.connecting, b.budget.connects.since) == (0, None)
        assert b.run(pool, b.jobs("a b")) == []

    def test_those_that_are_connected_serve_all_jobs_meanwhile(self, bench):
        b = bench(10)
        pool = b.pool(share=9)
        b.run(pool, b.jobs("a"))
        b.stuck = {"connect"}
        assert b.run(pool, [*b.jobs("a b c d e f", SERVER), *b.jobs("a b c d e f")]) == []
        assert len(b.wires) == 1

    def test_a_stalled_worker_is_stood_in_for_by_one_that_connects_and_no_more(self, bench):
        b = bench(10)
        pool = b.pool(share=9)
        b.run(pool, b.jobs("a"))
        b.stuck = {"connect", "s"}
        for _ in range(3):
            assert b.run(pool, [*([] if b.budget.running("s", MONITOR) else b.jobs("s")), *b.jobs("a b")]) == ["a", "b"]
            assert (pool.workers, pool.connecting) == (2, 1)
        b.stuck.remove("connect")
        b.release("connect")
        assert b.run(pool, b.jobs("a b")) == []

    def test_over_all_pools_one_waits_besides_the_first_of_each(self, bench):
        b = bench(20)
        pools = [b.pool(str(number), share=4) for number in range(4)]
        for pool in pools[:2]:
            b.run(pool, b.jobs(pool.name))
        b.stuck = {"connect", *"abcdefgh"}
        for pool in (*pools, *pools):
            names = [f"{pool.name}{letter}" for letter in "abcdefgh"]
            b.stuck |= set(names)
            b.run(pool, b.jobs(" ".join(name for name in names if not b.budget.running(name, MONITOR))))
        # Two had a worker, and one of them has got a second one that waits; the others wait with their first.
        assert sorted(pool.connecting for pool in pools) == [0, 1, 1, 1]
        assert [pool.busy for pool in pools] == [1, 1, 0, 0]

    def test_pools_whose_connections_are_of_another_kind_do_not_wait_for_them(self, bench):
        b = bench(10)
        b.stuck = {"connect"}
        apart = Pool("agent", b.budget, b.connect, connects=Connects(), runtime=Runtime(b.clock, b.clock.wait))
        b.clock.watch(b.budget, apart)
        b.pools.append(apart)
        b.run(apart, b.jobs("a"))
        assert (apart.connecting, b.budget.connects.pending) == (1, 0)

    def test_a_pool_makes_no_more_connections_than_it_may_hold_slots(self, bench):
        b = bench(2)
        pool = b.pool(share=2)
        b.run(pool, [*b.jobs("a b c d e f", SERVER), *b.jobs("a b c d e f")])
        assert len(b.wires) <= 2

    def test_where_none_can_be_made_a_read_is_over_at_once_and_the_next_one_tries_again(self, bench):
        b = bench(4)
        attempts: list[float] = []

        def refuse() -> Wire:
            attempts.append(b.clock())
            if len(attempts) > 2:
                return b.connect()
            raise Disconnected("no such file")

        pool = Pool("0", b.budget, refuse, runtime=Runtime(b.clock, b.clock.wait))
        b.clock.watch(b.budget, pool)
        b.pools.append(pool)
        for number in (1, 2):
            began = b.clock()
            assert b.run(pool, b.jobs("a b c")) == ["a", "b", "c"]
            assert b.clock() - began <= TICK
            assert (len(attempts), pool.workers, b.budget.used) == (number, 0, 0)
            assert (b.budget.connects.refusal, b.budget.connects.refused_since) == ("no such file", attempts[0])
        assert b.run(pool, b.jobs("a b c")) == []
        assert (b.budget.connects.refusal, b.budget.connects.refused_since) == ("", None)

    def test_where_no_further_one_can_be_made_those_there_are_go_on(self, bench, caplog):
        b = bench(4)
        attempts: list[int] = []

        def connect() -> Wire:
            attempts.append(1)
            if len(attempts) > 1:
                raise ZeroDivisionError
            return b.connect()

        pool = Pool("0", b.budget, connect, share=3, runtime=Runtime(b.clock, b.clock.wait))
        b.clock.watch(b.budget, pool)
        b.pools.append(pool)
        for _ in range(3):
            assert b.run(pool, b.jobs("a b c d e f")) == []
        b.clock.settle()
        assert pool.workers == 1
        assert len(attempts) <= 4
        assert [record.getMessage().partition(" of ")[0] for record in caplog.records] == ["unexpected failure"]

    def test_a_connection_that_was_lost_between_two_reads_costs_no_job(self, bench):
        b = bench(4, daemon=1)
        pool = b.pool(share=3)
        b.run(pool, b.jobs("a b c d"))
        b.cut()
        assert b.run(pool, [*b.jobs("a b c d", SERVER), *b.jobs("a b c d")]) == []
        assert (b.budget.used, b.budget.charges, len(b.calls)) == (0, {}, 12)

    def test_the_job_behind_one_that_lost_the_connection_has_a_new_one(self, bench):
        b = bench(1, daemon=1)
        pool = b.pool()

        def lose(connection: Wire, job: Job) -> None:
            connection.alive = False
            raise Disconnected("reset")

        assert b.run(pool, [Job("s", MONITOR, lose), *b.jobs("a b")]) == []
        assert (b.calls, len(b.wires)) == (["a", "b"], 2)

    def test_a_worker_that_gets_its_connection_after_the_pool_was_stopped_gives_it_back(self, bench):
        b = bench(4)
        b.stuck = {"connect"}
        pool = b.pool()
        b.run(pool, b.jobs("a"))
        pool.stop()
        b.release()
        assert b.wires[0].closed.wait(BOUND)
        assert (pool.workers, b.calls) == (0, [])


def test_where_no_thread_can_be_started_there_is_no_worker_and_the_next_read_tries_again(bench):
    b = bench(4)
    can = [False]

    def spawn(name: str, body: Callable[[], None]) -> bool:
        return can[0] and threads.try_start(name, body)

    pool = Pool("0", b.budget, b.connect, share=3, runtime=Runtime(b.clock, b.clock.wait, spawn))
    b.clock.watch(b.budget, pool)
    b.pools.append(pool)
    for _ in range(2):
        began = b.clock()
        assert b.run(pool, b.jobs("a b")) == ["a", "b"]
        assert (pool.workers, b.budget.connects.pending, b.clock() - began) == (0, 0, 0.0)
    can[0] = True
    assert b.run(pool, b.jobs("a b")) == []


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


def probe(b: Bench, uuid: str, still: bool = False) -> Job:
    """What finds out whether a call of the domain that was cut off is over; it is, or still is not."""

    def work(connection: Wire, job: Job) -> None:
        job.doing("controlInfo")
        b.stage.hold(lambda: uuid in b.stuck and connection.alive)
        if not connection.alive:
            raise Disconnected("connection reset")
        if not still:
            b.budget.discharge(uuid)

    return Job(uuid, SERVER, work, probe=True)


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


def test_a_lost_connection_is_replaced(bench):
    b = bench(1)
    pool = b.pool()
    b.run(pool, b.jobs("a"))
    b.wires[0].alive = False
    b.run(pool, b.jobs("b"))
    assert len(b.wires) == 2
    assert b.wires[0].closed.wait(BOUND)
    b.run(pool, b.jobs("c"))
    assert len(b.wires) == 2


def test_a_job_that_wants_to_be_run_again_is_not_run_too_early(bench):
    b = bench(1)
    began = b.clock()
    assert b.run(b.pool(), [b.job("a", again=0.2), *b.jobs("b c")]) == []
    assert b.calls == ["a", "b", "c", "a"]
    assert began + 0.2 <= b.clock() < began + 0.3


def test_when_its_time_has_come_it_is_run_before_those_that_wait_for_their_first_turn(bench):
    b = bench(1)
    jobs = [b.job("a", again=0.0001), *b.jobs("b c d")]
    job, work = jobs[1], jobs[1].work

    def take_long(connection, job):
        work(connection, job)
        b.clock.now += 0.2

    job.work = take_long
    assert b.run(b.pool(), jobs) == []
    assert b.calls == ["a", "b", "a", "c", "d"]


def test_one_that_is_left_while_it_waits_counts_as_not_begun(bench):
    b = bench(1)
    job = b.job("a", again=READ * 2)
    assert b.run(b.pool(), [job]) == ["a"]
    assert not job.begun


def test_a_job_that_waits_to_be_run_again_holds_no_slot(bench):
    b = bench(1)
    pool = b.pool()
    assert b.run(pool, [b.job("a", again=READ * 2)]) == ["a"]
    assert (b.budget.used, pool.monitor_held, b.calls) == (0, 0, ["a"])
    b.clock.now += READ * 3
    b.run(pool, b.jobs("b"))
    assert b.calls == ["a", "b"]


def test_a_job_that_wants_to_be_run_again_after_its_read_is_not(bench):
    b = bench(2)
    pool = b.pool()
    b.stuck = {"a"}
    b.run(pool, [b.job("a", again=0.01)])
    b.release()
    for _ in range(2):
        b.clock.now += 1.0
        b.run(pool, b.jobs("b"))
    assert b.calls == ["a", "b", "b"]


def test_what_was_not_begun_by_the_deadline_never_will_be(bench):
    b = bench(1)
    pool = b.pool()
    b.stuck = {"s"}
    assert b.run(pool, b.jobs("s a b")) == ["a", "b"]
    b.release()
    assert b.calls == ["s"]
    assert b.budget.used == 0


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


def test_a_domain_in_a_call_of_another_pool_is_not_asked_twice(bench):
    b = bench(10)
    first, second = b.pool("1", share=4), b.pool("2", share=4)
    b.stuck = {"s"}
    b.run(first, b.jobs("s"))
    assert b.run(second, [*b.jobs("s a"), *b.jobs("a", SERVER)]) == ["s"]
    assert sorted(b.calls) == ["a", "a", "s"]


@pytest.mark.parametrize("kind", [SERVER, MONITOR])
def test_it_is_asked_when_that_call_is_back(bench, kind):
    b = bench(10)
    first = b.pool("1", share=4)
    b.stuck = {"s"}
    b.run(first, b.jobs("s", kind))
    second = b.pool("2", share=4, wait=b.release_and_wait)
    assert b.run(second, b.jobs("s a", kind)) == []
    assert b.calls.count("s") == 2


def test_of_calls_that_touch_one_storage_domain_one_is_made_at_a_time(bench):
    b = bench(10)
    pool = b.pool(share=9)
    b.stuck = {"s"}
    jobs = [b.job("s", storage={"nfs"}), b.job("t", storage={"nfs", "san"}), b.job("u", storage={"san"}), b.job("v")]
    assert b.run(pool, jobs) == ["t"]
    assert b.budget.touched(frozenset({"nfs"}))
    assert not b.budget.touched(frozenset({"san"}))
    assert b.budget.stuck_storage(b.clock() - 0.5) == {"nfs"}
    assert b.budget.stuck_storage(b.clock() - 5.0) == frozenset()
    b.cut()
    assert b.budget.touched(frozenset({"nfs"}))
    b.budget.discharge("s")
    assert not b.budget.touched(frozenset({"nfs"}))
    assert b.run(pool, [b.job("t", storage={"nfs", "san"})]) == []


def test_what_can_do_without_the_storage_is_asked_so_where_a_call_is_stuck_there(bench):
    b = bench(10)
    pool = b.pool(share=9)
    b.stuck = {"s"}
    jobs = [b.job(uuid, storage={"nfs"}) for uuid in "stuv"]
    for job in jobs[:3]:
        job.detours = True
    assert b.run(pool, jobs) == ["v"]
    assert [job.storage for job in jobs] == [{"nfs"}, frozenset(), frozenset(), {"nfs"}]
    assert sorted(b.calls) == ["s", "t", "u"]
    assert b.budget.touched(frozenset({"nfs"}))


def test_the_first_call_to_a_storage_is_waited_for_and_no_other(bench):
    b = bench(10)
    pool = b.pool(share=9)
    together: list[frozenset[str]] = []
    jobs = [b.job(uuid, storage={"nfs"}) for uuid in "stuvwx"]
    for job in jobs:
        job.detours = True
        job.touched = True
        job.work = noting(job.work, lambda: together.append(frozenset(uuid for uuid, _ in b.budget.in_flight)))
    assert b.run(pool, jobs) == []
    assert {job.storage for job in jobs} == {frozenset({"nfs"})}
    assert together[0] == {"s"}


def test_a_job_that_came_to_no_call_proves_nothing_of_its_storage(bench):
    b = bench(10)
    pool = b.pool(share=9)
    jobs = [b.job(uuid, storage={uuid}) for uuid in "stu"]
    for job in jobs:
        job.detours = True
    jobs[1].touched = True
    assert b.run(pool, jobs) == []
    assert jobs[0].round.proven == {"t"}


def noting(work: Callable[..., None], note: Callable[[], None]) -> Callable[..., None]:
    """That work, with something done before it."""

    def done(*arguments: Any) -> None:
        note()
        work(*arguments)

    return done


def test_a_storage_proves_itself_anew_in_each_read_and_for_what_may_detour_only(bench):
    b = bench(10)
    pool = b.pool(share=9)
    first = b.job("a", storage={"nfs"})
    first.detours = first.touched = True
    assert b.run(pool, [first]) == []
    b.stuck = {"s"}
    assert b.run(pool, [b.job("s", storage={"nfs"}), b.job("t", storage={"nfs"})]) == ["t"]


def test_the_two_kinds_of_one_domain_may_be_in_flight_together(bench):
    b = bench(10)
    pool = b.pool(share=4)
    b.stuck = {"s"}
    b.run(pool, [*b.jobs("s"), *b.jobs("s", SERVER)])
    assert b.calls == ["s", "s"]
    assert b.budget.running("s", MONITOR) is not b.budget.running("s", SERVER)


def test_an_unexpected_failure_is_said_once_and_costs_only_its_job(bench, caplog):
    b = bench(2)
    pool = b.pool(share=2)

    def explode(connection: Wire, job: Job) -> None:
        job.doing("info")
        raise ZeroDivisionError

    for _ in range(2):
        assert b.run(pool, [Job("bad", SERVER, explode), *b.jobs("a")]) == []
    assert b.calls == ["a", "a"]
    assert b.budget.used == 0
    assert [record.getMessage() for record in caplog.records] == [
        "unexpected failure in info for domain bad, said once"
    ]
    assert caplog.records[0].exc_info is not None


def test_stop_lets_idle_workers_leave_and_busy_ones_when_their_call_is_back(bench):
    b = bench(4)
    pool = b.pool(share=3)
    b.run(pool, b.jobs("a b c"))
    b.stuck = {"s"}
    b.run(pool, b.jobs("s"))
    pool.stop()
    b.clock.settle()
    assert (pool.workers, pool.busy) == (1, 1)
    b.release()
    assert pool.workers == 0
    assert all(wire.closed.wait(BOUND) for wire in b.wires)


def test_a_stopped_pool_starts_nothing(bench):
    b = bench(4)
    pool = b.pool()
    pool.stop()
    assert b.run(pool, b.jobs("a")) == ["a"]
    assert (pool.workers, b.calls) == (0, [])


def test_an_idle_worker_leaves_and_gives_its_connection_back(bench, monkeypatch):
    b = bench(4)
    pool = b.pool(share=3)
    monkeypatch.setattr(pool_module, "IDLE", 0.01)
    b.run(pool, b.jobs("a"))
    assert b.wires[0].closed.wait(BOUND)
    assert pool.workers == 0
    b.run(pool, b.jobs("b"))
    assert b.calls == ["a", "b"]


def test_steady_work_keeps_its_connections(bench):
    b = bench(4)
    pool = b.pool(share=3)
    for _ in range(20):
        b.run(pool, [b.job(f"domain {number}") for number in range(10)])
        b.clock.now += 10
    assert len(b.wires) <= BUSY_WORKERS


def test_threads_are_named_after_pool_and_number_in_15_characters(bench):
    b = bench(4)
    names: list[str] = []

    def spawn(name: str, body: Callable[[], None]) -> bool:
        names.append(name)
        return threads.try_start(name, body)

    pool = Pool("a-very-long-name", b.budget, b.connect, runtime=Runtime(b.clock, b.clock.wait, spawn))
    b.clock.watch(b.budget, pool)
    b.pools.append(pool)
    b.run(pool, b.jobs("a"))
    assert names == ["virt2/a-ver/1"]


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


def test_its_state_can_be_read_off(bench):
    b = bench(4)
    pool = b.pool(share=2)
    b.stuck = {"s"}
    b.run(pool, b.jobs("s"))
    assert repr(pool) == "<Pool 0 share=2 busy=1 stalled=1 queued=0>"
    assert repr(b.budget) == "<Budget size=4 used=1 charged=0>"
    assert repr(b.budget.running("s", MONITOR)) == "<Job monitor s blockStats>"


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
