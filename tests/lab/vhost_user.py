"""A back end for a vhost-user interface, and a stand-in for Open vSwitch's tool that libvirt asks for its counters.

Run as a program with the path of a socket, this answers what QEMU must hear before it starts; no packet ever passes.
The messages are those of the vhost-user specification of QEMU.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
from pathlib import Path

GET_FEATURES, GET_VRING_BASE = 1, 11
"""The requests that are answered, out of the many that QEMU sends."""
VERSION_1 = 1 << 32
"""VIRTIO_F_VERSION_1, the only feature."""
REPLY = 0x5
"""Flags of a message: version 1, and that it is a reply."""
HEAD = struct.Struct("<III")
"""Request, flags, and the number of bytes behind them."""
MOST_DESCRIPTORS = 16

COUNTERS = '["map",[["rx_bytes",100],["rx_packets",10],["tx_bytes",200],["tx_packets",20]]]'

TOOL = """#!/bin/sh
# Stands in for ovs-vsctl: answers at once, or runs into its time-out of 5 s where the file {hang} is there.
echo "$*" >>{calls}
case "$*" in *" name") echo "$4"; exit 0 ;; esac
if [ -e {hang} ]; then sleep 5; exit 142; fi
case "$*" in *statistics*) echo '{counters}' ;; esac
"""
"""What libvirt 9.0 asks is the interface's name, to see whether it is there, and then its statistics."""


def tool(folder: Path) -> str:
    """The text of the stand-in, which hangs as long as ``folder/hang`` is there and notes its calls in ``calls``."""
    return TOOL.format(hang=folder / "hang", calls=folder / "calls", counters=COUNTERS)


def interface(path: Path, mac: str) -> str:
    """XML of an interface behind the back end at that socket."""
    source = f"<source type='unix' path='{path}' mode='client'/>"
    return f"<interface type='vhostuser'><mac address='{mac}'/>{source}<model type='virtio'/></interface>"


SHARED_MEMORY = (
    "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
    "<cpu><numa><cell id='0' cpus='0' memory='16' unit='MiB' memAccess='shared'/></numa></cpu>"
)
"""What a domain needs besides."""


def serve(path: str) -> None:
    """Answer every QEMU that connects, for ever."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        os.chmod(path, 0o777)
        server.listen()
        while True:
            connection, _ = server.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    """Answer one QEMU until it hangs up."""
    while True:
        head, descriptors, _, _ = socket.recv_fds(connection, HEAD.size, MOST_DESCRIPTORS)
        for descriptor in descriptors:
            os.close(descriptor)
        if len(head) < HEAD.size:
            return
        request, _, size = HEAD.unpack(head)
        payload = connection.recv(size, socket.MSG_WAITALL) if size else b""
        if request == GET_FEATURES:
            connection.sendall(HEAD.pack(request, REPLY, 8) + struct.pack("<Q", VERSION_1))
        elif request == GET_VRING_BASE:
            connection.sendall(HEAD.pack(request, REPLY, 8) + payload[:8])


if __name__ == "__main__":
    serve(sys.argv[1])
