"""What is told by two samples of counters and the time between them, not by one. Pure.

A counter that has become smaller was set back (the domain was started anew, a disk was exchanged): that gives no value.
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
"""A domain's CPU time includes what QEMU does for it beside its virtual CPUs, and counts in steps of up to 10 ms: a
busy one may seem to use more than there is."""


class CpuUse(NamedTuple):
    """What tells how busy a domain is, once there are two of it."""

    cpu_time: int
    """ns"""
    vcpus: int
    host_cpus: int
    """0 where that is not known."""


def cpu_util(before: CpuUse, now: CpuUse, elapsed: float, device: str) -> Iterable[Metric]:
    """CPU time in percent of all CPUs of the host, as the C plugin has it, and of the domain's own virtual CPUs."""
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
    """Average time in ms of the reads, writes and flushes that ended in between; NaN beside a number for none."""
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
    """Time of a request in ms; NaN where there was none, or counters were set back or are not known (-1)."""
    took, ended = time_now - time_before, ops_now - ops_before
    if -1 in (time_before, time_now, ops_before, ops_now) or took < 0 or ended <= 0:
        return math.nan
    return took / ended / NANOSECONDS_PER_MS


RATES: dict[str, Callable[[Any, Any, float, str], Iterable[Metric]]] = {
    "cpu_util": cpu_util,
    "disk_latency": disk_latency,
}
"""By selector: the earlier reply, the later one, the seconds between them, and the device they are of."""
