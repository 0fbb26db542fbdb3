"""The real collectd, inside a lab, with everything it writes kept in files."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .records import MODULES, Records
from .waiting import wait_for

if TYPE_CHECKING:
    from .host import Host, HostProcess
    from .machine import Lab
    from .process import Process

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 20.0
"""Seconds until collectd has read its configuration and begins to read; a tenth of one when the machine is idle."""
STOP_TIMEOUT = 30.0
"""Seconds; above any exit a test would call slow, so that the test can say so itself."""
DATE_SUFFIX = len("-2024-01-31")
"""The csv plugin starts a file a day."""

CONFIG = """\
Hostname "collectd"
FQDNLookup false
Interval {interval:g}
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{folder}/collectd.log"
  Timestamp true
  PrintSeverity true
</Plugin>
{writer}
Include "{folder}/conf.d/*.conf"
"""

CSV_WRITER = """\
LoadPlugin csv
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates false
</Plugin>
"""

C_PLUGIN = """\
LoadPlugin virt
<Plugin virt>
  Connection "qemu:///system"
  {settings}
</Plugin>
"""
"""A drop-in that loads the C plugin with these settings."""

Identifier = tuple[str, str, str]
"""Host, plugin[-plugin instance], type[-type instance]."""
Point = tuple[float, tuple[float, ...]]
"""Time in seconds since the epoch, and the values in the order of the type's data sources."""


def python_module(name: str, settings: str = "", path: Path = ROOT) -> str:
    """A drop-in that loads a Python module into collectd and hands it its settings."""
    return f"""\
LoadPlugin python
<Plugin python>
  ModulePath "{path}"
  LogTraces true
  Import "{name}"
  <Module {name}>
    {settings}
  </Module>
</Plugin>
"""


class Collectd:
    """A collectd in the foreground; a context manager that starts and stops it.

    Arguments:
        lab: where it runs: in a lab, or on this host itself.
        folder: an existing folder of this collectd's own.
        drop_ins: name of a file in its include folder, ending in `.conf`, to the file's text.
        interval: seconds, the global one.
        record: write what `records` reads, instead of what `series` does. It has meta data, notifications and hosts
            whose names begin with a dot (the csv plugin refuses them), but its writer is Python inside the daemon.
    """

    def __init__(
        self,
        lab: Lab | Host,
        folder: str | Path,
        drop_ins: Mapping[str, str],
        interval: float = 1.0,
        record: bool = False,
    ) -> None:
        self._lab = lab
        self._folder = Path(folder).resolve()
        self._process: Process | HostProcess | None = None
        (self._folder / "conf.d").mkdir()
        (self._folder / "records").mkdir()
        self.records = Records(self._folder / "records")
        """With `record`: what was written, notifications included."""
        if record:
            writer = python_module("virt2_recorder", f'Folder "{self._folder}/records"', MODULES)
        else:
            writer = CSV_WRITER.format(folder=self._folder)
        text = CONFIG.format(folder=self._folder, interval=interval, writer=writer)
        (self._folder / "collectd.conf").write_text(text)
        for name, text in drop_ins.items():
            (self._folder / "conf.d" / name).write_text(text)

    def __enter__(self) -> Collectd:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process(self) -> Process | HostProcess:
        """The daemon that runs, or ran last."""
        if self._process is None:
            raise RuntimeError("collectd was not started")
        return self._process

    def start(self) -> None:
        """Start it and return when its read loop begins; what earlier runs wrote stays."""
        starts = self.log.count("entering read-loop")
        argv = ["collectd", "-f", "-C", str(self._folder / "collectd.conf")]
        self._process = self._lab.popen(argv, log=self._folder / "output")

        def reading() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"collectd ended with {self.process.exit_code}: {self.output}{self.log}")
            return self.log.count("entering read-loop") > starts

        try:
            wait_for(reading, START_TIMEOUT, "collectd reads")
        except TimeoutError:
            self.stop()
            raise

    def stop(self) -> float:
        """Send SIGTERM and return the seconds until it had ended; its exit code is in `process`."""
        return self.process.stop(STOP_TIMEOUT)

    @property
    def log(self) -> str:
        """All that was logged, of level info and above; notifications are in it too."""
        path = self._folder / "collectd.log"
        return path.read_text() if path.exists() else ""

    @property
    def output(self) -> str:
        """What it wrote to stdout and stderr: normally nothing after the start."""
        return (self._folder / "output").read_text()

    def series(self, host: str = "*") -> dict[Identifier, list[Point]]:
        """Everything written so far, of one host where one is named, oldest first; not with `record`."""
        found: dict[Identifier, list[Point]] = defaultdict(list)
        for path in sorted((self._folder / "csv").glob(f"{host}/*/*")):
            there, plugin, name = path.parts[-3:]
            points = found[there, plugin, name[:-DATE_SUFFIX]]
            with open(path, newline="") as file:
                rows = csv.reader(file)
                for row in rows:
                    # Two write threads that create a file at the same time both write its titles.
                    if row[0] == "epoch":
                        continue
                    points.append((float(row[0]), tuple(float(value) for value in row[1:])))
        return dict(found)
