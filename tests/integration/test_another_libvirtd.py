"""A libvirt that is not this host's own system libvirt: another host's, or a user's."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import NamedTuple

import libvirt
import pytest

from tests.integration.support import collectd, of_host, wait_for_reads
from tests.lab import Guest, Lab, wait_for
from tests.lab.guests import domain_xml
from tests.lab.relay import ADMIN
from virt2.sources import daemon

SOON = 20.0
ROOT = Path(__file__).resolve().parents[2]
DEVICE = "same0"
"""A network device that both hosts have."""
IDLE_DEVICE = f"""
import fcntl, struct
with open("/dev/net/tun", "r+b", buffering=0) as file:
    fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", b"{DEVICE}", 0x1002))
    fcntl.ioctl(file, 0x400454CB, 1)
"""
"""Makes a tap device that stays and never carries a packet: TUNSETIFF with IFF_TAP and IFF_NO_PI, TUNSETPERSIST."""


class Another(NamedTuple):
    """A libvirtd that is not this host's."""

    uri: str
    pid: int


@pytest.fixture
def there(tmp_path):
    """Another host, whose libvirtd keeps its sockets where this one's processes reach them."""
    folder, sockets = tmp_path / "there", tmp_path / "sockets"
    folder.mkdir()
    sockets.mkdir()
    with Lab(folder) as host:
        host.kill_libvirtd(signal.SIGTERM)
        host.inside("/etc/libvirt/libvirtd.conf").write_text(f'unix_sock_dir = "{sockets}"\n')
        process = host.popen(["libvirtd"], log=folder / "another.log")
        wait_for(lambda: (sockets / "libvirt-sock-ro").exists(), SOON, "libvirtd listens")
        uri = f"qemu:///system?socket={sockets}/libvirt-sock"
        connection = libvirt.open(uri)
        connection.createXML(domain_xml(Guest("theirs"), host.images(None), [DEVICE]), 0)
        connection.close()
        try:
            yield Another(uri, process.pid)
        finally:
            process.signal(signal.SIGCONT)


def test_what_this_host_shows_is_not_taken_for_what_another_libvirtd_has(lab, there, tmp_path):
    lab.guest(Guest("mine"))
    lab.run([sys.executable, "-c", IDLE_DEVICE])
    with collectd(lab, tmp_path / "collectd", f'Connection "{there.uri}"') as watching:
        name = f"if_octets-{DEVICE}"
        # The kernel itself sends to a tap that comes up; this host's device of that name has not carried a byte.
        wait_for(
            lambda: any(values[0] for _, values in of_host(watching.series(), "theirs").get(name, ())),
            SOON,
            "counters move",
        )
        os.kill(there.pid, signal.SIGSTOP)
        wait_for(lambda: "libvirtd has not answered" in watching.log, SOON)
        wait_for_reads(watching, 3)
        hosts = {host for host, _, _ in watching.series()} - {"collectd"}
        assert hosts == {"theirs"}, "a domain of this host was taken for one of that libvirtd's"
        assert watching.log.count("network devices of this host are not looked at") == 1


NOBODY = 65534
RUN_DIR = "/run/user/nobody"
LIBRARY = "/run/library"
"""In the lab, where that user may read; the checkout may lie where only root can enter."""
AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("env", "--chdir=/", "HOME=/run/user/nobody", f"XDG_RUNTIME_DIR={RUN_DIR}", f"PYTHONPATH={LIBRARY}"),
    "/usr/bin/python3",
]
SESSION = """
import os, signal, time, libvirt
from virt2.sources import daemon, netdev, procfs
xml = '''<domain type="qemu"><name>mine</name><memory unit="MiB">16</memory><os><type>hvm</type></os></domain>'''
connection = libvirt.open("qemu:///session")
domain = connection.createXML(xml, 0)
there = daemon.place("qemu:///session")
looks = procfs.Processes(there.qemu_run_dir)
uuid = domain.UUIDString()
print("found", [guest.uuid for guest in procfs.guests(there.qemu_run_dir)] == [uuid], repr(looks.problem()))
before = looks.stopped(uuid, "mine")
os.kill(looks.pid(uuid, "mine"), signal.SIGSTOP)
limit = time.monotonic() + 10
while not looks.stopped(uuid, "mine") and time.monotonic() < limit:
    time.sleep(0.01)
print("stopped", repr(before), repr(looks.stopped(uuid, "mine")))
os.kill(looks.pid(uuid, "mine"), signal.SIGCONT)
print("daemon", daemon.identify(there).name)
print("devices", "lo" in netdev.HostInterfaces(lambda: daemon.identify(there)).read())
print("admin", [server.name for server in daemon.admin_servers("qemu:///session")[0]])
domain.destroy()
"""


def test_a_users_own_libvirt_is_seen_as_that_users(lab):
    shutil.copytree(ROOT / "virt2", lab.inside(LIBRARY) / "virt2", ignore=shutil.ignore_patterns("__pycache__"))
    lab.inside(RUN_DIR).mkdir(parents=True)
    os.chown(lab.inside(RUN_DIR), NOBODY, NOBODY)
    output = lab.run([*AS_NOBODY, "-c", SESSION], timeout=60)
    assert output.splitlines() == [
        "found True ''",
        "stopped '' 'T'",
        "daemon libvirtd",
        "devices True",
        "admin ['libvirtd']",
    ]


ROOTS_SESSION = f"""
import sys, libvirt
sys.path.insert(0, {str(ROOT)!r})
from virt2.sources import daemon, procfs
print([domain.name() for domain in libvirt.openReadOnly("qemu:///session").listAllDomains()])
print([guest.name for guest in procfs.guests(daemon.place("qemu:///session").qemu_run_dir)])
"""


def test_roots_session_is_the_systems_libvirt(lab):
    lab.guest(Guest("web"))
    assert lab.run(["/usr/bin/python3", "-c", ROOTS_SESSION]) == "['web']\n['web']\n"


def test_a_libvirtd_in_another_root_is_not_this_hosts(lab):
    """Its socket lies below /proc/PID/root, of which the kernel says that it is a link to /."""
    found = daemon.place(lab.uri)
    assert "names a socket that is not the one of this host's own libvirt" in found.reason
    assert (found.pid_files, found.qemu_run_dir) == ("", "")
    assert [server.path for server in daemon.admin_servers(lab.uri)[0]] == [str(lab.inside(ADMIN))]
