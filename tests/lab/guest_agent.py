"""A guest agent without a guest: a program of the test's answers libvirtd's agent monitor.

libvirtd takes an agent for connected when QEMU says that the guest has opened the port, which needs a driver in the
guest; these guests have no operating system. So their emulator is a small wrapper. It gives the channel's chardev to a
serial port instead, which QEMU counts as always open, and puts a link to the test's socket in the place of the
channel's own, so that libvirtd, which goes by the path, connects there. Everything above that is libvirtd's own.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

from .guests import EMULATOR

CHANNEL = """
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0'/>
    </channel>"""
WRAPPER = f"""#!/usr/bin/python3 -IS
import json, os, sys
arguments = sys.argv[1:]
sockets = os.path.dirname(sys.argv[0])
name = next((a[6:].split(",")[0] for a in arguments if a.startswith("guest=")), "")
for number, argument in enumerate(arguments):
    if argument.startswith("{{") and '"virtserialport"' in argument and '"org.qemu.guest_agent.0"' in argument:
        port = json.loads(argument)
        arguments[number] = json.dumps({{"driver": "isa-serial", "id": port["id"], "chardev": port["chardev"]}})
    elif argument.startswith("socket,id=charchannel0,"):
        import socket
        fd = int(argument.split(",fd=")[1].split(",")[0])
        path = socket.socket(fileno=os.dup(fd)).getsockname()
        os.unlink(path)
        os.symlink(os.path.join(sockets, name), path)
os.execv("{EMULATOR}", [sys.argv[0], *arguments])
"""
"""Where the agent `NAME` listens, beside the wrapper, stands for the channel of the guest of that name."""

FILE_SYSTEMS = [
    {
        "name": "vda1",
        "mountpoint": "/",
        "type": "ext4",
        "total-bytes": 1000,
        "used-bytes": 250,
        "disk": [
            {
                "bus-type": "ide",
                "bus": 0,
                "target": 0,
                "unit": 0,
                "pci-controller": {"domain": 0, "bus": 0, "slot": 1, "function": 1},
            }
        ],
    },
    {"name": "vdb", "mountpoint": "/var/log", "type": "xfs", "total-bytes": 4000, "used-bytes": 1000, "disk": []},
]
REPLIES: dict[str, Any] = {
    "guest-get-fsinfo": FILE_SYSTEMS,
    "guest-get-users": [{"user": "root", "login-time": 1500000000.5}, {"user": "ann", "login-time": 1600000000}],
    "guest-get-host-name": {"host-name": "inside"},
    "guest-get-osinfo": {"id": "debian", "pretty-name": "Debian 12", "kernel-release": "6.1.0", "machine": "x86_64"},
    "guest-get-timezone": {"zone": "CET", "offset": 3600},
    "guest-get-load": {"load1m": 0.5, "load5m": 0.25, "load15m": 0.125},
    "guest-get-disks": [{"name": "/dev/sda", "partition": False, "dependencies": []}],
    "guest-network-get-interfaces": [{"name": "lo"}],
    "guest-ping": {},
    "guest-fsfreeze-freeze": 2,
    "guest-fsfreeze-thaw": 2,
}
"""What a well-behaved agent says, by command."""


class GuestAgent:
    """Answers libvirtd in the place of one guest's agent, on threads of the test's; change it at will.

    Arguments:
        folder: where its guest's emulator is (`install`).
        name: the guest's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.replies = dict(REPLIES)
        self.delay = 0.0
        """Seconds before each reply, the one to a sync excepted."""
        self.delays: dict[str, float] = {}
        """Seconds before the reply to one command, besides."""
        self._speaks = threading.Event()
        self._speaks.set()
        self.raw: dict[str, bytes] = {}
        """What it says instead, as it is, by command."""
        self.commands: list[str] = []
        """What it was asked, syncs excepted."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / name))
        self._listener.listen()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hush(self) -> None:
        """Say nothing any more, not even to a sync."""
        self._speaks.clear()

    def speak(self) -> None:
        """Answer what was asked meanwhile, and what will be."""
        self._speaks.set()

    def heal(self) -> None:
        """Be well-behaved again."""
        self.replies = dict(REPLIES)
        self.delay = 0.0
        self.delays = {}
        self.raw = {}
        self.speak()

    def close(self) -> None:
        """Hang up."""
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as lines:
            for line in lines:
                command = json.loads(line.lstrip(b"\xff"))
                connection.sendall(self._reply(command["execute"], command.get("arguments", {})))

    def _reply(self, name: str, arguments: dict[str, Any]) -> bytes:
        self._speaks.wait()
        if name in ("guest-sync", "guest-sync-delimited"):
            return json.dumps({"return": arguments["id"]}).encode() + b"\n"
        self.commands.append(name)
        time.sleep(self.delay + self.delays.get(name, 0.0))
        self._speaks.wait()
        if name in self.raw:
            return self.raw[name]
        if name not in self.replies:
            error = {"class": "CommandNotFound", "desc": f"The command {name} has not been found"}
            return json.dumps({"error": error}).encode() + b"\n"
        return json.dumps({"return": self.replies[name]}).encode() + b"\n"


def install(folder: Path) -> Path:
    """Put the wrapper into a folder that a lab reaches by the same path; returns what a guest's emulator is to be."""
    wrapper = folder / "qemu"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    return wrapper
