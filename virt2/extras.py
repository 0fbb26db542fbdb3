"""From the replies of what ExtraStats adds to what collectd is given: tables and pure functions, like `virt2.metrics`.

Bulk statistics are dictionaries under libvirt's own names; what is not in them is no metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from virt2.metrics import KIB, Metric, known, state

LARGEST = 2**63
"""From here on a number does not fit into a counter of collectd's; libvirt uses such for "no limit"."""
NANOSECONDS_PER_MS = 10**6

_MEMORY_SIZES = {
    "actual_balloon": "balloon.current",
    "available": "balloon.available",
    "disk_caches": "balloon.disk_caches",
    "rss": "balloon.rss",
    "unused": "balloon.unused",
    "usable": "balloon.usable",
}
_MEMORY_COUNTS = {"hugetlb_pgalloc": "balloon.hugetlb_pgalloc", "hugetlb_pgfail": "balloon.hugetlb_pgfail"}


def from_disk_times(stats: Any, device: str) -> Iterable[Metric]:
    """Time that reads and writes took in ns, and flushes: how many, and their time in ms."""
    flush = f"flush-{device}"
    milliseconds = -1 if stats.flush_time == -1 else stats.flush_time // NANOSECONDS_PER_MS
    return known(
        Metric("disk_time", device, (stats.read_time, stats.write_time)),
        Metric("total_requests", flush, (stats.flush_ops,)),
        Metric("total_time_in_ms", flush, (milliseconds,)),
    )


def from_state(reply: tuple[int, int], device: str) -> Iterable[Metric]:
    """State and reason, libvirt's numbers."""
    return (state(*reply),)


def from_job(stats: Mapping[str, Any], prefix: str) -> Iterable[Metric]:
    """All numbers that libvirt has of a job, under its own names; the type of the job is none of them."""
    return [
        Metric("job_stats", prefix + name, (int(value),))
        for name, value in stats.items()
        if name != "type" and isinstance(value, (int, float)) and 0 <= value < LARGEST
    ]


def notes_of_job(stats: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    """All texts that libvirt has of a job, by type instance."""
    return [(prefix + name, value) for name, value in stats.items() if isinstance(value, str)]


def from_memory(stats: Mapping[str, Any], device: str) -> Iterable[Metric]:
    """Sizes in bytes; pages swapped in bytes, and faults, both counters; allocations of huge pages, as they are."""
    made = [Metric("memory", tag, (stats[key] * KIB,)) for tag, key in _MEMORY_SIZES.items() if key in stats]
    made += [Metric("memory", tag, (stats[key],)) for tag, key in _MEMORY_COUNTS.items() if key in stats]
    for way in ("in", "out"):
        if f"balloon.swap_{way}" in stats:
            made.append(Metric("swap_io", way, (stats[f"balloon.swap_{way}"] * KIB,)))
    faults = tuple(stats.get(f"balloon.{kind}_fault", -1) for kind in ("minor", "major"))
    return [*made, *known(Metric("ps_pagefaults", "", faults))]


def from_cpu_times(times: Any, device: str) -> Iterable[Metric]:
    """CPU time in user and in kernel mode, ns."""
    return known(Metric("ps_cputime", "", (times.user, times.system)))


def from_perf(stats: Mapping[str, Any], device: str) -> Iterable[Metric]:
    """The events that are enabled; as in the C plugin, only the first dot of a name becomes an underscore."""
    return [
        Metric("perf", name.replace(".", "_", 1), (value,))
        for name, value in stats.items()
        if name.startswith("perf.") and isinstance(value, int) and value < LARGEST
    ]


def from_vcpus(vcpus: Sequence[Any], device: str) -> Iterable[Metric]:
    """CPU time of each virtual CPU, ns."""
    return [Metric("virt_vcpu", str(vcpu.number), (vcpu.cpu_time,)) for vcpu in vcpus]


def from_affinity(vcpus: Sequence[Any], device: str) -> Iterable[Metric]:
    """1 for each CPU of the host that a virtual CPU may run on, else 0."""
    return [
        Metric("cpu_affinity", f"vcpu_{vcpu.number}-cpu_{cpu}", (int(allowed),))
        for vcpu in vcpus
        for cpu, allowed in enumerate(vcpu.affinity)
    ]


OF_DISKS = frozenset({"disk"})
"""Selectors whose device is a disk that goes by its label."""

MAPPING: dict[str, Callable[[Any, str], Iterable[Metric]]] = {
    "disk": from_disk_times,
    "domain_state": from_state,
    "job_stats_background": from_job,
    "job_stats_completed": from_job,
    "memory": from_memory,
    "pcpu": from_cpu_times,
    "perf": from_perf,
    "vcpu": from_vcpus,
    "vcpupin": from_affinity,
}
"""Which selector's reply becomes what."""
