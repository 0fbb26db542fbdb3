"""What workers hand to a reader: records of what was asked, and of how that ended."""

from __future__ import annotations

from typing import Any, NamedTuple, Union

from virt2.model.domain import NO_ID


class Sample(NamedTuple):
    """What one call said of one domain."""

    uuid: str
    call: str
    """What it is for: a key of `virt2.metrics.defaults.MAPPING`, or a selector."""
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
    """Every call was answered, if only with an error."""
    cause: str = ""
    """Why the monitor could not be used, in words; empty when it could, or was not tried."""
    since: float | None = None
    """Since when, where that is known."""
    entered: float | None = None
    """When the one who is in the monitor entered it, by libvirt's word."""
    complete: bool = True
    """No value is missing because a call was answered with an error. What a driver does not have is not missing."""


class Note(NamedTuple):
    """A text that libvirt has among numbers: it goes out as a notification, once."""

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
