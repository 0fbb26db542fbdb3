"""Records of what an assembly consists of: what runs by itself, and what collectd is to call."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Part(Protocol):
    """What has threads."""

    def stop(self) -> None:
        """Let them end, without waiting for them."""


class Running(NamedTuple):
    """Something that runs by itself."""

    thread: str
    """The name of its threads; ``*`` stands for a number."""
    period: str
    """When it does something: options by their names."""
    bound: str
    """What bounds it where something below it never returns."""
    part: Part | None = None
    """What is told to stop; None where it ends by itself or with the process."""


class Callback(NamedTuple):
    """What collectd is to call."""

    name: str
    """Its name at collectd."""
    reader: str
    """The reader, as messages call it."""
    interval: float
    """Seconds between two calls."""
    read: Callable[[], None]
