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
