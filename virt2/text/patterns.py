"""Entries that are an exact text or a ``/regex/``: the filter language of collectd's ignorelist, on Python's ``re``.

collectd compiles its patterns with ``regcomp(REG_EXTENDED)``, so an operator's pattern is a POSIX extended regular
expression. Given to ``re`` unchanged, it would mostly work and sometimes mean something else (``[[:digit:]]``, ``a+?``,
``x$`` before a newline). So it is translated token by token. What has no exact translation is refused by name.

Nothing protects against a correct pattern that takes exponential time, such as ``/(a+)+$/``, because the operator who
writes it controls the daemon anyway. Character classes are those of the C locale, which is ASCII.
"""

from __future__ import annotations

import re
import string

_REPEAT = re.compile(r"\{([0-9]{0,5})(,?)([0-9]{0,5})\}")
_REPEAT_MAX = 32767
"""glibc's RE_DUP_MAX. What ``regcomp`` refuses is refused here too."""

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": re.escape(string.punctuation),
    "space": r"\ \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}

_ESCAPES = {
    # These are GNU's own. glibc understands them, so existing patterns use them.
    "w": "[a-zA-Z0-9_]",
    "W": "[^a-zA-Z0-9_]",
    "s": r"[\ \t\n\r\f\v]",
    "S": r"[^\ \t\n\r\f\v]",
    "b": r"\b",
    "B": r"\B",
    "<": r"\b(?=\w)",
    ">": r"\b(?<=\w)",
    "`": r"\A",
    "'": r"\Z",
}
_ASSERTIONS = frozenset("bB<>`'")


class Match:
    """One entry of a filter: a text to compare with, or a pattern to search for.

    A text of more than two characters that starts and ends with ``/`` is a POSIX extended regular expression. It is
    searched anywhere in the value unless it is anchored. Any other text is compared exactly. Both are case-sensitive.

    Raises:
        ValueError: the pattern cannot be used; the message says why.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._pattern = _compile(text[1:-1]) if is_pattern(text) else None

    def matches(self, value: str) -> bool:
        """Tell whether this entry matches ``value``."""
        if self._pattern is None:
            return value == self.text
        return self._pattern.search(value) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Match) and other.text == self.text

    def __hash__(self) -> int:
        return hash((Match, self.text))

    def __repr__(self) -> str:
        return f"Match({self.text!r})"


def is_pattern(text: str) -> bool:
    """Tell whether collectd would read ``text`` as a regular expression."""
    return len(text) > 2 and text.startswith("/") and text.endswith("/")


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        # DOTALL, because in POSIX a dot matches a newline, and a domain's name may contain one. ASCII, because \b
        # means what it means in the C locale.
        return re.compile(translate(pattern), re.DOTALL | re.ASCII)
    except re.error as error:
        raise ValueError(str(error)) from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def translate(pattern: str) -> str:
    """Translate a POSIX extended regular expression into the language of Python's ``re``.

    Raises:
        ValueError: the pattern is wrong, or a part of it has no exact translation.
    """
    outer: list[list[str]] = []  # the unfinished groups around the one that is being read
    pieces: list[str] = []  # each is a part that can be repeated, or an anchor, or "|"
    repeatable = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char in "*+?{":
            if not repeatable:
                raise ValueError(f"there is nothing for the {char} to repeat")
            if char == "{":
                char, at = _repetition(pattern, at - 1)
            # The group keeps the POSIX meaning of a*? and a++: a repetition of a repetition.
            pieces[-1] = f"(?:{pieces[-1]}{char})"
        elif char == "(":
            outer.append(pieces)
            pieces, repeatable = [], False
        elif char == ")" and outer:
            group = "".join(pieces)
            pieces, repeatable = outer.pop(), True
            pieces.append(f"({group})")
        elif char == ")":
            raise ValueError("a ) has no (; write \\) for the character")
        elif char in "|^$":
            # $ in Python would also match before a newline at the end.
            pieces.append(r"\Z" if char == "$" else char)
            repeatable = False
        elif char == "[":
            piece, at = _bracket(pattern, at)
            pieces.append(piece)
            repeatable = True
        elif char == "\\":
            piece, repeatable = _escape(pattern[at : at + 1])
            pieces.append(piece)
            at += 1
        else:
            pieces.append("." if char == "." else re.escape(char))
            repeatable = True
    if outer:
        raise ValueError("a ( is not closed")
    return "".join(pieces)


def _repetition(pattern: str, at: int) -> tuple[str, int]:
    """Read ``{m,n}`` at ``at``. Give it in the language of ``re``, and the position of its end."""
    found = _REPEAT.match(pattern, at)
    if found is None or found.group() == "{}":
        raise ValueError("a { starts no repetition such as {2} or {1,3}; write \\{ for the character")
    low = int(found.group(1) or 0)
    high = low if not found.group(2) else int(found.group(3) or -1)
    if max(low, high) > _REPEAT_MAX or low > high >= 0:
        raise ValueError(f"the repetition {found.group()} is out of order or over {_REPEAT_MAX}")
    return f"{{{low},{high if found.group(3) or not found.group(2) else ''}}}", found.end()


def _escape(char: str) -> tuple[str, bool]:
    """Give what a backslash before ``char`` means, and whether that can be repeated."""
    if not char:
        raise ValueError("it ends in a single backslash")
    if char in _ESCAPES:
        return _ESCAPES[char], char not in _ASSERTIONS
    if char in "123456789":
        return f"(?:\\{char})", True
    if char.isalnum():
        # glibc reads \d as the letter d, which is never what was meant.
        raise ValueError(f"\\{char} means nothing in POSIX; write a class such as [[:digit:]], or the plain character")
    return re.escape(char), True


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """Read a bracket expression whose ``[`` is before ``at``. Give it in the language of ``re``, and where it ends."""
    negated = pattern.startswith("^", at)
    at = first = at + negated
    members: list[str] = []
    while at < len(pattern):
        char = pattern[at]
        if char == "]" and at > first:
            return f"[{'^' if negated else ''}{''.join(members)}]", at + 1
        if pattern.startswith(("[.", "[="), at):
            raise ValueError(f"collating elements such as {pattern[at : at + 2]}a{pattern[at + 1]}] are not supported")
        if pattern.startswith("[:", at):
            piece, at = _class(pattern, at)
            members.append(piece)
            continue
        at += 1
        if char == "-" and at - 1 > first and not pattern.startswith("]", at):
            raise ValueError("a - in the middle of [ ] starts no range; put it first or last")
        if pattern.startswith("-", at) and not pattern.startswith("-]", at) and at + 1 < len(pattern):
            end = pattern[at + 1]
            if pattern.startswith(("[.", "[=", "[:"), at + 1) or end < char:
                raise ValueError(f"the range {char}-{end} is not in order")
            members.append(f"{re.escape(char)}-{re.escape(end)}")
            at += 2
        else:
            members.append(re.escape(char))
    raise ValueError("a [ is not closed")


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Read a ``[:name:]`` at ``at``. Give its members in the language of ``re``, and where it ends."""
    end = pattern.find(":]", at + 2)
    name = pattern[at + 2 : end] if end >= 0 else ""
    if name not in _CLASSES:
        raise ValueError(f"[:{name}:] is not a POSIX character class; those are {', '.join(_CLASSES)}")
    if pattern.startswith("-", end + 2) and not pattern.startswith("-]", end + 2):
        raise ValueError(f"[:{name}:] cannot start a range")
    return _CLASSES[name], end + 2
