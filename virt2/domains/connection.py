"""What this wing needs of libvirt, and a clock for each call over the inventory's own connection.

What hangs is one call. An attempt to list makes many, and may take long on a slow link while nothing hangs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from virt2.errors import Disconnected
from virt2.model.domain import Status
from virt2.model.events import Event
from virt2.model.replies import Control, Listed

T = TypeVar("T")

NEED_WORKER = frozenset({"xml", "backup", "metadata", "nics"})
"""Calls that libvirtd answers with a normal worker; all others that are made here are priority calls."""


class DomainCalls(Protocol):
    """The calls that describe one domain (see `virt2.sources.hypervisor.Connection`)."""

    def control(self, uuid: str) -> Control:
        """Whether somebody is inside the domain's monitor."""

    def xml(self, uuid: str) -> str:
        """The live XML."""

    def backup(self, uuid: str) -> str:
        """The XML of the backup that is under way; empty where there is none."""

    def metadata(self, uuid: str, namespace: str) -> str:
        """The metadata element of one namespace; empty where the domain has none."""

    def nics(self, uuid: str) -> list[str]:
        """The host's names of the interfaces that have one, without the XML."""


class Connection(DomainCalls, Protocol):
    """A connection to libvirt. Every call may block without limit."""

    def version(self) -> str:
        """Version of the libvirt at the other end."""

    def watch(self, sink: Callable[[Event], None]) -> bool:
        """Have `sink` called with every event, on a thread of libvirt's; it must only enqueue.

        Returns whether everything that changes a domain will be told.
        """

    def active(self) -> list[Listed]:
        """The active domains; blocks while any domain's object lock is held."""

    def paused(self) -> list[str]:
        """The UUIDs of active domains that are paused; blocks like `active`."""

    def statuses(self) -> list[Status]:
        """Every domain with its state; blocks like `active`."""

    def inactive(self) -> list[Status]:
        """Every domain that is not active, with its state; blocks like `active`."""

    def find(self, name: str) -> Listed:
        """Look one domain up by its name."""

    def close(self) -> None:
        """Give the connection back; never raises."""


class Hypervisor(Protocol):
    """What makes connections (see `virt2.sources.hypervisor.Hypervisor`)."""

    @property
    def uri(self) -> str:
        """The connection URI; empty for libvirt's own choice."""

    def connect(self) -> Connection:
        """Open a connection; raises `Disconnected` with libvirt's words."""


class Call(NamedTuple):
    """A call that is under way."""

    what: str
    """The name of the method."""
    since: float
    """When it was made."""


class Calls:
    """The call that is under way over the inventory's own connection. One thread makes calls; any thread asks.

    Arguments:
        clock: monotonic seconds.
        patience: seconds after which a call hangs.
    """

    def __init__(self, clock: Callable[[], float], patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._under_way: Call | None = None
        self._unanswered: float | None = None
        """When the call was made that hung until its connection was given up, as long as there is no word on a new one:
        a libvirtd that is frozen answers nobody who connects either."""

    def __repr__(self) -> str:
        return f"<Calls {self._under_way} unanswered={self._unanswered}>"

    def timed(self, connection: Connection) -> Connection:
        """The same connection; each call over it is noted while it is under way."""
        return cast(Connection, _Timed(connection, self))

    def make(self, what: str, call: Callable[..., T], *arguments: object) -> T:
        """Make a call, and note it meanwhile."""
        self._under_way = Call(what, self._clock())
        try:
            return call(*arguments)
        except Disconnected:
            if self.hung_for() > self._patience:
                self._unanswered = self._under_way.since
            raise
        finally:
            self._under_way = None

    def forget_unanswered(self) -> None:
        """Note that there is word on a new connection: it is made, or libvirtd has refused it."""
        self._unanswered = None

    def hung_for(self) -> float:
        """Seconds since the call was made that is under way; 0 where none is.

        A call whose connection was given up, because nothing came back, counts until libvirtd answers an attempt to
        connect.
        """
        call = self._under_way
        since = self._unanswered if call is None else call.since
        return 0.0 if since is None else self._clock() - since

    @property
    def describing(self) -> float | None:
        """When the call was made that is under way and needs a normal worker of libvirtd; None where there is none."""
        call = self._under_way
        return call.since if call is not None and call.what in NEED_WORKER else None


class _Timed:
    """A connection whose calls go through `Calls.make`."""

    def __init__(self, connection: Connection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._connection, name)
        return lambda *arguments: self._calls.make(name, call, *arguments)
