"""scripts/run shows virt2 at work and cleans up behind itself."""

import contextlib
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from tests.lab import Guest, cgroups, wait_for
from tests.lab.machine import ROOT

RUN = str(ROOT / "scripts/run")
SOON = 120
"""Seconds for what takes ten on a machine that does nothing else."""
COLUMNS = 9
"""Of the table, besides the domain's name."""


def rows(output, name):
    """The cells of every row of a domain, oldest first."""
    lines = [line for line in output.splitlines() if line.startswith(f"| {name} ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def children(pid):
    """All processes below one."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *children(child)]
    return found


def folders():
    return set(Path(os.environ.get("TMPDIR", "/tmp")).glob("virt2-run-*"))


@contextlib.contextmanager
def running(*options):
    """scripts/run, of which the lines can be read while it runs."""
    with subprocess.Popen([RUN, *options], stdout=subprocess.PIPE, text=True, bufsize=1) as run:
        # Reading its lines has no bound of its own.
        timer = threading.Timer(SOON, run.kill)
        timer.start()
        try:
            yield run
        finally:
            timer.cancel()
            run.kill()


def test_without_domains_it_shows_six_guests_of_its_own():
    before = folders()
    wanted = {"web-1": "web", "web-2": "web", "web-3": "web", "db-1": "db", "db-2": "db", "build": "batch"}
    shown, readers = {}, {}
    with running("--lab", "--interval", "1") as run:
        for line in run.stdout:
            name, *cells = [cell.strip() for cell in line.strip("|\n ").split("|")]
            if name in wanted and cells[0] == wanted[name]:
                readers[name] = cells[1]
                # Guests work once in a bit more than a second: there are intervals without, more on a busy machine.
                seen = {number for number, cell in enumerate(cells) if cell not in ("-", "0 B")}
                shown[name] = shown.get(name, set()) | seen
            if len(shown) == len(wanted) and all(len(seen) == COLUMNS for seen in shown.values()):
                run.send_signal(signal.SIGINT)
                break
        run.stdout.read()
        code = run.wait(SOON)
    missing = {name: {*range(COLUMNS)} - shown.get(name, set()) for name in wanted}
    assert code == 0, f"these columns had no value in time: {missing}"
    assert len({readers[name] for name in ("web-1", "db-1", "build")}) == 3
    assert folders() <= before


def test_it_ends_by_itself():
    before = folders()
    result = subprocess.run([RUN, "--lab", "--interval", "1", "--seconds", "1"], capture_output=True, timeout=SOON)
    assert result.returncode == 0, result.stderr
    assert b"private libvirtd with 6 guests" in result.stdout
    assert folders() <= before


def test_on_a_host_with_domains_it_watches_those(lab, tmp_path):
    # The lab is the host here.
    lab.guests([Guest("mine", tag="t")])
    log = tmp_path / "log"
    run = lab.popen([RUN, "--interval", "1"], log=log)
    last = wait_for(lambda: next((row for row in rows(log.read_text(), "mine") if "-" not in row), None), SOON)
    run.signal(signal.SIGINT)
    assert run.wait(SOON) == 0
    assert "this host's domains" in log.read_text()
    assert last[1] == "t"
    assert lab.virsh("list", "--name").split() == ["mine"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_everything_below_it(number):
    with subprocess.Popen([RUN, "--lab", "--interval", "1"], stdout=subprocess.PIPE, text=True, bufsize=1) as run:
        try:
            for line in run.stdout:
                if line.startswith("| web-1"):
                    break
            below = children(run.pid)
            assert len(below) >= 2 + 2 + 6  # unshare and the first process, libvirtd and collectd, the guests
            os.kill(run.pid, number)
            run.stdout.read()
        finally:
            run.kill()
    assert run.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    wait_for(lambda: not any(Path("/proc", str(pid)).exists() for pid in below), SOON)
    cgroups.sweep()
