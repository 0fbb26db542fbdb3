"""Asks libvirtd for its own worker limits, over its admin socket.

This speaks libvirt's wire protocol itself, in about 100 lines, and does not load the libvirt-admin library. That one
registers libvirt's object types a second time, and a process that has opened both kinds of connection crashes,
whichever came first (seen with 9.0). libvirt-python does not bind it either. Protocol, numbers of procedures and names
of parameters are those of libvirt's ``virnetprotocol.x`` and ``admin_protocol.x``, version 1.

The admin interface answers even when every worker of libvirtd is busy, but hangs with a libvirtd that is frozen. So the
poller asks on a thread of its own. ``python3 -m virt2.sources.admin [URI]`` prints the limits.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator

from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.sources.daemon import admin_servers

LEAVE = 0.1
"""Seconds that the daemon has to answer when we take leave."""


def read_limits(uri: str, timeout: float | None = None) -> Limits:
    """Ask the daemon behind a connection URI (or an admin URI) for its limits.

    Arguments:
        uri: see `virt2.sources.daemon.place`.
        timeout: seconds that a daemon may take for each step; None for as long as it wants. A frozen one takes for
            ever, and each attempt that is given up stays in its backlog, so whoever asks again and again should wait.

    Raises:
        AdminUnavailable: no socket, refused, or a reply without what we need.
    """
    session = Session(uri, timeout)
    try:
        return session.limits()
    finally:
        session.close()


def ask(connection: socket.socket, server: str) -> Limits:
    """Ask a daemon's server for its limits over a fresh connection to the daemon's admin socket.

    Raises:
        AdminUnavailable: refused, or a reply without what we need.
        OSError: the connection failed.
    """
    with _understood():
        _call(connection, _CONNECT_OPEN, _NO_FLAGS)
    return ask_again(connection, server)


def ask_again(connection: socket.socket, server: str) -> Limits:
    """Ask over a connection that `ask` was given before. Raises what `ask` raises."""
    name = _xdr_string(server.encode())
    with _understood():
        told = _parameters(_call(connection, _SERVER_GET_THREADPOOL_PARAMETERS, name + _NO_FLAGS))
        told.update(_parameters(_call(connection, _SERVER_GET_CLIENT_LIMITS, name + _NO_FLAGS)))
        return Limits(
            min_workers=told["minWorkers"],
            max_workers=told["maxWorkers"],
            workers=told["nWorkers"],
            free_workers=told["freeWorkers"],
            priority_workers=told["prioWorkers"],
            job_queue_depth=told["jobQueueDepth"],
            max_clients=told["nclients_max"],
            clients=told["nclients"],
        )


class Session:
    """Asks one daemon again and again over one connection, which takes a tenth of a millisecond. For one thread.

    Arguments:
        uri: see `virt2.sources.daemon.place`.
        timeout: seconds that a daemon may take for each step, None for as long as it wants.
    """

    def __init__(self, uri: str, timeout: float | None = None) -> None:
        self._uri = uri
        self._timeout = timeout
        self._connection: socket.socket | None = None
        self._server = ""

    def __repr__(self) -> str:
        return f"<Session {self._uri}>"

    def limits(self) -> Limits:
        """Ask for the limits as they are now; connects where that is necessary.

        Raises:
            AdminUnavailable: no socket, refused, or a reply without what we need.
        """
        if self._connection is not None:
            try:
                return ask_again(self._connection, self._server)
            except (OSError, AdminUnavailable):
                # The daemon may have been restarted since then, so what a new connection brings is what counts.
                self._drop()
        return self._open()

    def close(self) -> None:
        """Take leave, because a client that just hangs up earns a line in libvirtd's log."""
        if self._connection is not None:
            with contextlib.suppress(OSError, AdminUnavailable), _understood():
                self._connection.settimeout(LEAVE)
                _call(self._connection, _CONNECT_CLOSE, b"")
            self._drop()

    def _open(self) -> Limits:
        servers, reason = admin_servers(self._uri)
        if not servers:
            raise AdminUnavailable(reason)
        reasons = []
        for server in servers:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connection, self._server = connection, server.name
            connection.settimeout(self._timeout)
            try:
                connection.connect(server.path)
                return ask(connection, server.name)
            except OSError as error:
                reasons.append(f"{server.path}: {error.strerror or error}")
            except AdminUnavailable as error:
                reasons.append(f"{server.path}: {error.reason}")
            self._drop()
        raise AdminUnavailable("; ".join(reasons))

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """Say in words what is wrong with a reply."""
    try:
        yield
    except KeyError as error:
        raise AdminUnavailable(f"the reply lacks {error.args[0]}") from error
    except struct.error as error:
        raise AdminUnavailable("the reply cannot be understood") from error
    except (BrokenPipeError, ConnectionResetError) as error:
        # There are three ways to notice that the daemon hung up. It depends on who was faster.
        raise AdminUnavailable(_CLOSED) from error


