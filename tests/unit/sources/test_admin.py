"""How libvirtd is asked for its limits, and what it may answer."""

from __future__ import annotations

import math
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

BOUND = 10.0
"""Seconds after which a test that waits for the daemon's thread gives up; it never takes that long."""

LIMITS = Limits(5, 20, 7, 4, 5, 0, 5000, 12)


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
        ("qemu:///system?socket=/nowhere/libvirt-sock", "there is no admin socket of libvirtd in /nowhere"),
        ("qemu:///system?socket=/nowhere/x", "there is no admin socket of virtqemud or libvirtd in /nowhere"),
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


@pytest.mark.parametrize("answer", [b"", b"\0\0\0\x1c", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"cut"], ids=repr)
def test_whatever_is_said_to_our_leave_the_limits_are_known(short_path: Path, answer: bytes) -> None:
    farewell = message(2, b"", status=1) if answer == b"cut" else answer
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_path / "libvirt-admin-sock"))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as served:
                served.sendall(b"".join(RECORDED[:3]) + farewell)
                served.shutdown(socket.SHUT_WR)
                while served.recv(4096):
                    pass

        daemon = threading.Thread(target=serve)
        daemon.start()
        limits = admin.read_limits(f"libvirtd:///system?socket={short_path}/libvirt-admin-sock", BOUND)
        daemon.join(BOUND)
    assert limits == LIMITS


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
        pytest.param([message(1, bytes(12), status=1)], "the daemon refused and gave no reason", id="no reason"),
        pytest.param(
            [message(1, bytes(11) + b"\1" + bytes(4), status=1)],
            "the daemon refused and gave no reason",
            id="empty reason",
        ),
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
        pytest.param(
            [RECORDED[0], message(6, struct.pack(">I4s4sid", 1, b"\0\0\0\1", b"x", 5, math.nan))],
            "the reply cannot be understood",
            id="no number",
        ),
        pytest.param(
            [RECORDED[0], message(6, struct.pack(">I4s4sid", 1, b"\0\0\0\1", b"x", 5, math.inf))],
            "the reply cannot be understood",
            id="infinite number",
        ),
    ],
)
def test_what_is_no_answer_is_told(messages: list[bytes], words: str) -> None:
    with pytest.raises(AdminUnavailable) as caught:
        Daemon(*messages).ask("nope")
    assert caught.value.reason == words


@pytest.mark.parametrize(
    "piece",
    [message(6, b"", program=0x6B656570), struct.pack(">7I", 1 << 20, 0x06900690, 1, 6, 1, 6, 0), b"\0\0\0\x1c"],
    ids=["messages", "one long message", "messages of others"],
)
def test_whoever_sends_something_else_for_ever_is_not_listened_to_for_long(piece: bytes) -> None:
    class Chatty:
        heard = 0

        def sendall(self, data: bytes) -> None:
            pass

        def recv(self, size: int) -> bytes:
            said = (piece * 2)[self.heard % len(piece) :][: min(size, 3)]
            self.heard += len(said)
            assert self.heard < 1 << 18, "it is still listened to"
            return said

    with pytest.raises(AdminUnavailable, match="this is not libvirt's protocol"):
        admin.ask(Chatty(), "libvirtd")  # type: ignore[arg-type]


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


def test_main_prints_one_limit_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(admin, "read_limits", lambda uri, timeout: LIMITS)
    assert admin.main([]) == 0
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert printed == {**{name: str(value) for name, value in LIMITS._asdict().items()}, "available": "17"}


def test_main_says_why_there_is_nothing_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.main(["test:///default"]) == 1
    assert capsys.readouterr() == ("", "test:///default is not served by a libvirt daemon of this host\n")
