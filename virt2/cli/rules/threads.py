"""Whether collectd has threads enough for virt2's readers, and whether its queue of values has an end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from virt2.cli.effective import Effective
from virt2.cli.findings import WARNING, Finding
from virt2.config.settings import MOST_AUTOMATIC, Settings
from virt2.metrics.selectors import AGENT, SELECTORS, C
from virt2.model.domain import Domain
from virt2.readers.partition import Explicit, automatic_count

READ_THREADS = 5
"""collectd's own number of read threads."""

_CLASS_C = frozenset(selector.name for selector in SELECTORS if selector.kind == C)
_AGENTS = frozenset(selector.name for selector in SELECTORS if selector.kind == AGENT)


def read_threads(collectd: Effective, settings: Settings, domains: Sequence[Domain] | None) -> Iterator[Finding]:
    """Compare collectd's read threads with the readers that there will be.

    Args:
        domains: the active domains; None where they are not known. Then ``Instances auto`` counts as its most.
    """
    wanted = collectd.number("ReadThreads", READ_THREADS)
    has = wanted if wanted > 0 else READ_THREADS
    explicit = [
        Explicit(instance.name, tuple(tag.matches for tag in instance.tags)) for instance in settings.explicit_instances
    ]
    automatic = settings.instances
    if automatic is None:
        automatic = MOST_AUTOMATIC
        if domains:
            automatic = automatic_count(domains, explicit, settings.partition_by, MOST_AUTOMATIC)
    selectors = set(settings.extra_stats)
    for instance in settings.explicit_instances:
        selectors |= set(instance.extra_stats or ())
    parts = [f"{automatic} automatic"]
    parts += [f"{len(explicit)} named"] if explicit else []
    parts += ["one for what touches the storage"] if selectors & _CLASS_C else []
    parts += ["one for guests' agents"] if selectors & _AGENTS else []
    readers = automatic + len(explicit) + bool(selectors & _CLASS_C) + bool(selectors & _AGENTS)
    if has <= readers:
        yield Finding(
            WARNING,
            f"virt2 has up to {readers} readers ({', '.join(parts)}), and collectd has {has} ReadThreads. While domains"
            " are stuck, its readers wait for each other, and so do other plugins",
            f"Set ReadThreads {readers + 1} at the top of the configuration.",
            collectd.line("ReadThreads"),
        )


def write_queue(collectd: Effective) -> Iterator[Finding]:
    """Tell of limits between which collectd 5.12 drops values in the wrong order."""
    high = collectd.number("WriteQueueLimitHigh", 0)
    low = collectd.number("WriteQueueLimitLow", high // 2)
    if low < high:
        yield Finding(
            WARNING,
            f"between WriteQueueLimitLow ({low}) and WriteQueueLimitHigh ({high}) collectd 5.12 drops the most values"
            " when the queue is short, and the fewest when it is long",
            f"Set WriteQueueLimitLow to {high} too.",
            collectd.line("WriteQueueLimitHigh"),
        )
