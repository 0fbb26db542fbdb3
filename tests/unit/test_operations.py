"""docs/operations.md: its numbers are those of the code."""

from __future__ import annotations

import re

from tests.unit.test_docs import ROOT, rows
from virt2.cli.rules.threads import READ_THREADS
from virt2.config.settings import MOST_AUTOMATIC, MOST_TIMEOUT, OPTIONS
from virt2.workers import sizing

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SIZES = [row for row in rows(TEXT, "From 10 to 1,000 domains") if row[0].replace(",", "").isdigit()]
DISKS = NICS = 2
READS_QUEUED = 10
"""Reads for which the limits of the write queue have room."""


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_values_and_calls_of_a_read_are_those_that_the_defaults_take():
    # CPU time, memory, how long the monitor is blocked, age of the sample; octets and requests; four of each interface.
    values = 4 + 2 * DISKS + 4 * NICS
    assert [number(row[1]) for row in SIZES] == [values * number(row[0]) for row in SIZES]
    assert [number(row[2]) for row in SIZES] == [DISKS * number(row[0]) + 2 for row in SIZES]
    assert len(SIZES) == 4


def test_the_limits_of_the_write_queue_have_room_for_ten_reads():
    for row in SIZES:
        limits = re.search(r"limits (?:of the write queue )?of ([\d,]+)", row[3])
        if limits:
            assert number(limits.group(1)) >= READS_QUEUED * number(row[1])


def test_the_defaults_that_are_named_are_those_of_the_code():
    assert f"collectd's `ReadThreads` ({READ_THREADS})" in TEXT
    assert f"makes at most {MOST_AUTOMATIC} readers" in TEXT
    assert READ_THREADS == MOST_AUTOMATIC + 1
    assert f"at most {MOST_TIMEOUT:g} s)" in TEXT
    assert f"virt2 holds at most {sizing.UNKNOWN_BUDGET} workers" in TEXT
    assert {"Workers", "Timeout", "Interval", "StatusSocket", "AdminConnection"} <= {option.key for option in OPTIONS}


def test_twice_as_many_workers_and_four_more_leave_room_for_stuck_ones():
    class Limits:
        max_workers = available = 0

    for stuck in range(1, 40):
        Limits.max_workers = Limits.available = 2 * stuck + 4
        # As many monitors as the budget less two may be stuck without being seen (docs/readers.md).
        assert sizing.plan(None, Limits, "", 0, {"0": 100}).budget - 2 >= stuck
