"""Pure: what a reader wants to see of each domain, from what collectd wrote."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from .ages import MARK

STALE = 2.5
"""Intervals after which a value is not shown any more: one point may be late, two are missing."""
COLUMNS = ("domain", "tag", "reader", "CPU %", "memory", "disk read/s", "write/s", "net in/s", "out/s", "blocked for")
NONE = "-"


class Point(NamedTuple):
    """One value list, and when it was taken (seconds since the epoch)."""

    time: float
    values: list[float]


class Row(NamedTuple):
    """One domain in the table."""

    host: str
    """The domain as collectd names it, which may hold anything."""
    cells: tuple[str, ...]
    """Printable texts, one for each of `COLUMNS`."""
    is_stuck: bool = False
    """Whether its monitor is blocked."""


class Overview:
    """The newest two points of every series of every domain.

    Arguments:
        interval: seconds between two reads.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._series: dict[str, dict[tuple[str, str], list[Point]]] = {}
        self._placement: dict[str, dict[str, str]] = {}

    def add(self, records: Iterable[dict[str, Any]]) -> None:
        """Take in what collectd wrote; values that are not of a domain are left out."""
        for record in records:
            # virt2's own numbers, of readers and of libvirtd, come with a plugin instance.
            if "message" in record or record["plugin"] != "virt2" or record["plugin_instance"]:
                continue
            host = record["host"]
            points = self._series.setdefault(host, {}).setdefault((record["type"], record["type_instance"]), [])
            points.append(Point(record["time"], record["values"]))
            # collectd's write threads may overtake each other.
            points.sort()
            del points[:-2]
            if record["meta"]:
                self._placement[host] = record["meta"]

    def rows(self, now: float) -> list[Row]:
        """A row for each domain that was heard of lately, by name; `now` in seconds since the epoch."""
        found = []
        for host in sorted(self._series):
            current = {
                key: points
                for key, points in self._series[host].items()
                if now - points[-1].time <= STALE * self._interval
            }
            if current:
                found.append(self._row(host, current))
            else:
                del self._series[host]
        return found

    def _row(self, host: str, series: dict[tuple[str, str], list[Point]]) -> Row:
        placement = self._placement.get(host, {})
        cpu = _rates(series, "virt_cpu_total")
        memory = series.get(("memory", "total"))
        points = series.get(("duration", "monitor_blocked"))
        blocked = points[-1].values[0] if points else None
        cells = (
            host if host.isprintable() else ascii(host)[1:-1],
            placement.get("virt2_tag") or NONE,
            placement.get("virt2_reader") or NONE,
            f"{cpu[0] / 1e9 * 100:.1f}" if cpu else NONE,
            f"{memory[-1].values[0] / 2**20:.0f} MiB" if memory else NONE,
            *_both(_rates(series, "disk_octets")),
            *_both(_rates(series, "if_octets")),
            NONE if blocked is None else f"{MARK} {blocked:.1f} s" if blocked else f"{blocked:.1f} s",
        )
        return Row(host, cells, bool(blocked))


def _rates(series: dict[tuple[str, str], list[Point]], kind: str) -> list[float]:
    """Per second, summed over the devices; empty where there are not two points of any."""
    total: list[float] = []
    for (name, _), points in series.items():
        if name != kind or len(points) < 2 or points[1].time <= points[0].time:
            continue
        old, new = points
        rates = [(after - before) / (new.time - old.time) for before, after in zip(old.values, new.values)]
        total = [one + other for one, other in zip(total, rates)] if total else rates
    return total


def _both(rates: list[float]) -> list[str]:
    return [_bytes(rate) for rate in rates] if rates else [NONE, NONE]


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if abs(number) < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
