"""Threads of virt2's own leave collectd's signals to collectd."""

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


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_no_other_module_starts_threads(path: Path) -> None:
    assert path.name == "threads.py" or not re.search(r"\bThread\(|\b_thread\b|ThreadPool", path.read_text())
