"""What the tests of a fleet share: the samples and commands for operators, and what became of the values."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tests.lab import Collectd, wait_for
from tests.lab.collectd_daemon import Identifier, Point

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "fleet.md"
INTERVAL = 1.0
"""Seconds between two reads in these tests."""
LATE = 3.0
"""Seconds between two points of a series if no read was late. A busy machine takes its time."""
SOON = 30.0
"""Seconds within which values arrive that take a second at the most."""
FLUSH = 1.5
"""Intervals for which the network plugin may keep values until a packet is full."""


def sample(name: str, *changes: tuple[str, object]) -> str:
    """The text of a sample, changed where an operator changes it.

    Arguments:
        name: its path in the checkout.
        changes: texts of the sample, each with what stands there instead.

    Raises:
        ValueError: such a text is not in the sample, so the test would not use what it says.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    for old, new in changes:
        if old not in text:
            raise ValueError(f"{name} does not have {old!r}")
        text = text.replace(old, str(new))
    return text


def commands(program: str) -> list[list[str]]:
    """The arguments of each command line of a program that the page shows, in order."""
    lines = re.findall(rf"^ +{program} (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(line) for line in lines]


def identity() -> str:
    """The sample for names that stay with a domain, with this checkout's modules."""
    imports = 'Import "virt2"'
    return sample("collectd.conf.d/examples/virt2-fleet.conf", (imports, f'ModulePath "{ROOT}"\n  {imports}'))


def named(hostname: str, **drop_ins: str) -> dict[str, str]:
    """The drop-ins of a collectd with that name."""
    return {"name.conf": f'Hostname "{hostname}"\n', **{f"{name}.conf": text for name, text in drop_ins.items()}}


def wait_for_points(daemon: Collectd, host: str, number: int, since: float = 0.0) -> None:
    """Wait until each series of a host that goes on after a moment has so many points after it."""

    def enough() -> bool:
        after = [sum(when > since for when, _ in points) for points in daemon.series(host).values()]
        return any(after) and all(count >= number for count in after if count)

    wait_for(enough, SOON, f"points of {host}")


def lost(sender: Collectd, central: Collectd, host: str) -> dict[Identifier, list[Point]]:
    """The points of each series of a host that a sender has written and the central collectd has not got.

    Those at the end are left out: they may be on their way.
    """
    got = central.series(host)
    there = {name: set(points) for name, points in got.items()}
    until = max(points[-1][0] for points in got.values()) - FLUSH * INTERVAL
    return {
        name: [point for point in points if point[0] <= until and point not in there.get(name, ())]
        for name, points in sender.series(host).items()
    }
