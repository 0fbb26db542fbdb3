"""Pure: what must be there and what must not, by what was really done.

A domain is healthy where nothing was done to it, or where that was over two intervals ago. `effects` is the table of
what each kind of deed excuses. What comes of several deeds at the same time stands in the functions below it, each with
its reason.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .model import (
    BLOCKED,
    CPU,
    DISK,
    EVERYTHING,
    FOREVER,
    GAP,
    MEMORY,
    NIC,
    RECOVERY,
    SLACK,
    TIMEOUT,
    Deed,
    Life,
    Span,
    Story,
    kind_of,
)

Kinds = frozenset[str]
NOTHING: Kinds = frozenset()
DISKS: Kinds = frozenset({DISK})
LIBVIRTS: Kinds = frozenset({MEMORY, DISK})
"""What only libvirt knows, where CPU time and interfaces are read off the kernel."""

WORKERS = 20
"""libvirtd's max_workers by default."""
FEW_WORKERS = 5
"""The least that it may be by default (min_workers), which it is while others hold all of them."""
UNKNOWN_BUDGET = 4
"""virt2's budget where libvirtd's limits cannot be read."""
BLIND_AFTER = 3.0
"""Seconds. A guest whose start or end takes longer is held back inside libvirtd, which holds its lock meanwhile."""


ENDING = ("come_and_go", "replace_guest", "return_guest", "crash_guest")
"""What ends guests."""
LIMITING = ("limit_workers", "fill_workers", "hide_admin")
"""What changes virt2's budget."""


class Effect(NamedTuple):
    """What a kind of deed excuses, from its begin until its end."""

    targets: Kinds = NOTHING
    """Kinds of series of the guests it is done to."""
    everyone: Kinds = NOTHING
    """Kinds of series of every domain."""
    silent: Kinds = NOTHING
    """Kinds of series, among the excused ones, that cannot be there while it surely is in force."""
    sticks: bool = False
    """Whether the monitors of its targets do not answer."""
    hangs: bool = False
    """Whether its first target is a storage that hangs."""
    locks: bool = False
    """Whether the locks of its targets are held, so that libvirt's list hangs."""
    is_away: bool = False
    """Whether libvirtd does not answer."""
    fills: bool = False
    """Whether libvirtd has no worker left, so that nothing can be asked of a domain that is new."""
    restarts: bool = False
    """Whether libvirtd is started at its end."""


def effects(from_kernel: bool) -> Mapping[str, Effect]:
    """What each kind of deed excuses.

    Arguments:
        from_kernel: whether CPU time and interfaces are read off the kernel; otherwise they are asked of libvirt.
    """
    away = LIBVIRTS | {BLOCKED} if from_kernel else LIBVIRTS | {BLOCKED, CPU, NIC}
    locked = LIBVIRTS if from_kernel else LIBVIRTS | {CPU}
    full = LIBVIRTS if from_kernel else LIBVIRTS | {CPU}
    return {
        "stop_guests": Effect(targets=DISKS, silent=DISKS, sticks=True),
        "hang_storage": Effect(hangs=True),
        "other_clients": Effect(targets=DISKS, silent=DISKS, sticks=True, hangs=True),
        "hot_plug": Effect(targets=locked, sticks=True, hangs=True, locks=True),
        "kill_libvirtd": Effect(everyone=away, silent=LIBVIRTS, is_away=True, restarts=True),
        "restart_libvirtd": Effect(everyone=away, is_away=True, restarts=True),
        "freeze_libvirtd": Effect(everyone=away, silent=LIBVIRTS, is_away=True),
        "fill_workers": Effect(targets=DISKS, everyone=full, sticks=True, fills=True),
        "limit_workers": Effect(),
        "hide_admin": Effect(),
        "restart_collectd": Effect(everyone=EVERYTHING, silent=EVERYTHING),
        "pause_guest": Effect(),
        "retag_guest": Effect(),
        # What these do shows in the lives of the guests.
        "come_and_go": Effect(),
        "replace_guest": Effect(),
        "return_guest": Effect(),
        "crash_guest": Effect(),
        "revive_guest": Effect(),
    }


class Excuse(NamedTuple):
    """Series that may be absent."""

    begin: float
    end: float
    domains: frozenset[str] | None
    """None for all."""
    kinds: Kinds
    why: str


class Demand(NamedTuple):
    """A stretch in which a series has to be there.

    Its first point has to come within `RECOVERY`, and no gap may be longer than `GAP` from then on.
    """

    domain: str
    series: str
    begin: float
    end: float


class Silence(NamedTuple):
    """A stretch in which a series cannot be there, apart from one point of a call that was under way."""

    domains: frozenset[str] | None
    """None for all."""
    kinds: Kinds
    begin: float
    end: float
    why: str


