"""The shapes of the answers to an operator's questions.

`virt2.status.building` makes them of a snapshot, and `virt2.status.story` makes `Explain`. Every moment is told as wall
time and as seconds that have passed since, because clocks differ and people reckon in both. None stands for what is not
known; it is never replaced by 0. Texts of domains are as they are, so whoever prints them makes them printable
(`virt2.text.printable`).
"""

from __future__ import annotations

from typing import TypedDict

OK, BLOCKED, NOT_ASKED = "ok", "blocked", "not asked"
"""The states of a monitor."""
METADATA, STORAGE, NONE = "metadata", "storage", "none"
"""Where a domain's tag comes from: its metadata, the storage of its first disk, or nowhere."""


class Since(TypedDict):
    """A moment in the past."""

    time: float
    """Seconds since 1970."""
    seconds: float
    """Seconds that have passed since then."""


class Reach(TypedDict):
    """Whether libvirt can be reached."""

    state: str
    """``up``, ``down`` or ``never connected``."""
    since: Since | None
    reason: str
    """libvirt's words when it cannot be reached; empty otherwise."""
    silent: bool
    """Whether libvirtd seems to answer nobody, although there is a connection."""


class Hello(TypedDict):
    """Who answers."""

    version: str
    """Of virt2."""
    pid: int
    since: Since
    """Since when it runs."""
    connection: str
    """URI of the libvirt that it watches."""
    libvirt: str
    """Version of that libvirt; empty before the first connection."""
    reach: Reach
    interval: float
    """Seconds between two reads."""
    readers: list[str]
    """The names of the readers."""


class Monitor(TypedDict):
    """Whether a domain's monitor answers."""

    state: str
    """``ok``, ``blocked``, or ``not asked`` where nothing shows how it is."""
    cause: str
    """What blocks it, or why it was not asked, in words; empty where it is ok."""
    since: Since | None
    """Since when it is blocked; None otherwise."""


class DomainRow(TypedDict):
    """One domain."""

    name: str
    uuid: str
    id: int | None
    """libvirt's number for this run of it; None where it is not active, or the number is not known."""
    active: bool
    state: str | None
    """In words; None where it is not known."""
    tag: str
    """What decides on its reader: its tag, or its storage domain where it has none; empty where it has neither."""
    tag_source: str
    """``metadata``, ``storage`` (that of its first disk) or ``none``."""
    storage: list[str]
    """The storage domains that it lies on; that of its first disk is the first."""
    reader: str | None
    """None where it is not active, or no reader has it yet."""
    monitor: Monitor
    sample_age: float | None
    """Seconds since the last read in which it answered everything and nothing of it was missing, or since it was first
    seen; None where no reader has asked it."""
    skipped: bool
    """Whether the last read had no time or no slot for its monitor."""
    cpu_off_kernel: bool | None
    """Whether its CPU time is read off the kernel; None where there is none yet."""


class Domains(TypedDict):
    """All domains."""

    reach: Reach
    listed: Since | None
    """When the list of active domains was asked for that this is of; None before the first."""
    states_read: Since | None
    """When the states of inactive domains were read; None where they are not known, and no inactive domain is listed
    then."""
    domains: list[DomainRow]
    """The active ones by name, then the inactive ones by name."""


class Number(TypedDict):
    """A number of a plan."""

    value: int
    reason: str
    """Why it is this number, in words."""


class AdminWord(TypedDict):
    """What libvirtd's admin interface says. Each number is None where it is not known."""

    known: bool
    reason: str
    """Why it is not known, in words; empty where it is."""
    asked: Since | None
    """When the last answer was asked for; None where it never answered."""
    max_workers: int | None
    workers: int | None
    free_workers: int | None
    priority_workers: int | None
    job_queue_depth: int | None
    clients: int | None
    max_clients: int | None


class Share(TypedDict):
    """How many calls that need a monitor one reader may have in flight."""

    reader: str
    domains: int
    share: Number


class ThePlan(TypedDict):
    """How many of libvirtd's workers each part of virt2 may hold."""

    budget: Number
    reserve: Number
    set_aside: Number
    shares: list[Share]
    quarantine: Number
    agents: Number
    turns: bool
    """Whether there are more readers with domains than slots, so that readers wait for each other."""


