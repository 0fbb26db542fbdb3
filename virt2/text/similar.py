"""Finds out which of the known words an unknown one was most likely meant to be."""

from __future__ import annotations

from collections.abc import Iterable

SIMILAR = 0.72
"""How similar a known word must be to be suggested (difflib's ratio)."""
LONGEST = 64
"""How many characters of the unknown word are looked at. No known word is longer."""


def most_similar(word: str, known: Iterable[str]) -> str:
    """Give that of the known words, all in lower case, which is meant most likely; empty where none is similar."""
    # Hardly any configuration needs this, and it takes memory for as long as collectd runs.
    import difflib

    return next(iter(difflib.get_close_matches(word[:LONGEST].lower(), list(known), n=1, cutoff=SIMILAR)), "")
