"""``virt2 top`` in a real terminal (tmux): keys, resize, and the terminal is as it was afterwards. It needs no lab."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import virt2
from tests.unit.cli.fake_status import FakeStatus, a_host, many, serving

ROOT = Path(virt2.__file__).parents[1]
SOON = 20.0
"""Seconds within which the terminal shows what takes it a tenth of one."""
LOOK = 0.05
CPU_SHARE = 0.03
"""The part of a core that it may use with 100 domains and 2 s."""
MEASURED = 10.0
"""Seconds for which that is measured."""


class Terminal:
    """A terminal of its own, with a shell in it whose prompt is ``$``."""

    def __init__(self, folder: Path, width: int = 80, height: int = 24) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "PS1": "$ ", "PYTHONPATH": str(ROOT), "ENV": ""}
        size = ["-x", str(width), "-y", str(height)]
        self._run("new-session", "-d", *size, "-c", str(ROOT), "sh", env=environment)
        self.expect("$")

    def _run(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, env=env, timeout=SOON, check=True)
        return done.stdout

    def type(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def command(self, line: str) -> None:
        self.type("-l", line)
        self.type("Enter")

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    @property
    def lines(self) -> list[str]:
        return self._run("capture-pane", "-p").rstrip("\n").splitlines()

    def ask(self, what: str) -> str:
        return self._run("display-message", "-p", what).strip()

    def expect(self, text: str, there: bool = True) -> list[str]:
        """Wait until a text is shown, or is not any more, and give the lines of that moment."""
        until = time.monotonic() + SOON
        while True:
            lines = self.lines
            if any(text in line for line in lines) is there:
                return lines
            assert time.monotonic() < until, "\n".join([f"{text!r} is {'not ' if there else ''}shown:", *lines])
            time.sleep(LOOK)

    def close(self) -> None:
        self._run("kill-server")


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
    terminal.command("stty -a > before")
    terminal.command(f"{sys.executable} -m virt2.cli top --socket {status.path} {options}; echo left $?")
    terminal.expect("q quit")


def check_restored(terminal: Terminal) -> None:
    """Fail where the terminal is not as it was: its screen, its cursor, its modes."""
    assert terminal.ask("#{alternate_on} #{cursor_flag}") == "0 1"
    terminal.command("stty -a | cmp - before && echo as''-it-was; rm before")
    terminal.expect("as-it-was")


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
    check_restored(terminal)


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


def process_of(terminal: Terminal) -> int:
    """The process that the terminal's shell waits for."""
    shell = terminal.ask("#{pane_pid}")
    (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
    return int(child)


def test_the_terminal_is_restored_after_ctrl_c(terminal, status):
    start(terminal, status)
    child = process_of(terminal)
    terminal.type("C-c")
    terminal.expect("q quit", there=False)
    # The shell does not go on with what stands behind a command that Ctrl-C has ended.
    assert not any("left" in line and "echo" not in line for line in terminal.lines)
    check_restored(terminal)
    assert not Path(f"/proc/{child}").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_restored_when_it_is_ended_from_outside(terminal, status, number):
    start(terminal, status)
    os.kill(process_of(terminal), number)
    terminal.expect(f"left {128 + number}")
    check_restored(terminal)


def test_a_virt2_that_hangs_is_told_and_the_last_answer_stays(terminal, status):
    start(terminal, status)
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
    child = process_of(terminal)

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
