"""Pure: what must be true of all that was written, whatever happened. Each rule yields what breaks it."""

from __future__ import annotations

import bisect
import itertools
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from .expectations import Excuse, Expectations, effects
from .model import (
    COUNTERS,
    FOREVER,
    GAP,
    INTERVAL,
    MEMORY_TOTAL,
    MONITOR_BLOCKED,
    RECOVERY,
    SAMPLE_AGE,
    SLACK,
    TIMEOUT,
    Life,
    Point,
    Span,
    Story,
    Usage,
    Violation,
    kind_of,
)
from .truth import ROUNDED, Readings, check

Reading = Callable[[Life, str], Readings]
"""Tells the readings of a series of a life by type and type instance."""

PLUGIN = "virt2"
OWN_HOST = "collectd"
"""The host of what virt2 reports of itself."""
EXIT = 2.0
"""Seconds for collectd to end, whatever is stuck."""
MORE_THREADS = 22
"""Threads that stand in for stuck ones stay for a minute: half of the 40 workers that libvirtd has at the most, and
those of the list and of class A."""
MORE_DESCRIPTORS = 2 * MORE_THREADS + 4
"""Two for each connection, and those of files that are open for a moment."""
MORE_MEMORY = 8192
"""KiB"""
LINES = 20
"""Lines at start and at the end of the log."""
LINES_A_DEED = 10
LINES_A_DOMAIN = 6
"""Of each deed for each domain that it is about: a line and a notification when something begins and when it is over,
and notifications of states."""
COMPARED = 0.9
"""The part of the counters' points that must have readings before them."""
LATE_READ = 0.3
"""Seconds by which a read may end after its deadline, on a machine with other work."""
BUDGET_SEEN = INTERVAL + TIMEOUT + SLACK
"""Seconds for which a budget still counts that has just changed. It is told at the end of a read, and may change just
after that."""
FORBIDDEN = (
    "Traceback",
    "unexpected failure",
    "failed unexpectedly",
    "Value too old",
    "said once: ",
    "was lost, because",
)
"""Words that no line of the log may have."""
BLAMED = re.compile(r"domain (\S+): monitor blocked")


class Findings(NamedTuple):
    """What came of looking at everything."""

    points: int
    """Points of domains."""
    compared: int
    """Those of them that were compared with the kernel's or a QEMU's own counters."""
    demanded: float
    """Hours of series that had to be there."""
    violations: Sequence[Violation]


def examine(story: Story, expected: Expectations, readings: Reading) -> Findings:
    """Look at everything that was written."""
    found: list[Violation] = []
    for rule in RULES:
        found += rule(story, expected)
    compared, wrong = truth(story, expected, readings)
    points = sum(len(points) for (host, by, _), points in story.series.items() if by == PLUGIN and host != OWN_HOST)
    demanded = sum(demand.end - demand.begin for demand in expected.demands) / 3600
    return Findings(points, compared, demanded, sorted([*found, *wrong], key=lambda violation: violation.time))


def of_domains(story: Story) -> Iterator[tuple[str, str, Sequence[Point]]]:
    """Host, type and type instance, and points of every series of a domain."""
    for (host, by, name), points in story.series.items():
        if by == PLUGIN and host != OWN_HOST:
            yield host, name, points


def between(points: Sequence[Point], begin: float, end: float) -> Sequence[Point]:
    """The points from `begin` until `end`."""
    low = bisect.bisect_left(points, (begin, ()))
    return list(itertools.takewhile(lambda point: point[0] <= end, points[low:]))


# Rules


