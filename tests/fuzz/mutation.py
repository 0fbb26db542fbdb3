"""Changes texts, bytes and trees of plain data, quickly and from a seed.

Texts and bytes are cut, doubled, swapped, spliced with others, and sprinkled with tokens of a vocabulary. Trees are
changed at one place: a leaf becomes another or one of another type, an element goes, comes twice or changes its place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, AnyStr, Generic, TypeVar

from tests.fuzz import hostile

T = TypeVar("T")

MOST = 1 << 20
"""Characters or bytes that one text may have after a change. Only `Mutator.inflate` goes near it."""
ELEMENTS = 1 << 14
"""Elements that one container may have after a change."""

STYLES = ("cut", "double", "swap", "splice", "token", "replace", "single", "number", "repeat", "trim", "move")
"""Kinds of changes of a text. A batch uses some of them only, because a few alone reach what all together hide."""


class Strings(Generic[AnyStr]):
    """Changes texts, or bytes.

    Arguments:
        tokens: the vocabulary.
        singles: characters, or bytes, to put in one by one.
        numbers: what a number in a text is replaced by.
        digits: what a number looks like.
    """

    def __init__(
        self, tokens: Sequence[AnyStr], singles: AnyStr, numbers: Sequence[AnyStr], digits: re.Pattern[AnyStr]
    ) -> None:
        self._tokens: tuple[AnyStr, ...] = tuple(tokens)
        self._singles: AnyStr = singles
        self._numbers: tuple[AnyStr, ...] = tuple(numbers)
        self._digits: re.Pattern[AnyStr] = digits
        self._changes: dict[str, Callable[[Random, AnyStr, AnyStr], AnyStr]] = {
            style: getattr(self, f"_{style}") for style in STYLES
        }

    def change(self, random: Random, text: AnyStr, other: AnyStr, styles: Sequence[str]) -> AnyStr:
        """Make one change, of one of these kinds."""
        return self._changes[pick(random, styles)](random, text, other)[:MOST]

    def token(self, random: Random) -> AnyStr:
        """Give one token of the vocabulary."""
        return pick(random, self._tokens)

    def _cut(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        start, end = _span(random, len(text))
        return text[:start] + text[end:]

    def _double(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        start, end = _span(random, len(text))
        at = below(random, len(text) + 1)
        return text[:at] + text[start:end] + text[at:]

    def _swap(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        first, second = sorted((_span(random, len(text)), _span(random, len(text))))
        if first[1] > second[0]:
            return text[second[0] :] + text[: second[0]]
        middle = text[first[1] : second[0]]
        return text[: first[0]] + text[slice(*second)] + middle + text[slice(*first)] + text[second[1] :]

    def _splice(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        start, end = _span(random, len(other))
        at, behind = _span(random, len(text))
        return text[:at] + other[start:end] + text[behind if random.random() < 0.5 else at :]

    def _token(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        at = below(random, len(text) + 1)
        return text[:at] + self.token(random) + text[at:]

    def _replace(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        """Put a token in the place of another one, or of anything."""
        wanted, token = self.token(random), self.token(random)
        at = text.find(wanted, below(random, len(text) + 1)) if wanted else -1
        if at < 0:
            start, end = _span(random, len(text))
            return text[:start] + token + text[end:]
        return text[:at] + token + text[at + len(wanted) :]

    def _single(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        at, single = below(random, len(text) + 1), below(random, len(self._singles))
        return text[:at] + self._singles[single : single + 1] + text[at + (random.random() < 0.7) :]

    def _number(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        found = self._digits.search(text, below(random, len(text) + 1)) or self._digits.search(text)
        number = pick(random, self._numbers)
        if found is None:
            at = below(random, len(text) + 1)
            return text[:at] + number + text[at:]
        return text[: found.start()] + number + text[found.end() :]

    def _repeat(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        start, end = _span(random, len(text))
        times = min(1 << below(random, 8), 1 + (1 << 14) // (1 + end - start))
        return text[:start] + text[start:end] * times + text[end:]

    def _trim(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        at = below(random, len(text) + 1)
        return text[:at] if random.random() < 0.7 else text[at:]

    def _move(self, random: Random, text: AnyStr, other: AnyStr) -> AnyStr:
        start, end = _span(random, len(text))
        rest = text[:start] + text[end:]
        at = below(random, len(rest) + 1)
        return rest[:at] + text[start:end] + rest[at:]


def texts(tokens: Sequence[str], numbers: Sequence[str] = hostile.DECIMALS) -> Strings[str]:
    """Give what changes texts, with this vocabulary besides what is hostile anywhere."""
    return Strings((*tokens, *hostile.TEXTS), hostile.SINGLES, numbers, re.compile("[0-9]+"))


def data(tokens: Sequence[bytes], numbers: Sequence[bytes] | None = None) -> Strings[bytes]:
    """Give what changes bytes, with this vocabulary besides what is hostile anywhere."""
    everywhere = tuple(text.encode("utf-8", "surrogatepass") for text in hostile.TEXTS)
    if numbers is None:
        numbers = tuple(text.encode() for text in hostile.DECIMALS)
    return Strings((*tokens, *everywhere), hostile.SINGLE_BYTES, numbers, re.compile(b"[0-9]+"))


class Mutator:
    """Changes trees of plain data.

    Arguments:
        strings: changes the texts in them.
        values: what a leaf is replaced by, besides what is hostile anywhere.
        bytes_: changes the bytes in them; None for the usual way.
        strange: how often a leaf becomes a value of any type, instead of one of its own.
    """

    def __init__(
        self,
        strings: Strings[str],
        values: Sequence[Any] = (),
        bytes_: Strings[bytes] | None = None,
        strange: float = 0.1,
    ) -> None:
        self.strings = strings
        self.bytes = bytes_ or data(())
        self._values = (*values, *values, *hostile.VALUES)
        self._strange = strange
        self.styles: tuple[str, ...] = STYLES
        """The kinds of changes of texts and bytes that are made."""

    def using(self, styles: tuple[str, ...]) -> Mutator:
        """Give the same mutator with these kinds of changes only."""
        other = copy.copy(self)
        other.styles = styles
        return other

    def change(self, random: Random, value: Any, other: Any) -> Any:
        """Make one change somewhere in a tree. Containers that are not changed are shared with the old one."""
        if isinstance(value, (tuple, list)):
            return self._change_sequence(random, value, other)
        if isinstance(value, dict):
            return self._change_mapping(random, value, other)
        return self.change_leaf(random, value, other)

    def change_leaf(self, random: Random, value: Any, other: Any) -> Any:
        """Change what is no container."""
        if random.random() < self._strange:
            return pick(random, self._values)
        if isinstance(value, str):
            return self.strings.change(random, value, other if isinstance(other, str) else value, self.styles)
        if isinstance(value, bytes):
            return self.bytes.change(random, value, other if isinstance(other, bytes) else value, self.styles)
        return self.change_number(random, value)

    def change_number(self, random: Random, value: Any) -> Any:
        """Change a number, or what stands where a number could."""
        chance = random.random()
        if isinstance(value, bool) or value is None or chance < 0.4:
            return pick(random, hostile.FLOATS if isinstance(value, float) else hostile.INTEGERS)
        if not isinstance(value, (int, float)) or chance < 0.5:
            return pick(random, self._values)
        try:
            return value + pick(random, (1, -1)) if chance < 0.8 else value * pick(random, (2, -1, 10, 0.5))
        except OverflowError:
            return 0

    def _change_sequence(self, random: Random, value: Any, other: Any) -> Any:
        kind, items = type(value), list(value)
        chance = random.random()
        if not items or (chance < 0.08 and len(items) < ELEMENTS):
            items.insert(below(random, len(items) + 1), self._anything(random, other))
        elif chance < 0.7:
            at = below(random, len(items))
            theirs = other[at] if isinstance(other, kind) and at < len(other) else items[below(random, len(items))]
            items[at] = self.change(random, items[at], theirs)
        elif chance < 0.8:
            del items[below(random, len(items))]
        elif chance < 0.88 and len(items) < ELEMENTS:
            items.insert(below(random, len(items) + 1), pick(random, items))
        elif chance < 0.94:
            one, two = below(random, len(items)), below(random, len(items))
            items[one], items[two] = items[two], items[one]
        else:
            items[below(random, len(items))] = self._anything(random, other)
        return kind(items)

    def _change_mapping(self, random: Random, value: Any, other: Any) -> Any:
        changed = dict(value)
        key = pick(random, tuple(changed)) if changed else ""
        chance = random.random()
        if not changed or chance < 0.1:
            changed[self.key(random, key)] = self._anything(random, other)
        elif chance < 0.6:
            theirs = other.get(key) if isinstance(other, dict) else None
            changed[key] = self.change(random, changed[key], theirs)
        elif chance < 0.7:
            del changed[key]
        elif chance < 0.85:
            changed[self.key(random, key)] = changed.pop(key) if random.random() < 0.5 else changed[key]
        elif isinstance(other, dict) and other and chance < 0.95:
            theirs = pick(random, tuple(other))
            changed[theirs] = other[theirs]
        else:
            changed[key] = pick(random, tuple(changed.values()))
        return changed

    def key(self, random: Random, key: Any) -> str:
        """Change the key of a mapping, which is a text and stays one."""
        text = key if isinstance(key, str) else ""
        if random.random() < 0.2:
            return self.strings.token(random)
        return self.strings.change(random, text, text, self.styles)

    def _anything(self, random: Random, other: Any) -> Any:
        if isinstance(other, (tuple, list)) and other and random.random() < 0.6:
            return pick(random, other)
        return pick(random, self._values)

    def inflate(self, random: Random, value: Any, size: int) -> Any:
        """Make some text or container in a tree about so large."""
        if isinstance(value, (tuple, list)):
            items = list(value)
            if not items:
                items = [pick(random, self._values)]
            at = below(random, len(items))
            if not value or random.random() < 0.4:
                items[at:at] = [items[at]] * _times(items[at], size)
            else:
                items[at] = self.inflate(random, items[at], size)
            return type(value)(items)
        if isinstance(value, dict):
            if not value or random.random() < 0.4:
                return self._more_keys(random, value, size)
            key = pick(random, tuple(value))
            return {**value, key: self.inflate(random, value[key], size)}
        if isinstance(value, bytes):
            return self._longer(random, value, self.bytes.token(random), size)
        text = value if isinstance(value, str) else ""
        return self._longer(random, text, self.strings.token(random), size)

    def _longer(self, random: Random, text: AnyStr, token: AnyStr, size: int) -> AnyStr:
        """Repeat a part of a text, or a token in it."""
        start, end = _span(random, len(text))
        if random.random() < 0.5 or start == end:
            part, end = token, start
        else:
            part = text[start:end]
        if not part:
            return text
        return text[:start] + part * min(1 + size // len(part), MOST // len(part) + 1) + text[end:]

    def _more_keys(self, random: Random, value: dict[Any, Any], size: int) -> dict[Any, Any]:
        """Add keys that differ in a number from one that is there."""
        known = [key for key in value if isinstance(key, str)]
        key = pick(random, known) if known else "a.0.b"
        found = re.search("[0-9]+", key)
        start, end = found.span() if found else (len(key), len(key))
        content = value.get(key, 1)
        count = _times((key, content), size)
        return {**value, **{f"{key[:start]}{number}{key[end:]}": content for number in range(count)}}


def below(random: Random, number: int) -> int:
    """Choose a whole number from 0 on. This takes a fifth of the time of ``randrange``."""
    return int(random.random() * number)


def pick(random: Random, choices: Sequence[T]) -> T:
    """Choose one of these."""
    return choices[int(random.random() * len(choices))]


def _times(part: Any, size: int) -> int:
    """Say how many of a part have this size together."""
    return min(1 + size // (10 + len(repr(part))), ELEMENTS)


def _span(random: Random, length: int) -> tuple[int, int]:
    """Choose a part of a text. Short ones are more likely."""
    start = int(random.random() * (length + 1))
    longest = 1 + int(2 ** (random.random() * 9))
    return start, min(length, start + int(random.random() * longest) + 1)
