"""Takes snapshots of a virt2 that runs: copies references, and waits for nobody but locks of bookkeeping.

Nothing here asks libvirt, makes groups or gives names, so that whoever asks what virt2 knows changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from virt2.domains.health import Health
from virt2.model.limits import Limits
from virt2.readers.context import CLOCKS, Clocks, Domains
from virt2.readers.reader import Reader
from virt2.status.snapshot import About, Call, Crew, Facts, Moment, Server, Slots, Snapshot
from virt2.workers.budget import Budget
from virt2.workers.pool import Pool
from virt2.workers.sizing import Plan


class Poller(Protocol):
    """What libvirtd's admin interface says (see `virt2.sources.admin_poller.AdminPoller`)."""

    @property
    def age(self) -> float | None:
        """Seconds since the last answer was asked for; None without one."""

    @property
    def reason(self) -> str:
        """Why the limits are unknown, in words; empty when they are known."""

    def limits(self) -> Limits | None:
        """The last answer; None where there is none that is young enough."""


class Crews(NamedTuple):
    """Who has workers."""

    readers: Mapping[str, Reader]
    """By name. More of them may come at any time."""
    pools: Mapping[str, Pool]
    """The workers of each of them, by its name."""
    others: Mapping[str, Pool] = {}
    """The workers of whoever else reads, by the names that messages call them."""


class Watched(NamedTuple):
    """What is looked at. All of it goes on meanwhile."""

    domains: Domains
    budget: Budget
    poller: Poller
    plan: Callable[[Mapping[str, int]], Plan]
    """Gives what follows from the settings, the limits and these numbers of domains, and puts nothing into effect."""
    is_silent: Callable[[], bool]
    """Whether libvirtd seems to answer nobody."""
    crews: Crews


class Observer:
    """Takes snapshots. Any thread may, also several at a time.

    Arguments:
        watched: what is looked at.
        about: what does not change.
        clocks: the time of each snapshot.
    """

    def __init__(self, watched: Watched, about: About, clocks: Clocks = CLOCKS) -> None:
        self._watched = watched
        self._about = about
        self._clocks = clocks

    def __repr__(self) -> str:
        return f"<Observer {self._watched.domains.inventory!r}>"

    def take(self) -> Snapshot:
        """Take a snapshot."""
        watched, (inventory, _, groups, all_healths, names, _) = self._watched, self._watched.domains
        moment = Moment(self._clocks.monotonic(), self._clocks.wall())
        listed_at, paused = inventory.listed_at, inventory.paused
        domains = inventory.domains()[1]
        sizes = {name: len(group) for name, group in groups.made.groups.items()}
        healths = all_healths.all()
        known = [(domain.uuid, healths[domain.uuid]) for domain in domains if domain.uuid in healths]
        return Snapshot(
            moment=moment,
            about=self._about,
            server=self._server(),
            slots=self._slots(),
            plan=watched.plan(sizes),
            domains=domains,
            listed_at=listed_at,
            paused=paused,
            statuses=inventory.inactive or inventory.statuses,
            readers=groups.assigned,
            facts={uuid: _facts(health) for uuid, health in known},
            identities=names.known(),
            calls=self._calls(),
            crews=self._crews(),
        )

    def _server(self) -> Server:
        inventory, poller = self._watched.domains.inventory, self._watched.poller
        return Server(
            version=inventory.libvirt_version,
            link=inventory.link,
            hung_for=inventory.hung_for(),
            silent=self._watched.is_silent(),
            answered_at=self._watched.budget.answered_at,
            out_of_workers=inventory.out_of_workers,
            limits=poller.limits(),
            limits_age=poller.age,
            limits_reason=poller.reason,
        )

    def _slots(self) -> Slots:
        budget = self._watched.budget
        connects = budget.connects
        return Slots(budget.size, budget.used, budget.set_aside, connects.pending, connects.since, connects.refusal)

    def _calls(self) -> list[Call]:
        budget = self._watched.budget
        calls = [
            Call(uuid, kind, job.what, job.since, job.storage) for (uuid, kind), job in budget.in_flight.copy().items()
        ]
        calls += [
            Call(uuid, kind, charge.what, charge.since, charge.storage, cut_off=True)
            for (uuid, kind), charge in budget.charges.copy().items()
        ]
        calls.sort(key=lambda call: call.since)
        return calls

    def _crews(self) -> list[Crew]:
        watched, crews = self._watched.crews, []
        for name, reader in tuple(watched.readers.items()):
            last = reader.last_read
            crew = _crew(name, watched.pools[name])
            crew = crew._replace(domains=reader.domains, skipped=tuple(reader.skipped))
            crews.append(crew if last is None else crew._replace(began=last.began, took=last.took))
        return [*crews, *(_crew(name, pool) for name, pool in watched.others.items())]


def _crew(name: str, pool: Pool) -> Crew:
    return Crew(name, pool.share, pool.workers, pool.busy, pool.stalled, pool.connecting)


def _facts(health: Health) -> Facts:
    return Facts(
        health.first_seen,
        health.answered,
        health.complete,
        health.blocked_since,
        health.cause,
        health.monitored,
        health.skipped,
        health.incoming,
        health.known,
        health.newest.copy(),
        health.last.copy(),
    )
