"""A thousand domains, by simulation: more than memory bears as guests. See README.md here, and `bench.simulated`."""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import report
from bench.figures import Spread, Verdict, spread
from bench.simulated import latencies
from bench.simulated.host import SimulatedHost
from bench.simulated.subject import Measured, OneRead

FEW, MANY = 200, 1000
ROUNDS = 2
READS = 8
"""In each window."""
PAUSE = 0.2
"""Seconds between two reads that follow one another."""
INTERVAL = 10.0
"""Seconds between two reads as on a host: all of a minute is among so many reads, in which all is described again."""
LONG = 10.0
"""Seconds that a read may take where it is not to be cut short."""
SHORT_PART = 0.25
"""Part of the time that a whole read takes, which is given to reads that are to be too short."""
SHORT_READS = 24
TIMEOUT = 600.0
"""Seconds for one window."""


class Window(NamedTuple):
    """Reads of virt2, or cycles of the bare loop."""

    took: Sequence[float]
    """Seconds, of each."""
    rss: int
    """KiB"""


class Limited(NamedTuple):
    """Reads whose time was limited."""

    timeout: float
    """Seconds that a read may take."""
    reads: Sequence[OneRead]

    @property
    def left_out(self) -> int:
        """The most domains that there was no time for in one read."""
        return max(len(read.left_out) for read in self.reads)

    @property
    def longest_wait(self) -> int:
        """In how many reads in a row each domain was asked at least once."""
        return longest_wait([read.left_out for read in self.reads])

    @property
    def fair_wait(self) -> int:
        """In how many it should be: n domains where each read has time for k of them take n/k reads, rounded up."""
        least = min(read.domains - len(read.left_out) for read in self.reads)
        return math.ceil(self.reads[0].domains / max(1, least))


class Scale(NamedTuple):
    """What was measured at one number of domains."""

    bare: Spread
    """Seconds of a cycle of the bare loop."""
    virt2: Spread
    """Seconds of a read."""
    cpu: Spread
    """Seconds of CPU of virt2's process in a read."""
    bare_rss: float
    """KiB"""
    rss: float
    """KiB"""
    at_interval: Limited
    """Reads as on a host, with the time that they have by default."""
    short: Limited
    """Reads that do not have time for all."""


def longest_wait(left_out: Sequence[Sequence[int]]) -> int:
    """In how many reads in a row each domain was asked at least once, given whom each read has left out."""
    waiting: dict[int, int] = {}
    longest = 0
    for numbers in left_out:
        waiting = {number: waiting.get(number, 0) + 1 for number in numbers}
        longest = max([longest, *waiting.values()])
    return longest + 1


def verdicts(sizes: Mapping[int, Scale]) -> list[Verdict]:
    """Hold everything against what is promised."""
    few, many = sizes[FEW], sizes[MANY]

    def growth(field: str) -> float:
        return getattr(many, field).median / MANY / (getattr(few, field).median / FEW)

    late = many.at_interval.left_out
    waits = max(limited.longest_wait / limited.fair_wait for limited in (many.at_interval, many.short))
    return [
        Verdict(
            f"growth of the wall time per domain from {FEW} to {MANY} domains, to the bare loop's growth",
            1.10,
            growth("virt2") / growth("bare"),
        ),
        Verdict(f"domains left out of a read of {MANY} every {INTERVAL:g} s", 0.0, float(late), digits=0),
        Verdict("reads until every domain was asked, to n/k rounded up", 1.0, waits),
    ]


def run(folder: Path, say: Callable[[str], None]) -> dict[int, Scale]:
    """Measure with few domains and with many, each in a host of its own."""
    found = {}
    for size in (FEW, MANY):
        say(f"making a host of {size} domains")
        (folder / str(size)).mkdir()
        with SimulatedHost(folder / str(size), size) as host:
            found[size] = measure(host, say)
    return found


def measure(host: SimulatedHost, say: Callable[[str], None]) -> Scale:
    """Measure with as many domains as a host has."""
    bare, ours = [], []
    cpu: list[float] = []
    for number in range(ROUNDS):
        for name in ("bare loop", "virt2"):
            if name == "virt2":
                measured = subject(host, READS, LONG, LONG, PAUSE)
                ours.append(Window([read.took for read in measured.reads], measured.rss))
                cpu += [read.cpu for read in measured.reads]
            else:
                took, rss = host.measure("bare", READS, PAUSE, timeout=TIMEOUT)
                bare.append(Window(took, rss))
            window = (ours if name == "virt2" else bare)[-1]
            say(f"{host.domains} domains, round {number + 1}: {name}: {statistics.median(window.took):.3f} s")
    short = max(0.05, SHORT_PART * statistics.median(took for window in ours for took in window.took))
    limited = {}
    for name, arguments in (("every 10 s", (READS, INTERVAL, 0.0)), ("too short", (SHORT_READS, LONG, short, PAUSE))):
        measured = subject(host, *arguments)
        limited[name] = one = Limited(measured.timeout, measured.reads)
        say(
            f"{host.domains} domains, {name}: {max(read.took for read in one.reads):.3f} s of {one.timeout:.2f} at the"
            f" most; {one.left_out} left out at the most; all asked in {one.longest_wait} reads (fair: {one.fair_wait})"
        )
    return Scale(
        bare=_all(bare),
        virt2=_all(ours),
        cpu=spread(cpu),
        bare_rss=statistics.median(window.rss for window in bare),
        rss=statistics.median(window.rss for window in ours),
        at_interval=limited["every 10 s"],
        short=limited["too short"],
    )


