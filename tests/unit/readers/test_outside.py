"""Which call may be made that waits for another program of the host."""

from __future__ import annotations

import threading

import pytest

from tests.unit.fake_time import BOUND
from virt2.readers.outside import FIRST_PAUSE, LONGEST_PAUSE, SLOW, Outside


class Bench:
    def __init__(self) -> None:
        self.now = 1000.0
        self.outside = Outside(lambda: self.now)

    def call(self, seconds: float) -> bool:
        """Make a call that takes so long, if one may be made; returns whether."""
        if not self.outside.begin("web", "vhu0"):
            return False
        self.now += seconds
        self.outside.end()
        return True

    def next_call_after(self, seconds: float) -> float:
        """Make a call of this length as soon as one may be made; returns for how long none might be."""
        waited = 0.0
        while not self.call(seconds):
            self.now += 1.0
            waited += 1.0
        return waited


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_quick_calls_are_made_whenever_they_are_wanted(bench, caplog):
    caplog.set_level("INFO")
    assert all(bench.call(SLOW) for _ in range(10))
    assert caplog.records == []


def test_after_a_slow_one_there_is_a_pause_which_is_doubled_with_each_that_is_slow(bench):
    bench.call(5.0)
    pauses = [bench.next_call_after(5.0) for _ in range(8)]
    assert pauses == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0, 600.0]
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (30.0, 600.0)


def test_it_is_said_once_with_what_to_do_and_once_when_it_is_over(bench, caplog):
    caplog.set_level("INFO")
    bench.call(5.0)
    for _ in range(3):
        bench.next_call_after(5.0)
    bench.next_call_after(0.01)
    bench.call(0.01)
    assert [record.getMessage() for record in caplog.records] == [
        "interface vhu0 of domain web: libvirt asks another program (Open vSwitch's ovs-vsctl) for its counters, and"
        " holds the domain's lock meanwhile; that program does not answer within 1 s, so interfaces of that kind are"
        " asked one at a time, and only every 30 to 600 s until it answers; check whether Open vSwitch runs",
        "interfaces whose counters libvirt asks another program for are answered again after 470 s",
    ]


def test_a_quick_answer_ends_the_pause_but_one_that_comes_and_goes_is_asked_less_and_less(bench):
    bench.call(5.0)
    assert bench.next_call_after(0.01) == FIRST_PAUSE
    assert bench.call(5.0)
    assert bench.next_call_after(0.01) == 2 * FIRST_PAUSE


def test_one_that_was_well_for_long_begins_anew(bench):
    bench.call(5.0)
    bench.next_call_after(0.01)
    bench.now += LONGEST_PAUSE + 1.0
    bench.call(0.01)
    bench.call(5.0)
    assert bench.next_call_after(0.01) == FIRST_PAUSE


def test_one_that_does_not_come_back_is_said_while_it_is_out(bench, caplog):
    assert bench.outside.begin("web", "vhu0")
    bench.outside.review()
    assert caplog.records == []
    bench.now += SLOW + 0.1
    for _ in range(2):
        bench.outside.review()
    assert len(caplog.records) == 1
    bench.now += 10.0
    assert bench.outside.end()
    assert len(caplog.records) == 1


def test_there_is_one_at_a_time_and_the_next_begins_when_it_is_over():
    outside = Outside()
    assert outside.begin("web", "vhu0")
    begun = threading.Event()

    def second() -> None:
        if outside.begin("db", "vhu1"):
            begun.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not begun.is_set()
    outside.end()
    thread.join(BOUND)
    assert begun.is_set()


def test_nobody_waits_for_longer_than_a_call_that_is_well_takes(monkeypatch):
    monkeypatch.setattr("virt2.readers.outside.SLOW", 0.01)
    outside = Outside()
    assert outside.begin("web", "vhu0")
    assert not outside.begin("db", "vhu1")
