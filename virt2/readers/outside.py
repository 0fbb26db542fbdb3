"""Decides when calls are made for which libvirt asks another program, and holds the domain's lock until that answers.

For the counters of a vhost-user interface libvirt runs ``ovs-vsctl``, which takes 10 to 50 ms where Open vSwitch is
well, and 5 s where it hangs. Meanwhile nobody gets a list of domains or an answer about that domain. So one such call
is made at a time on the host, and calls become rare once one was slow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

SLOW = 1.0
"""Seconds in one call after which the other program is taken not to answer. Well clear of what it takes on a busy host,
and of the 5 s after which libvirt has it give up."""
FIRST_PAUSE = 30.0
"""Seconds until the next call after a slow one. They double with each call that is slow as well."""
LONGEST_PAUSE = 600.0
"""Seconds between two calls at the most. A call costs its domain one or two points, and a list that anybody asks for
5 s."""


class Outside:
    """Says whether such a call may be made now. All readers share one, because they ask the same program.

    Arguments:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._call = ""
        """What the call is for that is in flight."""
        self._since = 0.0
        self._pause = 0.0
        self._not_before = 0.0
        self._slow_since: float | None = None
        """Since when the other program does not answer, once that was said."""

    def __repr__(self) -> str:
        return f"<Outside {self._call or 'idle'} pause={self._pause:.0f}>"

    @property
    def busy(self) -> bool:
        """Whether a call is in flight."""
        return bool(self._call)

    @property
    def resting(self) -> bool:
        """Whether a call was slow, and the next one is not due yet."""
        return self._clock() < self._not_before

    def begin(self, domain: str, interface: str) -> bool:
        """Take the right to make a call; False where none may be made now. Who gets True calls `end` when it is over.

        It waits for a call of another reader, as long as that one is not slow.
        """
        with self._changed:
            if self._call:
                self._changed.wait_for(lambda: not self._call, SLOW)
            if self._call or self.resting:
                return False
            self._call, self._since = f"interface {interface} of domain {domain}", self._clock()
            return True

    def end(self) -> bool:
        """The call is over; returns whether it was slow."""
        with self._changed:
            now = self._clock()
            slow = now - self._since > SLOW
            if slow:
                self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
                self._not_before = now + self._pause
            complaint = self._complaint() if slow else ""
            back = None if slow or self._slow_since is None else now - self._slow_since
            if not slow:
                self._slow_since = None
                if now - self._not_before > LONGEST_PAUSE:
                    # It has been well for long. Before that, another slow answer doubles the pause again, so that a
                    # program that comes and goes is asked less and less.
                    self._pause = 0.0
            self._call = ""
            self._changed.notify_all()
        self._say(complaint)
        if back is not None:
            log.info("interfaces whose counters libvirt asks another program for are answered again after %.0f s", back)
        return slow

    def review(self) -> None:
        """Say that a call is slow that has not come back yet; called once per read."""
        if not self._call or self._slow_since is not None:
            return
        with self._changed:
            complaint = self._complaint() if self._call and self._clock() - self._since > SLOW else ""
        self._say(complaint)

    def _complaint(self) -> str:
        """The slow call, once until one is answered; otherwise empty. Caller holds the lock."""
        if self._slow_since is not None:
            return ""
        self._slow_since = self._since
        return self._call

    def _say(self, words: str) -> None:
        if words:
            log.warning(
                "%s: libvirt asks another program (Open vSwitch's ovs-vsctl) for its counters, and holds the domain's"
                " lock meanwhile; that program does not answer within %.0f s, so interfaces of that kind are asked one"
                " at a time, and only every %.0f to %.0f s until it answers; check whether Open vSwitch runs",
                words,
                SLOW,
                FIRST_PAUSE,
                LONGEST_PAUSE,
            )
