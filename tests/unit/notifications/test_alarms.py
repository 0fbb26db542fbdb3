"""What an operator is told of stuck domains: each thing when it begins and when it is over, and no flood."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virt2.domains.health import Health
from virt2.model.domain import Description, Disk, Domain
from virt2.notifications.alarms import APART, Alarms
from virt2.notifications.notification import OKAY, WARNING
from virt2.output.naming import Identity

STUCK_AFTER = 2.0
WEB = Domain("u1", "web", 1, Description(disks=(Disk("vda", "/nfs/web.img", "nfs:/export"),)))
BARE = Domain("u2", "bare", 2)


class Bench:
    """Alarms on a clock that the test moves, and the health of two domains."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[tuple[str, str, Identity]] = []
        self.alarms = Alarms(STUCK_AFTER, self._notify, clock=lambda: self.now)
        self.healths = {domain.uuid: Health(self.now) for domain in (WEB, BARE)}

    def _notify(self, severity: str, message: str, identity: Identity) -> None:
        self.told.append((severity, message, identity))

    def block(self, domain: Domain = WEB, cause: str = "blockStats") -> None:
        self.healths[domain.uuid].block(cause, self.now)

    def clear(self, domain: Domain = WEB) -> None:
        self.healths[domain.uuid].clear()

    def read(self, seconds: float = 0.0) -> None:
        """Let time pass, and both domains be read."""
        self.now += seconds
        for domain in (WEB, BARE):
            self.alarms.review(domain, Identity(domain.name, "i"), self.healths[domain.uuid])

    @property
    def severities(self) -> list[str]:
        return [severity for severity, _, _ in self.told]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_domain_that_is_well_is_not_spoken_of(bench):
    bench.read(10.0)
    assert bench.told == []


def test_a_stuck_domain_is_one_warning_and_one_okay(bench):
    bench.block()
    for _ in range(20):
        bench.read(10.0)
    bench.clear()
    for _ in range(20):
        bench.read(10.0)
    assert bench.severities == [WARNING, OKAY]


def test_the_warning_says_who_is_blocked_for_how_long_by_what_and_where(bench, caplog):
    bench.block()
    bench.read(12.0)
    text = "domain web: monitor blocked for 12 s (blockStats), storage domain nfs:/export"
    assert bench.told == [(WARNING, text, Identity("web", "i"))]
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [(logging.WARNING, text)]


def test_the_okay_says_how_long_it_was_blocked(bench, caplog):
    caplog.set_level(logging.INFO)
    bench.block()
    bench.read(12.0)
    bench.clear()
    bench.read(30.0)
    text = "domain web: monitor answers again after 42 s"
    assert bench.told[1:] == [(OKAY, text, Identity("web", "i"))]
    assert [(record.levelno, record.getMessage()) for record in caplog.records[1:]] == [(logging.INFO, text)]


def test_where_nothing_is_known_of_its_storage_that_is_said(bench):
    bench.block(BARE)
    bench.read(5.0)
    assert bench.told[0][1].endswith("storage domain unknown")


def test_before_it_has_been_blocked_long_enough_nothing_is_said(bench):
    bench.block()
    bench.read(STUCK_AFTER - 0.01)
    assert bench.told == []
    bench.read(0.01)
    assert bench.severities == [WARNING]


def test_who_was_blocked_for_a_moment_is_not_spoken_of(bench):
    bench.block()
    bench.read(STUCK_AFTER / 2)
    bench.clear()
    bench.read(10.0)
    assert bench.told == []


def test_each_domain_has_an_alarm_of_its_own(bench):
    bench.block(WEB)
    bench.read(5.0)
    bench.block(BARE)
    bench.read(5.0)
    bench.clear(WEB)
    bench.read(5.0)
    assert [(severity, identity.host) for severity, _, identity in bench.told] == [
        (WARNING, "web"),
        (WARNING, "bare"),
        (OKAY, "web"),
    ]


