"""Says what of an answer is not as `virt2.status.answers` has it, because whoever answers may lie. It is pure.

What an answer has in addition is ignored, because a newer virt2 may tell more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from virt2.status import answers

LARGEST = 1e30
"""No number of an answer is as large. What is beyond it could not be counted with."""

ANSWERS: Mapping[str, str] = {
    "hello": "Hello",
    "domains": "Domains",
    "limits": "Limits",
    "explain": "Explain",
    "top": "Top",
}
"""The shape of the answer to each question."""

Check = Callable[[Any], str]
"""Gives what is wrong with a value: where, and that it is no such thing. Empty where nothing is."""


def fault(value: Any, question: str) -> str:
    """Say the first thing that is wrong with the answer to a question; empty where nothing is."""
    found = _check(ANSWERS[question])(value)
    return f"answer{found}" if found else ""


@functools.cache
def _check(shape: str) -> Check:
    """Make what checks a shape, written as the annotations of `virt2.status.answers` are."""
    if shape.endswith(" | None"):
        inner = _check(shape[: -len(" | None")])
        return lambda value: "" if value is None else inner(value)
    if shape.startswith("list["):
        return functools.partial(_list_fault, _check(shape[len("list[") : -1]))
    if shape in _PLAIN:
        return functools.partial(_plain_fault, *_PLAIN[shape])
    fields = getattr(answers, shape).__annotations__
    return functools.partial(
        _record_fault, [(name, _check(getattr(hint, "__forward_arg__", hint))) for name, hint in fields.items()]
    )


_PLAIN: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "text"),
    "bool": ((bool,), "boolean"),
    "int": ((int,), "whole number"),
    "float": ((int, float), "number"),
}


def _plain_fault(kinds: tuple[type, ...], name: str, value: Any) -> str:
    # A boolean is a number to Python.
    if type(value) not in kinds:
        return f" is no {name}"
    if kinds[0] is int and not -LARGEST < value < LARGEST:
        return " is a number beyond all bounds"
    return ""


def _list_fault(check: Check, value: Any) -> str:
    if not isinstance(value, list):
        return " is no list"
    for number, entry in enumerate(value):
        found = check(entry)
        if found:
            return f"[{number}]{found}"
    return ""


def _record_fault(fields: list[tuple[str, Check]], value: Any) -> str:
    if not isinstance(value, dict):
        return " is no object"
    for name, check in fields:
        if name not in value:
            return f" has no {name}"
        found = check(value[name])
        if found:
            return f".{name}{found}"
    return ""
