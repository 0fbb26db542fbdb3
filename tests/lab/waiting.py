"""Waiting for something that announces itself only by becoming true."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two looks: short against everything the lab waits for, long against the cost of a look."""


def wait_for(predicate: Callable[[], T], timeout: float, what: str = "") -> T:
    """Return the predicate's first true result; raise TimeoutError after `timeout` seconds without one."""
    deadline = time.monotonic() + timeout
    while True:
        # Read the clock first: a predicate that was slow still gets its result counted.
        late = time.monotonic() >= deadline
        result = predicate()
        if result:
            return result
        if late:
            raise TimeoutError(f"not true within {timeout:g} s: {what or predicate!r}")
        time.sleep(PAUSE)