def test_a_domain_that_flaps_is_told_once_a_minute(bench):
    begun = []
    for _ in range(100):
        bench.block()
        bench.read(STUCK_AFTER)
        if bench.told and bench.told[-1][0] == WARNING:
            begun.append(bench.now)
        bench.clear()
        bench.read(1.0)
    assert bench.severities == [WARNING, OKAY] * (len(bench.told) // 2)
    assert len(begun) == len(bench.told) // 2 >= 4
    assert all(APART <= later - earlier <= APART + 3.0 for earlier, later in zip(begun, begun[1:]))


def test_one_that_is_stuck_again_within_the_minute_is_told_when_it_is_over(bench):
    bench.block()
    bench.read(STUCK_AFTER)
    bench.clear()
    bench.read(1.0)
    bench.block()
    bench.read(APART - 1.5)
    assert bench.severities == [WARNING, OKAY]
    bench.read(1.0)
    assert bench.severities == [WARNING, OKAY, WARNING]


class TestGone:
    """A domain that is stopped while it is stuck."""

    def test_its_alarm_is_cleared_once(self, bench):
        bench.block()
        bench.read(5.0)
        for _ in range(3):
            bench.alarms.retain([BARE.uuid])
        assert bench.severities == [WARNING, OKAY]
        assert bench.told[1][1:] == (
            "domain web: it is gone; its monitor was blocked until the end",
            Identity("web", "i"),
        )

    def test_those_that_stay_keep_theirs(self, bench):
        bench.block()
        bench.read(5.0)
        bench.alarms.retain([WEB.uuid])
        bench.read(5.0)
        assert bench.severities == [WARNING]

    def test_of_one_that_was_well_nothing_is_said(self, bench):
        bench.read(5.0)
        bench.alarms.retain([])
        assert bench.told == []

    def test_a_read_that_began_before_it_went_raises_nothing(self, bench):
        bench.block()
        bench.read(5.0)
        bench.alarms.retain([BARE.uuid])
        bench.read(APART)
        assert bench.severities == [WARNING, OKAY]

    def test_one_that_comes_and_goes_stuck_is_told_once_a_minute_too(self, bench):
        for _ in range(10):
            bench.alarms.retain([WEB.uuid])
            bench.block()
            bench.read(STUCK_AFTER)
            bench.alarms.retain([])
            bench.clear()
            bench.now += 1.0
        assert bench.severities == [WARNING, OKAY]
        bench.now += APART
        bench.alarms.retain([WEB.uuid])
        bench.block()
        bench.read(STUCK_AFTER)
        assert bench.severities == [WARNING, OKAY, WARNING]

    def test_nothing_is_remembered_of_it_for_ever(self, bench):
        bench.block()
        bench.read(STUCK_AFTER)
        bench.now += APART
        bench.alarms.retain([])
        assert (len(bench.alarms._begun), bench.alarms._raised) == (0, {})


@given(st.lists(st.tuples(st.sampled_from(["block", "clear", "gone", "back"]), st.sampled_from([0.5, 3.0, 30.0]))))
@settings(max_examples=60)
def test_whatever_happens_warnings_and_okays_take_turns_and_warnings_are_a_minute_apart(steps):
    bench = Bench()
    warned = []
    for step, seconds in steps:
        if step == "block":
            bench.block()
        elif step == "clear":
            bench.clear()
        else:
            bench.alarms.retain([WEB.uuid] if step == "back" else [])
        count = len(bench.told)
        bench.read(seconds)
        assert len(bench.told) <= count + 1
        if len(bench.told) > count and bench.told[-1][0] == WARNING:
            warned.append(bench.now)
    assert bench.severities == [WARNING, OKAY] * (len(bench.told) // 2) + [WARNING] * (len(bench.told) % 2)
    assert all(later - earlier >= APART for earlier, later in zip(warned, warned[1:]))