class CallRow(TypedDict):
    """A call that holds a slot."""

    domain: str
    """Name of its domain; empty where the domain is gone."""
    uuid: str
    kind: str
    """``server`` for what needs libvirtd alone, ``monitor``, or ``agent``."""
    call: str
    """Its name, or what is done instead of a call."""
    since: Since
    stuck: bool
    """Whether it takes longer than calls take."""
    cut_off: bool
    """Whether its connection was lost, so that it stays charged to the budget while libvirtd may still work on it."""
    storage: list[str]
    """The storage domains that it touches."""


class Held(TypedDict):
    """What holds slots of the budget now."""

    used: int
    in_flight: int
    charged: int
    """Those of calls that were cut off."""
    stuck: int
    """Calls in flight that take longer than calls take."""
    free: int


class Connecting(TypedDict):
    """The attempts to connect that are under way."""

    pending: int
    since: Since | None
    """When the oldest of them began."""
    refusal: str
    """Why the last attempt failed; empty if it did not."""


class Limits(TypedDict):
    """What libvirtd can bear, what follows from that, and what is held now."""

    reach: Reach
    admin: AdminWord
    plan: ThePlan
    held: Held
    calls: list[CallRow]
    """The oldest first."""
    connects: Connecting
    silent: bool
    """Whether libvirtd seems to answer nobody."""
    out_of_workers: bool
    """Whether libvirtd answers lists, and nothing that takes one of its workers."""


class Value(TypedDict):
    """The last value of one series."""

    type: str
    """As collectd calls it, such as ``disk_octets``."""
    instance: str
    """Which disk or interface; empty where there is only one."""
    time: float
    """When it was taken, seconds since 1970."""
    values: list[float]
    """In the order of the type's data sources."""


class TopRow(DomainRow):
    """One active domain with its last values."""

    values: list[Value]


class StorageRow(TypedDict):
    """One storage domain."""

    name: str
    domains: int
    """Active domains that lie on it."""
    stuck: list[str]
    """The names of those that are stuck."""
    suspended: bool
    """Whether a call that touches it does not come back, so that no other is made there."""
    suspected: bool
    """Whether it may be the cause: it is suspended, or several domains on it are stuck."""


class LastRead(TypedDict):
    """The last complete read of a reader."""

    began: Since
    seconds: float
    """How long it took."""


class ReaderRow(TypedDict):
    """How one reader is."""

    name: str
    domains: int | None
    """None for what has no group of its own: ``storage`` and ``agent``."""
    stuck: int | None
    """Domains of it that are stuck."""
    skipped: list[str]
    """The names of the domains that its last read left out."""
    share: int
    workers: int
    workers_busy: int
    workers_stuck: int
    workers_connecting: int
    last_read: LastRead | None


class Top(TypedDict):
    """What a viewer shows. Two of these make rates."""

    time: float
    """When this was taken, seconds since 1970."""
    interval: float
    """Seconds between two reads."""
    reach: Reach
    domains: list[TopRow]
    """Stuck ones first, the longest stuck before all, then by name."""
    storage: list[StorageRow]
    """Suspected ones first, then by name."""
    readers: list[ReaderRow]


class Identity(TypedDict):
    """What a domain is called at collectd."""

    host: str
    plugin_instance: str


class DiskRow(TypedDict):
    """One disk of a domain."""

    target: str
    label: str
    """Its type instance."""
    source: str
    storage: str
    reported: bool


class Answered(TypedDict):
    """The newest answer to one call."""

    call: str
    device: str
    """The disk or interface that it was made for; empty for the domain itself."""
    asked: Since


class Wait(TypedDict):
    """What a domain waits for."""

    what: str
    """In words."""
    since: Since | None


class Explain(TypedDict):
    """The story of one domain."""

    domain: DomainRow
    identity: Identity | None
    """None before it was decided."""
    reader_reason: str
    """Why it has this reader, a sentence."""
    tag_reason: str
    """Where its tag comes from, a sentence."""
    disks: list[DiskRow]
    interfaces: list[str]
    calls: list[CallRow]
    """Its calls that hold slots now, the oldest first."""
    answers: list[Answered]
    """The newest answer to each call, the newest first."""
    waits_for: Wait | None
    """None where it waits for nothing."""
    sentences: list[str]
    """The same as a story."""
    next_steps: list[str]
    """What to do, in sentences; empty where nothing is wrong."""
