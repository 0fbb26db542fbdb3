"""Texts made fit for log lines and identifiers, at a cost that is bounded, because guests and users send them."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.text.identifiers import LONGEST, MARK, digest, presentable
from virt2.text.printable import encodable, printable

MIB = 1 << 20


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def grown(before: int) -> int:
    return tracemalloc.get_traced_memory()[0] - before


@given(st.text(max_size=40), st.integers(0, 40))
def test_a_line_depends_on_nothing_that_is_cut_off(text, longest):
    line = printable(text, longest)
    assert line.isprintable()
    assert line == printable(text + "x", longest) or not line.endswith("\u2026")
    assert (line[-1:] == "\u2026") == (len(line.encode()) > longest) or "\u2026" in text


def test_a_line_of_a_very_long_text_takes_no_more_memory_than_its_start(traced):
    text = "\u20ac" * MIB
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert printable(text, 200) == "\u20ac" * 66 + "\u2026"
    assert tracemalloc.get_traced_memory()[1] - before < 100_000


@pytest.mark.parametrize("start", ["x" * 200, "." * 200, "\n" * 200, "\u20ac" * 200, "\ud800" * 200])
@pytest.mark.parametrize("end", ["", "a", "b", "."])
def test_a_long_name_is_cut_and_told_apart_by_its_mark(start, end):
    name = presentable(start + end)
    assert name.endswith(f"~{digest(start + end)[:MARK]}")
    assert LONGEST - 4 < len(name.encode()) <= LONGEST
    assert name.isprintable()
    # What collectd cannot take is replaced before it is cut.
    unfit = start[0] in "\n\ud800" or not (start + end).strip(".")
    assert name[0] == ("_" if unfit else start[0])


def test_very_long_names_are_not_remembered(traced):
    presentable("x")
    before = tracemalloc.get_traced_memory()[0]
    for number in range(20):
        assert presentable(f"{number}" + "x" * MIB).startswith(f"{number}x")
    assert grown(before) < MIB


@given(st.text(st.characters()))
def test_what_utf8_can_encode_is_left_as_it_is_and_the_rest_is_escaped(text):
    found = encodable(text)
    found.encode()
    assert encodable(found) == found
    assert (found == text) == (not any("\ud800" <= char <= "\udfff" for char in text))


def test_half_of_a_surrogate_pair_is_told_by_its_number():
    assert encodable("a\udcffb\ud800") == r"a\udcffb\ud800"
