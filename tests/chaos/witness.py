"""Looks at the guests all the time, past libvirt: what the kernel and the QEMUs themselves say of their counters."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .model import DISK_TYPES, NIC_TYPES, Life, Span
from .qmp import Blocks, Ended, Monitor
from .regular import Regular
from .truth import TICK, Readings

LOOK = 0.2
"""Seconds between two looks at the kernel's counters. They change once a second."""
ASK = 0.2
"""Seconds between two looks at what the QEMUs have answered. Each is asked again in the next one."""
ENDED = ("Z", "X")
"""States of a process that has ended."""


@dataclass
class _Watched:
    life: Life
    stat: int
    """The descriptor of its process's stat file, which stays that of this process."""
    monitor: Monitor
    alive: float
    """When it was last seen alive."""

    def close(self) -> None:
        """Look no more."""
        os.close(self.stat)
        self.monitor.close()


class Witness:
    """Watches guests from `add` until their process has ended, and notes that on their `Life`.

    Arguments:
        net_dev: the file with the counters of the lab's network devices.
    """

    def __init__(self, net_dev: Path) -> None:
        self._net_dev = net_dev
        self._lock = threading.Lock()
        self._watched: dict[tuple[str, float], _Watched] = {}
        self._readings: dict[tuple[tuple[str, float], str], Readings] = defaultdict(Readings)
        self._kernel = Regular(self._look, LOOK, "chaos/kernel")
        self._qemus = Regular(self._ask, ASK, "chaos/qemus")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look, as long as the block lasts."""
        try:
            with self._kernel, self._qemus:
                yield
        finally:
            for watched in self._all():
                watched.close()
            self._watched.clear()

    def check(self) -> None:
        """Raise what has ended the looks, if they have ended."""
        self._kernel.check()
        self._qemus.check()

    def add(self, life: Life, pid: int, socket: Path) -> None:
        """Watch a guest from now on.

        Arguments:
            pid: of its QEMU, as seen from here.
            socket: of the monitor that is for this.

        Raises:
            OSError: it has ended.
        """
        monitor = Monitor(socket)
        try:
            stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            monitor.close()
            raise
        with self._lock:
            self._watched[life.key] = _Watched(life, stat, monitor, time.time())

    def readings(self, life: Life, name: str) -> Readings:
        """What was seen of one series of one life."""
        with self._lock:
            return self._readings[life.key, name]

    def stalls(self) -> list[Span]:
        """When the kernel was not looked at, because the machine had no time for it."""
        return list(self._kernel.stalls)

    def silent_for(self, life: Life) -> float:
        """Seconds for which a QEMU has not answered what it was asked; 0 for one that has, or that is not watched."""
        with self._lock:
            watched = self._watched.get(life.key)
        asked = None if watched is None else watched.monitor.asked
        return 0.0 if asked is None else max(0.0, time.time() - asked)

    # On threads of its own

    def _look(self) -> None:
        for watched in self._all():
            life = watched.life
            before = time.time()
            used = cpu_time(watched.stat)
            if used is None:
                # Only now it is sure: it may have ended since `before`, and been read until then.
                self._forget(watched, time.time())
                continue
            watched.alive = before
            self._note(life, "virt_cpu_total", before, time.time(), (used,))
        before, nics, after = time.time(), counters_of_nics(self._net_dev.read_text()), time.time()
        for watched in self._all():
            for device in watched.life.devices:
                values = nics.get(device.name)
                if values is not None:
                    for number, kind in enumerate(NIC_TYPES):
                        pair = (values[number], values[number + 4])
                        self._note(watched.life, f"{kind}-{device.name}", before, after, pair)

    def _ask(self) -> None:
        for watched in self._all():
            try:
                blocks = watched.monitor.receive(time.time())
                if blocks is not None:
                    self._note_blocks(watched.life, blocks)
                watched.monitor.ask(time.time())
            except Ended:
                # Its process has ended too, or is about to: the kernel tells when.
                continue

    def _note_blocks(self, life: Life, blocks: Blocks) -> None:
        for target, (read, written, reads, writes) in blocks.counters.items():
            for kind, pair in zip(DISK_TYPES, ((read, written), (reads, writes))):
                self._note(life, f"{kind}-{target}", blocks.asked, blocks.answered, pair)

    def _note(self, life: Life, name: str, begun: float, ended: float, values: tuple[int, ...]) -> None:
        with self._lock:
            self._readings[life.key, name].add(begun, ended, values)

    def _all(self) -> list[_Watched]:
        with self._lock:
            return list(self._watched.values())

    def _forget(self, watched: _Watched, now: float) -> None:
        with self._lock:
            del self._watched[watched.life.key]
        watched.life.leaving = min(watched.life.leaving, watched.alive)
        watched.life.ended = min(watched.life.ended, now)
        watched.close()


def cpu_time(stat: int) -> int | None:
    """What a process has used, in nanoseconds, by the descriptor of its stat file; None where it has ended."""
    try:
        text = os.pread(stat, 1024, 0).decode("utf-8", "replace")
    except ProcessLookupError:
        return None
    # Its name, which may hold anything, ends at the last parenthesis. Then come the state, 11 and 12 fields later the
    # ticks in user and in kernel mode, and 17 later the number of threads (proc(5)). Where its main thread has ended,
    # the process lives on for as long as storage that hangs keeps another one.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in ENDED and int(fields[17]) <= 1 else (int(fields[11]) + int(fields[12])) * TICK


def counters_of_nics(text: str) -> Mapping[str, tuple[int, ...]]:
    """The counters of each device by name, of /proc/net/dev, as a guest behind it sees them.

    They are bytes, packets, errors and drops that it received, and the same of what it sent.
    """
    found = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        fields = tuple(map(int, rest.split()))
        # What the host sends to a tap is what the guest receives.
        found[name.strip()] = fields[8:12] + fields[:4]
    return found
