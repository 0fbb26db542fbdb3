"""Questions and answers as lines of JSON."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virt2.status import wire
from virt2.status.wire import LONGEST_QUESTION, QUESTIONS, Question, Refused
from virt2.version import VERSION


def refusal(line: bytes) -> str:
    with pytest.raises(Refused) as refused:
        wire.parse(line)
    text = str(refused.value)
    assert text.isprintable()
    assert len(text) < 300
    return text


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("ask", sorted(set(QUESTIONS) - wire.OF_A_DOMAIN))
def test_a_question_is_an_object_with_what_is_asked(ask, end):
    assert wire.parse(json.dumps({"ask": ask}).encode() + end) == Question(ask)


@pytest.mark.parametrize("name", ["web-1", "w\u00e4b \U0001f600", 'a"b\\c', "x" * 240, "\x1b[31m"])
def test_explain_names_its_domain(name):
    for ascii_only in (True, False):
        line = json.dumps({"ask": "explain", "domain": name}, ensure_ascii=ascii_only).encode()
        assert wire.parse(line) == Question("explain", name)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "there is no question"),
        (b" \r\n", "there is no question"),
        (b"hello\n", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        (b'{"ask": "hello"', "not JSON"),
        (b'{"ask": "hello"} {}', "not JSON: Extra data"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b'{"ask": "\xc3("}', "not UTF-8 at byte 9"),
        ('\ufeff{"ask": "hello"}'.encode(), "not JSON"),
        (b"null", "no JSON object, but null"),
        (b"true", "no JSON object, but a boolean"),
        (b"-1e400", "no JSON object, but a number"),
        (b'"hello"', "no JSON object, but a text"),
        (b"[]", "no JSON object, but a list"),
        (b"{}", 'has no "ask": accepted is one of hello, domains, limits, explain, top'),
        (b'{"Ask": "hello"}', 'has no "ask"'),
        (b'{"ask": null}', '"ask" is no text, but null'),
        (b'{"ask": {"ask": "hello"}}', '"ask" is no text, but an object'),
        (b'{"ask": "HELLO"}', "\"ask\" is 'HELLO': accepted is one of"),
        (b'{"ask": "\\u001b[31m\\n"}', r"'\x1b[31m\n'"),
        (b'{"ask": "\\udc80"}', r"'\udc80'"),
        (b'{"ask": "explain"}', 'explain needs a "domain"'),
        (b'{"ask": "explain", "domain": ""}', 'explain needs a "domain"'),
        (b'{"ask": "explain", "domain": ["web"]}', '"domain" is no text, but a list'),
        (b'{"ask": "explain", "domain": NaN}', '"domain" is no text, but a number'),
        (b'{"ask": "explain", "domain": "a", "since": 1}', "explain takes no 'since'"),
        (b'{"ask": "domains", "domain": "a"}', "domains takes no 'domain'"),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(line, told):
    assert told in refusal(line)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * LONGEST_QUESTION,
        b"[" * 2000 + b"]" * 2000,
        b'{"ask":' * 585,
        b'{"ask":' * 500 + b"1" + b"}" * 500,
        b'{"ask": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
)
def test_deep_nesting_is_refused_however_deep_this_python_goes(line):
    assert len(line) <= LONGEST_QUESTION
    assert refusal(line)


def test_a_number_of_thousands_of_digits_is_refused_too():
    assert "ask" in refusal(b'{"ask": ' + b"9" * 4000 + b"}")


def test_the_longest_question_is_accepted_and_one_byte_more_is_not():
    start, end = b'{"ask": "hello"', b"}"
    fitting = start + b" " * (LONGEST_QUESTION - len(start + end)) + end
    assert wire.parse(fitting + b"\n") == Question("hello")
    assert refusal(start + b" " + fitting[len(start) :]) == wire.TOO_LONG


@given(st.binary(max_size=300))
@example(b'{"ask": "explain", "domain": "\\ud800"}')
def test_any_bytes_are_a_question_or_are_refused(line):
    try:
        question = wire.parse(line)
    except Refused:
        assert refusal(line)
    else:
        assert question.ask in QUESTIONS


def written(found: dict[str, object]) -> bytes:
    return b"".join(wire.answer(found))


def read(line: bytes) -> object:
    assert line.endswith(b"\n")
    assert line[:-1].decode("ascii").isprintable()

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(line, parse_constant=refuse)


ANSWER = {
    "name": "web",
    "pid": 1,
    "reach": {"since": None, "up": True},
    "domains": [{"a": 1.5}, {"b": [1, 2]}, []],
    "e": [],
}


def test_an_answer_is_one_line_with_the_versions():
    assert read(written(ANSWER)) == {"version": 1, "virt2": VERSION, "answer": ANSWER}
    assert read(written({})) == {"version": 1, "virt2": VERSION, "answer": {}}


def test_an_answer_comes_in_pieces_of_one_entry_each():
    rows = [{"number": number} for number in range(100)]
    assert max(map(len, wire.answer({"rows": rows}))) < 80


@pytest.mark.parametrize("name", ["\x1b]0;x\x07", "a\nb\u2028c\x85d\x7f", "\u202egnp.exe", "\U0001f600", "\x9b31m"])
def test_what_controls_a_terminal_comes_out_as_it_is_and_goes_over_the_wire_escaped(name):
    assert read(written({"domains": [{"name": name}], name: name}))["answer"] == {
        "domains": [{"name": name}],
        name: name,
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a\udcffb", r"a\udcffb"),
        ("\ud83d", r"\ud83d"),
        ("\udc00\ud800", r"\udc00\ud800"),
        ("\ud83d\udca9\U0001f600", "\\ud83d\\udca9\U0001f600"),
        (r"\ud800", r"\ud800"),
    ],
)
def test_half_of_a_surrogate_pair_is_told_as_a_text_because_some_readers_of_json_refuse_it(name, told):
    found = read(written({"name": name, "rows": [{name: [name, (name,)]}]}))["answer"]
    assert found == {"name": told, "rows": [{told: [told, [told]]}]}
    json.dumps(found, ensure_ascii=False).encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_has_no_form_for_is_null(number):
    assert read(written({"a": number, "rows": [{"b": [1.5, number]}]}))["answer"] == {
        "a": None,
        "rows": [{"b": [1.5, None]}],
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
    )
)
def test_whatever_is_answered_is_one_line_of_json(value):
    found = read(written({"value": value}))
    assert set(found) == {"version", "virt2", "answer"}


def test_an_error_is_one_line_with_a_sentence():
    assert read(wire.error("no \udc80 \x1b")) == {"version": 1, "error": "no \\udc80 \x1b"}
