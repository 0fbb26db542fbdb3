"""Turns the plain part of Markdown that our tables use into what `man` reads."""

from __future__ import annotations

import re
from collections.abc import Iterable

from virt2.version import VERSION

_SPECIAL = {"\\": "\\(rs", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
"""Characters that roff takes for something else, or prints as others that cannot be copied into a shell."""
_INLINE = re.compile(r"`(?P<code>[^`]+)`|\[(?P<link>[^\]]+)\]\([^)]*\)|(?<!\w)\*(?P<word>\w[^*]*)\*(?!\w)")


def escaped(text: str, hyphen: str = "\\-") -> str:
    """Give a text that roff prints as it is. Its hyphens are those of options and paths, unless said otherwise."""
    special = {**_SPECIAL, "-": hyphen}
    return "".join(special.get(one) or (one if one.isascii() else f"\\[u{ord(one):04X}]") for one in text)


def inline(markdown: str) -> str:
    """Give one line for a text, with its code in bold, its stressed words in italics, and its links as their words."""
    text = " ".join(markdown.split())
    parts, end = [], 0
    for match in _INLINE.finditer(text):
        parts.append(escaped(text[end : match.start()], hyphen="-"))
        if match["code"]:
            # The mark before each word keeps it from being broken at the end of a line.
            words = " ".join(f"\\%{escaped(word)}" for word in match["code"].split(" "))
            parts.append(f"\\fB{words}\\fR")
        elif match["link"]:
            parts.append(inline(match["link"]))
        else:
            parts.append(f"\\fI{escaped(match['word'], hyphen='-')}\\fR")
        end = match.end()
    return "".join([*parts, escaped(text[end:], hyphen="-")])


def text(*parts: Iterable[str]) -> str:
    """Give a page for the lines of its parts."""
    return "".join(f"{line}\n" for part in parts for line in part)


def title(name: str, section: int, date: str) -> list[str]:
    """Give the first line of a page."""
    return [f'.TH {escaped(name.upper())} {section} "{escaped(date)}" "virt2 {escaped(VERSION)}" "collectd"']


def heading(title: str) -> list[str]:
    """Give the line of a section's heading."""
    return [f".SH {escaped(title.upper(), hyphen='-')}"]


def subheading(title: str) -> list[str]:
    """Give the line of a heading within a section."""
    return [f".SS {escaped(title, hyphen='-')}"]


def paragraph(markdown: str) -> list[str]:
    """Give the lines of a paragraph."""
    return [".PP", _line(inline(markdown))]


def entry(term: str, markdown: str) -> list[str]:
    """Give the lines of a term and of what is said of it."""
    return [".TP", _line(inline(term)), _line(inline(markdown))]


def example(text: str) -> list[str]:
    """Give the lines of a text that is printed as it is, such as a configuration."""
    return [".PP", ".RS 4", ".EX", *(_line(escaped(line)) for line in text.strip("\n").splitlines()), ".EE", ".RE"]


def references(*pages: tuple[str, int]) -> list[str]:
    """Give the names of other pages, in the order given."""
    commas = [","] * (len(pages) - 1) + [""]
    return [f".BR {escaped(name)} ({section}){comma}" for (name, section), comma in zip(pages, commas)]


def _line(text: str) -> str:
    """Give a line that is text: one that begins with a dot or a quote, or is empty, would be a request."""
    return f"\\&{text}" if text[:1] in (".", "'", "") else text
