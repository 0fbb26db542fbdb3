"""How many of libvirtd's workers virt2 may hold, and who of the readers may hold how many. Pure.

libvirtd is shared with whoever manages the host: the budget is bounded by what libvirtd says it has, less a reserve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

UNKNOWN_BUDGET = 4
"""Budget where libvirtd's limits are unknown: as many as make a read shorter, and few beside its default of 20."""
SMALLEST_RESERVE = 2
RESERVED_PART = 0.2
"""Workers left to others: this part of libvirtd's, and never fewer than SMALLEST_RESERVE."""
QUARANTINED_PART = 0.25
"""Part of the slots that calls may hold which touch the storage, at least one: as many storage domains may be dead
until the sizes of the others stop coming."""
AGENTS_PART = 0.25
MOST_AGENTS = 4
"""Slots for calls that wait for guests' agents: this part of what the calls that touch the storage leave, at least one;
they share one connection, of which libvirtd reads no more than 5 calls at a time."""
GUARANTEED_ABOVE = 2
"""Budget above which one slot is set aside for class A and domains known to answer."""


class Limits(Protocol):
    """What libvirtd says of its own normal workers."""

    @property
    def max_workers(self) -> int:
        """How many it may start."""

    @property
    def available(self) -> int:
        """How many more calls it could take on now."""


class Plan(NamedTuple):
    """Who may hold how many of libvirtd's workers."""

    budget: int
    """Workers of libvirtd held at a time, by all readers together."""
    reserve: int
    """Workers left to others; 0 where libvirtd's limits are unknown."""
    shares: dict[str, int]
    """Class B calls in flight at a time, per reader."""
    quarantine: int
    """Class C calls in flight at a time; 0 where there are none."""
    turns: bool
    """There are more readers with domains than slots: they wait for each other."""
    reason: str
    """Why the budget is what it is, in words."""
    agents: int = 0
    """Calls to guests' agents in flight at a time; 0 where there are none, or no slot can be spared."""


def plan(
    workers: int | None,
    limits: Limits | None,
    unknown: str,
    held: int,
    groups: Mapping[str, int],
    storage: bool = False,
    agents: bool = False,
) -> Plan:
    """Make a plan.

    Arguments:
        workers: the budget the operator asks for, None for automatic.
        limits: libvirtd's, None when unknown.
        unknown: why they are unknown, in words.
        held: libvirtd's workers that virt2 holds now: they are not available, but they are ours.
        groups: number of domains of each reader.
        storage: whether there are class C calls, which have workers of their own.
        agents: whether there are calls to guests' agents, which have workers of their own as well.
    """
    reserve = 0
    if limits is None:
        budget = UNKNOWN_BUDGET if workers is None else workers
        reason = f"libvirtd's limits are unknown: {unknown}"
        if workers is not None:
            reason = f"as configured; {reason}"
    else:
        reserve = max(SMALLEST_RESERVE, math.ceil(limits.max_workers * RESERVED_PART))
        wanted = max(1, limits.max_workers // 2) if workers is None else workers
        room = limits.available + held - reserve
        budget = max(1, min(wanted, room))
        reason = f"half of libvirtd's {limits.max_workers} workers" if workers is None else "as configured"
        if budget < wanted:
            reason = (
                f"{wanted} wanted, but {limits.available + held} of libvirtd's {limits.max_workers} workers can be had"
                f" and {reserve} are left to others"
            )
    slots = budget - 1 if budget > GUARANTEED_ABOVE else budget
    quarantine = max(1, int(slots * QUARANTINED_PART)) if storage else 0
    slots = max(1, slots - quarantine)
    # Never the last slot, nor without one that is set aside: an agent may take for ever.
    spared = min(slots - 1, MOST_AGENTS, max(1, int(slots * AGENTS_PART)))
    for_agents = spared if agents and budget > GUARANTEED_ABOVE else 0
    slots -= for_agents
    turns = sum(1 for size in groups.values() if size) > slots
    return Plan(budget, reserve, _shares(slots, groups), quarantine, turns, reason, for_agents)


def _shares(slots: int, groups: Mapping[str, int]) -> dict[str, int]:
    """Split the slots by number of domains, at least one each; what is left by rounding goes to the largest."""
    total = sum(groups.values())
    if not total:
        return {name: max(1, slots) for name in groups}
    shares = {name: max(1, slots * size // total) for name, size in groups.items()}
    populated = [name for name, size in groups.items() if size]
    by_need = sorted(populated, key=lambda name: (shares[name] * total - slots * groups[name], name))
    for name in by_need:
        if sum(shares[name] for name in populated) >= slots:
            break
        shares[name] += 1
    # The minimum of one may have been granted at the cost of the others: the best supplied give it back.
    while sum(shares[name] for name in populated) > slots and max(shares[name] for name in populated) > 1:
        best = max(populated, key=lambda name: (shares[name] / groups[name], shares[name]))
        if shares[best] == 1:
            best = max(populated, key=lambda name: shares[name])
        shares[best] -= 1
    return shares
