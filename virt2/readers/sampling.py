"""What is asked of one domain, and in which order: this makes the jobs that workers run.

A job reports by putting `Sample` and `Outcome` records; it never raises for what can be foreseen of a domain.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, Union

from virt2.domains.health import Health, Known
from virt2.errors import CallFailed, DomainBusy, DomainGone, Error, Unsupported
from virt2.metrics import defaults, extras, selectors
from virt2.metrics.rates import CpuUse
from virt2.metrics.selectors import NOTHING, Ask, Selection
from virt2.model.domain import Disk, Domain, Nic
from virt2.model.replies import CpuTimes, DiskSizes, Info, Vcpu
from virt2.readers.connection import DomainCalls
from virt2.readers.context import CLOCKS, Clocks
from virt2.readers.gate import CONTROL_OK, Gate
from virt2.readers.kernel import NO_HOST, Host, Reading
from virt2.readers.needs import ServerNeeds, asks, is_of_libvirt
from virt2.readers.outside import SLOW, Outside
from virt2.readers.records import Note, Outcome, Put, Sample, report
from virt2.readers.unsupported import CONTROL_INFO
from virt2.workers.job import MONITOR, SERVER, Job, StorageUse

PAUSED = 3
"""libvirt's VIR_DOMAIN_PAUSED."""
INCOMING_REASONS = frozenset({2, 9, 11})
"""Why a paused domain runs elsewhere or is still being built, whose monitor is left alone: libvirt's
VIR_DOMAIN_PAUSED_MIGRATION, VIR_DOMAIN_PAUSED_POSTCOPY and VIR_DOMAIN_PAUSED_STARTING_UP."""
ASK_OUTSIDE = "interfaceStats, waiting for another program"
"""What a job does that asks for counters for which libvirt asks another program."""
LOOK = "look for its process"
"""What a job does that makes no call of libvirt's."""
PRIORITY = frozenset({selectors.STATE, defaults.NIC})
"""Calls that libvirtd answers where it has no normal worker left."""
OUTSIDE = "outside"
"""Kind of the outcome of a job whose calls wait for another program of the host (see `virt2.readers.outside`)."""
MEMORY_STATS = "memoryStats"
"""The call that says some of what a libvirt without bulk statistics cannot say in bulk."""
MEMORY_SELECTORS = frozenset(
    selector.name for selector in selectors.SELECTORS if selector.call == selectors.BULK + "BALLOON"
)
"""The selectors that it serves."""

T = TypeVar("T")
BALLOON_RSS = "balloon.rss"
"""What bulk statistics call the memory of the domain's process that is resident."""

Extra = Union[list[Vcpu], CpuTimes, dict[str, Any]]
"""What a call replies that only ExtraStats selectors need; a dictionary has libvirt's own names."""


