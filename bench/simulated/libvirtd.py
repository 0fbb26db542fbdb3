"""A libvirtd that knows nothing of its domains and takes as long as the real one. Run inside a simulated host.

    python -m bench.simulated.libvirtd DOMAINS

Each connection is served by a thread, one call after the other: a call is REQUEST, and its reply is one byte, because
all that can be known is known to the client. A call waits for one of libvirtd's workers, then it keeps a processor busy
and waits for as long as was recorded of such calls. The interpreter is released meanwhile. The client and this process
share the processors of the machine, as virt2 shares them with libvirtd and the QEMUs.

The admin socket is served as libvirtd 9.0 does it, as far as it tells of workers and clients.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.simulated import latencies
from bench.simulated.latencies import CALLS, PRIORITY, Latencies

MIN_WORKERS, MAX_WORKERS, PRIORITY_WORKERS = 5, 20, 5
"""libvirtd's defaults."""
MAX_CLIENTS = 5000
PROCESSORS = 2
"""The host has so many, however many this machine has."""
RUN = Path("/run")
FOLDER = RUN / "libvirt"
SOCKET, ADMIN_SOCKET = FOLDER / "libvirt-sock-ro", FOLDER / "libvirt-admin-sock"
PID_FILE = RUN / "libvirtd.pid"
REQUEST = struct.Struct("=H")
"""The number of a call in `CALLS`."""
REPLY = b"\0"
NULL = len(CALLS)
"""The number of a call that takes no time: by it the client finds out what the way there and back takes."""
TRIALS = 500
"""Calls that find that out."""
LEAST_WAIT = 100e-6
"""Seconds: the kernel takes about half of that to wake whoever waits, so what is shorter is spent busy."""
SAMPLE = 20_000
"""Rounds of the hash by which the speed of the processor is found out."""


class Workers:
    """libvirtd's workers: how many calls it serves at a time."""

    def __init__(self, most: int = MAX_WORKERS, priority: int = PRIORITY_WORKERS) -> None:
        self._most = most
        self._priority = priority
        self._changed = threading.Condition()
        self._busy = 0
        self._busy_priority = 0
        self._started = MIN_WORKERS
        self._queued = 0

    @contextlib.contextmanager
    def one(self, is_priority: bool) -> Iterator[None]:
        """Have one of them for the length of a ``with``; waits until there is one."""
        with self._changed:
            self._queued += 1
            self._changed.wait_for(
                lambda: self._busy < self._most or (is_priority and self._busy_priority < self._priority)
            )
            self._queued -= 1
            ordinary = self._busy < self._most
            if ordinary:
                self._busy += 1
                self._started = max(self._started, self._busy)
            else:
                self._busy_priority += 1
        try:
            yield
        finally:
            with self._changed:
                if ordinary:
                    self._busy -= 1
                else:
                    self._busy_priority -= 1
                self._changed.notify_all()

    def parameters(self) -> dict[str, int]:
        """What the admin interface calls them."""
        with self._changed:
            return {
                "minWorkers": MIN_WORKERS,
                "maxWorkers": self._most,
                "nWorkers": self._started,
                "freeWorkers": self._started - self._busy,
                "prioWorkers": self._priority,
                "jobQueueDepth": self._queued,
            }


class Processor:
    """Keeps a processor busy without the interpreter."""

    def __init__(self) -> None:
        self._rounds_per_second = SAMPLE / min(self._timed(SAMPLE) for _ in range(5))

    def spend(self, seconds: float) -> None:
        """Be busy for so long, on a machine that does nothing else."""
        rounds = int(seconds * self._rounds_per_second)
        if rounds > 0:
            self._hash(rounds)

    def _timed(self, rounds: int) -> float:
        began = time.perf_counter()
        self._hash(rounds)
        return time.perf_counter() - began

    def _hash(self, rounds: int) -> None:
        hashlib.pbkdf2_hmac("sha256", b"virt2", b"bench", rounds)


