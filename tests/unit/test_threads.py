"""Threads of virt2's own leave collectd's signals to collectd."""

import logging
import queue
import re
import signal
import threading
from pathlib import Path

import pytest

import virt2
from virt2 import threads

BOUND = 10.0
PACKAGE = Path(virt2.__file__).parent


def test_the_thread_is_named_daemon_and_takes_no_signal_of_collectds() -> None:
    told: queue.Queue[tuple[str, bool, set[int]]] = queue.Queue()

    def body() -> None:
        this = threading.current_thread()
        told.put((this.name, this.daemon, signal.pthread_sigmask(signal.SIG_BLOCK, [])))

    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    threads.start("virt2/body", body)
    name, daemon, blocked = told.get(timeout=BOUND)
    assert (name, daemon) == ("virt2/body", True)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGUSR1} <= blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_thread_that_cannot_be_started_is_said_once_and_once_that_it_is_over(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "virt2")
    ran = threading.Event()

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        assert not threads.try_start("virt2/one", ran.set)
        assert not threads.try_start("virt2/two", ran.set)
    assert threads.try_start("virt2/one", ran.set)
    assert ran.wait(BOUND)
    assert threads.try_start("virt2/two", lambda: None)
    first, second = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert first[0] == "ERROR"
    assert first[1].startswith("a thread cannot be started (virt2/one): can't start new thread; ")
    assert second == ("INFO", "threads can be started again (virt2/one)")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_starts_threads(path: Path) -> None:
    assert path == PACKAGE / "threads.py" or not re.search(r"\bThread\(|\b_thread\b|ThreadPool", path.read_text())
