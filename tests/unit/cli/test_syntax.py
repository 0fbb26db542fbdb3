"""Reading collectd's language: what is accepted, what is dropped, and that everything has its line.

tests/integration/test_collectd_language.py compares this reader with collectd's own.
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.cli.syntax import DEEPEST, MOST_DROPPED, Broken, Dropped, Node, parse
from virt2.config.reading import Line

FILE = "a.conf"


def values(text):
    """The values of the only option of a text."""
    (node,) = parse(FILE, b"Key " + text + b"\n").nodes
    return node.values


def broken(text):
    """The line and the reason of what is wrong with a text."""
    with pytest.raises(Broken) as failure:
        parse(FILE, text)
    assert failure.value.at.file == FILE
    assert str(failure.value) == f"{failure.value.at}: {failure.value.reason}"
    return failure.value.at.number, failure.value.reason


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (b"word", ("word",)),
        (b"a b_1\tc", ("a", "b_1", "c")),
        (b"12", (12.0,)),
        (b"-3 +7 .5 1.5", (-3.0, 7.0, 0.5, 1.5)),
        (b"0x1F 0X10", (31.0, 16.0)),
        (b"007", (7.0,)),
        (b"1.0e+3 1.5E-1", (1000.0, 0.15)),
        (b"1e5", ("1e5",)),  # an exponent needs a point
        (b"1.0e3", (1.0, "e3")),  # and a sign
        (b"12ab 1_000", ("12ab", "1_000")),
        (b"true yes on false no off", (True, True, True, False, False, False)),
        (b"True ON online", ("True", "ON", "online")),
        (b"10.0.0.1 10.0.0.1:80", ("10.0.0.1", "10.0.0.1:80")),
        (b"1.2.3.256", ("1.2.3.25", 6.0)),
        (b"::1 fe80::1 [::1]:25826", ("::1", "fe80::1", "[::1]:25826")),
        (b"1:2:3:4:5:6:7:8 ::ffff:1.2.3.4", ("1:2:3:4:5:6:7:8", "::ffff:1.2.3.4")),
        (b'"x y"', ("x y",)),
        (b'"a\\"b" "\\\\" "c\\d"', ('a"b', "\\", "cd")),
        (b'"12" "true"', ("12", "true")),
        (b'""', ("",)),
        (b'"two\nlines"', ("two\nlines",)),
        (b'"joined \\\n   lines"', ("joined lines",)),
        (b'"joined \\\n\tonce\\\n more"', ("joined oncemore",)),
        (b'"kept\\\r\n  ends"', ("kept\r\n  ends",)),
        (b"a \\\n b", ("a", "b")),
        (b"a \\\r\n b\r", ("a", "b")),
        (b'"#" a # "b', ("#", "a")),
        (b"a\bb", ("a", "b")),
        ('"ü"'.encode(), ("ü",)),
        (b'"\xff"', (b"\xff",)),
        (b'"x\0y" z', ('"x', "z")),  # to collectd a text ends at a zero byte
        (b"0x" + b"f" * 400, (float("inf"),)),
    ],
    ids=repr,
)
def test_values_are_read_as_collectd_reads_them(text, read):
    assert values(text) == read
    assert list(map(type, values(text))) == list(map(type, read))


@pytest.mark.parametrize(
    ("text", "read", "dropped"),
    [
        (b"web-1", ("web", -1.0), ""),  # nothing is dropped, and it is not what was meant
        (b"a=b;", ("a", "b"), "=;"),
        (b"qemu:x", ("qemu", "x"), ":"),
        (b"a.b", ("a", "b"), "."),
        (b"/x", None, ""),
        ("“x”".encode(), ("x",), "“”"),
        (b"x\\y", ("x", "y"), "\\"),
        (b'"open', ("open",), '"'),
        (b'"closed "\\"" "', ("closed ", ""), '\\"'),
        (b"\xff x", ("x",), "\\xff"),
    ],
    ids=repr,
)
def test_characters_outside_of_quotes_are_dropped_and_told(text, read, dropped):
    if read is None:
        assert "a / stands behind the option Key, outside of quotes" in broken(b"Key a " + text + b"\n")[1]
        return
    parsed = parse(FILE, b"\nKey " + text + b"\n")
    assert parsed.nodes == (Node("Key", read, (), Line(FILE, 2)),)
    assert parsed.dropped == ((Dropped(Line(FILE, 2), dropped),) if dropped else ())


def test_what_is_told_of_dropped_characters_is_bounded():
    parsed = parse(FILE, b"K 1 " + b"\xff" * 1000 + b"\n" + b"K 2 ;\n" * 1000)
    assert len(parsed.dropped) == MOST_DROPPED
    assert parsed.dropped[0].text == "\\xff" * MOST_DROPPED
    assert len(parsed.nodes) == 1001


def test_blocks_and_options_have_their_lines():
    text = b"""\
