"""What processes have used: CPU to the nanosecond, and memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

Threads = Mapping[tuple[int, int], int]
"""CPU time of threads in ns, by process and thread."""


class Memory(NamedTuple):
    """A process's memory in KiB."""

    rss: int
    pss: int
    """The same, but what n processes share counts a nth for each."""


def cpu(pids: Iterable[int]) -> Threads:
    """The CPU time of every thread of these processes.

    From schedstat, not stat: that counts in hundredths of a second for each process, which is more than a QEMU uses.
    """
    found = {}
    for pid in pids:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except FileNotFoundError:
            continue
        for thread in threads:
            try:
                text = Path(f"/proc/{pid}/task/{thread}/schedstat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                # It ended while we looked.
                continue
            found[pid, int(thread)] = int(text.split()[0])
    return found


def used(before: Threads, after: Threads) -> float:
    """Seconds of CPU between two readings; what a thread used that has ended in between is lost."""
    return sum(now - before.get(thread, 0) for thread, now in after.items()) / 1e9


def memory(pid: int) -> Memory:
    """The memory of a process now."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) for name in ("Rss", "Pss"))
    return Memory(rss, pss)


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def available() -> int:
    """Bytes of memory that can still be had on this machine."""
    text = Path("/proc/meminfo").read_text()
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M).group(1)) * 1024
