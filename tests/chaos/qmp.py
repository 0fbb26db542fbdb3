"""A monitor of a QEMU's that is our own: it tells the counters of the disks, and whether the main loop answers.

libvirt does not know of it. `query-blockstats` touches no image, so it freezes nobody.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab.guests import DISK_LETTERS, IDE_DISKS

COMMAND_LINE = """
  <qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <qemu:arg value='-qmp'/>
    <qemu:arg value='unix:{path},server=on,wait=off'/>
  </qemu:commandline>"""
"""What gives a guest such a monitor."""
RECEIVE = 1 << 16
"""Bytes read at a time: more than any reply has."""

_DEVICE = re.compile(r"\b(?:ide0-(\d)-(\d)|virtio-disk(\d+))\b")
_COUNTERS = ("rd_bytes", "wr_bytes", "rd_operations", "wr_operations")


class Blocks(NamedTuple):
    """One answer."""

    asked: float
    answered: float
    counters: Mapping[str, tuple[int, ...]]
    """By target: bytes read and written, requests read and written."""


class Ended(Exception):
    """The QEMU at the other end is gone."""


class Monitor:
    """A connection to a QEMU, which never waits for it.

    Arguments:
        path: of the socket; QEMU listens there already.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._received = b""
        self._is_open = False
        """Whether QEMU takes commands."""
        self.asked: float | None = None
        """When the question was asked that is not answered yet; None where there is none."""
        try:
            self._socket.connect(str(path))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, now: float) -> None:
        """Ask for the counters, unless that was done and is not answered. Raises `Ended`."""
        if self._is_open and self.asked is None:
            self.asked = now
            self._send("query-blockstats")

    def receive(self, now: float) -> Blocks | None:
        """Take what has come; an answer, if that is complete. Raises `Ended`."""
        try:
            data = self._socket.recv(RECEIVE)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Ended from error
        if not data:
            raise Ended
        *lines, self._received = (self._received + data).split(b"\n")
        found = None
        for line in lines:
            message = json.loads(line)
            if "QMP" in message:
                self._send("qmp_capabilities")
            elif "return" in message and not self._is_open:
                self._is_open = True
            elif "return" in message and self.asked is not None:
                found = Blocks(self.asked, now, counters(message["return"]))
                self.asked = None
        return found

    def _send(self, command: str) -> None:
        try:
            self._socket.sendall(json.dumps({"execute": command}).encode())
        except OSError as error:
            raise Ended from error


def counters(reply: list[dict[str, Any]]) -> dict[str, tuple[int, ...]]:
    """The counters of each disk by its target, of a reply to `query-blockstats`."""
    found = {}
    for block in reply:
        target = target_of(block.get("qdev", ""))
        if target:
            found[target] = tuple(int(block["stats"][name]) for name in _COUNTERS)
    return found


def target_of(device: str) -> str:
    """The target of a disk by QEMU's name of its device; empty where that is no disk of a lab's."""
    match = _DEVICE.search(device)
    if match is None:
        return ""
    if match[3] is not None:
        return f"vd{DISK_LETTERS[int(match[3])]}"
    number = 2 * int(match[1]) + int(match[2])
    return f"vd{DISK_LETTERS[number]}" if number < IDE_DISKS else ""