# a comment
A 1

<B "x" 2>
  C "two
lines" \\
  3
  <D>
    E 5
  </D>
</B>
F 6
"""
    assert parse(FILE, text).nodes == (
        Node("A", (1.0,), (), Line(FILE, 2)),
        Node(
            "B",
            ("x", 2.0),
            (
                Node("C", ("two\nlines", 3.0), (), Line(FILE, 5)),
                Node("D", (), (Node("E", (5.0,), (), Line(FILE, 9)),), Line(FILE, 8)),
            ),
            Line(FILE, 4),
        ),
        Node("F", (6.0,), (), Line(FILE, 12)),
    )


def test_of_an_empty_block_nothing_is_kept_unless_it_has_a_value():
    assert parse(FILE, b"<A>\n</A>\n<B>\n<C>\n</C>\n\n</B>\n<D 1>\n</D>\n").nodes == (
        Node("D", (1.0,), (), Line(FILE, 8)),
    )


@pytest.mark.parametrize("text", [b"", b"\n", b"# only a comment", b"   "], ids=repr)
def test_a_file_may_have_nothing_in_it(text):
    assert parse(FILE, text) == ((), ())


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (b"A 1\nFoo\nB 2\n", 2, "the option Foo has no value"),
        (b"A 1\n12 x\n", 2, "a line begins with 12, which is no key"),
        (b"true x\n", 1, "a line begins with True, which is no key"),
        (b'"A" x\n', 1, "a line begins with 'A', which is no key"),
        (b"> x\n", 1, "a line begins with >, which is no key"),
        (b"A /x\n", 1, "a / stands behind the option A, outside of quotes"),
        (b"A b <c\n", 1, "a < stands behind the option A"),
        (b"A 1\nB 2", 2, "the file ends within the line of the option B"),
        (b"\n<A>\nB 1\n", 2, "the block <A> is not closed by a line </A>"),
        (b"<A>\nB 1\n</A>", 3, "the file ends within the line of </A>"),
        (b"<A x\nB 1\n</A>\n", 1, "the > of <A is missing"),
        (b"<A qemu:///x>\n</A>\n", 1, "the > of <A is missing"),
        (b"<A> B 1\n</A>\n", 1, "a 'B' stands behind <A>, outside of quotes"),
        (b"<>\n", 1, "a < is not followed by the name of a block"),
        (b"<A>\n</ >\n", 2, "a < is not followed by the name of a block"),
        (b"B 1\n</A>\n", 2, "</A> closes a block that is not open"),
        (b"<A>\nB 1\n\n</a>\n", 4, "</a> stands where the block <A> of line 1 has to be closed"),
        (b"<A>\n</A 1>\n", 2, "the > of </A is missing"),
        (b'A 1\nB "x \\\n y\nC 2\n', 2, "a text in quotes begins here and does not end in this file"),
        (b"<A>\n" * (DEEPEST + 1), DEEPEST + 1, f"more than {DEEPEST} blocks are within each other"),
    ],
    ids=repr,
)
def test_what_collectd_does_not_take_is_said_with_its_line(text, line, reason):
    found = broken(text)
    assert found[0] == line
    assert reason in found[1]


@pytest.mark.parametrize(
    ("text", "todo"),
    [
        (b"<A>\nB 1\n</a>\n", "Write </A>. Upper and lower case count here."),
        (b"<A>\nB 1\n</C>\n", "Write </A>."),
        (b"A /x\n", "Put the whole text that it belongs to in quotes."),
        (b"A 1", "End the last line with a newline."),
        (
            b'A "x\nB "y"\nC /z\n',
            "Put the whole text that it belongs to in quotes. A text in quotes goes from line 1 to line 2: is a quote"
            " missing?",
        ),
        (b'A /z\nB "x\ny"\n', "Put the whole text that it belongs to in quotes."),
    ],
    ids=repr,
)
def test_what_to_do_is_said_too(text, todo):
    with pytest.raises(Broken) as failure:
        parse(FILE, text)
    assert failure.value.todo == todo


KEYS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
    lambda key: key not in ("true", "yes", "on", "false", "no", "off")
)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=20)
NUMBERS = st.floats(-1e9, 1e9).map(lambda number: round(number, 3)) | st.integers(0, 10**6).map(float)
TREES = st.recursive(
    st.tuples(KEYS, st.lists(TEXTS | NUMBERS | st.booleans(), min_size=1, max_size=4), st.just(())),
    lambda inner: st.tuples(KEYS, st.lists(TEXTS, min_size=1, max_size=2), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=12,
)


def written(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.3f}"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def lines(tree):
    """A tree in collectd's language, and what it is to be read as without places."""
    key, values, children = tree
    shown = " ".join(map(written, values))
    if not children:
        return [f"{key} {shown}"]
    return [f"<{key} {shown}>", *(line for child in children for line in lines(child)), f"</{key}>"]


