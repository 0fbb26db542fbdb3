"""Signals, as something to wait for."""

from __future__ import annotations

import os
import select
import signal

LONGEST = 3600.0
"""Seconds of one wait: more than a call of the system takes is accepted, and whoever waits longer asks again."""


class Bell:
    """Notes signals from now on; what is half done when one comes is finished first.

    A handler that sets an Event may wait for ever for a lock that the code it interrupts holds, so the numbers of
    signals go through a pipe.
    """

    def __init__(self) -> None:
        self.is_over = False
        """Whether SIGINT or SIGTERM has come."""
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(writing, False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait(self, seconds: float) -> bool:
        """Wait until the time is over or a signal comes; give whether the terminal has another size now."""
        if self.is_over or not select.select([self._reading], [], [], min(max(seconds, 0.0), LONGEST))[0]:
            return False
        numbers = os.read(self._reading, 1 << 16)
        self.is_over = signal.SIGINT in numbers or signal.SIGTERM in numbers
        return signal.SIGWINCH in numbers
