"""What ExtraStats can ask for: each selector, the class of what it asks, and the call it needs.

A call is made once per domain and read whatever the number of selectors it serves, and grouped by its class: class A
needs libvirtd alone, class B the QEMU monitor, class C the monitor and the storage. What libvirt tells in bulk is asked
of one domain at a time, all groups of a class in one call.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from virt2.metrics.defaults import ERRORS, INFO, SIZES

A, B, C = "A", "B", "C"
AGENT = "agent"
"""What the guest's agent has to tell: asked apart from all classes (see `virt2.agents.reader`)."""

STATE = "state"
VCPUS = "vcpus"
CPU_TIMES = "getCPUStats"
DISK_TIMES = "blockStatsFlags"
JOB = "jobStats"
COMPLETED_JOB = "jobStats (completed)"
JOBS = frozenset({JOB, COMPLETED_JOB})
BULK = "bulk "
"""Begins the name of what is a group of libvirt's bulk statistics; the group's name there follows."""

LAYERS = "BLOCK"
"""The group whose reply has every image of every disk."""


class Selector(NamedTuple):
    """One word that ExtraStats takes."""

    name: str
    kind: str
    """`A`, `B`, `C` or `AGENT`."""
    call: str
    """The call it needs, or the group of bulk statistics."""
    meaning: str
    """In one line, what it reports."""


SELECTORS: tuple[Selector, ...] = (
    Selector(
        "balloon", B, BULK + "BALLOON", "the most memory the balloon may leave, and when its driver last told of it"
    ),
    Selector("cache_monitor", B, BULK + "CPU_TOTAL", "use of the last level cache, where it is monitored"),
    Selector("cpu_util", A, INFO, "CPU time used since the last read, in percent of the host and of the guest"),
    Selector("dirty_rate", B, BULK + "DIRTYRATE", "the rate of dirtied memory that somebody had measured last"),
    Selector("disk", B, DISK_TIMES, "time that requests took, and flushes"),
    Selector("disk_allocation", C, SIZES, "what a disk's image takes on its storage"),
    Selector("disk_capacity", C, SIZES, "a disk's size as the guest sees it"),
    Selector("disk_err", C, ERRORS, "which disks fail"),
    Selector("disk_latency", B, DISK_TIMES, "average time of the requests since the last read"),
    Selector("disk_layers", C, BULK + "BLOCK", "sizes of every image in a disk's backing chain"),
    Selector("disk_physical", C, SIZES, "the size of a disk's image"),
    Selector("disk_threshold", C, BULK + "BLOCK", "write threshold that is set on a disk"),
    Selector("domain_state", A, STATE, "state and its reason"),
    Selector("fs_info", AGENT, "fsInfo", "file systems, as notifications like the C plugin's"),
    Selector("guest_info", AGENT, "guestInfo", "file systems and their use, users, load"),
    Selector("halt_polling", B, BULK + "CPU_TOTAL", "time the host polled for work before it halted a virtual CPU"),
    Selector("iothread", B, BULK + "IOTHREAD", "I/O threads and how they poll"),
    Selector("job_stats_background", B, JOB, "the job that is under way, such as a migration"),
    Selector("job_stats_completed", A, COMPLETED_JOB, "the job that ended last"),
    Selector("memory", B, BULK + "BALLOON", "memory as the guest's balloon driver and the host see it"),
    Selector("memory_bandwidth", A, BULK + "MEMORY", "memory traffic, where it is monitored"),
    Selector("pcpu", A, CPU_TIMES, "CPU time in user and in kernel mode"),
    Selector("perf", A, BULK + "PERF", "performance events that are enabled for the domain"),
    Selector("vcpu", A, VCPUS, "CPU time of each virtual CPU"),
    Selector("vcpu_delay", B, BULK + "VCPU", "time a virtual CPU waited for a CPU of the host (steal)"),
    Selector("vcpu_halted", B, BULK + "VCPU", "whether a virtual CPU is halted"),
    Selector("vcpu_state", A, VCPUS, "whether a virtual CPU is online and running"),
    Selector("vcpu_stats", B, BULK + "VCPU", "what the hypervisor counts of each virtual CPU (KVM, libvirt 8.9)"),
    Selector("vcpu_wait", B, BULK + "VCPU", "time a virtual CPU waited for I/O"),
    Selector("vcpupin", A, VCPUS, "which CPUs each virtual CPU may run on"),
    Selector("vm", B, BULK + "VM", "what the hypervisor counts of the domain (KVM, libvirt 8.9)"),
)
"""Every selector, in alphabetical order."""

