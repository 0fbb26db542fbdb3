"""What may be sent to the status socket, and what may have to be told there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any, NoReturn

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator, below
from tests.fuzz.target import Plain, Target, require
from virt2.domains.link import Link
from virt2.domains.states import Statuses
from virt2.errors import Error
from virt2.model.domain import NO_ID, Description, Disk, Domain, Status
from virt2.status import desk, wire
from virt2.status.snapshot import About, Moment, Server, Slots, Snapshot
from virt2.status.story import UnknownDomain
from virt2.status.wire import QUESTIONS, Question, Refused
from virt2.workers import sizing

NAMES = ("web-1", "db", "\x1b]0;x\x07", "\u202egnp", "\udcff", "a" * 240, "", "{uuid}")
WORDS = (
    '{"ask": "', '"ask"', '"domain"', '"}', "{", "}", "[", "]", ":", ",", '"', "\\", "\\u001b", "\\ud800", "\n", "null",
    "true", "NaN", "-Infinity", "1e400", "\ufeff", '{"ask":' * 40, "[" * 300, "9" * 400, *QUESTIONS,
)  # fmt: skip
TOKENS = (*(word.encode() for word in WORDS), b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\0")


LONGEST_REFUSAL = 800
"""Characters of a refusal. It quotes 60 of the question, each of which may be escaped by ten."""


class StatusQuestions(Target):
    """An input is the line that is sent, and what an answer is made of: names, the state of a domain, and a cause."""

    name = "status_questions"
    share = 12
    what = "lines at the status socket: JSON changed, cut, nested, of any encoding; names and causes in its answers"

    def corpus(self) -> Sequence[Plain]:
        lines = [json.dumps({"ask": ask}).encode() for ask in QUESTIONS]
        lines += [json.dumps({"ask": "explain", "domain": name}).encode() for name in NAMES]
        lines += [b"[" * 4000, b'{"ask":' * 500 + b"1" + b"}" * 500]
        return [(line, NAMES[at % len(NAMES) :], at, "blockStats") for at, line in enumerate(lines)]

    def mutator(self) -> Mutator:
        return Mutator(
            mutation.texts(NAMES), (*hostile.INTEGERS[:20],), bytes_=mutation.data(TOKENS, TOKENS[:4]), strange=0.0
        )

    def fresh(self) -> st.SearchStrategy[Plain]:
        leaf = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
        value = st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))
        key = st.sampled_from(("ask", "domain")) | st.text(st.characters(), max_size=8)
        asked = st.sampled_from(QUESTIONS) | value
        line = st.dictionaries(key, asked, max_size=4).map(lambda found: json.dumps(found).encode()) | st.binary()
        names = st.lists(st.sampled_from(NAMES) | st.text(st.characters(), max_size=20), max_size=6).map(tuple)
        return st.tuples(line, names, st.integers(-3, 12), st.text(st.characters(), max_size=40))

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        line, names, state, cause = base
        chance = random.random()
        if chance < 0.6:
            return mutator.bytes.change(random, line, other[0], mutator.styles), names, state, cause
        if chance < 0.8 and names:
            at = below(random, len(names))
            changed = mutator.strings.change(random, names[at], other[3], mutator.styles)
            return line, (*names[:at], changed, *names[at + 1 :]), state, cause
        if chance < 0.9:
            return line, (*names, *other[1])[:20], other[2], cause
        return line, names, state, mutator.strings.change(random, cause, other[3], mutator.styles)

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        line, names, state, cause = base
        if random.random() < 0.5:
            return mutator.inflate(random, line, size), names, state, cause
        return line, names, state, mutator.inflate(random, cause, size)

    def run(self, data: Plain) -> None:
        line, names, state, cause = data
        asked = Question("domains")
        try:
            asked = wire.parse(line)
        except Refused as error:
            check_sentence(str(error))
            require(len(str(error)) < LONGEST_REFUSAL, "the length of a refusal is not bounded")
        else:
            require(asked.ask in QUESTIONS, "something is asked that nobody answers")
            require(isinstance(asked.domain, str), "the name of a domain is no text")
        found = snapshot(names, state, cause)
        # Whatever is asked, something is answered that the names are in.
        for question in (asked, Question("explain", names[-1]) if names and len(line) % 2 else Question("top")):
            try:
                answer = desk.find_answer(question, found)
            except UnknownDomain as error:
                check_sentence(str(error))
                check_line(wire.error(str(error)))
            else:
                check_line(b"".join(wire.answer(answer)))


def snapshot(names: Sequence[str], state: int, cause: str) -> Snapshot:
    """A host with domains of these names, the last of which is not active."""
    domains = [
        Domain(f"u-{at}", name, at, Description(name[:3], (Disk("vda", name, name[-4:]),)))
        for at, name in enumerate(names[:-1])
    ]
    idle = [Status(f"u-{len(names)}", names[-1], NO_ID, True, state, 0)] if names else []
    return Snapshot(
        Moment(1000.0, 1.7e9),
        About(1, 0.0, "qemu:///system", 10.0, 1.5, 2.0, explicit={"fast": (cause,)}, tag_place=("urn:x", "tag")),
        Server("9.0.0", Link(state % 2 == 0, 1.0, cause), limits_reason=cause),
        Slots(4, 0, refusal=cause),
        sizing.plan(None, None, cause, 0, {"0": len(domains)}),
        domains,
        statuses=Statuses(idle, 900.0),
        readers={domain.uuid: "0" for domain in domains},
    )


def check_sentence(text: str) -> None:
    require(bool(text) and text.isprintable(), "a refusal is not one printable line")


def check_line(line: bytes) -> None:
    """An answer is one line of JSON in printable ASCII, which every reader of JSON takes."""
    require(line.endswith(b"\n") and line.count(b"\n") == 1, "an answer is not one line")
    require(line[:-1].isascii() and line[:-1].decode().isprintable(), "an answer is not printable ASCII")
    found = json.loads(line, parse_constant=_refuse)
    require(isinstance(found, dict) and found["version"] == wire.FORMAT, "an answer has no version")
    require(("answer" in found) != ("error" in found), "an answer is neither an answer nor an error, or both")
    _require_encodable(found)


def _refuse(word: str) -> NoReturn:
    raise Error(f"{word} is no JSON")


def _require_encodable(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    require(not any("\ud800" <= char <= "\udfff" for char in text), "an answer has half of a surrogate pair in it")
