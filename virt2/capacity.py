"""libvirtd's capacity followed: how many of its workers we may hold, who of the readers may hold how many, in words.

The decision itself is `virt2.workers.sizing`. Here it is put into effect, and what libvirtd lacks is said.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from virt2.metrics.metric import Metric, gauge
from virt2.model.limits import Limits
from virt2.once import Conditions
from virt2.version import VERSION
from virt2.workers import connects, sizing
from virt2.workers.budget import Budget
from virt2.workers.pool import Pool

CHANGES_SAID = 3
CHANGES_WITHIN = 60.0
"""At most this many changes of plan are said in this many seconds."""

Lines = list[tuple[int, str]]
"""Lines to log, each with its level. Whoever gets them logs them when it holds no lock."""


class Link(Protocol):
    """Whether libvirt can be reached."""

    @property
    def up(self) -> bool:
        """It can."""


class Inventory(Protocol):
    """What the list of domains shows of libvirtd (see `virt2.domains.inventory.Inventory`)."""

    @property
    def libvirt_version(self) -> str:
        """Of the libvirt at the other end; empty before the first connection."""

    @property
    def listed(self) -> bool:
        """Whether there is a complete list."""

    @property
    def link(self) -> Link | None:
        """The connection of the list; None before the first attempt."""

    @property
    def silent(self) -> bool:
        """Whether nothing was answered for long."""

    @property
    def out_of_workers(self) -> bool:
        """Whether libvirtd answers lists, and nothing that takes a worker."""

    def hung_for(self) -> float:
        """Seconds for which the list has hung; 0 where it does not."""


class Poller(Protocol):
    """What libvirtd's admin interface says (see `virt2.sources.admin_poller.AdminPoller`)."""

    @property
    def age(self) -> float | None:
        """Seconds since the last answer; None without one."""

    @property
    def reason(self) -> str:
        """Why the limits are unknown, in words; empty when they are known."""

    def limits(self) -> Limits | None:
        """The last answer; None where there is none that is young enough."""


class OtherClients(Protocol):
    """What was known of our own calls when libvirtd's workers were counted."""

    held: int
    """Workers that our calls held at that time."""


class Needs(NamedTuple):
    """What the settings ask of libvirtd."""

    connection: str
    """The URI, as it was configured."""
    interval: float
    """Seconds between two reads."""
    workers: int | None
    """Workers to hold at most; None to follow libvirtd's limits."""
    storage: bool
    """Whether any call touches the storage of domains."""
    agents: bool
    """Whether guests' agents are asked."""
    patience: float
    """Seconds after which something that does not answer is worth a line (``StuckAfter``)."""
    cpu_source: Callable[[], str] = lambda: ""
    """Tells in words where CPU time comes from; empty where nothing is known of that yet."""


class Pools(NamedTuple):
    """All pools of workers that a plan gives shares to."""

    readers: Mapping[str, Pool]
    storage: Pool
    agents: Pool


