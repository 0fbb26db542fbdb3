"""Counters that are read off the host by name are those of the domain whose device it is."""

from __future__ import annotations

import pytest

from virt2.model.domain import Description, Domain, Nic
from virt2.model.replies import NicStats
from virt2.readers.taps import Taps

STATS = NicStats(1, 2, 3, 4, 5, 6, 7, 8)


class Bench:
    """A host with devices, and the domains that libvirt's last list had."""

    def __init__(self) -> None:
        self.indices: dict[str, int] = {}
        self.looked_up: list[str] = []
        self.everybody: list[Domain] = []
        self.version = 0
        self.taps = Taps(self, self._index)

    def domains(self) -> tuple[int, list[Domain]]:
        return self.version, list(self.everybody)

    def _index(self, name: str) -> int:
        self.looked_up.append(name)
        if name not in self.indices:
            raise OSError("No such device")
        return self.indices[name]

    def add(self, name: str, id: int, *nics: str, tap: bool = True) -> Domain:
        """Let a list have a domain, in the place of one of the same name."""
        self.everybody = [domain for domain in self.everybody if domain.name != name]
        self.everybody.append(
            Domain(f"u-{name}", name, id, Description(nics=tuple(Nic(nic, "", tap=tap) for nic in nics)))
        )
        self.version += 1
        return self.everybody[-1]

    def plug(self, name: str, index: int) -> None:
        self.indices[name] = index

    def sure(self, current: bool = True, domains: list[Domain] | None = None) -> set[str]:
        counters = dict.fromkeys(self.indices, STATS)
        return set(self.taps.sure(counters, self.everybody if domains is None else domains, current))


@pytest.fixture
def bench() -> Bench:
    """Two domains that were read while all was well."""
    bench = Bench()
    for name, id, nic in (("web", 1, "vnet0"), ("db", 2, "vnet1")):
        bench.add(name, id, nic)
        bench.plug(nic, 10 + id)
    bench.sure()
    return bench


def test_while_the_list_is_current_a_device_is_the_one_that_was_described(bench):
    assert bench.sure() == {"vnet0", "vnet1"}


def test_a_steady_read_looks_nothing_up(bench):
    bench.looked_up.clear()
    for _ in range(3):
        bench.sure()
    assert bench.looked_up == []


def test_with_a_list_that_hangs_a_name_that_is_another_device_now_is_nobodys(bench):
    bench.plug("vnet0", 99)
    assert bench.sure(current=False) == {"vnet1"}


def test_with_a_list_that_hangs_devices_that_are_still_the_same_are_used(bench):
    assert bench.sure(current=False) == {"vnet0", "vnet1"}


def test_a_device_that_was_not_there_when_it_was_described_is_nobodys_when_it_comes():
    bench = Bench()
    bench.add("web", 1, "vnet0")
    bench.plug("vnet7", 1)
    bench.sure()
    bench.plug("vnet0", 2)
    assert bench.sure(current=False) == {"vnet7"}


def test_a_name_that_two_domains_claim_is_left_to_libvirt(bench):
    bench.add("new", 3, "vnet1", "vnet2")
    bench.plug("vnet2", 13)
    assert bench.sure() == {"vnet0", "vnet2"}
    bench.everybody = [domain for domain in bench.everybody if domain.name != "db"]
    bench.version += 1
    assert bench.sure() == {"vnet0", "vnet1", "vnet2"}


def test_so_it_is_where_the_other_one_has_another_reader(bench):
    bench.add("new", 3, "vnet1")
    assert bench.sure(domains=bench.everybody[:2]) == {"vnet0"}


def test_a_device_that_is_no_tap_claims_no_name_of_the_hosts(bench):
    bench.add("new", 3, "vnet1", tap=False)
    assert bench.sure() == {"vnet0", "vnet1"}


def test_a_domain_that_was_described_anew_has_the_devices_it_has_then(bench):
    bench.plug("vnet0", 99)
    bench.add("web", 1, "vnet0")
    assert bench.sure() == {"vnet0", "vnet1"}
    assert bench.sure(current=False) == {"vnet0", "vnet1"}


def test_a_domain_found_while_the_list_hangs_has_its_own(bench):
    bench.add("new", 3, "vnet2")
    bench.plug("vnet2", 13)
    assert bench.sure(current=False) == {"vnet0", "vnet1", "vnet2"}
    bench.plug("vnet2", 14)
    assert bench.sure(current=False) == {"vnet0", "vnet1"}


def test_described_anew_with_the_same_devices_it_is_no_proof_that_they_are_the_same_still(bench):
    bench.plug("vnet0", 99)
    bench.everybody = [
        domain._replace(description=domain.description._replace(tag="blue")) for domain in bench.everybody
    ]
    assert bench.sure(current=False) == {"vnet1"}


def test_domains_that_are_gone_are_forgotten(bench):
    bench.everybody, bench.version = [], bench.version + 1
    bench.sure()
    assert bench.taps._known == {}


def test_without_the_hosts_counters_nothing_is_looked_up():
    bench = Bench()
    bench.add("web", 1, "vnet0")
    assert bench.taps.sure({}, bench.everybody, False) == {}
    assert bench.looked_up == []


def test_a_name_that_cannot_be_asked_for_is_of_no_device():
    def index(name: str) -> int:
        return len(name.encode("ascii"))

    bench = Bench()
    domain = bench.add("web", 1, "vnet\u00e9")
    assert Taps(bench, index).sure({"vnet\u00e9": STATS}, [domain], True) == {"vnet\u00e9": STATS}
