"""Reading the counters of tap devices off the host."""

from __future__ import annotations

import pytest

from virt2.model.replies import NicStats
from virt2.sources.daemon import Daemon
from virt2.sources.netdev import HostInterfaces

# As Linux 6.1 prints it, with shorter titles; columns run together where numbers are long.
TABLE = """\
Inter-|   Receive             |  Transmit
 face |bytes packets errs ...  |bytes packets errs ...
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0       0
 vnet0:12345678901    22    3    4    5     6          7         8     9000      10   11   12   13    14      15      16
"""


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "dev").write_text(TABLE)
    for who, namespace in (("self", "net:[1]"), ("7", "net:[1]"), ("8", "net:[2]")):
        (tmp_path / who / "ns").mkdir(parents=True)
        (tmp_path / who / "ns" / "net").symlink_to(namespace)
    return str(tmp_path)


def libvirtd(pid, start=1):
    return Daemon("libvirtd", pid, start)


def test_directions_are_those_of_the_guest(proc):
    counters = HostInterfaces(lambda: libvirtd(7), proc).read()
    assert counters["vnet0"] == NicStats(
        rx_octets=9000,
        rx_packets=10,
        rx_errors=11,
        rx_dropped=12,
        tx_octets=12345678901,
        tx_packets=22,
        tx_errors=3,
        tx_dropped=4,
    )
    assert set(counters) == {"lo", "vnet0"}


def test_for_a_libvirtd_in_another_network_namespace_it_is_asked(proc):
    assert not HostInterfaces(lambda: libvirtd(8), proc).read()


@pytest.mark.parametrize("daemon", [None, libvirtd(9)], ids=["unknown", "hidden"])
def test_for_a_libvirtd_that_cannot_be_seen_it_is_asked(proc, daemon):
    assert not HostInterfaces(lambda: daemon, proc).read()


@pytest.mark.parametrize("pid", [7, 8])
def test_what_was_seen_of_a_libvirtd_holds_while_there_is_none(proc, pid):
    running = [libvirtd(pid)]
    interfaces = HostInterfaces(lambda: running[0], proc)
    before = interfaces.read()
    running[0] = None
    assert interfaces.read() == before
    assert bool(interfaces.problem) is (pid == 8)


def test_a_restarted_libvirtd_is_looked_at_anew(proc):
    running = [libvirtd(7)]
    interfaces = HostInterfaces(lambda: running[0], proc)
    assert interfaces.read()
    running[0] = libvirtd(8)
    assert not interfaces.read()
    running[0] = libvirtd(7, start=2)
    assert interfaces.read()


def test_a_table_that_cannot_be_read_is_none(proc, tmp_path):
    (tmp_path / "net" / "dev").write_text("a\nb\n vnet0: x\n")
    assert not HostInterfaces(lambda: libvirtd(7), proc).read()
    (tmp_path / "net" / "dev").unlink()
    assert not HostInterfaces(lambda: libvirtd(7), proc).read()


@pytest.mark.parametrize(
    ("daemon", "words"),
    [
        (None, "process of libvirt's daemon cannot be seen"),
        (libvirtd(8), "another network namespace"),
        (libvirtd(9), "namespace of libvirt's daemon cannot be seen: No such file"),
    ],
    ids=["unknown", "elsewhere", "hidden"],
)
def test_why_devices_are_not_used_is_told_as_long_as_it_holds(proc, daemon, words):
    running = [daemon]
    interfaces = HostInterfaces(lambda: running[0], proc)
    for _ in range(2):
        assert not interfaces.read()
        assert words in interfaces.problem
    running[0] = libvirtd(7)
    assert interfaces.read()
    assert interfaces.problem == ""
    running[0] = None
    interfaces.reconnected()
    assert not interfaces.read()
    running[0] = libvirtd(7)
    assert interfaces.read()
    assert interfaces.problem == ""
