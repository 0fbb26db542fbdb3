"""The status socket and its clients, with real sockets and threads: also clients that mean no good."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.threads import started
from tests.unit.fake_time import BOUND, LOOK
from tests.unit.status.snapshots import domain, snapshot
from virt2 import threads
from virt2.status import server as server_module
from virt2.status import wire
from virt2.status.desk import Desk
from virt2.status.server import GRACE, MOST_CLIENTS, Server

HELLO = b'{"ask": "hello"}\n'
SHORT = 0.3
"""Seconds that stand in for the 2 s that a client has, in tests that wait for their end."""


class Replies:
    """Who answers: a desk, or something large."""

    def __init__(self) -> None:
        self.desk = Desk(lambda: snapshot(domain("web")))
        self.asked: list[bytes] = []
        self.size = 0
        self.wait = threading.Event()
        self.wait.set()

    def reply(self, line: bytes) -> bytes:
        self.asked.append(line)
        assert self.wait.wait(BOUND)
        return b"x" * self.size + b"\n" if self.size else self.desk.reply(line)

    def tidy(self) -> bool:
        return self.desk.tidy()


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "virt2.sock")


@pytest.fixture
def replies() -> Replies:
    return Replies()


@pytest.fixture
def servers(path, replies):
    """Makes servers, and stops them in the end."""
    made = []

    def make(at: str = path) -> Server:
        server = Server(at, replies)
        made.append(server)
        server.start()
        return server

    yield make
    replies.wait.set()
    for server in made:
        server.stop()


@pytest.fixture
def attempts(monkeypatch) -> list[str]:
    """The attempts to make the socket, one every few milliseconds."""
    monkeypatch.setattr(server_module, "AGAIN", 0.01)
    made = []
    real = server_module.listen

    def counting(at, pause):
        made.append(at)
        return real(at, pause)

    monkeypatch.setattr(server_module, "listen", counting)
    return made


@pytest.fixture
def server(servers, path) -> Server:
    made = servers()
    await_socket(path)
    return made


def wait_for(condition, what: str) -> None:
    limit = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(LOOK)


def await_socket(path: str) -> None:
    wait_for(lambda: listens(path), "nobody listens")


def listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def client(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(BOUND)
    made.connect(path)
    return made


def rest(sock: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(1 << 16):
            received += data
    return bytes(received)


def ask(path: str, line: bytes = HELLO, close: bool = False) -> dict:
    """One whole exchange."""
    with client(path) as sock:
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(line)
        if close:
            sock.shutdown(socket.SHUT_WR)
        answer = rest(sock)
    assert answer.count(b"\n") == 1
    return json.loads(answer)


def is_well(path: str, bound: float = BOUND) -> None:
    """A client is served within a bound."""
    began = time.monotonic()
    assert ask(path)["answer"]["pid"] == 4711
    assert time.monotonic() - began < bound


def test_a_question_is_answered_and_the_connection_closed(server, path):
    is_well(path)
    assert ask(path, b'{"ask": "explain", "domain": "web"}\r\n')["answer"]["domain"]["name"] == "web"


def test_the_end_of_what_is_sent_ends_the_question_too(server, path):
    assert ask(path, HELLO.strip(), close=True)["answer"]["pid"] == 4711


def test_a_question_may_come_in_pieces(server, path):
    with client(path) as sock:
        for byte in HELLO:
            sock.sendall(bytes([byte]))
        assert b'"pid": 4711' in rest(sock)


def test_what_follows_the_first_line_is_not_read(server, path, replies):
    with client(path) as sock:
        sock.sendall(HELLO * 3)
        assert rest(sock).count(b"\n") == 1
    assert replies.asked == [HELLO.strip()]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"\n", wire.EMPTY),
        (b"x" * (1 << 20), wire.TOO_LONG),
        (b"x" * (1 << 20) + b"\n", wire.TOO_LONG),
        (b" " * 5000 + HELLO, wire.TOO_LONG),
        (b"[" * 10000 + b"]" * 10000 + b"\n", wire.TOO_LONG),
        (b"[" * 4000 + b"\n", "the question is n"),
        (b"\xff\xfe\x00{}\n", "the question is not UTF-8 at byte 0"),
        (b"\x00\n", "the question is not JSON"),
        (b"GET / HTTP/1.1\r\n\r\n", "the question is not JSON"),
        (b'{"ask": "explain", "domain": "nobody"}\n', "none of the 1 domains that virt2 knows"),
        (b'{"ask": "explain", "domain": "\\ud800\\u001b"}\n', "none of the 1 domains"),
    ],
    ids=lambda part: ascii(part)[:30],
)
def test_what_is_no_question_is_refused_in_a_line(server, path, sent, told):
    assert ask(path, sent)["error"].startswith(told)
    is_well(path)


def test_a_client_that_says_nothing_is_told_so_and_goes_while_others_are_served(server, path, monkeypatch):
    monkeypatch.setattr(server_module, "LIMIT", SHORT)
    began = time.monotonic()
    with client(path) as silent, client(path) as half:
        half.sendall(b'{"ask": ')
        is_well(path)
        told = json.loads(rest(silent)), json.loads(rest(half))
        assert time.monotonic() - began >= SHORT
    assert told == ({"version": 1, "error": server_module.TOO_LATE},) * 2


def test_a_client_that_sends_and_sends_has_no_more_time_than_others(server, path, monkeypatch):
    monkeypatch.setattr(server_module, "LIMIT", SHORT)
    with client(path) as sock:
        limit = time.monotonic() + BOUND
        try:
            while True:
                sock.sendall(b" ")
                assert time.monotonic() < limit
                time.sleep(SHORT / 50)
        except (BrokenPipeError, ConnectionResetError):
            pass
    is_well(path)


def test_a_client_that_reads_nothing_goes_while_others_are_served(server, path, replies, monkeypatch):
    monkeypatch.setattr(server_module, "LIMIT", SHORT)
    replies.size = 8 << 20
    with client(path) as sock:
        sock.sendall(HELLO)
        wait_for(lambda: replies.asked, "the question was never read")
        replies.size = 0
        is_well(path)
        # It is gone when what it was sent ends before it is whole.
        received = 0
        with contextlib.suppress(ConnectionResetError):
            wait_for(lambda: not server_has_clients(), "the client is still there")
            while data := sock.recv(1 << 20):
                received += len(data)
        assert 0 < received < 8 << 20


def server_has_clients() -> bool:
    """Whether this process has the accepted end of a connection at a status socket."""
    # The listener has the name as well, and so has each connection that was accepted.
    lines = Path("/proc/self/net/unix").read_text().splitlines()
    ours = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if is_link(fd)}
    named = [line.split() for line in lines if line.endswith("/virt2.sock")]
    return sum(f"socket:[{fields[6]}]" in ours for fields in named) > 1


def is_link(descriptor: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{descriptor}")


def test_an_answer_larger_than_any_buffer_comes_whole(server, path, replies):
    replies.size = 8 << 20
    with client(path) as sock:
        sock.sendall(HELLO)
        assert rest(sock) == b"x" * replies.size + b"\n"


@pytest.mark.parametrize("sent", [b"", b'{"ask"', HELLO], ids=ascii)
def test_a_client_that_goes_in_the_middle_costs_nothing(server, path, replies, caplog, sent):
    replies.size = 1 << 20
    for _ in range(20):
        with client(path) as sock:
            sock.sendall(sent)
            # The kernel tells the other end that what is waiting will never be read.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    replies.size = 0
    is_well(path)
    assert caplog.records == []


def test_a_hundred_clients_that_say_nothing_keep_nobody_out(server, path):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(client(path))
        is_well(path, bound=2.0)


def test_a_hundred_clients_that_read_nothing_keep_nobody_out(server, path, replies):
    replies.size = 1 << 20
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(client(path)).sendall(HELLO)
        wait_for(lambda: replies.asked, "nothing was read")
        replies.size = 0
        is_well(path, bound=2.0)


def test_a_hundred_clients_at_once_are_all_answered(server, path, replies):
    answers = []

    def one():
        answers.append(ask(path)["answer"]["pid"])

    clients = [threading.Thread(target=one) for _ in range(100)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(BOUND)
    assert answers == [4711] * 100


def test_a_client_is_not_sent_away_for_others_before_its_moment_is_over(server, path, monkeypatch):
    monkeypatch.setattr(server_module, "GRACE", BOUND)
    with contextlib.ExitStack() as stack:
        places = [stack.enter_context(client(path)) for _ in range(MOST_CLIENTS)]
        late = stack.enter_context(client(path))
        late.sendall(HELLO)
        late.settimeout(GRACE)
        with pytest.raises(TimeoutError):
            late.recv(1)
        late.settimeout(BOUND)
        places[3].close()
        assert b'"pid": 4711' in rest(late)
        places[0].sendall(HELLO)
        assert b'"pid": 4711' in rest(places[0])


def test_who_makes_way_is_told_so(server, path):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(client(path)) for _ in range(MOST_CLIENTS + 1)]
        assert json.loads(rest(clients[0])) == {"version": 1, "error": server_module.MADE_WAY}
        for sock in clients[1:]:
            sock.sendall(HELLO)
        assert all(b'"pid": 4711' in rest(sock) for sock in clients[1:])


def test_what_a_reply_takes_is_bound_to_its_thread(server, path, replies):
    replies.wait.clear()
    with client(path) as sock:
        sock.sendall(HELLO)
        wait_for(lambda: replies.asked, "nothing was asked")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 2 * server_module.STOP_PATIENCE
        replies.wait.set()
        rest(sock)


def test_no_file_descriptor_is_left(server, path, replies):
    is_well(path)
    wait_for(lambda: not server_has_clients(), "a client is still there")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        ask(path)
        ask(path, b"nonsense\n")
        client(path).close()
    wait_for(lambda: not server_has_clients(), "a client is still there")
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_file_descriptors_a_client_waits_and_nothing_spins(server, path, monkeypatch):
    accept, refused = socket.socket.accept, []

    def refuse(self):
        if self.getsockname() == path and len(refused) < 3:
            refused.append(time.monotonic())
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", refuse)
    is_well(path)
    assert len(refused) == 3
    assert refused[-1] - refused[0] >= 2 * GRACE * 0.9


def test_nothing_is_done_while_nobody_asks(server, path):
    is_well(path)
    wait_for(lambda: not server_has_clients(), "a client is still there")
    # The answer is kept for a moment.
    wait_for(lambda: not server._replies.tidy(), "an answer is kept")
    (thread,) = [thread for thread in started() if thread.name == "virt2/status"]

    def rests() -> bool:
        before = switches(thread)
        time.sleep(3 * GRACE)
        return switches(thread) == before

    wait_for(rests, "it never comes to rest")


def test_all_places_taken_by_clients_that_say_nothing_is_no_reason_to_spin(server, path, monkeypatch):
    monkeypatch.setattr(server_module, "LIMIT", SHORT)
    turns, serve = [], server_module._Serving._serve
    monkeypatch.setattr(server_module._Serving, "_serve", lambda self, now: (turns.append(now), serve(self, now)))
    with contextlib.ExitStack() as stack:
        for sock in [stack.enter_context(client(path)) for _ in range(MOST_CLIENTS)]:
            assert json.loads(rest(sock))["error"] == server_module.TOO_LATE
    # One for each that comes, one for each that goes, and some for what the kernel tells late.
    assert len(turns) < 6 * MOST_CLIENTS


def switches(thread: threading.Thread) -> list[str]:
    """How often a thread has run."""
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return [line for line in status.splitlines() if "ctxt_switches" in line]


SIGPIPE = """
import signal, socket, sys, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
from virt2.status.server import Server

