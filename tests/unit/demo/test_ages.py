"""How old a domain's CPU time is, and how many reads lacked it, is told from what collectd wrote alone."""

import pytest

from tests.demo.ages import Ages

INTERVAL = 2


def record(time, host="web", plugin="virt", kind="virt_cpu_total"):
    return {"host": host, "plugin": plugin, "type": kind, "time": time}


def told(*times):
    ages = Ages("virt", INTERVAL)
    ages.add(record(time) for time in times)
    return ages


@pytest.mark.parametrize(
    ("times", "now", "cells"),
    [
        ((10,), 10.5, ("0.5 s", "0")),
        ((10, 12, 14), 16.2, ("2.2 s", "0")),
        # The next read may be on its way for half an interval.
        ((10,), 13.0, ("3.0 s", "0")),
        ((10,), 13.1, ("! 3.1 s", "1")),
        ((10,), 16.5, ("! 6.5 s", "2")),
        # What was lost stays counted.
        ((10, 16), 16.5, ("0.5 s", "2")),
        ((10, 16, 22), 26.5, ("! 4.5 s", "5")),
        # A read that begins a little late has lost nothing.
        ((10, 12.4, 14), 14.0, ("0.0 s", "0")),
        # Write threads overtake each other, and the clocks of two processes are not looked at at the same time.
        ((12, 10, 14), 13.9, ("0.0 s", "0")),
    ],
)
def test_age_and_losses(times, now, cells):
    assert told(*times).cells("web", now) == cells


def test_a_domain_that_was_never_told_of_has_neither():
    assert told(10).cells("other", 20) == ("-", "-")


def test_other_plugins_other_types_and_notifications_do_not_count():
    ages = Ages("virt", INTERVAL)
    ages.add([record(10), record(12, plugin="virt2"), record(12, kind="memory"), {"message": "x", "plugin": "virt"}])
    assert ages.cells("web", 12.5) == ("2.5 s", "0")
    assert ages.titles == ("virt age", "lost")
