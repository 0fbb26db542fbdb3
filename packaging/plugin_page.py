"""Makes the man page collectd-virt2(5)."""

from __future__ import annotations

from collections.abc import Iterable

import drop_ins
from checkout import rows, sections
from roff import entry, example, heading, paragraph, references, subheading, text, title

from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS, Option
from virt2.metrics.selectors import SELECTORS, Selector

IN_INSTANCE = "Inside an Instance block"
"""The heading of the options that stand in such a block."""

SYNOPSIS = """\
<LoadPlugin python>
  Globals true
</LoadPlugin>
<Plugin python>
  Import "virt2"
  <Module virt2>
    OPTION VALUE ...
    <Instance "NAME">
      OPTION VALUE ...
    </Instance>
  </Module>
</Plugin>
"""

DESCRIPTION = (
    "virt2 is a plugin of `collectd`, written in Python, that reports the CPU, memory, disks and network of every "
    "active libvirt domain of a host. Where a QEMU, a storage or libvirtd itself hangs, it loses only what the stuck "
    "part cannot tell, says which domain is stuck and since when, and freezes no guest with its default settings.",
    "It keeps the identifiers and options of collectd's C plugin `virt`.",
    "The host of a series is the domain's name (`HostnameFormat`), and its plugin is `virt2` (`PluginName`). A value "
    "that could not be read is absent. It is never 0 and never an old value.",
    "Every option has a default, and nothing needs to be set. Keys are case-insensitive. Several `<Module virt2>` "
    "blocks, of any number of files, add up to one configuration. A bad value or an unknown key is reported once, with "
    "what is accepted, and virt2 uses the rest.",
)

CLASSES = (
    "Most metrics come from a call to libvirt, and each call has a class. Class A needs libvirtd alone: a domain whose "
    "QEMU or storage is stuck goes on reporting it. Class B needs the QEMU monitor. Class C needs the monitor and the "
    "storage itself, and is asked every `StorageInterval`, because the call may freeze a guest whose storage hangs. "
    "Class agent needs the agent inside the guest, and is asked every `GuestAgentInterval`."
)

DIAGNOSTICS = (
    "`duration-monitor_blocked` of a domain rises while its monitor does not answer. A WARNING notification and a log "
    "line tell the cause and the storage domain, once, after `StuckAfter`. One OKAY follows when it answers again.",
    "`gauge-domains_stuck` of each reader counts the domains that are stuck now, and `gauge-domains_skipped` counts "
    "those that a read left out. If `gauge-workers_stuck` comes near `gauge-budget` (plugin instance `libvirtd`), give "
    "libvirtd more workers (`max_workers`) or raise `Workers`.",
    "collectd does not start where a module that it is told to import is missing, and its option `-t` does not show "
    "this. The drop-ins of the packages include a file that is removed with the package, so that collectd starts "
    "without virt2 then.",
)

TAGGED = """\
virsh metadata web-1 http://ovirt.org/ovirtmap/tag/1.0 \\
    --key ovirtmap --set '<tag>sd-fast</tag>' --live --config
"""

FILES = {
    "`/etc/collectd/collectd.conf.d/virt2.conf` (Debian), `/etc/collectd.d/virt2.conf` (Fedora and EL)": (
        "the options of this page; the package manager keeps your changes"
    ),
    f"`{drop_ins.LOAD}`": "loads virt2 into collectd; the file above includes it",
    "`/usr/share/virt2/types.db`": "the type that `fs_info` needs; name it in a `TypesDB` line of collectd",
    "`/usr/share/doc/virt2/examples/`": "samples, to be copied beside `virt2.conf`",
    "`/usr/share/doc/virt2/docs/`": (
        "more about readers, notifications, guests' agents, the differences to the C plugin, and so on"
    ),
    "`/run/libvirt/libvirt-sock-ro`": "libvirt's read-only socket, which collectd's user must be able to open",
    "`/run/libvirt/libvirt-admin-sock`": "libvirtd's admin socket, which tells root how many workers there are",
    "`/run/libvirt/qemu/NAME.pid`, `/run/libvirt/qemu/NAME.xml`": (
        "which process a domain is, and whether the domain has changed"
    ),
}


