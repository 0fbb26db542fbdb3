"""What is asked of one domain, in which order: the jobs that workers run.

A job reports by putting `Sample` and `Outcome` records; it never raises for what can be foreseen of a domain.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from virt2.domains.health import Health
from virt2.errors import CallFailed, DomainBusy, DomainGone, Error, Missing, Refused, Unsupported
from virt2.metrics import defaults, extras, selectors
from virt2.metrics.rates import CpuUse
from virt2.metrics.selectors import NOTHING, Ask, Selection
from virt2.model.domain import Disk, Domain, Nic
from virt2.readers.gate import (
    CONTROL_BROKEN,
    CONTROL_INFO,
    CONTROL_INTERNAL,
    CONTROL_JOB,
    CONTROL_OCCUPIED,
    CONTROL_OK,
    LOOKS,
    WAIT_FOR_STATE,
    Processes,
)
from virt2.readers.outside import SLOW, Outside
from virt2.readers.records import Note, Outcome, Record, Sample, Trouble
from virt2.readers.unsupported import MissingCalls
from virt2.workers.job import MONITOR, SERVER, Again, Job, StorageUse

log = logging.getLogger(__name__)

PAUSED = 3
"""libvirt's VIR_DOMAIN_PAUSED."""
INCOMING_REASONS = frozenset({2, 11})
"""Why a paused domain is still being received or built, whose monitor is left alone: libvirt's
VIR_DOMAIN_PAUSED_MIGRATION and VIR_DOMAIN_PAUSED_STARTING_UP."""
ASK_OUTSIDE = "interfaceStats, waiting for another program"
"""What a job does that asks for counters for which libvirt asks another program."""
OUTSIDE = "outside"
"""Kind of the outcome of a job whose calls wait for another program of the host (see `virt2.readers.outside`)."""
MEMORY_STATS = "memoryStats"
"""The call that says some of what a libvirt without bulk statistics cannot say in bulk."""
MEMORY_SELECTORS = frozenset(
    selector.name for selector in selectors.SELECTORS if selector.call == selectors.BULK + "BALLOON"
)
"""The selectors that it serves."""

OF_DEVICES = frozenset({defaults.DISK, defaults.NIC, defaults.SIZES, selectors.DISK_TIMES})
"""Calls that are made for a disk or an interface."""


