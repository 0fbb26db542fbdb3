"""Reads the text of one file in collectd's configuration language.

The language is what collectd's own reader takes, with its peculiarities. Where several words are possible, the longest
one counts. Keys have letters, digits and underscores. A value is a text in quotes, a number, a boolean, an IP address,
or a word of letters, digits and underscores. The booleans are ``true``, ``yes``, ``on``, ``false``, ``no`` and ``off``,
in lower case. collectd drops every other character without a complaint. In quotes a backslash stands before a character
that is meant itself, and before the end of a line it joins the lines. A number with an exponent needs a point and a
sign (``1.0e+3``). Every statement ends with its line, and so the last line has to end with a newline.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator
from typing import NamedTuple, Union

from virt2.config.reading import Line

DEEPEST = 64
"""Most blocks within each other. collectd takes thousands, and no plugin has more than a few."""

MOST_DROPPED = 100
"""Most lines of a file whose dropped characters are told, and most bytes of them in each."""

Value = Union[str, float, bool, bytes]
"""What collectd's python plugin hands over: all numbers are floats, and a text that is not UTF-8 is bytes."""


class Node(NamedTuple):
    """An option or a block, as collectd hands it over, with its place."""

    key: str
    values: tuple[Value, ...]
    children: tuple[Node, ...]
    at: Line
    """Where it begins."""


class Dropped(NamedTuple):
    """Characters outside of quotes that collectd drops."""

    at: Line
    text: str


class Parsed(NamedTuple):
    """What a file says."""

    nodes: tuple[Node, ...]
    dropped: tuple[Dropped, ...]


class Broken(Exception):
    """A file is not in collectd's language.

    Attributes:
        at: the line where reading ended.
        reason: what is wrong there, in words.
        todo: what to do, in a sentence.
    """

    def __init__(self, at: Line, reason: str, todo: str) -> None:
        super().__init__(f"{at}: {reason}")
        self.at = at
        self.reason = reason
        self.todo = todo


_QUOTE = "Put the whole text that it belongs to in quotes."
_KEY = (
    "A line begins with a key, which has letters, digits and underscores, and is not true, false, yes, no, on or off."
)


def parse(file: str, text: bytes) -> Parsed:
    """Read the text of a file.

    Raises:
        Broken: collectd does not take it.
    """
    return _Parser(file, text).parse()


_END, _OPEN, _CLOSE, _SLASH, _WORD, _VALUE = "end", "<", ">", "/", "word", "value"
"""Kinds of tokens: the end of a line, the three signs, a word that may be a key, and anything else that is a value."""


class _Token(NamedTuple):
    kind: str
    position: int
    value: Value = ""


_BLANK = re.compile(rb"(?:[ \t\b]|#[^\n]*|\\\r?\n)+")
_USUAL = re.compile(
    rb"(?:[ \t\b]|#[^\n]*(?=\n|\Z)|\\\r?\n)*"
    rb"(?:(?P<end>\r?\n)|(?P<word>[0-9A-Za-z_]+)(?![.:0-9A-Za-z_])|(?P<sign>[<>/])"
    rb"|(?P<dropped>(?:[^ \t\b#\\\r\n<>/\"0-9A-Za-z_+\-.:\[]|\\(?!\r?\n))+))"
)
"""Most of what there is, and the blanks before it. A word that begins a fraction or an address is not."""
_QUOTED = re.compile(rb'"[^\\"]*(?:\\[^\n][^\\"]*)*"')
_CONTINUED = re.compile(rb'"[^\\"]*(?:\\[^\n][^\\"]*)*\\\r?\n')
_MORE_BLANK = re.compile(rb"[ \t\b]+")
# What continues a text on its next line begins with any character that is not blank, even with a quote.
_MORE_CONTINUED = re.compile(rb'[^ \t\b][^\\"]*(?:\\[^\n][^\\"]*)*\\\r?\n')
_MORE_QUOTED = re.compile(rb'[^ \t\b][^\\"]*(?:\\[^\n][^\\"]*)*"')

