"""Reads at an interval, as on a host: every contestant in turn, again and again, on the same guests.

What is used between two reads counts too: an event loop, pollers and ticks; and a read begins with cold caches.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from bench import contestants, figures, processes
from bench.contestants import Daemon, Floor
from bench.figures import Pace, Paced, PacedWindow, ThreadUse
from bench.machine import Machine, Use
from tests.lab import wait_for

WARM = 1.5
"""Intervals from the start of a contestant to the start of its window: the first read connects and describes all, and a
window begins between two reads."""
LEAST_PART = 0.2
"""Part of what libvirtd uses in the middle one of all intervals: where it uses less, there was no read in that
interval."""
START_TIMEOUT = 60.0
"""Seconds until virt2 is warm."""


class Effort(NamedTuple):
    """How long to measure."""

    rounds: int
    seconds: float
    """Of each window, rounded up to whole intervals. Both plugins read all descriptions again once a minute, so a
    window of whole minutes has its share of that."""


def measure(machine: Machine, pace: Pace, folder: Path, effort: Effort, say: Callable[[str], None]) -> Paced:
    """Measure every contestant at a pace; the guests are there already."""
    windows: dict[str, list[PacedWindow]] = defaultdict(list)
    by_thread: Mapping[str, ThreadUse] = {}
    for number in range(effort.rounds):
        for name in figures.PACED_ROWS:
            contestant, names = _contestant(machine, name, pace, Path(tempfile.mkdtemp(dir=folder)) / "run")
            contestant.start()
            try:
                window, threads = _window(machine, contestant, names, pace, effort.seconds, name != figures.ALONE)
            finally:
                contestant.stop()
            windows[name].append(window)
            by_thread = threads or by_thread
            say(
                f"{pace}, round {number + 1}: {name}: libvirtd {window.libvirtd * 1000:.1f} ms,"
                f" own {window.own * 1000:.1f} ms"
            )
    return Paced({name: figures.paced_row(found) for name, found in windows.items()}, by_thread)


def _contestant(machine: Machine, name: str, pace: Pace, folder: Path) -> tuple[Daemon | Floor, Path | None]:
    """A contestant, and the file in which it says which of its threads is which, if it does."""
    if name == figures.FLOOR:
        return Floor(machine.lab, folder, pace.interval), None
    if name == figures.VIRT2:
        names = folder / "threads.json"
        return Daemon(machine.lab, folder, contestants.warmed_virt2(pace.interval, names), 0), names
    drop_in = contestants.c_plugin(interval=pace.interval) if name == figures.C_PLUGIN else ""
    return Daemon(machine.lab, folder, drop_in, 0), None


def _window(
    machine: Machine, contestant: Daemon | Floor, names: Path | None, pace: Pace, seconds: float, reads: bool
) -> tuple[PacedWindow, Mapping[str, ThreadUse]]:
    """What a contestant that was just started uses in whole intervals that begin and end between two reads.

    Arguments:
        names: where it says which of its threads is which; None where it does not.
        reads: whether it asks libvirtd for anything.
    """
    interval = pace.interval
    begin = time.monotonic() + WARM * interval
    if names is not None:
        wait_for(names.exists, START_TIMEOUT, "virt2 is warm")
        if f" {machine.guests} domains every {interval:g} s" not in contestant.log:
            raise RuntimeError(f"virt2 does not read {machine.guests} domains: {contestant.log}")
    # Where it took longer to get warm, the window begins as many intervals later.
    begin += max(0, math.ceil((time.monotonic() - begin) / interval)) * interval
    count = math.ceil(seconds / interval)
    looks: list[Use] = []
    threads = []
    for number in range(count + 1):
        time.sleep(max(0.0, begin + number * interval - time.monotonic()))
        looks.append(machine.use(contestant.pid))
        if number in (0, count):
            threads.append(processes.by_thread(contestant.pid))
    served = [processes.used(one.libvirtd, other.libvirtd) for one, other in zip(looks, looks[1:])]
    if reads and missed(served):
        raise RuntimeError(f"no read in {missed(served)} of {count} intervals: {contestant.log}")
    used = [processes.used(one, other) / count for one, other in zip(looks[0][1:], looks[-1][1:])]
    window = PacedWindow(*used, rss=processes.memory(contestant.pid).rss, intervals=count)
    return window, {} if names is None else by_kind(*threads, json.loads(names.read_text()), count)


def missed(used: list[float]) -> int:
    """In how many of some intervals there was no read, by what libvirtd has used in each."""
    middle = sorted(used)[len(used) // 2]
    return sum(1 for seconds in used if seconds < LEAST_PART * middle)


def by_kind(
    before: Mapping[int, processes.Thread],
    after: Mapping[int, processes.Thread],
    names: Mapping[str, str],
    intervals: int,
) -> dict[str, ThreadUse]:
    """What the threads of a process use in an interval, by kind; what used most comes first.

    Arguments:
        before: what each has used at the start.
        after: and at the end, so many intervals later.
        names: of Python's threads, by the number that they have in their own pid namespace.
    """
    found: dict[str, list[processes.Thread]] = defaultdict(list)
    for thread, now in after.items():
        name = re.sub(r"\d+$", "*", names.get(str(now.inner), now.name))
        then = before.get(thread)
        found[name].append(
            now if then is None else now._replace(cpu=now.cpu - then.cpu, sleeps=now.sleeps - then.sleeps)
        )
    uses = {
        name: ThreadUse(
            len(threads),
            sum(thread.cpu for thread in threads) / 1e9 / intervals,
            sum(thread.sleeps for thread in threads) / intervals,
        )
        for name, threads in found.items()
    }
    return dict(sorted(uses.items(), key=lambda use: -use[1].cpu))
