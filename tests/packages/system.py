"""The system that the story changes, from within: its packages, its commits of virt2, its collectd."""

from __future__ import annotations

import csv
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.lab import wait_for

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
DROP_INS = Path("/etc/collectd/collectd.conf.d")
"""Debian's include folder of collectd."""
CSV = Path("/var/lib/collectd/csv")
LOG = Path("/var/log/collectd.log")
LONGEST = 300.0
"""Seconds for a command; the longest installs packages, which takes a minute."""
SOON = 60.0
"""Seconds for what takes collectd one or two intervals of 10 s."""

OWN = f"""\
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{LOG}"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{CSV}"
</Plugin>
"""
"""Writes what collectd reads and says where the story can see it."""


def run(*command: str | Path, timeout: float = LONGEST, folder: Path = ROOT) -> str:
    """Run a command and give what it printed, errors too.

    Raises:
        AssertionError: it failed, or took too long.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{' '.join(words)} took more than {timeout:g} s: {error.stdout!r}") from None
    assert done.returncode == 0, f"{' '.join(words)} gave {done.returncode}: {done.stdout}"
    return done.stdout


def install(*packages: str | Path, options: tuple[str, ...] = ()) -> None:
    """Install packages of Debian's by name, or a deb by its path, without what they only recommend."""
    run("apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", *options, *packages)


def status(package: str) -> str:
    """Give what dpkg says of a package, such as `installed` or `config-files`."""
    return run("dpkg-query", "--show", "--showformat", "${db:Status-Status}", package)


def package(kind: str, *options: str) -> Path:
    """Make a package of the commit that is checked out, and give its path."""
    told = run("scripts/package", kind, *options)
    return ROOT / told.strip().splitlines()[-1].removeprefix("== made ")


def version_of(deb: Path) -> str:
    """Give the version that a deb has."""
    return run("dpkg-deb", "--field", deb, "Version").strip()


def commit(message: str, files: Mapping[str, str]) -> None:
    """Commit files with these texts."""
    for name, text in files.items():
        (ROOT / name).write_text(text)
    run("git", "add", *files)
    run("git", "-c", "user.name=test", "-c", "user.email=test", "commit", "--quiet", "--message", message)


def restart() -> float:
    """Restart collectd as an operator does, and give the time when that is done: what is newer is the new daemon's."""
    run("service", "collectd", "restart")
    return time.time()


def newest(series: str) -> float:
    """Give the time of the newest point of a series, such as `test/virt2/virt_cpu_total`; 0 where there is none.

    The series may be a pattern. Only one has to match.
    """
    times = [0.0]
    for path in CSV.glob(f"{series}-????-??-??"):
        with open(path, newline="") as file:
            times += [float(row[0]) for row in csv.reader(file) if row and row[0] != "epoch"]
    return max(times)


def wait_for_point(series: str, after: float) -> None:
    """Wait until a series has a point that is newer than a time.

    Raises:
        TimeoutError: it has none soon; what collectd said is in it.
    """
    try:
        wait_for(lambda: newest(series) > after, SOON)
    except TimeoutError:
        said = LOG.read_text() if LOG.exists() else "nothing"
        raise TimeoutError(f"there is no new point of {series}; collectd said: {said[-4000:]}") from None


def left_of_virt2() -> set[str]:
    """Give every path of the system with `virt2` in its name that is not the story's own."""
    found = run("find", "/", "-xdev", "-path", ROOT, "-prune", "-o", "-name", "*virt2*", "-print")
    # What collectd wrote, what the story unpacked, and a certificate of scripts/fresh.
    own = ("/var/lib/collectd/", "/var/tmp/", "/tmp/", "/etc/virt2-fresh.crt")
    return {path for path in found.splitlines() if not path.startswith(own)}
