"""libvirtd's own worker limits, asked over its admin socket.

This speaks libvirt's wire protocol itself, about 100 lines, instead of loading the libvirt-admin library: that
registers libvirt's object types a second time, and a process that has opened both kinds of connection crashes,
whichever came first (seen with 9.0; libvirt-python does not bind it either). Protocol, numbers of procedures and names
of parameters are those of libvirt's ``virnetprotocol.x`` and ``admin_protocol.x``, version 1.

The poller asks again and again on a thread of its own: the admin interface answers when every worker of libvirtd is
busy, but hangs with a libvirtd that is frozen. ``python3 -m virt2.sources.admin [URI]`` prints the limits.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from virt2 import errors, threads
from virt2.sources.daemon import admin_servers

log = logging.getLogger(__name__)

SLOW = 1.0
"""Seconds after which an attempt itself is the reason for not knowing: it takes under 1 ms when all is well."""


FIRST_RETRY = 1.0
"""Seconds from an attempt that was refused to the next one; doubled each time. A right that is missing does not come by
asking, and a daemon that is being restarted is asked anew as soon as libvirt is back."""
LONGEST_RETRY = 30.0
"""Seconds from an attempt that was refused to the next one at the most."""

LEAVE = 0.1
"""Seconds for the daemon to take leave of us."""


class AdminUnavailable(errors.Error):
    """The limits cannot be had.

    Attributes:
        reason: why, in words for the operator.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Limits(NamedTuple):
    """What libvirtd says of its own workers and clients; counts all of them."""

    min_workers: int
    max_workers: int
    workers: int
    """Normal workers started so far; more are started on demand, up to ``max_workers``."""
    free_workers: int
    """How many of the *started* workers are idle: not how many calls libvirtd has room for."""
    priority_workers: int
    """Workers that serve priority calls only, on top of ``max_workers``."""
    job_queue_depth: int
    """Calls that wait for a worker."""
    max_clients: int
    clients: int
    """Connections now open, of all clients."""

    @property
    def busy(self) -> int:
        """Normal workers that are in a call now, of all clients."""
        return self.workers - self.free_workers

    @property
    def available(self) -> int:
        """How many more normal calls libvirtd could take on at once."""
        return self.max_workers - self.busy


def read_limits(uri: str, timeout: float | None = None) -> Limits:
    """Ask the daemon behind a connection URI (or an admin URI) for its limits.

    Arguments:
        uri: see `virt2.sources.daemon.place`.
        timeout: seconds that a daemon may take for each step. A frozen one takes for ever, and each attempt given up
            waits for it in its backlog: who asks again and again had better wait, too.

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
    """Ask over a connection that was asked over before. Raises what `ask` does."""
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
    """Asks one daemon again and again over one connection: a tenth of a millisecond each. For one thread.

    Arguments:
        uri: see `virt2.sources.daemon.place`.
        timeout: seconds that a daemon may take for each step, None for as long as it wants.
    """

    def __init__(self, uri: str, timeout: float | None = None) -> None:
        self._uri = uri
        self._timeout = timeout
        self._connection: socket.socket | None = None
        self._server = ""

    def limits(self) -> Limits:
        """The limits as they are now; connects where that is necessary.

        Raises:
            AdminUnavailable: no socket, refused, or a reply without what we need.
        """
        if self._connection is not None:
            try:
                return ask_again(self._connection, self._server)
            except (OSError, AdminUnavailable):
                # The daemon may have been restarted since: what a new connection brings is what counts.
                self._drop()
        return self._open()

    def close(self) -> None:
        """Take leave, for who just hangs up earns a line in libvirtd's log."""
        if self._connection is not None:
            with contextlib.suppress(OSError, AdminUnavailable):
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
        # One of three ways to notice that the daemon hung up, depending on who was faster.
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

_LARGEST = 1 << 20
"""Bytes of a message we are ready to take; libvirt's own limit is 16 MiB, the replies here have a few hundred."""

_CLOSED = "the daemon closed the connection"
"""When it ended, and what it does to a user it will not serve."""

_VALUES = {1: ">i", 2: ">I", 3: ">q", 4: ">Q", 5: ">d", 6: ">i"}
"""How each kind of virTypedParameter is sent: int, unsigned, their long forms, double, boolean; 7 is a string."""


def _call(connection: socket.socket, procedure: int, arguments: bytes) -> _Reply:
    """Call one procedure and wait for what it returns."""
    # One call at a time: the number of the procedure will do for a serial number.
    header = (_PROGRAM, _VERSION, procedure, _CALL, procedure, _OK)
    connection.sendall(_HEADER.pack(_HEADER.size + len(arguments), *header) + arguments)
    while True:
        size, program, _, _, kind, serial, status = _HEADER.unpack(_receive(connection, _HEADER.size))
        if not _HEADER.size <= size <= _LARGEST:
            raise AdminUnavailable("this is not libvirt's protocol")
        reply = _Reply(_receive(connection, size - _HEADER.size))
        if (program, kind, serial) != (_PROGRAM, _REPLY, procedure):
            continue
        if status == _OK:
            return reply
        _code, _domain, has_message = reply.number(">i"), reply.number(">i"), reply.number(">I")
        raise AdminUnavailable(reply.string() if has_message else "refused without a reason")


def _receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise AdminUnavailable(_CLOSED)
        data += more
    return data