def gaps(story: Story, expected: Expectations) -> Iterator[Violation]:
    """No series of a healthy domain has a gap, and all are back soon after a fault."""
    for demand in expected.demands:
        points = between(story.series.get((demand.domain, PLUGIN, demand.series), ()), demand.begin, demand.end)
        times = [when for when, _ in points]
        due = demand.begin + RECOVERY + SLACK
        if not times or times[0] > due:
            after = f"{times[0] - demand.begin:.1f} s" if times else f"{demand.end - demand.begin:.1f} s at least"
            yield Violation("recovery", due, demand.domain, f"{demand.series} is not back for {after}")
        for one, two in zip(times, times[1:]):
            if two - one > GAP + ROUNDED:
                yield Violation("gap", one, demand.domain, f"{demand.series} has a gap of {two - one:.2f} s")
        if times and demand.end - times[-1] > GAP + ROUNDED:
            words = f"{demand.series} ends {demand.end - times[-1]:.2f} s too early"
            yield Violation("gap", times[-1], demand.domain, words)


def order(story: Story, _: Expectations) -> Iterator[Violation]:
    """The times of a series never run backwards, and no point comes twice."""
    for (host, by, name), points in story.series.items():
        if by.startswith(PLUGIN):
            for (one, _values), (two, _others) in zip(points, points[1:]):
                if two <= one:
                    yield Violation("order", two, host, f"{by} {name} goes from {one:.3f} to {two:.3f}")


def ghosts(story: Story, _: Expectations) -> Iterator[Violation]:
    """There are series of domains and devices that exist, and of no others.

    What libvirt tells may be said of a domain until its end is known. A counter of a process that is gone cannot be
    read.
    """
    lives: dict[str, list[Life]] = defaultdict(list)
    for life in story.lives:
        lives[life.name].append(life)
    for host, name, points in of_domains(story):
        kind = kind_of(name)
        if host not in lives or not kind:
            yield Violation("ghost", points[0][0], host, f"{name} is of no domain that there was, {len(points)} points")
            continue
        grace = ROUNDED if kind in COUNTERS else RECOVERY + SLACK
        spans = [
            (life.began - ROUNDED, story.later(life.ended, grace)) for life in lives[host] if name in life.possible()
        ]
        for when, _values in points:
            if not any(begin <= when <= end for begin, end in spans):
                yield Violation("ghost", when, host, f"{name} has a point, but there was nothing to measure")


def silences(story: Story, expected: Expectations) -> Iterator[Violation]:
    """What cannot be read is absent, apart from one point of a call that was under way."""
    for silence in expected.silences:
        for host, name, points in of_domains(story):
            if kind_of(name) in silence.kinds and (silence.domains is None or host in silence.domains):
                inside = between(points, silence.begin + ROUNDED, silence.end - ROUNDED)
                if len(inside) > 1:
                    words = f"{name} has {len(inside)} points while it cannot be read ({silence.why})"
                    yield Violation("silence", inside[1][0], host, words)


def health(story: Story, expected: Expectations) -> Iterator[Violation]:
    """Nothing is said against a domain that is well."""
    for domain, spans in expected.healthy.items():
        for begin, end in spans:
            for name, most in ((MONITOR_BLOCKED, 0.0), (SAMPLE_AGE, GAP)):
                for when, values in between(story.series.get((domain, PLUGIN, name), ()), begin, end):
                    if values[0] > most:
                        yield Violation("blame", when, domain, f"{name} is {values[0]:.2f} for a domain that is well")
    for line in story.log:
        blamed = BLAMED.search(line.text)
        if blamed and any(
            begin + 1 <= line.time and line.time + 1 <= end for begin, end in expected.healthy.get(blamed[1], ())
        ):
            yield Violation("blame", line.time, blamed[1], line.text)


def reported(story: Story, expected: Expectations) -> Iterator[Violation]:
    """A domain that is stuck is said to be."""
    for domain, (begin, end) in expected.stuck:
        for when, values in between(story.series.get((domain, PLUGIN, MONITOR_BLOCKED), ()), begin, end):
            if values[0] == 0:
                yield Violation("report", when, domain, f"{MONITOR_BLOCKED} is 0 for a domain that does not answer")


