"""The states of domains: read with the list, where they are wanted and as seldom as that needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.unit.domains.bench import Bench
from virt2.domains.states import Statuses
from virt2.errors import CallFailed
from virt2.model.domain import Status


class TestStatuses:
    """The states of all domains, only where somebody wants them and as seldom as that needs."""

    @pytest.fixture
    def taken(self) -> list[Statuses]:
        return []

    @pytest.fixture
    def build(self, hypervisor, taken) -> Iterator[Callable[..., Bench]]:
        benches = []

        def build(**options: object) -> Bench:
            bench = Bench(hypervisor, on_statuses=taken.append, **options)
            benches.append(bench)
            bench.start()
            assert bench.attempt()
            return bench

        yield build
        for bench in benches:
            bench.inventory.stop()
            bench.hypervisor.cut()

    def test_nobody_wants_them_by_default(self, listed):
        listed.clock.now += 1000
        listed.attempt()
        assert listed.hypervisor.count("statuses") == 0
        assert listed.inventory.statuses is None

    def test_they_are_read_once_per_connection(self, build, taken, hypervisor):
        bench = build()
        for _ in range(3):
            bench.clock.now += 100
            bench.attempt()
        assert [statuses.first for statuses in taken] == [True]
        hypervisor.cut()
        bench.attempt()
        assert [statuses.first for statuses in taken] == [True, True]
        assert bench.inventory.statuses is taken[-1]

    def test_or_every_so_often_with_a_list(self, build, taken, hypervisor):
        bench = build(statuses_every=10.0)
        before = taken[0].asked
        for seconds in (1, 1, 1, 7, 1, 9, 10):
            bench.clock.now += seconds
            bench.attempt()
        assert [round(statuses.asked - before) for statuses in taken] == [0, 10, 20, 30]
        assert [statuses.first for statuses in taken] == [True, False, False, False]

    def test_with_those_that_are_not_active_and_without_those_that_are_left_out(self, build, taken, hypervisor):
        hypervisor.inactive = [Status("u-off", "off", -1, True, 5, 1), Status("u-out", "out", -1, True, 5, 1)]
        build(wants=lambda name, uuid: name != "out")
        assert [(status.name, status.active) for status in taken[0].domains] == [
            ("db", True),
            ("web", True),
            ("off", False),
        ]

    def test_a_failure_costs_them_and_not_the_list(self, build, taken, hypervisor, caplog):
        bench = build(statuses_every=1.0)
        connection = hypervisor.connections[-1]

        def fail() -> list[Status]:
            raise CallFailed("by hand")

        connection.statuses = fail
        for _ in range(2):
            bench.clock.now += 10
            assert bench.attempt()
        assert bench.names == ["db", "web"]
        assert len(taken) == 1
        assert [record.getMessage() for record in caplog.records] == [
            "the states of domains could not be read: by hand"
        ]


class TestInactiveDomains:
    """Their states, where they are wanted."""

    OFF = Status("u-off", "off", -1, True, 5, 1)

    @pytest.fixture
    def left_out(self) -> set[str]:
        return set()

    @pytest.fixture
    def wanted(self, hypervisor, left_out) -> Iterator[Bench]:
        hypervisor.inactive = [self.OFF]
        bench = Bench(hypervisor, inactive_every=10.0, wants=lambda name, uuid: name not in left_out)
        bench.start()
        bench.attempt()
        yield bench
        bench.inventory.stop()

    def test_by_default_nobody_asks(self, listed):
        listed.attempt()
        assert listed.hypervisor.count("inactive") == 0
        assert listed.inventory.inactive is None

    def test_they_are_read_with_the_list_as_often_as_wanted(self, wanted):
        times = {wanted.inventory.inactive.asked}
        for _ in range(6):
            wanted.clock.now += 5.0
            wanted.attempt()
            times.add(wanted.inventory.inactive.asked)
        assert wanted.inventory.inactive.domains == [self.OFF]
        assert len(times) == 1 + 3

    def test_those_that_are_filtered_out_are_left_out(self, wanted, left_out):
        left_out.add("off")
        wanted.clock.now += 10.0
        wanted.attempt()
        assert wanted.inventory.inactive.domains == []

    def test_where_they_cannot_be_read_the_list_stands_and_that_is_said_once(self, wanted, caplog):
        (connection,) = wanted.hypervisor.connections

        def fail() -> list[Status]:
            raise CallFailed("internal error", 1)

        connection.inactive = fail
        for _ in range(2):
            wanted.clock.now += 10.0
            assert wanted.attempt()
        assert [record.getMessage() for record in caplog.records] == [
            "the states of inactive domains could not be read: internal error"
        ]
