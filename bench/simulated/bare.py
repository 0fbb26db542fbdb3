"""The bare loop over the simulated libvirtd: the calls of virt2's default read, and nothing else.

    python -m bench.simulated.bare DOMAINS CYCLES PAUSE

It is `bench.floor` over the same door that virt2 is given. PAUSE is in seconds. In the end a line of JSON says how long
each cycle took, and the memory of the process in KiB.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

from bench import processes
from bench.loop import Loop, look, open_stat, read_interfaces
from bench.simulated import domains, door, libvirtd, qemus


def main() -> None:
    """Cycle as often as it is wished."""
    libvirtd.pin()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count, cycles, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    some = domains.made(count)
    hypervisor = door.Hypervisor(some, lambda: door.SocketWire(libvirtd.SOCKET))
    stats = {domain.uuid: open_stat(qemus.PID_FILES / f"{domain.name}.pid") for domain in some}

    def make() -> Callable[[str], None]:
        connection = hypervisor.connect()
        connection.active()

        def ask(uuid: str) -> None:
            look(stats[uuid])
            for disk in hypervisor.by_uuid[uuid].disks:
                connection.disk(uuid, disk)

        return ask

    lister = hypervisor.connect()
    loop = Loop(make)
    took = []
    for _ in range(cycles):
        time.sleep(pause)
        began = time.monotonic()
        uuids = [line.uuid for line in lister.active()]
        lister.paused()
        read_interfaces()
        loop.ask(uuids)
        took.append(time.monotonic() - began)
    print(json.dumps([took, processes.memory("self").rss]), flush=True)


if __name__ == "__main__":
    main()
