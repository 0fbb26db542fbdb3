"""Whether anybody else may be inside a monitor, told from what libvirtd says of its workers."""

from dataclasses import dataclass

import pytest

from virt2.workers.other_clients import FRESH, OtherClients


@dataclass
class Workers:
    busy: int
    free_workers: int = 5
    job_queue_depth: int = 0


class Bench:
    """Our view of other clients, whose readings come at once."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 0
        self.busy = 0
        self.asked = 0
        self.other_clients = OtherClients(self, self.ask, clock=lambda: self.now)

    def ask(self) -> None:
        self.asked += 1

    def see_queue(self, when: object) -> None:
        self.queue_seen = when

    def read(self) -> Workers:
        return self.other_clients.reading(lambda: Workers(self.busy))

    def away(self, answered=90.0) -> bool:
        return self.other_clients.check(answered)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_nothing_told_yet_is_company_and_has_it_asked(bench):
    assert not bench.away()
    assert bench.asked == 1


def test_with_no_worker_busy_but_ours_nobody_else_is_in_a_monitor(bench):
    bench.used = bench.busy = 3
    bench.read()
    assert bench.away()


def test_one_worker_more_than_ours_is_company(bench):
    bench.used, bench.busy = 3, 4
    bench.read()
    assert not bench.away()


def test_calls_of_ours_that_began_or_ended_meanwhile_are_no_company(bench):
    def attempt():
        bench.used = 4
        return Workers(4)

    bench.other_clients.reading(attempt)
    assert bench.away()

    def later():
        bench.used = 0
        return Workers(4)

    bench.other_clients.reading(later)
    assert bench.away()


def test_a_reading_counts_from_before_it_was_made_and_not_for_long(bench):
    def slow():
        bench.now += FRESH / 2
        return Workers(0)

    bench.other_clients.reading(slow)
    assert bench.away()
    bench.now += FRESH
    assert not bench.away()


def test_a_reading_is_asked_for_again_before_it_is_too_old_and_not_by_everybody(bench):
    assert not bench.away()
    bench.read()
    for _ in range(10):
        assert bench.away()
    assert bench.asked == 1
    bench.now += 0.6 * FRESH
    for _ in range(10):
        assert bench.away()
    assert bench.asked == 2


@pytest.mark.parametrize("answered", [None, 99.0, 100.0])
def test_a_domain_that_has_not_answered_since_the_connection_was_made_is_looked_at(bench, answered):
    bench.other_clients.reconnected()
    bench.now += 5
    bench.read()
    assert not bench.away(answered)
    assert bench.away(answered=101.0)


def test_a_reading_that_fails_leaves_the_last_one_to_its_age(bench):
    bench.read()

    def fail():
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        bench.other_clients.reading(fail)
    assert bench.away()
    bench.now += 2 * FRESH
    assert not bench.away()
