"""The record of a notification, and the functions that make or take one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from virt2.output.naming import Identity

OKAY = "okay"
WARNING = "warning"
FAILURE = "failure"
"""The severities that collectd has."""


class Notification(NamedTuple):
    """One of collectd's notifications, without the plugin's name."""

    severity: str
    """`OKAY`, `WARNING` or `FAILURE`."""
    message: str
    identity: Identity
    type: str
    """A name in types.db. collectd refuses all others."""
    type_instance: str
    meta: Mapping[str, str | int]
    time: float
    """Wall time of what happened."""


Compose = Callable[[], Iterable[Notification]]
"""Makes notifications on the notifier's thread, because the thread that knows what happened must not wait that long."""


class Notify(Protocol):
    """The type of `Notifier.notify`. Most modules need nothing else of a notifier."""

    def __call__(
        self,
        severity: str,
        message: str,
        identity: Identity,
        *,
        type: str = ...,
        type_instance: str = ...,
        meta: Mapping[str, str | int] | None = ...,
    ) -> None:
        """Have a notification sent. `severity` is `OKAY`, `WARNING` or `FAILURE`."""
