"""``virt2 top`` in a real terminal (tmux): keys, resize, and the terminal is as it was afterwards. It needs no lab."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.terminal import LOOK, ROOT, SOON, Terminal
from tests.unit.cli.fake_status import FakeStatus, a_host, many, serving
from tests.unit.status.snapshots import domain, snapshot

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
    for width, height in ((30, 3), (10, 2), (1, 1)):
        terminal.resize(width, height)
        terminal.type("r")
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
    lines = terminal.expect("no whole answer within 2 s.")
    assert any("db-1" in line for line in lines)
    terminal.type("a")
    terminal.expect("by name")
    status.behave = real
    terminal.expect("no whole answer within", there=False)
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
    share = (used() - before) / (time.monotonic() - began)
    print(f"{share:.2%} of a core")
    assert share < CPU_SHARE
    terminal.type("q")
    terminal.expect("left 0")


def test_it_can_be_suspended_and_goes_on(terminal, status):
    terminal.command("set -m")
    start(terminal, status)
    terminal.type("C-z")
    terminal.expect("q quit", there=False)
    terminal.check_restored()
    terminal.command("fg")
    terminal.expect("q quit")
    terminal.type("q")
    terminal.expect("q quit", there=False)
    terminal.check_restored()


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "nothing"])
def test_names_that_the_locale_lacks_leave_the_screen_whole(terminal, status, locale):
    status.snapshot = snapshot(domain("w\u00fcrfel-" + "x" * 40), domain("\u5343\u91cc"), domain("z\u0301" * 30))
    terminal.command(f"export LC_ALL={locale}")
    start(terminal, status, "--sort name")
    lines = terminal.lines
    # What stands behind the name in its line is there too.
    assert sum(line.rstrip().endswith("running  ok") for line in lines) == 3
    assert "3 domains" in lines[0]
    terminal.type("q")
    terminal.expect("left 0")


def test_a_virt2_that_ends_is_stood_in_for_and_asked_again_when_it_is_back(terminal, tmp_path):
    path = str(tmp_path / "virt2.sock")
    conf = tmp_path / "collectd.conf"
    conf.write_text(
        'LoadPlugin python\n<Plugin python>\nImport "virt2"\n<Module virt2>\nConnection "test:///default"\n'
        f'StatusSocket "{path}"\n</Module>\n</Plugin>\n'
    )
    with serving(path):
        terminal.command(f"/usr/bin/python3 -m virt2.cli top --config {conf}; echo left $?")
        terminal.expect("which runs")
    os.unlink(path)
    # libvirt's driver for tests has one domain of this name.
    terminal.expect("test  ")
    terminal.expect("This host was looked at")
    with serving(path):
        terminal.expect("which runs")
        terminal.expect("db-1")
        terminal.type("q")
        terminal.expect("left 0")


def test_it_ends_with_its_terminal_where_no_signal_tells(status):
    leader, follower = pty.openpty()
    os.set_blocking(leader, False)
    # The terminal of a session of its own is nobody's controlling terminal, so the kernel sends no signal.
    program = [sys.executable, "-m", "virt2.cli", "top", "--socket", status.path]
    environment = {**os.environ, "TERM": "xterm"}
    top = subprocess.Popen(
        program, cwd=ROOT, env=environment, stdin=follower, stdout=follower, stderr=follower, start_new_session=True
    )
    os.close(follower)
    try:
        until = time.monotonic() + SOON
        shown = b""
        while b"q quit" not in shown:
            assert time.monotonic() < until, shown
            time.sleep(LOOK)
            with contextlib.suppress(BlockingIOError):
                shown += os.read(leader, 65536)
        os.close(leader)
        assert top.wait(SOON) == 128 + signal.SIGHUP
    finally:
        top.kill()
        top.wait(SOON)


@pytest.mark.parametrize(
    ("term", "told"), [("nothing", "This terminal cannot be used"), ("dumb", "nothing can be written at a place of it")]
)
def test_a_terminal_that_is_no_good_is_a_sentence(terminal, status, term, told):
    terminal.note_modes()
    terminal.command(f"TERM={term} {sys.executable} -m virt2.cli top --socket {status.path}; echo left $?")
    terminal.expect("left 2")
    terminal.expect(told)
    terminal.check_restored()


def test_once_needs_no_terminal(status):
    done = subprocess.run(
        [sys.executable, "-m", "virt2.cli", "top", "--once", "--interval", "0.5", "--socket", status.path],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "TERM"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[3].startswith("!  db-1")


def test_the_measurement_of_the_command_measures():
    options = ["--domains", "3", "--rounds", "1", "--seconds", "1"]
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "bench.command", *options], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(" ")[0] for line in done.stdout.splitlines()] == ["3", "domains,", "limits,", "domains,", "top,"]
