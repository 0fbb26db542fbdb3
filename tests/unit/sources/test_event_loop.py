"""The thread that runs libvirt's event loop, and what it calls."""

from __future__ import annotations

import os
import select
import threading
from typing import Any

import pytest

from tests.threads import started
from tests.unit import doors, replies

CONSTANTS = replies.recordings()[-1].constants
BOUND = 10.0
"""Seconds after which a test that waits for the thread gives up; it never takes that long."""


class Loop:
    """libvirt's part of the loop: ends with an error after some turns."""

    def __init__(self, turns: int = 3) -> None:
        self.registered = 0
        self.said: list[tuple[str, int]] = []
        self.threads: set[str] = set()
        self.waits = False
        """Whether a turn waits until the loop is woken, where no timer is set."""
        self.entered = threading.Semaphore(0)
        """Released by every turn that waits."""
        self._turns = turns
        self._timeout = -1

    def register(self) -> None:
        self.registered += 1

    def add(self, timeout: int, callback: Any, opaque: Any) -> int:
        self._fire = lambda: callback(7, opaque)
        self.said.append(("add", timeout))
        return 7

    def update(self, timer: int, timeout: int) -> None:
        assert timer == 7
        self._timeout = timeout
        self.said.append(("update", timeout))

    def handle(self, fd: int, events: int, callback: Any, opaque: Any) -> int:
        self._fd, self._woken = fd, lambda: callback(8, fd, events, opaque)
        return 8

    def close(self) -> None:
        """Let a turn that waits return."""
        self._turns = 0

    def run(self) -> None:
        self.threads.add(threading.current_thread().name)
        self._turns -= 1
        if self._turns < 0:
            raise doors.LibvirtError(1, 0, "by hand")
        self.said.append(("run", 0))
        if self.waits and self._timeout < 0:
            self.entered.release()
            assert select.select([self._fd], [], [], BOUND)[0], "the loop was never woken"
            self._woken()
        elif self._turns != 1:
            self._fire()

    def module(self) -> Any:
        return doors.load(
            CONSTANTS,
            virEventRegisterDefaultImpl=self.register,
            virEventAddTimeout=self.add,
            virEventAddHandle=self.handle,
            VIR_EVENT_HANDLE_READABLE=1,
            virEventUpdateTimeout=self.update,
            virEventRunDefaultImpl=self.run,
        )["event_loop"]


def await_end() -> None:
    for thread in started():
        if thread.name == "virt2/events":
            thread.join(BOUND)
            assert not thread.is_alive()


def test_the_loop_runs_in_bursts_meanwhile_until_libvirt_ends_it_and_that_is_said(monkeypatch, caplog):
    libvirts = Loop()
    event_loop = libvirts.module()
    monkeypatch.setattr(event_loop, "EVENT_LATENCY", 0.0)
    loop = event_loop.EventLoop()
    assert not loop.running
    with loop.undisturbed():
        loop.start()
        await_end()
    assert libvirts.said == [
        *[("add", -1)],
        *[("update", 1), ("run", 0), ("update", -1)],
        # The second burst goes on until the timer has fired.
        *[("update", 1), ("run", 0), ("run", 0), ("update", -1)],
        *[("update", 1)],
    ]
    assert libvirts.threads == {"virt2/events"}
    assert caplog.messages == ["libvirt's event loop ended: by hand; changes are now found by polling only"]


def test_it_waits_where_nobody_minds_and_is_woken_by_who_does_not_want_to_be_disturbed(monkeypatch):
    libvirts = Loop(turns=1000)
    libvirts.waits = True
    event_loop = libvirts.module()
    monkeypatch.setattr(event_loop, "EVENT_LATENCY", 0.001)
    loop = event_loop.EventLoop()
    loop.start()
    for _ in range(3):
        assert libvirts.entered.acquire(timeout=BOUND)
        with loop.undisturbed(), loop.undisturbed():
            # It has left its wait, and does not wait again.
            assert not libvirts.entered.acquire(timeout=0.05)
    assert libvirts.entered.acquire(timeout=BOUND)
    assert ("update", 1) in libvirts.said
    libvirts.close()
    with loop.undisturbed():
        await_end()


def test_it_has_left_libvirt_for_good_when_stop_returns():
    libvirts = Loop(turns=1000)
    libvirts.waits = True
    loop = libvirts.module().EventLoop()
    loop.start()
    assert libvirts.entered.acquire(timeout=BOUND)
    loop.stop()
    assert loop._ended.is_set()
    said = list(libvirts.said)
    with loop.undisturbed():
        pass
    await_end()
    assert libvirts.said == said


def test_stop_waits_for_a_moment_only_where_the_loop_is_not_left(monkeypatch):
    libvirts = Loop(turns=1000)
    entered, gone_on = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert gone_on.wait(BOUND)

    libvirts.run = hang
    event_loop = libvirts.module()
    monkeypatch.setattr(event_loop, "END_PATIENCE", 0.01)
    loop = event_loop.EventLoop()
    loop.start()
    assert entered.wait(BOUND)
    loop.stop()
    assert not loop._ended.is_set()
    gone_on.set()
    await_end()


def test_a_loop_that_was_never_started_is_stopped_at_once():
    Loop().module().EventLoop().stop()


def test_who_does_not_want_to_be_disturbed_never_waits_for_a_loop_that_does_not_read(monkeypatch):
    event_loop = Loop().module()
    loop = event_loop.EventLoop()
    woken, loop._waker = os.pipe2(os.O_NONBLOCK)
    try:
        for _ in range(100_000):
            with loop.undisturbed():
                pass
    finally:
        os.close(woken)
        os.close(loop._waker)


def test_a_loop_is_registered_and_started_once(monkeypatch):
    libvirts = Loop(turns=0)
    event_loop = libvirts.module()
    started: list[str] = []
    results = [False, True, True]
    monkeypatch.setattr(event_loop.threads, "try_start", lambda name, body: started.append(name) or results.pop(0))
    loop = event_loop.EventLoop()
    loop.start()
    assert (loop.running, libvirts.registered) == (False, 1)
    for _ in range(2):
        loop.start()
    assert (loop.running, libvirts.registered) == (True, 1)
    assert started == ["virt2/events"] * 2


def test_what_a_callback_raises_is_said_once_and_nothing_of_it_reaches_the_loop(caplog):
    told = []

    def callback(number: int) -> None:
        if number < 0:
            raise ZeroDivisionError("by hand")
        told.append(number)

    guarded = Loop().module().guarded(callback)
    for number in (1, -1, 2, -2, 3):
        guarded(number)
    assert told == [1, 2, 3]
    assert len(caplog.records) == 1
    assert "an event of libvirt's was lost" in caplog.messages[0]
    assert "by hand" in caplog.text


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    await_end()