class Sampler:
    """Makes the jobs for a domain.

    Arguments:
        put: takes the records; called from worker threads.
        processes: looked at before a monitor is used; None to do without.
        pre_scan: whether libvirt's control info is looked at before a monitor is used.
        alone: tells, by when a domain last answered, that nobody else can be inside its monitor.
        host_interfaces: names of devices whose counters were read off the host: libvirt is not asked for them.
        out_of_workers: whether libvirtd answers priority calls only.
        extra: tells by UUID what is asked of a domain because of ExtraStats.
        missing: calls that this libvirt does not have.
        outside: which call may be made that waits for another program of the host.
        bulk: whether all disks of a domain are asked for their counters by one call that touches the storage.
        is_changed: whether a domain may lie on other storage than it is described with: then no such call is made.
        stuck_after: seconds for which a job of somebody else is thought to end soon.
        clock, wall: monotonic seconds, and the time of day that samples carry.
    """

    def __init__(
        self,
        put: Callable[[Record], None],
        *,
        processes: Processes | None = None,
        pre_scan: bool = True,
        alone: Callable[[float | None], bool] = lambda answered: False,
        host_interfaces: Callable[[], Collection[str]] = tuple,
        out_of_workers: Callable[[], bool] = lambda: False,
        extra: Callable[[str], Selection] = lambda uuid: NOTHING,
        missing: MissingCalls | None = None,
        outside: Outside | None = None,
        bulk: bool = False,
        is_changed: Callable[[Domain], bool] = lambda domain: False,
        stuck_after: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._processes = processes
        self._pre_scan = pre_scan
        self._alone = alone
        self._host_interfaces = host_interfaces
        self._out_of_workers = out_of_workers
        self._extra = extra
        self._missing = MissingCalls() if missing is None else missing
        self.outside = Outside(clock) if outside is None else outside
        self._bulk = bulk
        self._is_changed = is_changed
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
                control = self._control(connection, job, domain) if probe else None
                if control is not None and control.state == CONTROL_OK:
                    done_with(domain.uuid)
                answered = self._ask_server(connection, job, domain, health)
                if probe and CONTROL_INFO in self._missing:
                    # A driver without control info: that the domain answers again is all that can be known.
                    done_with(domain.uuid)
                if not health.incoming and (health.skipped or not answered or not health.monitored):
                    # Nobody else looks whether its monitor is blocked, and looking needs neither monitor nor worker.
                    alone = answered and not health.skipped and not health.blocked and self._alone(health.complete)
                    obstacle = self._obstacle(connection, job, domain, last=True, alone=alone)
                    if obstacle is not None:
                        self._put(obstacle)
            except (CallFailed, DomainBusy, DomainGone, Unsupported) as error:
                self._report(job, error)
                self._put(Outcome(domain.uuid, SERVER, taken, answered=False))
            else:
                self._put(Outcome(domain.uuid, SERVER, taken, answered, complete=not job.failed))

        return Job(domain.uuid, SERVER, work, probe=probe, run=domain.id)

    def outside_job(self, domain: Domain, health: Health) -> Job:
        """The calls for which libvirt asks another program of the host: class A by the letter, last of a read."""

        def work(connection: Any, job: Job) -> None:
            taken = self._clock()
            for nic in domain.description.nics:
                if nic.outside or nic.target in health.slow:
                    self._ask_outside(connection, job, domain, nic, health)
            self._put(Outcome(domain.uuid, OUTSIDE, taken, answered=True, complete=not job.failed))

        return Job(domain.uuid, SERVER, work, run=domain.id)

    def asks_monitor(self, domain: Domain) -> bool:
        """Whether there is anything to ask the domain's monitor in a read."""
        return any(disk.reported for disk in domain.description.disks) or bool(self._extra(domain.uuid).monitor)

    @property
    def can_look(self) -> bool:
        """Whether it can be seen without using a domain's monitor if that is blocked."""
        return self._processes is not None or (self._pre_scan and CONTROL_INFO not in self._missing)

    def asks_storage(self, domain: Domain) -> bool:
        """Whether there is anything to ask that touches the domain's storage."""
        extra = self._extra(domain.uuid)
        if extra.errors:
            return bool(domain.description.disks)
        return extra.touches_storage and any(disk.reported and disk.storage for disk in domain.description.disks)

    def monitor_job(self, domain: Domain, health: Health) -> Job:
        """The calls that need the QEMU monitor, once it looks free."""

        def ask(connection: Any, job: Job) -> bool:
            extra = self._extra(domain.uuid)
            if not (job.storage and self._ask_disks(connection, job, domain, health, extra.disk)):
                for disk in reported(domain):
                    failed = job.failed
                    self._ask_disk(connection, job, domain, disk, health, extra.disk)
                    # A drive without a medium may have no counters: nothing is missing then.
                    job.failed = failed or (job.failed and bool(disk.source))
                    job.hear()
            return self._ask_extras(connection, job, domain, health, extra.monitor)

        work = self._through_monitor(domain, health, ask)
        storage = _storage(domain) if self._bulk and not self._is_changed(domain) else frozenset()
        return Job(
            domain.uuid,
            MONITOR,
            work,
            answered=health.answered,
            storage=StorageUse(storage, detours=self._bulk),
            run=domain.id,
        )

    def storage_job(self, domain: Domain, health: Health) -> Job:
        """The calls that touch the storage, once the monitor looks free."""

        def ask(connection: Any, job: Job) -> bool:
            extra = self._extra(domain.uuid)
            for disk in reported(domain):
                if extra.sizes and disk.storage:
                    self._ask(
                        lambda uuid, target: _chosen(connection.disk_sizes(uuid, target), extra.sizes),
                        job,
                        domain.uuid,
                        defaults.SIZES,
                        disk.target,
                        health,
                    )
            if extra.layers:
                self._ask_layers(connection, job, domain, health, extra.layers)
            if extra.errors:
                self._ask_errors(connection, job, domain, health)
            return True

        work = self._through_monitor(domain, health, ask)
        return Job(
            domain.uuid, MONITOR, work, answered=health.answered, storage=StorageUse(_storage(domain)), run=domain.id
        )

    def _through_monitor(
        self, domain: Domain, health: Health, ask: Callable[[Any, Job], bool]
    ) -> Callable[[Any, Job], None]:
        """The work of a job that asks something of a monitor, once that looks free.

        Asking may end with False: libvirtd has no worker for the rest.
        """
        looks = list(LOOKS)

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
                alone = not health.blocked and self._alone(health.answered)
                last = not looks or health.blocked
                obstacle = self._obstacle(connection, job, domain, last=last, alone=alone)
                # What a domain is known to be blocked by gets one look a read, so that it does not make reads longer.
                if obstacle is not None and looks and (not health.blocked or health.is_another(obstacle.entered)):
                    raise Again(looks.pop(0))
                if obstacle is None:
                    taken = self._clock()
                    answered = ask(connection, job)
            except DomainBusy:
                cause = f"{job.what}, by another client"
                self._put(Outcome(domain.uuid, MONITOR, taken, False, cause, job.since))
            except (CallFailed, DomainGone, Unsupported) as error:
                self._report(job, error)
                self._put(Outcome(domain.uuid, MONITOR, taken, answered=False))
            else:
                if obstacle is None:
                    self._put(Outcome(domain.uuid, MONITOR, taken, answered, complete=not job.failed))
                else:
                    self._put(obstacle._replace(taken=taken))

        return work

    def _ask_server(self, connection: Any, job: Job, domain: Domain, health: Health) -> bool:
        """Interfaces, then the domain itself; False where libvirtd has no worker for the latter.

        Those for which libvirt asks another program come last of all (see `outside_job`).

        Interfaces first, for theirs are priority calls, which libvirtd answers even when its normal workers are taken;
        so is that for the state.
        """
        extra = self._extra(domain.uuid)
        if extra.state:
            call = functools.partial(_state, connection)
            self._ask(call, job, domain.uuid, selectors.STATE, "", health, extra.state)
        known = self._host_interfaces()
        for nic in domain.description.nics:
            if not (nic.tap and nic.target in known) and not (nic.outside or nic.target in health.slow):
                began = self._clock()
                self._ask(connection.nic, job, domain.uuid, defaults.NIC, nic.target, health)
                if self._clock() - began > SLOW:
                    # The lock of the domain was held, or it is another program that is waited for: found out where
                    # nothing of the domain has to wait behind it.
                    health.slow.add(nic.target)
        if self._out_of_workers():
            return False
        taken, wall = job.doing(defaults.INFO), self._wall()
        info = None
        try:
            info = connection.info(domain.uuid)
        except Unsupported as error:
            self._note_unsupported(job, error, defaults.INFO, "", health)
        except CallFailed as error:
            job.failed = True
            self._report(job, error)
        else:
            self._put(Sample(domain.uuid, defaults.INFO, "", taken, wall, info))
        job.hear()
        incoming = False
        if info is None or info.state == PAUSED:
            state = self._ask(functools.partial(_state, connection), job, domain.uuid, selectors.STATE, "", health, ())
            incoming = state is not None and state[0] == PAUSED and state[1] in INCOMING_REASONS
        health.incoming = incoming
        if extra.info and info is not None:
            self._put_use(connection, job, domain, info, taken, wall, extra.info)
        return self._ask_extras(connection, job, domain, health, extra.server, info)

    def _put_use(
        self, connection: Any, job: Job, domain: Domain, info: Any, taken: float, wall: float, serves: Sequence[str]
    ) -> None:
        """Put what the reply to a call says to selectors that need more than the reply."""
        try:
            job.doing("nodeInfo")
            cpus = connection.host_cpus().active
        except Unsupported:
            cpus = 0
        for selector in serves:
            self._put(Sample(domain.uuid, selector, "", taken, wall, CpuUse(info.cpu_time, info.vcpus, cpus)))

    def _ask_disk(
        self, connection: Any, job: Job, domain: Domain, disk: Disk, health: Health, extra: Sequence[str]
    ) -> None:
        """Ask for a disk's counters, with times where these are wanted and can be had: one call serves both."""
        if extra:
            serves = (defaults.DISK, *extra)
            self._ask(connection.disk_times, job, domain.uuid, selectors.DISK_TIMES, disk.target, health, serves)
            if not self._is_unsupported(selectors.DISK_TIMES, disk.target, health):
                return
            job.hear()
        self._ask(connection.disk, job, domain.uuid, defaults.DISK, disk.target, health)

    def _ask_disks(self, connection: Any, job: Job, domain: Domain, health: Health, extra: Sequence[str]) -> bool:
        """Ask for the counters of all disks at once; False where there are none to be had that way."""
        what = selectors.BULK + selectors.LAYERS
        taken, wall = self._clock(), self._wall()
        failed = job.failed
        found = self._ask(lambda uuid, _: connection.disks(uuid), job, domain.uuid, what, "", health, ())
        if not found:
            # Nothing is missing because of it: each disk is asked then.
            job.failed = failed
        job.hear()
        job.touched = bool(found)
        for disk in reported(domain) if found else ():
            if disk.target in found:
                for purpose in (defaults.DISK, *extra):
                    self._put(Sample(domain.uuid, purpose, disk.target, taken, wall, found[disk.target]))
        return bool(found)

    def _ask_extras(
        self, connection: Any, job: Job, domain: Domain, health: Health, asks: Iterable[Ask], info: Any = None
    ) -> bool:
        """Make the calls that only ExtraStats selectors need; False where libvirtd has no worker for them any more."""
        for ask in asks:
            if self._out_of_workers():
                return False
            if ask.what == selectors.VCPUS and info is None:
                # How many there are is not known.
                continue
            call = functools.partial(_make, connection, ask, info)
            reply = self._ask(call, job, domain.uuid, ask.what, ask.prefix, health, ask.serves)
            job.hear()
            if ask.groups and ask.what in self._missing:
                self._ask_memory(connection, job, domain, health, ask)
            if reply is not None and ask.what in selectors.JOBS:
                for name, text in extras.notes_of_job(reply, ask.prefix):
                    self._put(Note(domain.uuid, "job_stats", name, text))
        return True

    def _ask_layers(self, connection: Any, job: Job, domain: Domain, health: Health, serves: Sequence[str]) -> None:
        """Ask for the images of all disks; the reply goes by disk to the selectors it serves."""
        what = selectors.BULK + selectors.LAYERS
        call = functools.partial(_layers, connection)
        taken, wall = self._clock(), self._wall()
        reply = self._ask(call, job, domain.uuid, what, "", health, ())
        images = {} if reply is None else extras.layers(reply)
        for disk in reported(domain):
            for selector in serves if disk.target in images else ():
                self._put(Sample(domain.uuid, selector, disk.target, taken, wall, images[disk.target]))

    def _ask_errors(self, connection: Any, job: Job, domain: Domain, health: Health) -> None:
        """Ask which disks fail; those that do not are said to be well."""
        taken, wall = self._clock(), self._wall()
        call = functools.partial(_errors, connection)
        failing = self._ask(call, job, domain.uuid, defaults.ERRORS, "", health, ())
        for disk in domain.description.disks if failing is not None else ():
            code = failing.get(disk.target, 0)
            self._put(Sample(domain.uuid, defaults.ERRORS, disk.target, taken, wall, code))

    def _ask(
        self,
        call: Callable[[str, str], Any],
        job: Job,
        uuid: str,
        what: str,
        device: str,
        health: Health,
        serves: Sequence[str] | None = None,
    ) -> Any:
        """Ask for one device's counters; an error costs these only.

        The reply is put once, or once for each selector it is said to serve, and returned; None where there is none.
        """
        if self._is_unsupported(what, device, health):
            return None
        taken, wall = job.doing(what), self._wall()
        try:
            reply = call(uuid, device)
        except Unsupported as error:
            self._note_unsupported(job, error, what, device, health)
            return None
        except (CallFailed, DomainGone) as error:
            job.failed = True
            self._report(job, error, device)
            return None
        if health.refused:
            health.refused.discard((what, device))
        for purpose in (what,) if serves is None else serves:
            self._put(Sample(uuid, purpose, device, taken, wall, reply))
        return reply

    def _ask_outside(self, connection: Any, job: Job, domain: Domain, nic: Nic, health: Health) -> None:
        """Ask for the counters of an interface for which libvirt asks another program, if it is time for that."""
        if self._is_unsupported(defaults.NIC, nic.target, health):
            return
        job.doing(ASK_OUTSIDE)
        if not self.outside.begin(domain.name, nic.target):
            job.failed = True
            return
        failure: Error | None = None
        reply = None
        taken, wall = job.doing(ASK_OUTSIDE), self._wall()
        try:
            reply = connection.nic(domain.uuid, nic.target)
        except (CallFailed, DomainGone, Unsupported) as error:
            failure = error
        finally:
            slow = self.outside.end()
        if reply is not None:
            self._put(Sample(domain.uuid, defaults.NIC, nic.target, taken, wall, reply))
        if slow:
            # What libvirt says then has its reason there, and that was said.
            job.failed = job.failed or reply is None
            health.slow.add(nic.target)
            return
        health.slow.discard(nic.target)
        job.doing(defaults.NIC)
        if isinstance(failure, Unsupported):
            self._note_unsupported(job, failure, defaults.NIC, nic.target, health)
        elif failure is not None:
            job.failed = True
            self._report(job, failure, nic.target)

    def _ask_memory(self, connection: Any, job: Job, domain: Domain, health: Health, ask: Ask) -> None:
        """Ask for what a libvirt without bulk statistics tells of memory by another call."""
        serves = [name for name in ask.serves if name in MEMORY_SELECTORS]
        if serves:
            self._ask(lambda uuid, _: connection.memory(uuid), job, domain.uuid, MEMORY_STATS, "", health, serves)
            job.hear()

    def _is_unsupported(self, what: str, device: str, health: Health) -> bool:
        return (what, device) in health.unsupported or what in self._missing

    def _note_unsupported(self, job: Job, error: Unsupported, what: str, device: str, health: Health) -> None:
        """Remember what need not be asked again, and say so once."""
        if isinstance(error, Missing):
            self._missing.add(what, str(error))
        elif isinstance(error, Refused) and (what, device) not in health.refused:
            health.refused.add((what, device))
        else:
            health.unsupported.add((what, device))
            self._report(job, error, device)

    def _report(self, job: Job, error: Error, device: str = "") -> None:
        """A domain or device that has just gone is normal; anything else is worth a line.

        What libvirt says of a domain that is just being destroyed may be any error: the next list tells.
        """
        if not isinstance(error, DomainGone):
            text = f"{job.what}{device and ' ' + device}: {error}"
            of_device = device if job.what in OF_DEVICES else ""
            self._put(Trouble(job.uuid, text, job.run, self._clock(), of_device))

    def _control(self, connection: Any, job: Job, domain: Domain) -> Any:
        """Give libvirt's word on who is inside a monitor; None where it does not tell, and all else goes on."""
        if CONTROL_INFO in self._missing:
            return None
        job.doing(CONTROL_INFO)
        try:
            return connection.control(domain.uuid)
        except Missing as error:
            self._missing.add(CONTROL_INFO, str(error))
        except (CallFailed, Unsupported) as error:
            self._report(job, error)
        return None

    def _obstacle(self, connection: Any, job: Job, domain: Domain, last: bool, alone: bool = False) -> Outcome | None:
        """Why the monitor is not to be used now, if it is not.

        The process first: that costs nobody anything. Then, unless nobody can be, libvirt's word on who is inside; a
        job (a migration, say) that began a moment ago is let pass only at the last look, when it did not end by itself.
        """
        now = self._clock()
        if self._processes is not None:
            letter = self._processes.stopped(domain.uuid, domain.name)
            if letter:
                words = "process stopped" if letter == "T" else "process in uninterruptible sleep"
                return Outcome(domain.uuid, MONITOR, now, False, words)
        if alone or not self._pre_scan:
            return None
        control = self._control(connection, job, domain)
        if control is None or control.state == CONTROL_OK:
            return None
        if control.state == CONTROL_JOB:
            if last and control.seconds < self._stuck_after:
                return None
            return Outcome(domain.uuid, MONITOR, now, False, "job of another client")
        if control.state == CONTROL_OCCUPIED:
            return Outcome(domain.uuid, MONITOR, now, False, "by another client", entered=now - control.seconds)
        # Its "how long" is always 0, also where a job is really held, as while a device removal waits.
        if control.detail == CONTROL_BROKEN:
            words = "libvirt has lost its connection to this monitor; restart libvirtd, else the domain"
        elif control.detail == CONTROL_INTERNAL:
            words = "held by another client outside the monitor"
        else:
            words = "libvirt calls this monitor unusable and does not say why; see libvirtd's log, restart libvirtd"
        return Outcome(domain.uuid, MONITOR, now, False, words)


def reported(domain: Domain) -> list[Disk]:
    """The disks of a domain whose values are asked for."""
    return [disk for disk in domain.description.disks if disk.reported]


def _storage(domain: Domain) -> frozenset[str]:
    """The storage domains of a domain; where nothing can be said of them it is one of its own."""
    return frozenset(domain.description.storage or (domain.uuid,))


def _state(connection: Any, uuid: str, device: str) -> Any:
    return connection.state(uuid)


def _errors(connection: Any, uuid: str, device: str) -> Any:
    return connection.disk_errors(uuid)


def _layers(connection: Any, uuid: str, device: str) -> Any:
    return connection.stats(uuid, (selectors.LAYERS,))


def _make(connection: Any, ask: Ask, info: Any, uuid: str, device: str) -> Any:
    """Make a call that only ExtraStats selectors need; `info` is of the same domain, for calls of class A."""
    if ask.groups:
        return connection.stats(uuid, ask.groups)
    if ask.what == selectors.VCPUS:
        return connection.vcpus(uuid, info.vcpus, affinity="vcpupin" in ask.serves)
    if ask.what == selectors.CPU_TIMES:
        return connection.cpu_times(uuid)
    return connection.job(uuid, completed=ask.what == selectors.COMPLETED_JOB)


def _chosen(sizes: Any, kinds: Iterable[str]) -> dict[str, int]:
    """The sizes that were asked for, by type: ``disk_capacity`` and so on."""
    return {kind: getattr(sizes, kind[len("disk_") :]) for kind in kinds}
