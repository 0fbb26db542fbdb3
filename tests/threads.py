"""The threads that a test has started, apart from those that tests before it left in the same process.

An integration test may leave libvirt's event loop running: it ends with the process, and is no unit test's business.
"""

from __future__ import annotations

import threading

_before: set[threading.Thread] = set()


def begin() -> None:
    """Note that a test begins now."""
    _before.clear()
    _before.update(threading.enumerate())


def started() -> list[threading.Thread]:
    """The threads that are alive and were not when the test began."""
    return [thread for thread in threading.enumerate() if thread not in _before]
