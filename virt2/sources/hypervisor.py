"""libvirt: connections to it, and the calls that are made over them.

A `Hypervisor` stands for one URI and makes `Connection` objects. A connection is used by one thread at a time and makes
one call at a time. Every call may block without limit, so its caller is a thread that may be lost to it.

What a call needs of the host decides where it may be made. Class A needs libvirtd alone, class B the QEMU monitor,
class C the storage as well. The class stands in each method's docstring. "Priority" means that libvirtd has workers of
their own for such a call.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import libvirt

from virt2 import errors
from virt2.model.domain import Status
from virt2.model.events import CHANGED, CLOSED, IO_ERROR, LIFECYCLE, MEMORY, WATCHDOG, Event
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
from virt2.sources.event_loop import EventLoop, guarded
from virt2.sources.guest_agents import KNOWN_DOMAINS, AgentConnection
from virt2.sources.libvirt_c import CLibrary
from virt2.sources.translation import Translated, is_alive, words

T = TypeVar("T")

KEEPALIVE_INTERVAL = 5
"""Seconds between keepalive messages on an idle connection, libvirt's own default."""
KEEPALIVE_COUNT = 3
"""Unanswered keepalives after which libvirt closes the connection. A frozen libvirtd is so given up after 20 s."""
SHARED_KEEPALIVE_INTERVAL = 1
"""The same of a connection that several threads share. One of them does the input and output of all, and the others
wake it when they have a call to send. libvirt's client loses such a wake-up where that thread is just about to wait: it
then waits for the reply to its own call, which may never come. A keepalive message wakes it again. The connection is
given up after the same time."""
JOB_WAIT = 29.0
"""Seconds after which an answer in bulk is taken for a partial one. libvirt waits 30 s for a domain's job, and then it
leaves out what needs the job."""

_REFUSALS = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG)
"""What a driver says of a call that it cannot make for a domain, or not with these flags."""

_DISK_TIMES = (
    "rd_operations",
    "rd_bytes",
    "rd_total_times",
    "wr_operations",
    "wr_bytes",
    "wr_total_times",
    "flush_operations",
    "flush_total_times",
)
"""What virDomainBlockStatsFlags calls the fields of `DiskTimes`."""
_BULK_TIMES = ("rd.reqs", "rd.bytes", "rd.times", "wr.reqs", "wr.bytes", "wr.times", "fl.reqs", "fl.times")
"""What bulk statistics call them."""

_NO_BACKUP = getattr(libvirt, "VIR_ERR_NO_DOMAIN_BACKUP", 104)


