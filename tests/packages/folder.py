"""virt2 in a folder of its own, by the commands of the README for those who want no package."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

from tests.lab import wait_for
from tests.packages.system import LOG, OWN, ROOT, SOON, install, newest, run

FOLDER = Path("/usr/local/lib/virt2")
CONFIGURATION = Path("/var/tmp/collectd.conf")
SERIES = "test/virt2/virt_cpu_total"
"""Of the one domain that libvirt's own test driver has. It needs no libvirtd."""


def commands(readme: str) -> list[str]:
    """Give the commands of the README for an installation without a package."""
    section = re.split(r"^##+ ", readme.split("\n### Without a package\n", 1)[1], flags=re.MULTILINE)[0]
    return [line.strip() for line in section.splitlines() if re.match(r" {7}\S", line)]


def _lines() -> tuple[str, str, str]:
    packages, by_pip, by_hand = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    return packages, by_pip, by_hand


def _drop_in() -> str:
    """The sample, changed as the README says, and for a libvirt that is there."""
    text = (ROOT / "collectd.conf.d" / "virt2.conf").read_text()
    with_path = text.replace('  Import "virt2"', f'  ModulePath "{FOLDER}"\n  Import "virt2"')
    assert with_path != text
    return with_path.replace("qemu:///system", "test:///default")


def _reports() -> None:
    """Have a collectd read the domain once."""
    CONFIGURATION.write_text(f'FQDNLookup false\nInterval 1\nPIDFile "/run/folder.pid"\n{OWN}{_drop_in()}')
    began = time.time()
    with subprocess.Popen(["/usr/sbin/collectd", "-f", "-C", CONFIGURATION]) as collectd:
        try:
            wait_for(lambda: newest(SERIES) > began, SOON, f"there is a point; {LOG} says more")
        finally:
            collectd.terminate()


def the_packages_that_are_named_are_enough_and_a_copy_is_read() -> None:
    packages, _, by_hand = _lines()
    run("bash", "-c", packages)
    run("bash", "-c", by_hand)
    _reports()


def pip_makes_the_same_folder() -> None:
    copied = {path.relative_to(FOLDER) for path in (FOLDER / "virt2").rglob("*.py")}
    shutil.rmtree(FOLDER)
    install("python3-pip")
    run("bash", "-c", _lines()[1])
    assert {path.relative_to(FOLDER) for path in (FOLDER / "virt2").rglob("*.py")} == copied
    _reports()


def the_check_finds_it() -> None:
    told = subprocess.run(
        ["/usr/bin/python3", "-m", "virt2.cli", "check", CONFIGURATION], cwd=ROOT, capture_output=True, text=True
    ).stdout
    assert "finds no virt2" not in told, told


STEPS = (
    the_packages_that_are_named_are_enough_and_a_copy_is_read,
    pip_makes_the_same_folder,
    the_check_finds_it,
)
