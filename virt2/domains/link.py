"""Whether libvirt can be reached, and when it is tried again where it cannot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

log = logging.getLogger(__name__)

FIRST_RETRY = 1.0
"""Seconds until the first new attempt after a failed one. It doubles with each that fails."""
LONGEST_RETRY = 30.0
"""Seconds between two attempts at the most; the interval where that is shorter."""


class Link(NamedTuple):
    """Whether libvirt can be reached."""

    up: bool
    since: float
    """Since when, monotonic seconds."""
    reason: str
    """libvirt's words when it cannot."""


class Reach:
    """Whether libvirt is within reach, by what became of the attempts to connect. One thread makes them; any looks.

    Arguments:
        longest: longest time between two attempts, seconds.
        on_link: called when libvirt was lost or is back.
        clock: monotonic seconds.
    """

    def __init__(self, longest: float, on_link: Callable[[Link], None], clock: Callable[[], float]) -> None:
        self._longest = min(longest, LONGEST_RETRY)
        self._on_link = on_link
        self._clock = clock
        self._backoff = FIRST_RETRY
        self.next_attempt = 0.0
        """When the next attempt is due while libvirt is away, monotonic seconds."""
        self.link: Link | None = None
        """How it is, and since when. None before the first attempt."""

    def __repr__(self) -> str:
        return f"<Reach {self.state}>"

    @property
    def state(self) -> str:
        """The same in a word or two."""
        return "never connected" if self.link is None else "up" if self.link.up else "down"

    @property
    def is_up(self) -> bool:
        """Whether libvirt is known to be there."""
        return self.link is not None and self.link.up

    @property
    def is_down(self) -> bool:
        """Whether libvirt is known to be away."""
        return self.link is not None and not self.link.up

    def pause(self) -> float:
        """Seconds until the next attempt is due while libvirt is away; 0 or less when it is."""
        return self.next_attempt - self._clock()

    def succeed(self) -> None:
        """Note that libvirt was reached; says so where it was away."""
        before, now = self.link, self._clock()
        self._backoff = FIRST_RETRY
        if before is None or not before.up:
            self.link = Link(True, now, "")
            if before is not None:
                log.info("libvirt is back after %.0f s", now - before.since)
                self._on_link(self.link)

    def fail(self, uri: str, reason: str) -> None:
        """Note that libvirt cannot be reached; says so where it was there.

        Args:
            uri: the connection URI; empty for libvirt's own choice.
            reason: libvirt's words.
        """
        now = self._clock()
        self.next_attempt = now + self._backoff
        self._backoff = min(self._backoff * 2, max(FIRST_RETRY, self._longest))
        if self.is_down:
            return
        self.link = Link(False, now, reason)
        log.error(
            "libvirt cannot be reached at %s: %s; until it can be reached again, which is tried every %.0f s, only what"
            " the kernel knows is reported of its domains",
            uri or "its default URI",
            reason,
            self._longest,
        )
        self._on_link(self.link)
