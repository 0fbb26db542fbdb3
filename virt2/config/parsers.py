"""Turns what collectd hands over for one option into the value that virt2 works with.

collectd has three kinds of value: text, numbers (all of them ``float``) and booleans. Operators use quotes or not, as
they like. So a quoted number is a number, and a whole number is text where text is wanted: a domain called ``12``
arrives as ``12.0``. Because ``012`` arrives in the same way, the operator is warned (`guessed`). A value that has
certainly lost something on the way (``1.10`` arrives as ``1.1``) is refused, with the advice to put it in quotes.

A parser takes the key, which it needs for its error, and the values behind the key. It raises BadSetting. The functions
here that are not parsers themselves build one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, Union

from virt2.errors import BadSetting
from virt2.text import xpath
from virt2.text.patterns import Match
from virt2.text.similar import most_similar

T = TypeVar("T")

NAME_BYTES = 127
"""How many bytes collectd keeps of each part of an identifier. It cuts off the rest without saying so."""

LONGEST = 86400.0
"""Most seconds an option accepts: collectd's own limit for an interval (MaxReadInterval)."""
SHORTEST = 0.001
"""Fewest seconds an option accepts. It is far above the 2^-30 s that collectd rounds to, because 0 would mean the
default."""

MOST_NAMESPACES = 8

SOCKET_BYTES = 107
"""How many bytes the kernel takes of the path of a unix socket."""

_EXACT = 2.0**53
"""From this number on, a float cannot be every whole number."""
_SHOWN = 80
"""How many characters of a value a message shows. collectd cuts a line after 1,023 bytes, and the message also says
what is accepted."""
_SHOWN_VALUES = 6
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Foreign(NamedTuple):
    """A value that no option can have. Only the text that shows it is kept."""

    shown: str


Value = Union[str, float, bool, Foreign]


class Written(tuple[Value, ...]):
    """The values behind one key. Its ``repr`` shows them so that an operator recognises them."""

    def __repr__(self) -> str:
        if not self:
            return "without a value"
        return " ".join(map(_shown, self[:_SHOWN_VALUES])) + (" ..." if len(self) > _SHOWN_VALUES else "")


def written(values: object) -> Written:
    """Take the values of a config node, of any kind. Never raises."""
    if not isinstance(values, (tuple, list)):
        values = () if values is None else (values,)
    return Written(map(_plain, values))


def _plain(value: object) -> Value:
    if isinstance(value, (str, float, bool)):
        return value
    if isinstance(value, int) and abs(value) <= _EXACT:
        return float(value)
    if isinstance(value, bytes):  # collectd hands over text so that is not UTF-8
        return Foreign(repr(value[:_SHOWN]))
    return Foreign(f"<{type(value).__name__}>")


def _shown(value: Value) -> str:
    if isinstance(value, Foreign):
        text = value.shown
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = str(int(value)) if abs(value) < _EXACT and value.is_integer() else repr(value)
    else:
        text = repr(value[:_SHOWN])
        return text if len(value) <= _SHOWN else f"{text}..."
    return text


def guessed(values: Written, read: object) -> list[str]:
    """Give those texts in a parser's result that were numbers to collectd, which forgets how they were written.

    ``007`` and ``7.0`` arrive as 7, ``1.0e+5`` as 100000. An operator who means such a name has to put it in quotes.
    """
    numbers = {_text(value) for value in values if isinstance(value, float)}
    texts = [read] if isinstance(read, str) else [*read] if isinstance(read, tuple) else []
    return [text for text in (each.text if isinstance(each, Match) else each for each in texts) if text in numbers]


Parser = Callable[[str, Written], T]


def boolean(key: str, values: Written) -> bool:
    """Read ``true`` or ``false``, or a word that collectd reads as one of them, quoted or not."""
    value = _single(values)
    if isinstance(value, str):
        value = _BOOLEANS.get(value.strip().lower())
    if not isinstance(value, bool):
        raise BadSetting(key, values, "true or false")
    return value


def seconds(key: str, values: Written) -> float:
    """Read a number of seconds: how long something is waited for, or after which time it is repeated."""
    value = _number(values)
    if not SHORTEST <= value <= LONGEST:
        raise BadSetting(key, values, f"a number of seconds greater than 0, from {SHORTEST:g} to {LONGEST:.0f}")
    return value


def seconds_or_never(key: str, values: Written) -> float:
    """Read an age in seconds. 0 and less mean never, which is returned as infinity."""
    value = _number(values)
    if not math.isfinite(value):
        raise BadSetting(key, values, "a number of seconds, or 0 for never")
    return value if value > 0 else math.inf


def patience(key: str, values: Written) -> float:
    """Read for how many seconds something is waited for. 0 means without end, which is returned as infinity."""
    if _number(values) == 0:
        return math.inf
    try:
        return seconds(key, values)
    except BadSetting as error:
        raise BadSetting(key, values, f"{error.accepted}, or 0 for without end") from None


def count_or_auto(most: int) -> Parser[int | None]:
    """Build the parser of a whole number from 1 to ``most``, or ``auto``, which is returned as None."""

    def parse(key: str, values: Written) -> int | None:
        value = _single(values)
        if isinstance(value, str) and value.strip().lower() == "auto":
            return None
        count = _number(values)
        if not (1 <= count <= most and count.is_integer()):
            raise BadSetting(key, values, f"a whole number from 1 to {most}, or auto")
        return int(count)

    return parse


def text(accepted: str, suits: Callable[[str], object], if_empty: str = "") -> Parser[str]:
    """Build the parser of one text without control characters that ``suits`` accepts.

    Args:
        accepted: what is accepted, in words.
        suits: tells whether a text is accepted.
        if_empty: what an empty text means, if it is accepted.
    """

    def parse(key: str, values: Written) -> str:
        value = _text(_single(values))
        if value is None or not _is_clean(value) or not suits(value):
            raise BadSetting(key, values, accepted + _quote_hint(values))
        return value or if_empty

    return parse


