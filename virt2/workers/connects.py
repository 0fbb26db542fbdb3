"""Connections to libvirtd that are being made: how many, since when, and why they do not come.

Opening a connection is a priority call at libvirtd: it holds none of the workers that the budget counts. But it blocks
for as long as libvirtd accepts nobody: at its limit of clients, without file descriptors, or frozen. Then every further
attempt is one more thread that waits for the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol


class Clients(Protocol):
    """What libvirtd says of its clients."""

    @property
    def clients(self) -> int:
        """Connections now open, of all clients."""

    @property
    def max_clients(self) -> int:
        """How many it admits."""


class Connects:
    """The attempts that are under way, of all who share them, and how the last one ended.

    Nothing here blocks, and any thread may call it.
    """

    def __init__(self) -> None:
        self._begun: dict[object, float] = {}
        self.refusal = ""
        """Why the last attempt failed; empty when it did not."""
        self.refused_since: float | None = None
        """When the first of those failed that have failed since one succeeded, monotonic seconds."""

    def __repr__(self) -> str:
        return f"<Connects pending={self.pending} refusal={self.refusal!r}>"

    @property
    def pending(self) -> int:
        """Attempts that are under way."""
        return len(self._begun)

    @property
    def since(self) -> float | None:
        """When the oldest attempt that is under way began, monotonic seconds; None where there is none."""
        return min(tuple(self._begun.values()), default=None)

    def includes(self, who: object) -> bool:
        """Whether an attempt of theirs is under way."""
        return who in self._begun

    @contextlib.contextmanager
    def attempt(self, who: object, clock: Callable[[], float]) -> Iterator[None]:
        """Note the attempt that is made inside."""
        self.begin(who, clock())
        refusal = ""
        try:
            yield
        except Exception as error:
            refusal = str(error) or repr(error)
            raise
        finally:
            self.end(who, clock(), refusal)

    def begin(self, who: object, now: float) -> None:
        """Note that somebody is about to connect."""
        self._begun[who] = now

    def end(self, who: object, now: float, refusal: str = "") -> None:
        """Note that it has a connection, or why it has none."""
        self._begun.pop(who, None)
        self.refusal = refusal
        if not refusal:
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = now

    def give_up(self, who: object) -> None:
        """Note that the attempt was never made."""
        self._begun.pop(who, None)


def lack(connects: Connects, now: float, patience: float, limits: Clients | None, unknown: str) -> str:
    """Say in words that connections do not come; empty where they do.

    Arguments:
        connects: the attempts.
        now: monotonic seconds.
        patience: seconds after which one that does not come is worth a word.
        limits: what libvirtd says of its clients, None when unknown.
        unknown: why that is unknown, in words.
    """
    since, refused_since = connects.since, connects.refused_since
    if since is not None and now - since >= patience:
        return f"libvirtd has not answered an attempt to connect for {now - since:.0f} s: {_reason(limits, unknown)}"
    if refused_since is not None and now - refused_since >= patience:
        return f"libvirtd has refused every attempt to connect for {now - refused_since:.0f} s: {connects.refusal}"
    return ""


def _reason(limits: Clients | None, unknown: str) -> str:
    if limits is None:
        return f"how many clients it has and admits is unknown ({unknown})"
    count = f"it has {limits.clients} clients of {limits.max_clients} allowed (max_clients)"
    if limits.clients >= limits.max_clients:
        return f"{count}, ours and others'; raise max_clients in its configuration or find out who holds them"
    return f"{count}, so it is slow, or out of file descriptors; its log may tell"