def subject(host: SimulatedHost, *arguments: float) -> Measured:
    """Let virt2 read; the arguments are those of `bench.simulated.subject`, without the number of domains."""
    reads, rss, timeout = host.measure("subject", *arguments, timeout=TIMEOUT)
    return Measured([OneRead(*read) for read in reads], rss, timeout)


def _all(windows: Sequence[Window]) -> Spread:
    return spread([took for window in windows for took in window.took])


def table(sizes: Mapping[int, Scale]) -> list[Sequence[str]]:
    """Reads without a limit of time, the titles first."""
    lines: list[Sequence[str]] = [("domains", "", "wall, ms", "per domain, ms", "own CPU, ms", "RSS, MiB")]
    for size, scale in sizes.items():
        for name, wall, cpu, rss in (
            ("virt2", scale.virt2, report.milliseconds(scale.cpu), scale.rss),
            ("bare loop", scale.bare, "", scale.bare_rss),
        ):
            each = f"{wall.median * 1000 / size:.3f}"
            lines.append((str(size), name, report.milliseconds(wall), each, cpu, f"{rss / 1024:.1f}"))
    return lines


def limited_table(sizes: Mapping[int, Scale]) -> list[Sequence[str]]:
    """Reads whose time is limited, the titles first."""
    lines: list[Sequence[str]] = [
        ("domains", "", "time, s", "longest, s", "left out, most", "left out, median", "asked within, reads", "n/k")
    ]
    for size, scale in sizes.items():
        for name, limited in ((f"every {INTERVAL:g} s", scale.at_interval), ("too short", scale.short)):
            middle = statistics.median(len(read.left_out) for read in limited.reads)
            longest = max(read.took for read in limited.reads)
            numbers = (f"{limited.timeout:.2f}", f"{longest:.2f}", str(limited.left_out), f"{middle:g}")
            lines.append((str(size), name, *numbers, str(limited.longest_wait), str(limited.fair_wait)))
    return lines


def memory(sizes: Mapping[int, Scale]) -> tuple[float, float]:
    """KiB that each further domain takes: in virt2's process, and in that of the bare loop."""
    few, many = sizes[FEW], sizes[MANY]
    return (many.rss - few.rss) / (MANY - FEW), (many.bare_rss - few.bare_rss) / (MANY - FEW)


def markdown(sizes: Mapping[int, Scale], origin: str, host: Sequence[str]) -> str:
    """The page bench/scale.md."""
    ours, bare = memory(sizes)
    return (
        "\n\n".join(
            [
                "# Results of scripts/bench --scale",
                "Written by the run; how each figure comes about is told in [README.md](README.md). The median, and in"
                " brackets the least and the greatest.",
                "\n".join(f"* {line}" for line in (*host, f"calls take what was recorded: {origin}")),
                "## What is promised",
                report.markdown_table(report.verdict_table(verdicts(sizes))),
                "## Reads that may take their time",
                report.markdown_table(table(sizes)),
                f"Each domain beyond {FEW} takes {ours:.1f} KiB in virt2's process, and {bare:.1f} KiB in that of the"
                " bare loop, which knows the simulated domains as well. Values in collectd's cache are not in it.",
                "## Reads whose time is limited",
                report.markdown_table(limited_table(sizes)),
            ]
        )
        + "\n"
    )


def main(output: Path, host: Sequence[str], say: Callable[[str], None]) -> int:
    """Measure, and write the page; 1 where a promise was missed."""
    origin = latencies.load(latencies.FILE.read_text()).origin
    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        sizes = run(Path(folder), say)
    found = verdicts(sizes)
    print("\n\n".join(map(report.plain, [table(sizes), limited_table(sizes), report.verdict_table(found)])))
    output.mkdir(parents=True, exist_ok=True)
    (output / "scale.md").write_text(markdown(sizes, origin, host), encoding="utf-8")
    return int(any(verdict.reached is False for verdict in found))
