"""Record: what a daemon of libvirt's says of its workers and clients."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What libvirtd says of its own workers and clients. The numbers count those of all clients."""

    min_workers: int
    max_workers: int
    workers: int
    """Normal workers that were started so far. More are started on demand, up to ``max_workers``."""
    free_workers: int
    """How many of the *started* workers are idle: not how many calls libvirtd has room for."""
    priority_workers: int
    """Workers that serve priority calls only, on top of ``max_workers``."""
    job_queue_depth: int
    """Calls that wait for a worker."""
    max_clients: int
    clients: int
    """Connections that are open now."""

    @property
    def busy(self) -> int:
        """Normal workers that are in a call now, whoever made it."""
        return self.workers - self.free_workers

    @property
    def available(self) -> int:
        """How many more normal calls libvirtd could take on at once."""
        return self.max_workers - self.busy

    @property
    def starved(self) -> bool:
        """Whether calls wait for a worker, and libvirtd starts none although it may.

        It starts one for a call that comes in while as many calls wait as workers are free, and none once more calls
        wait than that (its ``src/util/virthreadpool.c`` subtracts unsigned numbers, and a difference below zero counts
        as a large one). Many calls at once bring that about. It is over when the calls that hold its workers are. While
        a worker is just being started it looks the same for a moment.
        """
        return self.job_queue_depth > 0 and not self.free_workers and self.workers < self.max_workers
