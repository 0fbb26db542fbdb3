"""The rounds: every contestant in turn, again and again, on the same guests."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import contestants, figures, processes
from bench.contestants import Contestant, Daemon, Floor, await_cycles
from bench.figures import Row, Window
from bench.machine import Machine
from bench.report import Calls
from tests.lab import wait_for
from tests.lab.relay import ADMIN, READ_ONLY, Call, Relay, bursts

LEAST_CYCLES = 3
"""Cycles in a window at least, however long they take."""
C_WARM_UP = 1
"""Cycles of the C plugin until all are alike: the first connects, lists and reads every description."""
VIRT2_WARM_UP = 8
"""Cycles of virt2: each of its connections looks each domain up when it first comes to it, at random."""
APART = 0.4
"""Seconds without a call that part one cycle from the next where they are counted."""
PAUSED = 3
"""Where calls are counted, an interval is so many times as long as a cycle takes back to back, and a second more."""
ALIKE = 2
"""Cycles with the same calls, and none that only a new connection or domain makes, are what every one is like."""
ONCE = frozenset({"lookupByUUID", "XMLDesc"})
"""Calls made when a connection first comes to a domain, or when it is described: no part of a steady cycle."""
COUNT_TIMEOUT = 60.0
"""Seconds for that, and some intervals."""


class Effort(NamedTuple):
    """How long to measure."""

    rounds: int
    seconds: float
    """Of each window, at least."""


def measure(machine: Machine, folder: Path, effort: Effort, say: Callable[[str], None]) -> dict[str, Row]:
    """Measure every contestant at the number of guests there is."""
    idle: list[float] = []
    raw: dict[str, list[tuple[Window, float]]] = defaultdict(list)
    for number in range(effort.rounds):
        idle.append(machine.idle(effort.seconds))
        for name in figures.ROWS:
            window, seconds = _window(machine, name, folder, effort.seconds)
            raw[name].append((window, seconds))
            say(
                f"{machine.guests} domains, round {number + 1}: {name}: {statistics.median(window.cycles):.3f} s,"
                f" libvirtd {window.libvirtd * 1000:.0f} ms, own {window.own * 1000:.0f} ms"
            )
    rate = statistics.median(idle)
    return {
        name: figures.row([window._replace(qemus=window.qemus - rate * seconds) for window, seconds in windows])
        for name, windows in raw.items()
    }


def _window(machine: Machine, name: str, folder: Path, seconds: float) -> tuple[Window, float]:
    """One contestant's turn; returns what it used, QEMUs' idle use included, and the seconds of a cycle."""
    contestant = _contestant(machine, name, Path(tempfile.mkdtemp(dir=folder)) / "run")
    contestant.start()
    try:
        warm = len(await_cycles(contestant, contestant.warm_up))
        with machine.frozen(math.ceil(machine.guests / 10) if name == figures.STUCK else 0):
            if name == figures.STUCK:
                # The read it happens in, and the first that begins with it.
                warm = len(await_cycles(contestant, warm + 2))
            began = len(await_cycles(contestant, warm + 1))
            before = machine.use(contestant.pid)
            time.sleep(seconds)
            cycles = await_cycles(contestant, max(began + LEAST_CYCLES, len(contestant.cycles()) + 1))[began:]
            after = machine.use(contestant.pid)
            memory = processes.memory(contestant.pid)
    finally:
        contestant.stop()
    used = [processes.used(one, other) / len(cycles) for one, other in zip(before[1:], after[1:])]
    return Window(tuple(cycles), *used, *memory), (after.when - before.when) / len(cycles)


def _contestant(machine: Machine, name: str, folder: Path) -> Contestant:
    if name == figures.FLOOR:
        return Floor(machine.lab, folder)
    extra = contestants.EXTRA if name in (figures.C_EXTRA, figures.VIRT2_EXTRA) else ""
    if name in (figures.C_PLUGIN, figures.C_EXTRA):
        return Daemon(machine.lab, folder, contestants.c_plugin(extra), C_WARM_UP)
    return Daemon(machine.lab, folder, contestants.virt2(extra, disks=_disks(name)), VIRT2_WARM_UP)


def _disks(name: str) -> str:
    return "bulk" if name == figures.BULK else "each"


def count(
    machine: Machine, folder: Path, rows: Mapping[str, Row], extra: bool, say: Callable[[str], None]
) -> dict[str, Calls]:
    """The round trips that one cycle makes, read at an interval that leaves pauses; nothing is timed meanwhile.

    Arguments:
        rows: how long cycles take here.
        extra: with all ExtraStats too.
    """
    names = [figures.C_PLUGIN, figures.VIRT2, figures.BULK, *([figures.C_EXTRA, figures.VIRT2_EXTRA] if extra else [])]
    found: dict[str, Calls] = {}
    for name in names:
        interval = 1.0 + PAUSED * rows[name].wall.median
        selectors = contestants.EXTRA if name in (figures.C_EXTRA, figures.VIRT2_EXTRA) else ""
        if name in (figures.C_PLUGIN, figures.C_EXTRA):
            drop_in = contestants.c_plugin(selectors, interval)
        else:
            drop_in = contestants.virt2(selectors, interval, contestants.AT_ITS_INTERVAL, _disks(name))
        daemon = Daemon(machine.lab, Path(tempfile.mkdtemp(dir=folder)) / "run", drop_in, 0)
        with _relayed(machine) as calls:
            daemon.start()
            try:
                found[name] = wait_for(lambda calls=calls: steady(calls()), COUNT_TIMEOUT + 5 * interval)
            except TimeoutError:
                say(f"{machine.guests} domains: no two cycles of {name} were alike: not counted")
            finally:
                daemon.stop()
    return found


@contextmanager
def _relayed(machine: Machine) -> Iterator[Callable[[], list[Call]]]:
    with Relay(machine.lab, READ_ONLY) as main, Relay(machine.lab, ADMIN) as admin:
        yield lambda: sorted([*main.calls, *admin.calls])


def steady(calls: list[Call]) -> Calls | None:
    """The calls of a cycle, as soon as two were alike; the first is none, and the last may not be over.

    How often the admin socket is asked goes by the time a read takes: that may differ.
    """
    cycles = [Counter(call.name for call in burst) for burst in bursts(calls, APART)][1:-1]
    found = [cycle for cycle in cycles if not ONCE & cycle.keys()]
    alike = [Counter({name: count for name, count in cycle.items() if name != "admin"}) for cycle in found]
    return next((cycle for cycle, calls in zip(found, alike) if alike.count(calls) >= ALIKE), None)
