"""The collectd of a run, which is restarted now and then."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.lab import Collectd, Lab, python_module

from .model import INTERVAL, Run

SETTINGS = {
    "explicit": """
    <Instance "one">
      Tag "first"
    </Instance>
    <Instance "two">
      Tag "second"
    </Instance>
    """,
    "automatic": "",
}
"""What virt2 is told, by how the domains are split over readers."""
ONE_WRITER = "WriteThreads 1\n"
"""With more of them collectd writes two points of a series that come together in any order."""


class Daemon:
    """A collectd with virt2, and when it ran.

    Arguments:
        lab: where.
        folder: an existing one of its own.
        readers: one of SETTINGS.
    """

    def __init__(self, lab: Lab, folder: Path, readers: str) -> None:
        drop_ins = {"virt2.conf": python_module("virt2", SETTINGS[readers]), "writer.conf": ONE_WRITER}
        self.collectd = Collectd(lab, folder, drop_ins, INTERVAL)
        self.runs: list[Run] = []
        """Those that are over."""
        self._started = 0.0
        self.pid = 0
        """As seen from outside of the lab; 0 while it does not run, or is told not to."""
        self._lock = threading.Lock()
        """Who has it may look whether it runs, or begin to end it."""

    def start(self) -> None:
        """Start it; returns when it reads."""
        self._started = time.time()
        self.collectd.start()
        self.pid = self.collectd.process.pid

    def exit_code(self) -> int | None:
        """With what it ended by itself; None where it runs, or was told to end."""
        with self._lock:
            return self.collectd.process.poll() if self.pid else None

    def stop(self) -> None:
        """End it, and note how long that took."""
        with self._lock:
            self.pid = 0
        stopping = time.time()
        exited = self.collectd.process.poll()
        try:
            seconds = self.collectd.stop()
        except TimeoutError:
            # It was killed then, which is for whoever looks at the runs.
            seconds = time.time() - stopping
        code = self.collectd.process.exit_code
        self.runs.append(Run(self._started, stopping, seconds, code if exited is None else exited))