class Capacity:
    """Follows libvirtd's limits and the domains.

    Arguments:
        needs: what the settings ask for.
        budget: how many workers are held; resized here.
        poller: libvirtd's word on its limits.
        other_clients: how many workers were ours when it gave that.
        inventory: the list of domains.
        conditions: where it is said that something is wrong, and that it is over.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        needs: Needs,
        budget: Budget,
        poller: Poller,
        other_clients: OtherClients,
        inventory: Inventory,
        conditions: Conditions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._needs = needs
        self._budget = budget
        self._poller = poller
        self._other_clients = other_clients
        self._inventory = inventory
        self._conditions = conditions
        self._clock = clock
        self._said: sizing.Plan | None = None
        """The plan that was said last."""
        self._changes: deque[float] = deque(maxlen=CHANGES_SAID)

    def __repr__(self) -> str:
        return f"<Capacity {self._said}>"

    @property
    def is_announced(self) -> bool:
        """Whether a plan was logged."""
        return self._said is not None

    def plan(self, sizes: Mapping[str, int]) -> sizing.Plan:
        """The plan for readers with these numbers of domains, by libvirtd's limits as they are now."""
        return sizing.plan(
            self._needs.workers,
            self._poller.limits(),
            self._poller.reason,
            self._other_clients.held,
            sizes,
            storage=self._needs.storage,
            agents=self._needs.agents,
        )

    def follow(self, sizes: Mapping[str, int], pools: Pools) -> Lines:
        """Put the plan of this moment into effect; returns the lines that are to be said of it.

        Not for two threads at a time.
        """
        plan = self.plan(sizes)
        self._budget.resize(plan.budget)
        for name, share in plan.shares.items():
            pools.readers[name].share = share
        pools.storage.share = plan.quarantine
        pools.agents.share = plan.agents
        before = self._said
        if not self._inventory.listed:
            return []
        lines: Lines = []
        if before is None:
            lines.append((logging.INFO, self._start_line(plan, sizes)))
        elif (before.budget, before.turns) != (plan.budget, plan.turns):
            if not self._note_change():
                return []
            text = f"budget of libvirtd workers now {plan.budget}, was {before.budget}: {plan.reason}"
            lines.append((logging.INFO, text))
        self._said = plan
        if plan.turns and (before is None or not before.turns):
            text = (
                f"{len(plan.shares)} readers share {plan.budget} of libvirtd's workers and take turns: a storage domain"
                " that hangs delays others"
            )
            lines.append((logging.WARNING, text))
        return lines

    def is_silent(self) -> bool:
        """Whether libvirtd seems to answer nobody."""
        age = self._poller.age
        return self._inventory.silent and (age is None or age > self._inventory.hung_for())

    def explains(self, skipped: Collection[str]) -> bool:
        """Whether what a read left out has a reason that lies in libvirtd as a whole, for which there is a line."""
        return bool(skipped) and (
            self.is_silent()
            or self._inventory.out_of_workers
            or self._budget.calls_wait
            or bool(self._lack_of_connections())
        )

    def watch(self, waits_outside: bool) -> None:
        """Say what libvirtd lacks, and when that is over.

        Arguments:
            waits_outside: a call of ours waits for another program of the host, and holds a domain's lock meanwhile.
                Another line says so.
        """
        silent, hung, wait = self.is_silent(), self._inventory.hung_for(), self._budget.calls_wait
        full = self._inventory.out_of_workers or wait
        overdue = hung > self._needs.patience and not waits_outside
        self._watch_connections(silent)
        self._conditions.update(
            overdue and silent, f"libvirtd has not answered for {hung:.0f} s", "libvirtd answers again"
        )
        self._conditions.update(
            overdue and not silent and not full and not self._budget.connects.includes(self._inventory),
            f"libvirt's list of domains hangs for {hung:.0f} s, because a domain's lock is held: the last one is used",
            "libvirt's list of domains is back",
        )
        # A call for a domain that is being destroyed waits for a moment, and may be the only one.
        since = self._budget.stalled_since(monitors=wait)
        lasting = since is not None and self._clock() - since > self._needs.patience
        self._conditions.update(
            full and lasting,
            f"libvirtd has no worker left for us{self._starved()}: until it has, only what needs none is reported"
            " (interfaces, and CPU time where it is read off the kernel)",
            "libvirtd has workers again",
        )

    def metrics(self) -> list[Metric]:
        """The budget and libvirtd's limits, as they are reported."""
        limits = self._poller.limits()
        values = [gauge("budget", self._budget.size)]
        if limits is not None:
            values += [
                gauge("workers_max", limits.max_workers),
                gauge("workers_current", limits.workers),
                gauge("workers_free", limits.free_workers),
                gauge("workers_priority", limits.priority_workers),
                gauge("job_queue_depth", limits.job_queue_depth),
            ]
        return values

    def _watch_connections(self, silent: bool) -> None:
        """Say that connections do not come, where libvirtd is not silent altogether.

        That one comes does not end it while another one is waited for: slow connections come one by one.
        """
        link = self._inventory.link
        down = link is not None and not link.up
        lack = "" if silent or down else self._lack_of_connections()
        if link is not None and lack:
            lack += "; the domains are asked over the connections there are"
        if lack or not self._budget.connects.pending:
            self._conditions.update(bool(lack), lack, "libvirtd answers attempts to connect again")

    def _starved(self) -> str:
        """In words that libvirtd starts no workers although it may; empty where that is not so."""
        limits = self._poller.limits()
        if limits is None or not limits.starved:
            return ""
        return (
            f", and has started {limits.workers} of {limits.max_workers} only, as happens when many calls come at once"
            f" (virt-admin server-threadpool-set libvirtd --min-workers {limits.max_workers} helps at once, and"
            f" min_workers = {limits.max_workers} in its configuration from its next start)"
        )

    def _lack_of_connections(self) -> str:
        """In words that workers do not get connections; empty where they do."""
        return connects.lack(
            self._budget.connects,
            self._clock(),
            self._needs.patience,
            self._poller.limits(),
            self._poller.reason,
        )

    def _note_change(self) -> bool:
        """Remember that a change of plan is logged. Returns False where it must not be, after many of them lately.

        Where others come and go, a later change is logged.
        """
        now = self._clock()
        if len(self._changes) == CHANGES_SAID and now - self._changes[0] < CHANGES_WITHIN:
            return False
        self._changes.append(now)
        return True

    def _start_line(self, plan: sizing.Plan, sizes: Mapping[str, int]) -> str:
        readers = ", ".join(f"{name} ({size} domains, {plan.shares[name]} workers)" for name, size in sizes.items())
        source = self._needs.cpu_source()
        weak = "" if plan.budget > sizing.GUARANTEED_ABOVE else ", too few to set one aside for domains that answer"
        return (
            f"version {VERSION}, libvirt {self._inventory.libvirt_version} at {self._needs.connection},"
            f" {sum(sizes.values())} domains every {self._needs.interval:g} s, readers: {readers};"
            f" budget {plan.budget} of libvirtd's workers: {plan.reason}{weak}{source and '; CPU time is ' + source}"
        )
