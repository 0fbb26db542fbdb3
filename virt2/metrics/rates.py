"""Values that need two samples of counters and the time between them. All of it is pure.

A counter that has become smaller was reset, because the domain was restarted or a disk was exchanged. That gives no
value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from virt2.metrics.metric import Metric
from virt2.model.replies import DiskTimes
from virt2.text.identifiers import presentable

NANOSECONDS = 1e9
NANOSECONDS_PER_MS = 1e6
MOST_PERCENT = 100.0
"""A domain's CPU time includes QEMU's own work, and counts in steps of up to 10 ms. So a busy domain may seem to use
more CPU than there is."""


class CpuUse(NamedTuple):
    """The numbers of one sample. Two of these records tell how busy a domain was in between."""

    cpu_time: int
    """ns"""
    vcpus: int
    host_cpus: int
    """0 where the number is not known."""


def cpu_util(before: CpuUse, now: CpuUse, elapsed: float, device: str) -> Iterable[Metric]:
    """Give the CPU time in percent of all CPUs of the host, like the C plugin, and of the domain's own virtual CPUs."""
    used = (now.cpu_time - before.cpu_time) / NANOSECONDS
    if used < 0:
        return ()
    shares = [("virt_cpu_total", now.host_cpus), ("guest_cpu", now.vcpus)]
    return [
        Metric("percent", name, (min(100 * used / (elapsed * cpus), MOST_PERCENT),))
        for name, cpus in shares
        if cpus > 0
    ]


def disk_latency(before: DiskTimes, now: DiskTimes, elapsed: float, device: str) -> Iterable[Metric]:
    """Give the average time in ms of the reads, the writes and the flushes that ended between the two samples.

    Where only reads or only writes ended, the other value of the pair is NaN.
    """
    read, write, flush = (
        _per_request(*(getattr(reply, f"{kind}_{what}") for what in ("time", "ops") for reply in (before, now)))
        for kind in ("read", "write", "flush")
    )
    made = []
    if not (math.isnan(read) and math.isnan(write)):
        made.append(Metric("disk_latency", device, (read, write)))
    if not math.isnan(flush):
        made.append(Metric("latency", presentable(f"flush-{device}"), (flush,)))
    return made


def _per_request(time_before: int, time_now: int, ops_before: int, ops_now: int) -> float:
    """Give the time of a request in ms. NaN where no request ended, or counters were reset or are unknown (-1)."""
    took, ended = time_now - time_before, ops_now - ops_before
    if -1 in (time_before, time_now, ops_before, ops_now) or took < 0 or ended <= 0:
        return math.nan
    return took / ended / NANOSECONDS_PER_MS


RATES: dict[str, Callable[[Any, Any, float, str], Iterable[Metric]]] = {
    "cpu_util": cpu_util,
    "disk_latency": disk_latency,
}
"""The function of each selector. It takes the earlier reply, the later one, the seconds between them, and the
device."""
