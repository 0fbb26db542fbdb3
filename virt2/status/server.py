"""The status socket: a thread of its own takes questions there, apart from everything that reads.

Guarantees:

* A client has `LIMIT` seconds for everything. At most `MOST_CLIENTS` are served at a time. While others wait, the one
  that has been there longest goes after `GRACE` seconds, so that nobody can keep the others out.
* Whatever fails costs the status socket alone. It is said once, and tried again every `AGAIN` seconds.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from virt2 import threads
from virt2.once import Once
from virt2.status import wire
from virt2.status.listening import Listener, NoSocket, listen

log = logging.getLogger(__name__)

LIMIT = 2.0
"""Seconds for a whole exchange."""
MOST_CLIENTS = 8
"""Clients that are served at a time. Each may make an answer of a megabyte wait in memory for its reader."""
GRACE = 0.05
"""Seconds that a client has for itself while others wait for its place. An exchange takes a few milliseconds."""
AGAIN = 60.0
"""Seconds between two looks whether the socket is still there, and between two attempts to make it."""
STOP_PATIENCE = 0.5
"""Seconds for which `Server.stop` waits for the socket to be removed, which takes under a millisecond."""
CHUNK = 65536
"""Bytes that are received at a time."""
MOST_SAID = 20
QUIETLY = socket.MSG_NOSIGNAL
"""How bytes are sent: a client that has gone is an error, and no signal for the whole daemon."""
NO_MORE_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

TOO_LATE = f"no whole question came within {LIMIT:g} s"
MADE_WAY = "others wait for the place of this client; ask again"


class Replies(Protocol):
    """Who answers (see `virt2.status.desk.Desk`)."""

    def reply(self, line: bytes) -> bytes:
        """Answer one line with one line. Never raises, never blocks."""

    def tidy(self) -> bool:
        """Forget what is not needed any more; returns whether there is something left to forget."""


class _Client:
    """One client and how far its exchange is."""

    __slots__ = ("came", "received", "sock", "to_send")

    def __init__(self, sock: socket.socket, came: float) -> None:
        self.sock = sock
        self.came = came
        self.received = bytearray()
        self.to_send: memoryview | None = None
        """What of its answer is still to be sent; None before there is an answer."""


class Server:
    """Takes questions at the status socket.

    Arguments:
        path: where the socket is.
        replies: who answers.
        clock: monotonic seconds.
    """

    def __init__(self, path: str, replies: Replies, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._replies = replies
        self._clock = clock
        self._said = Once(MOST_SAID, silent_when_full=True)
        self._is_told = False
        """Whether the last line was that there is no status socket."""
        self._started = False
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._wake: socket.socket | None = None
        """A byte sent here wakes the thread."""

    def __repr__(self) -> str:
        return f"<Server {self._path}>"

    def start(self) -> None:
        """Start the thread, unless that was done, or no thread can be started. The thread makes the socket."""
        if not self._started and not self._stopping.is_set():
            self._started = threads.try_start("virt2/status", self._run)

    def stop(self) -> None:
        """Let the thread remove the socket and end. Waits a short while for that."""
        self._stopping.set()
        wake = self._wake
        if wake is not None:
            with contextlib.suppress(OSError):
                wake.send(b"!", QUIETLY)
        if self._started:
            self._ended.wait(STOP_PATIENCE)

    def _run(self) -> None:
        """Make the socket and serve, until told to end; the thread's body."""
        try:
            while not self._stopping.is_set():
                self._attempt()
        finally:
            self._ended.set()

    def _attempt(self) -> None:
        """Make the socket, and serve for as long as it is there; where that fails, say so and wait."""
        try:
            with contextlib.ExitStack() as cleanup:
                wake, self._wake = socket.socketpair()
                cleanup.callback(self._wake.close)
                cleanup.callback(wake.close)
                wake.setblocking(False)
                listener = listen(self._path, self._stopping.wait)
                cleanup.callback(listener.close)
                if self._is_told:
                    log.info("the status socket %s is there now", self._path)
                    self._is_told = False
                _Serving(listener, wake, self._replies, self._clock, self._stopping.is_set).run()
            return
        except NoSocket as error:
            self._tell(str(error))
        except OSError as error:
            self._tell(f"the status socket {self._path} cannot be served: {error.strerror or error}")
        except Exception as error:
            if self._said.first(repr(error)):
                log.exception("unexpected failure of the status socket %s, said once", self._path)
        self._stopping.wait(AGAIN)

    def _tell(self, text: str) -> None:
        if self._said.first(text):
            self._is_told = True
            log.warning("%s; everything else goes on", text)


