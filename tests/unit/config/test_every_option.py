"""Every option there is, fed with what it does not accept, in every case and quoting: told in full, and never fatal."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.config.test_reading import ACCEPTED, VALUE, Node, instance, module, option
from virt2.config.parsers import written
from virt2.config.reading import INSTANCE_OPTIONS, OPTIONS, Settings, parse

PLAIN = [opt for opt in OPTIONS if opt.parser]
MAY_BE_EMPTY = {"ExtraStats", "PluginInstanceFormat"}
"""Options that mean something without a value, and with an empty one."""
EMPTY_IS_DEFAULT = {"Connection", "AdminConnection"}
NEVER = [
    (None,),
    (b"\xe4",),
    (math.nan,),
    (math.inf,),
    ([],),
    ("a\0b",),
    (("name",),),
    (None, None),
    ("x" * 5000 + "\0",),
    (10**400,),
]
"""What no option accepts; collectd itself gives texts, floats and booleans only."""


def told(key: str, values: object) -> None:
    """The option keeps its default, and one error names key, value and what is accepted."""
    settings, problems = parse([module(Node(key, values))])
    assert settings == Settings()
    (problem,) = problems
    assert (problem.severity, problem.stops_strict) == ("error", True)
    assert problem.text.startswith(f"{key} {written(values)!r} is not usable: accepted is ")
    assert problem.text.isprintable()
    assert len(problem.text.encode()) < 1000  # what the log takes of a line


@pytest.mark.parametrize("values", NEVER, ids=lambda values: ascii(values)[:20])
@pytest.mark.parametrize("opt", PLAIN, ids=lambda opt: opt.key)
def test_what_no_option_accepts_is_told(opt, values):
    told(opt.key, values)


@pytest.mark.parametrize("values", [(), ("",)], ids=repr)
@pytest.mark.parametrize("opt", PLAIN, ids=lambda opt: opt.key)
def test_an_empty_value_is_told_but_where_it_means_something(opt, values):
    if opt.key in MAY_BE_EMPTY or (opt.key in EMPTY_IS_DEFAULT and values):
        settings, problems = parse([module(Node(opt.key, values))])
        assert (settings, problems) == (Settings(), ())
    else:
        told(opt.key, values)


@pytest.mark.parametrize("values", [(), ("",), (None,), (True,), (1.5,), ("a\0b",), ("/(/",)], ids=ascii)
@pytest.mark.parametrize("opt", [opt for opt in INSTANCE_OPTIONS if opt.key == "Tag"], ids=lambda opt: opt.key)
def test_so_it_is_within_a_block(opt, values):
    settings, problems = parse([module(instance("a", option("Tag", "x"), Node(opt.key, values)))])
    assert [match.text for match in settings.explicit_instances[0].tags] == ["x"]
    (problem,) = problems
    assert problem.text.startswith(f'<Instance "a">: {opt.key} {written(values)!r} is not usable: accepted is ')


@pytest.mark.parametrize(("key", "values", "field", "expected"), ACCEPTED, ids=lambda part: ascii(part)[:30])
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.swapcase], ids=lambda spell: spell.__name__)
def test_the_case_of_a_key_never_counts(spell, key, values, field, expected):
    assert parse([module(Node(spell(key), values))]) == parse([module(Node(key, values))])


@pytest.mark.parametrize(("key", "values", "field", "expected"), ACCEPTED, ids=lambda part: ascii(part)[:30])
def test_a_number_or_a_boolean_may_be_quoted_wherever_it_may_stand(key, values, field, expected):
    if all(isinstance(value, (bool, float)) for value in values):
        quoted = tuple(repr(written((value,))) for value in values)
        assert getattr(parse([module(Node(key, quoted))])[0], field) == expected


WORDS = ["HostnameFormat", "PluginInstanceFormat", "PartitionBy", "ExtraStats", "HostnameMetadataNS"]


@pytest.mark.parametrize("key", WORDS)
def test_several_words_may_be_quoted_together_or_each(key):
    several = {"PartitionBy": ("storage", "tag"), "ExtraStats": ("disk_err", "disk_capacity")}.get(
        key, ("name", "uuid")
    )
    together = parse([module(Node(key, (" ".join(several),)))])
    assert together == parse([module(Node(key, several))])
    assert together[0] != Settings() or key == "PartitionBy"
    assert together[1] == ()


@pytest.mark.parametrize("opt", PLAIN, ids=lambda opt: opt.key)
def test_a_block_where_an_option_is_meant_is_told(opt):
    settings, problems = parse([module(Node(opt.key, ("x",), (option("Interval", 1.0),)))])
    assert settings == Settings()
    assert [problem.text.endswith("accepted is a plain option, not a block") for problem in problems] == [True]


@given(st.sampled_from(PLAIN), st.lists(VALUE, max_size=3).map(tuple))
def test_any_value_is_taken_in_silence_or_told_in_full(opt, values):
    settings, problems = parse([module(Node(opt.key, values))])
    errors = [problem.text for problem in problems if problem.severity == "error"]
    assert len(errors) <= 1
    if errors:
        assert settings == Settings()
        assert re.match(f"{opt.key} {re.escape(repr(written(values)))} is not usable: accepted is ", errors[0])
        assert len(errors[0].encode()) < 1000
