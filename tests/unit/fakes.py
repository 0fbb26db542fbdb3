"""Stand-ins for libvirt that can be stuck, cut off and counted.

`FakeHypervisor` has the surface of `virt2.sources.hypervisor.Hypervisor`; the tests of `hypervisor_contract` hold both
to the same behaviour.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from tests.unit.fake_time import Stage
from virt2.errors import AgentSilent, Disconnected, DomainGone, Error, Missing
from virt2.model.domain import Status
from virt2.model.events import Event
from virt2.model.replies import (
    Account,
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

TAG_NAMESPACE = "http://ovirt.org/ovirtmap/tag/1.0"
RUNNING, PAUSED = 1, 3
OK, JOB, OCCUPIED, ERROR = range(4)
"""virDomainControlState."""
SERVER_GROUPS, MONITOR_GROUPS = ("PERF", "MEMORY"), ("BALLOON", "CPU_TOTAL", "VCPU", "IOTHREAD", "DIRTYRATE", "VM")
"""Groups of bulk statistics by what they need: libvirtd alone, or the monitor as well."""
XEN = frozenset({"controlInfo", "blockInfo", "diskErrors", "metadata", "backup", "bulk"})
LXC = frozenset({"controlInfo", "blockInfo", "diskErrors", "jobStats", "vcpus", "backup", "bulk"})
"""What the driver tables of libvirt's libxl and lxc drivers lack of the calls we make, libvirt 2.1 to 9.0."""


class FakeDomain:
    """A domain of the fake hypervisor; change its attributes at will."""

    def __init__(
        self,
        name: str,
        uuid: str,
        id: int,
        *,
        disks: Sequence[str],
        nics: Sequence[str],
        tag: str,
        source: str,
        sources: Mapping[str, str],
    ) -> None:
        self.name = name
        self.uuid = uuid
        self.id = id
        self.disks = list(disks)
        self.nics = list(nics)
        self.tag = tag
        self.source = source
        """Folder of its images, each folder a storage domain of its own."""
        self.sources = dict(sources)
        """Folders of those that lie elsewhere, by disk."""
        self.info = Info(RUNNING, 2097152, 1048576, 2, 5_000_000_000)
        self.reason = 0
        self.persistent = False
        self.control = Control(OK, 0, 0.0)
        self.disk_stats = DiskStats(1, 512, 2, 1024, -1)
        self.disk_times = DiskTimes(1, 512, 3_000_000, 2, 1024, 5_000_000, 4, 7_000_000)
        self.cpu_times = CpuTimes(1_000_000_000, 4_000_000_000)
        self.vcpus = [Vcpu(0, 1, 30_000_000, (True, True)), Vcpu(1, 1, 40_000_000, (True, False))]
        self.job: dict[str, Any] = {"type": 0}
        self.completed_job: dict[str, Any] = {"type": 0}
        self.stats: dict[str, dict[str, Any]] = {
            "BALLOON": {"balloon.current": 1048576, "balloon.maximum": 2097152, "balloon.rss": 42688},
            "VCPU": {"vcpu.current": 1, "vcpu.0.state": 1, "vcpu.0.wait": 5, "vcpu.0.delay": 6, "vcpu.0.halted": True},
            "CPU_TOTAL": {"cpu.haltpoll.success.time": 7, "cpu.haltpoll.fail.time": 8},
            "BLOCK": {
                f"block.{number}.{key}": value
                for number, target in enumerate(self.disks)
                for key, value in {"name": target, "allocation": 1024, "capacity": 8192, "physical": 4096}.items()
            },
        }
        """Bulk statistics by group."""
        self.disk_sizes = DiskSizes(8192, 4096, 4608)
        self.disk_errors: dict[str, int] = {}
        self.nic_stats = NicStats(10, 1, 0, 0, 20, 2, 0, 0)
        self.failures: dict[str, Error] = {}
        """What calls raise: by name (``blockStats``), or by name and device (``blockStats vda``)."""
        self.backup = ""
        """The XML of the backup that is under way."""
        self.broken_metadata = ""
        """Text put into the XML's metadata as it is."""
        self.agent = False
        """Whether its guest has an agent's channel open."""
        self.guest_info: dict[str, Any] = {"hostname": "inside", "user.count": 2}
        """What its agent tells."""
        self.file_systems: list[tuple[str, str, str, list[str]]] = []
        self.outside: set[str] = set()
        """Interfaces for whose counters libvirt asks another program."""
        self.stuck: set[str] = set()
        """Of ``monitor``, ``lock``, ``agent`` and ``outside``: what calls of that kind wait for."""
        self.holding = 0
        """Calls in flight that hold its lock."""
        self.frozen: set[str] = set()
        """Folders in whose storage a class C call was caught: until that is back the guest stands still."""

    def folder(self, target: str) -> str:
        """Where a disk's image lies."""
        return self.sources.get(target, self.source)

    @property
    def locked(self) -> bool:
        return "lock" in self.stuck or self.holding > 0

    @property
    def folders(self) -> set[str]:
        return {self.folder(target) for target in self.disks}

    @property
    def listed(self) -> Listed:
        return Listed(self.uuid, self.name, self.id)

    @property
    def xml(self) -> str:
        tag = f"<map:tag xmlns:map={quoteattr(TAG_NAMESPACE)}>{escape(self.tag)}</map:tag>" if self.tag else ""
        metadata = f"<metadata>{tag}{self.broken_metadata}</metadata>" if tag or self.broken_metadata else ""
        disks = "".join(
            f"<disk type='file' device='disk'>"
            f"<source file={quoteattr(f'{self.folder(target)}/{self.name}-{target}.img')}/>"
            f"<target dev={quoteattr(target)} bus='virtio'/></disk>"
            for target in self.disks
        )
        nics = "".join(
            f"<interface type='{'vhostuser' if target in self.outside else 'ethernet'}'>"
            f"<mac address='52:54:00:00:00:01'/>"
            f"<target dev={quoteattr(target)}/></interface>"
            for target in self.nics
        )
        state = "connected" if self.agent else "disconnected"
        channel = (
            f"<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='{state}'/></channel>"
        )
        return (
            f"<domain type='test' id='{self.id}'><name>{escape(self.name)}</name><uuid>{self.uuid}</uuid>"
            f"{metadata}<devices>{disks}{nics}{channel}</devices></domain>"
        )


