"""``virt2 top`` in a real terminal (tmux): keys, resize, and the terminal is as it was afterwards. It needs no lab."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.integration.terminal import LOOK, SOON, Terminal
from tests.unit.cli.fake_status import FakeStatus, a_host, many, serving

CPU_SHARE = 0.03
"""The part of a core that it may use with 100 domains and 2 s."""
MEASURED = 10.0
"""Seconds for which that is measured."""


@pytest.fixture
def terminal(tmp_path):
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


@pytest.fixture
def status(tmp_path):
    with serving(str(tmp_path / "virt2.sock")) as status:
        yield status


def start(terminal: Terminal, status: FakeStatus, options: str = "") -> None:
    terminal.note_modes()
    terminal.command(f"{sys.executable} -m virt2.cli top --socket {status.path} {options}; echo left $?")
    terminal.expect("q quit")


def test_what_is_stuck_is_first_and_its_storage_is_below(terminal, status):
    start(terminal, status)
    lines = terminal.lines
    assert lines[0].startswith("virt2 ")
    assert "3 domains, 1 stuck" in lines[0]
    assert lines[3].startswith("!  db-1 ")
    assert any(line.startswith("   sd-2") and line.endswith("db-1") for line in lines)
    assert lines[-1].startswith("q quit")
    assert all(len(line) <= 80 for line in lines)
    # Its name would clear the screen, or worse.
    assert "\\x1b[31mba" in lines[4] + lines[5]
    terminal.type("q")
    terminal.expect("left 0")
    terminal.check_restored()


def test_keys_sort_scroll_and_pause(terminal, status):
    status.snapshot = many(60)
    start(terminal, status, "--sort name")
    first = terminal.lines[3]
    terminal.type("r")
    assert terminal.expect("by name, reversed")[3] != first
    terminal.type("a")
    terminal.expect("by name, reversed", there=False)
    terminal.type("NPage")
    terminal.expect(first.split()[0] + " ", there=False)
    terminal.type("Home")
    terminal.expect(first.split()[0] + " ")
    for key, order in (("m", "memory"), ("d", "disk"), ("n", "net"), ("c", "cpu")):
        terminal.type(key)
        terminal.expect(f"by {order}")
    terminal.type("p")
    terminal.expect("paused")
    status.snapshot = a_host()
    asked = len(status.asked)
    until = time.monotonic() + SOON
    while len(status.asked) < asked + 2:
        assert time.monotonic() < until
        time.sleep(LOOK)
    assert "60 domains" in terminal.lines[0]
    terminal.type("p")
    terminal.expect("3 domains")
    terminal.type("q")
    terminal.expect("left 0")


def test_it_follows_the_size_of_the_terminal(terminal, status):
    start(terminal, status)
    terminal.resize(140, 12)
    terminal.expect("READER")
    lines = terminal.lines
    assert len(lines) == 12
    assert lines[-1].startswith("q quit")
    terminal.resize(30, 3)
    terminal.expect("READER", there=False)
    terminal.resize(80, 24)
    terminal.expect("db-1")
    terminal.type("q")
    terminal.expect("left 0")


def test_the_terminal_is_restored_after_ctrl_c(terminal, status):
    start(terminal, status)
    child = terminal.process
    terminal.type("C-c")
    terminal.expect("q quit", there=False)
    # The shell does not go on with what stands behind a command that Ctrl-C has ended.
    assert not any("left" in line and "echo" not in line for line in terminal.lines)
    terminal.check_restored()
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_it_is_ended_from_outside(terminal, status, number):
    start(terminal, status)
    os.kill(terminal.process, number)
    terminal.expect(f"left {128 + number}")
    terminal.check_restored()


def test_a_virt2_that_hangs_is_told_and_the_last_answer_stays(terminal, status):
    start(terminal, status)
    # The sentence begins with the path of a socket, which may be long.
    terminal.resize(250, 24)
    real, status.behave = status.behave, lambda sock, line: status.is_over.wait(3)
    lines = terminal.expect("gave no whole answer")
    assert any("db-1" in line for line in lines)
    terminal.type("a")
    terminal.expect("by name")
    status.behave = real
    terminal.expect("gave no whole answer", there=False)
    terminal.type("q")
    terminal.expect("left 0")


def test_it_takes_little_of_a_core(terminal, status):
    status.snapshot = many(100)
    start(terminal, status)
    child = terminal.process

    def used() -> float:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before, began = used(), time.monotonic()
    # The time is what is measured here.
    time.sleep(MEASURED)
    assert (used() - before) / (time.monotonic() - began) < CPU_SHARE
    terminal.type("q")
    terminal.expect("left 0")


def test_an_unknown_terminal_is_a_sentence(terminal, status):
    terminal.command(f"TERM=nothing {sys.executable} -m virt2.cli top --socket {status.path}; echo left $?")
    terminal.expect("left 2")
    terminal.expect("This terminal cannot be used")
