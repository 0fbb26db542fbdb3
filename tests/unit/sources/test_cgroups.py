"""The control group of a domain, from recorded trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from virt2.sources import cgroups

TICK = 10**9 // os.sysconf("SC_CLK_TCK")
OF_VERSION_2 = "0::/machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt/emulator\n"
OF_VERSION_1 = (
    "9:name=systemd:/machine/qemu-1-web.libvirt-qemu/emulator\n"
    "2:cpu,cpuacct:/machine/qemu-1-web.libvirt-qemu/emulator\n"
    "0::/\n"
)
CPU_STAT = "usage_usec 700000\nuser_usec 500000\nsystem_usec 200000\nnr_periods 0\n"
CPUACCT_STAT = "user 50\nsystem 20\n"


class Host:
    """A recorded host: a folder as /proc, and a control group tree."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        (self.proc / "self").mkdir(parents=True)
        (self.proc / "7").mkdir()
        self.mounts = ""

    def mount(self, kind: str, options: str = "rw", root: str = "/") -> Path:
        folder = self.root / f"mount-{len(self.mounts.splitlines())}"
        folder.mkdir()
        self.mounts += f"31 23 0:28 {root} {folder} rw,relatime shared:9 - {kind} {kind} {options}\n"
        (self.proc / "self" / "mountinfo").write_text(self.mounts)
        return folder

    def group(self, mount: Path, path: str, name: str, text: str) -> None:
        folder = mount / path
        folder.mkdir(parents=True)
        (folder / name).write_text(text)

    def find(self, text: str) -> cgroups.Group | None:
        (self.proc / "7" / "cgroup").write_text(text)
        return cgroups.group_of(7, str(self.proc))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_version_2_tells_microseconds(host: Host) -> None:
    mount = host.mount("cgroup2")
    host.group(mount, "machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt", "cpu.stat", CPU_STAT)
    group = host.find(OF_VERSION_2)
    assert group is not None
    assert group.read() == (500_000_000, 200_000_000)


def test_version_1_tells_clock_ticks_and_goes_first(host: Host) -> None:
    host.mount("cgroup2")
    host.mount("cgroup", "rw,memory")
    mount = host.mount("cgroup", "rw,cpu,cpuacct")
    host.group(mount, "machine/qemu-1-web.libvirt-qemu", "cpuacct.stat", CPUACCT_STAT)
    group = host.find(OF_VERSION_1)
    assert group is not None
    assert group.read() == (50 * TICK, 20 * TICK)


@pytest.mark.parametrize(
    "text",
    ["0::/user.slice/session-1.scope\n", "0::/\n", "", "0:\n", "garbage\n", "0::/elsewhere/emulator\n"],
    ids=repr,
)
def test_a_process_that_libvirt_gave_no_group_has_none(host: Host, text: str) -> None:
    mount = host.mount("cgroup2")
    # Every group has such a file, and those of others are not the domain's.
    for path in (".", "user.slice", "user.slice/session-1.scope"):
        (mount / path).mkdir(exist_ok=True)
        (mount / path / "cpu.stat").write_text(CPU_STAT)
    assert host.find(text) is None


def test_a_tree_that_is_mounted_in_part_is_not_used(host: Host) -> None:
    mount = host.mount("cgroup2", root="/machine.slice")
    host.group(mount, "machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt", "cpu.stat", CPU_STAT)
    assert host.find(OF_VERSION_2) is None


def test_a_process_that_is_gone_has_none(host: Host) -> None:
    assert cgroups.group_of(8, str(host.proc)) is None


@pytest.mark.parametrize(
    "text", [None, "", "user_usec 5\n", "user_usec\nsystem_usec 7\n", "user_usec a\nsystem_usec 7\n"]
)
def test_a_file_that_is_gone_or_not_whole_tells_nothing(host: Host, text: str | None) -> None:
    mount = host.mount("cgroup2")
    host.group(mount, "machine.slice/machine-qemu\\x2d1\\x2dweb.scope/libvirt", "cpu.stat", CPU_STAT)
    group = host.find(OF_VERSION_2)
    assert group is not None
    path = Path(group.path)
    path.unlink() if text is None else path.write_text(text)
    assert group.read() is None