class FakeLoop:
    """An event loop that does nothing, because the fake hypervisor calls back by itself."""

    def __init__(self) -> None:
        self.undisturbed_now = 0
        self.stopped = False

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        self.undisturbed_now += 1
        try:
            yield
        finally:
            self.undisturbed_now -= 1

    def stop(self) -> None:
        self.stopped = True


class FakeHypervisor:
    """A libvirt with domains in a dictionary, and with everything that can be wrong with it.

    Every round trip is noted in `calls` as (name, domain, device).
    """

    def __init__(self, uri: str = "fake:///system") -> None:
        self.uri = uri
        self.stage = Stage()
        self.domains: dict[str, FakeDomain] = {}
        """The active ones by name."""
        self.inactive: list[Status] = []
        self.idle: dict[str, FakeDomain] = {}
        """What the inactive ones would be if they were active, by UUID; where that is asked for."""
        self.calls: list[tuple[str, str, str]] = []
        self.connections: list[FakeConnection] = []
        self.agent_connections: list[FakeAgentConnection] = []
        self.read_write = True
        """Whether it lets anybody open a connection that is not read-only."""
        self.events_started = 0
        self.loop = FakeLoop()
        self.daemon = 1
        """Identity of the libvirtd that runs; changes when it is restarted."""
        self.down = ""
        """Why no connection can be made; empty when it can."""
        self.pool_full = False
        self.version = "9.0.0"
        self.xml_takes_job = False
        """Whether reading a domain's XML waits for its monitor."""
        self.lacks: Collection[str] = ()
        """Calls that its driver does not have, see `XEN` and `LXC`."""
        self.is_stopped = False
        """Whether libvirtd answers nobody."""
        self.max_clients: int | None = None
        """Connections that are accepted; whoever wants one more waits. None for any number."""
        self.events = True
        self.cpus = HostCpus(2, 2)
        self.in_flight: dict[str, int] = {}
        """Calls per domain that need its monitor and that libvirtd is working on."""
        self.most_in_flight: dict[str, int] = {}
        self.dead: set[str] = set()
        """Folders whose storage does not answer."""
        self.touching: list[set[str]] = []
        """Folders of each domain that a class C call is in flight for."""
        self.most_touching: dict[str, int] = {}
        """Most class C calls there ever were at a time, by folder."""
        self.on_call: Callable[[str, str, str], None] = lambda call, name, device: None
        """Called within every call of a domain, on the thread that makes it."""
        self._ids = 0

    def add(
        self,
        name: str,
        *,
        disks: Sequence[str] = ("vda",),
        nics: Sequence[str] = ("vnet0",),
        tag: str = "",
        source: str = "/images",
        sources: Mapping[str, str] | None = None,
        uuid: str = "",
    ) -> FakeDomain:
        """Start a domain."""
        self._ids += 1
        uuid = uuid or f"00000000-0000-4000-8000-{self._ids:012x}"
        domain = FakeDomain(
            name, uuid, self._ids, disks=disks, nics=nics, tag=tag, source=source, sources=sources or {}
        )
        self.domains[name] = domain
        return domain

    def set_idle(self, name: str, **options: Any) -> None:
        """Define a domain that is not active, or define it anew."""
        uuid = f"u-{name}"
        domain = FakeDomain(
            name, uuid, -1, **{"disks": (), "nics": (), "tag": "", "source": "", "sources": {}, **options}
        )
        self.inactive = [status for status in self.inactive if status.uuid != uuid]
        self.inactive.append(Status(uuid, name, -1, True, 5, 0))
        self.idle[uuid] = domain

    def remove(self, name: str) -> FakeDomain:
        """Stop a domain."""
        domain = self.domains.pop(name)
        self.stage.review()
        return domain

    def restart(self, name: str) -> None:
        """Stop a domain and start it again: the same but for its id."""
        self._ids += 1
        self.domains[name].id = self._ids

    @contextlib.contextmanager
    def stuck(
        self, name: str, *, monitor: bool = False, lock: bool = False, agent: bool = False, outside: bool = False
    ) -> Iterator[FakeDomain]:
        """Let what a domain's calls wait for not answer, or its lock be held, for the length of a ``with``."""
        domain = self.domains[name]
        kinds = (("monitor", monitor), ("lock", lock), ("agent", agent), ("outside", outside))
        wanted = {kind for kind, is_wanted in kinds if is_wanted}
        assert wanted, "say what is stuck"
        domain.stuck |= wanted
        try:
            yield domain
        finally:
            domain.stuck -= wanted
            self.stage.review()

    @contextlib.contextmanager
    def dead_storage(self, folder: str) -> Iterator[None]:
        """Let the storage of a folder not answer: guests stand still once something asks for their sizes there."""
        self.dead.add(folder)
        try:
            yield
        finally:
            self.dead.remove(folder)
            for domain in self.domains.values():
                domain.frozen.discard(folder)
            self.stage.review()

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Let others have filled libvirtd's normal workers: only priority calls answer."""
        self.pool_full = True
        try:
            yield
        finally:
            self.pool_full = False
            self.stage.review()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Let libvirtd answer nobody, as when its process is stopped."""
        self.is_stopped = True
        try:
            yield
        finally:
            self.is_stopped = False
            self.stage.review()

    @contextlib.contextmanager
    def crowded(self, more: int = 0) -> Iterator[None]:
        """Let others have so many connections that only so many more than there are now are accepted."""
        self.max_clients = self.clients + more
        try:
            yield
        finally:
            self.max_clients = None
            self.stage.review()

    @property
    def clients(self) -> int:
        """Connections that stand."""
        return sum(connection.alive for connection in (*self.connections, *self.agent_connections))

    def _accept(self) -> None:
        """Wait until one more connection is accepted."""
        self.stage.hold(lambda: self.is_stopped or (self.max_clients is not None and self.clients >= self.max_clients))

    def cut(self) -> None:
        """Lose every connection, with the calls that are in flight on it."""
        for connection in (*self.connections, *self.agent_connections):
            connection.lost = True
        self.stage.review()

    def crash(self, reason: str = "libvirtd is not running") -> None:
        """End libvirtd."""
        self.down = reason
        self.cut()

    def boot(self) -> None:
        """Start libvirtd, another one than before."""
        self.down = ""
        self.daemon += 1

    def tell(self, kind: str, uuid: str, **fields: Any) -> None:
        """Send an event to whoever watches."""
        for connection in self.connections:
            if connection.alive and connection.sink is not None:
                connection.sink(Event(kind, uuid, **fields))

    def count(self, call: str, name: str | None = None) -> int:
        """How often a call was made, for one domain or altogether."""
        return sum(1 for made in self.calls if made[0] == call and name in (None, made[1]))

    # The surface of virt2.sources.hypervisor.Hypervisor

    def start_events(self) -> None:
        self.events_started += 1

    def connect(self) -> FakeConnection:
        self.calls.append(("connect", "", ""))
        self._accept()
        if self.down:
            raise Disconnected(self.down)
        connection = FakeConnection(self)
        self.connections.append(connection)
        return connection

    def connect_agents(self) -> FakeAgentConnection:
        self.calls.append(("connect_agents", "", ""))
        self._accept()
        if self.down or not self.read_write:
            raise Disconnected(self.down or "authentication failed")
        connection = FakeAgentConnection(self)
        self.agent_connections.append(connection)
        return connection


class FakeProcesses:
    """The QEMUs of a fake hypervisor's domains, which may run while libvirtd does not. As with real ones, one that was
    not found yet tells nothing.
    """

    def __init__(self, hypervisor: FakeHypervisor) -> None:
        self._hypervisor = hypervisor
        self._known: dict[str, int] = {}
        """The run that was found, by UUID."""
        self.rss = 1 << 24
        self.cpus = 4
        self.hidden = False
        """Whether they cannot be found."""
        self.groups = True
        """Whether libvirt has made a control group for each."""
        self.states: dict[str, str] = {}
        """T or D by UUID, where a process will not answer."""
        self.ended: set[str] = set()
        """UUIDs of domains whose process has ended, which libvirtd still lists."""

    def account(self, uuid: str) -> Account | None:
        domain = self._running(uuid)
        return None if domain is None else Account(domain.info.cpu_time - 1000, 1000, self.rss)

    def cpu_times(self, uuid: str) -> CpuTimes | None:
        domain = self._running(uuid)
        return domain.cpu_times if domain is not None and self.groups else None

    def state(self, uuid: str) -> str:
        return self.states.get(uuid, "")

    def has_ended(self, uuid: str, name: str) -> bool:
        if uuid not in self._known or self._running(uuid) is not None:
            return False
        domain = self._hypervisor.domains.get(name)
        return domain is None or domain.uuid != uuid or domain.id == self._known[uuid]

    def pid(self, uuid: str, name: str) -> int | None:
        domain = self._hypervisor.domains.get(name)
        if domain is None or domain.uuid != uuid or self.hidden or uuid in self.ended:
            return None
        self._known[uuid] = domain.id
        return domain.id

    def host_cpus(self) -> int:
        return self.cpus

    @property
    def known(self) -> int:
        return len(self._known)

    def stopped(self, uuid: str, name: str) -> str:
        return self.states.get(uuid, "")

    def keep(self, uuids: Collection[str]) -> None:
        self._known = {uuid: run for uuid, run in self._known.items() if uuid in uuids}

    def problem(self) -> str:
        return "they are hidden" if self.hidden else ""

    def _running(self, uuid: str) -> FakeDomain | None:
        run = None if uuid in self.ended else self._known.get(uuid)
        return next((one for one in self._hypervisor.domains.values() if (one.uuid, one.id) == (uuid, run)), None)


class FakeConnection:
    """A connection to the fake hypervisor."""

    def __init__(self, hypervisor: FakeHypervisor) -> None:
        self._hypervisor = hypervisor
        self.lost = False
        self.closed = False
        self.sink: Callable[[Any], None] | None = None
        self._host_cpus: HostCpus | None = None

    @property
    def alive(self) -> bool:
        return not self.lost and not self.closed

    def close(self) -> None:
        self.closed = True
        self.sink = None

    def version(self) -> str:
        self._call("version")
        return self._hypervisor.version

    def watch(self, sink: Callable[[Any], None]) -> bool:
        self._call("watch")
        if not self._hypervisor.events:
            return False
        self.sink = sink
        return True

    def active(self) -> list[Listed]:
        domains = self._hypervisor.domains
        self._call("active", priority=True, obstacle=lambda: any(domain.locked for domain in domains.values()))
        return [domain.listed for domain in domains.values()]

    def paused(self) -> list[str]:
        domains = self._hypervisor.domains
        self._call("paused", priority=True, obstacle=lambda: any(domain.locked for domain in domains.values()))
        return [domain.uuid for domain in domains.values() if domain.info.state == PAUSED]

    def statuses(self) -> list[Status]:
        domains = self._hypervisor.domains
        self._call("statuses", priority=True, obstacle=lambda: any(domain.locked for domain in domains.values()))
        active = [
            Status(domain.uuid, domain.name, domain.id, domain.persistent, domain.info.state, domain.reason)
            for domain in domains.values()
        ]
        return active + list(self._hypervisor.inactive)

    def inactive(self) -> list[Status]:
        domains = self._hypervisor.domains
        self._call("inactive", priority=True, obstacle=lambda: any(domain.locked for domain in domains.values()))
        return list(self._hypervisor.inactive)

    def find(self, name: str) -> Listed:
        self._call("find", name, priority=True, obstacle=lambda: self._is_locked(name))
        return self._by_name(name).listed

    def xml(self, uuid: str) -> str:
        idle = self._hypervisor.idle.get(uuid)
        if idle is not None:
            self._call("xml", idle.name)
            return idle.xml
        return self._ask("xml", uuid, monitor=self._hypervisor.xml_takes_job).xml

    def _ask_outside(self, uuid: str, target: str) -> FakeDomain | None:
        """Ask for what libvirt asks another program for that does not answer, with the domain's lock held."""
        domain = next((domain for domain in self._hypervisor.domains.values() if domain.uuid == uuid), None)
        if domain is None or target not in domain.outside or "outside" not in domain.stuck or domain.holding:
            return None
        domain.holding += 1
        try:
            self._call("interfaceStats", domain.name, target, priority=True, obstacle=lambda: "outside" in domain.stuck)
        finally:
            domain.holding -= 1
            self._hypervisor.stage.review()
        return domain

    def memory(self, uuid: str) -> dict[str, Any]:
        return dict(self._ask("memoryStats", uuid, monitor=True).stats["BALLOON"])

    def backup(self, uuid: str) -> str:
        return self._ask("backup", uuid).backup

    def metadata(self, uuid: str, namespace: str) -> str:
        domain = self._ask("metadata", uuid)
        # libvirt hands the element out without its prefix.
        return f"<tag>{escape(domain.tag)}</tag>" if domain.tag and namespace == TAG_NAMESPACE else ""

    def info(self, uuid: str) -> Info:
        return self._ask("info", uuid).info

    def state(self, uuid: str) -> tuple[int, int]:
        domain = self._ask("state", uuid, priority=True)
        return domain.info.state, domain.reason

    def nic(self, uuid: str, target: str) -> NicStats:
        domain = self._ask_outside(uuid, target) or self._ask("interfaceStats", uuid, target, priority=True)
        if target not in domain.nics:
            raise DomainGone(f"{target!r} is not a known interface")
        return domain.nic_stats

    def nics(self, uuid: str) -> list[str]:
        return list(self._ask("bulk", uuid, "INTERFACE").nics)

    def control(self, uuid: str) -> Control:
        return self._ask("controlInfo", uuid, priority=True).control

    def disk(self, uuid: str, target: str) -> DiskStats:
        domain = self._ask("blockStats", uuid, target, monitor=True)
        if target not in domain.disks:
            raise DomainGone(f"invalid path: {target}")
        return domain.disk_stats

    def host_cpus(self) -> HostCpus:
        if self._host_cpus is None:
            self._call("nodeInfo")
            self._host_cpus = self._hypervisor.cpus
        return self._host_cpus

    def vcpus(self, uuid: str, count: int, affinity: bool) -> list[Vcpu]:
        if affinity:
            self.host_cpus()
        vcpus = self._ask("vcpus", uuid).vcpus[:count]
        return vcpus if affinity else [vcpu._replace(affinity=()) for vcpu in vcpus]

    def cpu_times(self, uuid: str) -> CpuTimes:
        return self._ask("getCPUStats", uuid).cpu_times

    def disk_times(self, uuid: str, target: str) -> DiskTimes:
        domain = self._ask("blockStatsFlags", uuid, target, monitor=True)
        if target not in domain.disks:
            raise DomainGone(f"invalid path: {target}")
        return domain.disk_times

    def disks(self, uuid: str) -> dict[str, DiskTimes]:
        with self._touching(uuid):
            domain = self._ask("bulk", uuid, "BLOCK", monitor=True)
        return dict.fromkeys(domain.disks, domain.disk_times)

    def job(self, uuid: str, completed: bool) -> dict[str, Any]:
        if completed:
            return dict(self._ask("jobStats", uuid, "completed").completed_job)
        return dict(self._ask("jobStats", uuid, monitor=True).job)

    def stats(self, uuid: str, groups: Sequence[str]) -> dict[str, Any]:
        assert set(groups) <= {*SERVER_GROUPS, *MONITOR_GROUPS, "BLOCK"}, groups
        with self._touching(uuid) if "BLOCK" in groups else contextlib.nullcontext():
            domain = self._ask("bulk", uuid, " ".join(groups), monitor=not set(groups) <= set(SERVER_GROUPS))
        return {name: value for group in groups for name, value in domain.stats.get(group, {}).items()}

    def disk_sizes(self, uuid: str, target: str) -> DiskSizes:
        with self._touching(uuid, target):
            domain = self._ask("blockInfo", uuid, target, monitor=True)
        if target not in domain.disks:
            raise DomainGone(f"invalid path {target} not assigned to domain")
        return domain.disk_sizes

    def disk_errors(self, uuid: str) -> dict[str, int]:
        with self._touching(uuid):
            return dict(self._ask("diskErrors", uuid, monitor=True).disk_errors)

    @contextlib.contextmanager
    def _touching(self, uuid: str, target: str = "") -> Iterator[None]:
        """Touch the storage of one disk, or of all, for the length of a call."""
        hypervisor = self._hypervisor
        domain = next((domain for domain in hypervisor.domains.values() if domain.uuid == uuid), None)
        if domain is None:
            yield
            return
        folders = domain.folders
        with hypervisor.stage.lock:
            hypervisor.touching.append(folders)
            for folder in folders:
                now = sum(folder in touched for touched in hypervisor.touching)
                hypervisor.most_touching[folder] = max(now, hypervisor.most_touching.get(folder, 0))
            domain.frozen |= hypervisor.dead & ({domain.folder(target)} if target else folders)
        try:
            yield
        finally:
            with hypervisor.stage.lock:
                hypervisor.touching.remove(folders)

    def _ask(
        self,
        call: str,
        uuid: str,
        device: str = "",
        *,
        priority: bool = False,
        monitor: bool = False,
        agent: bool = False,
    ) -> FakeDomain:
        """Make a call for one domain."""
        hypervisor = self._hypervisor
        name = next((domain.name for domain in hypervisor.domains.values() if domain.uuid == uuid), uuid)

        def obstacle() -> bool:
            if self._is_locked(name) or (monitor and self._is_silent(name)):
                return True
            return agent and name in hypervisor.domains and self._is_stuck(name, "agent")

        if monitor:
            with hypervisor.stage.lock:
                now = hypervisor.in_flight[name] = hypervisor.in_flight.get(name, 0) + 1
                hypervisor.most_in_flight[name] = max(now, hypervisor.most_in_flight.get(name, 0))
        try:
            self._call(call, name, device, priority=priority, obstacle=obstacle)
        finally:
            if monitor:
                with hypervisor.stage.lock:
                    hypervisor.in_flight[name] -= 1
        domain = self._by_name(name)
        if call in hypervisor.lacks:
            raise Missing("this function is not supported by the connection driver")
        failure = domain.failures.get(f"{call} {device}") or domain.failures.get(call)
        if failure is not None:
            raise failure
        return domain

    def _call(
        self,
        call: str,
        name: str = "",
        device: str = "",
        *,
        priority: bool = False,
        obstacle: Callable[[], bool] = lambda: False,
    ) -> None:
        """Make a round trip, and be held by whatever there is to be held by."""
        hypervisor = self._hypervisor
        if not self.alive:
            raise Disconnected("invalid connection pointer")
        hypervisor.calls.append((call, name, device))
        hypervisor.on_call(call, name, device)
        hypervisor.stage.hold(
            lambda: self.alive and (hypervisor.is_stopped or obstacle() or (hypervisor.pool_full and not priority))
        )
        if not self.alive:
            raise Disconnected("Cannot recv data: Connection reset by peer")

    def _is_locked(self, name: str) -> bool:
        domain = self._hypervisor.domains.get(name)
        return domain is not None and domain.locked

    def _is_silent(self, name: str) -> bool:
        """Whether its monitor answers nobody."""
        domain = self._hypervisor.domains.get(name)
        return domain is not None and ("monitor" in domain.stuck or bool(domain.frozen))

    def _is_stuck(self, name: str, kind: str) -> bool:
        return kind in self._hypervisor.domains[name].stuck

    def _by_name(self, name: str) -> FakeDomain:
        domain = self._hypervisor.domains.get(name)
        if domain is None:
            raise DomainGone("Domain not found")
        return domain


class FakeAgentConnection(FakeConnection):
    """A read-write connection to the fake hypervisor; it has no more than the real one."""

    def guest_info(self, uuid: str) -> dict[str, Any]:
        return dict(self._ask_agent("guestInfo", uuid).guest_info)

    def fs_info(self, uuid: str) -> list[tuple[Any, ...]]:
        return list(self._ask_agent("fsInfo", uuid).file_systems)

    def _ask_agent(self, call: str, uuid: str) -> FakeDomain:
        domain = self._ask(call, uuid, agent=True)
        if not domain.agent:
            raise AgentSilent("QEMU guest agent is not connected")
        return domain
