"""What the tests of this wing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.domains.bench import Bench
from tests.unit.fakes import FakeHypervisor


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    hypervisor = FakeHypervisor()
    hypervisor.add("db", tag="blue", disks=("vda", "vdb"))
    hypervisor.add("web")
    return hypervisor


@pytest.fixture
def bench(hypervisor) -> Iterator[Bench]:
    bench = Bench(hypervisor)
    yield bench
    bench.inventory.stop()
    bench.hypervisor.cut()


@pytest.fixture
def listed(bench) -> Bench:
    """A bench on which the first list has been read."""
    bench.start()
    assert bench.attempt()
    bench.hypervisor.calls.clear()
    return bench
