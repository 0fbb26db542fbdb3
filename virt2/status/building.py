"""Makes answers of a snapshot. All of it is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from virt2.metrics import defaults
from virt2.model.domain import Domain, Status
from virt2.readers.partition import label_of
from virt2.readers.results import label_of_device
from virt2.status.answers import (
    BLOCKED,
    METADATA,
    NONE,
    NOT_ASKED,
    OK,
    STORAGE,
    CallRow,
    DomainRow,
    Domains,
    Hello,
    Limits,
    Monitor,
    Reach,
    ReaderRow,
    Since,
    StorageRow,
    ThePlan,
    Top,
    TopRow,
    Value,
)
from virt2.status.snapshot import Call, Crew, Facts, Moment, Snapshot
from virt2.version import VERSION
from virt2.workers import sizing
from virt2.workers.job import MONITOR, STALLED_AFTER

SUSPECTED = 2
"""Stuck domains on one storage domain from which it is suspected itself."""
RUNNING, PAUSED = 1, 3
"""libvirt's VIR_DOMAIN_RUNNING and VIR_DOMAIN_PAUSED."""
STATES = (
    "no state",
    "running",
    "blocked on a resource",
    "paused",
    "shutting down",
    "shut off",
    "crashed",
    "suspended by its guest",
)
"""virDomainState in words."""


def hello(snapshot: Snapshot) -> Hello:
    """Tell who answers."""
    about, moment = snapshot.about, snapshot.moment
    return {
        "version": VERSION,
        "pid": about.pid,
        "since": since(moment, about.started),
        "connection": about.connection,
        "libvirt": snapshot.server.version,
        "reach": reach(snapshot),
        "interval": about.interval,
        "readers": [crew.name for crew in snapshot.crews if crew.domains is not None],
    }


def domains(snapshot: Snapshot) -> Domains:
    """Tell of all domains."""
    active = sorted(snapshot.domains, key=lambda domain: (domain.name, domain.uuid))
    running = {domain.uuid for domain in active}
    statuses = snapshot.statuses
    idle = [] if statuses is None else [one for one in statuses.domains if not one.active and one.uuid not in running]
    idle.sort(key=lambda status: (status.name, status.uuid))
    calls = monitor_calls(snapshot)
    return {
        "reach": reach(snapshot),
        "listed": maybe_since(snapshot.moment, snapshot.listed_at),
        "states_read": maybe_since(snapshot.moment, None if statuses is None else statuses.asked),
        "domains": [*(domain_row(snapshot, domain, calls) for domain in active), *map(inactive_row, idle)],
    }


def limits(snapshot: Snapshot) -> Limits:
    """Tell what libvirtd can bear, what follows from that, and what is held now."""
    server, slots, moment = snapshot.server, snapshot.slots, snapshot.moment
    word = server.limits
    age = server.limits_age
    in_flight = [call for call in snapshot.calls if not call.cut_off]
    return {
        "reach": reach(snapshot),
        "admin": {
            "known": word is not None,
            "reason": "" if word is not None else server.limits_reason,
            "asked": None if age is None else {"time": moment.wall - age, "seconds": age},
            "max_workers": None if word is None else word.max_workers,
            "workers": None if word is None else word.workers,
            "free_workers": None if word is None else word.free_workers,
            "priority_workers": None if word is None else word.priority_workers,
            "job_queue_depth": None if word is None else word.job_queue_depth,
            "clients": None if word is None else word.clients,
            "max_clients": None if word is None else word.max_clients,
        },
        "plan": _plan(snapshot),
        "held": {
            "used": slots.used,
            "in_flight": len(in_flight),
            "charged": len(snapshot.calls) - len(in_flight),
            "stuck": sum(1 for call in in_flight if is_stuck(moment, call)),
            "free": max(0, slots.size - slots.used),
        },
        "calls": call_rows(snapshot, snapshot.calls),
        "connects": {
            "pending": slots.connects,
            "since": maybe_since(moment, slots.connects_since),
            "refusal": slots.refusal,
        },
        "silent": server.silent,
        "out_of_workers": server.out_of_workers,
    }


def top(snapshot: Snapshot) -> Top:
    """Tell what a viewer shows."""
    calls = monitor_calls(snapshot)
    blocked = {uuid: facts.blocked_since for uuid, facts in snapshot.facts.items() if facts.blocked_since is not None}

    def order(domain: Domain) -> tuple[bool, float, str, str]:
        return domain.uuid not in blocked, blocked.get(domain.uuid, 0.0), domain.name, domain.uuid

    rows: list[TopRow] = [
        {**domain_row(snapshot, domain, calls), "values": _values(domain, snapshot.facts.get(domain.uuid))}
        for domain in sorted(snapshot.domains, key=order)
    ]
    stuck = Counter(snapshot.readers.get(domain.uuid) for domain in snapshot.domains if domain.uuid in blocked)
    return {
        "time": snapshot.moment.wall,
        "interval": snapshot.about.interval,
        "reach": reach(snapshot),
        "domains": rows,
        "storage": storage_rows(snapshot),
        "readers": [_reader_row(snapshot.moment, crew, stuck) for crew in snapshot.crews],
    }


