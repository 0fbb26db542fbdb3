"""The first process of a lab: prepares its view of the machine, starts what it is told to, and reaps.

Run as `unshare ... python -m tests.lab.init FD`. FD is a SOCK_SEQPACKET socket. The lab sends one message per command,
a JSON object with `argv`, `cwd` and `env`, and four descriptors with it: stdin, stdout, stderr, and the end of a
pipe. The pipe gets one line with the pid (or with a reason why there is none) and, when the command has ended, one
with its exit code. The end of file on the socket means that whoever drives the lab is gone, and is the order to
end: with its first process the kernel ends the whole lab.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import cgroups, syscalls

PRIVATE = ["/run", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"]
"""Folders that start empty in each lab."""
MAX_MESSAGE = 1 << 17
TRAFFIC_EVERY = 1.0
"""Seconds between two frames sent to every guest's network interface."""
FRAME = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x88\xb5" + b"lab traffic".ljust(46, b"\0")
"""A broadcast of the EtherType set aside for experiments."""

SIOCSIFFLAGS, IFF_UP = 0x8914, 1

FILES = {
    # Debian's defaults ask polkit, confine QEMU and keep its output with virtlogd: a lab has none of these.
    "/etc/libvirt/libvirtd.conf": 'auth_unix_ro = "none"\nauth_unix_rw = "none"\n',
    "/etc/libvirt/qemu.conf": 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nnamespaces = []\n'
    'stdio_handler = "file"\nremember_owner = 0\ndynamic_ownership = 0\n',
}


def prepare() -> int:
    """Set up mounts, cgroups and the loopback interface; return our pid as seen from outside."""
    # Still the outer /proc, so this is the outer pid.
    pid = int(os.readlink("/proc/self"))
    make_mounts_private()
    cgroups.enter(pid)
    syscalls.mount("proc", "/proc", "proc")
    for folder in PRIVATE:
        syscalls.mount("tmpfs", folder, "tmpfs", 0, "mode=755")
    for name, text in FILES.items():
        Path(name).write_text(text)
    bring_loopback_up()
    return pid


def bring_loopback_up() -> None:
    """What `ip link set lo up` does."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as request:
        fcntl.ioctl(request, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def make_mounts_private() -> None:
    """Keep this namespace's mounts from appearing outside.

    In a chroot that is not itself a mount point `/` cannot be marked; the mount it lies on can, but is out of reach.
    The classic way out of a chroot reaches it.
    """
    root = os.open("/", os.O_RDONLY)
    os.chroot("/proc")
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


class Init:
    """Starts commands, reaps everything, and keeps a little traffic on the guests' interfaces."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._report_to: dict[int, int] = {}
        self._wires = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)

    def serve(self) -> None:
        """Work until the other end of the control socket is closed."""
        child_died, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        next_traffic = time.monotonic()
        watched: list[socket.socket | int] = [self._control, child_died]
        while True:
            pause = max(0.0, next_traffic - time.monotonic())
            ready = select.select(watched, [], [], pause)[0]
            if child_died in ready:
                os.read(child_died, 4096)
                self._reap()
            if self._control in ready:
                message, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, 4)
                if not message:
                    return
                self._start(json.loads(message), descriptors)
            if time.monotonic() >= next_traffic:
                self._send_traffic()
                next_traffic = time.monotonic() + TRAFFIC_EVERY

    def _start(self, command: dict[str, Any], descriptors: list[int]) -> None:
        stdin, stdout, stderr, report = descriptors
        os.set_inheritable(report, False)
        try:
            child = subprocess.Popen(
                command["argv"],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                cwd=command["cwd"],
                env=command["env"],
                start_new_session=True,
            )
        except OSError as error:
            self._tell(report, f"{error}")
            os.close(report)
        else:
            self._report_to[child.pid] = report
            self._tell(report, f"{child.pid}")
            # Reaped below with everything else; Popen itself must not wait for a pid that may be another's by then.
            child.returncode = 0
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            report = self._report_to.pop(pid, None)
            if report is not None:
                self._tell(report, f"{os.waitstatus_to_exitcode(status)}")
                os.close(report)

    def _tell(self, report: int, text: str) -> None:
        try:
            os.write(report, f"{text}\n".encode())
        except BrokenPipeError:
            # Whoever waited for it did not wait that long, on a machine that was too slow.
            print(f"nobody wanted to know: {text}", flush=True)

    def _send_traffic(self) -> None:
        for _, name in socket.if_nameindex():
            if name == "lo":
                continue
            try:
                self._wires.sendto(FRAME, (name, 0))
            except OSError:
                # The interface is down or went away with its guest since it was listed: it has no traffic.
                continue


def main() -> None:
    """Run the lab whose control socket is the descriptor given as the only argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    control.send(json.dumps({"pid": prepare()}).encode())
    Init(control).serve()


if __name__ == "__main__":
    main()
