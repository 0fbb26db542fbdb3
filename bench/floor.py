"""The floor: the libvirt calls of virt2's default read, and nothing else. Run inside a lab, ended by a signal.

Per cycle one list; per domain info, and blockStats for each disk; interfaces from /proc/net/dev, once for all. That is
what virt2 asks while nobody else is in libvirtd, but for a word of the admin socket. The calls are made by as many
threads as virt2 keeps working, over a connection each, and the list over one of its own. No value leaves: there is no
plugin and no collectd. Every cycle is a line: the seconds it took.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import Any

import libvirt

WORKERS = 4
"""virt2's BUSY_WORKERS."""
URI = "qemu:///system"
ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
TARGET = re.compile(r"<target dev='(vd\w+)'")


def main() -> None:
    """Cycle until killed."""
    lister = libvirt.openReadOnly(URI)
    disks = {domain.UUIDString(): TARGET.findall(domain.XMLDesc()) for domain in lister.listAllDomains(ACTIVE)}
    work: deque[str] = deque()
    begin, end = threading.Barrier(WORKERS + 1), threading.Barrier(WORKERS + 1)
    for _ in range(WORKERS):
        threading.Thread(target=ask, args=[work, disks, begin, end], daemon=True).start()
    while True:
        began = time.monotonic()
        work.extend(domain.UUIDString() for domain in lister.listAllDomains(ACTIVE))
        read_interfaces()
        begin.wait()
        end.wait()
        print(f"took {time.monotonic() - began:.6f}", flush=True)


def ask(work: deque[str], disks: dict[str, list[str]], begin: threading.Barrier, end: threading.Barrier) -> None:
    """Ask for one domain after another for as long as there are any, in every cycle."""
    domains: dict[str, Any] = {
        domain.UUIDString(): domain for domain in libvirt.openReadOnly(URI).listAllDomains(ACTIVE)
    }
    while True:
        begin.wait()
        while True:
            try:
                uuid = work.popleft()
            except IndexError:
                break
            domain = domains[uuid]
            domain.info()
            for disk in disks[uuid]:
                domain.blockStats(disk)
        end.wait()


def read_interfaces() -> dict[str, list[int]]:
    """The counters of every network device of the host."""
    counters = {}
    with open("/proc/net/dev") as file:
        for line in file.readlines()[2:]:
            name, _, rest = line.rpartition(":")
            counters[name.strip()] = [int(field) for field in rest.split()]
    return counters


if __name__ == "__main__":
    main()
