"""Which versions are known to be bad."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from virt2.cli.findings import NOTE, WARNING, Finding
from virt2.config.settings import Settings
from virt2.model.known_bad import BULK_DISKS, KnownBad, known_bad, parse_version, spelled

OLDEST_LIBVIRT = (2, 0, 0)

_PERHAPS = "unless your distribution has corrected it without a new number"


def versions(told: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    """Tell of the faults of the versions that are in use.

    Args:
        told: the version of each thing as `virt2.model.known_bad` calls it; empty where it is not known.
    """
    numbers = {what: version for what, text in told.items() if (version := parse_version(text)) is not None}
    for what, version in numbers.items():
        if version < OLDEST_LIBVIRT:
            todo = f"Install {spelled(OLDEST_LIBVIRT)} or newer."
            yield Finding(WARNING, f"{what} is version {spelled(version)}, with which virt2 was never tried", todo)
    uses = set(settings.extra_stats).union(*(instance.extra_stats or () for instance in settings.explicit_instances))
    if settings.disk_stats == "bulk":
        uses.add(BULK_DISKS)
    others: dict[str, list[KnownBad]] = {}
    for entry in known_bad(numbers, uses):
        if entry.harms:
            yield Finding(
                WARNING,
                f"{entry.what} is version {spelled(numbers[entry.what])}, {_PERHAPS}: {entry.reason} ({entry.source})",
                " ".join((f"Install {spelled(entry.fixed)} or newer.", entry.todo)).strip(),
            )
        else:
            others.setdefault(entry.what, []).append(entry)
    for what, entries in others.items():
        reasons = "; ".join(f"{entry.reason} ({entry.source})" for entry in entries)
        what_to_do = " ".join(dict.fromkeys(entry.todo for entry in entries if entry.todo))
        yield Finding(
            NOTE,
            f"{what} is version {spelled(numbers[what])}, of which this is known, {_PERHAPS}: {reasons}",
            f"Read the changelog of its package. {what_to_do}".strip(),
        )