_WORDS = re.compile(rb"[0-9A-Za-z_]+")
_FLOAT = re.compile(rb"[+-]?[0-9]*\.[0-9]+(?:[eE][+-][0-9]+)?")
_HEX = re.compile(rb"0[xX][0-9a-fA-F]+")
_DECIMAL = re.compile(rb"[+-]?[0-9]+")
_BOOLEANS = {b"true": True, b"yes": True, b"on": True, b"false": False, b"no": False, b"off": False}

_BYTE = rb"(?:2(?:5[0-5]|[0-4][0-9])|1[0-9][0-9]|[1-9]?[0-9])"
_PORT = rb"(?:6(?:5(?:5(?:3[0-5]|[0-2][0-9])|[0-4][0-9][0-9])|[0-4][0-9]{3})|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
_V4 = rb"%b\.%b\.%b\.%b(?::%b)?" % (_BYTE, _BYTE, _BYTE, _BYTE, _PORT)
_MAY_BE_IPV4 = re.compile(rb"[0-9]{1,3}\.[0-9]{1,3}\.")
_MAY_BE_IPV6 = re.compile(rb"\[?[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*(?:\](?::[0-9]{1,5})?)?")


# These two take longer to be made than a usual configuration takes to be read, and few configurations have addresses
# outside of quotes.
@functools.cache
def _ipv4() -> re.Pattern[bytes]:
    return re.compile(_V4)


@functools.cache
def _ipv6() -> re.Pattern[bytes]:
    group = rb"[0-9A-Fa-f]{1,4}"
    last = rb"(?:%b:%b|%b)" % (group, group, _V4)
    forms = [rb"(?:%b:){6}%b" % (group, last), rb"::(?:%b:){5}%b" % (group, last)]
    # Where groups of zeros are left out, a number of groups may stand before them, and the others stand behind.
    for before, behind in enumerate(range(4, 0, -1)):
        first = rb"(?:(?:%b:){0,%d}%b)?" % (group, before, group)
        forms.append(rb"%b::(?:%b:){%d}%b" % (first, group, behind, last))
    forms.append(rb"(?:(?:%b:){0,4}%b)?::%b" % (group, group, last))
    forms.append(rb"(?:(?:%b:){0,5}%b)?::%b" % (group, group, group))
    forms.append(rb"(?:(?:%b:){0,6}%b)?::" % (group, group))
    base = rb"(?:%b)" % b"|".join(forms)
    return re.compile(rb"%b|\[%b\](?::%b)?" % (base, base, _PORT))


