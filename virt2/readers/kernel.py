"""What the kernel tells of one reader's domains without asking libvirt: what their processes use, and why they stop.

libvirt itself reads both where they are read here, so that values agree whoever reads them. Only processes that are
known to be a domain's own count (see `virt2.sources.procfs`): by pid, start time, and the UUID on the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from virt2.model.domain import Domain
from virt2.model.replies import Account, CpuTimes
from virt2.readers.context import CLOCKS, Clocks


class Processes(Protocol):
    """The QEMUs of the domains (see `virt2.sources.procfs.Processes`)."""

    def account(self, uuid: str) -> Account | None:
        """What a domain's process has used, where the process is known; None where it is not. Does not block."""

    def cpu_times(self, uuid: str) -> CpuTimes | None:
        """A domain's CPU time in user and in kernel mode, where its process is known. Does not block."""

    def state(self, uuid: str) -> str:
        """T or D where the main thread of a domain's known process will not answer now; else empty. Does not block."""

    def has_ended(self, uuid: str, name: str) -> bool:
        """Whether a domain's process was known and has ended, and no other one was started. Does not block."""

    def pid(self, uuid: str, name: str) -> int | None:
        """Find a domain's process; None where it cannot be seen. May block."""

    def host_cpus(self) -> int:
        """How many CPUs of the host are active; 0 where that is not known."""


class Reading(NamedTuple):
    """What the kernel said of a domain's process."""

    taken: float
    """The time before it was read, monotonic seconds."""
    time: float
    """The same moment as wall time."""
    account: Account
    times: CpuTimes | None = None
    """CPU time in user and in kernel mode, as libvirt counts it; None where nobody wants it, or it cannot be read."""


class Kernel:
    """The readings of one reader's domains in one read.

    Arguments:
        processes: the QEMUs of the domains; None where they are not seen from here.
        clocks: of the time before each reading.
        wants_times: tells by UUID whether CPU time in user and in kernel mode is wanted.
    """

    def __init__(
        self,
        processes: Processes | None = None,
        clocks: Clocks = CLOCKS,
        wants_times: Callable[[str], bool] = lambda uuid: False,
    ) -> None:
        self._processes = processes
        self._wants_times = wants_times
        self._clock, self._wall = clocks
        self._readings: dict[str, Reading] = {}
        self._asleep: set[str] = set()
        """Domains whose process was found in uninterruptible sleep in this read."""
        self._asleep_before: set[str] = set()
        """The same of the read before."""

    def __repr__(self) -> str:
        return f"<Kernel readings={len(self._readings)}>"

    def begin(self, domains: Iterable[Domain]) -> None:
        """Begin a read: forget the readings of the one before, and read the accounts of these domains."""
        self._readings = {}
        self._asleep_before, self._asleep = self._asleep, set()
        self.read(domains)

    def read(self, domains: Iterable[Domain]) -> None:
        """Read the accounts of those of these domains that have none in this read. Does not block."""
        if self._processes is None:
            return
        # One time for all: together they take milliseconds.
        taken, wall, readings = self._clock(), self._wall(), self._readings
        for domain in domains:
            uuid = domain.uuid
            if uuid not in readings:
                account = self._processes.account(uuid)
                if account is not None:
                    times = self._processes.cpu_times(uuid) if self._wants_times(uuid) else None
                    readings[uuid] = Reading(taken, wall, account, times)

    def host_cpus(self) -> int:
        """How many CPUs of the host are active; 0 where that is not known."""
        return 0 if self._processes is None else self._processes.host_cpus()

    def of(self, uuid: str) -> Reading | None:
        """The reading of a domain in this read; None where there is none."""
        return self._readings.get(uuid)

    def find(self, domain: Domain) -> Reading | None:
        """Look for the process of a domain that has no reading, and read its account; None where it cannot be seen.

        It may block. So it is for workers.
        """
        if self._processes is None or self._processes.pid(domain.uuid, domain.name) is None:
            return None
        self.read([domain])
        return self.of(domain.uuid)

    def stopped(self, domain: Domain) -> str:
        """T where a domain's process is stopped, D where two reads find it in uninterruptible sleep; otherwise empty.

        A healthy process sleeps like that for a moment, so the read before has to have found the same. Does not block.
        """
        letter = "" if self._processes is None else self._processes.state(domain.uuid)
        if letter != "D":
            return letter
        self._asleep.add(domain.uuid)
        return letter if domain.uuid in self._asleep_before else ""

    def has_ended(self, domain: Domain) -> bool:
        """Whether a domain's process is seen to have ended. libvirt may still list the domain then."""
        return self._processes is not None and self._processes.has_ended(domain.uuid, domain.name)


class Host(NamedTuple):
    """What is read off this host in a read: libvirt is not asked for it."""

    interfaces: Callable[[], Collection[str]] = tuple
    """Names of the devices whose counters were read."""
    kernel: Kernel = Kernel()
    """What the domains' processes have used. One without processes never has a reading, so it may be shared."""


NO_HOST = Host()
"""Nothing is read off this host."""
