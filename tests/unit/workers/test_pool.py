"""Workers and their jobs: what the module's docstring guarantees, looked at from inside the calls."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.fake_time import BOUND
from tests.unit.workers.pool_bench import READ, Wire, late_jobs
from virt2 import threads
from virt2.workers.job import MONITOR, SERVER, Job
from virt2.workers.pool import BUSY_WORKERS, STALLED_AFTER, Pool, Runtime


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


def test_its_state_can_be_read_off(bench):
    b = bench(4)
    pool = b.pool(share=2)
    b.stuck = {"s"}
    b.run(pool, b.jobs("s"))
    assert repr(pool) == "<Pool 0 share=2 busy=1 stalled=1 queued=0>"
    assert repr(b.budget) == "<Budget size=4 used=1 charged=0>"
    assert repr(b.budget.running("s", MONITOR)) == "<Job monitor s blockStats>"
