"""The one read-write connection, shared by the workers that ask agents.

libvirt takes calls to a guest's agent on read-write connections only. There is never more than one of these. Each
worker has a hold on it, and the last that lets go closes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

from virt2.errors import Disconnected

PATIENCE = 0.5
"""Seconds for which a worker waits while another makes the connection, which takes 5 ms."""


class AgentCalls(Protocol):
    """A connection on which agents can be asked (see `virt2.sources.guest_agents.AgentConnection`)."""

    @property
    def alive(self) -> bool:
        """Whether it still stands."""

    def close(self) -> None:
        """Give it back."""

    def guest_info(self, uuid: str) -> dict[str, Any]:
        """All that the agent tells."""

    def fs_info(self, uuid: str) -> list[tuple[Any, ...]]:
        """Its file systems."""


class SharedConnection:
    """Makes the connection when it is first needed, and hands out holds on it.

    Arguments:
        connect: makes a connection; may block, may raise `Disconnected`.

    Attributes:
        refused: why the last attempt to connect failed; empty when it did not.
    """

    def __init__(self, connect: Callable[[], AgentCalls]) -> None:
        self.refused = ""
        self._connect = connect
        self._changed = threading.Condition()
        self._current: AgentCalls | None = None
        self._holds: dict[int, int] = {}
        self._connecting = False

    def hold(self) -> Hold:
        """Get a hold on the connection, which is made where there is none. Raises `Disconnected`."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._connecting, PATIENCE):
                raise Disconnected("the connection is still being made")
            if self._current is not None and self._current.alive:
                return self._held(self._current)
            self._connecting = True
        try:
            connection = self._connect()
        except Disconnected as error:
            self.refused = str(error)
            raise
        else:
            self.refused = ""
            with self._changed:
                self._current = connection
                return self._held(connection)
        finally:
            with self._changed:
                self._connecting = False
                self._changed.notify_all()

    def let_go(self, connection: AgentCalls) -> None:
        """Give a hold back."""
        with self._changed:
            self._holds[id(connection)] -= 1
            if self._holds[id(connection)]:
                return
            del self._holds[id(connection)]
            if self._current is connection:
                self._current = None
        connection.close()

    def _held(self, connection: AgentCalls) -> Hold:
        """Caller holds the lock."""
        self._holds[id(connection)] = self._holds.get(id(connection), 0) + 1
        return Hold(self, connection)


class Hold:
    """One worker's share in the connection. To a pool it is a connection."""

    def __init__(self, line: SharedConnection, connection: AgentCalls) -> None:
        self._line = line
        self.calls = connection

    @property
    def alive(self) -> bool:
        """Whether the connection still stands."""
        return self.calls.alive

    def close(self) -> None:
        """Let go of it."""
        self._line.let_go(self.calls)