NAMES = tuple(selector.name for selector in SELECTORS)
LIBVIRT_NAMES = tuple(selector.name for selector in SELECTORS if selector.kind != AGENT)
"""Those that libvirt answers without a guest's agent."""


class Ask(NamedTuple):
    """One call that is made for a domain."""

    what: str
    """Names the call: one of those above, or `BULK` and its groups."""
    serves: tuple[str, ...]
    """The selectors its reply is for."""
    groups: tuple[str, ...] = ()
    """The groups of bulk statistics it asks for."""
    prefix: str = ""
    """Begins the type instances made of its reply."""


class Selection:
    """What is asked of a domain because of the selectors that are on."""

    __slots__ = ("disk", "errors", "info", "layers", "monitor", "names", "server", "sizes", "state")

    def __init__(self, names: Collection[str] = ()) -> None:
        chosen = [selector for selector in SELECTORS if selector.name in names and selector.kind != AGENT]
        self.names = frozenset(selector.name for selector in chosen)
        self.info = _served(chosen, INFO)
        """Selectors that the reply of a call serves which is made in any case; so with the next two."""
        self.state = _served(chosen, STATE)
        self.disk = _served(chosen, DISK_TIMES)
        """They take another call for each disk than the one that is made without them."""
        self.server = _asks(chosen, A)
        self.monitor = _asks(chosen, B)
        self.sizes = _served(chosen, SIZES)
        self.layers = _served(chosen, BULK + LAYERS)
        """The reply is of all disks of the domain at once."""
        self.errors = _served(chosen, ERRORS)

    def __repr__(self) -> str:
        return f"<Selection {' '.join(sorted(self.names)) or 'nothing'}>"

    @property
    def touches_storage(self) -> bool:
        """Whether anything of class C is asked."""
        return bool(self.sizes or self.layers or self.errors)


_ELSEWHERE = frozenset({INFO, STATE, DISK_TIMES, SIZES, ERRORS})
"""Calls with a place of their own in a read: made for each disk, or in any case, or before all others."""


def _served(chosen: Collection[Selector], call: str) -> tuple[str, ...]:
    return tuple(selector.name for selector in chosen if selector.call == call)


def _prefix(call: str, chosen: Collection[Selector]) -> str:
    """Keep the two kinds of job apart where both are reported: libvirt's names are the same for both."""
    return "completed_" if call == COMPLETED_JOB and _served(chosen, JOB) else ""


def _asks(chosen: Collection[Selector], kind: str) -> tuple[Ask, ...]:
    """Give the calls of one class, those in bulk as one, last."""
    mine = [selector for selector in chosen if selector.kind == kind and selector.call not in _ELSEWHERE]
    single = dict.fromkeys(selector.call for selector in mine if not selector.call.startswith(BULK))
    asks = [Ask(call, _served(mine, call), prefix=_prefix(call, chosen)) for call in single]
    bulk = [selector for selector in mine if selector.call.startswith(BULK)]
    if bulk:
        groups = tuple(dict.fromkeys(selector.call[len(BULK) :] for selector in bulk))
        asks.append(Ask(BULK + " ".join(groups), tuple(selector.name for selector in bulk), groups))
    return tuple(asks)


NOTHING = Selection()
