"""A host of its own for the simulation: a lab, whose libvirtd is the simulated one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.contestants import PYTHON
from bench.simulated import libvirtd, qemus
from tests.lab import Lab, Process, wait_for

START_TIMEOUT = 120.0
"""Seconds until a thousand processes and two thousand devices are there; a tenth of that is usual."""


class SimulatedHost(Lab):
    """A host with so many domains.

    Arguments:
        work_dir: as of `Lab`.
        domains: how many there are.
    """

    down_timeout = 300.0
    """A thousand processes and two thousand devices take the kernel more than half a minute."""

    def __init__(self, work_dir: str | Path, domains: int) -> None:
        super().__init__(work_dir)
        self.domains = domains

    def start_libvirtd(self) -> None:
        """Start what stands in for the QEMUs, and then what stands in for libvirtd."""
        said = self.work_dir / "qemus.log"
        there = self._begin("qemus", said)
        wait_for(lambda: _alive(there, said) and qemus.READY in said.read_text(), START_TIMEOUT, "the processes run")
        said = self.work_dir / "libvirtd.log"
        self._libvirtd = self._begin("libvirtd", said)
        pid_file = self.inside(libvirtd.PID_FILE)
        wait_for(lambda: _alive(self.libvirtd, said) and pid_file.exists(), START_TIMEOUT, "libvirtd answers")

    def measure(self, module: str, *arguments: object, timeout: float) -> Any:
        """Run a module of this package that prints what it has measured as its last line, and give that."""
        argv = [PYTHON, "-m", f"bench.simulated.{module}", str(self.domains), *map(str, arguments)]
        return json.loads(self.run(argv, timeout).splitlines()[-1])

    def _begin(self, module: str, log: Path) -> Process:
        return self.popen([PYTHON, "-m", f"bench.simulated.{module}", str(self.domains)], log)


def _alive(process: Process, said: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"{process!r} has ended: {said.read_text()}")
    return True
