"""Turns the replies to what ExtraStats adds into metrics, with tables and pure functions, like `defaults`.

Bulk statistics are dictionaries under libvirt's own names. What is not in them gives no metric. Neither does what is
there, but is no number that collectd can take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from virt2.metrics.metric import KIB, Metric, known, state
from virt2.model.replies import CpuTimes, DiskTimes, Vcpu
from virt2.text.identifiers import presentable

BulkStats = Mapping[str, Any]
"""Numbers, texts and booleans under libvirt's own names; each name has a type of its own."""

LARGEST = 2**63
"""A number of this size or more does not fit into one of collectd's counters. libvirt uses such numbers for "no
limit"."""
WIDEST = 2**64
"""None of libvirt's types can hold a number of this size."""
NANOSECONDS_PER_MS = 10**6
MIB = 1024 * 1024
_MEASURED = 2
"""libvirt's VIR_DOMAIN_DIRTYRATE_MEASURED."""
_NUMBER = re.compile("0|[1-9][0-9]{0,8}")
_HYPERVISOR_KINDS = frozenset({"sum", "cur", "max"})
"""How the names of the hypervisor's counts end."""

_MEMORY_SIZES = {
    "actual_balloon": "balloon.current",
    "available": "balloon.available",
    "disk_caches": "balloon.disk_caches",
    "rss": "balloon.rss",
    "unused": "balloon.unused",
    "usable": "balloon.usable",
}
_SWAPPED = {"in": "balloon.swap_in", "out": "balloon.swap_out"}
_FAULTS = {"minor": "balloon.minor_fault", "major": "balloon.major_fault"}
_HALT_POLLING = {
    "haltpoll_success": "cpu.haltpoll.success.time",
    "haltpoll_fail": "cpu.haltpoll.fail.time",
}
_MEMORY_COUNTS = {"hugetlb_pgalloc": "balloon.hugetlb_pgalloc", "hugetlb_pgfail": "balloon.hugetlb_pgfail"}


def from_disk_times(stats: DiskTimes, device: str) -> Iterable[Metric]:
    """Give the time that reads and writes took in ns, the number of flushes, and their time in ms."""
    flush = presentable(f"flush-{device}")
    milliseconds = -1 if stats.flush_time == -1 else stats.flush_time // NANOSECONDS_PER_MS
    return known(
        Metric("disk_time", device, (stats.read_time, stats.write_time)),
        Metric("total_requests", flush, (stats.flush_ops,)),
        Metric("total_time_in_ms", flush, (milliseconds,)),
    )


def from_state(reply: tuple[int, int], device: str) -> Iterable[Metric]:
    """Give the state and its reason, in libvirt's numbers."""
    return (state(*reply),)


def from_job(stats: BulkStats, prefix: str) -> Iterable[Metric]:
    """Give all numbers that libvirt has of a job, under its own names, except the type of the job."""
    return [
        Metric("job_stats", presentable(prefix + name), (int(value),))
        for name, value in stats.items()
        if name != "type" and isinstance(value, (int, float)) and 0 <= value < LARGEST
    ]


def notes_of_job(stats: BulkStats, prefix: str) -> list[tuple[str, str]]:
    """Give all texts that libvirt has of a job, each with its type instance."""
    return [(prefix + name, value) for name, value in stats.items() if isinstance(value, str)]


