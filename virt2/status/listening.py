"""Makes the status socket: a file that nobody else may use, and that takes nobody's place.

Only the socket's owner (and root) may connect, from the first moment on: the file has its mode when it gets its name.
The umask is not changed for that, because it belongs to the whole process.

A file that is no socket, and a socket where somebody listens, are left alone. A socket that nobody listens at is
replaced. In the end the socket is removed, unless another one has its name by then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator

from virt2.errors import Error

MODE = 0o600
BACKLOG = 128
"""Clients that the kernel lets wait to be accepted."""
LOCK_PATIENCE = 1.0
"""Seconds for which another process may hold the folder's lock. It protects the moment in which a socket is replaced;
who could hold it for ever must not keep the socket from being made."""
LOCK_LOOK = 0.02
"""Seconds between two attempts to get it."""


class NoSocket(Error):
    """There can be no status socket now. The text says why and what to do."""


class Listener:
    """The socket that listens, and which file it is."""

    def __init__(self, path: str, sock: socket.socket, file: tuple[int, int]) -> None:
        self.path = path
        self.sock = sock
        self._file = file

    @property
    def is_there(self) -> bool:
        """Whether the socket still has its name, so that clients come to it."""
        return _file_at(self.path) == self._file

    def close(self) -> None:
        """Take no more clients. The file is removed if it is still this socket."""
        # The file goes first: while somebody listens at it, no other daemon takes its place.
        if self.is_there:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.sock.close()


def listen(path: str, pause: Callable[[float], bool]) -> Listener:
    """Make the socket that listens at a path.

    Arguments:
        pause: waits for a number of seconds; returns true where nobody wants the socket any more.

    Raises:
        NoSocket: that cannot be; what is at the path is left alone.
    """
    try:
        with _locked(os.path.dirname(path), pause):
            return _bound(path)
    except OSError as error:
        raise NoSocket(
            f"the status socket {path} cannot be made: {error.strerror or error}; set StatusSocket to a path in a"
            " folder that collectd's user may write to, or to none"
        ) from None


def _bound(path: str) -> Listener:
    """The same. Raises OSError as well."""
    with contextlib.ExitStack() as cleanup:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        cleanup.callback(sock.close)
        # The file that bind makes gets the mode of the socket, less the umask.
        os.fchmod(sock.fileno(), MODE)
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            sock.bind(path)
        found = os.lstat(path)
        listener = Listener(path, sock, (found.st_dev, found.st_ino))
        cleanup.callback(listener.close)
        if stat.S_IMODE(found.st_mode) & ~MODE:
            raise NoSocket(f"the status socket {path} cannot be kept from others on this system; set it to none")
        sock.listen(BACKLOG)
        cleanup.pop_all()
        return listener


def _remove_stale(path: str) -> None:
    """Remove a socket that nobody listens at.

    Raises:
        NoSocket: it is something else.
        OSError: it cannot be removed.
    """
    mode = os.lstat(path).st_mode
    if not stat.S_ISSOCK(mode):
        raise NoSocket(
            f"there is no status socket, because {path} is {_kind(mode)}, which is left alone; remove it or set"
            " StatusSocket to another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EPROTOTYPE):
                raise
            who = "another process"
        else:
            who = _peer(probe)
    raise NoSocket(
        f"this virt2 has no status socket, because {who} listens at {path} already; set StatusSocket to another path"
        " for one of them, or to none"
    )


def _peer(sock: socket.socket) -> str:
    """Who listens at the other end."""
    size = struct.calcsize("3i")
    pid: int = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
    return f"process {pid}" if pid else "a process of another namespace"


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "no socket"


def _file_at(path: str) -> tuple[int, int] | None:
    """Which file is at a path; None where there is none, or it cannot be seen."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def _locked(folder: str, pause: Callable[[float], bool]) -> Iterator[None]:
    """Hold a folder's lock, so that of two daemons that find a stale socket one does not replace that of the other.

    Raises:
        OSError: there is no such folder.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        # Whoever may not read a folder may still be allowed to make a socket there.
        yield
        return
    try:
        limit = time.monotonic() + LOCK_PATIENCE
        while not _take(descriptor) and time.monotonic() < limit:
            if pause(LOCK_LOOK):
                break
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Whether nobody else has a lock; it is ours then, if this file system has locks at all."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