class Server:
    """Serves calls.

    Arguments:
        recorded: what calls take.
        domains: how many there are.
        spend: keeps a processor busy for some seconds.
        sleep: waits for some seconds.
    """

    def __init__(
        self,
        recorded: Latencies,
        domains: int,
        spend: Callable[[float], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.workers = Workers()
        self.overhead = 0.0
        """Seconds that the way there and back takes by itself; every call takes as much less."""
        self.clients = 0
        self._recorded = recorded
        self._domains = domains
        self._spend = spend
        self._sleep = sleep
        self._dice = random.Random(1)

    def serve(self, connection: socket.socket) -> None:
        """Answer the calls of one connection until it is closed; the body of a thread."""
        self.clients += 1
        try:
            with connection:
                while request := connection.recv(REQUEST.size, socket.MSG_WAITALL):
                    (number,) = REQUEST.unpack(request)
                    if number != NULL:
                        self.take_time(CALLS[number])
                    connection.sendall(REPLY)
        except ConnectionError:
            # The client has gone without taking leave.
            return
        finally:
            self.clients -= 1

    def take_time(self, call: str) -> None:
        """Take as long as such a call takes."""
        with self.workers.one(call in PRIORITY):
            busy, waiting = self._recorded.draw(call, self._domains, self._dice)
            if waiting < LEAST_WAIT:
                busy, waiting = busy + waiting, 0.0
            self._spend(busy - self.overhead)
            if waiting:
                self._sleep(waiting)


class Admin:
    """Serves the admin protocol, as far as `virt2.sources.admin` speaks it."""

    HEADER = struct.Struct(">7I")
    OPEN, CLOSE, WORKERS, CLIENTS = 1, 2, 6, 12
    REPLY_KIND, UNSIGNED = 1, 2

    def __init__(self, server: Server) -> None:
        self._server = server

    def serve(self, connection: socket.socket) -> None:
        """Answer until the client takes leave or is gone; the body of a thread."""
        with connection, connection.makefile("rwb") as stream:
            while header := stream.read(self.HEADER.size):
                size, program, version, procedure, _, serial, _ = self.HEADER.unpack(header)
                stream.read(size - self.HEADER.size)
                payload = self._answer(procedure)
                length = self.HEADER.size + len(payload)
                stream.write(
                    self.HEADER.pack(length, program, version, procedure, self.REPLY_KIND, serial, 0) + payload
                )
                stream.flush()
                if procedure == self.CLOSE:
                    return

    def _answer(self, procedure: int) -> bytes:
        if procedure == self.WORKERS:
            return self._parameters(self._server.workers.parameters())
        if procedure == self.CLIENTS:
            return self._parameters({"nclients_max": MAX_CLIENTS, "nclients": self._server.clients})
        if procedure in (self.OPEN, self.CLOSE):
            return b""
        raise ValueError(f"the admin interface is asked for procedure {procedure}, which nobody makes here")

    def _parameters(self, values: dict[str, int]) -> bytes:
        packed = struct.pack(">I", len(values))
        for name, value in values.items():
            text = name.encode()
            packed += struct.pack(">I", len(text)) + text + bytes(-len(text) % 4)
            packed += struct.pack(">II", self.UNSIGNED, value)
        return packed


class Listener:
    """Has a thread serve each connection to a socket, from now on until it is closed.

    Arguments:
        path: where the socket is made.
        serve: serves one connection until its client is gone.
    """

    def __init__(self, path: Path, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        # Whoever waits for one is told by this, and not by closing.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()


def overhead(path: Path) -> float:
    """Seconds that a call takes which takes no time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))
        took = []
        for _ in range(TRIALS):
            began = time.perf_counter()
            client.sendall(REQUEST.pack(NULL))
            client.recv(len(REPLY))
            took.append(time.perf_counter() - began)
    return statistics.median(took)


def pin() -> None:
    """Keep to the same two processors as everybody else in the simulation."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:PROCESSORS])


def main() -> None:
    """Serve until killed."""
    pin()
    # As virt2 makes sure that a pid file leads to a libvirtd.
    Path("/proc/self/comm").write_text("libvirtd")
    server = Server(latencies.load(latencies.FILE.read_text()), int(sys.argv[1]), Processor().spend)
    FOLDER.mkdir(exist_ok=True)
    calls = Listener(SOCKET, server.serve)
    server.overhead = overhead(SOCKET)
    limits = Listener(ADMIN_SOCKET, Admin(server).serve)
    PID_FILE.write_text(f"{os.getpid()}\n")
    try:
        threading.Event().wait()
    finally:
        limits.close()
        calls.close()


if __name__ == "__main__":
    main()
