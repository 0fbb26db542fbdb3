"""What is measured: collectd with one plugin or the other, and the floor. Each says how long its cycles took."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Protocol

from tests.lab import Collectd, Lab, Process, wait_for
from virt2.metrics.selectors import LIBVIRT_NAMES

PYTHON = "/usr/bin/python3"
"""The interpreter that collectd embeds: what is compared runs on the same."""
CYCLE_TIMEOUT = 120.0
"""Seconds for one cycle; two hundred guests and every selector take the C plugin a few."""
PAUSE = 0.001
"""Seconds, the interval that the C plugin is given: it reads again at once."""
MODULES = Path(__file__).parent / "collectd_modules"
ROOT = Path(__file__).parents[1]

C_SELECTORS = [
    "cpu_util",
    "disk",
    "disk_allocation",
    "disk_capacity",
    "disk_err",
    "disk_physical",
    "domain_state",
    "job_stats_background",
    "memory",
    "pcpu",
    "perf",
    "vcpu",
    "vcpupin",
]
"""ExtraStats of the C plugin, less two: fs_info needs an agent in the guests, and of both kinds of job_stats it takes
one at a time."""
EXTRA = " ".join(selector for selector in C_SELECTORS if selector in LIBVIRT_NAMES)
"""What both plugins have."""

AT_ITS_INTERVAL, BACK_TO_BACK, WARMED = "virt2", "virt2_back_to_back", "virt2_warmed"
"""What loads virt2 into collectd: itself, or a module in `MODULES` that says what it does."""

DISCARD = """\
PostCacheChain "discard"
<Chain "discard">
  <Target "stop">
  </Target>
</Chain>
"""
"""No writer gets anything: values go as far as collectd's cache, where both plugins' cost the same."""

TOOK = re.compile(r"\btook (\d+\.\d+)\b")
"""In the floor's output, and in the warning that collectd logs of every read that is longer than its interval."""


class Contestant(Protocol):
    """Something that cycles back to back."""

    warm_up: int
    """Cycles until one is like the other."""

    def start(self) -> None:
        """Begin to cycle."""

    def stop(self) -> None:
        """End it and clean up."""

    @property
    def pid(self) -> int:
        """Its process."""

    def cycles(self) -> list[float]:
        """The seconds that each cycle took so far."""


class Daemon:
    """A collectd with one plugin in it.

    Arguments:
        lab: with guests.
        folder: for what collectd writes; made, and removed by `stop`.
        drop_in: what loads the plugin; empty for a collectd with neither.
        warm_up: see `Contestant`.
    """

    def __init__(self, lab: Lab, folder: Path, drop_in: str, warm_up: int) -> None:
        self.warm_up = warm_up
        self._folder = folder
        folder.mkdir()
        self._collectd = Collectd(lab, folder, {"discard.conf": DISCARD, "plugin.conf": drop_in}, interval=10)

    def start(self) -> None:
        """Start collectd."""
        self._collectd.start()

    def stop(self) -> None:
        """Stop collectd and remove what it has written."""
        self._collectd.stop()
        shutil.rmtree(self._folder)

    @property
    def pid(self) -> int:
        """Of collectd."""
        return self._collectd.process.pid

    @property
    def log(self) -> str:
        """What it has logged, to be shown where it does not cycle."""
        return self._collectd.log

    def cycles(self) -> list[float]:
        """The seconds that each read took so far, rounded to milliseconds by collectd."""
        return [float(seconds) for seconds in TOOK.findall(self._collectd.log)]


class Floor:
    """The bare loop of `bench.floor`.

    Arguments:
        lab: with guests.
        folder: for its output; made, and removed by `stop`.
        interval: seconds between the starts of two cycles; 0 for cycles without a pause.
    """

    warm_up = 1

    def __init__(self, lab: Lab, folder: Path, interval: float = 0.0) -> None:
        self._lab = lab
        self._interval = interval
        self._folder = folder
        self._output = folder / "output"
        folder.mkdir()
        self._process: Process | None = None

    def start(self) -> None:
        """Start it."""
        self._process = self._lab.popen([PYTHON, "-m", "bench.floor", str(self._interval)], log=self._output)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop(CYCLE_TIMEOUT)
        shutil.rmtree(self._folder)

    @property
    def pid(self) -> int:
        """Of the Python that loops."""
        if self._process is None:
            raise RuntimeError("the floor was not started")
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    def cycles(self) -> list[float]:
        """The seconds that each cycle took so far."""
        return [float(seconds) for seconds in TOOK.findall(self.log)]


def c_plugin(extra: str = "", interval: float = PAUSE) -> str:
    """A drop-in that loads the C plugin."""
    selectors = f'ExtraStats "{extra}"' if extra else ""
    return f"""\
<LoadPlugin virt>
  Interval {interval:g}
</LoadPlugin>
<Plugin virt>
  Connection "qemu:///system"
  {selectors}
</Plugin>
"""


def virt2(extra: str = "", interval: float = 10.0, module: str = BACK_TO_BACK, disks: str = "each") -> str:
    """A drop-in that loads virt2: its own module, or one of those that make it read otherwise."""
    selectors = f'ExtraStats "{extra}"' if extra else ""
    return f"""\
LoadPlugin python
<Plugin python>
  ModulePath "{ROOT}"
  ModulePath "{MODULES}"
  Import "{module}"
  <Module virt2>
    Interval {interval:g}
    DiskStats "{disks}"
    {selectors}
  </Module>
</Plugin>
"""


def warmed_virt2(interval: float, threads: Path) -> str:
    """A drop-in that loads virt2 to read at its interval, warmed up by its first read.

    Arguments:
        interval: seconds.
        threads: a file that is written then and says which thread is which (see the module that does it).
    """
    return f"""\
{virt2(interval=interval, module=WARMED)}
<Plugin python>
  <Module {WARMED}>
    Threads "{threads}"
  </Module>
</Plugin>
"""


def await_cycles(contestant: Contestant, number: int) -> list[float]:
    """Wait until so many cycles are over; returns all that are."""
    try:
        return wait_for(
            lambda: cycles if len(cycles := contestant.cycles()) >= number else None, CYCLE_TIMEOUT * number
        )
    except TimeoutError:
        print(getattr(contestant, "log", ""), file=sys.stderr)
        raise
