"""Performs a schedule in a lab, and tells all that is known of it afterwards."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.lab import Lab

from .clients import Clients
from .daemon import Daemon
from .expectations import expect
from .faults import FAULTS, Stage
from .invariants import Findings, examine
from .journal import Journal
from .model import INTERVAL, RECOVERY, Action, Life, Line, Story
from .population import Population
from .schedule import COLLECTD, KINDS, LIBVIRTD, Schedule
from .truth import Readings
from .watch import Watch
from .witness import Witness

LINE = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\] (.*)$")
"""A line of collectd's log, with its time."""
LOOK = 0.1
"""Seconds between two looks whether all parts are well."""
OVERTIME = 300.0
"""Seconds after the schedule's end for what still holds an action back."""
QUIET = RECOVERY + 3 * INTERVAL
"""Seconds at the end after the last action was over: for recovery, and some reads."""


GUESTS: Mapping[str, str] = {
    f"{storage or 'solid'}-{number}": storage for number in range(1, 5) for storage in ("alpha", "beta", "")
}
"""Four guests on each of two storages that can hang, and four on one that cannot, by name."""


def play(
    lab: Lab,
    folder: Path,
    schedule: Schedule,
    from_kernel: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[Story, Findings]:
    """Perform a schedule with `GUESTS`, and look at everything that was written. Raises `Failed`.

    Arguments:
        lab: without guests.
        folder: an existing one, for collectd.
        from_kernel: see `expectations.effects`.
        say: is told what happens, in words.
    """
    performance = Performance(lab, folder, schedule, GUESTS, say)
    story = performance.perform()
    return story, examine(story, expect(story, from_kernel), performance.readings)


class Failed(Exception):
    """The run itself failed, so it says nothing of virt2."""


class Performance:
    """One run.

    Arguments:
        lab: without guests.
        folder: an existing one, for collectd.
        schedule: what is to happen.
        guests: the storage of each guest by name; empty for storage that never hangs.
        say: is told what happens, in words.
    """

    def __init__(
        self,
        lab: Lab,
        folder: Path,
        schedule: Schedule,
        guests: Mapping[str, str],
        say: Callable[[str], None],
    ) -> None:
        self._lab = lab
        self._schedule = schedule
        self._guests = guests
        self._say = say
        self._journal = Journal()
        self._clients = Clients(lab, self._journal)
        self._witness = Witness(Path("/proc", str(lab.outer_pid(1)), "net", "dev"))
        self._daemon = Daemon(lab, folder, schedule.readers)
        self._watch = Watch(lab.uri, lambda: self._daemon.pid)
        self._failures: list[str] = []
        self._locks = {name: threading.Lock() for name in {*guests.values(), LIBVIRTD, COLLECTD} - {""}}
        """For each storage, for libvirtd and for collectd: the right to do something to it."""
        storages = {name: lab.storage(name) for name in sorted({*guests.values()} - {""})}
        population = Population(lab, storages, self._clients, self._journal, self._witness)
        self._stage = Stage(lab, storages, population, self._clients, self._witness, self._daemon)

    def perform(self) -> Story:
        """Do all of it; returns when everything is healed and collectd has ended. Raises `Failed`."""
        population = self._stage.population
        with self._witness.watching(), population.kept(self._guests):
            self._daemon.start()
            try:
                with self._watch.watching():
                    began, calms = self._act()
                ended = time.time()
            finally:
                self._daemon.stop()
            # What was written last needs readings after it.
            time.sleep(INTERVAL)
        if self._failures:
            raise Failed("\n".join(self._failures))
        return Story(
            began=began,
            ended=ended,
            calms=calms,
            deeds=self._journal.deeds(),
            lives=population.lives(),
            runs=self._daemon.runs,
            visits=self._journal.visits(),
            held=self._watch.held,
            usage=self._watch.usage,
            log=lines(self._daemon.collectd.log),
            series=self._daemon.collectd.series(),
            stalls=self._witness.stalls(),
        )

    def readings(self, life: Life, name: str) -> Readings:
        """What was seen of a series of a life, by type and type instance."""
        return self._witness.readings(life, name)

    def _act(self) -> tuple[float, list[tuple[float, float]]]:
        """Do what the schedule says; returns when it began, and when nothing was going on."""
        began, begin = time.time(), time.monotonic()
        threads = []
        for action in self._schedule.actions:
            self._wait(begin + action.begin)
            thread = threading.Thread(target=self._do, args=(action, begin), name=f"chaos/{action.kind}", daemon=True)
            thread.start()
            threads.append(thread)
        deadline = begin + self._schedule.seconds + OVERTIME
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() > deadline:
                stuck = [thread.name for thread in threads if thread.is_alive()]
                raise Failed(f"these do not end: {', '.join(stuck)}")
            self._wait(time.monotonic() + LOOK)
        self._wait(max(begin + self._schedule.seconds, time.monotonic() + QUIET))
        calms = [(began + start, began + end) for start, end in self._schedule.calms]
        # The last one lasts until now, also where something took longer than planned.
        return began, [*calms[:-1], (calms[-1][0], time.time())]

    def _wait(self, until: float) -> None:
        while True:
            self._check()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, LOOK))

    def _check(self) -> None:
        self._witness.check()
        self._watch.check()
        self._stage.population.check()
        if self._failures:
            raise Failed("\n".join(self._failures))
        if self._stage.ending.acquire(blocking=False):
            try:
                code = self._lab.libvirtd.poll()
            finally:
                self._stage.ending.release()
            if code is not None:
                raise Failed(f"libvirtd ended by itself, with {code}")
        code = self._daemon.exit_code()
        if code is not None:
            raise Failed(f"collectd ended by itself, with {code}")

    def _do(self, action: Action, begin: float) -> None:
        words = f"{action.kind} {' '.join(action.targets)} {action.detail}"
        try:
            with self._alone(action):
                deed = self._journal.begin(action.kind, action.targets, action.detail)
                self._say(f"{time.monotonic() - begin:7.1f} s  begins  {words}")
                with FAULTS[action.kind](self._stage, action, deed):
                    time.sleep(max(0.0, begin + action.end - time.monotonic()))
                    deed.undoing = min(deed.undoing, time.time())
                deed.ended = time.time()
                words = f"{words} {deed.note}"
        except BaseException as error:
            self._failures.append(f"{action}: {error!r}")
        self._say(f"{time.monotonic() - begin:7.1f} s  ended   {words}")

    @contextlib.contextmanager
    def _alone(self, action: Action) -> Iterator[None]:
        """Wait until what was done before to the same storage, or to libvirtd, is undone: that may take its time."""
        with contextlib.ExitStack() as stack:
            # In one order for all, so that two of them never wait for each other.
            for name in sorted(self._locks.keys() & {*action.targets, KINDS[action.kind].resource}):
                if not self._locks[name].acquire(timeout=OVERTIME):
                    raise TimeoutError(f"what is done to {name} is not undone")
                stack.callback(self._locks[name].release)
            yield


def lines(log: str) -> list[Line]:
    """The lines of a log, each with its time; what has none is part of the line before it."""
    found: list[Line] = []
    for text in log.splitlines():
        match = LINE.match(text)
        if match is not None:
            when = time.mktime(time.strptime(match[1], "%Y-%m-%d %H:%M:%S"))
            found.append(Line(when, match[2]))
        elif found:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{text}")
    return found
