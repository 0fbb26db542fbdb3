"""Pure: how old the newest CPU time of each domain is, as one plugin reports it, and how many reads lacked it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

TYPE = "virt_cpu_total"
"""Both plugins report it of every domain that runs, and virt2 also of those that are stuck."""
LATE = 1.5
"""Intervals after which a read must have gone by without a value."""
MARK = "!"


class Ages:
    """What one plugin has told of each domain.

    Arguments:
        plugin: its name in what collectd writes.
        interval: seconds between two reads.
    """

    def __init__(self, plugin: str, interval: float) -> None:
        self.plugin = plugin
        self._interval = interval
        self._newest: dict[str, float] = {}
        self._lost: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<Ages {self.plugin} domains={len(self._newest)}>"

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Take in what collectd wrote."""
        for record in records:
            if "message" in record or record["plugin"] != self.plugin or record["type"] != TYPE:
                continue
            host, time = record["host"], record["time"]
            newest = self._newest.get(host, time)
            if time > newest:
                self._lost[host] = self._lost.get(host, 0) + max(0, round((time - newest) / self._interval) - 1)
            self._newest[host] = max(time, newest)

    def age(self, host: str, now: float) -> float | None:
        """Give the seconds since the newest value of a domain; None where there was none."""
        newest = self._newest.get(host)
        return None if newest is None else max(0.0, now - newest)

    def lost(self, host: str, now: float) -> int:
        """Give how many reads lacked the value since the first one that had it, the present gap included."""
        age = self.age(host, now) or 0.0
        # The read of the present interval may still come.
        missing = int(age / self._interval - LATE) + 1 if self._is_late(age) else 0
        return self._lost.get(host, 0) + missing

    def cells(self, host: str, now: float) -> tuple[str, str]:
        """Give a domain's age and losses as they are shown; what is late is marked."""
        age = self.age(host, now)
        if age is None:
            return "-", "-"
        mark = f"{MARK} " if self._is_late(age) else ""
        return f"{mark}{age:.1f} s", str(self.lost(host, now))

    @property
    def titles(self) -> tuple[str, str]:
        """Of the columns that `cells` fills."""
        return f"{self.plugin} age", "lost"

    def _is_late(self, age: float) -> bool:
        return age > LATE * self._interval
