"""Records that workers hand to a reader: what was asked, and how that ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Union

from virt2.errors import DomainGone, Error
from virt2.metrics import defaults, selectors
from virt2.model.domain import NO_ID
from virt2.workers.job import Job

OF_DEVICES = frozenset({defaults.DISK, defaults.NIC, defaults.SIZES, selectors.DISK_TIMES})
"""Calls that are made for a disk or an interface."""


class Sample(NamedTuple):
    """What one call said of one domain."""

    uuid: str
    call: str
    """What the call was made for: a key of `virt2.metrics.defaults.MAPPING`, or a selector."""
    device: str
    """The disk or interface asked for; empty for the domain itself."""
    taken: float
    """The time before the call, monotonic seconds."""
    time: float
    """The same moment as wall time."""
    reply: object


class Outcome(NamedTuple):
    """How a job ended."""

    uuid: str
    kind: str
    taken: float
    """When it began, monotonic seconds."""
    answered: bool
    """Every call was answered, if only with an error."""
    cause: str = ""
    """Why the monitor could not be used, in words; empty when it could, or was not tried."""
    since: float | None = None
    """Since when the monitor could not be used, where that is known; monotonic seconds."""
    entered: float | None = None
    """When the one who is in the monitor entered it, by libvirt's word."""
    complete: bool = True
    """No value is missing because a call was answered with an error. What a driver does not have is not missing."""


class Note(NamedTuple):
    """A text that libvirt has among numbers. It goes out once, as a notification."""

    uuid: str
    type: str
    type_instance: str
    text: str


class Trouble(NamedTuple):
    """Something an operator should hear once, where the domain and the device are still there afterwards."""

    uuid: str
    text: str
    run: int = NO_ID
    """libvirt's number for the run of the domain that it happened to."""
    when: float = 0.0
    """Monotonic seconds."""
    device: str = ""
    """The disk or interface that it is about; empty for the domain as a whole."""


Record = Union[Sample, Outcome, Note, Trouble]

Put = Callable[[Record], None]
"""Takes a record; called from worker threads."""


def report(put: Put, job: Job, error: Error, now: float, device: str = "") -> None:
    """Put a trouble for the error that a call of a job ended with.

    That a domain or a device has just gone is normal; anything else is worth a line. libvirt may say anything of a
    domain that is just being destroyed, so the next list tells whether the trouble counts.

    Arguments:
        now: monotonic seconds.
        device: the disk or interface that was asked for; empty for the domain itself.
    """
    if not isinstance(error, DomainGone):
        text = f"{job.what}{device and ' ' + device}: {error}"
        put(Trouble(job.uuid, text, job.run, now, device if job.what in OF_DEVICES else ""))
