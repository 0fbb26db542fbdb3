"""scripts/run shows virt2 at work and cleans up behind itself."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.lab import Guest, cgroups, wait_for
from tests.lab.machine import ROOT

RUN = str(ROOT / "scripts/run")
SOON = 30


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


def test_without_domains_it_shows_six_guests_of_its_own_and_ends_by_itself():
    before = folders()
    result = subprocess.run(
        [RUN, "--lab", "--interval", "1", "--seconds", "5"], capture_output=True, text=True, timeout=SOON
    )
    assert result.returncode == 0, result.stderr
    for name, tag in [("web-1", "web"), ("web-2", "web"), ("db-1", "db"), ("build", "batch")]:
        shown = rows(result.stdout, name)
        assert shown[-1][1] == tag
        assert "-" not in shown[-1], "every column has a value by now"
        # Guests work once in a bit more than a second: there may be an interval without.
        still = [number for number, column in enumerate(zip(*shown)) if set(column) <= {"-", "0 B"}]
        assert still == [], result.stdout
    assert len({rows(result.stdout, name)[-1][2] for name in ("web-1", "db-1", "build")}) == 3
    assert folders() <= before


def test_on_a_host_with_domains_it_watches_those(lab):
    # The lab is the host here.
    lab.guests([Guest("mine", tag="t")])
    output = lab.run([RUN, "--seconds", "5", "--interval", "1"])
    assert "this host's domains" in output
    last = rows(output, "mine")[-1]
    assert last[1] == "t"
    assert "-" not in last
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
