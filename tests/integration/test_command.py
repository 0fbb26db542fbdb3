"""The command ``virt2`` while things go wrong: each of its parts answers within 3 s and says so, with and without a
plugin that runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.integration.support import SOON, Farm, collectd, wait_for_reads
from tests.lab import Lab, wait_for
from tests.lab.process import Process

PROMISED = 3.0
"""Seconds within which the command answers, whatever hangs."""
SLOWER = 1.5
"""By how many seconds a machine that does other things may be late."""
PYTHON = "/usr/bin/python3"
PLUGIN, LOOK = "plugin", "look"
STOPPED, STORAGE, FROZEN, ABSENT, FULL = "half stopped", "storage dead", "libvirtd frozen", "absent", "full"
FAULTS = (STOPPED, STORAGE, FROZEN, ABSENT, FULL)
FEW = 5
"""libvirtd's workers where it is to have none left."""
CONFIGURATION = """\
LoadPlugin python
<Plugin python>
  ModulePath "{root}"
  Import "virt2"
  <Module virt2>
    {options}
  </Module>
</Plugin>
"""


@pytest.fixture(scope="module")
def farm_size():
    return 8


class Done(NamedTuple):
    """What a command did."""

    status: int
    text: str
    """What it printed, to both outputs."""
    seconds: float

    def says(self, *any_of: str) -> bool:
        """Whether it says one of these, wherever lines were broken."""
        words = " ".join(self.text.split())
        return any(text in words for text in any_of)


def run(lab: Lab, *words: str) -> Done:
    """Run the command inside, and fail where it is late, or prints what nobody should see."""
    with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process: Process = lab._start([PYTHON, "-m", "virt2.cli", *words], (nothing, output, output))
        status = process.wait(30)
        seconds = time.monotonic() - began
        output.seek(0)
        done = Done(status, output.read(), seconds)
    assert "Traceback" not in done.text, done
    assert "unexpected failure" not in done.text, done
    assert all(line.isprintable() for line in done.text.splitlines()), done
    assert done.seconds < PROMISED + SLOWER, done
    return done


@contextlib.contextmanager
def fault(farm: Farm, kind: str) -> Iterator[None]:
    """Have something go wrong. What the storage or the plugin does with it is waited for by the test."""
    if kind == STOPPED:
        farm.freeze(farm.guests[::2])
        yield
        farm.thaw(farm.guests[::2])
    elif kind == STORAGE:
        farm.storage.hang()
        # Somebody asks for a size, which freezes that guest.
        farm.lab.popen(["virsh", "domblkinfo", farm.on_storage[0].name, "vda"])
        wait_for(lambda: farm.on_storage[0] in farm.occupied(), SOON, "a guest is frozen")
        yield
        farm.storage.heal()
    elif kind == FROZEN:
        os.kill(farm.lab.libvirtd_pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(farm.lab.libvirtd_pid, signal.SIGCONT)
    elif kind == ABSENT:
        farm.lab.kill_libvirtd()
        try:
            yield
        finally:
            farm.lab.start_libvirtd()
    else:
        farm.lab.virt_admin("srv-threadpool-set", "libvirtd", "--min-workers", "1", "--max-workers", str(FEW))
        farm.freeze(farm.guests)
        farm.visit(farm.guests[:FEW], "domblkstat")
        yield
        farm.thaw(farm.guests)


STUCK = ("blocked: ", "has been blocked", "is stopped", "STUCK")
UNKNOWN = "it is not known which domains there are"
AWAY = ("libvirt cannot be reached", "libvirtd, which answers nobody", "cannot be reached: ")

SEEN = {
    STOPPED: ("domains", *STUCK),
    STORAGE: ("domains", *STUCK),
    FROZEN: ("limits", "answer nobody"),
    ABSENT: ("domains", "libvirt cannot be reached"),
    FULL: ("domains", *STUCK),
}
"""What shows that the plugin has found out: a command, and what it says one of then."""


def check_words(kind: str, source: str, command: str, done: Done) -> None:
    """Fail where the fault is not told, or the exit status is not for it."""
    if kind == STOPPED:
        # No look sees more than `/proc` tells, and limits are libvirtd's.
        assert done.says(*STUCK) or command in ("limits", "check"), done
    elif kind == STORAGE and source == PLUGIN and command in ("domains", "top", "explain"):
        assert done.says(*STUCK), done
    elif kind == FROZEN:
        assert done.says(UNKNOWN, "did not answer in time", "seems to answer nobody", "answers nobody"), done
    elif kind == ABSENT:
        assert done.says(*AWAY), done
    elif kind == FULL and source == LOOK and command != "check":
        # The check makes only calls for which libvirtd has workers of their own.
        assert done.says(*STUCK, "no worker left", "could not be looked at", UNKNOWN, "did not answer in time"), done
    # A look at a host with a storage that hangs sees nothing of it, and limits are what they were.
    if kind in (ABSENT, FROZEN) or done.says(*STUCK):
        assert done.status in (1, 2), done


@pytest.fixture
def configuration(tmp_path):
    """A configuration whose socket nobody listens at."""
    path = tmp_path / "look.conf"
    root = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
    path.write_text(CONFIGURATION.format(root=root, options='StatusSocket "/run/nobody.sock"'))
    return path


@pytest.mark.parametrize("kind", FAULTS)
def test_each_command_answers_in_time_and_says_so(farm, tmp_path, configuration, kind):
    name = farm.on_storage[0].name
    commands = {
        "domains": ["domains"],
        "limits": ["limits"],
        "explain": ["explain", name],
        "top": ["top", "--once"],
    }
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        with fault(farm, kind):
            command, *told = SEEN[kind]
            wait_for(
                lambda: run(farm.lab, command, "--socket", "/run/virt2.sock").says(*told), SOON, "the plugin finds out"
            )
            for source in (PLUGIN, LOOK):
                where = ["--socket", "/run/virt2.sock"] if source == PLUGIN else ["--config", str(configuration)]
                for command, words in commands.items():
                    done = run(farm.lab, *words, *where)
                    print(f"{kind} {source} {command}: {done.status} in {done.seconds:.2f} s")
                    check_words(kind, source, command, done)
            done = run(farm.lab, "check", str(configuration))
            print(f"{kind} check: {done.status} in {done.seconds:.2f} s")
            check_words(kind, LOOK, "check", done)
            told = run(farm.lab, "domains", "--socket", "/run/virt2.sock", "--json")
            assert len(json.loads(told.text)["answer"]["domains"]) == len(farm.guests)
    # What a look left waiting is over with the fault.
    farm.heal()
    assert run(farm.lab, "domains", "--config", str(configuration)).status == 0
