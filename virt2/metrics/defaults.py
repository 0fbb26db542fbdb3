"""Turns libvirt's replies into metrics, with tables and pure functions.

Types and type instances are those of collectd's C plugin. A value that libvirt does not know gives no metric; it is
never reported as 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from virt2.metrics.metric import KIB, Metric, known
from virt2.model.replies import DiskStats, NicStats


def from_cpu_time(cpu_time: int, device: str) -> Iterable[Metric]:
    """Give the CPU time in ns; nothing for 0, which libvirt says where the process has just ended."""
    return (Metric("virt_cpu_total", "", (cpu_time,)),) if cpu_time else ()


def from_balloon_size(size: int, device: str) -> Iterable[Metric]:
    """Give the memory that the guest has now, in bytes; the size is in KiB."""
    return (Metric("memory", "total", (size * KIB,)),)


def from_rss(rss: int, device: str) -> Iterable[Metric]:
    """Give the memory of the guest's process that is resident, in bytes."""
    return (Metric("memory", "rss", (rss,)),)


def from_disk(stats: DiskStats, device: str) -> Iterable[Metric]:
    """Give the bytes and requests that were read and written."""
    return known(
        Metric("disk_octets", device, (stats.read_octets, stats.write_octets)),
        Metric("disk_ops", device, (stats.read_ops, stats.write_ops)),
    )


def from_nic(stats: NicStats, device: str) -> Iterable[Metric]:
    """Give the bytes, packets, errors and drops that the guest received and sent.

    Where libvirt knows only one direction (vhost-user), a type for that direction is used instead of the pair.
    """
    metrics = (
        Metric("if_octets", device, (stats.rx_octets, stats.tx_octets)),
        Metric("if_packets", device, (stats.rx_packets, stats.tx_packets)),
        Metric("if_errors", device, (stats.rx_errors, stats.tx_errors)),
        Metric("if_dropped", device, (stats.rx_dropped, stats.tx_dropped)),
    )
    return metrics if -1 not in stats else [half for metric in metrics for half in _halves(metric)]


def from_sizes(sizes: Mapping[str, int], device: str) -> Iterable[Metric]:
    """Give those sizes of a disk in bytes that were asked for, by type."""
    return [Metric(kind, device, (size,)) for kind, size in sizes.items()]


def from_errors(code: int, device: str) -> Iterable[Metric]:
    """Give the state of a disk (virDomainDiskErrorCode): 0 it works, 1 it fails, 2 its storage has no space left."""
    return (Metric("disk_error", device, (code,)),)


INFO = "info"
CPU_TIME = "CPU time"
BALLOON_SIZE = "size of the balloon"
RSS = "resident memory"
RSS_SELECTOR = "memory"
"""The selector that asks for it."""
DISK = "blockStats"
NIC = "interfaceStats"
SIZES = "blockInfo"
ERRORS = "diskErrors"

MAPPING: dict[str, Callable[[Any, str], Iterable[Metric]]] = {
    CPU_TIME: from_cpu_time,
    BALLOON_SIZE: from_balloon_size,
    RSS: from_rss,
    DISK: from_disk,
    NIC: from_nic,
    SIZES: from_sizes,
    ERRORS: from_errors,
}
"""What becomes of a call's reply, or of a part of it. Each function takes its own."""


DEFAULTS = frozenset({CPU_TIME, BALLOON_SIZE, DISK, NIC})
"""What the default metrics are made of."""
OF_DISKS = frozenset({DISK, SIZES})
"""Calls whose device is a disk, called by its label. Disk errors go by the target, because libvirt names them so."""
OF_NICS = frozenset({NIC})
"""Calls whose device is an interface, called by its label."""


def _halves(pair: Metric) -> list[Metric]:
    """Give a pair of received and sent, or only the half that is known, such as ``if_rx_octets`` of ``if_octets``."""
    if -1 not in pair.values:
        return [pair]
    kind = pair.type[len("if_") :]
    halves = zip(("rx", "tx"), pair.values)
    return known(*(Metric(f"if_{way}_{kind}", pair.type_instance, (value,)) for way, value in halves))
