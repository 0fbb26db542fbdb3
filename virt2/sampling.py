"""What is asked of one domain, in which order: the jobs that workers run.

A job reports by putting `Sample` and `Outcome` records; it never raises for what can be foreseen of a domain.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, Protocol, Union

from virt2 import metrics
from virt2.budget import MONITOR, SERVER, Job
from virt2.domain import Disk, Domain
from virt2.errors import CallFailed, DomainBusy, DomainGone, Error, Unsupported
from virt2.pool import Again
from virt2.stuck import Health

PAUSED = 3
"""libvirt's VIR_DOMAIN_PAUSED."""
INCOMING_REASONS = frozenset({2, 11})
"""Why a paused domain is still being received or built, whose monitor is left alone: libvirt's
VIR_DOMAIN_PAUSED_MIGRATION and VIR_DOMAIN_PAUSED_STARTING_UP."""
CONTROL_INFO = "controlInfo"
"""The call that asks who is inside a monitor: libvirtd answers it at once, but for a domain whose lock is held."""
CONTROL_OK, CONTROL_JOB, CONTROL_OCCUPIED, CONTROL_ERROR = range(4)
"""libvirt's virDomainControlState."""

LOOKS = (0.02, 0.08, 0.3)
"""Seconds until the next look at a monitor that somebody else is in. Their calls take 1 to 100 ms: a domain that a
management system happens to talk to keeps its point; together well under the deadline of a read."""
WAIT_FOR_STATE = 0.02
"""Seconds until a domain's class B job is tried again when its class A job has not come back yet."""


class Sample(NamedTuple):
    """What one call said of one domain."""

    uuid: str
    call: str
    """A key of `virt2.metrics.MAPPING`."""
    device: str
    """The disk or interface asked for; empty for the domain itself."""
    taken: float
    """The time before the call, monotonic seconds."""
    time: float
    """The same, as wall time."""
    reply: Any


class Outcome(NamedTuple):
    """How a job ended."""

    uuid: str
    kind: str
    taken: float
    """When it began, monotonic seconds."""
    answered: bool
    """Every call answered, if only with "no such thing"."""
    cause: str = ""
    """Why the monitor could not be used, in words; empty when it could, or was not tried."""
    since: float | None = None
    """Since when, where that is known."""


class Trouble(NamedTuple):
    """Something an operator should hear once."""

    uuid: str
    text: str


Record = Union[Sample, Outcome, Trouble]


class Processes(Protocol):
    """What is seen of a domain's QEMU without asking anybody (see `virt2.procfs`)."""

    def stopped(self, uuid: str, name: str) -> str:
        """T or D where its main thread is stopped or in uninterruptible sleep, else empty."""


