"""Makes rates out of the values of two answers. It is pure.

A value carries the time that it was taken, and two answers may have the same one, because virt2 reads less often than a
viewer asks. So a rate is that of the two newest times, and is shown until there is a newer one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from virt2.status.answers import Top

OLD_AFTER = 3
"""Intervals after which a value is not shown any more, because it says nothing of now."""
CPU, DISK, NET, MEMORY = "virt_cpu_total", "disk_octets", "if_octets", "memory"
HALVES = {"if_rx_octets": 0, "if_tx_octets": 1}
"""Types that have one direction of a pair alone, with its place in the pair."""
NS = 1e9


class Figures(NamedTuple):
    """What is shown of one domain. None stands for what is not known."""

    cpu: float | None = None
    """Percent of one CPU."""
    memory: float | None = None
    """Bytes that the guest has."""
    read: float | None = None
    written: float | None = None
    """Bytes per second, of all disks that are reported."""
    received: float | None = None
    sent: float | None = None
    """Bytes per second, of all interfaces that are reported."""


UNKNOWN = Figures()

_Series = tuple[str, str, str]
"""UUID, type and instance."""


class _Past(NamedTuple):
    """What is kept of one series."""

    time: float
    values: Sequence[float]
    rates: Sequence[float] | None
    """Per second; None before there are two values, and where a counter began again."""


class Rates:
    """What two or more answers have told."""

    def __init__(self) -> None:
        self._past: dict[_Series, _Past] = {}
        self._figures: dict[str, Figures] = {}

    def __repr__(self) -> str:
        return f"<Rates of {len(self._figures)} domains>"

    def of(self, uuid: str) -> Figures:
        """Give what is known of a domain."""
        return self._figures.get(uuid, UNKNOWN)

    def take(self, answer: Top) -> None:
        """Take the next answer. What it does not tell is forgotten."""
        past: dict[_Series, _Past] = {}
        oldest = answer["time"] - OLD_AFTER * answer["interval"]
        self._figures = {}
        for row in answer["domains"]:
            figures: dict[str, float] = {}
            for value in row["values"]:
                kind, values = value["type"], value["values"]
                series = (row["uuid"], kind, value["instance"])
                kept = past[series] = _next(self._past.get(series), value["time"], values)
                if kept.time < oldest:
                    continue
                if kind == MEMORY and value["instance"] == "total" and values:
                    figures["memory"] = values[0]
                elif kept.rates is not None:
                    for name, rate in _named(kind, kept.rates):
                        figures[name] = figures.get(name, 0.0) + rate
            self._figures[row["uuid"]] = Figures(**figures)
        self._past = past


def _next(before: _Past | None, time: float, values: Sequence[float]) -> _Past:
    """What is kept of a series after one more value."""
    if before is None or len(before.values) != len(values) or time < before.time:
        return _Past(time, values, None)
    if time == before.time:
        return before
    grown = [(now - then) / (time - before.time) for then, now in zip(before.values, values)]
    # A counter that runs backwards has begun again.
    return _Past(time, values, None if min(grown, default=0.0) < 0 else grown)


def _named(kind: str, rates: Sequence[float]) -> Sequence[tuple[str, float]]:
    """Which figures the rates of a type are."""
    if kind == CPU and len(rates) == 1:
        return [("cpu", rates[0] / NS * 100)]
    if kind == DISK and len(rates) == 2:
        return [("read", rates[0]), ("written", rates[1])]
    if kind == NET and len(rates) == 2:
        return [("received", rates[0]), ("sent", rates[1])]
    if kind in HALVES and len(rates) == 1:
        return [(("received", "sent")[HALVES[kind]], rates[0])]
    return []