class _Parser:
    """Reads one file."""

    def __init__(self, file: str, text: bytes) -> None:
        self._file = file
        self._text = text
        self._ends = [match.start() for match in re.finditer(b"\n", text)]
        self._dropped: dict[Line, bytes] = {}
        self._open_quote = False
        """Whether a quote was found that is not closed: then none behind it is."""
        self._long: tuple[Line, Line] | None = None
        """Where the last text in quotes begins and ends that has more than one line."""

    def parse(self) -> Parsed:
        """Give the statements of the file."""
        try:
            nodes = self._statements()
        except Broken as broken:
            if self._long is not None and self._long[1].number <= broken.at.number:
                begin, end = self._long
                lines = f"A text in quotes goes from line {begin.number} to line {end.number}"
                raise Broken(broken.at, broken.reason, f"{broken.todo} {lines}: is a quote missing?") from None
            raise
        dropped = (Dropped(at, chars.decode("utf-8", "backslashreplace")) for at, chars in self._dropped.items())
        return Parsed(nodes, tuple(dropped))

    def _statements(self) -> tuple[Node, ...]:
        blocks: list[tuple[str, tuple[Value, ...], Line, list[Node]]] = [("", (), Line(self._file, 1), [])]
        tokens = self._tokens()
        for token in tokens:
            if token.kind == _END:
                continue
            if token.kind == _WORD:
                key = self._key(token)
                values, end = self._values(tokens)
                if end is None or end.kind != _END:
                    raise self._broken(end, f"the option {key}")
                if not values:
                    todo = "Give it a value. Where it is meant to be empty, write two quotes."
                    raise Broken(self._line(token.position), f"the option {key} has no value", todo)
                blocks[-1][-1].append(Node(key, values, (), self._line(token.position)))
            elif token.kind == _OPEN:
                self._take_block(blocks, tokens, token)
            else:
                shown = token.kind if token.kind in (_CLOSE, _SLASH) else _shown(token.value)
                raise Broken(self._line(token.position), f"a line begins with {shown}, which is no key", _KEY)
        if len(blocks) > 1:
            key, _, at, _ = blocks[-1]
            what = f"the block <{key}> is not closed by a line </{key}>"
            raise Broken(at, what, f"Write </{key}> where it ends.")
        return tuple(blocks[0][-1])

    def _take_block(
        self,
        blocks: list[tuple[str, tuple[Value, ...], Line, list[Node]]],
        tokens: Iterator[_Token],
        opening: _Token,
    ) -> None:
        """Read the line that begins or ends a block, behind its first sign."""
        at = self._line(opening.position)
        name = next(tokens, None)
        ends = name is not None and name.kind == _SLASH
        if ends:
            name = next(tokens, None)
        if name is None or name.kind != _WORD:
            raise Broken(at, "a < is not followed by the name of a block", f"Write the name. {_QUOTE}")
        key = self._key(name)
        values, closing = self._values(tokens)
        shown = f"</{key}" if ends else f"<{key}"
        if closing is None or closing.kind != _CLOSE or (ends and values):
            todo = "Write it at the end of the line, and put texts before it in quotes."
            raise Broken(at, f"the > of {shown} is missing", todo)
        behind = next(tokens, None)
        if behind is None or behind.kind != _END:
            raise self._broken(behind, f"{shown}>")
        if not ends:
            if len(blocks) > DEEPEST:
                todo = "Close each block before the next one begins."
                raise Broken(at, f"more than {DEEPEST} blocks are within each other", todo)
            blocks.append((key, values, at, []))
            return
        if len(blocks) == 1:
            raise Broken(at, f"{shown}> closes a block that is not open", "Remove this line.")
        opened, values, began, children = blocks.pop()
        if opened != key:
            todo = f"Write </{opened}>."
            if opened.lower() == key.lower():
                todo += " Upper and lower case count here."
            raise Broken(
                at, f"{shown}> stands where the block <{opened}> of line {began.number} has to be closed", todo
            )
        if values or children:
            # collectd keeps nothing of a block that is empty.
            blocks[-1][-1].append(Node(opened, values, tuple(children), began))

    def _values(self, tokens: Iterator[_Token]) -> tuple[tuple[Value, ...], _Token | None]:
        """Read values up to something else, and give that too; None where the file ends."""
        values: list[Value] = []
        for token in tokens:
            if token.kind not in (_WORD, _VALUE):
                return tuple(values), token
            values.append(token.value)
        return tuple(values), None

    def _broken(self, found: _Token | None, what: str) -> Broken:
        """Say why the line of something does not end behind it."""
        if found is None:
            end = self._line(max(len(self._text) - 1, 0))
            return Broken(end, f"the file ends within the line of {what}", "End the last line with a newline.")
        shown = found.kind if found.kind in (_OPEN, _CLOSE, _SLASH) else _shown(found.value)
        return Broken(self._line(found.position), f"a {shown} stands behind {what}, outside of quotes", _QUOTE)

    def _tokens(self) -> Iterator[_Token]:
        text, at = self._text, 0
        while True:
            usual = _USUAL.match(text, at)
            if usual is not None:
                start, at = usual.span(usual.lastgroup or 0)
                if usual.lastgroup == "word":
                    yield _word(start, text[start:at])
                elif usual.lastgroup == "dropped":
                    self._drop(start, text[start:at])
                else:
                    yield _Token(_END if usual.lastgroup == "end" else usual["sign"].decode(), start)
                continue
            blank = _BLANK.match(text, at)
            if blank is not None:
                at = blank.end()
            if at >= len(text):
                return
            found = self._quoted(at) if text.startswith(b'"', at) else self._plain(at)
            if found is None:
                self._drop(at, text[at : at + 1])
                at += 1
                continue
            token, at = found
            yield token

    def _plain(self, at: int) -> tuple[_Token, int] | None:
        """Read a value without quotes. The longest reading counts, and of equals the first."""
        text = self._text
        word = _WORDS.match(text, at)
        address = self._address(at)
        numbers = (pattern.match(text, at) for pattern in (_FLOAT, _HEX, _DECIMAL))
        number = max((match.end() for match in numbers if match is not None), default=at)
        end = max(address, number, at if word is None else word.end())
        if end == at:
            return None
        if end == address:
            # To collectd's grammar it is a word like any other, and may even be a key.
            return _Token(_WORD, at, text[at:end].decode("ascii")), end
        if end == number:
            return _Token(_VALUE, at, _number(text[at:end])), end
        return _word(at, text[at:end]), end

    def _address(self, at: int) -> int:
        """Give where the longest IP address ends that begins here; `at` where none does."""
        v4 = _ipv4().match(self._text, at) if _MAY_BE_IPV4.match(self._text, at) is not None else None
        longest = v4.end() if v4 is not None else at
        candidate = _MAY_BE_IPV6.match(self._text, at)
        for end in range(min(candidate.end(), at + 64), longest, -1) if candidate is not None else ():
            if _ipv6().fullmatch(self._text, at, end) is not None:
                return end
        return longest

    def _quoted(self, at: int) -> tuple[_Token, int] | None:
        """Read a text in quotes."""
        if self._open_quote:
            return None
        whole, continued = _QUOTED.match(self._text, at), _CONTINUED.match(self._text, at)
        if continued is not None and (whole is None or continued.end() > whole.end()):
            return self._continued(at, continued)
        if whole is None:
            self._open_quote = True
            return None
        if b"\n" in whole.group():
            self._long = self._line(at), self._line(whole.end() - 1)
        return _Token(_VALUE, at, _text(whole.group())), whole.end()

    def _continued(self, at: int, first: re.Match[bytes]) -> tuple[_Token, int]:
        """Read a text that goes on in the next line. Blanks at the beginning of that are no part of it."""
        pieces, here = [_without_end(first.group())], first.end()
        while True:
            blank = _MORE_BLANK.match(self._text, here)
            if blank is not None:
                here = blank.end()
            more, last = _MORE_CONTINUED.match(self._text, here), _MORE_QUOTED.match(self._text, here)
            if last is not None and (more is None or last.end() > more.end()):
                return _Token(_VALUE, at, _text(b"".join((*pieces, last.group())))), last.end()
            if more is None:
                what = "a text in quotes begins here and does not end in this file"
                raise Broken(self._line(at), what, "Put a quote where it ends.")
            pieces.append(_without_end(more.group()))
            here = more.end()

    def _drop(self, at: int, chars: bytes) -> None:
        """Note characters of one line that are dropped. A file that is no text has many."""
        line = self._line(at)
        if line in self._dropped or len(self._dropped) < MOST_DROPPED:
            self._dropped[line] = (self._dropped.get(line, b"") + chars)[:MOST_DROPPED]

    def _key(self, token: _Token) -> str:
        assert isinstance(token.value, str), token
        return token.value

    def _line(self, position: int) -> Line:
        return Line(self._file, bisect.bisect_left(self._ends, position) + 1)


