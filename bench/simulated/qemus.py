"""What a host shows of its domains: a process, files beside it, and tap devices for each. Run inside a simulated host.

    python -m bench.simulated.qemus DOMAINS

Each process is a shell that waits for input which never comes: cheap, and with a command line that looks like that of a
QEMU. It has one thread where a QEMU has four or so, for each of which the kernel takes a little longer to tell of the
process. All of them end with this process, which prints a line when they are there.
"""

from __future__ import annotations

import fcntl
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from bench.simulated import domains, libvirtd
from bench.simulated.domains import Domain

PID_FILES = libvirtd.FOLDER / "qemu"
PROGRAM = libvirtd.FOLDER / "qemu-system-x86_64"
"""A link to the shell: the kernel calls a process by the name of its program."""
SHELL = "/bin/sh"
TUN = "/dev/net/tun"
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
READY = "ready"


def start(some: Iterable[Domain], pid_files: Path, program: Path) -> list[subprocess.Popen[bytes]]:
    """Start the processes of some domains, and write their pid files and libvirt's status files.

    The processes end when the input of each is closed.
    """
    pid_files.mkdir(parents=True, exist_ok=True)
    program.symlink_to(SHELL)
    started = []
    for domain in some:
        arguments = [str(program), "-c", "read nothing", "sh", *command_line(domain)]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        (pid_files / f"{domain.name}.pid").write_text(f"{process.pid}\n")
        # Only the times of these are looked at.
        (pid_files / f"{domain.name}.xml").write_text("<domstatus/>\n")
        started.append(process)
    return started


def command_line(domain: Domain) -> list[str]:
    """What libvirt starts a QEMU with, as far as anybody looks at it."""
    return ["-name", f"guest={domain.name},debug-threads=on", "-uuid", domain.uuid]


def make_taps(some: Iterable[Domain]) -> list[int]:
    """Make the tap devices of some domains; they are there as long as what is returned is open."""
    opened = []
    for domain in some:
        for nic in domain.nics:
            tap = os.open(TUN, os.O_RDWR)
            fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", nic.encode(), IFF_TAP | IFF_NO_PI))
            opened.append(tap)
    return opened


def main() -> None:
    """Have all of them until killed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    some = domains.made(int(sys.argv[1]))
    taps, processes = make_taps(some), start(some, PID_FILES, PROGRAM)
    print(f"{READY}: {len(processes)} processes, {len(taps)} devices", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
