"""Tables fit the terminal, whatever names are in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.cli.columns import Column, cells, fit, table, within
from virt2.cli.saying import duration

COLUMNS = (Column("NAME", least=6), Column("N", right=True), Column("TAG", least=4, leave=1), Column("ID", leave=2))
ROWS = [["web-1", "1", "fast", "a" * 20], ["a-long-name-of-a-domain", "12", "-", "b" * 20]]


def test_a_table_without_a_bound_is_as_wide_as_it_needs_to_be():
    made = table(COLUMNS, ROWS, None)
    assert made.lines == [
        "NAME                      N  TAG   ID",
        f"web-1                     1  fast  {'a' * 20}",
        f"a-long-name-of-a-domain  12  -     {'b' * 20}",
    ]
    assert made.left_out == []


@pytest.mark.parametrize(("width", "left_out"), [(60, []), (40, []), (36, ["ID"]), (16, ["ID"]), (11, ["TAG", "ID"])])
def test_what_there_is_no_room_for_is_cut_or_left_out(width, left_out):
    made = table(COLUMNS, ROWS, width)
    assert made.left_out == left_out
    assert max(map(cells, made.lines)) <= width


@given(st.text(max_size=30), st.integers(0, 20))
def test_a_text_is_as_wide_as_is_wanted(text, width):
    shown = "".join(char for char in text if char.isprintable())
    assert cells(fit(shown, width)) == width
    assert fit("ab", 4, right=True) == "  ab"


@given(st.lists(st.lists(st.text(max_size=40), min_size=4, max_size=4), max_size=5), st.integers(20, 120))
def test_a_table_fits_and_controls_no_terminal(rows, width):
    for line in table(COLUMNS, rows, width).lines:
        assert cells(line) <= max(width, 6 + 2 + max([1, *(cells(repr(row[1])) for row in rows)]))
        assert line.isprintable()


def test_wide_characters_take_two_cells_and_combining_ones_none():
    assert cells("\u8a9e") == 2
    assert cells("e\u0301") == 1
    assert fit("\u8a9e\u8a9e", 3) == "\u8a9e…"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (-1, "0 s"), (119.9, "119 s"), (120, "2 min"), (7200, "2 h"), (172800, "2 d"), (1e12, "11574074 d")],
)
def test_a_duration_is_told_in_the_unit_that_fits(seconds, told):
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("text", "encoding", "made"),
    [
        ("w\u00fcrfel\u2026", "ascii", "w?rfel?"),
        ("w\u00fcrfel\u2026", "latin-1", "w\u00fcrfel?"),
        ("\u5343\u91cc", "ascii", "????"),
        ("z\u0301", "ascii", "z"),
        ("z\u0301", "utf-8", "z\u0301"),
    ],
)
def test_what_an_encoding_lacks_takes_as_many_cells(text, encoding, made):
    assert within(text, encoding) == made
    assert cells(within(text, encoding)) == cells(text)
