"""What a reader works with: records of what travels together, the same for every kind of reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from virt2.domains.discovery import Discovery
from virt2.domains.health import Healths
from virt2.domains.inventory import Inventory
from virt2.notifications.alarms import Alarms
from virt2.notifications.notification import Notify
from virt2.once import Gatherer
from virt2.output.batch import Sink
from virt2.output.naming import Names
from virt2.readers.groups import Groups
from virt2.workers.budget import Budget
from virt2.workers.pool import Pool


class Clocks(NamedTuple):
    """The two clocks of a read."""

    monotonic: Callable[[], float] = time.monotonic
    """Seconds: for deadlines and ages."""
    wall: Callable[[], float] = time.time
    """The time of day, in seconds since 1970: what values carry."""


CLOCKS = Clocks()
"""The machine's own."""


class Domains(NamedTuple):
    """What is known of the domains. All readers share it."""

    inventory: Inventory
    """The active domains."""
    discovery: Discovery
    """Finds domains while libvirt's list of them hangs."""
    groups: Groups
    """Says which domains are whose."""
    healths: Healths
    """The health of each domain."""
    names: Names
    """The identity of each domain."""
    alarms: Alarms
    """Says when a domain gets stuck, and when it is well again."""


class Workers(NamedTuple):
    """Who makes the calls of one reader, and what bounds them."""

    pool: Pool
    """The reader's own workers."""
    budget: Budget
    """Knows which calls are in flight, over all readers."""
    silent: Callable[[], bool] = lambda: False
    """Whether libvirtd seems to answer nobody: then no domain is blamed for it."""
    refused: Callable[[], str] = lambda: ""
    """Why the workers have no connection, in words; empty when they have one."""


class Outputs(NamedTuple):
    """Where one reader's findings go."""

    sink: Sink
    """Takes metrics."""
    notify: Notify | None = None
    """Has a notification sent; nothing is notified without it."""
    troubles: Gatherer | None = None
    """Says the troubles of domains; a reader has one of its own by default."""


class Timing(NamedTuple):
    """When one reader reads."""

    timeout: float
    """Seconds that a read may take."""
    interval: float
    """Seconds between two questions to one domain."""
    tick: float
    """Seconds between two reads, at most the interval."""
    clocks: Clocks = CLOCKS
    refresh: float = 60.0
    """Seconds after which libvirt is asked for what it would tell by itself if it changed; 0 or less for never."""
