"""Asking a running virt2: over a real socket, also where whoever answers means no good."""

from __future__ import annotations

import json
import os
import socket
import time

import pytest

from tests.unit.cli.fake_status import serving
from virt2.cli import client, shapes
from virt2.cli.client import BadAnswer, NotThere, Refused
from virt2.status import wire
from virt2.version import VERSION

SHORT = 0.3
"""Seconds that stand in for the 2 s that an exchange has."""
REACH = {"state": "up", "since": None, "reason": "", "silent": False}
DOMAINS = {"reach": REACH, "listed": None, "states_read": None, "domains": []}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "virt2.sock")


@pytest.fixture
def server(path):
    with serving(path) as server:
        yield server


@pytest.mark.parametrize("question", [name for name in wire.QUESTIONS if name not in wire.OF_A_DOMAIN])
def test_each_question_is_answered(server, path, question):
    reply = client.ask(path, question)
    assert reply.virt2 == VERSION
    assert reply.answer
    assert json.loads(server.asked[0]) == {"ask": question}


def test_every_question_has_a_shape():
    assert set(shapes.ANSWERS) == set(wire.QUESTIONS)


@pytest.mark.parametrize("name", ["web-1", "\x1b[31mbad\n"])
def test_a_domain_is_asked_for_by_its_name(server, path, name):
    assert client.ask(path, "explain", name).answer["domain"]["name"] == name


def test_what_virt2_refuses_is_told_in_its_words(server, path):
    with pytest.raises(Refused, match="none of the 4 domains that virt2 knows has the name or UUID 'wep'"):
        client.ask(path, "explain", "wep")


def test_without_a_socket_nobody_can_be_asked(path):
    with pytest.raises(NotThere, match="there is no status socket"):
        client.ask(path, "hello")


def test_a_socket_that_nobody_listens_at_is_told(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
    with pytest.raises(NotThere, match="nobody listens"):
        client.ask(path, "hello")


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_socket_is_not_connected_to(server, path, tmp_path, kind):
    other = tmp_path / "other"
    if kind == "link":
        other.symlink_to(path)
    else:
        other.write_text("")
    with pytest.raises(NotThere, match="is no socket"):
        client.ask(str(other), "hello")
    assert server.asked == []


def test_a_path_that_is_too_long_is_told(tmp_path):
    with pytest.raises(NotThere, match="cannot be"):
        client.ask(str(tmp_path / ("x" * 300)), "hello")


def test_a_socket_of_somebody_else_is_not_trusted(server, path, monkeypatch):
    real = os.lstat
    monkeypatch.setattr(
        client.os, "lstat", lambda name: os.stat_result((*real(name)[:4], 12345, *real(name)[5:])), raising=True
    )
    with pytest.raises(NotThere, match=r"to user 12345.* not trusted"):
        client.ask(path, "hello")
    assert server.asked == []


def test_somebody_else_who_listens_at_it_is_not_trusted(server, path, monkeypatch):
    monkeypatch.setattr(client.struct, "unpack", lambda form, data: (1, 12345, 1))
    with pytest.raises(NotThere, match=r"to user 12345.* not trusted"):
        client.ask(path, "hello")
    assert not any(server.asked)


def test_a_socket_that_hangs_is_given_up_in_time(server, path):
    server.behave = lambda sock, line: server.is_over.wait()
    began = time.monotonic()
    with pytest.raises(BadAnswer, match="no whole answer within"):
        client.ask(path, "hello", limit=SHORT)
    assert time.monotonic() - began < SHORT + 1


def test_an_answer_that_trickles_is_given_up_in_time(server, path):
    def trickle(sock, line):
        while not server.is_over.wait(0.02):
            sock.sendall(b" ")

    server.behave = trickle
    began = time.monotonic()
    with pytest.raises(BadAnswer, match="no whole answer"):
        client.ask(path, "hello", limit=SHORT)
    assert time.monotonic() - began < SHORT + 1


def test_a_socket_with_a_full_queue_is_given_up_in_time(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        sock.listen(0)
        waiting = []
        while True:
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            waiting.append(one)
            try:
                one.connect(path)
            except BlockingIOError:
                break
        began = time.monotonic()
        with pytest.raises(BadAnswer, match="too many wait, or it hangs"):
            client.ask(path, "hello", limit=SHORT)
        assert time.monotonic() - began < SHORT + 1
        for one in waiting:
            one.close()


def test_a_flood_is_cut_off(server, path, monkeypatch):
    monkeypatch.setattr(client, "MOST_BYTES", 1 << 20)

    def flood(sock, line):
        while True:
            sock.sendall(b"x" * 65536)

    server.behave = flood
    with pytest.raises(BadAnswer, match="more than 1 MiB"):
        client.ask(path, "hello")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"hello\n", "it is not JSON, at character 0"),
        (b'{"version": 1\n', "it is not JSON"),
        (b"\xff\xfe\n", "it is not UTF-8"),
        (b"[]\n", "it is no JSON object"),
        (b"{}\n", "its format is not 1"),
        (
            b'{"version": 2, "virt2": "1", "answer": {}}\n',
            "its format is not 1; use the command of the virt2 that runs",
        ),
        (b'{"version": 1, "answer": {}}\n', "does not say which virt2"),
        (b'{"version": 1, "virt2": "1"}\n', "answer is no object"),
        (b'{"version": 1, "virt2": "1", "answer": {}}\n', "answer has no reach"),
        (b'{"version": NaN}\n', "it has NaN in it"),
        (b'{"version": -Infinity}\n', "it has -Infinity in it"),
        (b'{"version": ' + b"1" * 5000 + b"}\n", "too many digits"),
        (b"[" * 200_000 + b"\n", "nested too deep"),
        (b'{"a": ' * 200_000 + b"\n", "nested too deep"),
    ],
)
def test_what_is_no_answer_is_a_sentence(server, path, line, told):
    server.say(line)
    with pytest.raises(BadAnswer) as caught:
        client.ask(path, "domains")
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"domains": None}, "answer.domains is no list"),
        ({"domains": {}}, "answer.domains is no list"),
        ({"domains": [[]]}, r"answer.domains\[0\] is no object"),
        ({"domains": [{"name": 1}]}, r"answer.domains\[0\].name is no text"),
        ({"listed": {"time": True, "seconds": 1}}, "answer.listed.time is no number"),
        ({"listed": {"time": 1e300, "seconds": 1}}, "answer.listed.time is a number beyond all bounds"),
        ({"reach": {"state": None}}, "answer.reach.state is no text"),
    ],
)
def test_an_answer_of_another_shape_is_a_sentence(server, path, change, told):
    server.say_answer({**DOMAINS, **change})
    with pytest.raises(BadAnswer, match=told):
        client.ask(path, "domains")


def test_what_an_answer_has_in_addition_is_ignored(server, path):
    server.say_answer({**DOMAINS, "news": [1, {"a": 2}]})
    assert client.ask(path, "domains").answer["domains"] == []


def test_one_who_leaves_is_a_sentence(server, path):
    def leave(sock: socket.socket, line: bytes) -> None:
        sock.sendall(b'{"version": ')

    server.behave = leave
    with pytest.raises(BadAnswer, match="is not JSON"):
        client.ask(path, "hello")
