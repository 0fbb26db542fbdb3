"""Makes a failing input small: takes away and simplifies parts of it for as long as it fails in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

ATTEMPTS = 3000
SECONDS = 20.0


def shrink(data: Any, fails: Callable[[Any], bool], attempts: int = ATTEMPTS, seconds: float = SECONDS) -> Any:
    """Give the smallest input that was found to fail.

    Args:
        data: an input that fails.
        fails: tells whether an input fails in the same way.
        attempts, seconds: after how many tries, and after which time by the clock, the search ends.
    """
    ends = time.monotonic() + seconds
    smaller = True
    while smaller:
        smaller = False
        for candidate in candidates(data):
            attempts -= 1
            if attempts < 0 or time.monotonic() > ends:
                return data
            if fails(candidate):
                data, smaller = candidate, True
                break
    return data


def candidates(data: Any) -> Iterator[Any]:
    """Give simpler inputs, the most radical ones first. Each is smaller, or simpler in a way that has an end."""
    if isinstance(data, (str, bytes)):
        yield from _without_parts(data)
        yield from _plainer(data)
    elif isinstance(data, (tuple, list)):
        yield from _without_parts(data)
        for at, item in enumerate(data):
            for simpler in candidates(item):
                yield type(data)([*data[:at], simpler, *data[at + 1 :]])
    elif isinstance(data, dict):
        for part in _without_parts(tuple(data.items())):
            yield dict(part)
        for key, value in data.items():
            for simpler in candidates(value):
                yield {**data, key: simpler}
    elif isinstance(data, bool):
        if data:
            yield False
    elif isinstance(data, int) and data:
        yield 0
        if abs(data) > 1:
            yield data // 2 if data > 0 else -(-data // 2)
            yield data - 1 if data > 0 else data + 1
    elif isinstance(data, float) and data == data and data not in (0.0, float("inf"), float("-inf")):
        yield 0.0
        if not data.is_integer():
            yield float(round(data))


def _without_parts(data: Any) -> Iterator[Any]:
    """Leave out halves, quarters and so on, and single elements in the end."""
    size = len(data)
    while size:
        for start in range(0, len(data), size):
            yield data[:start] + data[start + size :]
        size //= 2


def _plainer(data: Any) -> Iterator[Any]:
    """Replace single characters that are no letters and digits of ASCII."""
    plain = b"a" if isinstance(data, bytes) else "a"
    for at in range(min(len(data), 64)):
        single = data[at : at + 1]
        if not (single.isascii() and single.isalnum()):
            yield data[:at] + plain + data[at + 1 :]
