"""What goes over the status socket: one question in one line of JSON, one answer in one line of JSON. It is pure.

A question is an object such as ``{"ask": "explain", "domain": "web-1"}``. An answer is ``{"version": 1, "virt2": "...",
"answer": {...}}``, or ``{"version": 1, "error": "a sentence"}``. Both are UTF-8. An answer has nothing but printable
ASCII in it, because it may be looked at in a terminal, and domains have names that control terminals.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from virt2.errors import Error
from virt2.text.printable import encodable, quoted
from virt2.version import VERSION

FORMAT = 1
"""The number of this format. It changes when an older reader would misunderstand an answer."""
LONGEST_QUESTION = 4096
"""Most bytes of a question, without the end of its line."""
QUESTIONS = ("hello", "domains", "limits", "explain", "top")
"""What may be asked."""
OF_A_DOMAIN = frozenset({"explain"})
"""Questions that are about one domain."""
ACCEPTED = "accepted is one of " + ", ".join(QUESTIONS)

TOO_LONG = f"the question is too long: accepted is one line of at most {LONGEST_QUESTION} bytes"
EMPTY = 'there is no question: accepted is a line such as {"ask": "hello"}'


class Refused(Error):
    """A question that cannot be answered. The text is a sentence."""


class Question(NamedTuple):
    """What is asked."""

    ask: str
    """One of `QUESTIONS`."""
    domain: str = ""
    """The name or UUID of a domain, where the question is about one."""


def parse(line: bytes) -> Question:
    """Read a question.

    Arguments:
        line: one line, with its end or without.

    Raises:
        Refused: it is none. Nothing else is raised, whatever the line is.
    """
    line = line.strip(b" \t\r\n")
    if len(line) > LONGEST_QUESTION:
        raise Refused(TOO_LONG)
    if not line:
        raise Refused(EMPTY)
    try:
        found = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(f"the question is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise Refused("the question is nested too deep: accepted is one object of texts") from None
    except ValueError as error:
        # Such as a bracket that is missing, or a number of too many digits.
        raise Refused(f"the question is not JSON: {encodable(str(error))}") from None
    if not isinstance(found, dict):
        raise Refused(f'the question is no JSON object, but {_kind(found)}: accepted is {{"ask": "hello"}}')
    return _question(found)


def _question(found: Mapping[str, Any]) -> Question:
    ask = found.get("ask")
    if "ask" not in found:
        raise Refused(f'the question has no "ask": {ACCEPTED}')
    if not isinstance(ask, str):
        raise Refused(f'"ask" is no text, but {_kind(ask)}: {ACCEPTED}')
    if ask not in QUESTIONS:
        raise Refused(f'"ask" is {quoted(ask)}: {ACCEPTED}')
    domain = found.get("domain", "")
    known = {"ask", "domain"} if ask in OF_A_DOMAIN else {"ask"}
    for key in found:
        if key not in known:
            raise Refused(f"{ask} takes no {quoted(key)}")
    if ask in OF_A_DOMAIN and not isinstance(domain, str):
        raise Refused(f'"domain" is no text, but {_kind(domain)}: accepted is the name or the UUID of a domain')
    if ask in OF_A_DOMAIN and not domain:
        raise Refused(f'{ask} needs a "domain": accepted is the name or the UUID of a domain')
    return Question(ask, domain)


def answer(found: Mapping[str, object]) -> Iterator[bytes]:
    """Write an answer, in pieces of at most one entry of one of its lists, so that no piece takes long to make."""
    yield f'{{"version": {FORMAT}, "virt2": {as_json(VERSION)}, "answer": {{'.encode()
    start = ""
    for key, value in found.items():
        yield f"{start}{as_json(key)}: ".encode()
        if isinstance(value, list):
            yield b"["
            for number, entry in enumerate(value):
                yield f"{', ' if number else ''}{as_json(entry)}".encode()
            yield b"]"
        else:
            yield as_json(value).encode()
        start = ", "
    yield b"}}\n"


def error(sentence: str) -> bytes:
    """Write why there is no answer."""
    return f'{{"version": {FORMAT}, "error": {as_json(sentence)}}}\n'.encode()


def as_json(value: object) -> str:
    """Write a value as one line of JSON in ASCII. What JSON has no form for is told in another way; nothing fails."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_sound(value))
    # Half of a surrogate pair is JSON by its grammar, but some readers of JSON refuse the whole line because of it.
    return json.dumps(_sound(value)) if "\\ud" in text else text


def _sound(value: object) -> object:
    """Copy a value with null in place of numbers that are not finite, and with texts that UTF-8 can encode."""
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {encodable(key): _sound(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(part) for part in value]
    return value


def _kind(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
