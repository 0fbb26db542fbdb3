"""Between which values a counter was, and which values are not between them."""

import pytest

from tests.chaos.model import CPU, DISK, Bounds
from tests.chaos.truth import TICK, Readings, check


def seen(*readings):
    found = Readings()
    for begun, ended, *values in readings:
        found.add(begun, ended, tuple(values))
    return found


EVERY_SECOND = seen(*((n, n + 0.1, 100 + n) for n in range(10)))


@pytest.mark.parametrize(
    ("when", "latest", "bounds"),
    [
        (4.5, 4.6, (104, 105)),
        # A reading that was not over by then may have been made later, and one that had begun earlier.
        (4.05, 4.06, (103, 105)),
        (4.5, 7.5, (104, 108)),
        (0.2, 0.3, (100, 101)),
    ],
)
def test_a_value_is_between_the_readings_before_and_after(when, latest, bounds):
    assert EVERY_SECOND.bounds(when, latest) == Bounds((bounds[0],), (bounds[1],))


def test_without_a_reading_before_nothing_is_known_and_without_one_after_no_most():
    assert EVERY_SECOND.bounds(0.05, 0.06) is None
    assert EVERY_SECOND.bounds(9.5, 9.6) == Bounds((109,), (float("inf"),))


def test_readings_of_the_same_value_are_kept_as_one_and_say_the_same():
    repeated = seen((0, 0.1, 5), (1, 1.1, 5), (2, 2.1, 5), (3, 3.1, 6))
    assert len(repeated) == 2
    assert repeated.bounds(0.5, 0.6) == Bounds((5,), (5,))
    assert repeated.bounds(2.05, 2.5) == Bounds((5,), (6,))


def judge(value, kind=DISK, when=4.5, latest=4.6):
    return check("one", "series", kind, [(when, value)], [latest], EVERY_SECOND)


@pytest.mark.parametrize("value", [104, 105])
def test_a_true_value_is_let_through(value):
    assert judge((value,)) == (1, [])


@pytest.mark.parametrize(("value", "words"), [(103, "was 104 before"), (106, "105 after"), (0, "series is 0")])
def test_a_value_of_another_time_is_found(value, words):
    _, (found,) = judge((value,))
    assert (found.rule, found.time, found.subject) == ("truth", 4.5, "one")
    assert words in found.text


def test_a_pair_of_which_one_half_is_missing_is_found():
    pairs = seen((0, 0.1, 1, 2), (9, 9.1, 3, 4))
    assert check("one", "series", DISK, [(4, (2.0, 3.0))], [5], pairs) == (1, [])
    assert check("one", "series", DISK, [(4, (2.0, 5.0))], [5], pairs)[1]
    assert check("one", "series", DISK, [(4, (2.0,))], [5], pairs)[1]


def test_cpu_time_may_be_off_by_one_tick_and_no_more():
    used = seen((0, 0.1, 5 * TICK), (9, 9.1, 6 * TICK))
    assert not check("one", "cpu", CPU, [(4, (4.0 * TICK,)), (4, (7.0 * TICK,))], [5, 5], used)[1]
    assert len(check("one", "cpu", CPU, [(4, (4.0 * TICK - 1,)), (4, (7.0 * TICK + 1,))], [5, 5], used)[1]) == 2


def test_what_cannot_be_compared_is_not_counted():
    assert judge((1,), when=0.01, latest=0.02) == (0, [])