def since(moment: Moment, when: float) -> Since:
    """Tell of a moment in monotonic seconds."""
    return {"time": moment.wall_of(when), "seconds": moment.since(when)}


def maybe_since(moment: Moment, when: float | None) -> Since | None:
    """Tell of a moment that may not be known."""
    return None if when is None else since(moment, when)


def reach(snapshot: Snapshot) -> Reach:
    """Tell whether libvirt can be reached."""
    link = snapshot.server.link
    if link is None:
        return {"state": "never connected", "since": None, "reason": "", "silent": snapshot.server.silent}
    return {
        "state": "up" if link.up else "down",
        "since": since(snapshot.moment, link.since),
        "reason": "" if link.up else link.reason,
        "silent": snapshot.server.silent,
    }


def is_stuck(moment: Moment, call: Call) -> bool:
    """Whether a call takes longer than calls take."""
    return moment.since(call.since) > STALLED_AFTER


def monitor_calls(snapshot: Snapshot) -> dict[str, Call]:
    """Give the call that is in flight for each domain's monitor, by UUID."""
    return {call.uuid: call for call in snapshot.calls if call.kind == MONITOR and not call.cut_off}


def domain_row(snapshot: Snapshot, domain: Domain, calls: Mapping[str, Call]) -> DomainRow:
    """Tell of an active domain. The calls are those of `monitor_calls`."""
    facts = snapshot.facts.get(domain.uuid)
    label = label_of(domain, snapshot.about.partition_by)
    is_tag = label == domain.description.tag and "tag" in snapshot.about.partition_by
    seen = None if facts is None else facts.first_seen if facts.complete is None else facts.complete
    return {
        "name": domain.name,
        "uuid": domain.uuid,
        "id": domain.id if domain.id >= 0 else None,
        "active": True,
        "state": _state(snapshot, domain, facts),
        "tag": label,
        "tag_source": NONE if not label else METADATA if is_tag else STORAGE,
        "storage": list(domain.description.storage),
        "reader": snapshot.readers.get(domain.uuid),
        "monitor": _monitor(snapshot, facts, calls.get(domain.uuid)),
        "sample_age": None if seen is None else snapshot.moment.since(seen),
        "skipped": facts is not None and facts.skipped,
        "cpu_off_kernel": _is_off_kernel(facts),
    }


def inactive_row(status: Status) -> DomainRow:
    """Tell of a domain that is not active."""
    return {
        "name": status.name,
        "uuid": status.uuid,
        "id": None,
        "active": False,
        "state": _word(status.state),
        "tag": "",
        "tag_source": NONE,
        "storage": [],
        "reader": None,
        "monitor": {"state": NOT_ASKED, "cause": "the domain is not active", "since": None},
        "sample_age": None,
        "skipped": False,
        "cpu_off_kernel": None,
    }


def call_rows(snapshot: Snapshot, calls: Iterable[Call]) -> list[CallRow]:
    """Tell of calls that hold slots."""
    names = {domain.uuid: domain.name for domain in snapshot.domains}
    return [
        {
            "domain": names.get(call.uuid, ""),
            "uuid": call.uuid,
            "kind": call.kind,
            "call": call.what,
            "since": since(snapshot.moment, call.since),
            "stuck": is_stuck(snapshot.moment, call),
            "cut_off": call.cut_off,
            "storage": sorted(call.storage),
        }
        for call in calls
    ]


def storage_rows(snapshot: Snapshot) -> list[StorageRow]:
    """Tell of all storage domains, the suspected ones first."""
    number: Counter[str] = Counter()
    stuck: dict[str, list[str]] = {}
    for domain in snapshot.domains:
        facts = snapshot.facts.get(domain.uuid)
        for name in domain.description.storage:
            number[name] += 1
            if facts is not None and facts.blocked_since is not None:
                stuck.setdefault(name, []).append(domain.name)
    suspended = suspended_storage(snapshot)
    rows: list[StorageRow] = [
        {
            "name": name,
            "domains": number[name],
            "stuck": sorted(stuck.get(name, ())),
            "suspended": name in suspended,
            "suspected": name in suspended or len(stuck.get(name, ())) >= SUSPECTED,
        }
        for name in number.keys() | suspended
    ]
    return sorted(rows, key=lambda row: (not row["suspected"], row["name"]))


def suspended_storage(snapshot: Snapshot) -> frozenset[str]:
    """Give the storage domains that a call touches which should have come back."""
    late = [call.storage for call in snapshot.calls if snapshot.moment.since(call.since) >= snapshot.about.timeout]
    return frozenset().union(*late)


