"""Thousands of reads while guests come and go, are retagged and get disks: what virt2 holds has to stay the same."""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import processes
from tests.lab import Collectd, Guest, Lab, RunningGuest, python_module, wait_for

INTERVAL = 0.1
"""Seconds between two reads: hundreds of times as often as usual, so that minutes stand for days."""
SEED = 1
FEWEST, MOST = 6, 14
"""Guests there are at a time."""
MOST_DISKS = 4
PAUSE = 0.5
"""Seconds between two changes at the most."""
SAMPLE_EVERY = 2.0
"""Seconds."""
STALLED = 60.0
"""Seconds without a read after which it is given up."""
SETTLED = 0.3
"""Part of the cycles after which nothing may grow any more: by then all workers are there, and memory has been as full
as it gets between two collections of garbage."""
MORE_MEMORY = 2.0
"""MiB between the middle of what follows and its last third: what an allocator strews about, less than 1 KiB a read."""
MORE_THREADS = 2
"""Workers that stand in for slow ones come and go."""
MORE_DESCRIPTORS = 4
"""Two for each of these: a socket and a way to wake who waits for it."""

WRITE_READS = """\
LoadPlugin match_regex
PostCacheChain "reads"
<Chain "reads">
  <Rule>
    <Match "regex">
      Type "^duration$"
      TypeInstance "^read$"
    </Match>
    <Target "write">
      Plugin "csv"
    </Target>
  </Rule>
  <Target "stop">
  </Target>
</Chain>
"""
"""Of all values only how long reads took is written: a point for every read."""


class Sample(NamedTuple):
    """What collectd holds after so many reads."""

    cycle: int
    rss: float
    """MiB"""
    threads: int
    descriptors: int


class Churn:
    """Changes one thing at a time, at random, and the same in every run."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._random = random.Random(SEED)
        self._started = 0
        self._guests: list[RunningGuest] = []
        for _ in range(FEWEST):
            self._start()

    def change(self) -> None:
        """Change something, then pause."""
        choices = [self._retag]
        if len(self._guests) < MOST:
            choices.append(self._start)
        if len(self._guests) > FEWEST:
            choices.append(self._stop)
        if any(len(guest.disks) < MOST_DISKS for guest in self._guests):
            choices.append(self._plug)
        self._random.choice(choices)()
        time.sleep(self._random.uniform(0, PAUSE))

    def _start(self) -> None:
        # Never a name again: what is kept of a name would be found only if it came back.
        spec = Guest(f"guest-{self._started}", tag=self._tag(), disks=self._random.randint(1, 2))
        self._started += 1
        self._guests.append(self._lab.guest(spec))

    def _stop(self) -> None:
        self._guests.pop(self._random.randrange(len(self._guests))).stop()

    def _retag(self) -> None:
        self._random.choice(self._guests).retag(self._tag())

    def _plug(self) -> None:
        self._random.choice([guest for guest in self._guests if len(guest.disks) < MOST_DISKS]).plug_disk()

    def _tag(self) -> str:
        return f"tag-{self._random.randrange(1000)}"


def run(lab: Lab, folder: Path, cycles: int, say: Callable[[str], None] = lambda text: None) -> list[Sample]:
    """Let so many reads go by while guests change; returns what collectd held on the way."""
    churn = Churn(lab)
    drop_ins = {
        "reads.conf": WRITE_READS,
        "virt2.conf": python_module("virt2", f"Interval {INTERVAL:g}\nTimeout {INTERVAL:g}\nInstances 2"),
    }
    samples: list[Sample] = []
    with Collectd(lab, folder, drop_ins, interval=1) as daemon:
        pid = daemon.process.pid
        wait_for(lambda: _reads(daemon), STALLED, "virt2 reads")
        next_sample = advanced = time.monotonic()
        while not samples or samples[-1].cycle < cycles:
            churn.change()
            if time.monotonic() < next_sample:
                continue
            next_sample += SAMPLE_EVERY
            cycle = _reads(daemon)
            if samples and cycle > samples[-1].cycle:
                advanced = time.monotonic()
            if time.monotonic() - advanced > STALLED:
                raise TimeoutError(f"no read for {STALLED:g} s: {daemon.log[-2000:]}")
            samples.append(
                Sample(cycle, processes.memory(pid).rss / 1024, processes.threads(pid), processes.descriptors(pid))
            )
            say(f"{cycle} cycles: {samples[-1].rss:.1f} MiB, {samples[-1].threads} threads")
        if "Traceback" in daemon.log or "[error]" in daemon.log:
            raise RuntimeError(f"virt2 failed: {daemon.log[-4000:]}")
    return samples


def _reads(daemon: Collectd) -> int:
    return len(daemon.series("collectd").get(("collectd", "virt2-0", "duration-read"), []))


def growth(samples: Sequence[Sample]) -> list[str]:
    """What grew after all had settled, in words; nothing where memory, threads and descriptors stayed the same."""
    settled = [sample for sample in samples if sample.cycle >= SETTLED * samples[-1].cycle]
    third = max(1, len(settled) // 3)
    early, late = settled[:third], settled[-third:]
    memory = statistics.median(sample.rss for sample in late) - statistics.median(sample.rss for sample in early)
    threads = max(sample.threads for sample in late) - max(sample.threads for sample in early)
    descriptors = max(sample.descriptors for sample in late) - max(sample.descriptors for sample in early)
    found = []
    if memory > MORE_MEMORY:
        found.append(f"memory by {memory:.1f} MiB")
    if threads > MORE_THREADS:
        found.append(f"threads by {threads}")
    if descriptors > MORE_DESCRIPTORS:
        found.append(f"descriptors by {descriptors}")
    return found


def main(plot: Path, cycles: int) -> int:
    """Soak in a lab of its own and plot it; 1 where something grew."""
    from bench import plots

    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        for name in ("lab", "collectd"):
            Path(folder, name).mkdir()
        with Lab(Path(folder, "lab")) as lab:
            samples = run(lab, Path(folder, "collectd"), cycles, lambda text: print(text, file=sys.stderr, flush=True))
    plots.soak([sample._asdict() for sample in samples], plot)
    grown = growth(samples)
    print(f"{samples[-1].cycle} cycles: " + ("grew: " + ", ".join(grown) if grown else "nothing grew"))
    return int(bool(grown))
