"""The state of domains that no reader has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from virt2.domains.states import Statuses
from virt2.metrics.metric import Metric
from virt2.model.domain import Description, Domain, Status
from virt2.output.naming import Identity, Names
from virt2.readers.inactive import InactiveStates


class Inventory:
    """What was read of inactive domains, and which are active."""

    def __init__(self) -> None:
        self.inactive: Statuses | None = None
        self.active: set[str] = set()
        self.described: dict[str, Domain] = {}

    def knows(self, uuid: str) -> bool:
        return uuid in self.active

    def find(self, uuid: str) -> Domain | None:
        return self.described.get(uuid)


class Bench:
    def __init__(self) -> None:
        self.inventory = Inventory()
        self.names = Names(("name",), (), "node1")
        self.points: list[tuple[str, Metric, float]] = []
        self.states = InactiveStates(self.inventory, self.names, self, clock=lambda: 103.0, wall=lambda: 1003.0)

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        self.points += [(identity.host, metric, when) for metric in metrics]


@pytest.fixture
def bench() -> Bench:
    return Bench()


OFF = Status("u-off", "off", -1, True, 5, 1)
CRASHED = Status("u-bad", "bad", -1, True, 6, 1)


def test_before_any_was_read_nothing_goes_out(bench):
    bench.states.report()
    assert bench.points == []


def test_each_goes_out_once_with_the_time_it_was_asked_for(bench):
    bench.inventory.inactive = Statuses([OFF, CRASHED], asked=101.0)
    for _ in range(2):
        bench.states.report()
    assert bench.points == [
        ("off", Metric("domain_state", "", (5, 1)), 1001.0),
        ("bad", Metric("domain_state", "", (6, 1)), 1001.0),
    ]


def test_the_next_reading_goes_out_again(bench):
    for asked in (101.0, 102.0):
        bench.inventory.inactive = Statuses([OFF], asked)
        bench.states.report()
    assert [when for _, _, when in bench.points] == [1001.0, 1002.0]


def test_one_that_was_started_meanwhile_is_its_readers(bench):
    bench.inventory.inactive = Statuses([OFF, CRASHED], asked=101.0)
    bench.inventory.active = {"u-off"}
    bench.states.report()
    assert [host for host, _, _ in bench.points] == ["bad"]


def test_it_never_takes_the_identity_of_an_active_domain(bench):
    bench.names.of(Domain("another", "off", 3))
    bench.inventory.inactive = Statuses([OFF], asked=101.0)
    bench.states.report()
    ((host, _, _),) = bench.points
    assert host != "off"


def test_it_goes_by_the_name_that_metadata_give_it(bench):
    bench.states._names = Names(("metadata",), (), "node1")
    bench.inventory.described["u-off"] = Domain("u-off", "off", -1, Description(metadata="shop"))
    bench.inventory.inactive = Statuses([OFF], asked=101.0)
    bench.states.report()
    assert [host for host, _, _ in bench.points] == ["shop"]


def test_two_inactive_domains_that_collectd_writes_alike_are_kept_apart(bench):
    bench.inventory.inactive = Statuses([OFF._replace(name="shop/db"), CRASHED._replace(name="shop_db")], asked=101.0)
    bench.states.report()
    assert sorted(host for host, _, _ in bench.points) == ["shop_db", "shop_db~uoff"]


def test_it_gives_its_name_to_one_that_is_started(bench):
    for asked in (101.0, 102.0):
        bench.inventory.inactive = Statuses([OFF], asked)
        bench.states.report()
        bench.names.of(Domain("another", "off", 3))
    assert [host for host, _, _ in bench.points] == ["off", "off~uoff"]