def socket_path(key: str, values: Written) -> str | None:
    """Read the path of a unix socket, or ``none``, which is returned as None."""
    value = _single(values)
    if isinstance(value, str) and value.strip().lower() == "none":
        return None
    if not isinstance(value, str) or not _is_clean(value) or not value.startswith("/"):
        raise BadSetting(key, values, "the path of a socket, from / on, in quotes, or none")
    if len(value.encode()) > SOCKET_BYTES:
        raise BadSetting(key, values, f"the path of a socket, at most {SOCKET_BYTES} bytes long, or none")
    return value


def words(allowed: Sequence[str], fewest: int, most: int, last: str | None = None) -> Parser[tuple[str, ...]]:
    """Build the parser of a few of the ``allowed`` words. They may be quoted together or singly, with commas or not.

    Args:
        fewest, most: how many words are accepted.
        last: a word after which nothing is read. It is not part of the result.
    """
    known = (*allowed, last) if last else tuple(allowed)
    accepted = f"{fewest} to {most} of {', '.join(known)}"

    def parse(key: str, values: Written) -> tuple[str, ...]:
        found: list[str] = []
        for value in values:
            if not isinstance(value, str):
                raise BadSetting(key, values, accepted)
            found += value.lower().replace(",", " ").split()
        if last in found:
            found = found[: found.index(last)]
        if not fewest <= len(found) <= most or not set(found) <= set(allowed):
            raise BadSetting(key, values, accepted + _similar_hint(found, allowed))
        return tuple(found)

    return parse


def choice(allowed: Sequence[str]) -> Parser[str]:
    """Build the parser of one of the ``allowed`` words."""
    accepted = f"one of {', '.join(allowed)}"

    def parse(key: str, values: Written) -> str:
        value = _single(values)
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in allowed:
            raise BadSetting(key, values, accepted + _similar_hint([word], allowed))
        return word

    return parse


def selection(allowed: Sequence[str], fewest: int = 1) -> Parser[tuple[str, ...]]:
    """Build the parser of some of the ``allowed`` words. Order and repetition do not matter."""
    several = words(allowed, fewest, len(allowed))

    def parse(key: str, values: Written) -> tuple[str, ...]:
        chosen = several(key, values)
        return tuple(word for word in allowed if word in chosen)

    return parse


def entries(key: str, values: Written) -> tuple[Match, ...]:
    """Read one or more entries, each a text to compare with or a ``/pattern/``."""
    return _matches(key, values, [_text(value) or "" for value in values])


def trimmed_entries(key: str, values: Written) -> tuple[Match, ...]:
    """Read one or more entries like `entries`, and remove the blanks around each."""
    return _matches(key, values, [(_text(value) or "").strip() for value in values])


def namespaces(key: str, values: Written) -> tuple[str, ...]:
    """Read one or a few XML namespaces, in one text or in several."""
    found = [word for value in values for word in (value.split() if isinstance(value, str) else [""])]
    if not 1 <= len(found) <= MOST_NAMESPACES or not all(word and _is_clean(word) for word in found):
        raise BadSetting(key, values, f"1 to {MOST_NAMESPACES} XML namespace URIs, tried in the order given")
    return tuple(dict.fromkeys(found))


def path(key: str, values: Written) -> str:
    """Read one path in the part of XPath that `virt2.text.xpath` understands."""
    accepted = (
        "one path in quotes from / on, such as /instance/name/text() or //owner/@uuid, of names, *, /, //, [2],"
        " [@name='text'] and [child='text']"
    )
    value = _single(values)
    if not isinstance(value, str):
        raise BadSetting(key, values, accepted)
    try:
        return xpath.Path(value).text
    except ValueError as error:
        raise BadSetting(key, values, f"{accepted}, and in this one {error}") from error


def _matches(key: str, values: Written, texts: Sequence[str]) -> tuple[Match, ...]:
    accepted = "a text without NUL or a /POSIX extended regular expression/"
    if not texts or not all(texts) or any("\0" in text for text in texts):
        raise BadSetting(key, values, accepted + _quote_hint(values))
    try:
        return tuple(map(Match, texts))
    except ValueError as error:
        raise BadSetting(key, values, f"{accepted}, and in this one {error}") from error


def _single(values: Written) -> Value | None:
    return values[0] if len(values) == 1 else None


def _number(values: Written) -> float:
    """Give the one number, quoted or not. Give NaN where there is none; every comparison with NaN is false."""
    value = _single(values)
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value if isinstance(value, float) else math.nan


def _text(value: Value | None) -> str | None:
    """Give the text, or the digits of a whole number that collectd cannot have changed."""
    if isinstance(value, float) and value.is_integer() and 0 <= value < _EXACT:
        return str(int(value))
    return value if isinstance(value, str) else None


def _quote_hint(values: Written) -> str:
    return "; put it in quotes" if any(isinstance(value, (float, bool)) for value in values) else ""


def _similar_hint(found: Sequence[str], allowed: Sequence[str]) -> str:
    """Say which word is not accepted, and what it may have been meant to be."""
    unknown = next((word for word in found if word and word not in allowed), "")
    similar = most_similar(unknown, allowed) if unknown else ""
    return f"; {unknown[:_SHOWN]!r} is most like {similar}" if similar else ""


def _is_clean(value: str) -> bool:
    """Tell whether a text has no control characters, and can be written in UTF-8."""
    return not any(unicodedata.category(char) in ("Cc", "Cs") for char in value)