def _without_end(piece: bytes) -> bytes:
    """Remove the backslash and the end of the line."""
    return piece[:-3] if piece.endswith(b"\r\n") else piece[:-2]


def _text(quoted: bytes) -> str | bytes:
    """Give what a text in quotes means."""
    # To collectd a text ends at its first zero byte. Then it has no closing quote, and keeps the opening one.
    quoted, zero, _ = quoted.partition(b"\0")
    inner = quoted if zero else quoted[1:-1]
    text = re.sub(rb"\\(.?)", rb"\1", inner, flags=re.DOTALL) if not zero else inner
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text


def _word(at: int, word: bytes) -> _Token:
    """Give what a word is that has no point and no colon behind it."""
    if word in _BOOLEANS:
        return _Token(_VALUE, at, _BOOLEANS[word])
    if word.isdigit() or _HEX.fullmatch(word) is not None:
        return _Token(_VALUE, at, _number(word))
    return _Token(_WORD, at, word.decode("ascii"))


def _number(digits: bytes) -> float:
    if digits[:2] in (b"0x", b"0X"):
        try:
            return float(int(digits, 16))
        except OverflowError:
            return float("inf")
    return float(digits)


def _shown(value: Value) -> str:
    return repr(value) if not isinstance(value, float) else f"{value:g}"
