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

import os
import re
import sys
import threading
import time
from collections import deque
from typing import Any

import libvirt

WORKERS = 4
"""virt2's BUSY_WORKERS."""
URI = "qemu:///system"
PID_FILES = "/run/libvirt/qemu"
ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
PAUSED = libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED
TARGET = re.compile(r"<target dev='(vd\w+)'")
STAT_SIZE = 512
"""Bytes; such a line has about 300."""


def main() -> None:
    """Cycle until killed."""
    interval = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    lister = libvirt.openReadOnly(URI)
    listed = lister.listAllDomains(ACTIVE)
    disks = {domain.UUIDString(): TARGET.findall(domain.XMLDesc()) for domain in listed}
    stats = {domain.UUIDString(): open_stat(domain.name()) for domain in listed}
    work: deque[str] = deque()
    begin, end = threading.Barrier(WORKERS + 1), threading.Barrier(WORKERS + 1)
    for _ in range(WORKERS):
        threading.Thread(target=ask, args=[work, disks, stats, begin, end], daemon=True).start()
    due = time.monotonic()
    while True:
        time.sleep(max(0.0, due - time.monotonic()))
        due += interval
        began = time.monotonic()
        work.extend(domain.UUIDString() for domain in lister.listAllDomains(ACTIVE))
        lister.listAllDomains(PAUSED)
        read_interfaces()
        begin.wait()
        end.wait()
        print(f"took {time.monotonic() - began:.6f}", flush=True)


def open_stat(name: str) -> int:
    """Open what the kernel tells of a domain's QEMU; the files stay open."""
    with open(f"{PID_FILES}/{name}.pid") as file:
        pid = int(file.read())
    return os.open(f"/proc/{pid}/stat", os.O_RDONLY)


def ask(
    work: deque[str],
    disks: dict[str, list[str]],
    stats: dict[str, int],
    begin: threading.Barrier,
    end: threading.Barrier,
) -> None:
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
            parse_stat(os.pread(stats[uuid], STAT_SIZE, 0))
            domain = domains[uuid]
            for disk in disks[uuid]:
                domain.blockStats(disk)
        end.wait()


def parse_stat(line: bytes) -> tuple[bytes, int]:
    """The state of the process, and its CPU time in ticks."""
    fields = line[line.rfind(b")") + 2 :].split()
    return fields[0], int(fields[11]) + int(fields[12])


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
