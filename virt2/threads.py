"""Starts the threads of virt2's own: named, daemon, and deaf to the signals that are meant for collectd.

A signal to a process is taken by any thread that lets it through, and libvirt's client sets its thread's signal mask
around every wait: that is a moment at which a pending one is looked for. A worker that took collectd's SIGTERM there
left collectd's main thread asleep, for up to an interval: about one exit in a hundred on a busy machine.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

COLLECTDS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What collectd has handlers for: to end, and to flush."""


def start(name: str, body: Callable[[], None]) -> None:
    """Run `body` on a new thread. RuntimeError where the process can have no more of them."""

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, COLLECTDS)
        body()

    threading.Thread(target=run, name=name, daemon=True).start()
