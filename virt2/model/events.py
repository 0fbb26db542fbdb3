"""Record: what libvirt tells without being asked."""

from __future__ import annotations

from typing import NamedTuple

from virt2.model.domain import NO_ID

LIFECYCLE = "lifecycle"
"""A domain has started, stopped, ...: `event` and `detail` are libvirt's numbers."""
CHANGED = "changed"
"""Something about a domain's metadata, devices, images or agent has changed."""
CLOSED = "closed"
"""The connection is gone; there is no domain, and `detail` is libvirt's number for why."""
IO_ERROR = "I/O error"
"""A disk has failed. `path` and `alias` say which one, `reason` says why, and `detail` is what was done about it."""
WATCHDOG = "watchdog"
"""The guest did not look after its watchdog; `detail` is what was done about it."""
MEMORY = "memory"
"""The guest has another size of memory now. libvirt's own number in the event leaves out what virtio-mem adds, so it is
not handed on."""

OF_THE_LIST = frozenset({LIFECYCLE, CHANGED, CLOSED})
"""The kinds after which the list of domains, or what is known of one of them, may have changed."""


class Event(NamedTuple):
    """Something libvirt told."""

    kind: str
    uuid: str
    event: int = 0
    detail: int = 0
    name: str = ""
    id: int = NO_ID
    """libvirt's number for this run of the domain; `NO_ID` where the domain is not active, or not any more."""
    path: str = ""
    """Image of the disk, as the domain's XML has it; empty where the disk has none."""
    alias: str = ""
    """libvirt's name for the disk, such as ``virtio-disk0``."""
    reason: str = ""