class Sampler:
    """Makes the jobs for a domain.

    Arguments:
        put: takes the records; called from worker threads.
        gate: says whether a monitor may be used now.
        host: what was read off the host.
        extra: tells by UUID what is asked of a domain because of ExtraStats.
        outside: which call may be made that waits for another program of the host.
        notice_move: given where all disks of a domain are asked for their counters by one call that touches the
            storage; tells whether the domain may lie on other storage than it is described with, because then no such
            call is made. None to ask each disk.
        clocks: of the time before each call, and of the time of day that samples carry.

    Attributes:
        gate, extra, outside: as above.
    """

    def __init__(
        self,
        put: Put,
        gate: Gate,
        *,
        host: Host = NO_HOST,
        extra: Callable[[str], Selection] = lambda uuid: NOTHING,
        outside: Outside | None = None,
        notice_move: Callable[[Domain], bool] | None = None,
        clocks: Clocks = CLOCKS,
    ) -> None:
        self._put = put
        self.gate = gate
        self._missing = gate.missing
        self._host_interfaces, self._kernel = host
        self.extra = extra
        self.outside = Outside(clocks.monotonic) if outside is None else outside
        self._notice_move = notice_move
        self._clock, self._wall = clocks

    def put_account(self, domain: Domain, health: Health, reading: Reading, is_late: bool = False) -> None:
        """Put samples of what the kernel said of a domain's process.

        Arguments:
            is_late: whether its process was found in the middle of a read. Then its monitor is asked in this read for
                how much memory of it is resident, and a series has one point in a read.
        """
        uuid, (taken, wall, account, times), extra = domain.uuid, reading, self.extra(domain.uuid)
        self._put(Sample(uuid, defaults.CPU_TIME, "", taken, wall, account.cpu_time))
        if defaults.RSS_SELECTOR in extra.names and not is_late:
            self._put(Sample(uuid, defaults.RSS, "", taken, wall, account.rss))
        for selector in extra.cpu_times if times is not None else ():
            self._put(Sample(uuid, selector, "", taken, wall, times))
        for selector in extra.info:
            vcpus = 0 if health.known is None else health.known.info.vcpus
            use = CpuUse(account.cpu_time, vcpus, self._kernel.host_cpus())
            self._put(Sample(uuid, selector, "", taken, wall, use))

    def server_job(
        self,
        domain: Domain,
        health: Health,
        needs: ServerNeeds,
        probe: bool,
        done_with: Callable[[str], None],
        instead: Job | None = None,
    ) -> Job:
        """The calls that need libvirtd alone.

        Arguments:
            needs: what is to be asked.
            probe: a call for this domain was cut off; ask first whether libvirtd is through with it.
            done_with: told the domain when it is.
            instead: the job for its monitor in this read. Where a worker has taken that, a mere look is not needed.
        """

        def work(connection: DomainCalls, job: Job) -> None:
            if job.late and instead is not None and instead.begun:
                return
            taken = job.doing(CONTROL_INFO, priority=True) if probe else self._clock()
            try:
                control = self.gate.control(connection, job, domain, self._put) if probe else None
                if control is not None and control.state == CONTROL_OK:
                    done_with(domain.uuid)
                answered = self._ask_server(connection, job, domain, health, needs)
                if probe and CONTROL_INFO in self._missing:
                    # This driver has no control info: all that can be known is that the domain answers again.
                    done_with(domain.uuid)
                if not health.incoming and (health.skipped or not answered or not health.monitored):
                    # No other job looks whether its monitor is blocked, and a look needs neither monitor nor worker.
                    alone = answered and not health.skipped and not health.blocked and self.gate.alone(health.complete)
                    obstacle = self.gate.obstacle(connection, job, domain, self._put, last=True, alone=alone)
                    if obstacle is not None:
                        self._put(obstacle)
            except (CallFailed, DomainBusy, DomainGone, Unsupported) as error:
                self._report(job, error)
                self._put(Outcome(domain.uuid, SERVER, taken, answered=False))
            else:
                self._put(Outcome(domain.uuid, SERVER, taken, answered, complete=not job.failed))

        job = Job(domain.uuid, SERVER, work, probe=probe, run=domain.id)
        job.late = needs.is_look and not probe
        return job

    def outside_job(self, domain: Domain, health: Health) -> Job:
        """The calls for which libvirt asks another program of the host: formally class A, but last of a read."""

        def work(connection: DomainCalls, job: Job) -> None:
            taken = self._clock()
            for nic in domain.description.nics:
                if nic.outside or nic.target in health.slow:
                    self._ask_outside(connection, job, domain, nic, health)
            self._put(Outcome(domain.uuid, OUTSIDE, taken, answered=True, complete=not job.failed))

        return Job(domain.uuid, SERVER, work, run=domain.id)

    def asks_monitor(self, domain: Domain) -> bool:
        """Whether there is anything to ask the domain's monitor in a read."""
        return any(disk.reported for disk in domain.description.disks) or bool(self.extra(domain.uuid).monitor)

    def asks_storage(self, domain: Domain) -> bool:
        """Whether there is anything to ask that touches the domain's storage."""
        extra = self.extra(domain.uuid)
        if extra.errors:
            return bool(domain.description.disks)
        return extra.touches_storage and any(disk.reported and disk.storage for disk in domain.description.disks)

    def monitor_job(self, domain: Domain, health: Health) -> Job:
        """The calls that need the QEMU monitor, once it looks free."""
        # As it is now, because a worker may find the process in the middle of this read.
        knows_rss = self._kernel.of(domain.uuid) is not None

        def ask(connection: DomainCalls, job: Job) -> bool:
            extra = self.extra(domain.uuid)
            if not (job.storage and self._ask_disks(connection, job, domain, health, extra.disk)):
                for disk in reported(domain):
                    failed = job.failed
                    self._ask_disk(connection, job, domain, disk, health, extra.disk)
                    # A drive without a medium may have no counters; then nothing is missing.
                    job.failed = failed or (job.failed and bool(disk.source))
                    job.hear()
            return self._ask_extras(connection, job, domain, health, extra.monitor, knows_rss=knows_rss)

        work = self.gate.through(domain, health, ask, self._put)
        bulk = self._notice_move is not None
        stays = self._notice_move is not None and not self._notice_move(domain)
        return Job(
            domain.uuid,
            MONITOR,
            work,
            answered=health.answered,
            storage=StorageUse(_storage(domain) if stays else frozenset(), detours=bulk),
            run=domain.id,
        )

    def storage_job(self, domain: Domain, health: Health) -> Job:
        """The calls that touch the storage, once the monitor looks free."""

        def ask(connection: DomainCalls, job: Job) -> bool:
            extra = self.extra(domain.uuid)
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

        work = self.gate.through(domain, health, ask, self._put)
        storage = StorageUse(_storage(domain))
        return Job(domain.uuid, MONITOR, work, answered=health.answered, storage=storage, run=domain.id)

    def _ask_server(
        self, connection: DomainCalls, job: Job, domain: Domain, health: Health, needs: ServerNeeds
    ) -> bool:
        """Interfaces, then the domain itself; False where libvirtd has no worker for the latter.

        Interfaces come first, because theirs are priority calls, which libvirtd answers even when its normal workers
        are taken; the call for the state is one, too. Interfaces for which libvirt asks another program come last of
        all (see `outside_job`).
        """
        extra = self.extra(domain.uuid)
        if extra.state:
            call = functools.partial(_state, connection)
            self._ask(call, job, domain.uuid, selectors.STATE, "", health, extra.state)
        interfaces = self._host_interfaces()
        for nic in domain.description.nics:
            if is_of_libvirt(nic, interfaces, health):
                began = self._clock()
                self._ask(connection.nic, job, domain.uuid, defaults.NIC, nic.target, health)
                if self._clock() - began > SLOW:
                    # The lock of the domain was held, or libvirt waits for another program. It is asked last from now
                    # on, where nothing of the domain has to wait behind it.
                    health.slow.add(nic.target)
        reading = self._kernel.of(domain.uuid)
        if reading is None:
            # The kernel may keep whoever reads a command line waiting.
            job.doing(LOOK, priority=True)
            reading = self._kernel.find(domain)
            if reading is not None:
                self.put_account(domain, health, reading, is_late=True)
                needs = needs._replace(times=reading.times is None)
        info = None
        if needs.info:
            if self.gate.check_workers():
                return False
            info = self._ask_info(connection, job, domain, health, needs.memory, reading is not None)
        incoming = False
        if needs.state or (needs.info and (info is None or info.state == PAUSED)):
            state = self._ask(functools.partial(_state, connection), job, domain.uuid, selectors.STATE, "", health, ())
            incoming = state is not None and state[0] == PAUSED and state[1] in INCOMING_REASONS
        health.incoming = incoming
        return self._ask_extras(connection, job, domain, health, asks(extra, needs), info)

    def _ask_info(
        self,
        connection: DomainCalls,
        job: Job,
        domain: Domain,
        health: Health,
        needs_memory: bool,
        is_accounted: bool,
    ) -> Info | None:
        """Ask for the whole domain. Its CPU time counts where the kernel has not told it."""
        uuid = domain.uuid
        taken, wall = job.doing(defaults.INFO), self._wall()
        info = None
        try:
            info = connection.info(uuid)
        except Unsupported as error:
            self._note_unsupported(job, error, defaults.INFO, "", health)
        except CallFailed as error:
            job.failed = True
            self._report(job, error)
        else:
            health.known = Known(info, taken)
            if needs_memory:
                self._put(Sample(uuid, defaults.BALLOON_SIZE, "", taken, wall, info.memory))
            if not is_accounted:
                self._put(Sample(uuid, defaults.CPU_TIME, "", taken, wall, info.cpu_time))
        job.hear()
        selectors_of_use = self.extra(uuid).info
        if selectors_of_use and info is not None and not is_accounted:
            self._put_use(connection, job, domain, info, taken, wall, selectors_of_use)
        return info

    def _put_use(
        self,
        connection: DomainCalls,
        job: Job,
        domain: Domain,
        info: Info,
        taken: float,
        wall: float,
        serves: Sequence[str],
    ) -> None:
        """Put samples for the selectors that need more than the reply to a call."""
        try:
            job.doing("nodeInfo")
            cpus = connection.host_cpus().active
        except Unsupported:
            cpus = 0
        for selector in serves:
            self._put(Sample(domain.uuid, selector, "", taken, wall, CpuUse(info.cpu_time, info.vcpus, cpus)))

    def _ask_disk(
        self, connection: DomainCalls, job: Job, domain: Domain, disk: Disk, health: Health, extra: Sequence[str]
    ) -> None:
        """Ask for a disk's counters, with times where these are wanted and libvirt has them: one call serves both."""
        if extra:
            serves = (defaults.DISK, *extra)
            self._ask(connection.disk_times, job, domain.uuid, selectors.DISK_TIMES, disk.target, health, serves)
            if not self._missing.covers(selectors.DISK_TIMES, disk.target, health):
                return
            job.hear()
        self._ask(connection.disk, job, domain.uuid, defaults.DISK, disk.target, health)

    def _ask_disks(
        self, connection: DomainCalls, job: Job, domain: Domain, health: Health, extra: Sequence[str]
    ) -> bool:
        """Ask for the counters of all disks at once; returns False where libvirt does not give them that way."""
        what = selectors.BULK + selectors.LAYERS
        taken, wall = self._clock(), self._wall()
        failed = job.failed
        found = self._ask(lambda uuid, _: connection.disks(uuid), job, domain.uuid, what, "", health, ())
        job.hear()
        job.touched = bool(found)
        if not found:
            # Nothing is missing because of it, since each disk is asked then.
            job.failed = failed
            return False
        for disk in reported(domain):
            if disk.target in found:
                for purpose in (defaults.DISK, *extra):
                    self._put(Sample(domain.uuid, purpose, disk.target, taken, wall, found[disk.target]))
        return True

    def _ask_extras(
        self,
        connection: DomainCalls,
        job: Job,
        domain: Domain,
        health: Health,
        wanted: Iterable[Ask],
        info: Info | None = None,
        knows_rss: bool = False,
    ) -> bool:
        """Make the calls that only ExtraStats selectors need; False where libvirtd has no worker for them any more."""
        for ask in wanted:
            if self.gate.check_workers():
                return False
            if ask.what == selectors.VCPUS and info is None:
                # How many there are is not known.
                continue
            call = functools.partial(_make, connection, ask, 0 if info is None else info.vcpus, knows_rss)
            reply = self._ask(call, job, domain.uuid, ask.what, ask.prefix, health, ask.serves)
            job.hear()
            if ask.groups and ask.what in self._missing:
                self._ask_memory(connection, job, domain, health, ask, knows_rss)
            if isinstance(reply, dict) and ask.what in selectors.JOBS:
                for name, text in extras.notes_of_job(reply, ask.prefix):
                    self._put(Note(domain.uuid, "job_stats", name, text))
        return True

    def _ask_layers(
        self, connection: DomainCalls, job: Job, domain: Domain, health: Health, serves: Sequence[str]
    ) -> None:
        """Ask for the images of all disks; the reply goes by disk to the selectors it serves."""
        what = selectors.BULK + selectors.LAYERS
        call = functools.partial(_layers, connection)
        taken, wall = self._clock(), self._wall()
        reply = self._ask(call, job, domain.uuid, what, "", health, ())
        images = {} if reply is None else extras.layers(reply)
        for disk in reported(domain):
            for selector in serves if disk.target in images else ():
                self._put(Sample(domain.uuid, selector, disk.target, taken, wall, images[disk.target]))

    def _ask_errors(self, connection: DomainCalls, job: Job, domain: Domain, health: Health) -> None:
        """Ask which disks fail; those that do not are said to be well."""
        taken, wall = self._clock(), self._wall()
        call = functools.partial(_errors, connection)
        failing = self._ask(call, job, domain.uuid, defaults.ERRORS, "", health, ())
        if failing is None:
            return
        for disk in domain.description.disks:
            code = failing.get(disk.target, 0)
            self._put(Sample(domain.uuid, defaults.ERRORS, disk.target, taken, wall, code))

    def _ask(
        self,
        call: Callable[[str, str], T],
        job: Job,
        uuid: str,
        what: str,
        device: str,
        health: Health,
        serves: Sequence[str] | None = None,
    ) -> T | None:
        """Ask for one device's counters; an error costs these only.

        The reply is put once, or once for each selector it is said to serve, and returned; None where there is none.
        """
        if self._missing.covers(what, device, health):
            return None
        taken, wall = job.doing(what, what in PRIORITY), self._wall()
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

    def _ask_outside(self, connection: DomainCalls, job: Job, domain: Domain, nic: Nic, health: Health) -> None:
        """Ask for the counters of an interface for which libvirt asks another program, if it is time for that."""
        if self._missing.covers(defaults.NIC, nic.target, health):
            return
        job.doing(ASK_OUTSIDE, priority=True)
        if not self.outside.begin(domain.name, nic.target):
            job.failed = True
            return
        failure: Error | None = None
        reply = None
        taken, wall = job.doing(ASK_OUTSIDE, priority=True), self._wall()
        try:
            reply = connection.nic(domain.uuid, nic.target)
        except (CallFailed, DomainGone, Unsupported) as error:
            failure = error
        finally:
            slow = self.outside.end()
        if reply is not None:
            self._put(Sample(domain.uuid, defaults.NIC, nic.target, taken, wall, reply))
        if slow:
            # What libvirt says then has its reason in that program, which was said already.
            job.failed = job.failed or reply is None
            health.slow.add(nic.target)
            return
        health.slow.discard(nic.target)
        job.doing(defaults.NIC, priority=True)
        if isinstance(failure, Unsupported):
            self._note_unsupported(job, failure, defaults.NIC, nic.target, health)
        elif failure is not None:
            job.failed = True
            self._report(job, failure, nic.target)

    def _ask_memory(
        self, connection: DomainCalls, job: Job, domain: Domain, health: Health, ask: Ask, knows_rss: bool
    ) -> None:
        """Ask for what a libvirt without bulk statistics tells of memory by another call."""
        serves = [name for name in ask.serves if name in MEMORY_SELECTORS]
        if serves:
            call = functools.partial(_memory, connection, knows_rss)
            self._ask(call, job, domain.uuid, MEMORY_STATS, "", health, serves)
            job.hear()

    def _note_unsupported(self, job: Job, error: Unsupported, what: str, device: str, health: Health) -> None:
        """Remember what need not be asked again, and say so once."""
        if self._missing.note(error, what, device, health):
            self._report(job, error, device)

    def _report(self, job: Job, error: Error, device: str = "") -> None:
        report(self._put, job, error, self._clock(), device)


