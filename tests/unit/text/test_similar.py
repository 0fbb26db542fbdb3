"""Which known word an unknown one was meant to be."""

from __future__ import annotations

import pytest

from virt2.text.similar import LONGEST, most_similar

KNOWN = ("interval", "timeout", "domain")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("intervall", "interval"),
        ("INTERVL", "interval"),
        ("timeot", "timeout"),
        ("domains", "domain"),
        ("x", ""),
        ("", ""),
        ("a" * 100000, ""),
    ],
)
def test_the_most_similar_word_is_given_if_one_is_similar(word, meant):
    assert most_similar(word, KNOWN) == meant


def test_only_the_beginning_of_a_long_word_is_looked_at():
    assert most_similar("b" * LONGEST + "c" * 5000, ["b" * LONGEST]) == "b" * LONGEST
