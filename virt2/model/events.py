"""Records of what libvirt tells on its own account."""

from __future__ import annotations

from typing import NamedTuple

from virt2.model.domain import NO_ID

LIFECYCLE = "lifecycle"
"""A domain has started, stopped, ...: `event` and `detail` are libvirt's numbers."""
CHANGED = "changed"
"""A domain's metadata, devices, images or agent are not what they were."""
CLOSED = "closed"
"""The connection is gone; there is no domain, and `detail` is libvirt's number for why."""
IO_ERROR = "I/O error"
"""Of a disk: `detail` is what was done about it; `path`, `alias` and `reason` say which and why."""
WATCHDOG = "watchdog"
"""The guest did not look after its watchdog; `detail` is what was done about it."""

OF_THE_LIST = frozenset({LIFECYCLE, CHANGED, CLOSED})
"""The kinds after which the list of domains, or what is known of one of them, may be another."""


class Event(NamedTuple):
    """Something libvirt told."""

    kind: str
    uuid: str
    event: int = 0
    detail: int = 0
    name: str = ""
    id: int = NO_ID
    """libvirt's number for the run of the domain; `NO_ID` for one that is not active (any more)."""
    path: str = ""
    """Image of the disk, as the domain's XML has it; empty where it has none."""
    alias: str = ""
    """libvirt's name for the disk, such as ``virtio-disk0``."""
    reason: str = ""
