"""Entries of a filter: compared exactly, or searched for as collectd's ``regcomp(REG_EXTENDED)`` would."""

import ctypes
import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from virt2.text.patterns import Match

REG_EXTENDED, REG_NOSUB = 1, 8
LIBC = ctypes.CDLL(None)


def posix(pattern, values):
    """What the C library says: which of the values match, or None for a pattern it refuses."""
    compiled = ctypes.create_string_buffer(256)  # a regex_t is smaller
    if LIBC.regcomp(compiled, pattern.encode(), REG_EXTENDED | REG_NOSUB):
        return None
    try:
        return [value for value in values if LIBC.regexec(compiled, value.encode(), 0, None, 0) == 0]
    finally:
        LIBC.regfree(compiled)


def ours(pattern, values):
    try:
        match = Match(f"/{pattern}/")
    except ValueError:
        return None
    return [value for value in values if match.matches(value)]


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        pytest.param("web", "web", True, id="exact"),
        pytest.param("web", "web-1", False, id="exact is the whole value"),
        pytest.param("web", "Web", False, id="exact minds case"),
        pytest.param("we.", "web", False, id="exact has no wildcards"),
        pytest.param("", "", True, id="empty"),
        pytest.param("//", "//", True, id="two slashes are a name"),
        pytest.param("//", "web", False, id="two slashes are no pattern"),
        pytest.param("/", "/", True, id="one slash is a name"),
        pytest.param("/a", "/a", True, id="a slash at the start only is a name"),
        pytest.param("/eb/", "web-1", True, id="a pattern is found anywhere"),
        pytest.param("/^eb/", "web-1", False, id="unless anchored"),
        pytest.param("/WEB/", "web", False, id="a pattern minds case"),
        pytest.param("/^web$/", "web\n", False, id="$ is the very end"),
        pytest.param("/a.b/", "a\nb", True, id="a dot takes a newline"),
        pytest.param("/a/b/", "xa/by", True, id="a slash inside"),
        pytest.param("/a\\/b/", "a/b", True, id="an escaped slash inside"),
        pytest.param("/^[[:digit:]]+$/", "12", True, id="class"),
        pytest.param("/^[[:digit:]]+$/", "\u0661\u0662", False, id="class is ASCII"),
        pytest.param("/^[^[:alpha:]_]$/", "-", True, id="class in a negated set"),
        pytest.param("/^a+?$/", "", True, id="+? is an optional repetition, not a lazy one"),
        pytest.param("/^[\\d]$/", "\\", True, id="a backslash in a set is itself"),
        pytest.param("/(ab|cd){2}$/", "xabcd", True, id="group and repetition"),
        pytest.param("/^(.)\\1$/", "aa", True, id="back-reference"),
        pytest.param("/\\<eb/", "web", False, id="word start"),
        pytest.param("/we\\>/", "we-1", True, id="word end"),
        pytest.param("/^\u00e4$/", "\u00e4", True, id="beyond ASCII"),
    ],
)
def test_an_entry_matches(entry, value, expected):
    assert Match(entry).matches(value) is expected


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(a", "( is not closed"),
        ("a)", ") has no ("),
        ("[a", "[ is not closed"),
        ("[]", "[ is not closed"),
        ("*a", "nothing for the * to repeat"),
        ("a|+", "nothing for the + to repeat"),
        ("(?:a)", "nothing for the ? to repeat"),
        ("^*", "nothing for the * to repeat"),
        ("a{", "a { starts no repetition"),
        ("a{}", "a { starts no repetition"),
        ("a{2,1}", "out of order"),
        ("a{32768}", "over 32767"),
        ("a\\", "single backslash"),
        ("\\d", "[[:digit:]]"),
        ("\\pL", "means nothing in POSIX"),
        ("[[:foo:]]", "[:foo:] is not a POSIX character class"),
        ("[[:digit:]-z]", "cannot start a range"),
        ("[[.hyphen.]]", "collating elements"),
        ("[[=a=]]", "collating elements"),
        ("[z-a]", "z-a is not in order"),
        ("[a-[:digit:]]", "not in order"),
        ("[a-c-e]", "put it first or last"),
        ("[]-^--[]", "put it first or last"),
        ("\\1", "invalid group reference"),
        ("(" * 5000 + "a" + ")" * 5000, "nested too deeply"),
        ("a" + "?" * 5000, "nested too deeply"),
    ],
    ids=lambda text: text[:20],
)
def test_a_pattern_is_refused_with_the_reason(pattern, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        Match(f"/{pattern}/")


@pytest.mark.parametrize(
    "name",
    ["alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"],
)
def test_a_class_has_the_members_the_c_library_says(name):
    characters = [chr(code) for code in range(1, 128)]
    pattern = f"[[:{name}:]]"
    assert ours(pattern, characters) == posix(pattern, characters)


@pytest.mark.parametrize("escape", [f"\\{letter}" for letter in "wWsSbB<>`'"])
def test_an_escape_means_what_the_c_library_says(escape):
    values = [before + "ab" + after for before in ("", " ", "_", "-") for after in ("", "\t", "9", "-")]
    for pattern in (f"a{escape}", f"{escape}a", f"^{escape}[ab]", f"b{escape}", f"{escape}b", f"{escape}$"):
        assert ours(pattern, values) == posix(pattern, values), pattern


@pytest.mark.parametrize("pattern", ["[a-\\]", "[%--]", "[--/]", "[a-", "[a", "[ab]-c", "[[:digit:]-]", "[a-[.b.]]"])
def test_a_set_with_a_dash_means_what_the_c_library_says(pattern):
    assert agree(pattern, CHARACTERS)


def agree(pattern, values):
    """Tell whether we say what the C library says, or refuse."""
    answer = ours(pattern, values)
    return answer is None or answer == posix(pattern, values)


TOKENS = ("a", "b", "*", "?", "+", "(", ")", "|", "[ab]", "{2}", "{,2}", "{1,}", ".")
REPETITIONS = ("*", "+", "{2}", "{,2}", "{1,}")
VALUES = ("", "a", "b", "ab", "aab", "ba", "a\n")


MEMBERS = ("]", "[", "^", "-", "a", "c", ":digit:", "[:digit:]", "\\", "5")
CHARACTERS = ("a", "b", "c", "-", "]", "[", "^", ":", "\\", "5", "d", "\n", "5]", "a]")


def up_to(length, tokens):
    for count in range(1, length + 1):
        yield from map("".join, itertools.product(tokens, repeat=count))


def test_short_patterns_mean_what_the_c_library_says():
    patterns = [f"^{tokens}$" for tokens in up_to(3, TOKENS)]
    assert [pattern for pattern in patterns if not agree(pattern, VALUES)] == []


def test_short_sets_mean_what_the_c_library_says():
    patterns = [f"[{members}]" for members in up_to(3, MEMBERS)]
    assert [pattern for pattern in patterns if not agree(pattern, CHARACTERS)] == []


def few_repetitions(tokens):
    """Repetitions of repetitions take Python's engine exponentially long, which is the operator's to avoid."""
    return sum(token in REPETITIONS for token in tokens) <= 3


@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=10).filter(few_repetitions).map("".join))
def test_a_pattern_means_what_the_c_library_says(pattern):
    assert agree(pattern, VALUES)


@given(st.lists(st.sampled_from(MEMBERS), max_size=8).map("".join))
def test_a_set_means_what_the_c_library_says(members):
    assert agree(f"[{members}]", CHARACTERS)


@pytest.mark.parametrize("pattern", ["^(a|b)*c$", "a{2}", "[]x]", "[a-]", "[^]-]", "\\.", "a|b", "()", "\\w+-\\W"])
def test_a_sound_pattern_is_not_refused(pattern):
    assert posix(pattern, VALUES) is not None
    assert ours(pattern, VALUES) is not None


@given(st.text())
@example("[[&&--||~~]]")
@example("[[:")
def test_any_text_is_a_pattern_or_a_value_error(text):
    ours(text, [text])


def test_entries_compare_by_what_they_say():
    assert Match("/a/") == Match("/a/")
    assert len({Match("a"), Match("a"), Match("/a/")}) == 2
    assert Match("a") != "a"
    assert repr(Match("/a b/")) == "Match('/a b/')"
