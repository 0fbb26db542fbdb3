"""Settings: every option with its name, its default, what it accepts and why you would change it.

Each option is declared once, as a field of Settings. OPTIONS is the same as a table. The configuration is read by this
table, and a test compares the documentation with it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from virt2.config import parsers
from virt2.metrics.selectors import LIBVIRT_NAMES, NAMES
from virt2.text.patterns import Match

NOVA = ("http://openstack.org/xmlns/libvirt/nova/1.1", "http://openstack.org/xmlns/libvirt/nova/1.0")
"""OpenStack's namespaces: newer Nova, older Nova."""
MOST_INSTANCES = 128
MOST_WORKERS = 1000
MOST_TIMEOUT = 1.5
"""Seconds that a read may take. The daemon waits for its reads when it exits, and still exits in under 2 s."""

_XML_NAME = re.compile(r"[^\W\d][\w.-]*")

MOST_AUTOMATIC = 4
"""Most automatic readers, unless more are configured. collectd has 5 read threads by default, and other plugins need
one too."""


class Instance(NamedTuple):
    """A reader that the configuration asks for by name, with the tags it takes."""

    name: str
    tags: tuple[Match, ...] = ()
    extra_stats: tuple[str, ...] | None = None
    """What its domains report in addition; None for the same as all others."""


class Option(NamedTuple):
    """One line of the option table."""

    key: str
    """The key in collectd's configuration, where case does not matter."""
    default_text: str
    """The default as the documentation writes it. It may be empty."""
    meaning: str
    """What it does and why you would change it, in one line and with units."""
    parser: parsers.Parser[Any] | None
    """Reads its values. None for a block, which is not a plain option."""
    adds: bool = False
    """Whether the values of several blocks add up. Within one block the last value is used."""
    lists: bool = False
    """Whether all values add up, in the order of the configuration, each once."""
    field: str = ""
    """The field of Settings that has its value."""


_declared: list[Option] = []
"""The option of each field of Settings, in their order."""


def _option(
    key: str,
    default: Any,
    default_text: str,
    parser: parsers.Parser[Any] | None,
    meaning: str,
    adds: bool = False,
    lists: bool = False,
) -> Any:
    """Declare the option of the next field, and give the default of that."""
    _declared.append(Option(key, default_text, meaning, parser, adds, lists))
    return default


