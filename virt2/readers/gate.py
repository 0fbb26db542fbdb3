"""How a domain's monitor is approached: what shows that it would not answer, without asking it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from virt2.domains.health import Health
from virt2.errors import CallFailed, DomainBusy, DomainGone, Missing, Unsupported
from virt2.metrics.defaults import INFO
from virt2.model.domain import Domain
from virt2.model.replies import Control, Info
from virt2.readers.records import Outcome, Put, report
from virt2.readers.unsupported import CONTROL_INFO, MissingCalls
from virt2.workers.budget import Doubt
from virt2.workers.job import MONITOR, Again, Job

CONTROL_BROKEN = 2
"""libvirt's VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR: the detail of state ERROR where it cannot talk to the monitor."""
CONTROL_INTERNAL = 3
"""VIR_DOMAIN_CONTROL_ERROR_REASON_INTERNAL: the detail while somebody has the domain's job and is not in the monitor,
as libvirt 9.0 says while a device removal waits for the guest."""
CONTROL_OK, CONTROL_JOB, CONTROL_OCCUPIED, CONTROL_ERROR = range(4)
"""libvirt's virDomainControlState."""

STATES = {"T": "process stopped", "D": "process in uninterruptible sleep"}
"""What it is called that a QEMU's process will not answer, by its state."""

LOOKS = (0.02, 0.08, 0.3)
"""Seconds until the next look at a monitor that somebody else is in. Their calls take 1 to 100 ms, so a domain that a
management system happens to talk to keeps its point. Together they are well under the deadline of a read."""
WAIT_FOR_ANSWER = 0.02
"""Seconds until a job is tried again while another one finds out whether libvirtd has workers."""
WAIT_FOR_STATE = 0.02
"""Seconds until a domain's class B job is tried again when its class A job has not come back yet."""


class Processes(Protocol):
    """What is seen of a domain's QEMU without asking anybody (see `virt2.sources.procfs`)."""

    def stopped(self, uuid: str, name: str) -> str:
        """T or D where its main thread is stopped or in uninterruptible sleep; otherwise empty."""


class MonitorCalls(Protocol):
    """What is needed of a connection to look at a domain's monitor (see `virt2.sources.hypervisor.Connection`)."""

    def control(self, uuid: str) -> Control:
        """Who is inside the monitor."""

    def info(self, uuid: str) -> Info:
        """The domain's state, memory and CPU time, which need libvirtd alone."""


C = TypeVar("C", bound=MonitorCalls)


