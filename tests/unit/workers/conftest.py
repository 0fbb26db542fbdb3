"""Pools that are looked at from inside the calls; see `tests.unit.workers.pool_bench`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.unit.workers.pool_bench import Bench


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(size: int, daemon: object = None) -> Bench:
        made.append(Bench(size, daemon))
        return made[-1]

    yield make
    for bench in made:
        bench.end()
        assert not bench.violations