class Settings(NamedTuple):
    """What is configured; times are in seconds, and None means that virt2 decides."""

    connection: str = _option(
        "Connection",
        "qemu:///system",
        "qemu:///system",
        parsers.text("one libvirt URI without control characters", lambda value: True, if_empty="qemu:///system"),
        "URI of the libvirt to watch. Change it for another driver or a remote host. An empty text means the "
        "default, because libvirt's own choice would depend on the user and the environment of the daemon.",
    )
    interval: float | None = _option(
        "Interval",
        None,
        "collectd's interval",
        parsers.seconds,
        "Seconds between two reads. Change it to read domains more or less often than collectd reads everything else.",
    )
    refresh_interval: float = _option(
        "RefreshInterval",
        60.0,
        "60",
        parsers.seconds_or_never,
        "Seconds after which virt2 reads again what it knows of a domain (tag, disks, interfaces, memory). Each "
        "domain has its own moment in it, so that no read has all of them. Where libvirt's own file of a domain shows "
        "that nothing has changed (root sees it), that is enough nine times in ten. 0 means that age alone never "
        "causes this. Lower it where libvirt has no metadata events (before 3.0) and tags change.",
    )
    plugin_name: str = _option(
        "PluginName",
        "virt2",
        "virt2",
        parsers.text(
            f"1 to {parsers.NAME_BYTES} bytes without / and control characters",
            lambda value: 0 < len(value.encode()) <= parsers.NAME_BYTES and "/" not in value,
        ),
        "The plugin part of every identifier. `virt` continues the series of the C plugin.",
    )
    domains: tuple[Match, ...] = _option(
        "Domain",
        (),
        "none",
        parsers.entries,
        "The domains to report. An entry is a name, a UUID, or a `/regex/` of names. Without an entry all domains "
        "are reported. The option may be repeated.",
        lists=True,
    )
    block_devices: tuple[Match, ...] = _option(
        "BlockDevice",
        (),
        "none",
        parsers.entries,
        "The disks to report. An entry is `DOMAIN:DISK`, with the disk named as `BlockDeviceFormat` says, or a "
        "`/regex/` of that. Without an entry all disks are reported. The option may be repeated.",
        lists=True,
    )
    interface_devices: tuple[Match, ...] = _option(
        "InterfaceDevice",
        (),
        "none",
        parsers.entries,
        "The interfaces to report. An entry is `DOMAIN:INTERFACE`, with the interface named as `InterfaceFormat` "
        "says, or a `/regex/` of that. Without an entry all interfaces are reported. The option may be repeated.",
        lists=True,
    )
    ignore_selected: bool = _option(
        "IgnoreSelected",
        False,
        "false",
        parsers.boolean,
        "Whether the entries of `Domain`, `BlockDevice` and `InterfaceDevice` say what is left out, instead of "
        "what is reported. Turn it on to leave out a few.",
    )
    block_device_format: str = _option(
        "BlockDeviceFormat",
        "target",
        "target",
        parsers.choice(("target", "source")),
        "What disks are called. `target` gives names such as `vda`. `source` gives the path of the image. Where "
        "there is no path, it gives the name that the storage uses, such as `pool/image`.",
    )
    block_device_format_basename: bool = _option(
        "BlockDeviceFormatBasename",
        False,
        "false",
        parsers.boolean,
        "Whether only the last part of a `source` is used. `BlockDevice` still compares all of it.",
    )
    interface_format: str = _option(
        "InterfaceFormat",
        "name",
        "name",
        parsers.choice(("name", "address", "number")),
        "What interfaces are called. `name` gives names such as `vnet3`, `address` gives the MAC address, and "
        "`number` gives `interface-1` and so on, which `InterfaceDevice` sees as `1`. Change it for series that "
        "outlive a restart of the domain.",
    )
    report_block_devices: bool = _option(
        "ReportBlockDevices",
        True,
        "true",
        parsers.boolean,
        "Whether disks are reported. `disk_err` does not depend on this.",
    )
    report_network_interfaces: bool = _option(
        "ReportNetworkInterfaces",
        True,
        "true",
        parsers.boolean,
        "Whether interfaces are reported.",
    )
    instances: int | None = _option(
        "Instances",
        None,
        "auto",
        parsers.count_or_auto(MOST_INSTANCES),
        f"Number of automatic readers, 1 to {MOST_INSTANCES}, or `auto`: one per group of domains at start, at "
        f"most {MOST_AUTOMATIC}. Where it is left out and there are `<Instance>` blocks, there is one automatic "
        "reader. Raise it together with collectd's `ReadThreads`.",
    )
    explicit_instances: tuple[Instance, ...] = _option(
        "Instance",
        (),
        "none",
        None,
        'A block, `<Instance "name">`, that makes a reader for the domains whose tag one of its `Tag` entries '
        "matches. Use it to keep the domains of one storage apart from the rest.",
    )
    tag_namespace: str = _option(
        "TagNamespace",
        "http://ovirt.org/ovirtmap/tag/1.0",
        "http://ovirt.org/ovirtmap/tag/1.0",
        parsers.text("one XML namespace URI, not empty", str.strip),
        "XML namespace of the element in a domain's metadata that holds its tag. Change it to use an element that "
        "you already set.",
    )
    tag_element: str = _option(
        "TagElement",
        "tag",
        "tag",
        parsers.text("the name of one XML element, without a prefix", _XML_NAME.fullmatch),
        "Name of the element that holds a domain's tag, without its prefix.",
    )
    partition_by: tuple[str, ...] = _option(
        "PartitionBy",
        ("tag", "storage"),
        "tag storage",
        parsers.selection(("tag", "storage")),
        "What decides on the reader of a domain: its `tag`, its `storage` domain, or both, the tag first. With "
        "`tag` alone all untagged domains go to reader 0.",
    )
    workers: int | None = _option(
        "Workers",
        None,
        "auto",
        parsers.count_or_auto(MOST_WORKERS),
        "The most calls to libvirtd in flight at once, or `auto`: half of libvirtd's `max_workers`, or 4 where "
        "that number is not known. Lower it where others need libvirtd more.",
    )
    timeout: float | None = _option(
        "Timeout",
        None,
        f"half the interval, at most {MOST_TIMEOUT:g}",
        parsers.seconds,
        f"Seconds a read may take, never more than its interval. With more than {MOST_TIMEOUT:g} the daemon may "
        "need more than 2 s to exit.",
    )
    strict: bool = _option(
        "StrictConfig",
        False,
        "false",
        parsers.boolean,
        "Whether a bad value or an unknown key stops the daemon. Turn it on where configurations are tested first.",
    )
    hostname_format: tuple[str, ...] = _option(
        "HostnameFormat",
        ("name",),
        "name",
        parsers.words(("name", "uuid", "hostname", "metadata"), 1, 4),
        "The host part of a domain's identifiers: `name`, `uuid`, `hostname` (the host's) and `metadata` in the order "
        "given, joined by `:`. Change it where names are not unique.",
    )
    plugin_instance_format: tuple[str, ...] = _option(
        "PluginInstanceFormat",
        (),
        "",
        parsers.words(("name", "uuid", "metadata"), 0, 3, last="none"),
        "The plugin instance of a domain's identifiers: `name`, `uuid` and `metadata` in the order given, joined "
        "by `:`. `none` ends the list.",
    )
    hostname_metadata_ns: tuple[str, ...] = _option(
        "HostnameMetadataNS",
        NOVA,
        " ".join(NOVA),
        parsers.namespaces,
        "XML namespaces of the element in a domain's metadata from which `metadata` is taken. They are tried in "
        "this order. Change it for another manager than OpenStack.",
    )
    hostname_metadata_xpath: str = _option(
        "HostnameMetadataXPath",
        "/instance/name/text()",
        "/instance/name/text()",
        parsers.path,
        "Path of the one text in that element that is used as `metadata`. It consists of names, `*`, `/`, `//`, "
        "`[2]`, `[@name='text']` and `[child='text']`, and it ends in `text()` or `@name`.",
    )
    persistent_notification: bool = _option(
        "PersistentNotification",
        False,
        "false",
        parsers.boolean,
        "Whether every read sends the state of every persistent domain as a notification, instead of one when "
        "something happens to a domain. Turn it on for a receiver that keeps no states.",
    )
    pre_scan: bool = _option(
        "PreScan",
        True,
        "true",
        parsers.boolean,
        "Whether libvirt is asked, before a domain's monitor is used, if another client is using it. Turn it off "
        "only to save a cheap call per domain.",
    )
    host_pre_scan: bool = _option(
        "HostPreScan",
        True,
        "true",
        parsers.boolean,
        "Whether virt2 looks at the domains' QEMU processes in `/proc`: for their CPU time, and before it uses a "
        "monitor. Turn it off where virt2 must not look there.",
    )
    stuck_after: float = _option(
        "StuckAfter",
        2.0,
        "2",
        parsers.seconds,
        "Seconds after which a monitor that does not answer is reported as blocked. Raise it where guests pause "
        "for longer although nothing is wrong.",
    )
    extra_stats: tuple[str, ...] = _option(
        "ExtraStats",
        (),
        "",
        parsers.selection(NAMES, fewest=0),
        "What is reported in addition: any of the selectors in docs/metrics.md. Those of class C touch the "
        "storage: where it hangs, each storage domain may freeze one guest. `guest_info` and `fs_info` ask the "
        "guests' agents. The selectors of several blocks add up. Within one block the last line counts.",
        adds=True,
    )
    disk_stats: str = _option(
        "DiskStats",
        "each",
        "each",
        parsers.choice(("each", "bulk")),
        "How disks are asked for their counters. `each` makes a call per disk and touches no storage. `bulk` "
        "makes one call per domain, which is cheaper from two disks on, but it is of class C. Choose it only "
        "where a guest may freeze with its storage.",
    )
    storage_interval: float = _option(
        "StorageInterval",
        60.0,
        "60",
        parsers.seconds,
        "Seconds between two reads of what touches the storage. Raise it where the storage is slow.",
    )
    guest_agent_interval: float = _option(
        "GuestAgentInterval",
        60.0,
        "60",
        parsers.seconds,
        "Seconds between two questions to the agent of the same guest (`guest_info`, `fs_info`). Raise it where "
        "agents are slow.",
    )
    guest_agent_timeout: float = _option(
        "GuestAgentTimeout",
        10.0,
        "10",
        parsers.patience,
        "Seconds after which an agent that has not answered is reported as hanging. 0 means never. The call goes "
        "on. virt2 never sets libvirt's own limit, because it would apply to all clients. Raise it where agents "
        "are slow and nothing is wrong.",
    )
    admin_connection: str = _option(
        "AdminConnection",
        "",
        "derived from Connection",
        parsers.text("one libvirt-admin URI without control characters", lambda value: True),
        "URI of libvirt's admin interface, which tells how many workers libvirtd has. Set it where virt2 does not "
        "find the admin socket by itself, for example to `virtqemud:///system?socket=/path`.",
    )

    status_socket: str | None = _option(
        "StatusSocket",
        "/run/virt2.sock",
        "/run/virt2.sock",
        parsers.socket_path,
        "Path of the unix socket at which virt2 answers the command `virt2` and whoever else asks what it does, or "
        "`none`. Only the user that collectd runs as, and root, may connect. Change it where that user may not write "
        "to `/run`, or where two daemons run.",
    )

    def timeout_for(self, interval: float) -> float:
        """Give how many seconds a read may take that is repeated every ``interval`` seconds."""
        if self.timeout is None:
            return min(interval / 2, MOST_TIMEOUT)
        return min(self.timeout, interval)


OPTIONS: tuple[Option, ...] = tuple(option._replace(field=field) for field, option in zip(Settings._fields, _declared))
"""Every option of a ``<Module virt2>`` block."""

INSTANCE_OPTIONS: tuple[Option, ...] = (
    Option(
        "Tag",
        "none",
        "The tag whose domains this reader takes, or a `/regex/` of tags. The option may be repeated.",
        parsers.trimmed_entries,
        field="tags",
    ),
    Option(
        "ExtraStats",
        "the value outside",
        "What is reported in addition for the domains of this reader. It replaces what `ExtraStats` outside of "
        "the block says, and an empty text means nothing. The selectors that ask agents are for all domains.",
        parsers.selection(LIBVIRT_NAMES, fewest=0),
        adds=True,
        field="extra_stats",
    ),
)
"""Every option of an ``<Instance>`` block."""
