"""Records: what libvirt's calls reply. Each call that replies with more than a number has one."""

from __future__ import annotations

from typing import NamedTuple


class Listed(NamedTuple):
    """One line of libvirt's list of active domains."""

    uuid: str
    name: str
    id: int


class Info(NamedTuple):
    """What virDomainGetInfo says."""

    state: int
    max_memory: int
    """KiB"""
    memory: int
    """Current balloon size, KiB"""
    vcpus: int
    cpu_time: int
    """ns"""


class DiskStats(NamedTuple):
    """What virDomainBlockStats says: counters; -1 where unknown."""

    read_ops: int
    read_octets: int
    write_ops: int
    write_octets: int
    errors: int


class DiskTimes(NamedTuple):
    """What virDomainBlockStatsFlags says: counters, times in ns; -1 where unknown."""

    read_ops: int
    read_octets: int
    read_time: int
    write_ops: int
    write_octets: int
    write_time: int
    flush_ops: int
    flush_time: int


class Account(NamedTuple):
    """What the kernel says that a process has used so far, all of its threads together."""

    user: int
    """CPU time in user mode, ns, a multiple of a clock tick"""
    system: int
    """CPU time in kernel mode, ns, a multiple of a clock tick"""
    rss: int
    """Memory that is resident, bytes"""

    @property
    def cpu_time(self) -> int:
        """CPU time in ns. libvirt adds up the same two numbers for virDomainGetInfo."""
        return self.user + self.system


class CpuTimes(NamedTuple):
    """What virDomainGetCPUStats says of all CPUs together, ns; -1 where unknown."""

    user: int
    system: int


class Vcpu(NamedTuple):
    """What virDomainGetVcpus says of a virtual CPU."""

    number: int
    state: int
    """virVcpuState: 0 offline, 1 running, 2 blocked"""
    cpu_time: int
    """ns"""
    affinity: tuple[bool, ...]
    """For each CPU of the host whether this one may run on it; empty where that was not asked for."""


class HostCpus(NamedTuple):
    """What virNodeGetInfo says of the host's CPUs."""

    active: int
    possible: int
    """The active ones and those that are off."""


class DiskSizes(NamedTuple):
    """What virDomainGetBlockInfo says, in bytes."""

    capacity: int
    """As the guest sees it."""
    allocation: int
    """What the image takes up on the storage."""
    physical: int
    """The image's own size: where the file or the device ends."""


class Control(NamedTuple):
    """What virDomainGetControlInfo says: who is inside the domain's monitor."""

    state: int
    detail: int
    seconds: float
    """How long it has been in this state; always 0 in state ERROR."""


class NicStats(NamedTuple):
    """What virDomainInterfaceStats says: counters as the guest sees them; -1 where unknown."""

    rx_octets: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_octets: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int
