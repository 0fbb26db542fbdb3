"""Connections that are being made: since when, why they fail, and what an operator is told of it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from virt2.errors import Disconnected
from virt2.workers.connects import Connects, lack

PATIENCE = 2.0


class Clients(NamedTuple):
    clients: int
    max_clients: int


def test_the_oldest_attempt_is_the_one_told():
    connects = Connects()
    assert (connects.pending, connects.since) == (0, None)
    connects.begin("a", 1.0)
    connects.begin("b", 2.0)
    assert (connects.pending, connects.since, connects.includes("a"), connects.includes("c")) == (2, 1.0, True, False)
    connects.end("a", 3.0)
    assert (connects.pending, connects.since) == (1, 2.0)
    connects.give_up("b")
    assert (connects.pending, connects.since) == (0, None)
    assert repr(connects) == "<Connects pending=0 refusal=''>"


def test_refusals_count_from_the_first_until_one_succeeds():
    connects = Connects()
    for when in (1.0, 5.0):
        connects.begin("a", when)
        connects.end("a", when, "too many open files")
    assert (connects.refusal, connects.refused_since) == ("too many open files", 1.0)
    connects.end("b", 6.0)
    assert (connects.refusal, connects.refused_since) == ("", None)


def test_an_attempt_is_noted_while_it_is_made_and_with_its_end():
    connects = Connects()
    with connects.attempt("a", lambda: 3.0):
        assert connects.since == 3.0
    assert (connects.pending, connects.refusal) == (0, "")
    with pytest.raises(Disconnected), connects.attempt("a", lambda: 4.0):
        raise Disconnected("refused")
    assert (connects.pending, connects.refusal, connects.refused_since) == (0, "refused", 4.0)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (
            Clients(12, 12),
            "it has 12 clients of 12 allowed (max_clients), ours and others'; raise max_clients in its configuration or"
            " find out who holds them",
        ),
        (
            Clients(12, 5000),
            "it has 12 clients of 5000 allowed (max_clients), so it is slow, or has no file descriptors left; its"
            " log may say more",
        ),
        (None, "how many clients it has and allows is unknown (no rights)"),
    ],
)
def test_a_connection_that_does_not_come_is_told_with_the_clients_there_are(limits, words):
    connects = Connects()
    connects.begin("a", 10.0)
    assert lack(connects, 11.9, PATIENCE, limits, "no rights") == ""
    assert lack(connects, 14.0, PATIENCE, limits, "no rights") == (
        f"libvirtd has not answered an attempt to connect for 4 s: {words}"
    )


def test_refused_connections_are_told_with_libvirts_words():
    connects = Connects()
    connects.end("a", 10.0, "too many open files")
    assert lack(connects, 11.9, PATIENCE, None, "") == ""
    assert lack(connects, 14.0, PATIENCE, None, "") == (
        "libvirtd has refused every attempt to connect for 4 s: too many open files"
    )
