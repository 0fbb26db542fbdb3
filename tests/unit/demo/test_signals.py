"""Signals of scripts/run: they end a wait, and none that comes between two waits is lost."""

import os
import signal

import pytest

from tests.demo.signals import Bell

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH)
LONG = 20.0
"""Seconds: a wait that lasts this long has missed its signal."""


@pytest.fixture
def bell():
    before = [signal.getsignal(number) for number in NUMBERS]
    yield Bell()
    os.close(signal.set_wakeup_fd(-1))
    for number, handler in zip(NUMBERS, before):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_came_earlier_ends_the_next_wait_and_all_further_ones(bell, number):
    os.kill(os.getpid(), number)
    assert bell.wait(LONG) is False
    assert bell.is_over
    assert bell.wait(LONG) is False


def test_another_size_is_told_and_ends_nothing(bell):
    os.kill(os.getpid(), signal.SIGWINCH)
    assert bell.wait(LONG) is True
    assert not bell.is_over
    assert bell.wait(0) is False


def test_both_at_once_are_both_noted(bell):
    os.kill(os.getpid(), signal.SIGWINCH)
    os.kill(os.getpid(), signal.SIGTERM)
    bell.wait(LONG)
    assert bell.is_over


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_wait_for_what_is_over_returns_at_once(bell, seconds):
    assert bell.wait(seconds) is False
