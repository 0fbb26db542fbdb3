"""The rounds: every contestant in turn, again and again, on the same guests."""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
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
APART = 0.2
"""Seconds without a call that part one cycle from the next where they are counted."""
ALIKE = 3
"""Cycles with the same calls after which they are taken for what every one makes."""
SETTLE_TIMEOUT = 60.0
"""Seconds for that."""


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
    return Daemon(machine.lab, folder, contestants.virt2(extra), VIRT2_WARM_UP)


def count(machine: Machine, folder: Path) -> dict[str, Calls]:
    """The round trips that one cycle makes, read at an interval that leaves pauses; nothing is timed meanwhile."""
    interval = 1.0 + machine.guests / 100
    found: dict[str, Calls] = {}
    for name, drop_in in (
        (figures.C_PLUGIN, contestants.c_plugin(interval=interval)),
        (figures.VIRT2, contestants.virt2(interval=interval, back_to_back=False)),
        (figures.C_EXTRA, contestants.c_plugin(contestants.EXTRA, interval)),
        (figures.VIRT2_EXTRA, contestants.virt2(contestants.EXTRA, interval, back_to_back=False)),
    ):
        with _relayed(machine) as calls:
            daemon = Daemon(machine.lab, Path(tempfile.mkdtemp(dir=folder)) / "run", drop_in, 0)
            daemon.start()
            try:
                found[name] = wait_for(lambda calls=calls: _steady(calls()), SETTLE_TIMEOUT + 10 * interval)
            finally:
                daemon.stop()
    return found


@contextmanager
def _relayed(machine: Machine) -> Iterator[Callable[[], list[Call]]]:
    with Relay(machine.lab, READ_ONLY) as main, Relay(machine.lab, ADMIN) as admin:
        yield lambda: sorted([*main.calls, *admin.calls])


def _steady(calls: list[Call]) -> Calls | None:
    """The calls of a cycle, once some in a row were alike; the last one may not be over."""
    cycles = [Counter(call.name for call in burst) for burst in bursts(calls, APART)][:-1]
    last = cycles[-ALIKE:]
    return last[0] if len(last) == ALIKE and last.count(last[0]) == ALIKE else None
