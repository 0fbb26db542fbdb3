"""Whether libvirt can be reached, and when it is tried again."""

from __future__ import annotations

import pytest

from virt2.domains.link import LONGEST_RETRY, Link, Reach


class Bench:
    """A reach on a clock that the test moves."""

    def __init__(self, longest: float = 10.0) -> None:
        self.now = 100.0
        self.told: list[Link] = []
        self.reach = Reach(longest, self.told.append, lambda: self.now)

    def fail(self) -> float:
        """Fail once; returns the seconds until the next attempt."""
        self.reach.fail("", "no such socket")
        return self.reach.pause()


def test_before_the_first_attempt_it_is_neither_up_nor_down():
    reach = Bench().reach
    assert (reach.is_up, reach.is_down, reach.link) == (False, False, None)


def test_the_first_success_is_no_news():
    bench = Bench()
    bench.reach.succeed()
    assert bench.reach.link == Link(True, 100.0, "")
    assert bench.told == []


def test_what_is_lost_and_back_is_told_once_each(caplog):
    caplog.set_level("INFO")
    bench = Bench()
    for _ in range(3):
        bench.fail()
    bench.now += 7.0
    for _ in range(3):
        bench.reach.succeed()
    assert bench.told == [Link(False, 100.0, "no such socket"), Link(True, 107.0, "")]
    assert len(caplog.records) == 2
    assert caplog.records[1].getMessage() == "libvirt is back after 7 s"


@pytest.mark.parametrize(
    ("longest", "pauses"),
    [
        (10.0, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
        (0.5, [1.0, 1.0, 1.0]),
        (3600.0, [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST_RETRY, LONGEST_RETRY]),
    ],
)
def test_attempts_are_further_and_further_apart(longest, pauses):
    bench = Bench(longest)
    assert [bench.fail() for _ in pauses] == pauses


def test_a_success_lets_the_pauses_begin_anew():
    bench = Bench()
    for _ in range(4):
        bench.fail()
    bench.reach.succeed()
    assert bench.fail() == 1.0
