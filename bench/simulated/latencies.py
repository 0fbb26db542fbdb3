"""Pure: what calls of libvirt's take, as it was recorded, and how a simulated call draws from that."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).parent / "latencies.json"
"""What was recorded last."""
BINS = 100
"""Into so many parts of the same size all calls of a kind are put by how long they took."""

OPEN, VERSION, ACTIVE, PAUSED, LOOK_UP, XML, INFO, STATE, CONTROL, DISK = (
    "open",
    "version",
    "active",
    "paused",
    "look-up",
    "xml",
    "info",
    "state",
    "control",
    "disk",
)
CALLS = (OPEN, VERSION, ACTIVE, PAUSED, LOOK_UP, XML, INFO, STATE, CONTROL, DISK)
"""Every kind of call that is recorded; the place of each is its number on the wire."""
LISTS = frozenset({ACTIVE, PAUSED})
"""Those whose time goes by the number of domains there are."""
PRIORITY = frozenset({OPEN, ACTIVE, PAUSED, LOOK_UP, STATE, CONTROL})
"""Those for which libvirtd has workers of their own."""


class Latency(NamedTuple):
    """What one kind of call takes."""

    bins: tuple[float, ...]
    """Seconds: the mean of each of the bins, the quickest first. Of lists, for each domain that there is."""
    busy: float
    """Part of that time for which a processor is busy: in libvirtd, in the QEMU, or in libvirt's part of the client."""

    @property
    def mean(self) -> float:
        """Seconds."""
        return sum(self.bins) / len(self.bins)


class Latencies(NamedTuple):
    """What was recorded of one libvirtd."""

    origin: str
    """Where and with how many guests."""
    calls: Mapping[str, Latency]

    def draw(self, call: str, domains: int, dice: random.Random) -> tuple[float, float]:
        """What one call takes: seconds in which a processor is busy, and seconds in which it waits.

        Arguments:
            domains: how many there are on the host.
            dice: where chance comes from.
        """
        latency = self.calls[call]
        seconds = dice.choice(latency.bins) * (domains if call in LISTS else 1)
        return seconds * latency.busy, seconds * (1 - latency.busy)


def latency(took: Iterable[float], busy: float) -> Latency:
    """Sum up what many calls of one kind took.

    Arguments:
        took: seconds, of each call.
        busy: seconds for which processors were busy because of all of them.
    """
    ordered = sorted(took)
    if len(ordered) < BINS:
        raise ValueError(f"{len(ordered)} calls are too few for {BINS} bins")
    bounds = [len(ordered) * number // BINS for number in range(BINS + 1)]
    parts = [ordered[low:high] for low, high in zip(bounds, bounds[1:])]
    bins = tuple(sum(part) / len(part) for part in parts)
    return Latency(bins, min(1.0, max(0.0, busy / sum(ordered))))


def dump(latencies: Latencies) -> str:
    """As text, in µs."""
    calls = []
    for call, latency in latencies.calls.items():
        bins = [round(1e6 * one, 2) for one in latency.bins]
        calls.append(f'  "{call}": {{"busy": {latency.busy:.3f}, "bins": {json.dumps(bins)}}}')
    lines = ",\n".join(calls)
    return f'{{\n "origin": {json.dumps(latencies.origin)},\n "calls": {{\n{lines}\n }}\n}}\n'


def load(text: str) -> Latencies:
    """Read what `dump` made."""
    said = json.loads(text)
    calls = {
        call: Latency(tuple(one / 1e6 for one in latency["bins"]), latency["busy"])
        for call, latency in said["calls"].items()
    }
    if set(calls) != set(CALLS) or any(len(latency.bins) != BINS for latency in calls.values()):
        raise ValueError(f"not what was recorded of {', '.join(CALLS)}")
    return Latencies(said["origin"], calls)
