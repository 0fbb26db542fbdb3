"""A clock for each call over the inventory's own connection."""

from __future__ import annotations

import pytest

from virt2.domains.connection import Calls
from virt2.errors import CallFailed, Disconnected

PATIENCE = 0.5


class Bench:
    """A connection whose calls take as long as the test says."""

    def __init__(self) -> None:
        self.now = 100.0
        self.takes = 0.2
        self.failure: Exception | None = None
        self.seen: list[tuple[float, float | None]] = []
        """For each call how long it had hung by the end of it, and since when a worker was needed."""
        self.calls = Calls(lambda: self.now, PATIENCE)
        self.timed = self.calls.timed(self)

    def _answer(self, answer: object) -> object:
        self.now += self.takes
        self.seen.append((self.calls.hung_for(), self.calls.describing))
        if self.failure is not None:
            raise self.failure
        return answer

    def active(self) -> object:
        return self._answer([])

    def xml(self, uuid: str) -> object:
        return self._answer(f"<domain>{uuid}</domain>")


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_call_is_made_as_it_would_be_without(bench):
    assert bench.timed.active() == []
    assert bench.timed.xml("u") == "<domain>u</domain>"


def test_each_call_has_a_clock_of_its_own(bench):
    for _ in range(10):
        bench.timed.active()
    assert [hung for hung, _ in bench.seen] == [pytest.approx(0.2)] * 10
    assert bench.calls.hung_for() == 0.0


def test_a_call_that_needs_a_worker_is_told_from_one_that_has_priority(bench):
    bench.timed.active()
    bench.timed.xml("u")
    assert [describing for _, describing in bench.seen] == [None, pytest.approx(100.2)]
    assert bench.calls.describing is None


@pytest.mark.parametrize("failure", [CallFailed("no", 1), Disconnected("reset")])
def test_a_call_that_fails_is_not_under_way_any_more(bench, failure):
    bench.failure = failure
    with pytest.raises(type(failure)):
        bench.timed.active()
    bench.now += 10.0
    assert bench.calls.hung_for() == 0.0


def test_a_call_that_hung_until_its_connection_was_given_up_counts_until_there_is_word_on_a_new_one(bench):
    bench.failure, bench.takes = Disconnected("keepalive"), 20.0
    with pytest.raises(Disconnected):
        bench.timed.active()
    bench.now += 5.0
    assert bench.calls.hung_for() == 25.0
    bench.calls.forget_unanswered()
    assert bench.calls.hung_for() == 0.0
