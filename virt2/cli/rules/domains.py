"""Whether filters, tags and names fit the domains of this host."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from virt2.cli.asking import Domains, Names
from virt2.cli.findings import NOTE, WARNING, Finding
from virt2.config.reading import Line, own_instances
from virt2.config.settings import Settings
from virt2.description.filters import DISK, DOMAIN, NIC
from virt2.model.domain import Domain
from virt2.output import naming
from virt2.readers.partition import label_of
from virt2.text.patterns import Match, is_pattern
from virt2.text.printable import printable, quoted

MOST_TOLD = 5
"""Most domains of which one thing is told."""
LONGEST_NAME = 80

Lines = Mapping[tuple[object, ...], Line]


def filters(settings: Settings, lines: Lines, names: Names, inactive: Domains) -> Iterator[Finding]:
    """Tell of the entries that match nothing.

    Args:
        names: what the entries are compared with. Those for disks and interfaces are only where all of these are known.
        inactive: the domains that do not run.
    """
    for entry in settings.domains:
        if not _matches_domain(entry, names.domains):
            at = lines.get((DOMAIN, entry))
            if _matches_domain(entry, inactive):
                what = f"{DOMAIN} {quoted(entry.text)} matches only domains that do not run now"
                yield Finding(NOTE, what, "Nothing, if that is meant.", at)
            else:
                yield _nothing(settings, DOMAIN, entry, "domain", names.domains.names, at)
    if not names.are_complete:
        return
    for key, entries, what, devices, reported in (
        (DISK, settings.block_devices, "disk", names.disks, settings.report_block_devices),
        (NIC, settings.interface_devices, "interface", names.nics, settings.report_network_interfaces),
    ):
        for entry in entries:
            if not reported:
                option = "ReportBlockDevices" if key == DISK else "ReportNetworkInterfaces"
                todo = f"Remove it, or set {option} true."
                yield Finding(NOTE, f"{key} has no effect, because {option} is false", todo, lines.get((key, entry)))
            elif not any(entry.matches(device) for device in devices):
                yield _nothing(settings, key, entry, what, devices, lines.get((key, entry)))


def tags(settings: Settings, lines: Lines, domains: Sequence[Domain]) -> Iterator[Finding]:
    """Tell of the tags of named readers that no domain has."""
    labels = {label_of(domain, settings.partition_by) for domain in domains} - {""}
    for instance in settings.explicit_instances:
        for tag in instance.tags:
            if not any(map(tag.matches, labels)):
                shown = ", ".join(quoted(label) for label in sorted(labels)[:MOST_TOLD])
                more = "" if len(labels) <= MOST_TOLD else f" and {len(labels) - MOST_TOLD} more"
                there = f"The domains of this host have {shown}{more}." if labels else "No domain of this host has one."
                yield Finding(
                    WARNING,
                    f'Tag {quoted(tag.text)} of <Instance "{instance.name}"> matches no running domain',
                    f"Tag the domains (docs/readers.md), or correct the entry; case counts. {there}",
                    lines.get(("Instance", instance.name, "Tag", tag)),
                )


def identities(settings: Settings, lines: Lines, domains: Sequence[Domain], hostname: str) -> Iterator[Finding]:
    """Tell of the domains that cannot be reported under the name that they ask for."""
    names = naming.Names(
        settings.hostname_format, settings.plugin_instance_format, hostname, reserved=own_instances(settings)
    )
    names.settle(domains)
    changed = [(domain, identity) for domain in domains if (identity := names.changed(domain)) is not None]
    at = lines.get(("HostnameFormat",)) or lines.get(("PluginInstanceFormat",))
    todo = 'Rename the domain, or set HostnameFormat "uuid".'
    for domain, identity in changed[:MOST_TOLD]:
        yield Finding(
            WARNING,
            f"domain {printable(domain.name, LONGEST_NAME)} is reported as host {identity.host or hostname}"
            + (f", plugin instance {identity.plugin_instance}" if identity.plugin_instance else "")
            + ", because the name that it asks for is too long, is taken, or has characters that collectd's writers"
            " cannot take",
            todo,
            at,
        )
    if len(changed) > MOST_TOLD:
        what = f"{len(changed) - MOST_TOLD} more domains are reported under changed names"
        yield Finding(WARNING, what, todo, at)


def _matches_domain(entry: Match, domains: Domains) -> bool:
    """Tell whether an entry matches a name, or is a UUID."""
    is_uuid = not is_pattern(entry.text) and entry.text.lower() in domains.uuids
    return is_uuid or any(map(entry.matches, domains.names))


def _nothing(settings: Settings, key: str, entry: Match, what: str, names: Collection[str], at: Line | None) -> Finding:
    effect = f"no {what} is left out by it" if settings.ignore_selected else f"no {what} is reported because of it"
    example = next(iter(sorted(names)), "")
    compared = f"Entries are compared with texts such as {quoted(example)}. " if example else ""
    return Finding(
        WARNING,
        f"{key} {quoted(entry.text)} matches no {what} of this host: {effect}",
        f"{compared}Case counts, and only an entry between slashes is a pattern. Correct or remove it.",
        at,
    )
