"""Stands between libvirtd and its clients, and notes every call that they make.

A relay takes the place of one of libvirtd's sockets: who connects after that is handed on to the real one. What is
counted is what goes over the wire, whichever client library makes however many calls of one.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .machine import Lab

READ_ONLY = "/run/libvirt/libvirt-sock-ro"
ADMIN = "/run/libvirt/libvirt-admin-sock"
CHUNK = 1 << 16
"""Bytes taken at a time."""
END_TIMEOUT = 10.0
"""Seconds for a thread whose sockets were shut."""
CALL = 0
"""The message type of a call (VIR_NET_CALL), as against replies, events and keepalives."""

_LENGTH = struct.Struct(">I")
"""Every message begins with its length in bytes, this field included."""
_HEADER = struct.Struct(">IIIiiII")
"""Length, program, version, procedure, type, serial, status: libvirt's virnetprotocol.x."""
_REMOTE_PROGRAM = 0x20008086
_ADMIN_PROGRAM = 0x06900690
_NAMES = {
    1: "open",
    6: "getInfo",
    14: "XMLDesc",
    16: "info",
    20: "vcpus",
    23: "lookupByName",
    24: "lookupByUUID",
    60: "supportsFeature",
    64: "blockStats",
    65: "interfaceStats",
    157: "getLibVersion",
    159: "memoryStats",
    163: "jobInfo",
    194: "blockInfo",
    212: "state",
    229: "controlInfo",
    238: "blockJobInfo",
    243: "blockStatsFlags",
    262: "getCPUStats",
    263: "diskErrors",
    265: "metadata",
    273: "listAllDomains",
    293: "getCPUMap",
    298: "jobStats",
    344: "domainListGetStats",
    351: "ioThreadInfo",
}
"""Procedures of libvirt's remote_protocol.x by number, as libvirt-python calls them; a test asks for each of these."""


class Call(NamedTuple):
    """One call that a client made."""

    when: float
    """Monotonic seconds."""
    name: str
    """As libvirt-python has it, or `admin`; program and number for what is not in the table."""


class Relay:
    """A context manager that relays one of a lab's sockets.

    Arguments:
        lab: it is up; its libvirtd is not restarted while this stands.
        path: of the socket, as the lab's processes see it.
    """

    def __init__(self, lab: Lab, path: str = READ_ONLY) -> None:
        self._path = lab.inside(path)
        self._real = self._path.with_name(f"{self._path.name}.real")
        self._listener = socket.socket(socket.AF_UNIX)
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._calls: list[Call] = []

    def __enter__(self) -> Relay:
        self._path.rename(self._real)
        with _short(self._path) as path:
            self._listener.bind(path)
        self._path.chmod(0o777)
        self._listener.listen()
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._real.replace(self._path)
        # Closing alone does not wake a thread that waits on a socket.
        with self._lock:
            for end in (self._listener, *self._ends):
                _shut(end)
        for thread in self._threads:
            thread.join(END_TIMEOUT)

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in the order they were made."""
        with self._lock:
            return list(self._calls)

    def _start(self, body: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=body, args=arguments, name="relay", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        """The thread that takes clients."""
        with self._listener, contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                with _short(self._real) as path:
                    server.connect(path)
                with self._lock:
                    self._ends += [client, server]
                self._start(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        """The thread of one client, until one side closes."""
        pending = b""
        with client, server, contextlib.suppress(OSError):
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    if source is client:
                        pending = self._note(pending + data)
                    (server if source is client else client).sendall(data)

    def _note(self, data: bytes) -> bytes:
        """Note the calls in what a client sent; returns the beginning of a message that is not complete."""
        now = time.monotonic()
        while len(data) >= _HEADER.size:
            length, program, _, procedure, kind, _, _ = _HEADER.unpack_from(data)
            if len(data) < length:
                break
            if kind == CALL:
                with self._lock:
                    self._calls.append(Call(now, _name(program, procedure)))
            data = data[length:]
        return data


def bursts(calls: Sequence[Call], apart: float) -> list[list[Call]]:
    """Split calls where nobody made one for so many seconds: the cycles of a client that is idle in between."""
    found: list[list[Call]] = []
    for call in calls:
        if not found or call.when - found[-1][-1].when > apart:
            found.append([])
        found[-1].append(call)
    return found


def _name(program: int, procedure: int) -> str:
    if program == _REMOTE_PROGRAM and procedure in _NAMES:
        return _NAMES[procedure]
    return "admin" if program == _ADMIN_PROGRAM else f"{program:#x}/{procedure}"


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """A path short enough for a socket's address, which the one through /proc may not be."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
