"""libvirt: the only module that imports it.

A `Hypervisor` stands for one URI and makes `Connection` objects; a connection is used by one thread at a time and
makes one call at a time. Every call may block without limit: callers are threads that may be lost to it.

What each call needs of the host decides where it may be made (class A: libvirtd alone; class B: the QEMU monitor);
the class stands in each method's docstring.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import libvirt

from virt2 import errors, threads
from virt2.clibrary import CLibrary
from virt2.domain import NicStats, Status
from virt2.events import CHANGED, CLOSED, IO_ERROR, LIFECYCLE, WATCHDOG, Event

log = logging.getLogger(__name__)

T = TypeVar("T")

KEEPALIVE_INTERVAL = 5
"""Seconds between keepalive messages on an idle connection, libvirt's own default."""
KEEPALIVE_COUNT = 3
"""Unanswered keepalives after which libvirt closes the connection: a frozen libvirtd is given up after 20 s."""
SHARED_KEEPALIVE_INTERVAL = 1
"""The same of a connection that several threads share. One of them does the input and output of all, and the others
wake it when they have a call to send. libvirt's client loses such a wake-up where that thread is just about to wait: it
then waits for the reply to its own call, which may never come. A keepalive message wakes it again. The connection is
given up after the same time."""
EVENT_LATENCY = 0.1
"""Seconds between two runs of libvirt's event loop. A loop that waits is woken twice by every call of every
connection, which doubled what a read costs collectd; nobody needs an event before the next read."""
EVENT_WINDOW = 1
"""Milliseconds for which the loop is run then."""
KNOWN_DOMAINS = 4096
"""Look-ups remembered per connection; more are looked up again. Bounds memory where domains come and go for months."""

JOB_WAIT = 29.0
"""Seconds after which an answer in bulk is taken for a partial one: libvirt waits 30 s for a domain's job, and then
answers without what needs it."""

_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG})
_UNSUPPORTED = frozenset(
    getattr(libvirt, name)
    for name in (
        "VIR_ERR_NO_SUPPORT",
        "VIR_ERR_ARGUMENT_UNSUPPORTED",
        "VIR_ERR_CONFIG_UNSUPPORTED",
        "VIR_ERR_OPERATION_UNSUPPORTED",
    )
    if hasattr(libvirt, name)
)

_REFUSALS = (libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG)
"""What a driver says of a call that it cannot make for a domain, or not with these flags."""

_NO_AGENT = frozenset(
    {
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        getattr(libvirt, "VIR_ERR_AGENT_UNSYNCED", 88),
        # Of a domain without a channel for one.
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    }
)


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
"""libvirt's names of the same."""
_BULK_TIMES = ("rd.reqs", "rd.bytes", "rd.times", "wr.reqs", "wr.bytes", "wr.times", "fl.reqs", "fl.times")
"""And those they have in bulk statistics."""


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
    """For each CPU of the host whether it may run on it; empty where that was not asked for."""


class HostCpus(NamedTuple):
    """What virNodeGetInfo says of the host's CPUs."""

    active: int
    possible: int
    """Those that are off, too."""


class DiskSizes(NamedTuple):
    """What virDomainGetBlockInfo says, in bytes."""

    capacity: int
    """As the guest sees it."""
    allocation: int
    """What the image takes on the storage."""
    physical: int
    """The image's own size: a file's last byte, a device's end."""


class Control(NamedTuple):
    """What virDomainGetControlInfo says: who is inside the domain's monitor."""

    state: int
    detail: int
    seconds: float
    """How long it has been so; always 0 in state ERROR."""


_NO_BACKUP = getattr(libvirt, "VIR_ERR_NO_DOMAIN_BACKUP", 104)


class _Translated:
    """Context in which a libvirt error becomes one of ours. A class, for it is entered at every call we make."""

    __slots__ = ("_raw",)

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, libvirt.libvirtError):
            raise self.translate(error) from None

    def translate(self, error: Any) -> errors.Error:
        """Give our error for one of libvirt's."""
        code = error.get_error_code()
        words = _words(error)
        if not _is_alive(self._raw):
            return errors.Disconnected(words)
        # libvirt keeps the last error of a thread, and an object of libvirt-python's that is freed just then resets it:
        # then nothing is known but that it failed, which the next read finds out anew.
        if code is None or code in _GONE:
            return errors.DomainGone(words)
        if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return errors.DomainBusy(words)
        if code == libvirt.VIR_ERR_NO_SUPPORT:
            return errors.Missing(words)
        if code in _UNSUPPORTED:
            return errors.Unsupported(words)
        return errors.CallFailed(words, code)