def _plan(snapshot: Snapshot) -> ThePlan:
    plan, slots, about = snapshot.plan, snapshot.slots, snapshot.about
    word = snapshot.server.limits
    reserve = f"libvirtd's limits are unknown: {snapshot.server.limits_reason}"
    if word is not None:
        reserve = (
            f"{sizing.RESERVED_PART:.0%} of libvirtd's {word.max_workers} workers, and at least"
            f" {sizing.SMALLEST_RESERVE}, are left to others"
        )
    set_aside = f"with a budget of {sizing.GUARANTEED_ABOVE} or less none is set aside"
    if slots.set_aside:
        set_aside = "kept for calls that need libvirtd alone, and for domains that go on answering while others do not"
    quarantine = "no option asks for what touches the storage"
    if about.touches_storage:
        quarantine = f"{sizing.QUARANTINED_PART:.0%} of the slots, at least one, are for what touches the storage"
    agents = "no option asks guests' agents"
    if about.asks_agents:
        agents = (
            f"{sizing.AGENTS_PART:.0%} of the other slots, at least one and at most {sizing.MOST_AGENTS}, are for"
            " guests' agents, but never the last one"
        )
    sizes = {crew.name: crew.domains or 0 for crew in snapshot.crews}
    total = sum(sizes.get(name, 0) for name in plan.shares)
    left = max(1, plan.budget - slots.set_aside - plan.quarantine - plan.agents)
    turns = "; there are more readers than slots, so they take turns" if plan.turns else ""
    return {
        "budget": {"value": plan.budget, "reason": plan.reason},
        "reserve": {"value": plan.reserve, "reason": reserve},
        "set_aside": {"value": slots.set_aside, "reason": set_aside},
        "shares": [
            {
                "reader": name,
                "domains": sizes.get(name, 0),
                "share": {
                    "value": share,
                    "reason": f"{sizes.get(name, 0)} of {total} domains; the readers share {left} slots by domains, and"
                    f" each has at least one{turns}",
                },
            }
            for name, share in plan.shares.items()
        ],
        "quarantine": {"value": plan.quarantine, "reason": quarantine},
        "agents": {"value": plan.agents, "reason": agents},
        "turns": plan.turns,
    }


def _word(state: int) -> str:
    return STATES[state] if 0 <= state < len(STATES) else f"state {state}, which this version does not know"


def _state(snapshot: Snapshot, domain: Domain, facts: Facts | None) -> str | None:
    """The state of an active domain. The list tells which are paused; libvirt's last word on a domain tells the rest.

    That word is asked for again when libvirt tells that the state has changed.
    """
    known = None if facts is None or facts.known is None else facts.known.info.state
    if snapshot.paused is None:
        return None if known is None else _word(known)
    if domain.uuid in snapshot.paused:
        return _word(PAUSED)
    return _word(RUNNING if known is None or known == PAUSED else known)


def _monitor(snapshot: Snapshot, facts: Facts | None, call: Call | None) -> Monitor:
    """How a domain's monitor is, by the first of these cases that holds."""
    if facts is None:
        return _not_asked("no read has come to this domain yet")
    if facts.blocked_since is not None:
        return {
            "state": BLOCKED,
            "cause": facts.cause or "the cause is not known yet",
            "since": since(snapshot.moment, facts.blocked_since),
        }
    if snapshot.server.link is not None and not snapshot.server.link.up:
        return _not_asked("libvirt cannot be reached")
    if facts.incoming:
        return _not_asked("the domain is being moved or built")
    if not facts.monitored:
        return _not_asked("nothing is asked of it")
    if call is not None and is_stuck(snapshot.moment, call):
        return _not_asked(f"its answer to {call.what or 'a call'} is still waited for")
    if facts.skipped:
        return _not_asked("the last read had no time or no slot for it")
    if facts.answered is None:
        return _not_asked("no read has used it yet")
    return {"state": OK, "cause": "", "since": None}


def _not_asked(cause: str) -> Monitor:
    return {"state": NOT_ASKED, "cause": cause, "since": None}


def _is_off_kernel(facts: Facts | None) -> bool | None:
    """Whether the newest CPU time is the kernel's. libvirt's is of the same moment as its last word on the domain."""
    sample = None if facts is None else facts.last.get((defaults.CPU_TIME, ""))
    if facts is None or sample is None:
        return None
    return facts.known is None or facts.known.asked != sample.taken


def _values(domain: Domain, facts: Facts | None) -> list[Value]:
    """The last value of each default metric of a domain."""
    samples = {} if facts is None else facts.last
    return [
        {
            "type": metric.type,
            "instance": metric.type_instance,
            "time": sample.time,
            "values": list(metric.values),
        }
        for (call, target), sample in samples.items()
        for metric in defaults.MAPPING[call](sample.reply, label_of_device(call, target, domain.description))
    ]


def _reader_row(moment: Moment, crew: Crew, stuck: Mapping[str | None, int]) -> ReaderRow:
    return {
        "name": crew.name,
        "domains": crew.domains,
        "stuck": None if crew.domains is None else stuck.get(crew.name, 0),
        "skipped": list(crew.skipped),
        "share": crew.share,
        "workers": crew.workers,
        "workers_busy": crew.busy,
        "workers_stuck": crew.stalled,
        "workers_connecting": crew.connecting,
        "last_read": None if crew.began is None else {"began": since(moment, crew.began), "seconds": crew.took},
    }
