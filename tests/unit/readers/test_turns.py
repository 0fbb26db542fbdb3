"""Who waited longest goes first, and those left out are named once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.readers.turns import IN_A_ROW, LASTING, NAMED, QUIET, Shortage, Turns
from virt2.workers.job import MONITOR, SERVER, Job


def jobs(uuids: Iterable[str], kind: str = MONITOR) -> list[Job]:
    return [Job(uuid, kind, lambda connection, job: None) for uuid in uuids]


def read(turns: Turns, uuids: Iterable[str], now: float, served: int, handicap=None) -> list[str]:
    """A read that has time for so many jobs; returns whose those are."""
    ordered = turns.order(jobs(uuids), now, handicap)
    for job in ordered[:served]:
        job.begun = True
    turns.note(ordered, now)
    return [job.uuid for job in ordered[:served]]


def test_where_all_are_served_the_order_stays():
    turns = Turns()
    for now in range(3):
        assert read(turns, "abc", now, 3) == list("abc")
    assert turns.waiting == 0


def test_those_that_were_left_out_go_first_and_who_waits_longest_before_them():
    turns = Turns()
    assert [read(turns, "abcde", now, 2) for now in range(6)] == [
        ["a", "b"],
        ["c", "d"],
        ["e", "a"],
        ["b", "c"],
        ["d", "a"],
        ["e", "b"],
    ]


def test_each_kind_of_a_domains_jobs_waits_by_itself():
    turns = Turns()
    server, monitor = jobs("ab", SERVER), jobs("ab")
    for job in server:
        job.begun = True
    turns.note([*server, *monitor[:1]], 0.0)
    assert [(job.uuid, job.kind) for job in turns.order([*jobs("ba", SERVER), *jobs("ba")], 1.0)][:1] == [
        ("a", MONITOR)
    ]


def test_what_is_known_of_who_waits_goes_with_them():
    turns = Turns()
    read(turns, "abcd", 0.0, 1)
    assert turns.waiting == 3
    read(turns, "ab", 1.0, 1)
    assert turns.waiting == 1


def test_a_handicap_puts_a_job_behind_others_but_not_for_ever():
    turns = Turns()

    def handicap(job: Job) -> float:
        return 2.0 if job.uuid == "silent" else 0.0

    served = [read(turns, ["silent", "a", "b"], now, 2, handicap) for now in range(4)]
    assert served[0] == ["a", "b"]
    assert "silent" in served[3] or "silent" in served[2]


@given(st.integers(1, 30), st.lists(st.integers(1, 8), min_size=1, max_size=40))
def test_whatever_a_read_has_time_for_nobody_waits_longer_than_all_others_take(count, times):
    turns, uuids = Turns(), [f"{number:02}" for number in range(count)]
    waited = dict.fromkeys(uuids, 0)
    for now, served in enumerate(times):
        for uuid in uuids:
            waited[uuid] += 1
        for uuid in read(turns, uuids, now, served):
            waited[uuid] = 0
        least = min(times[: now + 1])
        assert max(waited.values()) <= -(-count // least)


@pytest.fixture
def said(caplog) -> Callable[[], list[tuple[str, str]]]:
    caplog.set_level(logging.INFO, "virt2")

    def texts() -> list[tuple[str, str]]:
        found = [(record.levelname, record.getMessage()) for record in caplog.records]
        caplog.clear()
        return found

    return texts


def test_left_out_domains_are_named_once_and_once_it_is_said_that_it_is_over(said):
    shortage = Shortage("0")
    shortage.review(["web", "db"], 40, 0, 100.0)
    assert said() == []
    for now in (102.0, 104.0, 106.0):
        shortage.review(["web", "db"], 40, 0, now)
    assert said() == [
        (
            "WARNING",
            "reader 0 is short of time: for 2 s each read has left domains out, the last read 2 of 40 (db, web);"
            " those that waited longest go first in the next read",
        )
    ]
    shortage.review([], 40, 0, 108.0)
    assert said() == []
    shortage.review([], 40, 0, 106.0 + QUIET)
    assert said() == [("INFO", "reader 0 has time for all of its domains again")]


def test_stuck_workers_are_named_as_the_cause_and_a_few_domains_for_all(said):
    shortage = Shortage("nfs")
    names = [f"g{number}" for number in range(NAMED + 3)]
    for now in range(IN_A_ROW):
        shortage.review(names, 10, 4, float(now))
    ((_, text),) = said()
    assert text.startswith("reader nfs is short of workers, because 4 of them are stuck: ")
    assert "8 of 10 (g0, g1, g2, g3, g4 and 3 more)" in text


def test_many_reads_within_a_moment_are_no_news(said):
    shortage = Shortage("0")
    for number in range(4):
        shortage.review(["web"], 3, 0, 100.0 + 0.2 * number)
    assert said() == []
    shortage.review(["web"], 3, 0, 100.0 + LASTING)
    assert len(said()) == 1


def test_a_single_read_that_leaves_somebody_out_is_no_news(said):
    shortage = Shortage("0")
    for now in range(0, 10, 2):
        shortage.review(["web"], 3, 0, float(now))
        shortage.review([], 3, 0, float(now + 1))
    assert said() == []


def test_what_comes_and_goes_is_not_said_each_time(said):
    shortage = Shortage("0")
    for now in range(0, 100, 4):
        shortage.review(["web"], 3, 0, float(now))
        shortage.review(["web"], 3, 0, float(now + 1))
        shortage.review([], 3, 0, float(now + 2))
    assert len(said()) == 1
