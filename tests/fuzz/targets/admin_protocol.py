"""What may come back on the admin socket: bytes."""

from __future__ import annotations

import contextlib
import math
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator, below, pick
from tests.fuzz.target import Plain, Target, require
from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.sources import admin

WORKERS = ("minWorkers", "maxWorkers", "nWorkers", "freeWorkers", "prioWorkers", "jobQueueDepth")
CLIENTS = ("nclients_max", "nclients", "nclients_unauth_max", "nclients_unauth")
FORMS = {1: ">i", 2: ">I", 3: ">q", 4: ">Q", 5: ">d", 6: ">i"}
PROGRAM = 0x06900690
WAIT = 5.0
"""Seconds for one step. Everything is there before it is asked for, so that nothing ever waits."""
ROOM = 1 << 16
"""Bytes that surely fit into the buffer of a socket."""

WORDS32 = tuple(
    struct.pack(">I", number & 0xFFFFFFFF)
    for number in (*hostile.INTEGERS[:-3], PROGRAM, 0x6B656570, 27, 28, 29, (1 << 20) - 1, 1 << 20, (1 << 20) + 1)
)
DOUBLES = tuple(struct.pack(">d", number) for number in hostile.FLOATS)


def message(procedure: int, payload: bytes, status: int = 0, kind: int = 1, program: int = PROGRAM) -> bytes:
    return struct.pack(">7I", 28 + len(payload), program, 1, procedure, kind, procedure, status) + payload


