"""The door to the simulated libvirtd: it offers what `virt2.sources.hypervisor` offers.

Each method makes one round trip, as the real one does, and replies what is always the same of its domain. What was not
recorded (all but what the default metrics need) takes as long as a recorded call of its class.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from bench.simulated import domains as simulated
from bench.simulated import latencies
from bench.simulated.domains import Domain
from bench.simulated.latencies import CALLS
from bench.simulated.libvirtd import REPLY, REQUEST
from virt2.errors import Disconnected, DomainGone
from virt2.model.domain import Status
from virt2.model.events import Event
from virt2.model.replies import (
    Control,
    CpuTimes,
    DiskSizes,
    DiskStats,
    DiskTimes,
    HostCpus,
    Info,
    Listed,
    NicStats,
    Vcpu,
)

RUNNING, BOOTED = 1, 1
"""libvirt's state of a domain that runs, and why."""
CPUS = HostCpus(2, 2)
_NUMBERS = {call: number for number, call in enumerate(CALLS)}


class Wire(Protocol):
    """What carries calls to libvirtd."""

    def call(self, call: str) -> None:
        """Make a round trip. Raises `Disconnected`."""

    def close(self) -> None:
        """Take leave."""


class SocketWire:
    """A connection to the simulated libvirtd.

    Arguments:
        path: its socket.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise Disconnected(f"{path}: {error.strerror}") from error

    def call(self, call: str) -> None:
        """Make a round trip."""
        try:
            self._socket.sendall(REQUEST.pack(_NUMBERS[call]))
            answered = self._socket.recv(len(REPLY))
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not answered:
            raise Disconnected("End of file while reading data")

    def close(self) -> None:
        """Take leave."""
        self._socket.close()


class NoLoop:
    """There is no event loop, because nothing ever happens to these domains."""

    def undisturbed(self) -> contextlib.AbstractContextManager[None]:
        """Nothing is disturbed."""
        return contextlib.nullcontext()

    def stop(self) -> None:
        """Nothing runs."""


class Hypervisor:
    """Makes connections.

    Arguments:
        domains: those there are.
        connect: makes a wire.
    """

    def __init__(self, domains: Sequence[Domain], connect: Callable[[], Wire]) -> None:
        self.uri = "qemu:///system"
        self.loop = NoLoop()
        self.by_uuid = {domain.uuid: domain for domain in domains}
        self.by_name = {domain.name: domain for domain in domains}
        self._connect = connect

    def start_events(self) -> None:
        """Nothing ever happens to these domains."""

    def connect(self) -> Connection:
        """Open a connection."""
        wire = self._connect()
        wire.call(latencies.OPEN)
        return Connection(self, wire)

    def connect_agents(self) -> Connection:
        """Nobody may: no guest has an agent."""
        raise Disconnected("the simulation has no guests, and so none of their agents")


class Connection:
    """One connection, with the look-ups it has made."""

    def __init__(self, hypervisor: Hypervisor, wire: Wire) -> None:
        self._hypervisor = hypervisor
        self._wire = wire
        self._known: set[str] = set()
        self.alive = True

    def close(self) -> None:
        """Give the connection back."""
        self.alive = False
        self._wire.close()

    def version(self) -> str:
        """Ask for the version."""
        self._call(latencies.VERSION)
        return "9.0.0"

    def watch(self, sink: Callable[[Event], None]) -> bool:
        """Everything that changes a domain is told, because nothing does."""
        self._call(latencies.VERSION)
        return True

    def active(self) -> list[Listed]:
        """List all domains."""
        self._call(latencies.ACTIVE)
        domains = self._hypervisor.by_uuid.values()
        self._known.update(self._hypervisor.by_uuid)
        return [Listed(domain.uuid, domain.name, domain.id) for domain in domains]

    def paused(self) -> list[str]:
        """None of them ever is."""
        self._call(latencies.PAUSED)
        return []

    def statuses(self) -> list[Status]:
        """List all domains with their states."""
        self._call(latencies.ACTIVE)
        return [
            Status(domain.uuid, domain.name, domain.id, False, RUNNING, BOOTED)
            for domain in self._hypervisor.by_uuid.values()
        ]

    def inactive(self) -> list[Status]:
        """There are no others."""
        self._call(latencies.PAUSED)
        return []

    def find(self, name: str) -> Listed:
        """Look one domain up by its name."""
        self._call(latencies.LOOK_UP)
        domain = self._hypervisor.by_name.get(name)
        if domain is None:
            raise DomainGone("Domain not found")
        self._known.add(domain.uuid)
        return Listed(domain.uuid, domain.name, domain.id)

    def xml(self, uuid: str) -> str:
        """Give the XML."""
        return simulated.xml(self._ask(latencies.XML, uuid))

    def backup(self, uuid: str) -> str:
        """There is none."""
        self._ask(latencies.INFO, uuid)
        return ""

    def metadata(self, uuid: str, namespace: str) -> str:
        """Give the metadata element of one namespace."""
        domain = self._ask(latencies.INFO, uuid)
        return f"<tag>{domain.tag}</tag>" if domain.tag and namespace == simulated.TAG_NAMESPACE else ""

    def info(self, uuid: str) -> Info:
        """Ask for state, memory, virtual CPUs and CPU time."""
        self._ask(latencies.INFO, uuid)
        return Info(RUNNING, simulated.MEMORY, simulated.MEMORY, 1, 1_000_000_000)

    def state(self, uuid: str) -> tuple[int, int]:
        """Ask for the state and its reason."""
        self._ask(latencies.STATE, uuid)
        return RUNNING, BOOTED

    def nic(self, uuid: str, target: str) -> NicStats:
        """Ask for the counters of one interface."""
        if target not in self._ask(latencies.STATE, uuid).nics:
            raise DomainGone(f"{target!r} is not a known interface")
        return NicStats(10, 1, 0, 0, 20, 2, 0, 0)

    def nics(self, uuid: str) -> list[str]:
        """Ask how the host calls the interfaces."""
        return list(self._ask(latencies.INFO, uuid).nics)

    def control(self, uuid: str) -> Control:
        """Nobody else is in a monitor."""
        self._ask(latencies.CONTROL, uuid)
        return Control(0, 0, 0.0)

    def disk(self, uuid: str, target: str) -> DiskStats:
        """Ask for the counters of one disk."""
        self._require_disk(uuid, target)
        return DiskStats(1, 512, 2, 1024, -1)

    def host_cpus(self) -> HostCpus:
        """The host's CPUs."""
        return CPUS

    def vcpus(self, uuid: str, count: int, affinity: bool) -> list[Vcpu]:
        """Ask for the virtual CPU."""
        self._ask(latencies.INFO, uuid)
        return [Vcpu(0, 1, 1_000_000, (True,) * CPUS.possible if affinity else ())][:count]

    def cpu_times(self, uuid: str) -> CpuTimes:
        """Ask for the CPU time in user and in kernel mode."""
        self._ask(latencies.INFO, uuid)
        return CpuTimes(1_000_000_000, 1_000_000_000)

    def disk_times(self, uuid: str, target: str) -> DiskTimes:
        """Ask for the counters of one disk, with times."""
        self._require_disk(uuid, target)
        return DiskTimes(1, 512, 3_000_000, 2, 1024, 5_000_000, 4, 7_000_000)

    def disks(self, uuid: str) -> dict[str, DiskTimes]:
        """Ask for the counters of all disks."""
        domain = self._ask(latencies.DISK, uuid)
        return dict.fromkeys(domain.disks, DiskTimes(1, 512, 3_000_000, 2, 1024, 5_000_000, 4, 7_000_000))

    def job(self, uuid: str, completed: bool) -> dict[str, Any]:
        """There is none."""
        self._ask(latencies.INFO if completed else latencies.DISK, uuid)
        return {"type": 0}

    def memory(self, uuid: str) -> dict[str, int]:
        """Ask for what the balloon knows."""
        self._ask(latencies.DISK, uuid)
        return {"balloon.current": simulated.MEMORY, "balloon.rss": simulated.MEMORY}

    def stats(self, uuid: str, groups: Sequence[str]) -> dict[str, Any]:
        """Ask for bulk statistics: it has those of the balloon."""
        self._ask(latencies.DISK, uuid)
        return {"balloon.current": simulated.MEMORY, "balloon.rss": simulated.MEMORY} if "BALLOON" in groups else {}

    def disk_sizes(self, uuid: str, target: str) -> DiskSizes:
        """Ask for the sizes of one disk."""
        self._require_disk(uuid, target)
        return DiskSizes(8192, 4096, 4608)

    def disk_errors(self, uuid: str) -> dict[str, int]:
        """No disk fails."""
        self._ask(latencies.DISK, uuid)
        return {}

    def _require_disk(self, uuid: str, target: str) -> None:
        if target not in self._ask(latencies.DISK, uuid).disks:
            raise DomainGone(f"invalid path: {target}")

    def _ask(self, call: str, uuid: str) -> Domain:
        """Make a call for one domain. The first one over a connection looks the domain up."""
        if uuid not in self._known:
            self._call(latencies.LOOK_UP)
            if uuid in self._hypervisor.by_uuid:
                self._known.add(uuid)
        domain = self._hypervisor.by_uuid.get(uuid)
        if domain is None:
            raise DomainGone("Domain not found")
        self._call(call)
        return domain

    def _call(self, call: str) -> None:
        if not self.alive:
            raise Disconnected("invalid connection pointer")
        self._wire.call(call)
