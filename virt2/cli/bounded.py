"""Waits within bounds for what may hang: each thing is done on a thread of its own, which may be lost to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from virt2 import threads

T = TypeVar("T")


class Look(Generic[T]):
    """One thing that is found out, beginning at once. Where it never ends, its thread ends with the process.

    Arguments:
        name: what it is, in at most 9 characters. The thread is called by it.
        find: finds it out, and may raise.
        clock: monotonic seconds.

    Raises:
        RuntimeError: this process can have no more threads.
    """

    def __init__(self, name: str, find: Callable[[], T], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._find = find
        self._clock = clock
        self._done = threading.Event()
        self._found: T | None = None
        self._failure: Exception | None = None
        threads.start(f"virt2/{name}", self._run)

    def __repr__(self) -> str:
        return f"<Look {self._name} {'done' if self._done.is_set() else 'under way'}>"

    def _run(self) -> None:
        try:
            self._found = self._find()
        except Exception as error:
            self._failure = error
        finally:
            self._done.set()

    def wait(self, until: float) -> bool:
        """Wait until it is done; False where it is not by then, a moment on the monotonic clock."""
        return self._done.wait(max(until - self._clock(), 0.0))

    def result(self, until: float) -> T:
        """Give what was found.

        Raises:
            TimeoutError: it did not end by then.
            Exception: what `find` raised.
        """
        if not self.wait(until):
            raise TimeoutError(f"{self._name} has not ended")
        if self._failure is not None:
            raise self._failure
        return self._found  # type: ignore[return-value]
