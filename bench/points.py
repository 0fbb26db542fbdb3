"""Pure: how many points a series lacks."""

from __future__ import annotations

import math
from collections.abc import Iterable

LATE = 1.5
"""Intervals from one point to the next that are no gap: a sample carries the time before its call, and a read may make
that call up to half an interval after it began. It is what the tests with real guests call a gap."""
_ROUNDING = 1e-6
"""Intervals by which numbers may be off."""


def missing(times: Iterable[float], begin: float, end: float, interval: float) -> int:
    """How many points are missing between two moments.

    A gap of n intervals lacks n - 1 points, rounded so that what comes late by half an interval is not missing. What
    comes more often than once an interval makes up for nothing. Where points come too rarely all the time and no gap is
    long, the number of all points tells.

    Arguments:
        times: of the points, in seconds.
        begin: a moment when all was well.
        end: a moment when all should be well again.
        interval: seconds.
    """
    within = sorted({time for time in times if begin <= time <= end})
    edges = [begin, *within, end]
    in_gaps = sum(_lacking(later - earlier, 1, interval) for earlier, later in zip(edges, edges[1:]))
    if len(within) < 2:
        return in_gaps
    return max(in_gaps, _lacking(within[-1] - within[0], len(within) - 1, interval))


def _lacking(seconds: float, steps: int, interval: float) -> int:
    """How many points there are too few, where so many steps took so long."""
    return max(0, math.ceil(seconds / interval - steps - (LATE - 1) - _ROUNDING))