class Sampler:
    """Makes the jobs for a domain.

    Arguments:
        put: takes the records; called from worker threads.
        processes: looked at before a monitor is used; None to do without.
        pre_scan: whether libvirt's control info is looked at before a monitor is used.
        host_interfaces: names of devices whose counters were read off the host: libvirt is not asked for them.
        out_of_workers: whether libvirtd answers priority calls only.
        extra: the ExtraStats selectors that are on.
        stuck_after: seconds for which a job of somebody else is thought to end soon.
        clock, wall: monotonic seconds, and the time of day that samples carry.
    """

    def __init__(
        self,
        put: Callable[[Record], None],
        *,
        processes: Processes | None = None,
        pre_scan: bool = True,
        host_interfaces: Callable[[], Collection[str]] = tuple,
        out_of_workers: Callable[[], bool] = lambda: False,
        extra: Collection[str] = (),
        stuck_after: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._processes = processes
        self._pre_scan = pre_scan
        self._host_interfaces = host_interfaces
        self._out_of_workers = out_of_workers
        self._extra = extra
        self._stuck_after = stuck_after
        self._clock = clock
        self._wall = wall

    def server_job(self, domain: Domain, health: Health, probe: bool, done_with: Callable[[str], None]) -> Job:
        """The calls that need libvirtd alone.

        Arguments:
            probe: a call for this domain was cut off; ask first whether libvirtd is through with it.
            done_with: told the domain when it is.
        """

        def work(connection: Any, job: Job) -> None:
            taken = job.doing(CONTROL_INFO) if probe else self._clock()
            try:
                if probe and connection.control(domain.uuid).state == CONTROL_OK:
                    done_with(domain.uuid)
                complete = self._ask_server(connection, job, domain, health)
                if health.skipped and complete and not health.incoming:
                    # Nobody else looks whether its monitor is blocked, and looking needs no monitor.
                    obstacle = self._obstacle(connection, job, domain, last=True)
                    if obstacle is not None:
                        self._put(obstacle)
            except (CallFailed, DomainBusy, DomainGone, Unsupported) as error:
                self._report(job, error)
                self._put(Outcome(domain.uuid, SERVER, taken, answered=False))
            else:
                self._put(Outcome(domain.uuid, SERVER, taken, answered=complete))

        return Job(domain.uuid, SERVER, work, probe=probe)

    def asks_monitor(self, domain: Domain) -> bool:
        """Whether there is anything to ask the domain's monitor in a read."""
        return any(disk.reported for disk in domain.description.disks)

    def asks_storage(self, domain: Domain) -> bool:
        """Whether there is anything to ask that touches the domain's storage."""
        if metrics.DISK_ERRORS in self._extra:
            return bool(domain.description.disks)
        return any(disk.reported and disk.storage for disk in domain.description.disks)

    def monitor_job(self, domain: Domain, health: Health) -> Job:
        """The calls that need the QEMU monitor, once it looks free."""
        # A domain known to be blocked gets one look a read, so that it does not make reads longer.
        looks = list(LOOKS if not health.blocked else ())

        def ask(connection: Any, job: Job) -> None:
            for disk in reported(domain):
                self._ask(connection.disk, job, domain.uuid, metrics.DISK, disk.target, health)
                job.hear()

        return Job(domain.uuid, MONITOR, self._through_monitor(domain, health, looks, ask), answered=health.answered)

    def storage_job(self, domain: Domain, health: Health) -> Job:
        """The calls that touch the storage, once the monitor looks free."""

        def ask(connection: Any, job: Job) -> None:
            sizes = [kind for kind in self._extra if kind in metrics.SIZE_TYPES]
            for disk in reported(domain):
                if sizes and disk.storage:
                    self._ask(
                        lambda uuid, target: _chosen(connection.disk_sizes(uuid, target), sizes),
                        job,
                        domain.uuid,
                        metrics.SIZES,
                        disk.target,
                        health,
                    )
            if metrics.DISK_ERRORS in self._extra:
                self._ask_errors(connection, job, domain)

        # Where nothing can be said of the storage, the domain is a storage domain of its own.
        storage = frozenset(domain.description.storage or (domain.uuid,))
        work = self._through_monitor(domain, health, [], ask)
        return Job(domain.uuid, MONITOR, work, answered=health.answered, storage=storage)

    def _through_monitor(
        self, domain: Domain, health: Health, looks: list[float], ask: Callable[[Any, Job], None]
    ) -> Callable[[Any, Job], None]:
        """The work of a job that asks something of a monitor, once that looks free."""

        def work(connection: Any, job: Job) -> None:
            taken = self._clock()
            if self._out_of_workers():
                self._put(Outcome(domain.uuid, MONITOR, taken, answered=False))
                return
            if health.incoming is None:
                raise Again(WAIT_FOR_STATE)
            if health.incoming:
                self._put(Outcome(domain.uuid, MONITOR, taken, answered=True))
                return
            try:
                obstacle = self._obstacle(connection, job, domain, last=not looks)
                if obstacle is not None and looks:
                    raise Again(looks.pop(0))
                if obstacle is None:
                    taken = self._clock()
                    ask(connection, job)
            except DomainBusy:
                cause = f"{job.what}, by another client"
                self._put(Outcome(domain.uuid, MONITOR, taken, False, cause, job.since))
            except (CallFailed, DomainGone, Unsupported) as error:
                self._report(job, error)
                self._put(Outcome(domain.uuid, MONITOR, taken, answered=False))
            else:
                if obstacle is None:
                    self._put(Outcome(domain.uuid, MONITOR, taken, answered=True))
                else:
                    self._put(obstacle._replace(taken=taken))

        return work

    def _ask_server(self, connection: Any, job: Job, domain: Domain, health: Health) -> bool:
        """Interfaces, then the domain itself; False where libvirtd has no worker for the latter.

        Interfaces first, for theirs are priority calls, which libvirtd answers even when its normal workers are taken.
        """
        known = self._host_interfaces()
        for nic in domain.description.nics:
            if not (nic.tap and nic.target in known):
                self._ask(connection.nic, job, domain.uuid, metrics.NIC, nic.target, health)
        if self._out_of_workers():
            return False
        taken, wall = job.doing(metrics.INFO), self._wall()
        info = connection.info(domain.uuid)
        job.hear()
        self._put(Sample(domain.uuid, metrics.INFO, "", taken, wall, info))
        incoming = False
        if info.state == PAUSED:
            job.doing("state")
            incoming = connection.state(domain.uuid)[1] in INCOMING_REASONS
        health.incoming = incoming
        return True

    def _ask_errors(self, connection: Any, job: Job, domain: Domain) -> None:
        """Ask which disks fail; those that do not are said to be well."""
        taken, wall = job.doing(metrics.ERRORS), self._wall()
        failing = connection.disk_errors(domain.uuid)
        for disk in domain.description.disks:
            code = failing.get(disk.target, 0)
            self._put(Sample(domain.uuid, metrics.ERRORS, disk.target, taken, wall, code))

    def _ask(
        self, call: Callable[[str, str], Any], job: Job, uuid: str, what: str, device: str, health: Health
    ) -> None:
        """Ask for one device's counters. A device that is gone, or that has no counters, is no failure."""
        if (what, device) in health.unsupported:
            return
        taken, wall = job.doing(what), self._wall()
        try:
            reply = call(uuid, device)
        except DomainGone:
            return
        except Unsupported as error:
            health.unsupported.add((what, device))
            self._report(job, error, device)
            return
        except CallFailed as error:
            self._report(job, error, device)
            return
        self._put(Sample(uuid, what, device, taken, wall, reply))

    def _report(self, job: Job, error: Error, device: str = "") -> None:
        """A domain or device that has just gone is normal; anything else is worth a line."""
        if not isinstance(error, DomainGone):
            self._put(Trouble(job.uuid, f"{job.what}{device and ' ' + device}: {error}"))

    def _obstacle(self, connection: Any, job: Job, domain: Domain, last: bool) -> Outcome | None:
        """Why the monitor is not to be used now, if it is not.

        The process first: that costs nobody anything. Then libvirt's word on who is inside; a job (a migration, say)
        that began a moment ago is let pass only at the last look, when it did not end by itself.
        """
        now = self._clock()
        if self._processes is not None:
            letter = self._processes.stopped(domain.uuid, domain.name)
            if letter:
                words = "process stopped" if letter == "T" else "process in uninterruptible sleep"
                return Outcome(domain.uuid, MONITOR, now, False, words)
        if not self._pre_scan:
            return None
        job.doing(CONTROL_INFO)
        control = connection.control(domain.uuid)
        if control.state == CONTROL_OK:
            return None
        if control.state == CONTROL_JOB:
            if last and control.seconds < self._stuck_after:
                return None
            return Outcome(domain.uuid, MONITOR, now, False, "job of another client")
        if control.state == CONTROL_OCCUPIED:
            return Outcome(domain.uuid, MONITOR, now, False, "by another client", now - control.seconds)
        # Its "how long" is always 0, although the job is really held, as while a device removal waits.
        return Outcome(domain.uuid, MONITOR, now, False, "held by another client outside the monitor")


def reported(domain: Domain) -> list[Disk]:
    """The disks of a domain whose values are asked for."""
    return [disk for disk in domain.description.disks if disk.reported]


def _chosen(sizes: Any, kinds: Iterable[str]) -> dict[str, int]:
    """The sizes that were asked for, by type: ``disk_capacity`` and so on."""
    return {kind: getattr(sizes, kind[len("disk_") :]) for kind in kinds}
