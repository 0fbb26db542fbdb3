"""What a run says: each failure with what repeats it, and a table of counts."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterable

from tests.fuzz.session import Failure, Outcome
from tests.fuzz.target import Plain

LONGEST = 4000
"""Characters of an input's repr that are shown. A longer input is repeated by its seed."""
MIB = 1 << 20


def describe(failure: Failure) -> str:
    """Describe a failure: what, where, by which input, and which commands repeat it."""
    written = repr(failure.data)
    shown = written if len(written) <= LONGEST else f"{written[:LONGEST]}... ({len(written)} characters)"
    lines = [
        f"FAILURE of {failure.target}: {failure.kind} {failure.place}".rstrip(),
        *(f"    {line}" for line in failure.words.splitlines()),
        f"  seed {failure.seed}, input {failure.position}; made small: {shown}",
        f"  again: scripts/fuzz --only {failure.target} --seed {failure.seed} --inputs {failure.position + 1}",
    ]
    if len(written) <= LONGEST:
        lines.append(f"     or: scripts/fuzz --only {failure.target} --input {shlex.quote(ascii(failure.data))}")
    return "\n".join(lines)


def read(written: str) -> Plain:
    """Read the repr of an input. Raise ValueError where it is none."""
    try:
        tree = _Numbers().visit(ast.parse(written.strip(), mode="eval"))
        return ast.literal_eval(tree)
    except (SyntaxError, RecursionError) as error:
        raise ValueError(f"this is no input: {error}") from error


class _Numbers(ast.NodeTransformer):
    """Reads ``inf`` and ``nan``, which have a repr but are no literals."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(float(node.id)) if node.id in ("inf", "nan") else node


def table(outcomes: Iterable[Outcome]) -> str:
    """Make a table of counts, as docs/reliability.md has it."""
    ordered = sorted(outcomes, key=lambda outcome: outcome.target)
    lines = [
        "| target | inputs | seconds | MiB after the first inputs | MiB at the end | failures |",
        "|---|---|---|---|---|---|",
    ]
    for outcome in ordered:
        cells = (outcome.inputs, outcome.seconds, outcome.before / MIB, outcome.after / MIB, len(outcome.failures))
        lines.append(f"| `{outcome.target}` | {' | '.join(f'{cell:,.0f}' for cell in cells)} |")
    inputs, seconds = sum(outcome.inputs for outcome in ordered), sum(outcome.seconds for outcome in ordered)
    failures = sum(len(outcome.failures) for outcome in ordered)
    lines.append(f"| all | {inputs:,.0f} | {seconds:,.0f} | | | {failures:,} |")
    return "\n".join(lines)