def from_memory(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give sizes in bytes, the bytes that were swapped, the page faults, and the allocations of huge pages.

    Swapped bytes and faults are counters. Allocations of huge pages are reported as the guest counts them.
    """
    made = [Metric("memory", tag, (value * KIB,)) for tag, value in _under(stats, _MEMORY_SIZES, _is_number)]
    made += [Metric("memory", tag, (value,)) for tag, value in _under(stats, _MEMORY_COUNTS, _is_number)]
    for way, value in _under(stats, _SWAPPED, _is_count):
        if _is_count(value * KIB):
            made.append(Metric("swap_io", way, (value * KIB,)))
    faults = tuple(value for _, value in _under(stats, _FAULTS, _is_count))
    if len(faults) == len(_FAULTS):
        made += known(Metric("ps_pagefaults", "", faults))
    return made


def from_cpu_times(times: CpuTimes, device: str) -> Iterable[Metric]:
    """Give the CPU time in user mode and in kernel mode, in ns."""
    return known(Metric("ps_cputime", "", (times.user, times.system)))


def from_perf(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the events that are enabled. As in the C plugin, only the first dot of a name becomes an underscore."""
    return [
        Metric("perf", presentable(name.replace(".", "_", 1)), (value,))
        for name, value in stats.items()
        if name.startswith("perf.") and _is_count(value)
    ]


def from_vcpus(vcpus: Sequence[Vcpu], device: str) -> Iterable[Metric]:
    """Give the CPU time of each virtual CPU, in ns."""
    return [Metric("virt_vcpu", str(vcpu.number), (vcpu.cpu_time,)) for vcpu in vcpus]


def from_affinity(vcpus: Sequence[Vcpu], device: str) -> Iterable[Metric]:
    """Give 1 for each CPU of the host that a virtual CPU may run on, else 0."""
    return [
        Metric("cpu_affinity", f"vcpu_{vcpu.number}-cpu_{cpu}", (int(allowed),))
        for vcpu in vcpus
        for cpu, allowed in enumerate(vcpu.affinity)
    ]


OF_DISKS = frozenset({"disk", "disk_latency", "disk_layers", "disk_threshold"})
"""Selectors whose device is a disk, called by its label."""


def from_balloon(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the most memory in bytes, and when the guest's driver last reported its use, in seconds since 1970."""
    maximum = _under(stats, {"balloon_maximum": "balloon.maximum"}, _is_number)
    updated = _under(stats, {"balloon_last_update": "balloon.last-update"}, _is_number)
    made = [Metric("memory", tag, (value * KIB,)) for tag, value in maximum]
    # libvirt says 0 for never.
    return made + [Metric("timestamp", tag, (value,)) for tag, value in updated if value]


def from_vcpu_states(vcpus: Sequence[Vcpu], device: str) -> Iterable[Metric]:
    """Give the state of each virtual CPU: 0 is offline, 1 running, 2 blocked."""
    return [Metric("gauge", f"vcpu_state-{vcpu.number}", (vcpu.state,)) for vcpu in vcpus]


def from_vcpu_waits(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the time for which each virtual CPU waited for I/O, in ns."""
    waits = _of_each(stats, "vcpu", "wait", _is_count)
    return [Metric("derive", f"vcpu_wait-{number}", (value,)) for number, value in waits]


def from_vcpu_delays(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the time for which each virtual CPU was ready but had no CPU of the host, in ns."""
    delays = _of_each(stats, "vcpu", "delay", _is_count)
    return [Metric("derive", f"vcpu_delay-{number}", (value,)) for number, value in delays]


def from_vcpu_halts(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give 1 for each virtual CPU that is halted, else 0."""
    halts = _of_each(stats, "vcpu", "halted", _is_number)
    return [Metric("gauge", f"vcpu_halted-{number}", (int(value),)) for number, value in halts]


def from_vm(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give what the hypervisor counts about the domain."""
    return _of_hypervisor(stats, "vm.")


def from_vcpu_stats(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give what the hypervisor counts about each virtual CPU."""
    return _of_hypervisor(stats, "vcpu.")


def _of_hypervisor(stats: BulkStats, start: str) -> Iterable[Metric]:
    """Give what has the hypervisor's own names, such as ``vm.name.sum`` and ``vcpu.0.name.max``.

    A sum is a counter. All others are the value of now.
    """
    made = []
    for key, value in stats.items():
        name, _, kind = key.rpartition(".")
        if not key.startswith(start) or kind not in _HYPERVISOR_KINDS:
            continue
        if kind == "sum" and _is_count(value):
            made.append(Metric("derive", presentable(name.replace(".", "_")), (value,)))
        elif kind != "sum" and _is_number(value) and value < LARGEST:
            made.append(Metric("gauge", presentable(key.replace(".", "_")), (value,)))
    return made


def from_halt_polling(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the time in which polling found work, and the time in which it did not, in ns."""
    return [Metric("derive", tag, (value,)) for tag, value in _under(stats, _HALT_POLLING, _is_count)]


def from_iothreads(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the number of I/O threads. For each, give the longest time it polls (ns), and how that grows and shrinks."""
    count = _under(stats, {"iothreads": "iothread.count"}, _is_number)
    made = [Metric("gauge", tag, (value,)) for tag, value in count]
    for what in ("poll-max-ns", "poll-grow", "poll-shrink"):
        name = what.replace("-ns", "").replace("-", "_")
        for number, value in _of_each(stats, "iothread", what, _is_number):
            made.append(Metric("gauge", f"iothread_{name}-{number}", (value,)))
    return made


def from_dirty_rate(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give how many bytes of memory per second the domain and each virtual CPU dirtied, and when that was measured.

    Somebody else has to start the measurement, because that needs a read-write connection. A measurement is reported
    until the next one.
    """
    if stats.get("dirtyrate.calc_status") != _MEASURED:
        return ()
    rate = _under(stats, {"dirty_rate": "dirtyrate.megabytes_per_second"}, _is_number)
    start = _under(stats, {"dirty_rate_start": "dirtyrate.calc_start_time"}, _is_number)
    made = [Metric("gauge", tag, (value * MIB,)) for tag, value in rate]
    for number, value in _of_each(stats, "dirtyrate.vcpu", "megabytes_per_second", _is_number):
        made.append(Metric("gauge", f"dirty_rate-{number}", (value * MIB,)))
    return made + [Metric("gauge", tag, (value,)) for tag, value in start]


def from_memory_bandwidth(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the bytes to and from memory, by monitor and node: those of its own node, and all. Both are counters."""
    made = []
    for monitor in _parts(stats, "memory.bandwidth.monitor"):
        for node in _parts(monitor, "node"):
            for what in ("local", "total"):
                key = f"bytes.{what}"
                if "name" in monitor and "id" in node and _is_count(node.get(key)):
                    instance = presentable(f"{monitor['name']}-node_{node['id']}-{what}")
                    made.append(Metric("memory_bandwidth", instance, (node[key],)))
    return made


def from_cache_monitor(stats: BulkStats, device: str) -> Iterable[Metric]:
    """Give the bytes that are used of the last level cache, by monitor and bank."""
    made = []
    for monitor in _parts(stats, "cpu.cache.monitor"):
        for bank in _parts(monitor, "bank"):
            if "name" in monitor and "id" in bank and _is_number(bank.get("bytes")):
                instance = presentable(f"cache-{monitor['name']}-bank_{bank['id']}")
                made.append(Metric("bytes", instance, (bank["bytes"],)))
    return made


def layers(stats: BulkStats) -> dict[str, list[dict[str, Any]]]:
    """Give the images of each disk, by its target: first the one that is written to. Each has libvirt's own names."""
    found: dict[str, list[dict[str, Any]]] = {}
    for image in _parts(stats, "block"):
        if isinstance(image.get("name"), str):
            found.setdefault(image["name"], []).append(image)
    return found


def from_layers(images: Sequence[Mapping[str, Any]], device: str) -> Iterable[Metric]:
    """Give the number of images, and the sizes of each in bytes by its place; 0 is the image that is written to."""
    made = [Metric("gauge", presentable(f"layers-{device}"), (len(images),))]
    for place, image in enumerate(images):
        for what in ("allocation", "capacity", "physical"):
            if _is_number(image.get(what)):
                instance = presentable(f"{device}-layer_{place}")
                made.append(Metric(f"disk_{what}", instance, (image[what],)))
    return made


def from_threshold(images: Sequence[Mapping[str, Any]], device: str) -> Iterable[Metric]:
    """Give the offset in bytes at which libvirt reports that an image is nearly full, where such an offset is set."""
    return [
        Metric("bytes", presentable(f"write_threshold-{device}"), (image["threshold"],))
        for image in images[:1]
        if _is_number(image.get("threshold"))
    ]


def _under(stats: BulkStats, keys: Mapping[str, str], suits: Callable[[object], bool]) -> list[tuple[str, Any]]:
    """Give the values under these of libvirt's names that suit, each with its tag."""
    return [(tag, stats[key]) for tag, key in keys.items() if suits(stats.get(key))]


def _of_each(stats: BulkStats, prefix: str, what: str, suits: Callable[[object], bool]) -> list[tuple[int, Any]]:
    """Give the values of ``prefix.0.what``, ``prefix.1.what`` and so on that suit, with their numbers in order."""
    start, end = prefix + ".", "." + what
    found = {
        key[len(start) : -len(end)]: value
        for key, value in stats.items()
        if key.startswith(start) and key.endswith(end) and suits(value)
    }
    return [(number, found[text]) for number, text in _in_order(found)]


def _parts(stats: BulkStats, prefix: str) -> list[dict[str, Any]]:
    """Give what there is under ``prefix.0``, ``prefix.1`` and so on, in this order, by the rest of the names.

    It looks at each name once, because there may be some ten thousands: a disk may have hundreds of images.
    """
    start = prefix + "."
    parts: dict[str, dict[str, Any]] = {}
    for key, value in stats.items():
        if key.startswith(start):
            number, _, name = key[len(start) :].partition(".")
            parts.setdefault(number, {})[name] = value
    return [parts[text] for _, text in _in_order(parts)]


def _in_order(texts: Iterable[str]) -> list[tuple[int, str]]:
    """Give those texts that are numbers as libvirt writes them, in their order."""
    return sorted((int(text), text) for text in texts if _NUMBER.fullmatch(text))


def _is_number(value: object) -> bool:
    """Tell whether a value is a number that libvirt can mean."""
    return isinstance(value, (int, float)) and -WIDEST < value < WIDEST


def _is_count(value: object) -> bool:
    """Tell whether a value fits into one of collectd's counters."""
    return isinstance(value, int) and -LARGEST <= value < LARGEST


MAPPING: dict[str, Callable[[Any, str], Iterable[Metric]]] = {
    "balloon": from_balloon,
    "cache_monitor": from_cache_monitor,
    "dirty_rate": from_dirty_rate,
    "disk": from_disk_times,
    "disk_layers": from_layers,
    "disk_threshold": from_threshold,
    "domain_state": from_state,
    "halt_polling": from_halt_polling,
    "iothread": from_iothreads,
    "job_stats_background": from_job,
    "job_stats_completed": from_job,
    "memory": from_memory,
    "memory_bandwidth": from_memory_bandwidth,
    "pcpu": from_cpu_times,
    "perf": from_perf,
    "vcpu": from_vcpus,
    "vcpu_delay": from_vcpu_delays,
    "vcpu_halted": from_vcpu_halts,
    "vcpu_state": from_vcpu_states,
    "vcpu_stats": from_vcpu_stats,
    "vcpu_wait": from_vcpu_waits,
    "vcpupin": from_affinity,
    "vm": from_vm,
}
"""Which selector's reply becomes what. Each function takes the reply of its own call."""