_PROGRAM = 0x06900690
_VERSION = 1
_CONNECT_OPEN = 1
_CONNECT_CLOSE = 2
_SERVER_GET_THREADPOOL_PARAMETERS = 6
_SERVER_GET_CLIENT_LIMITS = 12

_NO_FLAGS = struct.pack(">I", 0)

_CALL = 0
_REPLY = 1
"""Kinds of message."""

_OK = 0
"""Status of a call, and of the reply to one that worked."""

_HEADER = struct.Struct(">7I")
"""Length of the message including this word, program, version, procedure, kind of message, serial number, status."""

_MOST = 1 << 16
"""Bytes that may come for one call: the reply, and messages before it that are none, such as keepalives. The replies
here have a few hundred bytes. Whoever sends more would keep us here for as long as he likes."""

_CLOSED = "the daemon closed the connection"
"""It does so when it ends, and to a user whom it will not serve."""

_VALUES = {1: ">i", 2: ">I", 3: ">q", 4: ">Q", 5: ">d", 6: ">i"}
"""How each kind of virTypedParameter is sent: int, unsigned, their long forms, double, boolean. Kind 7 is a string."""


def _call(connection: socket.socket, procedure: int, arguments: bytes) -> _Reply:
    """Call one procedure and wait for what it returns."""
    # There is one call at a time, so the number of the procedure serves as the serial number.
    header = (_PROGRAM, _VERSION, procedure, _CALL, procedure, _OK)
    connection.sendall(_HEADER.pack(_HEADER.size + len(arguments), *header) + arguments)
    room = _MOST
    while True:
        size, program, _, _, kind, serial, status = _HEADER.unpack(_receive(connection, _HEADER.size))
        if not _HEADER.size <= size <= room:
            raise AdminUnavailable("this is not libvirt's protocol")
        room -= size
        reply = _Reply(_receive(connection, size - _HEADER.size))
        if (program, kind, serial) != (_PROGRAM, _REPLY, procedure):
            continue
        if status == _OK:
            return reply
        _code, _domain, has_message = reply.number(">i"), reply.number(">i"), reply.number(">I")
        raise AdminUnavailable((has_message and reply.string()) or "the daemon refused and gave no reason")


def _receive(connection: socket.socket, size: int) -> bytes:
    """Receive exactly `size` bytes."""
    data = bytearray()
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise AdminUnavailable(_CLOSED)
        data += more
    return bytes(data)


class _Reply:
    """What a procedure returned. It is read in order; what cannot be read raises struct.error."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._position)
        self._position += struct.calcsize(form)
        try:
            return int(value)
        except (ValueError, OverflowError) as error:
            # It is a double, and no number or without end.
            raise struct.error(f"{value} is no whole number") from error

    def string(self) -> str:
        size = self.number(">I")
        (text,) = struct.unpack_from(f"{size}s", self._data, self._position)
        self._position += size + -size % 4
        return str(text, "utf-8", "replace")


def _xdr_string(text: bytes) -> bytes:
    """Give the length of a text, its bytes, and zeros up to a multiple of four."""
    return struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)


def _parameters(reply: _Reply) -> dict[str, int]:
    """Read a list of virTypedParameter; those that are not numbers are left out."""
    found = {}
    for _ in range(reply.number(">I")):
        field, kind = reply.string(), reply.number(">i")
        if kind in _VALUES:
            found[field] = reply.number(_VALUES[kind])
        else:
            reply.string()
    return found


def main(arguments: list[str]) -> int:
    """Print the limits, one on a line. Gives 1 where they are not known, and prints why."""
    try:
        limits = read_limits(arguments[0] if arguments else "", timeout=10.0)
    except AdminUnavailable as error:
        print(error.reason, file=sys.stderr)
        return 1
    for name, value in {**limits._asdict(), "available": limits.available}.items():
        print(f"{name:16} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