class Replies:
    def reply(self, line):
        time.sleep(0.05)
        return b"x" * (1 << 20)
    def tidy(self):
        return False

server = Server(sys.argv[1], Replies())
server.start()
limit = time.monotonic() + 10
asked = 0
while asked < 5 and time.monotonic() < limit:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(sys.argv[1])
        except OSError:
            continue
        client.send(b"{}\\n")
        asked += 1
with socket.socket(socket.AF_UNIX) as client:
    client.connect(sys.argv[1])
    client.send(b"{}\\n")
    print(len(client.recv(1)))
server.stop()
"""


def test_a_client_that_has_gone_is_no_signal_for_the_daemon(path):
    done = subprocess.run(
        [sys.executable, "-c", SIGPIPE, path],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def test_the_socket_is_removed_when_the_server_is_stopped(server, path):
    server.stop()
    assert not os.path.lexists(path)
    assert [thread.name for thread in started() if thread.name == "virt2/status"] == []
    server.stop()


def test_a_server_that_is_stopped_while_it_starts_leaves_no_file(servers, path):
    for _ in range(30):
        servers().stop()
        assert not os.path.lexists(path)


def test_a_server_that_was_never_started_is_stopped_at_once_and_does_not_start_then(path, replies, monkeypatch):
    begun = []
    monkeypatch.setattr(threads, "try_start", lambda name, body: begun.append(name))
    server = Server(path, replies)
    server.stop()
    server.start()
    assert begun == []
    assert repr(server) == f"<Server {path}>"


def test_a_second_start_is_nothing(server):
    server.start()
    assert len([thread for thread in started() if thread.name == "virt2/status"]) == 1


def test_where_there_can_be_no_thread_the_next_start_tries_again(path, replies, monkeypatch):
    server = Server(path, replies)
    with monkeypatch.context() as context:
        context.setattr(threads, "try_start", lambda name, body: False)
        server.start()
    server.start()
    await_socket(path)
    server.stop()


def lines(caplog, level: int = logging.WARNING) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_a_stale_socket_is_replaced(servers, path, caplog):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    servers()
    await_socket(path)
    is_well(path)
    assert lines(caplog) == []


def test_a_second_daemon_is_told_once_and_takes_over_when_the_first_one_ends(server, servers, path, caplog, attempts):
    caplog.set_level(logging.INFO)
    second = servers()
    wait_for(lambda: len(attempts) > 3, "it is not tried again")
    is_well(path)
    assert lines(caplog) == [
        f"this virt2 has no status socket, because process {os.getpid()} listens at {path} already; set StatusSocket to"
        " another path for one of them, or to none; everything else goes on"
    ]
    server.stop()
    await_socket(path)
    is_well(path)
    wait_for(lambda: lines(caplog, logging.INFO), "that it is there is not said")
    assert lines(caplog, logging.INFO) == [f"the status socket {path} is there now"]
    second.stop()
    assert not os.path.lexists(path)
    assert len(lines(caplog)) == 1


def test_a_second_daemon_that_ends_leaves_the_first_ones_socket(server, servers, path, caplog):
    second = servers()
    wait_for(lambda: lines(caplog), "nothing is said")
    second.stop()
    is_well(path)


@pytest.mark.parametrize(
    "make",
    [lambda path: path.write_text("precious"), lambda path: path.mkdir(), lambda path: path.symlink_to("/dev/null")],
    ids=["file", "folder", "link"],
)
def test_what_is_no_socket_is_left_alone_in_one_line_until_it_is_gone(servers, path, caplog, attempts, make):
    make(Path(path))
    before = os.lstat(path)
    server = servers()
    wait_for(lambda: len(attempts) > 3, "it is not tried again")
    assert len(lines(caplog)) == 1
    assert "left alone" in lines(caplog)[0]
    assert os.lstat(path) == before
    os.rename(path, path + ".moved")
    await_socket(path)
    is_well(path)
    server.stop()


def test_a_folder_that_is_missing_is_one_line_until_it_is_there(servers, tmp_path, caplog, attempts):
    folder = tmp_path / "later"
    servers(str(folder / "virt2.sock"))
    wait_for(lambda: len(attempts) > 3, "it is not tried again")
    assert lines(caplog) == [
        f"the status socket {folder}/virt2.sock cannot be made: No such file or directory; set StatusSocket to a path"
        " in a folder that collectd's user may write to, or to none; everything else goes on"
    ]
    folder.mkdir()
    await_socket(str(folder / "virt2.sock"))


def test_a_server_without_a_socket_stops_at_once(servers, caplog):
    server = servers("/nowhere/virt2.sock")
    wait_for(lambda: lines(caplog), "nothing is said")
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < server_module.STOP_PATIENCE


def test_a_socket_that_somebody_removed_is_made_again(attempts, server, path):
    os.unlink(path)
    await_socket(path)
    is_well(path)


def test_an_unexpected_failure_is_said_once_and_tried_again(servers, path, caplog, monkeypatch):
    monkeypatch.setattr(server_module, "AGAIN", 0.02)
    real, failures = server_module.listen, []

    def fail(*arguments):
        if len(failures) < 3:
            failures.append(1)
            raise ZeroDivisionError
        return real(*arguments)

    monkeypatch.setattr(server_module, "listen", fail)
    servers()
    await_socket(path)
    assert len(lines(caplog, logging.ERROR)) == 1


def test_a_process_without_file_descriptors_is_one_line(servers, path, caplog, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as context:
        context.setattr(socket, "socketpair", refuse)
        server = servers()
        wait_for(lambda: lines(caplog), "nothing is said")
    assert lines(caplog) == [f"the status socket {path} cannot be served: Too many open files; everything else goes on"]
    server.stop()


def test_the_memory_that_clients_take_is_bounded(server, path):
    """A line is not kept beyond what a question may have."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_CLIENTS):
            sock = stack.enter_context(client(path))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for _ in range(64):
                    sock.sendall(b"x" * (1 << 20))
    is_well(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10