class Hypervisor:
    """One libvirt URI.

    Arguments:
        uri: what virConnectOpenReadOnly takes; empty for libvirt's own choice.
        agents: whether its connections tell when a guest's agent comes or goes.

    Attributes:
        loop: libvirt's event loop.
    """

    def __init__(self, uri: str, *, agents: bool = False) -> None:
        self.uri = uri
        self._agents = agents
        self.loop = EventLoop()
        self._c = _c_library()
        # libvirt prints every error to stderr unless there is a handler. Errors reach us as exceptions.
        libvirt.registerErrorHandler(_ignore_error, None)

    def __repr__(self) -> str:
        return f"<Hypervisor {self.uri or 'default'}>"

    def start_events(self) -> None:
        """Start libvirt's event loop. It has to run before the first connection is made.

        Keepalives and events work only where it runs. Connections that are made before it could be started do without.
        Once it runs, another call does nothing.
        """
        self.loop.start()

    def connect(self) -> Connection:
        """Open a read-only connection (a priority call at libvirtd).

        Raises:
            Disconnected: libvirt cannot be reached; the message is libvirt's.
        """
        raw = self._open(libvirt.openReadOnly)
        return Connection(raw, events=self.loop.running, agents=self._agents, c=self._c)

    def connect_agents(self) -> AgentConnection:
        """Open a read-write connection: libvirt takes calls to a guest's agent on no other (a priority call).

        Raises:
            Disconnected: libvirt cannot be reached, or it refuses; the message is libvirt's.
        """
        return AgentConnection(self._open(libvirt.open, SHARED_KEEPALIVE_INTERVAL))

    def _open(self, function: Callable[[str | None], Any], keepalive: int = KEEPALIVE_INTERVAL) -> Any:
        try:
            raw = function(self.uri or None)
        except libvirt.libvirtError as error:
            raise errors.Disconnected(words(error)) from None
        if self.loop.running:
            # Drivers without a wire (the test driver) have no keepalive, and need none.
            with contextlib.suppress(libvirt.libvirtError):
                raw.setKeepAlive(keepalive, KEEPALIVE_INTERVAL * KEEPALIVE_COUNT // keepalive)
        return raw


class Connection:
    """One connection to libvirt, with the look-ups it has made. Only one thread at a time may use it.

    Arguments:
        raw: the connection of libvirt's.
        events: whether libvirt's event loop runs, without which nothing can be watched.
        agents: whether `watch` tells when a guest's agent comes or goes.
        c: the C library; None where libvirt-python has to do.
    """

    def __init__(self, raw: Any, *, events: bool, agents: bool = False, c: CLibrary | None = None) -> None:
        self._raw = raw
        self._events = events
        self._agents = agents
        self._c = c
        self._host_cpus: HostCpus | None = None
        self._translated = Translated(raw)
        self._domains: dict[str, Any] = {}
        self._callbacks: list[int] = []
        self._watched = False

    def __repr__(self) -> str:
        return f"<Connection alive={self.alive} look_ups={len(self._domains)}>"

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this side knows (no round trip)."""
        return is_alive(self._raw)

    def close(self) -> None:
        """Give the connection back. This may block like any call, and never raises."""
        # A registered callback holds a reference, and without this the socket would outlive the connection. Each of
        # these calls fails on a connection that is already dead, and still drops what is held on this side.
        for callback in self._callbacks:
            with contextlib.suppress(libvirt.libvirtError):
                self._raw.domainEventDeregisterAny(callback)
        if self._watched:
            with contextlib.suppress(libvirt.libvirtError):
                self._raw.unregisterCloseCallback()
        self._callbacks.clear()
        self._domains.clear()
        with contextlib.suppress(libvirt.libvirtError):
            self._raw.close()

    def version(self) -> str:
        """Ask for the version of the libvirt at the other end. Class A."""
        with self._translated:
            return _version(self._raw.getLibVersion())

    def watch(self, sink: Callable[[Event], None]) -> bool:
        """Have `sink` called, on a thread of libvirt's, with every event worth knowing. Class A.

        `sink` must only enqueue. Returns whether everything that changes a domain will be told. Where it is False, some
        changes are found by polling only.
        """
        if not self._events:
            return False

        # What these ask of the domain costs no round trip.
        def lifecycle(_conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
            sink(Event(LIFECYCLE, domain.UUIDString(), event, detail, domain.name(), domain.ID()))

        def changed(_conn: Any, domain: Any, *_details: Any) -> None:
            sink(Event(CHANGED, domain.UUIDString()))

        def io_error(_conn: Any, domain: Any, path: str, alias: str, action: int, reason: str, _opaque: Any) -> None:
            told = Event(IO_ERROR, domain.UUIDString(), 0, action, domain.name(), domain.ID())
            sink(told._replace(path=path or "", alias=alias or "", reason=reason or ""))

        def watchdog(_conn: Any, domain: Any, action: int, _opaque: Any) -> None:
            sink(Event(WATCHDOG, domain.UUIDString(), 0, action, domain.name(), domain.ID()))

        def memory(_conn: Any, domain: Any, *_details: Any) -> None:
            sink(Event(MEMORY, domain.UUIDString()))

        def closed(_conn: Any, reason: int, _opaque: Any) -> None:
            sink(Event(CLOSED, "", detail=reason))

        complete = all(
            [
                self._register("LIFECYCLE", lifecycle),
                self._register("METADATA_CHANGE", changed),
                self._register("DEVICE_ADDED", changed),
                self._register("DEVICE_REMOVED", changed),
                self._register("BALLOON_CHANGE", memory),
                not self._agents or self._register("AGENT_LIFECYCLE", changed),
            ]
        )
        # What a disk lies on changes with these. libvirt tells nothing of a snapshot or of the start of a copy.
        if not self._register("BLOCK_JOB_2", changed):
            self._register("BLOCK_JOB", changed)
        self._register("TRAY_CHANGE", changed)
        self._register("MEMORY_DEVICE_SIZE_CHANGE", memory)
        self._register("DISK_CHANGE", changed)
        self._register("IO_ERROR_REASON", io_error)
        self._register("WATCHDOG", watchdog)
        try:
            with self._translated:
                self._raw.registerCloseCallback(guarded(closed), None)
                self._watched = True
        except errors.Unsupported:
            complete = False
        return complete

    def _register(self, event: str, callback: Callable[..., None]) -> bool:
        """Have a callback called for an event; returns whether libvirt has that event, here and at the other end."""
        number = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{event}", None)
        if number is None:
            return False
        try:
            with self._translated:
                self._callbacks.append(self._raw.domainEventRegisterAny(None, number, guarded(callback), None))
        except errors.Disconnected:
            raise
        except errors.Error:
            # An older libvirtd that does not know the number calls it an internal error.
            return False
        return True

    def active(self) -> list[Listed]:
        """List the active domains, paused ones too. Class A; blocks while any domain's object lock is held."""
        with self._translated:
            domains = self._raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        listed = []
        for domain in domains:
            uuid = domain.UUIDString()
            self._remember(uuid, domain)
            listed.append(Listed(uuid, domain.name(), domain.ID()))
        return listed

    def paused(self) -> list[str]:
        """List the UUIDs of active domains that are paused. Class A, priority; blocks like `active`."""
        with self._translated:
            domains = self._raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED)
        return [domain.UUIDString() for domain in domains]

    def statuses(self) -> list[Status]:
        """List every domain, active or not, with its state. Class A, priority; blocks like `active`."""
        return [
            *self._statuses(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT, True),
            *self._statuses(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT, False),
        ]

    def inactive(self) -> list[Status]:
        """List every domain that is not active, with its state. Class A, priority; blocks like `active`."""
        return list(self._statuses(libvirt.VIR_CONNECT_LIST_DOMAINS_INACTIVE, True))

    def _statuses(self, flag: int, persistent: bool) -> Iterator[Status]:
        with self._translated:
            domains = self._raw.listAllDomains(flag)
        for domain in domains:
            try:
                with self._translated:
                    state, reason = domain.state()
            except errors.Disconnected:
                raise
            except errors.Error:
                # It has gone meanwhile, or it is ill, and that must not cost the others.
                continue
            yield Status(domain.UUIDString(), domain.name(), domain.ID(), persistent, state, reason)

    def find(self, name: str) -> Listed:
        """Look one domain up by its name. Class A, priority."""
        with self._translated:
            domain = self._raw.lookupByName(name)
        uuid = domain.UUIDString()
        self._remember(uuid, domain)
        return Listed(uuid, domain.name(), domain.ID())

    def xml(self, uuid: str) -> str:
        """Give the live XML. Class A, but class B in libvirt 11.0 to 11.4, which takes a job for it."""
        with self._translated:
            return str(self._domain(uuid).XMLDesc(0))

    def backup(self, uuid: str) -> str:
        """Give the XML of the backup that is under way, empty where there is none. Class A."""
        try:
            with self._translated:
                domain = self._domain(uuid)
                return str(domain.backupGetXMLDesc(0)) if hasattr(domain, "backupGetXMLDesc") else ""
        except errors.Unsupported:
            return ""
        except errors.CallFailed as error:
            if error.code == _NO_BACKUP:
                return ""
            raise

    def metadata(self, uuid: str, namespace: str) -> str:
        """Give the metadata element of one namespace, empty where the domain has none. Class A."""
        try:
            with self._translated:
                return str(self._domain(uuid).metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace, 0))
        except errors.CallFailed as error:
            if error.code == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                return ""
            raise

    def info(self, uuid: str) -> Info:
        """Ask for state, memory, virtual CPUs and CPU time. Class A."""
        with self._translated:
            return Info._make(self._domain(uuid).info())

    def state(self, uuid: str) -> tuple[int, int]:
        """Ask for the state and its reason, as libvirt's numbers. Class A, priority."""
        with self._translated:
            state, reason = self._domain(uuid).state()
            return state, reason

    def nic(self, uuid: str, target: str) -> NicStats:
        """Ask for the counters of one interface. Class A, priority."""
        with self._translated:
            return NicStats._make(self._domain(uuid).interfaceStats(target))

    def control(self, uuid: str) -> Control:
        """Ask whether somebody is inside the domain's monitor. Class A, priority."""
        with self._translated:
            state, detail, milliseconds = self._domain(uuid).controlInfo(0)
            return Control(state, detail, milliseconds / 1000)

    def nics(self, uuid: str) -> list[str]:
        """Ask, without the XML, how the host calls the interfaces that have a name there. Class A."""
        stats = self._bulk(uuid, libvirt.VIR_DOMAIN_STATS_INTERFACE, 0)
        names = (stats.get(f"net.{number}.name", "") for number in range(stats.get("net.count", 0)))
        return [name for name in names if name]

    def disk(self, uuid: str, target: str) -> DiskStats:
        """Ask for the counters of one disk. Class B: blocks as long as the QEMU monitor does not answer."""
        with self._translated:
            return DiskStats._make(self._domain(uuid).blockStats(target))

    def host_cpus(self) -> HostCpus:
        """Ask for the host's CPUs, once for each connection. Class A."""
        if self._host_cpus is None:
            with self._translated:
                _, _, active, _, nodes, sockets, cores, threads = self._raw.getInfo()
            self._host_cpus = HostCpus(active, nodes * sockets * cores * threads)
        return self._host_cpus

    def vcpus(self, uuid: str, count: int, affinity: bool) -> list[Vcpu]:
        """Ask for the virtual CPUs that are in use; `count` is their number. Class A.

        With `affinity`, each tells on which of the host's CPUs it may run.
        """
        host = self.host_cpus().possible if affinity else 0

        def ask(domain: Any) -> list[Vcpu]:
            if self._c is not None:
                found = _said(self._c.vcpus(domain.c_pointer(), count, host), "virDomainGetVcpus")
                return [Vcpu._make(each) for each in found]
            infos, maps = domain.vcpus()
            return [
                Vcpu(number, state, cpu_time, tuple(allowed[:host]))
                for (number, state, cpu_time, _), allowed in zip(infos, maps)
            ]

        return self._extra(uuid, ask)

    def cpu_times(self, uuid: str) -> CpuTimes:
        """Ask for the CPU time in user and in kernel mode. Class A."""

        def ask(domain: Any) -> CpuTimes:
            if self._c is not None:
                found = _said(self._c.cpu_stats(domain.c_pointer()), "virDomainGetCPUStats")
            else:
                (found,) = domain.getCPUStats(True)
            return CpuTimes(found.get("user_time", -1), found.get("system_time", -1))

        return self._extra(uuid, ask)

    def disk_times(self, uuid: str, target: str) -> DiskTimes:
        """Ask for the counters of one disk, with times. Class B."""

        def ask(domain: Any) -> DiskTimes:
            if self._c is not None:
                found = _said(self._c.block_stats(domain.c_pointer(), target), "virDomainBlockStatsFlags")
            else:
                found = domain.blockStatsFlags(target)
            return DiskTimes._make(found.get(name, -1) for name in _DISK_TIMES)

        return self._extra(uuid, ask, target)

    def job(self, uuid: str, completed: bool) -> dict[str, Any]:
        """Ask what is known of a domain's job, under libvirt's own names, and of its `type`, 0 where there is no job.

        Class B, or class A where the job that ended last is asked for (`completed`). A libvirt before 5.7 forgets that
        job when it is read.
        """
        flags = 0
        if completed:
            flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED
            flags |= getattr(libvirt, "VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED", 0)
        return self._extra(uuid, lambda domain: dict(domain.jobStats(flags)))

    def memory(self, uuid: str) -> dict[str, int]:
        """Ask virDomainMemoryStats; the reply has the names of bulk statistics. Class B.

        The drivers that have no bulk statistics, those of Xen and LXC, have this.
        """
        return self._memory(uuid)

    def stats(self, uuid: str, groups: Sequence[str]) -> dict[str, Any]:
        """Ask for bulk statistics of one domain, under libvirt's own names; nothing is there of unknown groups.

        The class is that of the groups: ``STATE``, ``INTERFACE``, ``PERF`` and ``MEMORY`` are class A, ``BLOCK`` is
        class C, all others are class B.
        """
        flags = 0
        for group in groups:
            flags |= getattr(libvirt, f"VIR_DOMAIN_STATS_{group}", 0)
        if not flags:
            raise errors.Missing(f"libvirt-python does not know {', '.join(groups)}")
        # With the whole backing chain, because that costs nothing more.
        options = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING if "BLOCK" in groups else 0
        stats = self._bulk(uuid, flags, options)
        if "balloon.current" in stats and "balloon.rss" not in stats:
            stats.update(self._memory(uuid))
        return stats

    def disks(self, uuid: str) -> dict[str, DiskTimes]:
        """Ask for the counters of all disks that have any, by target, with times. Class C, like `disk_sizes`."""
        stats = self._bulk(uuid, libvirt.VIR_DOMAIN_STATS_BLOCK, 0)
        found = {}
        for number in range(stats.get("block.count", 0)):
            counters = DiskTimes._make(stats.get(f"block.{number}.{name}", -1) for name in _BULK_TIMES)
            if counters.read_ops >= 0:
                found[stats[f"block.{number}.name"]] = counters
        return found

    def _bulk(self, uuid: str, flags: int, options: int) -> dict[str, Any]:
        """Ask for bulk statistics of one domain; DomainBusy where libvirt leaves out what it could not ask."""
        asked = time.monotonic()
        found = self._extra(uuid, lambda domain: self._raw.domainListGetStats([domain], flags, options))
        if not found:
            raise errors.DomainGone("libvirt gave no statistics of the domain")
        if time.monotonic() - asked > JOB_WAIT:
            raise errors.DomainBusy("libvirt gave up waiting for the domain's job")
        return dict(found[0][1])

    def disk_sizes(self, uuid: str, target: str) -> DiskSizes:
        """Ask for the sizes of one disk. Class C: touches the storage, and freezes the guest until that answers."""
        with self._translated:
            return DiskSizes._make(self._domain(uuid).blockInfo(target))

    def disk_errors(self, uuid: str) -> dict[str, int]:
        """Ask for the disks that fail, by target, with libvirt's virDomainDiskErrorCode. Class C."""
        with self._translated:
            return dict(self._domain(uuid).diskErrors())

    def _memory(self, uuid: str) -> dict[str, int]:
        """Ask virDomainMemoryStats, and give each value the name that newer bulk statistics have for it."""
        said = self._extra(uuid, lambda domain: domain.memoryStats())
        renamed = {"actual": "current", "last_update": "last-update"}
        return {f"balloon.{renamed.get(name, name)}": value for name, value in said.items()}

    def _extra(self, uuid: str, ask: Callable[[Any], T], device: str = "") -> T:
        """Make a call that not every driver and not every domain can answer."""
        domain = None
        try:
            with self._translated:
                domain = self._domain(uuid)
            return ask(domain)
        except libvirt.libvirtError as error:
            failure = self._translated.translate(error)
            # libvirt says the same of a domain that has just ended, and Xen's driver of flags that it does not know.
            refusals = _REFUSALS if not device else (libvirt.VIR_ERR_OPERATION_INVALID,)
            if error.get_error_code() in refusals and domain is not None and self._is_active(domain):
                failure = errors.Refused(str(failure))
            raise failure from None

    def _is_active(self, domain: Any) -> bool:
        with self._translated:
            return bool(domain.isActive())

    def _domain(self, uuid: str) -> Any:
        domain = self._domains.get(uuid)
        if domain is None:
            domain = self._raw.lookupByUUIDString(uuid)
            self._remember(uuid, domain)
        return domain

    def _remember(self, uuid: str, domain: Any) -> None:
        if len(self._domains) >= KNOWN_DOMAINS:
            self._domains.clear()
        self._domains[uuid] = domain


def client_version() -> str:
    """Give the version of the libvirt client library."""
    return _version(libvirt.getVersion())


def _c_library() -> CLibrary | None:
    """Load the C library, where it can be used beside libvirt-python."""
    if not hasattr(libvirt.virDomain, "c_pointer"):
        return None
    try:
        return CLibrary()
    except (OSError, AttributeError):
        return None


def _said(reply: T | None, call: str) -> T:
    """Give what the C library said, or raise libvirt's last error of this thread."""
    if reply is None:
        raise libvirt.libvirtError(f"{call}() failed")
    return reply


def _version(number: int) -> str:
    """Spell out a version number of libvirt's: major * 1000000 + minor * 1000 + release."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def _ignore_error(_context: Any, _error: Any) -> None:
    """Stand in for libvirt's handler, which prints to stderr."""
