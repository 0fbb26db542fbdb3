"""A status server for tests of who asks: over a real socket, it answers as a test wants, well or badly."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator

from tests.unit.fake_time import BOUND
from tests.unit.status.snapshots import NOW, domain, inactive, snapshot, statuses, well
from virt2.status.desk import Desk
from virt2.status.snapshot import Call, Snapshot
from virt2.workers.job import MONITOR

Behave = Callable[[socket.socket, bytes], None]
"""Given a client and its line, sends what a test wants."""


class FakeStatus:
    """Serves one client after the other until it is closed.

    Attributes:
        asked: the lines that came.
        behave: what is done with each client; by default its question is answered from `snapshot`.
        is_over: set when it is closed, so that what holds a client can let go.
    """

    def __init__(self, path: str, known: Snapshot | None = None) -> None:
        self.path = path
        self.snapshot = a_host() if known is None else known
        self.asked: list[bytes] = []
        self.behave: Behave = self.answer
        self.is_over = threading.Event()
        self._desk = Desk(lambda: self.snapshot)
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.bind(path)
        os.chmod(path, 0o600)
        self._sock.listen(8)
        self._thread = threading.Thread(target=self._run, name="fake/status", daemon=True)
        self._thread.start()

    def answer(self, client: socket.socket, line: bytes) -> None:
        """Answer as virt2 does."""
        self._desk._given.clear()
        client.sendall(self._desk.reply(line))

    def say(self, line: bytes) -> None:
        """Answer everything with this."""
        self.behave = lambda client, asked: client.sendall(line)

    def say_answer(self, answer: object) -> None:
        """Answer everything with this answer, in the form of the wire."""
        self.say(json.dumps({"version": 1, "virt2": "9.9.9", "answer": answer}).encode() + b"\n")

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._sock.accept()
            except OSError:
                return
            # Who asks may leave at any time, and that is no failure here.
            with client, contextlib.suppress(OSError):
                client.settimeout(BOUND)
                line = client.makefile("rb").readline()
                self.asked.append(line)
                self.behave(client, line)

    def close(self) -> None:
        self.is_over.set()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self._thread.join(BOUND)
        assert not self._thread.is_alive()


def a_host() -> Snapshot:
    """A host with a domain that is well, one that is stuck, one of a hostile name, and one that is not active."""
    web, db = domain("web-1", tag="fast"), domain("db-1", 2, storage=("sd-2",))
    bad = domain("\x1b[31mbad\n", 3, storage=("sd-2",))
    stuck = well(db, blocked_since=NOW - 200, cause="blockStats")
    known = snapshot(web, db, bad)
    return known._replace(
        facts={**known.facts, db.uuid: stuck},
        statuses=statuses(inactive("old")),
        calls=[Call(db.uuid, MONITOR, "blockStats", NOW - 200)],
    )


def many(count: int) -> Snapshot:
    """A host with so many domains that are well."""
    return snapshot(*(domain(f"web-{number}", number + 1) for number in range(count)))


@contextlib.contextmanager
def serving(path: str, known: Snapshot | None = None) -> Iterator[FakeStatus]:
    server = FakeStatus(path, known)
    try:
        yield server
    finally:
        server.close()
