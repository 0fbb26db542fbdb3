"""Asks a running virt2 at its status socket, within bounds. Whoever answers is not trusted: it may hang, flood, or lie.

Not every socket is talked to, because whoever likes may make one and tell what he likes (`virt2.cli.trust`).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from virt2.cli import shapes, trust
from virt2.errors import Error
from virt2.status import wire
from virt2.text.printable import quoted

LIMIT = 2.0
"""Seconds for a whole exchange. It takes a few milliseconds."""
MOST_BYTES = 8 << 20
"""Most bytes of an answer. One for a thousand domains has about two million."""
LONGEST_NUMBER = 40
"""Most digits of a number, because it takes Python very long to read one of a million."""
BUSY_PAUSE = 0.02
"""Seconds until a socket is tried again whose queue is full."""
CHUNK = 1 << 18
_LATE = (TimeoutError, socket.timeout)
"""They are two until Python 3.10."""


class NotThere(Error):
    """There is no virt2 that could be asked. The text says why, in words that follow "because"."""


class BadAnswer(Error):
    """Somebody is there, and gives no answer that can be used. The text is a sentence."""


class Refused(Error):
    """The answer is that this cannot be answered. The text is virt2's own sentence."""


class Reply(NamedTuple):
    """What was answered."""

    virt2: str
    """The version of the virt2 that answers."""
    answer: Any
    """As `virt2.status.answers` has it for the question."""


def ask(path: str, question: str, domain: str = "", limit: float = LIMIT) -> Reply:
    """Ask one question.

    Arguments:
        path: the status socket.
        question: one of `virt2.status.wire.QUESTIONS`.
        domain: which domain it is about, where it is about one.
        limit: seconds until there has to be an answer.

    Raises:
        NotThere: nobody can be asked.
        BadAnswer: there is no answer that can be used.
        Refused: virt2 says that it has no answer.
    """
    until = time.monotonic() + limit
    asked = {"ask": question, "domain": domain} if question in wire.OF_A_DOMAIN else {"ask": question}
    with _connected(path, until) as sock:
        try:
            line = _exchange(sock, wire.as_json(asked).encode() + b"\n", until)
        except _LATE:
            raise BadAnswer(f"The virt2 at {path} gave no whole answer within {limit:g} s") from None
        except OSError as error:
            raise BadAnswer(f"The virt2 at {path} broke off: {error.strerror or error}") from None
    try:
        return _reply(line, question)
    except ValueError as error:
        raise BadAnswer(f"What {path} answers is of no use: {error}") from None


@contextlib.contextmanager
def _connected(path: str, until: float) -> Iterator[socket.socket]:
    """Connect to a socket whose owner may be believed."""
    try:
        found = os.lstat(path)
        if not stat.S_ISSOCK(found.st_mode):
            raise NotThere(f"{path} is no socket")
        _trust(path, found.st_uid)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            _connect(sock, path, until)
            # Who listens is who counts, because the file may have been replaced meanwhile.
            _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
            _trust(path, uid)
            yield sock
    except FileNotFoundError:
        raise NotThere(f"there is no status socket {path}") from None
    except ConnectionRefusedError:
        raise NotThere(f"nobody listens at {path}") from None
    except PermissionError:
        raise NotThere(f"this user may not ask at {path}, as root may") from None
    except _LATE:
        raise BadAnswer(f"The virt2 at {path} takes no questions: too many wait, or it hangs") from None
    except OSError as error:
        raise NotThere(f"{path} cannot be connected to: {error.strerror or error}") from None


def _trust(path: str, uid: int) -> None:
    why = trust.distrust(path, uid)
    if why is not None:
        raise NotThere(f"{path} {why}")


def _connect(sock: socket.socket, path: str, until: float) -> None:
    """Connect, and wait while the queue of the socket is full.

    Raises:
        TimeoutError: it was full until the end.
        OSError: it cannot be.
    """
    while True:
        sock.settimeout(_left(until))
        try:
            sock.connect(path)
            return
        except BlockingIOError:
            time.sleep(min(BUSY_PAUSE, _left(until)))


def _exchange(sock: socket.socket, line: bytes, until: float) -> bytes:
    """Send one line, and receive one.

    Raises:
        TimeoutError: that took too long.
        OSError: it could not be done.
        BadAnswer: there is too much of it.
    """
    sock.settimeout(_left(until))
    sock.sendall(line)
    parts, size = [], 0
    while True:
        sock.settimeout(_left(until))
        part = sock.recv(CHUNK)
        end = part.find(b"\n")
        parts.append(part if end < 0 else part[:end])
        size += len(parts[-1])
        if size > MOST_BYTES:
            raise BadAnswer(f"The answer has more than {MOST_BYTES >> 20} MiB, which no virt2 sends")
        if end >= 0 or not part:
            return b"".join(parts)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reply(line: bytes, question: str) -> Reply:
    """Read an answer.

    Raises:
        ValueError: it is none.
        Refused: virt2 says that it has none.
    """
    if not line:
        raise ValueError("it is empty")
    found = _parsed(line)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if found.get("version") != wire.FORMAT:
        raise ValueError(f"its format is not {wire.FORMAT}; use the command of the virt2 that runs")
    error = found.get("error")
    if isinstance(error, str):
        raise Refused(error)
    version = found.get("virt2")
    if not isinstance(version, str):
        raise ValueError("it does not say which virt2 it is from")
    wrong = shapes.fault(found.get("answer"), question)
    if wrong:
        raise ValueError(f"{wrong} (virt2 {quoted(version)})")
    return Reply(version, found["answer"])


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(
            line.decode(), parse_constant=_no_number, parse_int=_bounded(int), parse_float=_bounded(float)
        )
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON, at character {error.pos}") from None


def _no_number(text: str) -> Any:
    raise ValueError(f"it has {text} in it, which is no number")


def _bounded(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        if len(text) > LONGEST_NUMBER:
            raise ValueError("it has a number of too many digits")
        return kind(text)

    return number