class Stuck(NamedTuple):
    """A stretch in which calls on some domains do not end."""

    begin: float
    end: float
    domains: frozenset[str]
    locked: bool = False
    """Whether their locks are held, so that each costs two calls, and the list hangs as well."""


class Expectations(NamedTuple):
    """What has to be true of all that was written."""

    demands: Sequence[Demand]
    silences: Sequence[Silence]
    healthy: Mapping[str, Sequence[Span]]
    """By domain, when nothing may be said against it."""
    stuck: Sequence[tuple[str, Span]]
    """Domains, and when each must be reported as blocked."""
    excuses: Sequence[Excuse]
    sticking: Sequence[Stuck]
    calms: Sequence[Span]
    """When nothing went on."""


def expect(story: Story, from_kernel: bool = True) -> Expectations:
    """What must be, by what was done.

    Arguments:
        from_kernel: see `effects`.
    """
    table = effects(from_kernel)
    locked = list(_given_up(story, table, table["hot_plug"].targets))
    frozen = list(_paused_on_dead_storage(story, table))
    sticking = list(_sticking(story, table, locked, frozen))
    short = list(_more_stuck_than_budget(story, sticking))
    excuses = [
        *_single(story, table),
        *locked,
        *frozen,
        *_lost(story, locked),
        *_unknown_to_a_new_collectd(story, table, locked),
        *short,
        *_stalled(story),
    ]
    blind = _blind(story, table)
    demands = [demand for life in story.lives for demand in _demands(life, story, excuses, blind)]
    healthy: dict[str, list[Span]] = {}
    for demand in demands:
        if demand.series == "disk_octets-vda":
            # A point has the time at which its read began, and tells what was so when the read ended.
            span = (demand.begin + RECOVERY + SLACK, demand.end - TIMEOUT - SLACK)
            healthy.setdefault(demand.domain, []).append(span)
    silences = list(_silences(story, table))
    stuck = list(_stuck(story, table, excuses, short, blind))
    return Expectations(demands, silences, healthy, stuck, excuses, sticking, _calms(story))


# Excuses


def _single(story: Story, table: Mapping[str, Effect]) -> Iterator[Excuse]:
    """What single deeds excuse."""
    for deed in story.deeds:
        effect = table[deed.kind]
        if effect.targets:
            yield Excuse(*deed.span, frozenset(deed.targets), effect.targets, deed.kind)
        if effect.everyone:
            yield Excuse(*deed.span, None, effect.everyone, deed.kind)


def _given_up(story: Story, table: Mapping[str, Effect], locked: Kinds) -> Iterator[Excuse]:
    """A libvirtd that is started connects to the QEMUs that run, and looks at their images.

    Where a QEMU or its storage does not answer, it holds the domain's lock until that is over, or gives the domain up.
    """
    for restart in _deeds(story, table, "restarts"):
        window = (restart.began, restart.ended + RECOVERY)
        for deed in story.deeds:
            if not overlap(window, deed.span):
                continue
            if table[deed.kind].sticks:
                yield Excuse(restart.began, deed.ended, frozenset(deed.targets), locked, "restart while stuck")
            if table[deed.kind].hangs:
                on = frozenset(life.name for life in story.lives if life.lies_on(deed.targets[0], window[1]))
                yield Excuse(restart.began, deed.ended, on, locked, "restart while storage hangs")


def _lost(story: Story, locked: Iterable[Excuse]) -> Iterator[Excuse]:
    """A domain that libvirtd gave up is none any more, but its QEMU ends only when its storage lets it.

    Arguments:
        locked: whose locks a libvirtd held that was started.
    """
    for excuse in locked:
        for life in story.lives:
            if (
                life.name in (excuse.domains or ())
                and excuse.begin <= life.leaving <= excuse.end + RECOVERY
                and not _was_meant_to_end(story, life)
            ):
                yield Excuse(excuse.begin, life.ended, frozenset({life.name}), EVERYTHING, "given up by libvirtd")


def _was_meant_to_end(story: Story, life: Life) -> bool:
    return any(
        deed.kind in ENDING and life.name in deed.targets and deed.began <= life.leaving <= deed.ended
        for deed in story.deeds
    )


def _paused_on_dead_storage(story: Story, table: Mapping[str, Effect]) -> Iterator[Excuse]:
    """QEMU waits for all requests of a guest that is paused, in its main loop: where the storage hangs, it freezes."""
    for pause in story.deeds:
        if pause.kind != "pause_guest":
            continue
        storages = {life.storage for life in story.lives if life.name in pause.targets}
        for deed in _deeds(story, table, "hangs"):
            if deed.targets[0] in storages and overlap(pause.span, deed.span):
                begin = max(pause.began, deed.began)
                end = max(pause.ended, deed.ended)
                yield Excuse(begin, end, frozenset(pause.targets), LIBVIRTS, "paused while storage hangs")


