"""Workers come and go with their connections, and connections that do not come hold nobody up."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.fake_time import BOUND
from tests.unit.workers.pool_bench import Wire
from virt2 import threads
from virt2.errors import Disconnected
from virt2.workers import pool as pool_module
from virt2.workers.connects import Connects
from virt2.workers.job import MONITOR, SERVER, Job
from virt2.workers.pool import BUSY_WORKERS, TICK, Pool, Runtime


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
