"""libvirtd's own worker limits, asked through libvirt-admin: the only user of that library.

libvirt-python does not bind libvirt-admin, so this is a small ctypes binding to the C library, and a poller that
keeps asking on a thread of its own: the admin interface answers when every worker of libvirtd is busy, but hangs
with a libvirtd that is frozen. ``python3 -m virt2.admin [URI]`` prints the limits.

Structures, constants and names of parameters are those of ``libvirt/libvirt-common.h`` and
``libvirt/libvirt-admin.h``; the functions used exist since libvirt 2.0.0.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from virt2 import errors

log = logging.getLogger(__name__)

SYSTEM_RUN_DIR = "/run/libvirt"
"""Where the system daemons keep their sockets."""

DAEMONS = {"qemu": "virtqemud", "lxc": "virtlxcd", "xen": "virtxend", "vz": "virtvzd", "ch": "virtchd"}
"""Drivers that live in a daemon, and the daemon that has the driver to itself where libvirt is split into several.
Other drivers (``test``, ``esx``, ...) run inside the client: nobody's workers are used."""


SLOW = 1.0
"""Seconds after which an attempt itself is the reason for not knowing: it takes under 1 ms when all is well."""


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
    max_clients: int | None = None
    clients: int | None = None
    """Connections now open, of all clients; None where libvirtd does not say."""

    @property
    def available(self) -> int:
        """How many more normal calls libvirtd could take on at once."""
        return self.max_workers - (self.workers - self.free_workers)


class Server(NamedTuple):
    """Whom to ask: one server of one daemon."""

    uri: str
    """The admin URI, such as ``libvirtd:///system``."""
    name: str
    """The server inside the daemon that serves ordinary clients."""


def admin_uri(
    connection_uri: str, run_dir: str = SYSTEM_RUN_DIR, environ: Mapping[str, str] = os.environ
) -> tuple[Server, ...]:
    """Say where the limits of the daemon behind a connection could be had, the likeliest first.

    The one big daemon and the split ones may both be installed: the admin socket that exists tells which one runs,
    and a socket left behind by a daemon that was killed is why there can be two answers. An admin URI is accepted
    as well and answers for itself.

    Arguments:
        connection_uri: as given to, or better as told by libvirt; empty means libvirt's default for this user.
        run_dir: where the system daemons keep their sockets.
        environ: tells where the user's own daemons keep theirs.

    Raises:
        AdminUnavailable: no daemon of this host is behind the connection, or none has an admin socket.
    """
    connection_uri = connection_uri or ("qemu:///system" if os.geteuid() == 0 else "qemu:///session")
    try:
        uri = urlsplit(connection_uri)
    except ValueError as error:
        raise AdminUnavailable(f"{connection_uri} is not a URI: {error}") from error
    if uri.scheme == "libvirtd" or uri.scheme in DAEMONS.values():
        return (Server(connection_uri, uri.scheme),)
    driver, _, transport = uri.scheme.partition("+")
    if uri.netloc or transport not in ("", "unix"):
        raise AdminUnavailable(f"{connection_uri} is served over the network, libvirt-admin only works locally")
    if driver not in DAEMONS or uri.path not in ("", "/", "/system", "/session"):
        raise AdminUnavailable(f"{connection_uri} is not served by a libvirt daemon")
    level = "session" if uri.path == "/session" else "system"
    parameters = dict(part.partition("=")[::2] for part in uri.query.split("&"))
    socket = unquote(parameters.get("socket", ""))
    if socket:
        folder = os.path.dirname(socket)
    elif level == "session":
        folder = os.path.join(_user_runtime_dir(environ), "libvirt")
    else:
        folder = run_dir
    names = ["libvirtd", DAEMONS[driver]]
    if os.path.basename(socket).startswith(DAEMONS[driver]):
        names.reverse()
    servers = []
    for name in names:
        path = os.path.join(folder, "libvirt-admin-sock" if name == "libvirtd" else f"{name}-admin-sock")
        if os.path.exists(path):
            query = f"?socket={quote(path)}" if folder != SYSTEM_RUN_DIR else ""
            servers.append(Server(f"{name}:///{level}{query}", name))
    if not servers:
        raise AdminUnavailable(f"no admin socket of {' or '.join(names)} in {folder}")
    return tuple(servers)


