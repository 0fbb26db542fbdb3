"""Pure: what was seen of a counter all the time, and between which values it was at some moment.

A reading says that a counter had a value at some time between the moments before and after the look. Counters do not
run backwards. So a value of the time t is at least the last one that was read before t, and at most the first one that
was read after what the look for it may have taken.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from .model import CPU, Bounds, Point, Violation

TICK = 10_000_000
"""Nanoseconds in which the kernel counts a process's CPU time."""
ROUNDED = 0.001
"""Seconds: the times that are written have milliseconds."""


class Readings:
    """The readings of one counter, or of some that are read together, in the order in which they were made.

    Readings of the same value are kept as one, with the end of the first one and the begin of the last one: nothing
    else of them ever matters.
    """

    def __init__(self) -> None:
        self._ends: list[float] = []
        """When the first reading of each value was over."""
        self._begins: list[float] = []
        """When the last reading of each value began."""
        self._values: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, begun: float, ended: float, values: tuple[int, ...]) -> None:
        """Take a reading that began and ended at these times."""
        if self._values and self._values[-1] == values:
            self._begins[-1] = begun
            return
        self._ends.append(ended)
        self._begins.append(begun)
        self._values.append(values)

    def bounds(self, when: float, latest: float) -> Bounds | None:
        """Between which values one was that was looked at between `when` and `latest`.

        Without a later reading there is no upper bound. Without an earlier one nothing is known, and it is None.
        """
        low = bisect.bisect_right(self._ends, when) - 1
        if low < 0:
            return None
        high = bisect.bisect_left(self._begins, latest)
        values = self._values[low]
        return Bounds(values, self._values[high] if high < len(self._values) else (math.inf,) * len(values))


def check(
    subject: str, name: str, kind: str, points: Sequence[Point], latest: Sequence[float], readings: Readings
) -> tuple[int, list[Violation]]:
    """Compare the points of one series in one life of a domain with what was seen of it.

    Arguments:
        subject: the domain.
        name: the series, by type and type instance.
        latest: for each point, when the look for it was over at the latest.

    Returns:
        How many points could be compared, and what was wrong.
    """
    compared, found = 0, []
    slack = TICK if kind == CPU else 0
    for (when, values), until in zip(points, latest):
        bounds = readings.bounds(when - ROUNDED, until)
        if bounds is None:
            continue
        compared += 1
        if len(values) != len(bounds.low) or any(
            not low - slack <= value <= high + slack for low, value, high in zip(bounds.low, values, bounds.high)
        ):
            words = f"{name} is {_text(values)}, but was {_text(bounds.low)} before and {_text(bounds.high)} after"
            found.append(Violation("truth", when, subject, words))
    return compared, found


def _text(values: Sequence[float]) -> str:
    return "/".join(f"{value:.0f}" for value in values)
