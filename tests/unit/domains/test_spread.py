"""Domains are asked as often as they have to be, and not all at the same time."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.domains.spread import due_since

TIMES = st.floats(min_value=0.0, max_value=1e7)


@given(uuid=st.text(max_size=40), now=TIMES, every=st.floats(min_value=0.1, max_value=1e4))
def test_a_domain_was_due_at_some_time_of_the_last_period(uuid, now, every):
    assert now - every - 1e-6 <= due_since(uuid, every, now) <= now


@given(uuid=st.text(max_size=40), now=TIMES, later=st.floats(min_value=0.0, max_value=59.9))
def test_its_moment_stays_the_same_until_the_next_one(uuid, now, later):
    since, then = due_since(uuid, 60.0, now), due_since(uuid, 60.0, now + later)
    if then != pytest.approx(since, abs=1e-3):
        assert then == pytest.approx(since + 60.0, abs=1e-3)
        assert now - 1e-3 < then <= now + later


def test_what_is_never_due_never_was():
    assert due_since("u-web", math.inf, 5.0) == -math.inf


def test_domains_that_came_together_are_due_in_different_reads():
    interval, every = 10.0, 60.0
    uuids = [f"12345678-0000-4000-8000-{number:012}" for number in range(1000)]
    times: Counter[str] = Counter()
    for now in (600.0 + read * interval for read in range(6)):
        due = [uuid for uuid in uuids if due_since(uuid, every, now) > now - interval]
        assert 120 < len(due) < 220
        times.update(due)
    assert times == dict.fromkeys(uuids, 1)