def _user_runtime_dir(environ: Mapping[str, str]) -> str:
    """The folder GLib, and so libvirt, takes for the user's sockets."""
    return environ.get("XDG_RUNTIME_DIR") or environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def read_limits(uri: str) -> Limits:
    """Ask the daemon behind a connection URI (or an admin URI) for its limits; hangs with a frozen daemon.

    Takes 0.7 ms, most of it to connect. In a process that has registered libvirt's event implementation somebody
    must run its loop: only there is the socket of a closed connection given back.

    Raises:
        AdminUnavailable: library absent, no socket, refused, or a reply without what we need.
    """
    reasons = []
    for server in admin_uri(uri):
        try:
            return _library().limits(server)
        except AdminUnavailable as error:
            reasons.append(f"{server.uri}: {error.reason}")
    raise AdminUnavailable("; ".join(reasons))


class _Value(ctypes.Union):
    """The value of a virTypedParameter."""

    _fields_ = [
        ("i", ctypes.c_int),
        ("ui", ctypes.c_uint),
        ("l", ctypes.c_longlong),
        ("ul", ctypes.c_ulonglong),
        ("d", ctypes.c_double),
        ("b", ctypes.c_char),
        ("s", ctypes.c_char_p),
    ]


class _TypedParameter(ctypes.Structure):
    """virTypedParameter: a name, the kind of value and the value."""

    _fields_ = [("field", ctypes.c_char * 80), ("type", ctypes.c_int), ("value", _Value)]


_INTEGERS = {1: "i", 2: "ui", 3: "l", 4: "ul"}
"""The member of the union for each integer kind of virTypedParameterType; all we ask for are integers."""

_Parameters = ctypes.POINTER(_TypedParameter)


@functools.lru_cache(maxsize=1)
def _library() -> _Library:
    """Load the libraries once they are there; a failure is not remembered, they may be installed later."""
    return _Library()


class _Library:
    """The C functions, with their types."""

    def __init__(self) -> None:
        try:
            common = ctypes.CDLL("libvirt.so.0")
            admin = ctypes.CDLL("libvirt-admin.so.0")
        except OSError as error:
            raise AdminUnavailable(f"the libvirt-admin library cannot be loaded: {error}") from error
        pointer = ctypes.c_void_p
        flags = ctypes.c_uint
        query = [pointer, ctypes.POINTER(_Parameters), ctypes.POINTER(ctypes.c_int), flags]
        self._error = _declare(common, "virGetLastErrorMessage", ctypes.c_char_p, [])
        self._free_params = _declare(common, "virTypedParamsFree", None, [_Parameters, ctypes.c_int])
        self._initialize = _declare(admin, "virAdmInitialize", ctypes.c_int, [])
        self._open = _declare(admin, "virAdmConnectOpen", pointer, [ctypes.c_char_p, flags])
        self._close = _declare(admin, "virAdmConnectClose", ctypes.c_int, [pointer])
        self._lookup = _declare(admin, "virAdmConnectLookupServer", pointer, [pointer, ctypes.c_char_p, flags])
        self._free_server = _declare(admin, "virAdmServerFree", ctypes.c_int, [pointer])
        self._workers = _declare(admin, "virAdmServerGetThreadPoolParameters", ctypes.c_int, query)
        self._clients = _declare(admin, "virAdmServerGetClientLimits", ctypes.c_int, query)
        if "libvirt" not in sys.modules:
            _silence(common)
        if self._initialize() < 0:
            raise self._unavailable()

    def limits(self, server: Server) -> Limits:
        """Ask one server; nothing stays open, whatever happens."""
        connection = self._open(server.uri.encode("utf-8", "surrogateescape"), 0)
        if not connection:
            raise self._unavailable()
        try:
            handle = self._lookup(connection, server.name.encode(), 0)
            if not handle:
                raise self._unavailable()
            try:
                return _limits({**self._read(self._workers, handle), **self._read(self._clients, handle)})
            finally:
                self._free_server(handle)
        finally:
            self._close(connection)

    def _read(self, function: Callable[..., int], handle: int) -> dict[str, int]:
        """Call one of the functions that answer with a list of parameters, and give its integers."""
        params = _Parameters()
        count = ctypes.c_int(0)
        if function(handle, ctypes.byref(params), ctypes.byref(count), 0) < 0:
            raise self._unavailable()
        try:
            found = params[: count.value]
            return {p.field.decode(): getattr(p.value, _INTEGERS[p.type]) for p in found if p.type in _INTEGERS}
        finally:
            self._free_params(params, count)

    def _unavailable(self) -> AdminUnavailable:
        """What libvirt says of the call that just failed on this thread."""
        return AdminUnavailable(self._error().decode("utf-8", "replace"))


