"""Counters of the domains' tap devices, read off the host.

libvirt itself reads them there: it reads ``/proc/net/dev`` once for every device that it is asked for. It turns the
directions round, because what the host receives from a tap is what the guest has sent. One look at that file serves all
domains, takes no worker of libvirtd's, and goes on whatever is stuck. Where libvirtd lives in another network
namespace, or on another host, a device of the same name may be another one, and libvirt is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from virt2.model.replies import NicStats
from virt2.sources.daemon import Daemon
from virt2.sources.procfs import PROC


class HostInterfaces:
    """The host's network devices, if they are the ones libvirtd sees.

    Arguments:
        daemon: tells which libvirtd runs now. None where that is unknown, where it is not this host's, and where its
            driver is not QEMU's, because only that driver is known to count as described.
        proc: where procfs is mounted.
    """

    def __init__(self, daemon: Callable[[], Daemon | None], proc: str = PROC) -> None:
        self._daemon = daemon
        self._proc = proc
        self._checked: tuple[Daemon | None, str] = (None, "")
        """Which libvirtd was looked at, and why its devices are not ours. One value, because several threads read."""
        self.problem = ""
        """Why the last `read` did not use the host's devices, in words; empty where it did."""

    def __repr__(self) -> str:
        return f"<HostInterfaces problem={self.problem!r}>"

    def reconnected(self) -> None:
        """There is a new connection: libvirt's daemon may be another one, which may live elsewhere."""
        self._checked = (None, "")

    def read(self) -> Mapping[str, NicStats]:
        """Read the counters of every device by name, as a guest behind it sees them; empty where `problem` says why."""
        self.problem = self._look_for_difference()
        if self.problem:
            return {}
        try:
            with open(f"{self._proc}/net/dev", encoding="utf-8", errors="replace") as file:
                return dict(_counters(line) for line in file.readlines()[2:])
        except (OSError, ValueError):
            return {}

    def _look_for_difference(self) -> str:
        """Say why libvirtd's devices are not ours, in words; looks once for each libvirtd."""
        daemon = self._daemon()
        checked, difference = self._checked
        if daemon is None:
            # While it is away, the devices of the domains are where they were.
            return difference if checked is not None else "the process of libvirt's daemon cannot be seen here"
        if daemon != checked:
            try:
                own, its = (os.readlink(f"{self._proc}/{who}/ns/net") for who in ("self", daemon.pid))
            except OSError as error:
                difference = f"the network namespace of libvirt's daemon cannot be seen: {error.strerror}"
            else:
                difference = "" if own == its else "libvirt's daemon lives in another network namespace"
            self._checked = (daemon, difference)
        return difference


def _counters(line: str) -> tuple[str, NicStats]:
    """Read one line of ``/proc/net/dev``: a name, 8 fields of what was received, 8 of what was sent.

    The first four of each eight are bytes, packets, errors and drops (proc(5)).
    """
    name, _, rest = line.rpartition(":")
    fields = rest.split()
    received, sent = fields[:4], fields[8:12]
    return name.strip(), NicStats._make(map(int, (*sent, *received)))
