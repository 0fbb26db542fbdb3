"""Two hosts that are joined by a wire: labs of their own, between which guests migrate.

    with two_hosts(folder) as (one, two):
        guest = one.guest(Guest("web"))
        one.migrate(guest, two)                             # two.connection knows it now, under the same UUID

Their images lie on a storage that both reach, as those of a cluster do. Both are in network namespaces of their own, so
every port is free, and nothing of the wire shows on the host.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .guests import RunningGuest
from .machine import Lab
from .process import Process

WIRE = "wire0"
"""What both hosts call their end of it."""
NETWORK = "10.9.0"
"""The first three bytes of the addresses on the wire; it is reached from the two hosts only."""
WIRE_TIMEOUT = 10.0
"""Seconds for the kernel to make a wire; it takes a hundredth of one."""
MIGRATION_TIMEOUT = 60.0
"""Seconds for a migration; two are usual."""

LIBVIRTD = """
host_uuid = "00000000-0000-4000-8000-00000000000{number}"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
"""
"""libvirt takes two hosts with one UUID for one host, and refuses to migrate."""
SET_HOSTNAME = "import socket, sys; socket.sethostname(sys.argv[1])"


class FleetHost(Lab):
    """A host of a fleet.

    Arguments:
        work_dir: as for any lab.
        number: 1 or 2.
        images: an existing folder that all hosts share.
    """

    libvirtd_command: Sequence[str] = ("libvirtd", "--listen")

    def __init__(self, work_dir: str | Path, number: int, images: Path) -> None:
        super().__init__(work_dir)
        self.images_folder = images
        self.hostname = f"host-{number}"
        self.address = f"{NETWORK}.{number}"
        """Of its end of the wire."""
        self._number = number

    def prepare(self) -> None:
        """Give it a name and a UUID of its own, and have libvirtd take migrations."""
        self.run([sys.executable, "-c", SET_HOSTNAME, f"{self.hostname}.lab"])
        with open(self.inside("/etc/libvirt/libvirtd.conf"), "a", encoding="utf-8") as file:
            file.write(LIBVIRTD.format(number=self._number))

    def migrate(self, guest: RunningGuest, target: FleetHost) -> None:
        """Move a running guest to another host; returns when it runs there and is gone here."""
        self.run(self.migration(guest, target), MIGRATION_TIMEOUT)

    def begin_migration(self, guest: RunningGuest, target: FleetHost) -> Process:
        """Begin to move it; the process ends when it has moved."""
        return self.popen(self.migration(guest, target), log=self.work_dir / "migration.log")

    def migration(self, guest: RunningGuest, target: FleetHost) -> list[str]:
        """The command that moves a guest."""
        there = f"qemu+tcp://{target.address}/system"
        # Unsafe, as far as libvirt can tell: it does not know that both hosts see the same files.
        return ["virsh", "migrate", "--live", "--p2p", "--unsafe", guest.name, there, f"tcp://{target.address}"]


@contextlib.contextmanager
def two_hosts(folder: Path) -> Iterator[tuple[FleetHost, FleetHost]]:
    """Two hosts that reach each other, until the end of the block.

    Arguments:
        folder: an existing one, as for labs.
    """
    for name in ("images", "host-1", "host-2"):
        (folder / name).mkdir()
    one, two = (FleetHost(folder / f"host-{number}", number, folder / "images") for number in (1, 2))
    with one, two:
        _join(one, two)
        yield one, two


def _join(one: FleetHost, two: FleetHost) -> None:
    wire = ["ip", "link", "add", WIRE, "type", "veth", "peer", "name", WIRE, "netns", str(two.pid)]
    # Made where its first end belongs: not for a moment is it on this host.
    subprocess.run(["nsenter", f"--net=/proc/{one.pid}/ns/net", *wire], check=True, timeout=WIRE_TIMEOUT)
    for host in (one, two):
        host.run(["ip", "address", "add", f"{host.address}/24", "dev", WIRE])
        host.run(["ip", "link", "set", WIRE, "up"])