def memory(story: Story, _: Expectations) -> Iterator[Violation]:
    """The memory of a domain is what it has."""
    sizes: dict[str, set[float]] = defaultdict(set)
    for life in story.lives:
        sizes[life.name].add(float(life.memory))
    for host, name, points in of_domains(story):
        if name == MEMORY_TOTAL:
            for when, values in points:
                if not {*values} <= sizes[host]:
                    yield Violation("truth", when, host, f"{name} is {values[0]:.0f}")


def exits(story: Story, _: Expectations) -> Iterator[Violation]:
    """collectd ends when it is told to, soon and with success."""
    for run in story.runs:
        stalled = story.stalled(run.stopping, run.stopping + run.exit_seconds)
        if run.exit_seconds - stalled >= EXIT or run.exit_code != 0:
            words = f"it took {run.exit_seconds:.2f} s to end, with exit code {run.exit_code}"
            yield Violation("exit", run.stopping, "collectd", words)


def reads(story: Story, _: Expectations) -> Iterator[Violation]:
    """Every reader goes on reading, whatever hangs, and each read ends by its deadline."""
    for (host, by, name), points in story.series.items():
        if host != OWN_HOST or not by.startswith(f"{PLUGIN}-") or name != "duration-read":
            continue
        for run in story.runs:
            own = between(points, run.started, run.stopping)
            for (one, _values), (two, _others) in zip(own, own[1:]):
                # These points have the time at which their read ended.
                if two - one - story.stalled(one, two) > INTERVAL + TIMEOUT + LATE_READ:
                    yield Violation("read", one, by, f"it does not read for {two - one:.2f} s")
            for when, values in own:
                # Its time is that of its begin or of its end.
                if values[0] - story.stalled(when - values[0], when + values[0]) > TIMEOUT + LATE_READ:
                    yield Violation("read", when, by, f"a read took {values[0]:.2f} s")


def workers(story: Story, expected: Expectations) -> Iterator[Violation]:
    """All together hold no more of libvirtd's workers than virt2's budget, and one for each call of others.

    Calls that a collectd left behind when it was ended go on in libvirtd until their QEMU answers.
    """
    table = effects(True)
    budgets = story.series.get((OWN_HOST, f"{PLUGIN}-libvirtd", "gauge-budget"), ())
    sticking = [deed.span for deed in story.deeds if table[deed.kind].is_away]
    sticking += [(stuck.begin, stuck.end) for stuck in expected.sticking]
    for when, until, held, _most in story.held:
        first = when - BUDGET_SEEN - story.stalled(when - BUDGET_SEEN, when)
        last = story.later(until, BUDGET_SEEN)
        # The last one before was in force until the first of these was told.
        now = [values[0] for told_at, values in budgets if told_at < first][-1:]
        now += [values[0] for _, values in between(budgets, first, last)]
        if not now or held <= min(now):
            continue
        # A smaller budget does not end the calls that are stuck already.
        since = min(
            [begin for begin, end in sticking if begin <= until and when <= story.later(end, SLACK)], default=when
        )
        told = [*now, *(values[0] for _, values in between(budgets, min(first, since - BUDGET_SEEN), last))]
        others = sum(1 for begin, end in story.visits if begin <= until + SLACK and when <= story.later(end, SLACK))
        stuck = {
            name
            for each in expected.sticking
            if each.begin <= until and when <= story.later(each.end, SLACK)
            for name in each.domains
        }
        left = sum(1 for run in story.runs if since <= run.stopping <= until) * len(stuck)
        if held > max(told) + others + left:
            words = f"{held} are in use, with a budget of {max(told):.0f} and {others} calls of others"
            yield Violation("workers", when, "libvirtd", words)


