"""Notifications: at once and in order, whoever is slow to take them, and none after the end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.threads import started
from tests.unit.fake_time import BOUND, LOOK
from virt2.notifications import notifier as module
from virt2.notifications.notification import OKAY, WARNING, Notification
from virt2.notifications.notifier import CAPACITY, Notifier
from virt2.output.naming import Identity

WEB = Identity("web", "")


def wait_for(predicate: Callable[[], object]) -> None:
    limit = time.monotonic() + BOUND
    while not predicate():
        assert time.monotonic() < limit, "it never came to that"
        time.sleep(LOOK)


class Taker:
    """One of collectd's plugins; takes as long as a test wants it to."""

    def __init__(self) -> None:
        self.taken: list[Notification] = []
        self.entered = threading.Semaphore(0)
        self.may_go = threading.Event()
        self.may_go.set()
        self.fails: set[str] = set()

    def __call__(self, notification: Notification) -> None:
        self.entered.release()
        assert self.may_go.wait(BOUND)
        if notification.message in self.fails:
            raise ZeroDivisionError("by hand")
        self.taken.append(notification)

    @property
    def messages(self) -> list[str]:
        return [notification.message for notification in self.taken]


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def notifier(taker) -> Iterator[Notifier]:
    notifier = Notifier(taker, wall=lambda: 77.0)
    notifier.start()
    yield notifier
    taker.may_go.set()
    notifier.stop()


def test_what_is_said_is_sent_as_it_was_said(notifier, taker):
    notifier.notify(OKAY, "text", WEB, type="job_stats", type_instance="operation", meta={"a": 1})
    wait_for(lambda: taker.taken)
    assert taker.taken == [Notification(OKAY, "text", WEB, "job_stats", "operation", {"a": 1}, 77.0)]


def test_all_are_sent_in_their_order(notifier, taker):
    for number in range(100):
        notifier.notify(WARNING, str(number), WEB)
    wait_for(lambda: len(taker.taken) == 100)
    assert taker.messages == [str(number) for number in range(100)]


def test_whoever_speaks_is_not_blocked_by_who_takes(notifier, taker):
    taker.may_go.clear()
    for number in range(10):
        notifier.notify(WARNING, str(number), WEB)
    assert taker.taken == []
    taker.may_go.set()
    wait_for(lambda: len(taker.taken) == 10)


def test_a_flood_is_bounded_and_said_in_one_line_with_its_number(notifier, taker, caplog):
    taker.may_go.clear()
    notifier.notify(WARNING, "first", WEB)
    assert taker.entered.acquire(timeout=BOUND)
    for number in range(CAPACITY + 25):
        notifier.notify(WARNING, str(number), WEB)
    assert caplog.records == []
    taker.may_go.set()
    wait_for(lambda: caplog.records)
    assert taker.messages == ["first", *(str(number) for number in range(CAPACITY))]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["25 notifications were dropped"]
    notifier.notify(WARNING, "after", WEB)
    wait_for(lambda: taker.messages[-1] == "after")
    assert len(caplog.records) == 1


def test_notifications_can_be_made_on_its_own_thread(notifier, taker):
    def compose() -> Iterator[Notification]:
        for name in ("a", "b"):
            yield Notification(OKAY, f"{name} on {threading.current_thread().name}", WEB, "duration", "", {}, 1.0)

    notifier.put(compose)
    wait_for(lambda: len(taker.taken) == 2)
    assert taker.messages == ["a on virt2/notify", "b on virt2/notify"]


def test_one_that_fails_costs_itself_only_and_is_said_once(notifier, taker, caplog):
    caplog.set_level(logging.ERROR)
    taker.fails = {"bad"}
    for message in ("bad", "good", "bad", "better"):
        notifier.notify(WARNING, message, WEB)
    wait_for(lambda: len(taker.taken) == 2)
    assert taker.messages == ["good", "better"]
    assert [record.getMessage() for record in caplog.records] == ["unexpected failure of a notification, said once"]


def test_after_the_end_nothing_is_sent(notifier, taker):
    notifier.stop()
    notifier.notify(WARNING, "late", WEB)
    notifier.put(lambda: [pytest.fail("composed")])
    assert repr(notifier) == "<Notifier stopped queued=0 dropped=0>"
    assert taker.taken == []


def test_the_end_waits_for_what_is_being_sent(notifier, taker, monkeypatch):
    monkeypatch.setattr(module, "STOP_PATIENCE", BOUND)
    taker.may_go.clear()
    notifier.notify(WARNING, "on its way", WEB)
    notifier.notify(WARNING, "queued", WEB)
    assert taker.entered.acquire(timeout=BOUND)
    ended = threading.Event()

    def end() -> None:
        notifier.stop()
        ended.set()

    ending = threading.Thread(target=end)
    ending.start()
    wait_for(lambda: notifier._stopped)
    assert not ended.is_set()
    taker.may_go.set()
    ending.join(BOUND)
    assert ended.is_set()
    assert taker.messages == ["on its way"]


def test_the_end_does_not_wait_for_one_that_hangs(notifier, taker, monkeypatch):
    monkeypatch.setattr(module, "STOP_PATIENCE", 0.01)
    taker.may_go.clear()
    notifier.notify(WARNING, "hangs", WEB)
    assert taker.entered.acquire(timeout=BOUND)
    notifier.stop()
    assert taker.taken == []


def test_what_a_function_makes_after_the_end_is_not_sent(notifier, taker):
    def compose() -> Iterator[Notification]:
        for number in range(3):
            if number == 1:
                ending = threading.Thread(target=notifier.stop)
                ending.start()
                ending.join(BOUND)
            yield Notification(OKAY, str(number), WEB, "duration", "", {}, 1.0)

    notifier.put(compose)
    wait_for(lambda: notifier._stopped)
    assert taker.messages == ["0"]


def test_its_thread_is_a_daemon(notifier):
    (thread,) = [thread for thread in started() if thread.name == "virt2/notify"]
    assert thread.daemon


def test_a_notifier_is_started_once_however_often_that_is_asked_for(notifier, taker, monkeypatch):
    started: list[str] = []
    monkeypatch.setattr(module.threads, "try_start", lambda name, body: not started.append(name))
    notifier.start()
    assert started == []
    other = Notifier(taker)
    for _ in range(3):
        other.start()
    assert started == ["virt2/notify"]


def test_one_that_fails_costs_none_of_those_made_with_it(notifier, taker, caplog):
    taker.fails = {"b", "c"}
    notifier.put(lambda: [Notification(OKAY, name, WEB, "duration", "", {}, 1.0) for name in "abcd"])
    wait_for(lambda: len(taker.taken) == 2)
    assert taker.messages == ["a", "d"]
    assert [record.getMessage() for record in caplog.records] == ["unexpected failure of a notification, said once"]
