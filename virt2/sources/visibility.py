"""What cannot be seen of this host's domains without asking libvirt, and what that costs: each said once."""

from __future__ import annotations

import logging

from virt2 import threads
from virt2.once import Once
from virt2.sources.daemon import Place
from virt2.sources.netdev import HostInterfaces
from virt2.sources.procfs import Processes

log = logging.getLogger(__name__)


class Visibility:
    """Looks once for each connection whether processes and network devices of domains can be seen.

    Arguments:
        place: where the libvirt of the connection runs.
        processes: how the domains' processes are looked at; None where they are not.
        interfaces: how the counters of network devices are read.
    """

    def __init__(self, place: Place, processes: Processes | None, interfaces: HostInterfaces) -> None:
        self._place = place
        self._processes = processes
        self._interfaces = interfaces
        self._is_checked = False
        self._once = Once()

    def __repr__(self) -> str:
        return f"<Visibility checked={self._is_checked}>"

    def announce(self) -> None:
        """Say at start what is not looked at, because libvirt is elsewhere or of another kind."""
        if self._place.reason:
            log.info(
                "%s: so processes and network devices of this host are not looked at. CPU time and interfaces are asked"
                " of libvirt, one call each; a domain whose process is stopped is found out only by a call that does"
                " not come back; and while libvirt's list hangs, domains that are new are not found",
                self._place.reason,
            )

    def reconnected(self) -> None:
        """There is a new connection: what can be seen may have changed. It is said again only where it has."""
        self._is_checked = False

    def check(self) -> None:
        """Look, once there is a domain; does nothing where that was done."""
        if self._is_checked:
            return
        self._is_checked = True
        try:
            # On a thread of its own, because the kernel may keep whoever reads a command line waiting.
            threads.start("virt2/look", self._look)
        except RuntimeError as error:
            log.warning("what cannot be seen of this host is not found out: no thread can be started: %s", error)

    def _look(self) -> None:
        problem = self._processes.problem() if self._processes is not None else ""
        if problem and self._once.first(problem):
            log.warning(
                "the QEMUs of the domains cannot be seen: %s; their CPU time is asked of libvirt, one call each, and"
                " one that is stopped is found out only by a call that does not come back, and holds one of libvirtd's"
                " workers then; let collectd see them, or set HostPreScan false",
                problem,
            )
        self._interfaces.read()
        problem = self._interfaces.problem
        if problem and self._place.qemu_run_dir and self._once.first(problem):
            log.info("counters of interfaces are asked of libvirt, one call each, not read off this host: %s", problem)
