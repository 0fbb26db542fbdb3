"""Pure: what a run was and what was found in it, in words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .invariants import Findings
from .model import FOREVER, Action, Deed, Story, Violation
from .schedule import Schedule

SHOWN = 5
"""Violations of each rule that are shown with what happened around them."""
LISTED = 500
"""How many of the others are listed at the most. All are counted."""
BEFORE, AFTER = 15.0, 5.0
"""Seconds around a violation from which is shown what happened."""
NEAR = 6
"""Points of the series before and after."""


def schedule_text(schedule: Schedule) -> str:
    """A schedule, an action a line."""
    lines = [f"seed {schedule.seed}, {schedule.seconds / 60:g} minutes, readers: {schedule.readers}"]
    lines += [_action(action) for action in schedule.actions]
    return "\n".join(lines)


def _action(action: Action) -> str:
    what = " ".join(part for part in (action.kind, *action.targets, action.detail) if part)
    return f"{action.begin:8.2f} s to {action.end:8.2f} s  {what}"


def full_text(schedule: Schedule, story: Story, findings: Findings) -> str:
    """All that is to be told of a run: what is wrong, with the schedule, and the summary."""
    lines = [summary(schedule, story, findings), row(schedule, story, findings)]
    if findings.violations:
        lines = [violations_text(story, findings.violations), "", schedule_text(schedule), "", *lines]
    return "\n".join(lines)


def summary(schedule: Schedule, story: Story, findings: Findings) -> str:
    """One paragraph about a run."""
    kinds = Counter(deed.kind for deed in story.deeds)
    deeds = ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))
    exits = max((run.exit_seconds for run in story.runs), default=0.0)
    held = max((held.held for held in story.held), default=0)
    stalls = sum(end - begin for begin, end in story.stalls)
    return (
        f"chaos: {(story.ended - story.began) / 60:.1f} minutes, seed {schedule.seed}, readers {schedule.readers}:"
        f" {len(story.deeds)} deeds ({deeds}); {findings.points} points, of which {findings.compared} compared with"
        f" their truth; {findings.demanded:.1f} hours of series demanded; slowest exit {exits:.2f} s;"
        f" most workers {held}; {len([line for line in story.log if 'virt2' in line.text])} log lines;"
        f" {stalls:.1f} s of stalls of the machine; {len(findings.violations)} violations"
    )


def row(schedule: Schedule, story: Story, findings: Findings) -> str:
    """The same as a row of the table in docs/reliability.md."""
    exits = max((run.exit_seconds for run in story.runs), default=0.0)
    cells = (
        schedule.seed,
        schedule.readers,
        f"{(story.ended - story.began) / 60:.0f}",
        len(story.deeds),
        findings.points,
        findings.compared,
        f"{findings.demanded:.1f}",
        f"{exits:.2f}",
        len(findings.violations),
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def violations_text(story: Story, violations: Sequence[Violation]) -> str:
    """What is wrong, each with what happened around it."""
    lines: list[str] = []
    for rule, number in sorted(Counter(violation.rule for violation in violations).items()):
        lines.append(f"{number} of the rule {rule}")
    shown: list[Violation] = []
    for violation in violations:
        if sum(1 for other in shown if other.rule == violation.rule) < SHOWN:
            shown.append(violation)
    for violation in shown:
        lines += ["", f"{_at(story, violation.time)}  {violation.rule}: {violation.subject}: {violation.text}"]
        lines += [f"    {text}" for text in _around(story, violation)]
    rest = [violation for violation in violations if violation not in shown]
    if rest:
        lines += ["", f"and {len(rest)} more:"]
        lines += [f"{_at(story, v.time)}  {v.rule}: {v.subject}: {v.text}" for v in rest[:LISTED]]
    return "\n".join(lines)


def _around(story: Story, violation: Violation) -> Iterator[str]:
    begin, end = violation.time - BEFORE, violation.time + AFTER
    for deed in story.deeds:
        if deed.began <= end and deed.ended >= begin:
            yield _deed(story, deed)
    for life in story.lives:
        if life.name == violation.subject and life.began <= end and life.ended >= begin:
            yield (
                f"life of {life.name} {life.uuid}: began {_at(story, life.began)}, up {_at(story, life.up)},"
                f" leaving {_at(story, life.leaving)}, ended {_at(story, life.ended)}"
            )
    for start, stop in story.stalls:
        if start <= end and stop >= begin:
            yield f"the machine stalled from {_at(story, start)} to {_at(story, stop)}"
    name = violation.text.partition(" ")[0]
    points = story.series.get((violation.subject, "virt2", name), ())
    near = [point for point in points if begin <= point[0] <= end]
    if near:
        yield f"points: {' '.join(f'{when - story.began:.2f}={_values(values)}' for when, values in near)}"
    for line in story.log:
        if begin <= line.time <= end and "virt2" in line.text:
            yield f"log {_at(story, line.time)}: {line.text}"


def _deed(story: Story, deed: Deed) -> str:
    what = " ".join(part for part in (deed.kind, *deed.targets, deed.detail) if part)
    times = (("began", deed.began), ("done", deed.done), ("undoing", deed.undoing), ("ended", deed.ended))
    return f"{what}: {', '.join(f'{word} {_at(story, when)}' for word, when in times)} {deed.note}".rstrip()


def _values(values: Iterable[float]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _at(story: Story, when: float) -> str:
    return (
        "never"
        if when == FOREVER
        else f"{when - story.began:.2f} s ({time.strftime('%H:%M:%S', time.localtime(when))})"
    )