class _Reply:
    """What a procedure returned, to be read in order; struct.error past its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._position)
        self._position += struct.calcsize(form)
        return int(value)

    def string(self) -> str:
        size = self.number(">I")
        (text,) = struct.unpack_from(f"{size}s", self._data, self._position)
        self._position += size + -size % 4
        return str(text, "utf-8", "replace")


def _xdr_string(text: bytes) -> bytes:
    """Its length, its bytes, and zeros up to a multiple of four."""
    return struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)


def _parameters(reply: _Reply) -> dict[str, int]:
    """A list of virTypedParameter; those that are not numbers are left out."""
    found = {}
    for _ in range(reply.number(">I")):
        field, kind = reply.string(), reply.number(">i")
        if kind in _VALUES:
            found[field] = reply.number(_VALUES[kind])
        else:
            reply.string()
    return found


class AdminPoller:
    """Ask for the limits on a thread of its own, one attempt at a time; a hung attempt costs that thread only.

    The thread starts with the first ``poke`` and ends at ``stop``, or, where an attempt hangs, when that returns.

    Arguments:
        read: one attempt: gives Limits or raises AdminUnavailable, and may hang.
        max_age: seconds after which an answer is no longer given out.
        clock: monotonic seconds.
        leave: called by the thread when it ends.
        longest_retry: seconds at the most from an attempt that was refused to the next one.
    """

    def __init__(
        self,
        read: Callable[[], Limits],
        max_age: float,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[], None] = lambda: None,
        longest_retry: float = LONGEST_RETRY,
    ) -> None:
        self._read = read
        self._leave = leave
        self._max_age = max_age
        self._clock = clock
        self._changed = threading.Condition()
        self._started = False
        self._stopped = False
        self._asked = 0  # pokes so far
        self._settled = 0  # of these, the ones an attempt begun later has ended for
        self._began: float | None = None  # when the attempt now in flight began
        self._limits: Limits | None = None
        self._taken: float | None = None  # when the attempt that gave the limits began
        self._failure = "no answer yet"
        self._longest_retry = max(FIRST_RETRY, min(longest_retry, LONGEST_RETRY))
        self._backoff = FIRST_RETRY
        self._not_before: float | None = None  # while attempts are refused: when the next one is due

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "idle" if self._began is None else "asking"
        return f"<AdminPoller {state} limits={self.limits()} reason={self.reason!r}>"

    def poke(self) -> None:
        """Ask for a new reading without waiting; while an attempt is in flight, for one more when it is over.

        Does nothing where the last attempt was refused a short while ago.
        """
        with self._changed:
            if self._stopped or (self._not_before is not None and self._clock() < self._not_before):
                return
            self._asked += 1
            self._changed.notify_all()
            if self._started:
                return
            self._started = True
        try:
            threads.start("virt2/admin", self._run)
        except RuntimeError as error:
            # No threads left in this process: said as the reason, and tried again at the next poke.
            with self._changed:
                self._started, self._failure = False, str(error)

    def forgive(self) -> None:
        """Let the next poke ask, even if the last attempt was refused: the daemon may be another one now."""
        with self._changed:
            self._not_before, self._backoff = None, FIRST_RETRY

    def wait(self, timeout: float) -> bool:
        """Wait until every poke made so far is settled, by an answer or a refusal; False after `timeout` seconds."""
        with self._changed:
            asked = self._asked
            self._changed.wait_for(lambda: self._settled >= asked or self._stopped, timeout)
            return self._settled >= asked

    def stop(self) -> None:
        """Let the thread end, without waiting for it."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def limits(self) -> Limits | None:
        """The last answer, None when there is none young enough."""
        with self._changed:
            return self._limits if self._young() else None

    @property
    def age(self) -> float | None:
        """Seconds since the attempt that gave the last answer began; None without an answer."""
        with self._changed:
            return None if self._taken is None else self._clock() - self._taken

    @property
    def reason(self) -> str:
        """Why the limits are unknown, in words; empty when they are known."""
        with self._changed:
            if self._young():
                return ""
            waited = 0.0 if self._began is None else self._clock() - self._began
            return self._failure if waited < SLOW else f"no answer for {waited:.0f} s"

    def _young(self) -> bool:
        return self._taken is not None and self._clock() - self._taken <= self._max_age

    def _run(self) -> None:
        """The thread: an attempt whenever one is asked for."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asked > self._settled or self._stopped)
                if self._stopped:
                    break
                asked = self._asked
                self._began = began = self._clock()
            limits, failure = self._attempt()
            with self._changed:
                self._began = None
                self._settled = asked
                self._failure = failure
                if limits is not None:
                    self._limits, self._taken = limits, began
                    self._not_before, self._backoff = None, FIRST_RETRY
                else:
                    self._not_before = self._clock() + self._backoff
                    self._backoff = min(2 * self._backoff, self._longest_retry)
                self._changed.notify_all()
        self._leave()

    def _attempt(self) -> tuple[Limits | None, str]:
        try:
            return self._read(), "the last answer is too old"
        except AdminUnavailable as error:
            return None, error.reason
        except Exception as error:
            log.exception("reading libvirtd's limits failed unexpectedly")
            return None, repr(error)


def main(arguments: list[str]) -> int:
    """Print the limits, one per line; 1 when they cannot be had."""
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
