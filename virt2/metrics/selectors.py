"""What ExtraStats can ask for: each selector, the class of its call, and the call itself.

A call is made once per domain and read, even if it serves several selectors. Calls are grouped by class: class A needs
libvirtd alone, class B the QEMU monitor, class C the monitor and the storage. Bulk statistics are asked for one domain
at a time, with all groups of a class in one call.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from virt2.metrics.defaults import ERRORS, INFO, SIZES

A, B, C = "A", "B", "C"
AGENT = "agent"
"""What only the guest's agent knows. It is asked separately from all classes (see `virt2.agents.reader`)."""

STATE = "state"
VCPUS = "vcpus"
CPU_TIMES = "getCPUStats"
DISK_TIMES = "blockStatsFlags"
JOB = "jobStats"
COMPLETED_JOB = "jobStats (completed)"
JOBS = frozenset({JOB, COMPLETED_JOB})
BULK = "bulk "
"""The name of a call for bulk statistics begins with this. libvirt's names of the groups follow."""

LAYERS = "BLOCK"
"""The group of bulk statistics whose reply has every image of every disk."""


class Selector(NamedTuple):
    """One word that ExtraStats takes."""

    name: str
    kind: str
    """`A`, `B`, `C` or `AGENT`."""
    call: str
    """The call it needs, or the group of bulk statistics."""
    meaning: str
    """What it reports, in one line."""


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
"""The selectors that libvirt answers without a guest's agent."""


class Ask(NamedTuple):
    """One call that is made for a domain."""

    what: str
    """The name of the call: one of those above, or `BULK` and its groups."""
    serves: tuple[str, ...]
    """The selectors its reply is for."""
    groups: tuple[str, ...] = ()
    """The groups of bulk statistics that it asks for."""
    prefix: str = ""
    """The type instances that are made of its reply begin with this."""


class Selection:
    """What is asked about a domain because of the selectors that are on."""

    __slots__ = (
        "cpu_times",
        "disk",
        "errors",
        "info",
        "layers",
        "monitor",
        "names",
        "needs_vcpus",
        "server",
        "server_without_times",
        "sizes",
        "state",
    )

    def __init__(self, names: Collection[str] = ()) -> None:
        chosen = [selector for selector in SELECTORS if selector.name in names and selector.kind != AGENT]
        self.names = frozenset(selector.name for selector in chosen)
        self.info = _served(chosen, INFO)
        """Selectors that are made of the CPU time of a domain, whether the kernel or libvirt has told it."""
        self.state = _served(chosen, STATE)
        """Selectors that are served by the reply to a call that is made anyway. The same holds for the next one."""
        self.disk = _served(chosen, DISK_TIMES)
        """With these, another call is made for each disk, instead of the one that is made without them."""
        self.server = _asks(chosen, A)
        self.cpu_times = _served(chosen, CPU_TIMES)
        self.server_without_times = tuple(ask for ask in self.server if ask.what != CPU_TIMES)
        """The calls of class A where the kernel tells CPU time in user and in kernel mode."""
        self.monitor = _asks(chosen, B)
        self.needs_vcpus = bool(_served(chosen, VCPUS) or self.info)
        """Whether each read has to ask for the number of virtual CPUs. libvirt does not tell when that changes."""
        self.sizes = _served(chosen, SIZES)
        self.layers = _served(chosen, BULK + LAYERS)
        """The reply has all disks of the domain at once."""
        self.errors = _served(chosen, ERRORS)

    def __repr__(self) -> str:
        return f"<Selection {' '.join(sorted(self.names)) or 'nothing'}>"

    @property
    def touches_storage(self) -> bool:
        """Whether any call of class C is made."""
        return bool(self.sizes or self.layers or self.errors)


_ELSEWHERE = frozenset({INFO, STATE, DISK_TIMES, SIZES, ERRORS})
"""Calls with their own place in a read: they are made for each disk, or in any case, or before all others."""


def _served(chosen: Collection[Selector], call: str) -> tuple[str, ...]:
    return tuple(selector.name for selector in chosen if selector.call == call)


def _prefix(call: str, chosen: Collection[Selector]) -> str:
    """Give a prefix that keeps the two kinds of job apart where both are reported, because libvirt names them alike."""
    return "completed_" if call == COMPLETED_JOB and _served(chosen, JOB) else ""


def _asks(chosen: Collection[Selector], kind: str) -> tuple[Ask, ...]:
    """Give the calls of one class. All bulk statistics are one call, which comes last."""
    mine = [selector for selector in chosen if selector.kind == kind and selector.call not in _ELSEWHERE]
    single = dict.fromkeys(selector.call for selector in mine if not selector.call.startswith(BULK))
    asks = [Ask(call, _served(mine, call), prefix=_prefix(call, chosen)) for call in single]
    bulk = [selector for selector in mine if selector.call.startswith(BULK)]
    if bulk:
        groups = tuple(dict.fromkeys(selector.call[len(BULK) :] for selector in bulk))
        asks.append(Ask(BULK + " ".join(groups), tuple(selector.name for selector in bulk), groups))
    return tuple(asks)


NOTHING = Selection()