def plain(node):
    return node.key, list(node.values), tuple(map(plain, node.children))


def normal(tree):
    key, values, children = tree
    return key, list(values), tuple(map(normal, children))


@given(st.lists(TREES, max_size=4))
def test_what_is_written_in_the_language_is_read_back(trees):
    text = "\n".join(["", *(line for tree in trees for line in lines(tree)), ""])
    parsed = parse(FILE, text.encode())
    assert list(map(plain, parsed.nodes)) == list(map(normal, trees))
    assert parsed.dropped == ()


WORDS = (
    b"Key", b" ", b" ", b"\n", b"\n", b"\r\n", b"<", b">", b"/", b"<A>\n", b"</A>\n", b'"', b"\\", b"\\\n", b"#",
    b"1", b".5", b"0x", b"1.2.3.4", b"::", b"[", b"true", b"\xff", b"\0", b"\b", b"-", b";", b'"x"',
)  # fmt: skip


@given(st.lists(st.sampled_from(WORDS) | st.binary(max_size=3), max_size=30).map(b"".join))
def test_any_bytes_are_read_or_refused_with_a_line_of_the_file(text):
    lines = range(1, text.count(b"\n") + 2)
    refused = None
    try:
        parsed = parse(FILE, text)
    except Broken as error:
        refused = error
    if refused is not None:
        assert refused.at.number in lines
        assert refused.reason
        return
    assert all(dropped.at.number in lines and dropped.text for dropped in parsed.dropped)
    waiting = list(parsed.nodes)
    while waiting:
        node = waiting.pop()
        waiting += node.children
        assert node.at.number in lines
        assert node.values or node.children
        assert all(isinstance(value, (str, float, bool, bytes)) for value in node.values)


@pytest.mark.parametrize(
    "text",
    [b'\\"' * 150000, b'K "a\\\n' * 60000, b"[." * 100000, b'"' * 300001, b"<a>\n" * 80000, b"\\" * 300000],
    ids=lambda text: repr(text[:6]),
)
def test_hostile_texts_take_no_longer_than_their_length_deserves(text):
    # 300 kB of them take half a second. In a time that grew with the square, they would take many minutes.
    with contextlib.suppress(Broken):
        parse(FILE, text)
