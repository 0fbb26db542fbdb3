"""Starts the threads of virt2's own: named, daemon, and deaf to the signals that are meant for collectd.

A signal to a process is taken by any thread that lets it through, and libvirt's client sets its thread's signal mask
around every wait: that is a moment at which a pending one is looked for. A worker that took collectd's SIGTERM there
left collectd's main thread asleep, for up to an interval: about one exit in a hundred on a busy machine.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

COLLECTDS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""What collectd has handlers for: to end, and to flush."""


def start(name: str, body: Callable[[], None]) -> None:
    """Run `body` on a new thread. RuntimeError where the process can have no more of them."""

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, COLLECTDS)
        body()

    threading.Thread(target=run, name=name, daemon=True).start()


class _Lack:
    """Whether this process was said to have no more threads: one state, as the limit is one of the process."""

    said = False


def try_start(name: str, body: Callable[[], None]) -> bool:
    """Run `body` on a new thread; False where the process can have no more of them, which is said once."""
    try:
        start(name, body)
    except RuntimeError as error:
        if not _Lack.said:
            _Lack.said = True
            log.error(
                "a thread cannot be started (%s): %s; what it should do is not done, tried again with every read;"
                " raise the limit of threads of collectd's service or user",
                name,
                error,
            )
        return False
    if _Lack.said:
        _Lack.said = False
        log.info("threads can be started again (%s)", name)
    return True
