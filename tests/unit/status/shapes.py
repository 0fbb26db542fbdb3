"""Says whether an answer has the shape that `virt2.status.answers` gives it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from virt2.status import answers

PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float), "None": type(None)}


def faults(value: Any, shape: str, where: str = "answer") -> Iterator[str]:
    """What of a value is not as its shape says."""
    kinds = shape.split(" | ")
    if value is None and "None" in kinds:
        return
    kind = next(kind for kind in kinds if kind != "None")
    if kind.startswith("list["):
        if not isinstance(value, list):
            yield f"{where} is no list: {value!r}"
            return
        for number, entry in enumerate(value):
            yield from faults(entry, kind[len("list[") : -1], f"{where}[{number}]")
    elif kind in PLAIN:
        if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind != "bool"):
            yield f"{where} is no {kind}: {value!r}"
    else:
        hints = getattr(answers, kind).__annotations__
        if not isinstance(value, dict) or set(value) != set(hints):
            yield f"{where} has other fields than {sorted(hints)}: {value!r}"
            return
        for name, hint in hints.items():
            yield from faults(value[name], getattr(hint, "__forward_arg__", hint), f"{where}.{name}")


def check(value: Any, shape: str) -> None:
    """Fail where a value has another shape."""
    assert list(faults(value, shape)) == []
