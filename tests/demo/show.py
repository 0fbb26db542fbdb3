"""The loop: log lines as they come, a table every interval, and what the story does in between."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tests.lab.collectd_daemon import Collectd

from .ages import Ages
from .overview import COLUMNS, Overview, Row
from .signals import Bell
from .stage import Stage
from .story import Story, preface, steps

EXPLANATION = (
    "The columns on the right are about each domain's CPU time as virt2 and as the C plugin virt report it: how old"
    " it is, and how many reads lacked it."
)


class View(Protocol):
    """What `plain.Plain` and `live.Live` do."""

    def say(self, words: str, clock: str) -> None: ...
    def log(self, line: str) -> None: ...
    def show(self, titles: Sequence[str], rows: Sequence[Row], clock: str) -> None: ...
    def redraw(self) -> None: ...


class Pace(NamedTuple):
    """Both in seconds."""

    interval: float
    length: float
    """Of the whole demo."""


class Show:
    """Everything that is shown.

    Arguments:
        daemon: the collectd with virt2, which runs.
        rival: the one with the C plugin; None where it is not to be seen.
        stage: where the story is played; None where domains are only watched.
    """

    def __init__(self, daemon: Collectd, rival: Collectd | None, stage: Stage | None, pace: Pace) -> None:
        self._daemon = daemon
        self._rival = rival
        self._stage = stage
        self._pace = pace
        self._overview = Overview(pace.interval)
        self._ages = [Ages("virt2", pace.interval), Ages("virt", pace.interval)] if rival else []
        self._logged = 0

    def run(self, view: View, bell: Bell) -> None:
        """Show it until the time is over, or a signal says so."""
        interval, length = self._pace
        began = time.monotonic()
        acts = self._stage.acts if self._stage else []
        story = Story(steps(acts, interval, length))
        for words in (preface(acts, interval, length), EXPLANATION if self._rival else ""):
            if words:
                view.say(words, _clock())
        row_at = interval
        while True:
            elapsed = time.monotonic() - began
            if bell.wait(min(row_at, story.next_at, length) - elapsed):
                view.redraw()
            if bell.is_over:
                return
            elapsed = time.monotonic() - began
            if elapsed >= min(row_at, length):
                self._row(view)
                row_at = elapsed + interval
            if elapsed >= length:
                return
            for step in story.due(elapsed):
                self._play(step.about, step.begins)
                view.say(step.words, _clock())

    def _play(self, about: str, begins: bool) -> None:
        assert self._stage is not None
        if begins:
            self._stage.begin(about)
        else:
            self._stage.end()

    def _row(self, view: View) -> None:
        for daemon in (self._daemon, self._rival):
            if daemon is not None and daemon.process.poll() is not None:
                raise SystemExit(f"collectd ended with {daemon.process.exit_code}:\n{daemon.output}{daemon.log}")
        log = self._daemon.log
        for line in log[self._logged :].splitlines():
            if "virt2" in line:
                view.log(line)
        self._logged = len(log)
        records = self._daemon.records.new()
        self._overview.add(records)
        if self._rival is not None:
            records += self._rival.records.new()
        for ages in self._ages:
            ages.add(records)
        now = time.time()
        titles = [*COLUMNS, *(title for ages in self._ages for title in ages.titles)]
        rows = [
            row._replace(cells=(*row.cells, *(cell for ages in self._ages for cell in ages.cells(row.host, now))))
            for row in self._overview.rows(now)
        ]
        view.show(titles, rows, _clock())


def _clock() -> str:
    return time.strftime("%H:%M:%S")