class Hypervisor:
    """One libvirt URI.

    Arguments:
        uri: what virConnectOpenReadOnly takes; empty for libvirt's own choice.
        agents: whether it is to be told when a guest's agent comes or goes.
    """

    def __init__(self, uri: str, *, agents: bool = False) -> None:
        self.uri = uri
        self._agents = agents
        self._registered = False
        self._events = False
        self._c = _c_library()
        # libvirt prints every error to stderr unless a handler is there; errors reach us as exceptions.
        libvirt.registerErrorHandler(_ignore_error, None)

    def __repr__(self) -> str:
        return f"<Hypervisor {self.uri or 'default'}>"

    def start_events(self) -> None:
        """Register and run libvirt's event loop on a thread of its own; before the first connection, once a process.

        Keepalives and events work only where it runs; connections made before it could be started do without. Once it
        runs, another call does nothing.
        """
        if not self._registered:
            libvirt.virEventRegisterDefaultImpl()
            self._registered = True
        if not self._events:
            self._events = threads.try_start("virt2/events", _run_events)

    def connect(self) -> Connection:
        """Open a read-only connection (a priority call at libvirtd).

        Raises:
            Disconnected: libvirt cannot be reached, with its words.
        """
        return Connection(self._open(libvirt.openReadOnly), events=self._events, agents=self._agents, c=self._c)

    def connect_agents(self) -> AgentConnection:
        """Open a read-write connection, on which alone libvirt takes calls to a guest's agent (a priority call).

        Raises:
            Disconnected: libvirt cannot be reached, or refuses it; with its words.
        """
        return AgentConnection(self._open(libvirt.open, SHARED_KEEPALIVE_INTERVAL))

    def _open(self, function: Callable[[str | None], Any], keepalive: int = KEEPALIVE_INTERVAL) -> Any:
        try:
            raw = function(self.uri or None)
        except libvirt.libvirtError as error:
            raise errors.Disconnected(_words(error)) from None
        if self._events:
            # Drivers without a wire (the test driver) have no keepalive: nothing to guard there.
            with contextlib.suppress(libvirt.libvirtError):
                raw.setKeepAlive(keepalive, KEEPALIVE_INTERVAL * KEEPALIVE_COUNT // keepalive)
        return raw


class Connection:
    """One connection to libvirt, with the look-ups it has made. Not for two threads at a time."""

    def __init__(self, raw: Any, *, events: bool, agents: bool = False, c: CLibrary | None = None) -> None:
        self._raw = raw
        self._events = events
        self._agents = agents
        self._c = c
        self._host_cpus: HostCpus | None = None
        self._translated = _Translated(raw)
        self._domains: dict[str, Any] = {}
        self._callbacks: list[int] = []
        self._watched = False

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this side knows (no round trip)."""
        return _is_alive(self._raw)

    def close(self) -> None:
        """Give the connection back. May block like any call; never raises."""
        # A registered callback holds a reference: without this, the socket outlives the connection. Each of these
        # fails on a connection that is already dead, and still drops what is held on this side.
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
        """Version of the libvirt at the other end. Class A."""
        with self._translated:
            return _version(self._raw.getLibVersion())

    def watch(self, sink: Callable[[Event], None]) -> bool:
        """Have `sink` called, on a thread of libvirt's, with every event worth knowing. Class A.

        `sink` must only enqueue. Returns whether everything that changes a domain will be told; where it is false,
        polling has to find it.
        """
        if not self._events:
            return False

        # What is asked of the domain here costs no round trip.
        def lifecycle(_conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
            sink(Event(LIFECYCLE, domain.UUIDString(), event, detail, domain.name(), domain.ID()))

        def changed(_conn: Any, domain: Any, *_details: Any) -> None:
            sink(Event(CHANGED, domain.UUIDString()))

        def io_error(_conn: Any, domain: Any, path: str, alias: str, action: int, reason: str, _opaque: Any) -> None:
            told = Event(IO_ERROR, domain.UUIDString(), 0, action, domain.name(), domain.ID())
            sink(told._replace(path=path or "", alias=alias or "", reason=reason or ""))

        def watchdog(_conn: Any, domain: Any, action: int, _opaque: Any) -> None:
            sink(Event(WATCHDOG, domain.UUIDString(), 0, action, domain.name(), domain.ID()))

        def closed(_conn: Any, reason: int, _opaque: Any) -> None:
            sink(Event(CLOSED, "", detail=reason))

        complete = all(
            [
                self._register("LIFECYCLE", lifecycle),
                self._register("METADATA_CHANGE", changed),
                self._register("DEVICE_ADDED", changed),
                self._register("DEVICE_REMOVED", changed),
                not self._agents or self._register("AGENT_LIFECYCLE", changed),
            ]
        )
        # What a disk lies on changes with these; of a snapshot and of the start of a copy nothing is told.
        if not self._register("BLOCK_JOB_2", changed):
            self._register("BLOCK_JOB", changed)
        self._register("TRAY_CHANGE", changed)
        self._register("DISK_CHANGE", changed)
        self._register("IO_ERROR_REASON", io_error)
        self._register("WATCHDOG", watchdog)
        try:
            with self._translated:
                self._raw.registerCloseCallback(_guarded(closed), None)
                self._watched = True
        except errors.Unsupported:
            complete = False
        return complete

    def _register(self, event: str, callback: Callable[..., None]) -> bool:
        """Have a callback called for an event; returns whether libvirt has it, on this side and at the other end."""
        number = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{event}", None)
        if number is None:
            return False
        try:
            with self._translated:
                self._callbacks.append(self._raw.domainEventRegisterAny(None, number, _guarded(callback), None))
        except errors.Disconnected:
            raise
        except errors.Error:
            # An older libvirtd calls it an internal error when it does not know the number.
            return False
        return True

    def active(self) -> list[Listed]:
        """The active domains, paused ones too. Class A; blocks while any domain's object lock is held."""
        with self._translated:
            domains = self._raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        listed = []
        for domain in domains:
            uuid = domain.UUIDString()
            self._remember(uuid, domain)
            listed.append(Listed(uuid, domain.name(), domain.ID()))
        return listed

    def statuses(self) -> list[Status]:
        """Every domain, active or not, with its state. Class A, priority; blocks like `active`."""
        return [
            *self._statuses(libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT, True),
            *self._statuses(libvirt.VIR_CONNECT_LIST_DOMAINS_TRANSIENT, False),
        ]

    def inactive(self) -> list[Status]:
        """Every domain that is not active, with its state. Class A, priority; blocks like `active`."""
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
                # Gone meanwhile; or ill, which must not cost the others.
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
        """The live XML. Class A, but class B where `xml_needs_monitor` says so."""
        with self._translated:
            return str(self._domain(uuid).XMLDesc(0))

    def backup(self, uuid: str) -> str:
        """The XML of the backup that is under way, empty where there is none. Class A."""
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
        """The metadata element of one namespace, empty when the domain has none. Class A."""
        try:
            with self._translated:
                return str(self._domain(uuid).metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace, 0))
        except errors.CallFailed as error:
            if error.code == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
                return ""
            raise

    def info(self, uuid: str) -> Info:
        """State, memory, virtual CPUs and CPU time. Class A."""
        with self._translated:
            return Info._make(self._domain(uuid).info())

    def state(self, uuid: str) -> tuple[int, int]:
        """State and its reason, libvirt's numbers. Class A, priority."""
        with self._translated:
            state, reason = self._domain(uuid).state()
            return state, reason

    def nic(self, uuid: str, target: str) -> NicStats:
        """Counters of one interface. Class A, priority."""
        with self._translated:
            return NicStats._make(self._domain(uuid).interfaceStats(target))

    def control(self, uuid: str) -> Control:
        """Whether somebody is inside the domain's monitor. Class A, priority."""
        with self._translated:
            state, detail, milliseconds = self._domain(uuid).controlInfo(0)
            return Control(state, detail, milliseconds / 1000)

    def nics(self, uuid: str) -> list[str]:
        """The host's names of the interfaces that have one, without the XML. Class A."""
        stats = self._bulk(uuid, libvirt.VIR_DOMAIN_STATS_INTERFACE, 0)
        names = (stats.get(f"net.{number}.name", "") for number in range(stats.get("net.count", 0)))
        return [name for name in names if name]

    def disk(self, uuid: str, target: str) -> DiskStats:
        """Counters of one disk. Class B: blocks as long as the QEMU monitor does not answer."""
        with self._translated:
            return DiskStats._make(self._domain(uuid).blockStats(target))

    def host_cpus(self) -> HostCpus:
        """The host's CPUs; asked once per connection. Class A."""
        if self._host_cpus is None:
            with self._translated:
                _, _, active, _, nodes, sockets, cores, threads = self._raw.getInfo()
            self._host_cpus = HostCpus(active, nodes * sockets * cores * threads)
        return self._host_cpus

    def vcpus(self, uuid: str, count: int, affinity: bool) -> list[Vcpu]:
        """The virtual CPUs that are in use, of which there are `count`. Class A."""
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
        """CPU time in user and in kernel mode. Class A."""

        def ask(domain: Any) -> CpuTimes:
            if self._c is not None:
                found = _said(self._c.cpu_stats(domain.c_pointer()), "virDomainGetCPUStats")
            else:
                (found,) = domain.getCPUStats(True)
            return CpuTimes(found.get("user_time", -1), found.get("system_time", -1))

        return self._extra(uuid, ask)

    def disk_times(self, uuid: str, target: str) -> DiskTimes:
        """Counters of one disk, with times. Class B."""

        def ask(domain: Any) -> DiskTimes:
            if self._c is not None:
                found = _said(self._c.block_stats(domain.c_pointer(), target), "virDomainBlockStatsFlags")
            else:
                found = domain.blockStatsFlags(target)
            return DiskTimes._make(found.get(name, -1) for name in _DISK_TIMES)

        return self._extra(uuid, ask, target)

    def job(self, uuid: str, completed: bool) -> dict[str, Any]:
        """What is known of a domain's job under libvirt's own names, and its `type`, 0 where there is none.

        Class B; of the job that ended last, class A. To read that does not make libvirt forget it, but in a libvirt
        before 5.7.
        """
        flags = 0
        if completed:
            flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED
            flags |= getattr(libvirt, "VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED", 0)
        return self._extra(uuid, lambda domain: dict(domain.jobStats(flags)))

    def memory(self, uuid: str) -> dict[str, Any]:
        """What virDomainMemoryStats says, under the names that bulk statistics have for it. Class B.

        The drivers that have no bulk statistics, those of Xen and LXC, have this.
        """
        return dict(self._memory(uuid))

    def stats(self, uuid: str, groups: Sequence[str]) -> dict[str, Any]:
        """Bulk statistics of one domain under libvirt's own names: empty for groups that it does not know.

        The class is that of the groups: ``STATE``, ``INTERFACE``, ``PERF`` and ``MEMORY`` class A, ``BLOCK`` class C,
        all others class B.
        """
        flags = 0
        for group in groups:
            flags |= getattr(libvirt, f"VIR_DOMAIN_STATS_{group}", 0)
        if not flags:
            raise errors.Missing(f"libvirt-python does not know {', '.join(groups)}")
        # The whole backing chain, which costs nothing more.
        options = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING if "BLOCK" in groups else 0
        stats = self._bulk(uuid, flags, options)
        if "balloon.current" in stats and "balloon.rss" not in stats:
            stats.update(self._memory(uuid))
        return stats

    def disks(self, uuid: str) -> dict[str, DiskTimes]:
        """Counters of all disks by target, with times, but of those that have none. Class C, like `disk_sizes`."""
        stats = self._bulk(uuid, libvirt.VIR_DOMAIN_STATS_BLOCK, 0)
        found = {}
        for number in range(stats.get("block.count", 0)):
            counters = DiskTimes._make(stats.get(f"block.{number}.{name}", -1) for name in _BULK_TIMES)
            if counters.read_ops >= 0:
                found[stats[f"block.{number}.name"]] = counters
        return found

    def _bulk(self, uuid: str, flags: int, options: int) -> dict[str, Any]:
        """Bulk statistics of one domain; DomainBusy where libvirt leaves out what it could not ask."""
        asked = time.monotonic()
        found = self._extra(uuid, lambda domain: self._raw.domainListGetStats([domain], flags, options))
        if not found:
            raise errors.DomainGone("no statistics")
        if time.monotonic() - asked > JOB_WAIT:
            raise errors.DomainBusy("libvirt gave up waiting for the domain's job")
        return dict(found[0][1])

    def disk_sizes(self, uuid: str, target: str) -> DiskSizes:
        """Sizes of one disk. Class C: touches the storage, and freezes the guest until it answers."""
        with self._translated:
            return DiskSizes._make(self._domain(uuid).blockInfo(target))

    def disk_errors(self, uuid: str) -> dict[str, int]:
        """Failing disks by target, with libvirt's virDomainDiskErrorCode. Class C."""
        with self._translated:
            return dict(self._domain(uuid).diskErrors())

    def _memory(self, uuid: str) -> dict[str, int]:
        """What a libvirt whose bulk statistics do not have it yet says of memory, under the names it has there."""
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
            # Also what libvirt says of a domain that has just ended; and, of flags that a driver does not know, Xen's.
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