class _Serving:
    """Serves the clients of one listener, until it is to end or the listener's file is gone.

    Arguments:
        listener: where clients come.
        wake: readable when something else is to be looked at.
        replies: who answers.
        clock: monotonic seconds.
        is_stopping: whether it is to end.
    """

    def __init__(
        self,
        listener: Listener,
        wake: socket.socket,
        replies: Replies,
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        self._listener = listener
        self._wake = wake
        self._replies = replies
        self._clock = clock
        self._is_stopping = is_stopping
        self._clients: dict[int, _Client] = {}
        """By file descriptor, the one that has been there longest first."""
        self._selector = selectors.DefaultSelector()
        self._listens = False
        """Whether the selector tells of new clients."""
        self._rest_until = 0.0
        """Until when nobody is accepted, because the process has no more file descriptors."""
        self._looked = clock()
        """When it was last looked whether the file is there."""

    def run(self) -> None:
        """Serve."""
        with self._selector:
            self._selector.register(self._wake, selectors.EVENT_READ)
            try:
                while not self._is_stopping():
                    now = self._clock()
                    if now - self._looked >= AGAIN:
                        self._looked = now
                        if not self._listener.is_there:
                            return
                    self._serve(now)
            finally:
                for client in tuple(self._clients.values()):
                    self._drop(client)

    @property
    def _oldest(self) -> _Client | None:
        """The client that has been there longest."""
        return next(iter(self._clients.values()), None)

    def _is_full(self, now: float) -> bool:
        """Whether all places are taken, by clients that may stay a while yet."""
        oldest = self._oldest
        return oldest is not None and len(self._clients) >= MOST_CLIENTS and now - oldest.came < GRACE

    def _serve(self, now: float) -> None:
        """Wait for something to do, and do it."""
        self._look_for_clients(now)
        comes = False
        for key, _ in self._selector.select(self._patience(now)):
            if key.fileobj is self._wake:
                with contextlib.suppress(OSError):
                    self._wake.recv(CHUNK)
            elif key.fileobj is self._listener.sock:
                comes = True
            else:
                self._go_on(key.data)
        if comes:
            # After all others, because it may take the place of one of them.
            self._accept()
        now = self._clock()
        for client in tuple(self._clients.values()):
            if now - client.came < LIMIT:
                break
            self._refuse(client, TOO_LATE)

    def _patience(self, now: float) -> float:
        """Seconds until something is due without anybody's doing."""
        due = [self._looked + AGAIN]
        oldest = self._oldest
        if oldest is not None:
            due.append(oldest.came + (GRACE if self._is_full(now) else LIMIT))
        if self._rest_until > now:
            due.append(self._rest_until)
        if self._replies.tidy():
            due.append(now + GRACE)
        return max(0.0, min(due) - now)

    def _look_for_clients(self, now: float) -> None:
        """Have the selector tell of new clients as long as there is a place for one, or one that may be freed."""
        wanted = now >= self._rest_until and not self._is_full(now)
        if wanted and not self._listens:
            self._selector.register(self._listener.sock, selectors.EVENT_READ)
        elif self._listens and not wanted:
            self._selector.unregister(self._listener.sock)
        self._listens = wanted

    def _accept(self) -> None:
        """Take one client. Where all places are taken, the one that has been there longest makes way."""
        try:
            sock, _ = self._listener.sock.accept()
        except OSError as error:
            # Else it has changed its mind already.
            if error.errno in NO_MORE_FILES:
                self._rest_until = self._clock() + GRACE
            return
        oldest = self._oldest
        if oldest is not None and len(self._clients) >= MOST_CLIENTS:
            self._refuse(oldest, MADE_WAY)
        sock.setblocking(False)
        self._clients[sock.fileno()] = client = _Client(sock, self._clock())
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _go_on(self, client: _Client) -> None:
        """Go on with an exchange whose client has sent or taken something."""
        try:
            if client.to_send is None:
                self._receive(client)
            else:
                self._send(client)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # It has gone, and nobody is left to be told anything.
            self._drop(client)

    def _receive(self, client: _Client) -> None:
        data = client.sock.recv(CHUNK)
        client.received += data
        line, end, _ = client.received.partition(b"\n")
        if not data and not client.received:
            self._drop(client)
        elif len(line) > wire.LONGEST_QUESTION + 1:
            # One more for the carriage return of those who end lines with it.
            self._answer(client, wire.error(wire.TOO_LONG))
        elif end or not data:
            self._answer(client, self._replies.reply(bytes(line)))

    def _answer(self, client: _Client, answer: bytes) -> None:
        client.received.clear()
        client.to_send = memoryview(answer)
        self._selector.modify(client.sock, selectors.EVENT_WRITE, client)
        self._send(client)

    def _send(self, client: _Client) -> None:
        assert client.to_send is not None
        client.to_send = client.to_send[client.sock.send(client.to_send, QUIETLY) :]
        if not client.to_send:
            self._drop(client)

    def _refuse(self, client: _Client, sentence: str) -> None:
        """Let a client go, and tell it why if it takes that at once. Half of an answer is followed by nothing."""
        if client.to_send is None:
            with contextlib.suppress(OSError):
                client.sock.send(wire.error(sentence), QUIETLY)
        self._drop(client)

    def _drop(self, client: _Client) -> None:
        del self._clients[client.sock.fileno()]
        self._selector.unregister(client.sock)
        client.sock.close()