def _unknown_to_a_new_collectd(story: Story, table: Mapping[str, Effect], locked: Iterable[Excuse]) -> Iterator[Excuse]:
    """A collectd that has just been started knows of domains what libvirtd tells, and of locked ones nothing.

    Arguments:
        locked: whose locks a libvirtd held that was started.
    """
    for start in story.deeds:
        if start.kind != "restart_collectd":
            continue
        window = (start.began, start.ended + RECOVERY)
        for deed in story.deeds:
            effect = table[deed.kind]
            if (effect.is_away or effect.fills) and overlap(window, deed.span):
                yield Excuse(start.began, deed.ended, None, EVERYTHING, "collectd was started without libvirtd")
            if effect.locks and overlap(window, deed.span):
                yield Excuse(start.began, deed.ended, frozenset(deed.targets), EVERYTHING, "collectd was started")
        for excuse in locked:
            if overlap(window, (excuse.begin, excuse.end)):
                yield Excuse(start.began, excuse.end, excuse.domains, EVERYTHING, f"collectd was started, {excuse.why}")


def _sticking(
    story: Story, table: Mapping[str, Effect], locked: Iterable[Excuse], frozen: Iterable[Excuse]
) -> Iterator[Stuck]:
    """Which monitors do not answer, or whose locks are held.

    Arguments:
        locked: whose locks are held by what several deeds do together.
        frozen: whose monitors do not answer by that.
    """
    # A storage that hangs is among the targets, and is nobody's monitor.
    names = {life.name for life in story.lives}
    for deed in _deeds(story, table, "sticks"):
        yield Stuck(*deed.span, frozenset(names.intersection(deed.targets)), table[deed.kind].locks)
    for excuses, are_locked in ((locked, True), (frozen, False)):
        for excuse in excuses:
            yield Stuck(excuse.begin, excuse.end, frozenset(names.intersection(excuse.domains or ())), are_locked)


def _more_stuck_than_budget(story: Story, sticking: Sequence[Stuck]) -> Iterator[Excuse]:
    """Where more calls are stuck than the budget has slots for, disks of the others come late."""
    spans = [(stuck.begin, stuck.end) for stuck in sticking]
    times = {time for span in (*spans, *(deed.span for deed in story.deeds if deed.kind in LIMITING)) for time in span}
    visited = {time for span in spans for time in _starts(story.visits, span)}
    for when in sorted({*times, *visited}):
        number = _slots_held([stuck for stuck in sticking if stuck.begin <= when < stuck.end])
        # A change of the limits is known, and followed, within some time.
        for known_after in (0.0, RECOVERY):
            budget = _budget_at(story, when, known_after)
            if number > promised(budget):
                end = max(end for begin, end in spans if begin <= when < end)
                kinds = DISKS if budget > 2 else LIBVIRTS
                until = min(end, when + known_after) if known_after else end
                yield Excuse(when, until, None, kinds, f"{number} stuck with a budget of {budget}")
                break


def _slots_held(sticking: Iterable[Stuck]) -> int:
    """How many slots of the budget are stuck at the most.

    A monitor that does not answer costs one call. A lock that is held costs that of the list, and of its domain a
    second call, which shows what the first one waits for.
    """
    domains: set[str] = set()
    locked: set[str] = set()
    for stuck in sticking:
        domains |= stuck.domains
        if stuck.locked:
            locked |= stuck.domains
    return len(domains) + len(locked) + bool(locked)


def _budget_at(story: Story, when: float, known_after: float) -> int:
    """The least that virt2's budget may be then, where it knows a change of the limits so many seconds later."""
    limits = [deed for deed in story.deeds if deed.kind in ("limit_workers", "fill_workers")]
    most = [int(deed.detail or FEW_WORKERS) for deed in limits if deed.began <= when < deed.ended + known_after]
    if not any(deed.began + known_after <= when < deed.ended for deed in limits):
        most.append(WORKERS)
    budget = budget_of(min(most), sum(1 for begin, end in story.visits if begin <= when < end))
    hidden = [deed for deed in story.deeds if deed.kind == "hide_admin"]
    is_hidden = any(deed.began <= when < deed.ended + known_after for deed in hidden)
    return min(budget, UNKNOWN_BUDGET) if is_hidden else budget


def _stalled(story: Story) -> Iterator[Excuse]:
    """What did not get to run did not read, and what was asked meanwhile had no time to be answered."""
    for begin, end in story.stalls:
        yield Excuse(begin, end, None, EVERYTHING, "the machine stalled")


