"""What is known at one moment, copied so that answers can be made of it while everything goes on.

Taking it waits for nothing: references and small records are copied, no group is made, and no name is given. What a
reader is writing at that moment may be seen before it is complete, so the builders of answers expect that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from virt2.domains.health import Known, Last
from virt2.domains.link import Link
from virt2.domains.states import Statuses
from virt2.model.domain import Domain
from virt2.model.limits import Limits
from virt2.output.naming import Identity
from virt2.workers.sizing import Plan

Key = tuple[str, str]
"""A call and the device that it was made for; no device where it was made for the domain itself."""


class Moment(NamedTuple):
    """When a snapshot was taken, by both clocks."""

    monotonic: float
    wall: float

    def wall_of(self, when: float) -> float:
        """The time of day, seconds since 1970, of a moment in monotonic seconds."""
        return self.wall - (self.monotonic - when)

    def since(self, when: float) -> float:
        """Seconds that have passed since a moment in monotonic seconds; never less than 0."""
        return max(0.0, self.monotonic - when)


class About(NamedTuple):
    """What does not change while virt2 runs: the process, and what is configured. Times are in seconds."""

    pid: int
    started: float
    """When it was started, monotonic seconds."""
    connection: str
    """The URI, as it was configured."""
    interval: float
    timeout: float
    """How long a read may take."""
    stuck_after: float
    partition_by: Sequence[str] = ("tag", "storage")
    """What places a domain: ``tag``, ``storage`` or both."""
    explicit: Mapping[str, Sequence[str]] = {}
    """The readers that the configuration names, with the texts of their ``Tag`` entries."""
    tag_place: tuple[str, str] = ("", "")
    """Namespace and name of the element that holds a domain's tag."""
    workers: int | None = None
    """The option ``Workers``; None for automatic."""
    touches_storage: bool = False
    """Whether any domain may be asked for what touches its storage."""
    asks_agents: bool = False
    """Whether guests' agents are asked."""


class Facts(NamedTuple):
    """What is known of the health of one domain (see `virt2.domains.health.Health`). Times are monotonic seconds."""

    first_seen: float
    answered: float | None = None
    complete: float | None = None
    blocked_since: float | None = None
    cause: str = ""
    monitored: bool = True
    skipped: bool = False
    incoming: bool | None = None
    known: Known | None = None
    newest: Mapping[Key, float] = {}
    """When the newest sample of each call and device was taken that went out."""
    last: Mapping[Key, Last] = {}
    """The newest sample of each call for a default metric."""


class Call(NamedTuple):
    """A call that holds a slot of the budget: one that is in flight, or one that was cut off."""

    uuid: str
    kind: str
    """`virt2.workers.job.SERVER`, `MONITOR` or `AGENT`."""
    what: str
    since: float
    storage: frozenset[str] = frozenset()
    """The storage domains that it touches."""
    cut_off: bool = False
    """Whether its connection was lost while libvirtd may still work on it."""


class Crew(NamedTuple):
    """The workers of one reader, and its last read."""

    name: str
    share: int
    """How many calls that need a monitor may be in flight for it."""
    workers: int
    busy: int
    stalled: int
    """Workers whose call takes longer than calls take."""
    connecting: int
    """Workers that have no connection yet."""
    domains: int | None = None
    """How many it had in its last read; None for what has no group of its own."""
    skipped: Sequence[str] = ()
    """The names of those that its last read left out."""
    began: float | None = None
    """When its last read began that came to its end, monotonic seconds; None before the first."""
    took: float = 0.0
    """How long that read took, seconds."""


class Server(NamedTuple):
    """What is known of libvirtd itself."""

    version: str = ""
    """Of libvirt; empty before the first connection."""
    link: Link | None = None
    """Whether it can be reached; None before the first attempt."""
    hung_for: float = 0.0
    """Seconds for which the list has hung; 0 where it does not."""
    silent: bool = False
    """Whether it seems to answer nobody."""
    answered_at: float = 0.0
    """When it last answered a call that needs one of its workers, monotonic seconds; 0 where it never did."""
    out_of_workers: bool = False
    """Whether it answers lists, and nothing that takes a worker."""
    limits: Limits | None = None
    """Its word on its workers, if that is young enough."""
    limits_age: float | None = None
    """Seconds since it was asked for them; None where it never answered."""
    limits_reason: str = ""
    """Why they are unknown, in words; empty when they are known."""


class Slots(NamedTuple):
    """The budget, and what holds it."""

    size: int
    used: int
    set_aside: int = 0
    """Slots that are kept for calls that need libvirtd alone, and for domains that go on answering."""
    connects: int = 0
    """Attempts to connect that are under way."""
    connects_since: float | None = None
    """When the oldest of them began, monotonic seconds."""
    refusal: str = ""
    """Why the last attempt to connect failed; empty if it did not."""


class Snapshot(NamedTuple):
    """Everything that answers are made of."""

    moment: Moment
    about: About
    server: Server
    slots: Slots
    plan: Plan
    """What follows from the settings, the limits and the domains."""
    domains: Sequence[Domain] = ()
    """The active domains that are reported."""
    listed_at: float | None = None
    """When the last complete list was asked for, monotonic seconds; None before the first."""
    paused: frozenset[str] | None = None
    """UUIDs of the domains that were paused just after that list; None where that is not known."""
    statuses: Statuses | None = None
    """The states of domains that were read last, those of inactive ones among them; None where nobody wants them."""
    readers: Mapping[str, str] = {}
    """The reader of each domain, by UUID."""
    facts: Mapping[str, Facts] = {}
    """The health of each domain, by UUID. A domain that no reader has asked yet has none."""
    identities: Mapping[str, Identity] = {}
    """What each domain is called at collectd, by UUID, where that is decided."""
    calls: Sequence[Call] = ()
    """What holds slots now, the oldest first."""
    crews: Sequence[Crew] = ()
    """The workers of each reader, and of those that ask for what touches the storage and for what agents tell."""
