"""All kinds of package have the same in them, except what belongs to a distribution."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.packages.system import DIST, install, package, run

WORK = Path("/var/tmp/contents")
PYTHON = "3.9"
"""The Python for which the rpm is made when nothing is said, on a machine without Fedora's macros."""

FOLDERS = {
    "deb": {
        "usr/lib/python3/dist-packages": "MODULES",
        "etc/collectd/collectd.conf.d": "COLLECTD",
        "usr/share/zsh/vendor-completions": "ZSH",
    },
    "rpm": {
        f"usr/lib/python{PYTHON}/site-packages": "MODULES",
        "etc/collectd.d": "COLLECTD",
        "usr/share/zsh/site-functions": "ZSH",
    },
    "wheel": {},
}
"""The folders that differ, and what they are called in a comparison."""
OWN = {
    # Debian wants its own changelog and a file on copyright; Fedora has a folder for licenses.
    "deb": r"usr/share/doc/virt2/(copyright|changelog\.gz)",
    "rpm": r"usr/share/licenses/.*",
    # Where to put these, only pip knows.
    "wheel": r"virt2-[^/]*\.data/.*",
}
"""The files that only one kind has."""
RECORDS = re.compile(r".*\.dist-info/(RECORD|INSTALLER|(licenses/)?LICENSE)")
"""What the tools of each distribution note down, or leave out."""


class File(NamedTuple):
    """A file or a link of a package."""

    executable: bool
    content: bytes
    """Of a link, its target."""


def shared(name: str, kind: str) -> str:
    """Give the name of a file as all kinds share it."""
    for folder, common in FOLDERS[kind].items():
        name = re.sub(rf"^{re.escape(folder)}(?=/)", common, name)
    return name


def files(root: Path, kind: str) -> dict[str, File]:
    """Give all files below a folder that a package was unpacked into, under names that all kinds share."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if re.fullmatch(OWN[kind], name) or RECORDS.fullmatch(name):
            continue
        if path.is_symlink():
            target = os.path.relpath(path.parent / os.readlink(path), root)
            found[name] = File(False, shared(target, kind).encode())
        elif path.is_file():
            packed = name.startswith("usr/share/man/") and name.endswith(".gz")
            content = gzip.decompress(path.read_bytes()) if packed else path.read_bytes()
            # Some versions of dh_python3 write the first line of programs anew.
            content = re.sub(rb"^#! /", b"#!/", content)
            found[shared(name.removesuffix(".gz"), kind)] = File(os.access(path, os.X_OK), content)
    return found


def assert_same(one: dict[str, File], other: dict[str, File]) -> None:
    """Name the files that are in one package only, or differ, if there are any."""
    different = {name: (one.get(name), other.get(name)) for name in one.keys() | other.keys()}
    told = [f"{name}: {pair}"[:500] for name, pair in sorted(different.items()) if pair[0] != pair[1]]
    assert not told, "\n".join(told)


def unpacked(kind: str, *commands: Iterable[str | Path]) -> dict[str, File]:
    """Unpack a package into a folder of its own with these commands, and give its files."""
    folder = WORK / kind
    folder.mkdir(parents=True)
    for command in commands:
        run(*command, folder=folder)
    return files(folder, kind)


def the_deb_and_the_rpm_have_the_same_files() -> None:
    deb = unpacked("deb", ("dpkg-deb", "--extract", min(DIST.glob("*.deb")), "."))
    rpm = package("rpm")
    assert "MODULES/virt2/plugin.py" in deb
    assert "COLLECTD/virt2.conf" in deb
    # Some versions of rpm2archive write a file beside the package, unless they are given no name.
    extract = f"set -o pipefail; rpm2archive - <{rpm} | tar --extract --gzip"
    assert_same(deb, unpacked("rpm", ("bash", "-c", extract)))


def the_wheel_has_the_same_modules() -> None:
    deb = files(WORK / "deb", "deb")
    modules = {name.removeprefix("MODULES/"): file for name, file in deb.items() if name.startswith("MODULES/")}
    wheel = unpacked("wheel", ("/usr/bin/python3", "-m", "zipfile", "-e", package("wheel"), "."))
    metadata = {name for name in modules.keys() | wheel.keys() if ".dist-info/" in name}
    of_code = [{name: file for name, file in one.items() if name not in metadata} for one in (modules, wheel)]
    assert_same(*of_code)


def a_package_of_the_same_commit_is_the_same() -> None:
    (deb,) = DIST.glob("*.deb")
    before = deb.read_bytes()
    assert package("deb") == deb
    assert deb.read_bytes() == before


def rpmlint_has_nothing_to_say() -> None:
    install("rpmlint")
    (rpm,) = DIST.glob("*.rpm")
    told = run("rpmlint", "--config", "packaging/rpmlint.toml", rpm, "packaging/virt2.spec")
    assert re.search(r" 0 errors, 0 warnings", told), told


STEPS = (
    the_deb_and_the_rpm_have_the_same_files,
    the_wheel_has_the_same_modules,
    a_package_of_the_same_commit_is_the_same,
    rpmlint_has_nothing_to_say,
)
