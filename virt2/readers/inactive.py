"""Reports the state of domains that are not active, which no reader has (selector `domain_state`)."""

from __future__ import annotations

import time
from collections.abc import Callable

from virt2.domains.inventory import Inventory
from virt2.metrics.metric import state
from virt2.model.domain import Domain
from virt2.output.batch import Sink
from virt2.output.naming import Names


class InactiveStates:
    """Dispatches the states that the inventory has read.

    Arguments:
        inventory: reads them, with its list.
        names: the identity of all domains.
        sink: where metrics go.
        clock, wall: monotonic seconds, and the time of day.
    """

    def __init__(
        self,
        inventory: Inventory,
        names: Names,
        sink: Sink,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._inventory = inventory
        self._names = names
        self._sink = sink
        self._clock = clock
        self._wall = wall
        self._reported: float | None = None

    def __repr__(self) -> str:
        return f"<InactiveStates reported={self._reported}>"

    def report(self) -> None:
        """Dispatch what was read since the last time."""
        found = self._inventory.inactive
        if found is None or found.asked == self._reported:
            return
        self._reported = found.asked
        when = self._wall() - (self._clock() - found.asked)
        # A domain that was started meanwhile is read by its reader.
        idle = [status for status in found.domains if not self._inventory.knows(status.uuid)]
        domains = [self._inventory.find(status.uuid) or Domain(status.uuid, status.name, status.id) for status in idle]
        self._names.settle_idle(domains)
        for status, domain in zip(idle, domains):
            self._sink.dispatch(self._names.of_any(domain), [state(status.state, status.reason)], when)
