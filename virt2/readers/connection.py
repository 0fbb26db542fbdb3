"""A connection to libvirt as the jobs of a read see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from virt2.domains.connection import DomainCalls as Describes
from virt2.model.replies import CpuTimes, DiskSizes, DiskStats, DiskTimes, HostCpus, Info, NicStats, Vcpu


class DomainCalls(Describes, Protocol):
    """The calls that are made for a domain (see `virt2.sources.hypervisor.Connection`, which has their classes).

    Those that describe it are among them. Each may raise `virt2.errors.Error`. A reply that has libvirt's own names
    is a dictionary.
    """

    def info(self, uuid: str) -> Info:
        """Its state, memory and CPU time."""

    def state(self, uuid: str) -> tuple[int, int]:
        """Its state, and the reason for it."""

    def nic(self, uuid: str, target: str) -> NicStats:
        """Counters of one interface."""

    def host_cpus(self) -> HostCpus:
        """The host's CPUs."""

    def vcpus(self, uuid: str, count: int, affinity: bool) -> list[Vcpu]:
        """Its first `count` virtual CPUs, with what they may run on where `affinity` is asked for."""

    def cpu_times(self, uuid: str) -> CpuTimes:
        """Its CPU time in user and in kernel mode."""

    def job(self, uuid: str, completed: bool) -> dict[str, Any]:
        """The job that is under way, or the one that ended last."""

    def memory(self, uuid: str) -> dict[str, Any]:
        """Its memory, under the names that bulk statistics have for it."""

    def stats(self, uuid: str, groups: Sequence[str]) -> dict[str, Any]:
        """Bulk statistics."""

    def disk(self, uuid: str, target: str) -> DiskStats:
        """Counters of one disk."""

    def disk_times(self, uuid: str, target: str) -> DiskTimes:
        """Counters of one disk, with times."""

    def disks(self, uuid: str) -> dict[str, DiskTimes]:
        """Counters of all disks by target, with times."""

    def disk_sizes(self, uuid: str, target: str) -> DiskSizes:
        """Sizes of one disk."""

    def disk_errors(self, uuid: str) -> dict[str, int]:
        """Failing disks by target, with libvirt's virDomainDiskErrorCode."""
