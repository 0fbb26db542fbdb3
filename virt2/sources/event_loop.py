"""libvirt's event loop: it brings events, and keepalives go out only where it runs.

libvirt has one loop in a process. It runs on a thread of our own, in short bursts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import libvirt

from virt2 import threads
from virt2.once import Once
from virt2.sources.translation import words

log = logging.getLogger(__name__)

EVENT_LATENCY = 0.1
"""Seconds between two runs of libvirt's event loop. Every call of every connection wakes a loop that waits twice, which
doubled what a read costs collectd. Nobody needs an event before the next read."""
EVENT_WINDOW = 1
"""Milliseconds that such a run takes."""


class EventLoop:
    """Runs libvirt's event loop on a thread of its own."""

    def __init__(self) -> None:
        self._registered = False
        self.running = False
        """Whether the loop was started."""

    def __repr__(self) -> str:
        return f"<EventLoop running={self.running}>"

    def start(self) -> None:
        """Register and start the loop before the first connection. Once it runs, another call does nothing.

        Where no thread can be started, the next call tries again.
        """
        if not self._registered:
            libvirt.virEventRegisterDefaultImpl()
            self._registered = True
        if not self.running:
            self.running = threads.try_start("virt2/events", _run_events)


def guarded(callback: Callable[..., None]) -> Callable[..., None]:
    """Make a callback that never raises: libvirt-python would print that to stderr, where nobody reads it."""
    once = Once()

    def call(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            if once.first(type(error).__name__):
                log.exception("an event of libvirt's was lost, because dealing with it failed; this is said once")

    return call


def _run_events() -> None:
    fired = threading.Event()
    try:
        timer = libvirt.virEventAddTimeout(-1, _fire, fired)
        while True:
            time.sleep(EVENT_LATENCY)
            fired.clear()
            # The time is not 0, because a timer that is always due keeps the loop from what is of lower priority, and
            # there libvirt closes the sockets of connections that were given back.
            libvirt.virEventUpdateTimeout(timer, EVENT_WINDOW)
            while not fired.is_set():
                libvirt.virEventRunDefaultImpl()
            libvirt.virEventUpdateTimeout(timer, -1)
    except libvirt.libvirtError as error:
        log.error("libvirt's event loop ended: %s; changes are now found by polling only", words(error))


def _fire(_timer: int, fired: threading.Event) -> None:
    fired.set()