class Gate:
    """Says whether a domain's monitor may be used now. One gate serves all readers.

    Arguments:
        processes: looked at before a monitor is used; None to do without.
        pre_scan: whether libvirt's control info is looked at before a monitor is used.
        alone: tells, by when a domain last answered, that nobody else can be inside its monitor.
        check_workers: tells whether libvirtd answers priority calls only.
        doubt: tells whether that may be so, and a call that needs no monitor has to show it.
        stuck_after: seconds for which a job of somebody else is thought to end soon.
        clock: monotonic seconds.

    Attributes:
        alone, check_workers: as above.
        missing: calls that this libvirt does not have.
    """

    def __init__(
        self,
        *,
        processes: Processes | None = None,
        pre_scan: bool = True,
        alone: Callable[[float | None], bool] = lambda answered: False,
        check_workers: Callable[[], bool] = lambda: False,
        doubt: Callable[[], Doubt] = lambda: Doubt.NONE,
        stuck_after: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.alone = alone
        self.check_workers = check_workers
        self._doubt = doubt
        self.missing = MissingCalls()
        self._processes = processes
        self._pre_scan = pre_scan
        self._stuck_after = stuck_after
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Gate pre_scan={self._pre_scan} processes={self._processes is not None}>"

    @property
    def sees_processes(self) -> bool:
        """Whether the processes of domains are looked at."""
        return self._processes is not None

    @property
    def can_look(self) -> bool:
        """Whether it can be seen without using a domain's monitor if that is blocked."""
        return self._processes is not None or (self._pre_scan and CONTROL_INFO not in self.missing)

    def stopped(self, domain: Domain) -> str:
        """T or D where the domain's process is stopped or in uninterruptible sleep; empty where it is not seen so."""
        return "" if self._processes is None else self._processes.stopped(domain.uuid, domain.name)

    def control(self, connection: MonitorCalls, job: Job, domain: Domain, put: Put) -> Control | None:
        """Give libvirt's word on who is inside a monitor; None where it does not tell, which ends no job."""
        if CONTROL_INFO in self.missing:
            return None
        job.doing(CONTROL_INFO, priority=True)
        try:
            return connection.control(domain.uuid)
        except Missing as error:
            self.missing.add(CONTROL_INFO, str(error))
        except (CallFailed, Unsupported) as error:
            report(put, job, error, self._clock())
        return None

    def obstacle(
        self, connection: MonitorCalls, job: Job, domain: Domain, put: Put, *, last: bool, alone: bool = False
    ) -> Outcome | None:
        """Why the monitor is not to be used now, if it is not.

        The process is looked at first, because that costs nobody anything. Then libvirt says who is inside, unless
        nobody can be.

        Arguments:
            put: takes what went wrong with the look itself.
            last: whether this is the last look. A job (a migration, say) that began a moment ago is let pass only then,
                when it did not end by itself.
            alone: whether nobody else can be inside.
        """
        now = self._clock()
        letter = "" if self._processes is None else self._processes.stopped(domain.uuid, domain.name)
        if letter:
            return Outcome(domain.uuid, MONITOR, now, False, STATES[letter])
        if alone or not self._pre_scan:
            return None
        control = self.control(connection, job, domain, put)
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
            words = (
                "libvirt has lost its connection to this monitor;"
                " restart libvirtd, and the domain if that does not help"
            )
        elif control.detail == CONTROL_INTERNAL:
            words = "held by another client outside the monitor"
        else:
            words = "libvirt calls this monitor unusable and does not say why; see libvirtd's log, and restart libvirtd"
        return Outcome(domain.uuid, MONITOR, now, False, words)

    def through(
        self, domain: Domain, health: Health, ask: Callable[[C, Job], bool], put: Put
    ) -> Callable[[C, Job], None]:
        """The work of a job that asks something of a monitor, once that looks free.

        The work puts one `Outcome`, and raises `Again` while somebody is inside and there are looks left.

        Arguments:
            ask: makes the calls; returns False where libvirtd has no worker for the rest of them.
            put: takes the records.
        """
        looks = list(LOOKS)

        def work(connection: C, job: Job) -> None:
            taken = self._clock()
            if health.incoming is None:
                if not self.check_workers():
                    raise Again(WAIT_FOR_STATE)
                put(Outcome(domain.uuid, MONITOR, taken, answered=False))
                return
            if health.incoming:
                put(Outcome(domain.uuid, MONITOR, taken, answered=True))
                return
            try:
                if self.check_workers():
                    # A look needs no worker. What touches the storage has time.
                    found = None if job.storage else self.obstacle(connection, job, domain, put, last=True)
                    put(found or Outcome(domain.uuid, MONITOR, taken, answered=False))
                    return
                doubt = self._doubt()
                if doubt is Doubt.ASKED:
                    raise Again(WAIT_FOR_ANSWER)
                if doubt is Doubt.UNASKED:
                    job.doing(INFO, server=True)
                    connection.info(domain.uuid)
                    job.hear()
                alone = not health.blocked and self.alone(health.answered)
                last = not looks or health.blocked
                obstacle = self.obstacle(connection, job, domain, put, last=last, alone=alone)
                # What a domain is known to be blocked by gets one look a read, so that it does not make reads longer.
                if obstacle is not None and looks and (not health.blocked or health.is_another(obstacle.entered)):
                    raise Again(looks.pop(0))
                if obstacle is None:
                    taken = self._clock()
                    answered = ask(connection, job)
            except DomainBusy:
                cause = f"{job.what}, by another client"
                put(Outcome(domain.uuid, MONITOR, taken, False, cause, job.since))
            except (CallFailed, DomainGone, Unsupported) as error:
                report(put, job, error, self._clock())
                put(Outcome(domain.uuid, MONITOR, taken, answered=False))
            else:
                if obstacle is None:
                    put(Outcome(domain.uuid, MONITOR, taken, answered, complete=not job.failed))
                else:
                    put(obstacle._replace(taken=taken))

        return work
