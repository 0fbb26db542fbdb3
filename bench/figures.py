"""Pure: from what was measured to the figures that are promised."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

C_PLUGIN = "C plugin"
VIRT2 = "virt2"
FLOOR = "floor"
C_EXTRA = "C plugin, all ExtraStats"
VIRT2_EXTRA = "virt2, all ExtraStats"
BULK = 'virt2, DiskStats "bulk"'
STUCK = "virt2, 10 % of guests stuck"
ROWS = (C_PLUGIN, VIRT2, FLOOR, BULK, C_EXTRA, VIRT2_EXTRA, STUCK)
"""What is measured at each size, in the order of a round."""

PROMISED_AT = 100
"""Domains at which the promises hold."""
FEW, MANY = 50, 200
"""Domains whose cost per domain is compared."""


class Window(NamedTuple):
    """What was measured while one contestant cycled; CPU in seconds per cycle."""

    cycles: tuple[float, ...]
    """Seconds that each took."""
    libvirtd: float
    qemus: float
    """Their idle use is not in it; noise may leave less than nothing."""
    own: float
    """Of collectd, or of the bare loop."""
    rss: int
    """KiB at the end, of the same process."""
    pss: int


class Spread(NamedTuple):
    """The middle and the ends of what was measured several times."""

    median: float
    low: float
    high: float


class Row(NamedTuple):
    """All windows of one contestant at one size."""

    wall: Spread
    """Over all cycles; the rest is over the windows."""
    libvirtd: Spread
    qemus: Spread
    own: Spread
    rss: Spread
    pss: Spread
    cycles: int


class Verdict(NamedTuple):
    """One promise, and what came of it."""

    figure: str
    bound: float
    measured: float | None
    """None where what it takes was not measured."""
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it was kept; None where that was not measured."""
        return None if self.measured is None else self.measured <= self.bound


Rows = Mapping[str, Row]


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest."""
    return Spread(statistics.median(values), min(values), max(values))


def row(windows: Sequence[Window]) -> Row:
    """Sum up the windows of one contestant."""
    return Row(
        wall=spread([cycle for window in windows for cycle in window.cycles]),
        libvirtd=spread([window.libvirtd for window in windows]),
        qemus=spread([window.qemus for window in windows]),
        own=spread([window.own for window in windows]),
        rss=spread([window.rss for window in windows]),
        pss=spread([window.pss for window in windows]),
        cycles=sum(len(window.cycles) for window in windows),
    )


def judged_at(sizes: Mapping[int, Rows]) -> int:
    """The size whose figures are held against the promises: theirs, else the greatest that was measured."""
    return PROMISED_AT if PROMISED_AT in sizes else max(sizes)


def verdicts(sizes: Mapping[int, Rows]) -> list[Verdict]:
    """Hold everything against what is promised."""
    rows = sizes[judged_at(sizes)]
    c, ours = rows[C_PLUGIN], rows[VIRT2]
    growth = None
    if FEW in sizes and MANY in sizes:
        growth = sizes[MANY][VIRT2].wall.median / MANY / (sizes[FEW][VIRT2].wall.median / FEW)
    return [
        Verdict("wall time of a cycle, to the C plugin's", 0.40, ours.wall.median / c.wall.median),
        Verdict("libvirtd's CPU, to the C plugin's", 0.60, ours.libvirtd.median / c.libvirtd.median),
        Verdict("QEMUs' CPU, to the C plugin's", 0.70, ours.qemus.median / c.qemus.median),
        Verdict("collectd's CPU, to the C plugin's", 0.35, ours.own.median / c.own.median),
        Verdict("wall time, to the floor's", 1.15, ours.wall.median / rows[FLOOR].wall.median),
        Verdict(f"wall time per domain, {MANY} to {FEW} domains", 1.10, growth),
        Verdict("memory of collectd beyond the C plugin's", 30.0, (ours.rss.median - c.rss.median) / 1024, "MiB"),
        Verdict("wall time, 10 % stuck to none", 1.20, rows[STUCK].wall.median / ours.wall.median),
        Verdict(
            "wall time with all ExtraStats, to the C plugin's",
            0.40,
            rows[VIRT2_EXTRA].wall.median / rows[C_EXTRA].wall.median,
        ),
        Verdict("wall time with disks in bulk, to the C plugin's", 0.30, rows[BULK].wall.median / c.wall.median),
        Verdict("libvirtd's CPU with disks in bulk", 0.45, rows[BULK].libvirtd.median / c.libvirtd.median),
    ]