def budget_of(most: int, others: int) -> int:
    """virt2's budget by itself.

    Arguments:
        most: libvirtd's max_workers.
        others: how many of them others hold.
    """
    return max(1, min(most // 2, most - others - max(2, math.ceil(most / 5))))


def promised(budget: int) -> int:
    """How many monitors may be stuck without being seen, and every other domain is still read."""
    return budget - 2 if budget > 2 else budget - 1


# Demands


def _demands(life: Life, story: Story, excuses: Sequence[Excuse], blind: Sequence[Span]) -> Iterator[Demand]:
    for series, since in life.series().items():
        kind = kind_of(series)
        begin = max(story.began, _known_from(since, blind))
        end = min(life.leaving, story.ended)
        # Whether a monitor is blocked is told when a read ends, and has the time of its begin.
        told_after = TIMEOUT + SLACK if kind == BLOCKED else 0.0
        taken = [
            (excuse.begin - told_after, excuse.end)
            for excuse in excuses
            if kind in excuse.kinds and (excuse.domains is None or life.name in excuse.domains)
        ]
        for start, stop in without(taken, begin, end):
            if stop - start > RECOVERY + SLACK:
                yield Demand(life.name, series, start, stop)


def _known_from(since: float, blind: Iterable[Span]) -> float:
    """From when on something that is there since then can be known: libvirt has to tell of it."""
    known = since
    for begin, end in sorted(blind):
        if begin <= known + RECOVERY and end > known:
            known = end
    return known


def _blind(story: Story, table: Mapping[str, Effect]) -> list[Span]:
    """When libvirt's list does not come, what is new is not in it, or its description cannot be had."""
    hiding = [kind for kind, effect in table.items() if effect.is_away or effect.locks or effect.fills]
    found = [deed.span for deed in story.deeds if deed.kind in hiding]
    found += [(excuse.begin, excuse.end) for excuse in _given_up(story, table, NOTHING)]
    for life in story.lives:
        started = min(life.up, life.ended)
        found += [
            (begin, end)
            for begin, end in ((life.began, started), (life.leaving, life.ended))
            if end < FOREVER and end - begin > BLIND_AFTER
        ]
    return found


# The rest


def _silences(story: Story, table: Mapping[str, Effect]) -> Iterator[Silence]:
    for deed in story.deeds:
        effect = table[deed.kind]
        if effect.silent and deed.done < deed.undoing:
            domains = None if effect.silent <= effect.everyone else frozenset(deed.targets)
            yield Silence(domains, effect.silent, deed.done, min(deed.undoing, story.ended), deed.kind)


def _stuck(
    story: Story,
    table: Mapping[str, Effect],
    excuses: Sequence[Excuse],
    short: Sequence[Excuse],
    blind: Sequence[Span],
) -> Iterator[tuple[str, Span]]:
    """When domains must be reported as stuck.

    Arguments:
        short: when so many are stuck that there may be no worker left to ask others, nor any word of them.
    """
    silent = [
        (excuse.begin - TIMEOUT - SLACK, excuse.end + RECOVERY + SLACK)
        for excuse in excuses
        if excuse in short or (BLOCKED in excuse.kinds and excuse.domains is None)
    ]
    for deed in _deeds(story, table, "sticks"):
        if deed.done == FOREVER:
            continue
        for name in deed.targets:
            for life in story.lives:
                if life.name == name and life.began < deed.done < life.leaving:
                    # It is asked only when it is known.
                    asked = max(deed.done, _known_from(life.up, blind) + RECOVERY)
                    begin, end = asked + GAP + SLACK, min(deed.undoing, life.leaving) - TIMEOUT - SLACK
                    for span in without(silent, begin, end):
                        yield name, span


def _calms(story: Story) -> list[Span]:
    """The planned ones that really were calm."""
    found = []
    for begin, end in story.calms:
        ended = [deed.ended for deed in story.deeds if deed.began < end]
        start = max([begin, *ended])
        if start + RECOVERY < end:
            found.append((start, end))
    return found


def _deeds(story: Story, table: Mapping[str, Effect], what: str) -> Iterator[Deed]:
    return (deed for deed in story.deeds if getattr(table[deed.kind], what))


def _starts(spans: Iterable[Span], during: Span) -> Iterator[float]:
    return (begin for begin, _ in spans if during[0] <= begin < during[1])


def overlap(one: Span, other: Span) -> bool:
    """Whether two stretches have a moment in common."""
    return one[0] < other[1] and other[0] < one[1]


def without(taken: Iterable[Span], begin: float, end: float) -> Iterator[Span]:
    """What is left of a stretch without those that are taken."""
    for start, stop in sorted(taken):
        if stop <= begin:
            continue
        if start >= end:
            break
        if start > begin:
            yield begin, start
        begin = max(begin, stop)
    if begin < end:
        yield begin, end