def reported(domain: Domain) -> list[Disk]:
    """The disks of a domain whose values are asked for."""
    return [disk for disk in domain.description.disks if disk.reported]


def _storage(domain: Domain) -> frozenset[str]:
    """The storage domains of a domain; where they are not known, the domain counts as one of its own."""
    return frozenset(domain.description.storage or (domain.uuid,))


def _state(connection: DomainCalls, uuid: str, device: str) -> tuple[int, int]:
    return connection.state(uuid)


def _errors(connection: DomainCalls, uuid: str, device: str) -> dict[str, int]:
    return connection.disk_errors(uuid)


def _layers(connection: DomainCalls, uuid: str, device: str) -> dict[str, Any]:
    return connection.stats(uuid, (selectors.LAYERS,))


def _make(connection: DomainCalls, ask: Ask, vcpus: int, knows_rss: bool, uuid: str, device: str) -> Extra:
    """Make a call that only ExtraStats selectors need.

    Arguments:
        vcpus: how many the domain has, for calls of class A.
        knows_rss: whether the kernel has told already how much memory of its process is resident.
    """
    if ask.groups:
        return _rest(connection.stats(uuid, ask.groups), knows_rss)
    if ask.what == selectors.VCPUS:
        return connection.vcpus(uuid, vcpus, affinity="vcpupin" in ask.serves)
    if ask.what == selectors.CPU_TIMES:
        return connection.cpu_times(uuid)
    return connection.job(uuid, completed=ask.what == selectors.COMPLETED_JOB)


def _memory(connection: DomainCalls, knows_rss: bool, uuid: str, device: str) -> dict[str, Any]:
    return _rest(connection.memory(uuid), knows_rss)


def _rest(reply: dict[str, Any], knows_rss: bool) -> dict[str, Any]:
    """Leave out of a reply what the kernel has told already, because a series has one point in a read."""
    return {name: value for name, value in reply.items() if name != BALLOON_RSS} if knows_rss else reply


def _chosen(sizes: DiskSizes, kinds: Iterable[str]) -> dict[str, int]:
    """The sizes that were asked for, by type: ``disk_capacity`` and so on."""
    return {kind: getattr(sizes, kind[len("disk_") :]) for kind in kinds}