def flat(story: Story, expected: Expectations) -> Iterator[Violation]:
    """A process of collectd holds as much in the end as at its begin."""
    for run in story.runs:
        own = [usage for usage in story.usage if run.started <= usage.time <= run.stopping]
        calm = [_typical(own, span) for span in expected.calms]
        levels = [usage for usage in calm if usage is not None]
        if len(levels) < 2:
            continue
        first, last = levels[0], levels[-1]
        most = max(usage.threads for usage in own)
        for what, grown, allowed in (
            ("descriptors", last.descriptors - first.descriptors, MORE_DESCRIPTORS),
            ("threads", last.threads - first.threads, MORE_THREADS),
            ("threads at the most", most - first.threads, MORE_THREADS),
            ("KiB of memory", last.memory - first.memory, MORE_MEMORY),
        ):
            if grown > allowed:
                yield Violation("growth", last.time, "collectd", f"{grown} more {what} than in its first calm stretch")


def _typical(usages: Iterable[Usage], span: Span) -> Usage | None:
    """What was held in the second half of a calm stretch."""
    middle = (span[0] + span[1]) / 2
    inside = [usage for usage in usages if middle <= usage.time <= span[1]]
    if not inside:
        return None
    numbers = [round(statistics.median(column)) for column in zip(*(usage[1:] for usage in inside))]
    return Usage(inside[-1].time, *numbers)


def log(story: Story, _: Expectations) -> Iterator[Violation]:
    """No line tells of a failure inside of virt2, and there are few lines for each fault."""
    for line in story.log:
        for words in FORBIDDEN:
            if words in line.text:
                yield Violation("log", line.time, "log", line.text)
                break
    names = {life.name for life in story.lives}
    everybody = [name for name in names if not name.startswith("extra-")]
    table = effects(True)
    allowed = LINES
    for deed in story.deeds:
        concerned = len(everybody) if table[deed.kind].everyone else len(names & set(deed.targets))
        allowed += LINES_A_DEED + LINES_A_DOMAIN * concerned
    # A machine that stalls may look like anything.
    allowed += len(story.stalls) * (LINES_A_DEED + LINES_A_DOMAIN * len(everybody))
    said = [line for line in story.log if PLUGIN in line.text]
    if len(said) > allowed:
        yield Violation("log", story.ended, "log", f"{len(said)} lines, where {allowed} are enough")


RULES: Sequence[Callable[[Story, Expectations], Iterator[Violation]]] = (
    gaps,
    order,
    ghosts,
    silences,
    health,
    reported,
    memory,
    exits,
    reads,
    workers,
    flat,
    log,
)


# Truth


def truth(story: Story, expected: Expectations, readings: Reading) -> tuple[int, list[Violation]]:
    """Every counter has a value that it really had at its time, and enough of them could be looked at.

    Returns:
        How many points were compared, and what was wrong.
    """
    points_of = {(host, name): points for host, name, points in of_domains(story)}
    compared, there, found = 0, 0, []
    for life in story.lives:
        if life.up == FOREVER:
            continue
        for name in sorted(life.possible()):
            kind = kind_of(name)
            if kind not in COUNTERS:
                continue
            points = between(points_of.get((life.name, name), ()), life.began, life.ended)
            excuses = [
                excuse
                for excuse in expected.excuses
                if kind in excuse.kinds and (excuse.domains is None or life.name in excuse.domains)
            ]
            latest = [_latest(when, excuses) for when, _ in points]
            number, wrong = check(life.name, name, kind, points, latest, readings(life, name))
            compared += number
            there += len(points)
            found += wrong
    if compared < COMPARED * there:
        words = f"only {compared} of {there} points of counters could be compared"
        found.append(Violation("truth", story.ended, "witness", words))
    return compared, found


def _latest(when: float, excuses: Iterable[Excuse]) -> float:
    """When a look that began then was over at the latest: a call waits for the end of what holds it back."""
    ends = [excuse.end + RECOVERY for excuse in excuses if excuse.begin <= when + TIMEOUT and when <= excuse.end]
    return max([when + TIMEOUT, *ends])
