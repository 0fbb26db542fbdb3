"""This host itself, where a lab would do: just enough of one to run a collectd that ends with us."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

TIMEOUT = 5.0
"""Seconds for a healthy libvirtd to list its domains: far more than it takes with hundreds of them."""


class HostProcess:
    """What `process.Process` is in a lab."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    @property
    def pid(self) -> int:
        """The process's."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """Negative for the signal that ended it; None while it runs."""
        return self.poll()

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._popen.poll()

    def stop(self, timeout: float) -> float:
        """Ask it to end and return the seconds it took; one that does not is killed, and an error."""
        began = time.monotonic()
        self._popen.terminate()
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise
        return time.monotonic() - began


class Host:
    """Starts commands as `Lab` does, but on this host."""

    def popen(self, argv: Sequence[str], log: Path) -> HostProcess:
        """Start a command that is killed when the thread that calls this ends."""
        argv = ["setpriv", "--pdeathsig", "TERM", *argv]
        with open(log, "ab") as output:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        return HostProcess(process)


def has_domains() -> bool:
    """Whether this host's libvirtd has active domains, or is there but does not answer: both are worth watching."""
    argv = ["virsh", "--readonly", "--quiet", "--connect", "qemu:///system", "list", "--name"]
    try:
        listing = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return True
    return listing.returncode == 0 and bool(listing.stdout.strip())
