"""Connections to libvirtd that are being made: how many, since when, and why they fail.

Opening a connection is a priority call in libvirtd, so it holds none of the workers that the budget counts. But it
blocks for as long as libvirtd accepts nobody, because it is at its limit of clients, has no file descriptors left, or
is frozen. Then every further attempt is one more thread that waits for the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol


class Clients(Protocol):
    """What libvirtd says about its clients."""

    @property
    def clients(self) -> int:
        """How many connections are open now, of all clients."""

    @property
    def max_clients(self) -> int:
        """How many connections it allows."""


class Connects:
    """The attempts that are under way, by everybody who shares this record, and how the last one ended.

    Nothing here blocks. Any thread may call it.
    """

    def __init__(self) -> None:
        self._begun: dict[object, float] = {}
        self.refusal = ""
        """Why the last attempt failed; empty if it did not fail."""
        self.refused_since: float | None = None
        """When an attempt first failed after the last success, in monotonic seconds; None if none has failed since."""

    def __repr__(self) -> str:
        return f"<Connects pending={self.pending} refusal={self.refusal!r}>"

    @property
    def pending(self) -> int:
        """How many attempts are under way."""
        return len(self._begun)

    @property
    def since(self) -> float | None:
        """When the oldest attempt that is under way began, in monotonic seconds; None if there is none."""
        return min(tuple(self._begun.values()), default=None)

    def includes(self, who: object) -> bool:
        """Whether an attempt by `who` is under way."""
        return who in self._begun

    @contextlib.contextmanager
    def attempt(self, who: object, clock: Callable[[], float]) -> Iterator[None]:
        """Note the attempt that is made in the body of the `with` statement."""
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
        """Note that `who` is about to connect."""
        self._begun[who] = now

    def end(self, who: object, now: float, refusal: str = "") -> None:
        """Note that `who` has a connection, or why it has none."""
        self._begun.pop(who, None)
        self.refusal = refusal
        if not refusal:
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = now

    def give_up(self, who: object) -> None:
        """Note that the attempt by `who` was never made."""
        self._begun.pop(who, None)


def lack(connects: Connects, now: float, patience: float, limits: Clients | None, unknown: str) -> str:
    """Say in words that connections cannot be made; empty if they can.

    Arguments:
        connects: the attempts.
        now: monotonic seconds.
        patience: seconds after which an attempt that has not succeeded is worth a message.
        limits: what libvirtd says about its clients, None if that is unknown.
        unknown: why it is unknown, in words.
    """
    since, refused_since = connects.since, connects.refused_since
    if since is not None and now - since >= patience:
        return f"libvirtd has not answered an attempt to connect for {now - since:.0f} s: {_reason(limits, unknown)}"
    if refused_since is not None and now - refused_since >= patience:
        return f"libvirtd has refused every attempt to connect for {now - refused_since:.0f} s: {connects.refusal}"
    return ""


def _reason(limits: Clients | None, unknown: str) -> str:
    if limits is None:
        return f"how many clients it has and allows is unknown ({unknown})"
    count = f"it has {limits.clients} clients of {limits.max_clients} allowed (max_clients)"
    if limits.clients >= limits.max_clients:
        return f"{count}, ours and others'; raise max_clients in its configuration or find out who holds them"
    return f"{count}, so it is slow, or has no file descriptors left; its log may say more"
