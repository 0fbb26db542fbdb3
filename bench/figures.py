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

ALONE = "collectd with neither"
PACED_ROWS = (C_PLUGIN, VIRT2, FLOOR, ALONE)
"""What is measured at an interval, in the order of a round."""

PROMISED_AT = 100
"""Domains at which the promises hold that are for reads without a pause."""
FEW, MANY = 50, 200
"""Domains whose cost per domain is compared."""


class Pace(NamedTuple):
    """Reads at an interval."""

    domains: int
    interval: float
    """Seconds."""

    def __str__(self) -> str:
        return f"{self.domains} domains every {self.interval:g} s"


MEDIUM, SMALL = Pace(60, 10.0), Pace(2, 5.0)
"""The hosts that are read at an interval."""


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


class PacedWindow(NamedTuple):
    """What was used in whole intervals of one contestant; CPU in seconds per interval."""

    libvirtd: float
    qemus: float
    """With what the guests themselves use."""
    own: float
    """Of collectd, or of the bare loop: the whole process."""
    rss: int
    """KiB at the end, of the same process."""
    intervals: int


class PacedRow(NamedTuple):
    """All windows of one contestant at one pace."""

    libvirtd: Spread
    qemus: Spread
    own: Spread
    rss: Spread
    intervals: int


class ThreadUse(NamedTuple):
    """What threads of one kind use in an interval."""

    threads: int
    cpu: float
    """Seconds."""
    wakes: float
    """How often one of them is woken up."""


class Paced(NamedTuple):
    """What was measured at one pace."""

    rows: Mapping[str, PacedRow]
    threads: Mapping[str, ThreadUse]
    """Of the collectd with virt2, by the threads' names; numbers in them are stars."""


class Lost(NamedTuple):
    """What one plugin lost while libvirtd was away."""

    series: int
    """Series of CPU and interfaces there are."""
    expected: int
    """Points that all of them have by the interval."""
    dead: int
    """Points missing around the time without a libvirtd."""
    frozen: int
    """Points missing around the time with one that does not answer."""

    @property
    def missing(self) -> int:
        """All of them."""
        return self.dead + self.frozen


class Verdict(NamedTuple):
    """One promise, and what came of it."""

    figure: str
    bound: float
    measured: float | None
    """None where what it takes was not measured."""
    unit: str = ""
    digits: int = 2
    """After the point."""

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


def paced_row(windows: Sequence[PacedWindow]) -> PacedRow:
    """Sum up the windows of one contestant."""
    return PacedRow(
        libvirtd=spread([window.libvirtd for window in windows]),
        qemus=spread([window.qemus for window in windows]),
        own=spread([window.own for window in windows]),
        rss=spread([window.rss for window in windows]),
        intervals=sum(window.intervals for window in windows),
    )


def judged_at(sizes: Mapping[int, Rows]) -> int:
    """The size whose figures are held against the promises: theirs, else the greatest that was measured."""
    return PROMISED_AT if PROMISED_AT in sizes or not sizes else max(sizes)


def verdicts(
    sizes: Mapping[int, Rows],
    paces: Mapping[Pace, Mapping[str, PacedRow]] | None = None,
    outage: Mapping[str, Lost] | None = None,
) -> list[Verdict]:
    """Hold everything against what is promised.

    Arguments:
        sizes: reads without a pause, by number of domains.
        paces: reads at an interval.
        outage: what each plugin lost.
    """
    lost = (outage or {}).get(VIRT2)
    missing = None if lost is None else float(lost.missing)
    return [
        *_of_cycles(sizes),
        *_at_intervals(paces or {}),
        Verdict("points of CPU and interfaces missing, libvirtd dead and frozen", 0.0, missing, digits=0),
    ]


def _of_cycles(sizes: Mapping[int, Rows]) -> list[Verdict]:
    rows = sizes.get(judged_at(sizes), {})

    def ratio(field: str, one: str, other: str) -> float | None:
        if one not in rows or other not in rows:
            return None
        return getattr(rows[one], field).median / getattr(rows[other], field).median

    growth, floor = (_growth(sizes, name) for name in (VIRT2, FLOOR))
    beyond = None
    if rows:
        beyond = (rows[VIRT2].rss.median - rows[C_PLUGIN].rss.median) / 1024
    return [
        Verdict("wall time of a cycle, to the C plugin's", 0.18, ratio("wall", VIRT2, C_PLUGIN)),
        Verdict("libvirtd's CPU, to the C plugin's", 0.24, ratio("libvirtd", VIRT2, C_PLUGIN)),
        Verdict("QEMUs' CPU, to the C plugin's", 0.70, ratio("qemus", VIRT2, C_PLUGIN)),
        Verdict("collectd's CPU, to the C plugin's", 0.25, ratio("own", VIRT2, C_PLUGIN)),
        Verdict("wall time, to the floor's", 1.08, ratio("wall", VIRT2, FLOOR)),
        Verdict(
            f"growth of the wall time per domain from {FEW} to {MANY} domains, to the floor's growth",
            1.02,
            None if growth is None or floor is None else growth / floor,
        ),
        Verdict("memory of collectd beyond the C plugin's", 20.0, beyond, "MiB"),
        Verdict("wall time, 10 % stuck to none", 1.20, ratio("wall", STUCK, VIRT2)),
        Verdict("wall time with all ExtraStats, to the C plugin's", 0.40, ratio("wall", VIRT2_EXTRA, C_EXTRA)),
        Verdict("wall time with disks in bulk, to the C plugin's", 0.30, ratio("wall", BULK, C_PLUGIN)),
        Verdict("libvirtd's CPU with disks in bulk", 0.45, ratio("libvirtd", BULK, C_PLUGIN)),
    ]


def _growth(sizes: Mapping[int, Rows], name: str) -> float | None:
    """What a domain among many costs, to one among few, in wall time; None where that was not measured."""
    if FEW not in sizes or MANY not in sizes:
        return None
    return sizes[MANY][name].wall.median / MANY / (sizes[FEW][name].wall.median / FEW)


def _at_intervals(paces: Mapping[Pace, Mapping[str, PacedRow]]) -> list[Verdict]:
    def ratio(pace: Pace, field: str) -> float | None:
        rows = paces.get(pace)
        return None if rows is None else getattr(rows[VIRT2], field).median / getattr(rows[C_PLUGIN], field).median

    return [
        Verdict(f"collectd's CPU with {MEDIUM}, to the C plugin's", 0.35, ratio(MEDIUM, "own")),
        Verdict(f"libvirtd's CPU with {MEDIUM}, to the C plugin's", 0.30, ratio(MEDIUM, "libvirtd")),
        Verdict(f"collectd's CPU with {SMALL}, to the C plugin's", 1.50, ratio(SMALL, "own")),
    ]
