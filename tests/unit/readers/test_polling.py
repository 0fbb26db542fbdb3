"""The skeleton of a read: its deadline, whose turn it is, and what is done when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from virt2.readers.context import Clocks, Domains, Timing, Workers
from virt2.readers.polling import Polling
from virt2.workers.job import MONITOR, Job

TIMEOUT = 1.5
INTERVAL = 60.0
TICK = 10.0


class FakePool:
    """Begins so many jobs of each run, and leaves the others."""

    def __init__(self) -> None:
        self.room = 1
        self.runs: list[tuple[list[str], float]] = []

    def run(self, jobs: Iterable[Job], deadline: float) -> tuple[None, list[Job]]:
        jobs = list(jobs)
        self.runs.append(([job.uuid for job in jobs], deadline))
        for job in jobs[: self.room]:
            job.begun = True
        return None, jobs[self.room :]


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.pool = FakePool()
        self.inventory = SimpleNamespace(link=SimpleNamespace(up=True))
        domains = Domains(self.inventory, *[None] * 5)
        timing = Timing(TIMEOUT, INTERVAL, TICK, Clocks(lambda: self.now, lambda: 0.0))
        self.polling = Polling(domains, Workers(self.pool, None), timing)

    def jobs(self, uuids: str) -> list[Job]:
        return [Job(uuid, MONITOR, lambda connection, job: None) for uuid in uuids]

    def read(self, *runs: str) -> list[str]:
        """Let a tick pass and read; returns the order in which the jobs were run."""
        self.now += TICK
        self.pool.runs.clear()
        with self.polling.read() as read:
            for uuids in runs:
                read.run(self.jobs(uuids))
        return ["".join(uuids) for uuids, _ in self.pool.runs]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_read_ends_at_its_deadline_and_part_of_it_earlier_where_that_is_said(bench):
    with bench.polling.read() as read:
        assert (read.began, read.deadline) == (100.0, 100.0 + TIMEOUT)
        read.run(bench.jobs("a"), deadline=100.5)
        read.run(bench.jobs("b"))
    assert [deadline for _, deadline in bench.pool.runs] == [100.5, 100.0 + TIMEOUT]


def test_there_was_no_time_for_what_a_run_returns(bench):
    with bench.polling.read() as read:
        assert [job.uuid for job in read.run(bench.jobs("abc"))] == ["b", "c"]
        assert [job.uuid for job in read.jobs] == ["a", "b", "c"]


def test_without_jobs_no_worker_is_looked_for(bench):
    assert bench.read("") == []


def test_those_that_waited_longest_go_first(bench):
    assert [bench.read("abc") for _ in range(4)] == [["abc"], ["bca"], ["cab"], ["abc"]]


def test_who_waited_before_a_read_is_known_to_all_its_runs(bench):
    bench.read("xab")
    assert bench.read("x", "yab") == ["x", "aby"]


def test_a_read_in_which_nothing_was_to_be_run_leaves_the_order_as_it_is(bench):
    bench.read("abc")
    bench.read()
    assert bench.read("abc") == ["bca"]


def test_a_handicap_counts_as_waiting_less(bench):
    bench.read("abc")
    bench.now += TICK
    with bench.polling.read() as read:
        read.run(bench.jobs("abc"), handicap=lambda job: 100.0 if job.uuid == "b" else 0.0)
    assert bench.pool.runs[-1][0] == ["c", "a", "b"]


def test_what_is_to_be_done_at_the_end_is_done_in_any_case_last_given_first(bench):
    done = []

    def fail() -> None:
        done.append("flush")
        raise ValueError("the sink is gone")

    def read() -> None:
        with bench.polling.read() as read:
            read.over.callback(done.append, "end")
            read.over.callback(fail)
            raise KeyError("in the middle of a read")

    with pytest.raises(ValueError, match="the sink is gone"):
        read()
    assert done == ["flush", "end"]


def test_who_waits_is_known_after_a_read_that_failed(bench):
    def read() -> None:
        with bench.polling.read() as read:
            read.run(bench.jobs("abc"))
            raise KeyError("after the jobs")

    with pytest.raises(KeyError):
        read()
    assert bench.read("abc") == ["bca"]


def test_it_is_time_to_ask_again_to_the_nearest_tick(bench):
    due = bench.polling.is_due
    assert due(None, 100.0)
    assert due(100.0, 100.0 + INTERVAL - TICK / 2)
    assert not due(100.0, 100.0 + INTERVAL - TICK / 2 - 0.1)
    assert due(100.0, 100.0 + 2 * INTERVAL, pause=2 * INTERVAL)
    assert not due(100.0, 100.0 + INTERVAL, pause=2 * INTERVAL)


@pytest.mark.parametrize(("link", "connected"), [(None, False), (False, False), (True, True)])
def test_libvirt_can_be_reached_where_its_link_is_up(bench, link, connected):
    bench.inventory.link = None if link is None else SimpleNamespace(up=link)
    assert bench.polling.connected is connected
