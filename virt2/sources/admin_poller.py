"""Asks for libvirtd's limits, on a thread of its own that may hang."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from virt2 import threads
from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.once import Once

log = logging.getLogger(__name__)

MOST_SAID = 20
"""Unexpected failures that are logged at the most, each once."""
SLOW = 1.0
"""Seconds after which an attempt itself is the reason why nothing is known. It takes under 1 ms when all is well."""
FIRST_RETRY = 1.0
"""Seconds from an attempt that was refused to the next one; doubled each time, because a right that is missing does not
come by asking. A daemon that is being restarted is asked again as soon as libvirt is back."""
LONGEST_RETRY = 30.0
"""Seconds from an attempt that was refused to the next one at the most."""


class AdminPoller:
    """Asks for the limits on a thread of its own, one attempt at a time. An attempt that hangs costs that thread only.

    The thread starts with the first ``poke`` and ends at ``stop``. Where an attempt hangs then, it ends when that one
    returns.

    Arguments:
        read: makes one attempt: gives Limits or raises AdminUnavailable, and may hang.
        max_age: seconds after which an answer is no longer given out.
        clock: monotonic seconds.
        leave: called by the thread when it ends.
        longest_retry: seconds at the most from an attempt that was refused to the next one.
    """

    def __init__(
        self,
        read: Callable[[], Limits],
        max_age: float,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[], None] = lambda: None,
        longest_retry: float = LONGEST_RETRY,
    ) -> None:
        self._read = read
        self._leave = leave
        self._max_age = max_age
        self._clock = clock
        self._changed = threading.Condition()
        self._started = False
        self._stopped = False
        self._once = Once(MOST_SAID, silent_when_full=True)
        self._asked = 0  # pokes so far
        self._settled = 0  # pokes that are settled, because an attempt that began later has ended
        self._began: float | None = None  # when the attempt now in flight began
        self._limits: Limits | None = None
        self._taken: float | None = None  # when the attempt that gave the limits began
        self._failure = "it has not answered yet"
        self._longest_retry = max(FIRST_RETRY, min(longest_retry, LONGEST_RETRY))
        self._backoff = FIRST_RETRY
        self._not_before: float | None = None  # while attempts are refused: when the next one is due

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "idle" if self._began is None else "asking"
        return f"<AdminPoller {state} limits={self.limits()} reason={self.reason!r}>"

    def poke(self) -> None:
        """Ask for a new reading without waiting. While an attempt is in flight, one more follows when it is over.

        This does nothing where the last attempt was refused a short while ago.
        """
        with self._changed:
            if self._stopped or (self._not_before is not None and self._clock() < self._not_before):
                return
            self._asked += 1
            self._changed.notify_all()
            if self._started:
                return
            self._started = True
        try:
            threads.start("virt2/admin", self._run)
        except RuntimeError as error:
            # This process can have no more threads. The reason says so, and the next poke tries again.
            with self._changed:
                self._started, self._failure = False, str(error)

    def forgive(self) -> None:
        """Let the next poke ask, even where the last attempt was refused: the daemon may be another one now."""
        with self._changed:
            self._not_before, self._backoff = None, FIRST_RETRY

    def wait(self, timeout: float) -> bool:
        """Wait until every poke made so far is settled, by an answer or a refusal; False after `timeout` seconds."""
        with self._changed:
            asked = self._asked
            self._changed.wait_for(lambda: self._settled >= asked or self._stopped, timeout)
            return self._settled >= asked

    def stop(self) -> None:
        """Let the thread end, without waiting for it."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def limits(self) -> Limits | None:
        """The last answer; None where there is none that is young enough."""
        with self._changed:
            return self._limits if self._young() else None

    @property
    def age(self) -> float | None:
        """Seconds since the attempt that gave the last answer began; None without an answer."""
        with self._changed:
            return None if self._taken is None else self._clock() - self._taken

    @property
    def reason(self) -> str:
        """Why the limits are unknown, in words; empty when they are known."""
        with self._changed:
            if self._young():
                return ""
            waited = 0.0 if self._began is None else self._clock() - self._began
            return self._failure if waited < SLOW else f"it has not answered for {waited:.0f} s"

    def _young(self) -> bool:
        return self._taken is not None and self._clock() - self._taken <= self._max_age

    def _run(self) -> None:
        """Make an attempt whenever one is asked for; the thread's body."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked > self._settled or self._stopped)
                if self._stopped:
                    break
                asked = self._asked
                self._began = began = self._clock()
            limits, failure = self._attempt()
            with self._changed:
                self._began = None
                self._settled = asked
                self._failure = failure
                if limits is not None:
                    self._limits, self._taken = limits, began
                    self._not_before, self._backoff = None, FIRST_RETRY
                else:
                    self._not_before = self._clock() + self._backoff
                    self._backoff = min(2 * self._backoff, self._longest_retry)
                self._changed.notify_all()
        self._leave()

    def _attempt(self) -> tuple[Limits | None, str]:
        try:
            return self._read(), "the last answer is too old"
        except AdminUnavailable as error:
            return None, error.reason
        except Exception as error:
            if self._once.first(repr(error)):
                log.exception("reading libvirtd's limits failed unexpectedly, said once")
            return None, repr(error)
