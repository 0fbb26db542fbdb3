"""Starts virt2's own threads. They have names, are daemon threads, and are deaf to the signals meant for collectd.

Any thread that lets a signal to the process through may take it. libvirt's client sets the signal mask of its thread
around every wait, and at that moment the kernel looks for a pending signal. A worker that took collectd's SIGTERM there
left collectd's main thread asleep for up to an interval. That befell about one exit in a hundred on a busy machine.
"""

from __future__ import annotations

import functools
import logging
import signal
import threading
from collections.abc import Callable
from typing import Any

from virt2.once import Once

log = logging.getLogger(__name__)

COLLECTDS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""The signals that collectd has handlers for: to end, and to flush."""


def start(name: str, body: Callable[[], None]) -> None:
    """Run `body` on a new thread.

    Raises:
        RuntimeError: the process can have no more threads.
    """

    def run() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, COLLECTDS)
        body()

    threading.Thread(target=run, name=name, daemon=True).start()


class _Lack:
    """Whether it was said that this process can have no more threads: one state, because the limit is the process's."""

    said = False


def try_start(name: str, body: Callable[[], None]) -> bool:
    """Run `body` on a new thread. Gives False where the process can have no more threads, and says so once."""
    try:
        start(name, body)
    except RuntimeError as error:
        if not _Lack.said:
            _Lack.said = True
            log.error(
                "a thread cannot be started (%s): %s; what it should do is not done, and is tried again with every"
                " read; raise the limit of threads of collectd's service or user",
                name,
                error,
            )
        return False
    if _Lack.said:
        _Lack.said = False
        log.info("threads can be started again (%s)", name)
    return True


def guarded(failures: Once, callback: Callable[..., None]) -> Callable[..., None]:
    """Wrap a callback for threads that must not end by it: libvirt's, the list's, or one in the middle of a read.

    Arguments:
        failures: remembers which failures were logged, each kind of each callback once.
    """

    @functools.wraps(callback)
    def wrapped(*arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            if failures.first(callback.__qualname__, type(error).__name__):
                log.exception("unexpected failure in %s, said once", callback.__qualname__)

    return wrapped