def _declare(library: ctypes.CDLL, name: str, result: Any, arguments: list[Any]) -> Callable[..., Any]:
    """A C function with its types made explicit: ctypes takes anything unsaid for an int, and cuts pointers."""
    try:
        function = library[name]
    except AttributeError as error:
        raise AdminUnavailable(f"this libvirt has no {name}") from error
    function.restype = result
    function.argtypes = arguments
    return function


def _silence(common: ctypes.CDLL) -> None:
    """Keep libvirt from printing errors on stderr; a process that has libvirt-python registers its own handler.

    The handler is a C function that does nothing with a NULL first argument: a Python one could be called by
    a thread that comes back from a hung call when the interpreter is no more.
    """
    set_error_func = _declare(common, "virSetErrorFunc", None, [ctypes.c_void_p, ctypes.c_void_p])
    set_error_func(None, ctypes.cast(common.virTypedParamsFree, ctypes.c_void_p))


def _limits(reply: Mapping[str, int]) -> Limits:
    """Limits from libvirt's names."""
    try:
        return Limits(
            min_workers=reply["minWorkers"],
            max_workers=reply["maxWorkers"],
            workers=reply["nWorkers"],
            free_workers=reply["freeWorkers"],
            priority_workers=reply["prioWorkers"],
            job_queue_depth=reply["jobQueueDepth"],
            max_clients=reply.get("nclients_max"),
            clients=reply.get("nclients"),
        )
    except KeyError as error:
        raise AdminUnavailable(f"the reply lacks {error.args[0]}") from error


class AdminPoller:
    """Ask for the limits on a thread of its own, one attempt at a time; a hung attempt costs that thread only.

    The thread starts with the first ``poke`` and ends at ``stop``, or, where an attempt hangs, when that returns.

    Arguments:
        read: one attempt: gives Limits or raises AdminUnavailable, and may hang.
        max_age: seconds after which an answer is no longer given out.
        clock: monotonic seconds.
    """

    def __init__(self, read: Callable[[], Limits], max_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._max_age = max_age
        self._clock = clock
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._asked = 0  # pokes so far
        self._settled = 0  # of these, the ones an attempt begun later has ended for
        self._began: float | None = None  # when the attempt now in flight began
        self._limits: Limits | None = None
        self._taken: float | None = None  # when the attempt that gave the limits began
        self._failure = "no answer yet"

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "idle" if self._began is None else "asking"
        return f"<AdminPoller {state} limits={self.limits()} reason={self.reason!r}>"

    def poke(self) -> None:
        """Ask for a new reading without waiting; while an attempt is in flight, for one more when it is over."""
        with self._changed:
            if self._stopped:
                return
            self._asked += 1
            self._changed.notify_all()
            if self._thread is not None:
                return
            thread = self._thread = threading.Thread(target=self._run, name="virt2/admin", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            # No threads left in this process: said as the reason, and tried again at the next poke.
            with self._changed:
                self._thread, self._failure = None, str(error)

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
                    return
                asked = self._asked
                self._began = began = self._clock()
            limits, failure = self._attempt()
            with self._changed:
                self._began = None
                self._settled = asked
                self._failure = failure
                if limits is not None:
                    self._limits, self._taken = limits, began
                self._changed.notify_all()

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
        limits = read_limits(arguments[0] if arguments else "")
    except AdminUnavailable as error:
        print(error.reason, file=sys.stderr)
        return 1
    for name, value in {**limits._asdict(), "available": limits.available}.items():
        print(f"{name:16} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