def text(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content + bytes(-len(content) % 4)


def parameters(names: Sequence[str], kind: int = 2, value: float = 5) -> bytes:
    """Give typed parameters. Kind 7 is a text."""
    made = struct.pack(">I", len(names))
    for name in names:
        made += text(name.encode()) + struct.pack(">i", kind)
        made += struct.pack(FORMS[kind], value if kind == 5 else int(value)) if kind in FORMS else text(b"text")
    return made


OPENED = message(1, b"")
REFUSED = message(6, struct.pack(">iiI", 95, 7, 1) + text(b"Server not found: No server named 'nope'"), status=1)
KEEPALIVE = message(1, b"", kind=2, program=0x6B656570)


class AdminProtocol(Target):
    """An input is what the daemon sends, in pieces as they arrive, and whether it sends the last one for ever."""

    name = "admin_protocol"
    share = 20
    what = "bytes from the admin socket: lengths, types and numbers of every size, cut, doubled, in pieces, without end"

    def corpus(self) -> Sequence[Plain]:
        told = [
            (OPENED, message(6, parameters(WORKERS, kind)), message(12, parameters(CLIENTS, kind)))
            for kind in range(1, 8)
        ]
        whole = b"".join(told[1])
        return [
            *((pieces, False) for pieces in told),
            ((whole,), False),
            (tuple(whole[at : at + 7] for at in range(0, len(whole), 7)), False),
            ((OPENED, REFUSED), False),
            ((OPENED, KEEPALIVE, *told[1][1:]), False),
            ((OPENED, KEEPALIVE), True),
            ((OPENED, message(6, parameters(WORKERS, 5, math.nan))), False),
            ((), False),
        ]

    def mutator(self) -> Mutator:
        names = tuple(text(name.encode()) for name in (*WORKERS, *CLIENTS))
        kinds = tuple(struct.pack(">i", kind) for kind in range(10))
        tokens = (*WORDS32, *WORDS32, *DOUBLES, *names, *kinds, OPENED[:28], OPENED, KEEPALIVE, REFUSED)
        return Mutator(mutation.texts(()), bytes_=mutation.data(tokens, WORDS32), strange=0.0)

    def fresh(self) -> st.SearchStrategy[Plain]:
        number = st.sampled_from((0, 1, 5, 20, 2**31 - 1)) | st.floats()
        told = st.builds(_parameters_of, st.permutations((*WORKERS, *CLIENTS)), st.integers(1, 7), number)
        payload = st.binary(max_size=60) | told
        sent = st.builds(message, st.sampled_from((1, 6, 12)), payload, st.integers(0, 2), st.integers(0, 3))
        return st.tuples(st.lists(sent, max_size=5).map(tuple), st.booleans())

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        pieces, endless = base
        chance = random.random()
        if chance < 0.02:
            endless = not endless
        elif not pieces or chance < 0.1:
            pieces = (*pieces, *other[0])[:400]
        elif chance < 0.2:
            pieces = _cut_anew(random, pieces)
        elif chance < 0.55:
            at = below(random, len(pieces))
            pieces = (*pieces[:at], _with_word(random, pieces[at]), *pieces[at + 1 :])
        else:
            at = below(random, len(pieces))
            theirs = pick(random, other[0]) if other[0] else b""
            changed = mutator.bytes.change(random, pieces[at], theirs, mutator.styles)
            # The length that a message tells is put right more often than not, so that its content is looked at too.
            pieces = (*pieces[:at], _with_length(changed) if random.random() < 0.6 else changed, *pieces[at + 1 :])
        return pieces, endless

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        pieces, endless = base
        if not pieces:
            return base
        at = below(random, len(pieces))
        if random.random() < 0.3:
            return pieces[:at] + pieces[at : at + 1] * min(400, 1 + size // 64) + pieces[at + 1 :], endless
        larger = mutator.inflate(random, pieces[at], size)
        return (*pieces[:at], _with_length(larger), *pieces[at + 1 :]), endless

    def run(self, data: Plain) -> None:
        pieces, endless = data
        # Sockets of the kernel are slower, and cannot send without end.
        if not endless and len(pieces) == 1 and len(pieces[0]) < ROOM:
            self._over_a_socket(pieces[0])
        else:
            self._in_a_session(pieces, endless)

    def _over_a_socket(self, sent: bytes) -> None:
        client, daemon = socket.socketpair()
        with client, daemon:
            client.settimeout(WAIT)
            daemon.sendall(sent)
            daemon.shutdown(socket.SHUT_WR)
            self._ask(lambda: admin.ask(client, "libvirtd"))

    def _in_a_session(self, pieces: Sequence[bytes], endless: bool) -> None:
        """Ask twice over connections that send this. The second question goes over the first one, if it can."""
        session = admin.Session("libvirtd:///system?socket=/run/libvirt/libvirt-admin-sock", WAIT)
        with _sockets(lambda: _Wire(pieces, endless)):
            self._ask(session.limits)
            self._ask(session.limits)
            session.close()

    def _ask(self, ask: Callable[[], Limits]) -> None:
        try:
            limits = ask()
        except AdminUnavailable as error:
            require(error.reason, "it is not told why there are no limits")
            require(isinstance(error.reason, str), "the reason is no text")
        else:
            require(all(type(number) is int for number in limits), "a limit is no whole number")
            require(type(limits.busy) is int and type(limits.available) is int, "what is free cannot be told")


class _Wire:
    """A socket whose other end has sent everything already: in these pieces, and the last one for ever if wanted."""

    def __init__(self, pieces: Sequence[bytes], endless: bool) -> None:
        self._waiting = [piece for piece in pieces if piece][::-1]
        self._last = self._waiting[0] if endless and self._waiting else b""

    def settimeout(self, seconds: float) -> None:
        """Nothing ever waits."""

    def connect(self, path: str) -> None:
        """The other end is there."""

    def close(self) -> None:
        """Nothing is kept."""

    def sendall(self, data: bytes) -> None:
        """The other end does not listen."""

    def recv(self, size: int) -> bytes:
        piece = self._waiting.pop() if self._waiting else self._last
        if len(piece) > size:
            self._waiting.append(piece[size:])
        return piece[:size]


class _Sockets(NamedTuple):
    """What is needed of the module ``socket``."""

    socket: Callable[..., _Wire]
    AF_UNIX: int = 1
    SOCK_STREAM: int = 1


@contextlib.contextmanager
def _sockets(make: Callable[[], _Wire]) -> Iterator[None]:
    """Have the module `admin` make its sockets so."""
    module: Any = admin
    real = module.socket
    module.socket = _Sockets(lambda *kind: make())
    try:
        yield
    finally:
        module.socket = real


def _parameters_of(names: Sequence[str], kind: int, value: float) -> bytes:
    try:
        return parameters(names, kind, value)
    except (struct.error, ValueError, OverflowError):
        # The number does not fit.
        return parameters(names, 5, value)


def _with_word(random: Random, piece: bytes) -> bytes:
    """Put one word of 32 bits, at a place where words are, in the place of another."""
    at = 4 * below(random, 1 + len(piece) // 4)
    word: bytes = pick(random, DOUBLES if random.random() < 0.1 else WORDS32)
    return piece[:at] + word + piece[at + 4 :]


def _with_length(piece: bytes) -> bytes:
    return struct.pack(">I", len(piece)) + piece[4:]


def _cut_anew(random: Random, pieces: Sequence[bytes]) -> tuple[bytes, ...]:
    """Give the same bytes in other pieces."""
    whole = b"".join(pieces)
    size = 1 + below(random, max(64, len(whole)))
    return tuple(whole[at : at + size] for at in range(0, len(whole), size))[:400]
