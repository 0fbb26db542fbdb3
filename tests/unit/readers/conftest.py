"""Readers to be looked at; see `tests.unit.readers.reader_bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.unit.readers.reader_bench import Bench


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make_bench(**options: object) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make_bench
    for bench in made:
        bench.end()


@pytest.fixture
def bench(make) -> Bench:
    """Three domains that have been read once."""
    bench = make()
    for name in ("db", "web", "www"):
        bench.hypervisor.add(name, disks=("vda", "vdb"), nics=("vnet0",))
    bench.inventory.start()
    bench.read()
    return bench
