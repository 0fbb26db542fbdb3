"""Where to ask for libvirtd's limits, and asking without ever waiting for a frozen one."""

from __future__ import annotations

import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.sources import admin
from virt2.sources.admin_poller import FIRST_RETRY, LONGEST_RETRY, AdminPoller

BOUND = 10.0
"""Seconds after which a test that waits for the poller's thread gives up; it never takes that long."""

LIMITS = Limits(5, 20, 7, 4, 5, 0, 5000, 12)


class Clock:
    """Monotonic seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Read:
    """A read that can be held, and then answers or raises what the test has put there."""

    def __init__(self) -> None:
        self.answer: Limits | Exception = LIMITS
        self.calls = 0
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()

    def __call__(self) -> Limits:
        self.calls += 1
        self.entered.release()
        assert self.released.wait(BOUND)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def read() -> Read:
    return Read()


@pytest.fixture
def poller(read: Read, clock: Clock) -> Iterator[AdminPoller]:
    """A poller whose thread is gone when the test is over."""
    before = set(threading.enumerate())
    poller = AdminPoller(read, max_age=30.0, clock=clock)
    yield poller
    poller.stop()
    read.released.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(BOUND)
        assert not thread.is_alive()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "virt2/admin"]


def test_available_counts_workers_not_started_yet_as_free() -> None:
    assert Limits(5, 20, 5, 5, 5, 0, 5000, 12).available == 20
    assert Limits(5, 20, 7, 4, 5, 0, 5000, 12).available == 17
    assert Limits(5, 20, 20, 0, 5, 9, 5000, 12).available == 0


def test_available_is_negative_after_libvirtd_was_told_to_shrink_below_what_is_busy() -> None:
    assert Limits(1, 4, 8, 0, 5, 0, 5000, 12).available == -4


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+ssh://root@host/system", "served over the network"),
        ("qemu+tls:///system", "served over the network"),
        ("qemu://host/system", "served over the network"),
        ("libvirtd://host/system", "served over the network"),
        ("test:///default", "not served by a libvirt daemon"),
        ("test+unix:///default", "not served by a libvirt daemon"),
        ("esx:///x", "not served by a libvirt daemon"),
        ("vbox:///session", "not served by a libvirt daemon"),
        ("qemu:///embed?root=/x", "not served by a libvirt daemon"),
        ("qemu://[::1/system", "not a URI"),
        ("qemu:///system?socket=/nowhere/libvirt-sock", "no admin socket of libvirtd in /nowhere"),
        ("qemu:///system?socket=/nowhere/x", "no admin socket of virtqemud or libvirtd in /nowhere"),
    ],
)
def test_a_connection_without_an_admin_interface_says_why(uri: str, words: str) -> None:
    with pytest.raises(AdminUnavailable, match=words) as caught:
        admin.read_limits(uri)
    assert words in caught.value.reason


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, which has 107 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_every_candidate_is_asked_and_what_each_said_is_told(short_path: Path) -> None:
    """One is the socket of a daemon that is gone, the other of one that never answers."""
    silent, gone = short_path / "libvirt-admin-sock", short_path / "virtqemud-admin-sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as closed:
        listener.bind(str(silent))
        listener.listen()
        closed.bind(str(gone))
        with pytest.raises(AdminUnavailable) as caught:
            admin.read_limits(f"qemu:///system?socket={short_path}/any", timeout=0.01)
    assert caught.value.reason == f"{gone}: Connection refused; {silent}: timed out"


def test_a_candidate_that_answers_will_do_and_leave_is_taken_of_it(short_path: Path) -> None:
    (short_path / "virtqemud-admin-sock").touch()
    heard = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "libvirt-admin-sock"))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as served:
                served.sendall(b"".join(RECORDED))
                # Until the end of file, so that nothing is cut off.
                while data := served.recv(4096):
                    heard.append(data)

        daemon = threading.Thread(target=serve)
        daemon.start()
        assert admin.read_limits(f"qemu:///system?socket={short_path}/any", BOUND).max_workers == 20
        daemon.join(BOUND)
    assert b"".join(heard).endswith(SENT[-1])


def test_a_path_no_socket_can_have_is_told() -> None:
    with pytest.raises(AdminUnavailable, match="AF_UNIX path too long"):
        admin.read_limits(f"libvirtd:///system?socket=/{'x' * 200}")


RECORDED = [
    bytes.fromhex("0000001c 06900690 00000001 00000001 00000001 00000001 00000000"),
    bytes.fromhex("000000b0 06900690 00000001 00000006 00000001 00000006 00000000 00000006")
    + b"\0\0\0\x0aminWorkers\0\0\0\0\0\2\0\0\0\5\0\0\0\x0amaxWorkers\0\0\0\0\0\2\0\0\0\x14"
    + b"\0\0\0\x08nWorkers\0\0\0\2\0\0\0\7\0\0\0\x0bfreeWorkers\0\0\0\0\2\0\0\0\4"
    + b"\0\0\0\x0bprioWorkers\0\0\0\0\2\0\0\0\5\0\0\0\x0djobQueueDepth\0\0\0\0\0\0\2\0\0\0\0",
    bytes.fromhex("00000088 06900690 00000001 0000000c 00000001 0000000c 00000000 00000004")
    + b"\0\0\0\x0cnclients_max\0\0\0\2\0\0\x13\x88\0\0\0\x08nclients\0\0\0\2\0\0\0\x0c"
    + b"\0\0\0\x13nclients_unauth_max\0\0\0\0\2\0\0\0\x14\0\0\0\x0fnclients_unauth\0\0\0\0\2\0\0\0\0",
    bytes.fromhex("0000001c 06900690 00000001 00000002 00000001 00000002 00000000"),
]
"""What libvirtd 9.0 sent: to be opened, the workers, the clients, to be closed; three of the numbers were changed."""

NO_SUCH_SERVER = (
    bytes.fromhex("000000a8 06900690 00000001 00000006 00000001 00000006 00000001 0000005f 00000007 00000001 00000028")
    + b"Server not found: No server named 'nope'\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\x14Server not found: %s"
    + b"\0\0\0\1\0\0\0\x16No server named 'nope'\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"
)
"""What libvirtd 9.0 answered when asked for the workers of a server it has not."""

SENT = [
    bytes.fromhex("00000020 06900690 00000001 00000001 00000000 00000001 00000000 00000000"),
    bytes.fromhex("0000002c 06900690 00000001 00000006 00000000 00000006 00000000 00000008") + b"libvirtd\0\0\0\0",
    bytes.fromhex("0000002c 06900690 00000001 0000000c 00000000 0000000c 00000000 00000008") + b"libvirtd\0\0\0\0",
    bytes.fromhex("0000001c 06900690 00000001 00000002 00000000 00000002 00000000"),
]
"""The calls that were answered so."""


def message(serial: int, payload: bytes, status: int = 0, program: int = 0x06900690, kind: int = 1) -> bytes:
    return struct.pack(">7I", 28 + len(payload), program, 1, serial, kind, serial, status) + payload


class Daemon:
    """The other end of a connection: has said everything before it is asked."""

    def __init__(self, *messages: bytes) -> None:
        self.client, self._end = socket.socketpair()
        self._end.sendall(b"".join(messages))
        self._end.shutdown(socket.SHUT_WR)

    def ask(self, server: str = "libvirtd") -> Limits:
        with self.client, self._end:
            return admin.ask(self.client, server)

    def ask_and_hear(self) -> bytes:
        with self.client, self._end:
            admin.ask(self.client, "libvirtd")
            return self._end.recv(4096)


def test_the_limits_are_read_from_a_recorded_reply() -> None:
    assert Daemon(*RECORDED).ask() == Limits(5, 20, 7, 4, 5, 0, 5000, 12)


def test_the_calls_are_those_libvirtd_understood() -> None:
    assert Daemon(*RECORDED).ask_and_hear() == b"".join(SENT[:-1])


def test_a_reply_that_comes_in_pieces_is_put_together() -> None:
    class Dribble(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            return super().recv(min(size, 3), flags)

    daemon = Daemon(*RECORDED)
    daemon.client = Dribble(fileno=daemon.client.detach())
    assert daemon.ask() == LIMITS


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(message(6, b"", program=0x6B656570), id="keepalive"),
        pytest.param(message(6, b"xxxx", kind=2), id="event"),
        pytest.param(message(1, b"xxxx"), id="late reply"),
    ],
)
def test_a_message_that_is_not_the_reply_is_passed_over(other: bytes) -> None:
    assert Daemon(RECORDED[0], other, *RECORDED[1:]).ask() == LIMITS


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        pytest.param([RECORDED[0], NO_SUCH_SERVER], "Server not found: No server named 'nope'", id="unknown server"),
        pytest.param([message(1, bytes(12), status=1)], "refused without a reason", id="no reason"),
        pytest.param([], "the daemon closed the connection", id="closed at once"),
        pytest.param([RECORDED[0], RECORDED[1][:50]], "the daemon closed the connection", id="closed amid a reply"),
        pytest.param([b"\0\0\0\x1b" + bytes(40)], "this is not libvirt's protocol", id="too small"),
        pytest.param([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "this is not libvirt's protocol", id="too large"),
        pytest.param([RECORDED[0], message(6, b"")], "the reply cannot be understood", id="empty"),
        pytest.param(
            [RECORDED[0], message(6, struct.pack(">2I", 1, 4000))], "the reply cannot be understood", id="cut string"
        ),
        pytest.param(
            [RECORDED[0], message(6, struct.pack(">I", 2**32 - 1))], "the reply cannot be understood", id="cut list"
        ),
        pytest.param(
            [RECORDED[0], message(6, bytes(4)), *RECORDED[2:]], "the reply lacks minWorkers", id="no parameters"
        ),
    ],
)
def test_what_is_no_answer_is_told(messages: list[bytes], words: str) -> None:
    with pytest.raises(AdminUnavailable) as caught:
        Daemon(*messages).ask("nope")
    assert caught.value.reason == words


def test_a_connection_broken_while_we_speak_is_closed_by_the_daemon() -> None:
    client, end = socket.socketpair()
    end.close()
    with client, pytest.raises(AdminUnavailable) as caught:
        admin.ask(client, "libvirtd")
    assert caught.value.reason == "the daemon closed the connection"


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        pytest.param(1, struct.pack(">i", -1), {"x": -1}, id="int"),
        pytest.param(2, struct.pack(">I", 2**31), {"x": 2**31}, id="unsigned"),
        pytest.param(3, struct.pack(">q", -(2**40)), {"x": -(2**40)}, id="long"),
        pytest.param(4, struct.pack(">Q", 2**63), {"x": 2**63}, id="unsigned long"),
        pytest.param(5, struct.pack(">d", 2.0), {"x": 2}, id="double"),
        pytest.param(6, struct.pack(">i", 1), {"x": 1}, id="boolean"),
        pytest.param(7, b"\0\0\0\5hello\0\0\0", {}, id="string"),
    ],
)
def test_parameters_of_any_kind_may_come_first(kind: int, sent: bytes, expected: dict[str, int]) -> None:
    payload = struct.pack(">I4s4si", 2, b"\0\0\0\1", b"x", kind) + sent + struct.pack(">I4sii", 1, b"y", 1, 5)
    assert admin._parameters(admin._Reply(payload)) == {**expected, "y": 5}


def test_a_name_is_filled_up_to_a_multiple_of_four() -> None:
    assert [len(admin._xdr_string(b"x" * size)) for size in range(6)] == [4, 8, 8, 8, 8, 12]


def test_nothing_is_known_and_no_thread_runs_before_the_first_poke(poller: AdminPoller, read: Read) -> None:
    assert (poller.limits(), poller.reason, poller.age) == (None, "no answer yet", None)
    assert (threads(), read.calls) == ([], 0)


def test_a_poke_brings_an_answer(poller: AdminPoller, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    clock.now += 12
    assert (poller.limits(), poller.reason, poller.age) == (LIMITS, "", 12.0)
    assert [thread.daemon for thread in threads()] == [True]


def test_an_answer_that_is_too_old_is_no_answer(poller: AdminPoller, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    clock.now += 30
    assert poller.limits() == LIMITS
    clock.now += 0.1
    assert (poller.limits(), poller.reason) == (None, "the last answer is too old")


def test_a_refusal_is_the_reason_once_the_last_answer_is_too_old(poller: AdminPoller, read: Read, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    read.answer = AdminUnavailable("Permission denied")
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (LIMITS, "")
    clock.now += 31
    assert (poller.limits(), poller.reason) == (None, "Permission denied")
    read.answer = LIMITS
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (LIMITS, "")


def test_an_unexpected_error_is_logged_and_the_thread_goes_on(
    poller: AdminPoller, read: Read, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    read.answer = ZeroDivisionError("oops")
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (None, "ZeroDivisionError('oops')")
    assert "ZeroDivisionError: oops" in caplog.text
    read.answer = LIMITS
    clock.now += FIRST_RETRY
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_one_who_is_refused_asks_less_and_less_often(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.answer = AdminUnavailable("refused")
    asked = []
    for _ in range(1200):
        poller.poke()
        assert poller.wait(BOUND)
        asked.append(read.calls)
        clock.now += 0.1
    # 1 + 2 + 4 + 8 + 16 s, then every 30 s; it was 1200.
    assert asked[-1] == 8
    clock.now += LONGEST_RETRY
    read.answer = LIMITS
    poller.poke()
    assert poller.wait(BOUND)
    poller.poke()
    assert poller.wait(BOUND)
    assert read.calls == 10


def test_a_new_libvirtd_is_asked_at_once_by_one_who_was_refused(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.answer = AdminUnavailable("refused")
    poller.poke()
    assert poller.wait(BOUND)
    read.answer = LIMITS
    clock.now += FIRST_RETRY / 2
    poller.poke()
    assert poller.limits() is None
    poller.forgive()
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_one_attempt_at_a_time_however_often_poked(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    for _ in range(100):
        poller.poke()
    assert not poller.wait(0)
    clock.now += 12
    assert (read.calls, len(threads()), poller.limits(), poller.reason) == (1, 1, None, "no answer for 12 s")


def test_a_hung_attempt_that_returns_is_followed_by_one_more(poller: AdminPoller, read: Read, clock: Clock) -> None:
    """What it brings may be as old as the attempt: pokes made while it hung are answered afresh, all by one."""
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    clock.now += 600
    poller.poke()
    poller.poke()
    read.released.set()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.age, read.calls) == (LIMITS, 0.0, 2)


def test_an_answer_is_as_old_as_the_attempt_that_brought_it(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    clock.now += 31
    read.released.set()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.age) == (None, 31.0)


def test_the_young_answer_stays_while_the_next_attempt_hangs(poller: AdminPoller, read: Read, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    read.released.clear()
    poller.poke()
    clock.now += 30
    assert (poller.limits(), poller.reason) == (LIMITS, "")


def test_stop_ends_an_idle_thread(poller: AdminPoller) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    (thread,) = threads()
    poller.stop()
    thread.join(BOUND)
    assert not thread.is_alive()


def test_stop_does_not_wait_for_a_hung_attempt_and_its_return_ends_the_thread(poller: AdminPoller, read: Read) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    poller.poke()
    (thread,) = threads()
    poller.stop()
    assert thread.is_alive()
    read.released.set()
    thread.join(BOUND)
    assert (thread.is_alive(), read.calls) == (False, 1)


def test_a_stopped_poller_starts_nothing_and_nobody_waits_for_it(poller: AdminPoller, read: Read) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    waited: list[bool] = []
    waiter = threading.Thread(target=lambda: waited.append(poller.wait(BOUND)))
    waiter.start()
    poller.stop()
    waiter.join(BOUND)
    poller.poke()
    assert (waited, read.calls) == ([False], 1)


def test_a_thread_that_cannot_be_started_is_the_reason_and_tried_again(
    poller: AdminPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        poller.poke()
    assert poller.reason == "can't start new thread"
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_a_poller_stopped_before_the_first_poke_starts_no_thread(
    poller: AdminPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    poller.stop()
    poller.poke()
    assert started == []


def test_repr_shows_what_it_is_doing(poller: AdminPoller, read: Read) -> None:
    assert repr(poller) == "<AdminPoller idle limits=None reason='no answer yet'>"
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    assert repr(poller).startswith("<AdminPoller asking ")


def test_main_prints_one_limit_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(admin, "read_limits", lambda uri, timeout: LIMITS)
    assert admin.main([]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed == {**{name: str(value) for name, value in LIMITS._asdict().items()}, "available": "17"}


def test_main_says_why_there_is_nothing_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.main(["test:///default"]) == 1
    assert capsys.readouterr() == ("", "test:///default is not served by a libvirt daemon of this host\n")