class AgentConnection:
    """A read-write connection, on which guests' agents are asked and nothing else is done. For any number of threads.

    The calls wait for the guest: without the monitor or the domain's lock, but holding a worker of libvirtd's. Whoever
    else asks the same agent waits for it too.

    They wait without limit. libvirt has one, but as a setting of the domain, for everybody: a freeze for a backup that
    waits behind our call would fail by it, and it would stay if we died in the call.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._translated = _Translated(raw)
        self._domains: dict[str, Any] = {}
        """Look-ups: one message less for each call, each of which may wait (see `SHARED_KEEPALIVE_INTERVAL`)."""

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this side knows (no round trip)."""
        return _is_alive(self._raw)

    def close(self) -> None:
        """Give the connection back. May block like any call; never raises."""
        # Each holds a reference to the connection, which would stay open.
        self._domains.clear()
        with contextlib.suppress(libvirt.libvirtError):
            self._raw.close()

    def guest_info(self, uuid: str) -> dict[str, Any]:
        """All that the agent can tell, by libvirt's names.

        With a last look at the domain, for which the monitor must be free: class B in that. The values are the guest's
        own, of any size and sense.

        Raises:
            AgentSilent: there is none, or it does not answer.
            CallFailed: what it said is none of what an agent says.
        """
        return dict(self._ask("guestInfo", uuid, 0, 0))

    def fs_info(self, uuid: str) -> list[tuple[Any, ...]]:
        """Mount point, name, type and disks of each of the guest's file systems; otherwise as `guest_info`."""
        return [tuple(line) for line in self._ask("fsInfo", uuid)]

    def _ask(self, call: str, uuid: str, *arguments: int) -> Any:
        try:
            with self._translated:
                domain = self._domains.get(uuid)
                if domain is None:
                    domain = self._raw.lookupByUUIDString(uuid)
                    if len(self._domains) >= KNOWN_DOMAINS:
                        self._domains.clear()
                    self._domains[uuid] = domain
                if not hasattr(domain, call):
                    raise errors.Unsupported(f"libvirt's Python binding has no {call}")
                try:
                    return getattr(domain, call)(*arguments)
                except libvirt.libvirtError as error:
                    if error.get_error_code() in _NO_AGENT and self.alive:
                        raise errors.AgentSilent(_words(error)) from None
                    raise
        except (SystemError, UnicodeError) as error:
            # The binding's way to say that the guest's bytes, or an error of libvirt's that quotes them, are no text.
            raise errors.CallFailed("the reply is no text") from error