def page(options: str, metrics: str, agents: str, date: str) -> str:
    """Give the page.

    Arguments:
        options: docs/options.md, which groups the options.
        metrics: docs/metrics.md.
        agents: docs/guest-agent.md.
        date: of the version.
    """
    of_metrics, of_agents = sections(metrics), sections(agents)
    return text(
        title("collectd-virt2", 5, date),
        heading("Name"),
        ["collectd\\-virt2 \\- report the libvirt domains of a host, whatever is stuck on it"],
        heading("Synopsis"),
        example(SYNOPSIS),
        heading("Description"),
        *map(paragraph, DESCRIPTION),
        heading("Options"),
        *_options(sections(options)),
        heading("Metrics"),
        paragraph(CLASSES),
        *_always(of_metrics),
        heading("ExtraStats"),
        paragraph("The option `ExtraStats` takes these selectors, separated by blanks or commas."),
        *(_selector(selector, of_metrics, of_agents) for selector in SELECTORS),
        heading("Diagnostics"),
        *map(paragraph, DIAGNOSTICS),
        heading("Examples"),
        paragraph("All that is needed with a package, because every option has a default:"),
        example(_without_comments(drop_ins.texts()[drop_ins.DROP_IN])),
        paragraph("A reader of its own for the domains that are tagged with a storage:"),
        example(_without_comments(drop_ins.texts()["virt2-fast.conf"])),
        paragraph("The domain `web-1` gets that tag by this command:"),
        example(TAGGED),
        heading("Files"),
        *(entry(names, meaning) for names, meaning in FILES.items()),
        heading("See also"),
        references(("collectd", 1), ("collectd.conf", 5), ("collectd-python", 5), ("types.db", 5), ("virsh", 1)),
    )


def _options(tasks: dict[str, str]) -> Iterable[list[str]]:
    """Give every option, in the groups of the documentation."""
    for task, section in tasks.items():
        table = {option.key: option for option in (INSTANCE_OPTIONS if task == IN_INSTANCE else OPTIONS)}
        yield subheading(task)
        for row in rows(section):
            yield _option(table[row[0].split("`")[1]])


def _option(option: Option) -> list[str]:
    default = f" (default: {option.default_text})" if option.default_text else ""
    return entry(f"`{option.key}`{default}", option.meaning)


def _always(metrics: dict[str, str]) -> Iterable[list[str]]:
    """Give what is always reported: of domains, and of virt2 itself."""
    yield subheading("Of each domain")
    for kind, instance, sources, unit, call, cost, meaning in rows(metrics["Always"]):
        source = "" if call == "none" else f" Call: {call}, class {cost}."
        yield entry(_series(kind, instance), f"{meaning}. Values: {sources}. Unit: {unit}.{source}")
    yield subheading("Of virt2 itself, under the host's own name")
    for series, meaning in rows(metrics["Of virt2 itself"]):
        yield entry(series, meaning)


def _selector(selector: Selector, metrics: dict[str, str], agents: dict[str, str]) -> list[str]:
    """Give a selector, and below it what it reports."""
    if selector.name == "guest_info":
        reported = [
            entry(_series(kind, instance), f"{meaning}. Unit: {unit or 'none'}.")
            for kind, instance, unit, meaning in rows(agents["Metrics"])
        ]
    else:
        reported = [
            entry(_series(kind, instance), unit)
            for name, kind, instance, unit in rows(metrics["What they report"])
            if name == f"`{selector.name}`"
        ]
    about = entry(f"`{selector.name}` (class {selector.kind}, call `{selector.call}`)", f"{selector.meaning}.")
    below = [line for lines in reported for line in lines]
    return [*about, ".RS", *below, ".RE"] if below else about


def _series(kind: str, instance: str) -> str:
    return f"{kind}, type instance {instance}" if instance else kind


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
