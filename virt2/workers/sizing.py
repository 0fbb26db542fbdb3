"""How many of libvirtd's workers virt2 may hold, and how many each reader may hold. All of it is pure.

libvirtd is shared with the programs that manage the host. So the budget is not more than what libvirtd says it has,
less a reserve.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

UNKNOWN_BUDGET = 4
"""The budget where libvirtd's limits are unknown. More do not make a read shorter, and libvirtd has 20 by default."""
SMALLEST_RESERVE = 2
RESERVED_PART = 0.2
"""The part of libvirtd's workers that is left to others. It is never fewer than SMALLEST_RESERVE workers."""
QUARANTINED_PART = 0.25
"""The part of the slots for calls that touch the storage, at least one slot. If as many storage domains are dead, the
sizes of disks on all others are not reported any more."""
AGENTS_PART = 0.25
MOST_AGENTS = 4
"""The slots for calls that wait for guests' agents: this part of what the calls that touch the storage leave, at least
one and at most MOST_AGENTS. These calls share one connection, and libvirtd reads at most 5 calls of it at a time."""
GUARANTEED_ABOVE = 2
"""With a larger budget than this, one slot is set aside for class A and for domains that are known to answer."""


class Limits(Protocol):
    """What libvirtd says about its own normal workers."""

    @property
    def max_workers(self) -> int:
        """How many it may start."""

    @property
    def available(self) -> int:
        """How many more calls it could begin now."""


class Plan(NamedTuple):
    """How many of libvirtd's workers each part of virt2 may hold."""

    budget: int
    """How many of libvirtd's workers all readers together may hold at a time."""
    reserve: int
    """How many workers are left to others; 0 if libvirtd's limits are unknown."""
    shares: dict[str, int]
    """How many class B calls of each reader may be in flight at a time."""
    quarantine: int
    """How many class C calls may be in flight at a time; 0 if there are no such calls."""
    turns: bool
    """Whether there are more readers with domains than slots, so that readers wait for each other."""
    reason: str
    """Why the budget is what it is, in words."""
    agents: int = 0
    """How many calls to guests' agents may be in flight at a time; 0 if there are none, or no slot can be spared."""


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
        workers: the budget that the operator asks for, None for automatic.
        limits: libvirtd's limits, None if they are unknown.
        unknown: why they are unknown, in words.
        held: how many of libvirtd's workers virt2 holds now. They are not available, but they are ours.
        groups: the number of domains of each reader.
        storage: whether there are class C calls, which have slots of their own.
        agents: whether there are calls to guests' agents, which have slots of their own as well.
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
                f"{wanted} are wanted, but {limits.available + held} of libvirtd's {limits.max_workers} workers are"
                f" available, and {reserve} are left to others"
            )
    slots = budget - 1 if budget > GUARANTEED_ABOVE else budget
    quarantine = max(1, int(slots * QUARANTINED_PART)) if storage else 0
    slots = max(1, slots - quarantine)
    # Agents never have the last slot, and have none where no slot is set aside, because an agent may never answer.
    spared = min(slots - 1, MOST_AGENTS, max(1, int(slots * AGENTS_PART)))
    for_agents = spared if agents and budget > GUARANTEED_ABOVE else 0
    slots -= for_agents
    turns = sum(1 for size in groups.values() if size) > slots
    return Plan(budget, reserve, _shares(slots, groups), quarantine, turns, reason, for_agents)


def _shares(slots: int, groups: Mapping[str, int]) -> dict[str, int]:
    """Split the slots by number of domains. Each reader has at least one. What rounding leaves goes to the largest."""
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
    # The minimum of one may have made the sum too large. Then the readers that have the most give slots back.
    while sum(shares[name] for name in populated) > slots and max(shares[name] for name in populated) > 1:
        best = max(populated, key=lambda name: (shares[name] / groups[name], shares[name]))
        if shares[best] == 1:
            best = max(populated, key=lambda name: shares[name])
        shares[best] -= 1
    return shares
