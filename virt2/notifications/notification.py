"""A notification, and who takes one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from virt2.output.naming import Identity

OKAY = "okay"
WARNING = "warning"
FAILURE = "failure"
"""The severities that collectd has."""


class Notification(NamedTuple):
    """One notification of collectd's, but for the plugin's name."""

    severity: str
    """`OKAY`, `WARNING` or `FAILURE`."""
    message: str
    identity: Identity
    type: str
    """A name in types.db; collectd refuses others."""
    type_instance: str
    meta: Mapping[str, str | int]
    time: float
    """Wall time of what it tells of."""


Compose = Callable[[], Iterable[Notification]]
"""Makes notifications on the notifier's thread: for what takes longer than whoever knows of it can wait."""


class Notify(Protocol):
    """`Notifier.notify`, for whoever has nothing else to do with a notifier."""

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
        """`severity` is `OKAY`, `WARNING` or `FAILURE`."""
