"""What bare loops share: threads that ask for one domain after another, and the looks at the host.

It needs neither libvirt nor virt2.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

WORKERS = 4
"""virt2's BUSY_WORKERS."""
STAT_SIZE = 512
"""Bytes; the kernel's line on a process has about 300."""


class Loop:
    """Has threads ask for domains.

    Arguments:
        make: called by each thread; makes what asks for one domain.
    """

    def __init__(self, make: Callable[[], Callable[[str], None]]) -> None:
        self._make = make
        self._work: deque[str] = deque()
        self._begin, self._end = threading.Barrier(WORKERS + 1), threading.Barrier(WORKERS + 1)
        for _ in range(WORKERS):
            threading.Thread(target=self._run, daemon=True).start()

    def ask(self, uuids: Iterable[str]) -> None:
        """Have all of these asked for, each once; returns when that is done."""
        self._work.extend(uuids)
        self._begin.wait()
        self._end.wait()

    def _run(self) -> None:
        ask = self._make()
        while True:
            self._begin.wait()
            while True:
                try:
                    uuid = self._work.popleft()
                except IndexError:
                    break
                ask(uuid)
            self._end.wait()


def open_stat(pid_file: Path) -> int:
    """Open what the kernel tells of a domain's process, to be kept open."""
    return os.open(f"/proc/{int(pid_file.read_text())}/stat", os.O_RDONLY)


def look(stat: int) -> tuple[bytes, int]:
    """Read the state of a process, and its CPU time in ticks."""
    line = os.pread(stat, STAT_SIZE, 0)
    fields = line[line.rfind(b")") + 2 :].split()
    return fields[0], int(fields[11]) + int(fields[12])


def read_interfaces() -> dict[str, list[int]]:
    """The counters of every network device of the host."""
    counters = {}
    with open("/proc/net/dev") as file:
        for line in file.readlines()[2:]:
            name, _, rest = line.rpartition(":")
            counters[name.strip()] = [int(field) for field in rest.split()]
    return counters
