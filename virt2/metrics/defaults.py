"""From libvirt's replies to what collectd is given: tables and pure functions.

Types and type instances are those of collectd's C plugin; a value libvirt does not know is no metric, never a 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from virt2.metrics.metric import KIB, Metric, known
from virt2.model.replies import DiskStats, Info, NicStats


def from_info(info: Info, device: str) -> Iterable[Metric]:
    """CPU time in ns, and the memory the guest has now in bytes."""
    return (
        Metric("virt_cpu_total", "", (info.cpu_time,)),
        Metric("memory", "total", (info.memory * KIB,)),
    )


def from_disk(stats: DiskStats, device: str) -> Iterable[Metric]:
    """Bytes and requests, read and written."""
    return known(
        Metric("disk_octets", device, (stats.read_octets, stats.write_octets)),
        Metric("disk_ops", device, (stats.read_ops, stats.write_ops)),
    )


def from_nic(stats: NicStats, device: str) -> Iterable[Metric]:
    """Bytes, packets, errors and drops, received and sent by the guest.

    Where libvirt knows but one direction (vhost-user), a type for that direction stands in for the pair.
    """
    metrics = (
        Metric("if_octets", device, (stats.rx_octets, stats.tx_octets)),
        Metric("if_packets", device, (stats.rx_packets, stats.tx_packets)),
        Metric("if_errors", device, (stats.rx_errors, stats.tx_errors)),
        Metric("if_dropped", device, (stats.rx_dropped, stats.tx_dropped)),
    )
    return metrics if -1 not in stats else [half for metric in metrics for half in _halves(metric)]


def from_sizes(sizes: Mapping[str, int], device: str) -> Iterable[Metric]:
    """Sizes of a disk in bytes, by type: those that were asked for."""
    return [Metric(kind, device, (size,)) for kind, size in sizes.items()]


def from_errors(code: int, device: str) -> Iterable[Metric]:
    """State of a disk: 0 well, 1 failing, 2 no space left on its storage (virDomainDiskErrorCode)."""
    return (Metric("disk_error", device, (code,)),)


INFO = "info"
DISK = "blockStats"
NIC = "interfaceStats"
SIZES = "blockInfo"
ERRORS = "diskErrors"

MAPPING: dict[str, Callable[[Any, str], Iterable[Metric]]] = {
    INFO: from_info,
    DISK: from_disk,
    NIC: from_nic,
    SIZES: from_sizes,
    ERRORS: from_errors,
}
"""Which call's reply becomes what. Each function takes the reply of its own call."""


OF_DISKS = frozenset({DISK, SIZES})
"""Calls whose device is a disk that goes by its label; disk errors go by the target, as libvirt names them."""
OF_NICS = frozenset({NIC})
"""Calls whose device is an interface that goes by its label."""


def _halves(pair: Metric) -> list[Metric]:
    """Give a pair of received and sent, or the half that is known: ``if_rx_octets`` of ``if_octets``."""
    if -1 not in pair.values:
        return [pair]
    kind = pair.type[len("if_") :]
    halves = zip(("rx", "tx"), pair.values)
    return known(*(Metric(f"if_{way}_{kind}", pair.type_instance, (value,)) for way, value in halves))