def _guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """The same for libvirt's thread: libvirt-python would print what it raises to stderr, where nobody reads it."""
    said: set[str] = set()

    def guarded(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            kind = type(error).__name__
            if kind not in said:
                said.add(kind)
                log.exception("an event of libvirt's was lost, since dealing with it failed; said once")

    return guarded


def client_version() -> str:
    """Version of the libvirt client library."""
    return _version(libvirt.getVersion())


def _c_library() -> CLibrary | None:
    """The C library where it can be used beside libvirt-python."""
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


def _is_alive(raw: Any) -> bool:
    try:
        return bool(raw.isAlive())
    except libvirt.libvirtError:
        return False


def _version(number: int) -> str:
    """Spell out a version number of libvirt's: major * 1000000 + minor * 1000 + release."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def _words(error: Any) -> str:
    return error.get_error_message() or str(error)


def _ignore_error(_context: Any, _error: Any) -> None:
    """Stand in for libvirt's handler, which prints to stderr."""


def _run_events() -> None:
    fired = threading.Event()
    try:
        timer = libvirt.virEventAddTimeout(-1, _fire, fired)
        while True:
            time.sleep(EVENT_LATENCY)
            fired.clear()
            # Not 0: a timer that is always due keeps the loop from what is of lower priority, and that is where libvirt
            # closes the sockets of connections that were given back.
            libvirt.virEventUpdateTimeout(timer, EVENT_WINDOW)
            while not fired.is_set():
                libvirt.virEventRunDefaultImpl()
            libvirt.virEventUpdateTimeout(timer, -1)
    except libvirt.libvirtError as error:
        log.error("libvirt's event loop ended: %s; changes are now found by polling only", _words(error))


def _fire(_timer: int, fired: threading.Event) -> None:
    fired.set()
