"""libvirt's event loop: it brings events, and keepalives go out only where it runs.

libvirt has one loop in a process. It runs on a thread of our own. Every call of every connection changes what the loop
watches, and wakes a loop that waits twice. So it does not wait while a read makes its calls: then it runs in short
bursts. At all other times it waits, and nothing wakes it but what it is there for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import libvirt

from virt2 import threads
from virt2.once import Once
from virt2.sources.translation import words

log = logging.getLogger(__name__)

EVENT_LATENCY = 0.1
"""Seconds between two bursts of libvirt's event loop while a read makes its calls."""
EVENT_WINDOW = 1
"""Milliseconds that such a burst takes."""
END_PATIENCE = 0.5
"""Seconds for which `EventLoop.stop` waits for the loop to end, which takes a thousandth of one."""


class EventLoop:
    """Runs libvirt's event loop on a thread of its own."""

    def __init__(self) -> None:
        self._registered = False
        self.running = False
        """Whether the loop was started."""
        self._changed = threading.Condition()
        self._undisturbed = 0
        """How many do not want to be disturbed."""
        self._waker: int | None = None
        """What is written to here wakes the loop; None before it runs."""
        self._stopping = False
        self._ended = threading.Event()

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
            self.running = threads.try_start("virt2/events", self._run)

    @contextlib.contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Keep the loop from waiting while many calls are made. This makes no call of libvirt's, and never waits."""
        with self._changed:
            self._undisturbed += 1
            is_first = self._undisturbed == 1
        if is_first:
            self._wake()
        try:
            yield
        finally:
            with self._changed:
                self._undisturbed -= 1
                self._changed.notify_all()

    def stop(self) -> None:
        """End the loop, and wait a moment until it has ended.

        An event that comes when the interpreter is gone would end collectd in the middle of what other plugins do then.
        """
        self._stopping = True
        if self._waker is not None:
            self._wake()
            with self._changed:
                self._changed.notify_all()
            self._ended.wait(END_PATIENCE)

    def _wake(self) -> None:
        """Have the loop return from a wait. This never waits: a pipe that is full has woken it already."""
        if self._waker is not None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._waker, b"\0")

    def _run(self) -> None:
        """Run the loop until it is stopped, or libvirt ends it; the thread's body."""
        try:
            self._run_loop()
        except libvirt.libvirtError as error:
            log.error("libvirt's event loop ended: %s; changes are now found by polling only", words(error))
        finally:
            self._ended.set()

    def _run_loop(self) -> None:
        fired = threading.Event()
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        timer = libvirt.virEventAddTimeout(-1, _fire, fired)
        libvirt.virEventAddHandle(woken, libvirt.VIR_EVENT_HANDLE_READABLE, _drain, None)
        self._waker = waker
        while not self._stopping:
            with self._changed:
                is_free = self._changed.wait_for(lambda: not self._undisturbed or self._stopping, EVENT_LATENCY)
            if self._stopping:
                break
            if is_free:
                libvirt.virEventRunDefaultImpl()
            else:
                _burst(timer, fired)


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


def _burst(timer: int, fired: threading.Event) -> None:
    """Run the loop for as long as a burst takes."""
    fired.clear()
    # The time is not 0, because a timer that is always due keeps the loop from what is of lower priority, and there
    # libvirt closes the sockets of connections that were given back.
    libvirt.virEventUpdateTimeout(timer, EVENT_WINDOW)
    while not fired.is_set():
        libvirt.virEventRunDefaultImpl()
    libvirt.virEventUpdateTimeout(timer, -1)


def _fire(_timer: int, fired: threading.Event) -> None:
    fired.set()


def _drain(_watch: int, woken: int, _events: int, _opaque: Any) -> None:
    """Take what has woken the loop. Another thread that runs the loop may have taken it."""
    with contextlib.suppress(BlockingIOError):
        os.read(woken, 4096)
