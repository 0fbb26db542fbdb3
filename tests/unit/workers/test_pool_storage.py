"""Calls that get in each other's way: for one domain, and to one storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from virt2.workers.job import MONITOR, SERVER


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
