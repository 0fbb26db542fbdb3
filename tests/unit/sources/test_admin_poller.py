"""libvirtd's limits are asked for without ever waiting for a libvirtd that is frozen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.threads import started
from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.sources.admin_poller import FIRST_RETRY, LONGEST_RETRY, AdminPoller

BOUND = 10.0
"""Seconds after which a test that waits for the poller's thread gives up; it never takes that long."""

LIMITS = Limits(5, 20, 7, 4, 5, 0, 5000, 12)


class Clock:
    """Monotonic seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Read:
    """A read that can be held, and then answers or raises what the test has put there."""

    def __init__(self) -> None:
        self.answer: Limits | Exception = LIMITS
        self.calls = 0
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()

    def __call__(self) -> Limits:
        self.calls += 1
        self.entered.release()
        assert self.released.wait(BOUND)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def read() -> Read:
    return Read()


@pytest.fixture
def poller(read: Read, clock: Clock) -> Iterator[AdminPoller]:
    """A poller whose thread is gone when the test is over."""
    before = set(threading.enumerate())
    poller = AdminPoller(read, max_age=30.0, clock=clock)
    yield poller
    poller.stop()
    read.released.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(BOUND)
        assert not thread.is_alive()


def threads() -> list[threading.Thread]:
    return [thread for thread in started() if thread.name == "virt2/admin"]


def test_nothing_is_known_and_no_thread_runs_before_the_first_poke(poller: AdminPoller, read: Read) -> None:
    assert (poller.limits(), poller.reason, poller.age) == (None, "it has not answered yet", None)
    assert (threads(), read.calls) == ([], 0)


def test_a_poke_brings_an_answer(poller: AdminPoller, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    clock.now += 12
    assert (poller.limits(), poller.reason, poller.age) == (LIMITS, "", 12.0)
    assert [thread.daemon for thread in threads()] == [True]


def test_an_answer_that_is_too_old_is_no_answer(poller: AdminPoller, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    clock.now += 30
    assert poller.limits() == LIMITS
    clock.now += 0.1
    assert (poller.limits(), poller.reason) == (None, "the last answer is too old")


def test_a_refusal_is_the_reason_once_the_last_answer_is_too_old(poller: AdminPoller, read: Read, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    read.answer = AdminUnavailable("Permission denied")
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (LIMITS, "")
    clock.now += 31
    assert (poller.limits(), poller.reason) == (None, "Permission denied")
    read.answer = LIMITS
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (LIMITS, "")


def test_an_unexpected_error_is_logged_and_the_thread_goes_on(
    poller: AdminPoller, read: Read, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    read.answer = ZeroDivisionError("oops")
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (None, "ZeroDivisionError('oops')")
    assert "ZeroDivisionError: oops" in caplog.text
    read.answer = LIMITS
    clock.now += FIRST_RETRY
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_one_who_is_refused_asks_less_and_less_often(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.answer = AdminUnavailable("refused")
    asked = []
    for _ in range(1200):
        poller.poke()
        assert poller.wait(BOUND)
        asked.append(read.calls)
        clock.now += 0.1
    # 1 + 2 + 4 + 8 + 16 s, then every 30 s; it was 1200.
    assert asked[-1] == 8
    clock.now += LONGEST_RETRY
    read.answer = LIMITS
    poller.poke()
    assert poller.wait(BOUND)
    poller.poke()
    assert poller.wait(BOUND)
    assert read.calls == 10


def test_a_new_libvirtd_is_asked_at_once_by_one_who_was_refused(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.answer = AdminUnavailable("refused")
    poller.poke()
    assert poller.wait(BOUND)
    read.answer = LIMITS
    clock.now += FIRST_RETRY / 2
    poller.poke()
    assert poller.limits() is None
    poller.forgive()
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_one_attempt_at_a_time_however_often_poked(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    for _ in range(100):
        poller.poke()
    assert not poller.wait(0)
    clock.now += 12
    assert (read.calls, len(threads()), poller.limits(), poller.reason) == (1, 1, None, "it has not answered for 12 s")


def test_a_hung_attempt_that_returns_is_followed_by_one_more(poller: AdminPoller, read: Read, clock: Clock) -> None:
    """What it brings may be as old as the attempt: pokes made while it hung are answered afresh, all by one."""
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    clock.now += 600
    poller.poke()
    poller.poke()
    read.released.set()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.age, read.calls) == (LIMITS, 0.0, 2)


def test_an_answer_is_as_old_as_the_attempt_that_brought_it(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    clock.now += 31
    read.released.set()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.age) == (None, 31.0)


def test_the_young_answer_stays_while_the_next_attempt_hangs(poller: AdminPoller, read: Read, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    read.released.clear()
    poller.poke()
    clock.now += 30
    assert (poller.limits(), poller.reason) == (LIMITS, "")


def test_stop_ends_an_idle_thread(poller: AdminPoller) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    (thread,) = threads()
    poller.stop()
    thread.join(BOUND)
    assert not thread.is_alive()


def test_stop_does_not_wait_for_a_hung_attempt_and_its_return_ends_the_thread(poller: AdminPoller, read: Read) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    poller.poke()
    (thread,) = threads()
    poller.stop()
    assert thread.is_alive()
    read.released.set()
    thread.join(BOUND)
    assert (thread.is_alive(), read.calls) == (False, 1)


def test_a_stopped_poller_starts_nothing_and_nobody_waits_for_it(poller: AdminPoller, read: Read) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    waited: list[bool] = []
    waiter = threading.Thread(target=lambda: waited.append(poller.wait(BOUND)))
    waiter.start()
    poller.stop()
    waiter.join(BOUND)
    poller.poke()
    assert (waited, read.calls) == ([False], 1)


def test_a_thread_that_cannot_be_started_is_the_reason_and_tried_again(
    poller: AdminPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        poller.poke()
    assert poller.reason == "can't start new thread"
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_a_poller_stopped_before_the_first_poke_starts_no_thread(
    poller: AdminPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    poller.stop()
    poller.poke()
    assert started == []


def test_repr_shows_what_it_is_doing(poller: AdminPoller, read: Read) -> None:
    assert repr(poller) == "<AdminPoller idle limits=None reason='it has not answered yet'>"
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    assert repr(poller).startswith("<AdminPoller asking ")
