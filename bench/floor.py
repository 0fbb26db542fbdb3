"""The floor: the libvirt calls of virt2's default read, and nothing else. Run inside a lab, ended by a signal.

    python -m bench.floor [SECONDS]

Per cycle a list of the active domains and one of those that are paused; per domain blockStats for each disk, and one
look at /proc/PID/stat of its QEMU, which says how much CPU it has used and whether it is stopped; interfaces from
/proc/net/dev, once for all. That is what virt2 asks while nobody else is in libvirtd, except what it asks of the admin
socket. The calls are made by as many threads as virt2 keeps working, over a connection each, and the lists over one of
its own. The files of the QEMUs stay open. No value leaves: there is no plugin and no collectd.

Cycles follow one another without a pause, or begin every SECONDS. Every cycle is a line: the seconds it took.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt

from bench.loop import Loop, look, open_stat, read_interfaces

URI = "qemu:///system"
PID_FILES = Path("/run/libvirt/qemu")
ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
PAUSED = libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED
TARGET = re.compile(r"<target dev='(vd\w+)'")


def main() -> None:
    """Cycle until killed."""
    interval = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    lister = libvirt.openReadOnly(URI)
    listed = lister.listAllDomains(ACTIVE)
    disks = {domain.UUIDString(): TARGET.findall(domain.XMLDesc()) for domain in listed}
    stats = {domain.UUIDString(): open_stat(PID_FILES / f"{domain.name()}.pid") for domain in listed}

    def make() -> Callable[[str], None]:
        domains: dict[str, Any] = {
            domain.UUIDString(): domain for domain in libvirt.openReadOnly(URI).listAllDomains(ACTIVE)
        }

        def ask(uuid: str) -> None:
            look(stats[uuid])
            domain = domains[uuid]
            for disk in disks[uuid]:
                domain.blockStats(disk)

        return ask

    loop = Loop(make)
    due = time.monotonic()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due += interval
        began = time.monotonic()
        uuids = [domain.UUIDString() for domain in lister.listAllDomains(ACTIVE)]
        lister.listAllDomains(PAUSED)
        read_interfaces()
        loop.ask(uuids)
        print(f"took {time.monotonic() - began:.6f}", flush=True)


if __name__ == "__main__":
    main()
