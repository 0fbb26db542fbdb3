"""Filters, formats and metadata: what goes out under which name, beside the C plugin with the same settings."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import libvirt
import pytest
from hypothesis import given

from tests.integration.support import DISK_TYPES, NIC_TYPES, reads, wait_for_reads
from tests.lab import Collectd, Guest, python_module, wait_for
from tests.lab.collectd_daemon import C_PLUGIN
from tests.unit.text.test_xpath import journeys, spelled
from virt2.text.xpath import Element, Path

INTERVAL = 1.0
READS = 3
"""Reads of each plugin that are looked at; the C plugin's first one finds the domains."""
SOON = 40.0
"""Seconds; the daemons of all cases run at the same time."""
ALWAYS = frozenset({"virt_cpu_total", "memory-total"})
NOVA = "http://openstack.org/xmlns/libvirt/nova/{}"
UUIDS = {name: f"{digit * 8}-0000-4000-8000-000000000000" for name, digit in (("web", "a"), ("db", "b"), ("12", "c"))}


def nova(version: str, name: str) -> str:
    return f"<nova:instance xmlns:nova='{NOVA.format(version)}'><nova:name>{name}</nova:name></nova:instance>"


def drive(target: str, source: str = "") -> str:
    image = f"<source file={quoteattr(source)}/>" if source else ""
    return f"<disk type='file' device='cdrom'>{image}<target dev='{target}' bus='scsi'/><readonly/></disk>"


class Host:
    """The guests: `web` with two disks, two CDs whose images have one name and an empty drive; `db`; `12`."""

    def __init__(self, lab) -> None:
        self.discs = [lab.work_dir / folder / "disc.iso" for folder in ("x", "y")]
        for disc in self.discs:
            disc.parent.mkdir()
            disc.write_bytes(bytes(1 << 16))
        drives = "".join(map(drive, ("sda", "sdb", "sdc"), (*map(str, self.discs), "")))
        specs = [
            Guest("web", uuid=UUIDS["web"], metadata=nova("1.1", "shop"), devices=drives),
            Guest("db", uuid=UUIDS["db"], metadata=nova("1.0", "shop"), disks=1, nics=1),
            Guest("12", uuid=UUIDS["12"], disks=1, nics=1),
        ]
        self.web, self.db, self.twelve = self.all = lab.guests(specs)
        self.sources = {guest.name: _attributes(guest, "disk", "source", "file") for guest in self.all}
        self.addresses = {guest.name: _attributes(guest, "interface", "mac", "address") for guest in self.all}
        """By the guest's name, in the order of its disks and interfaces."""


def _attributes(guest, device: str, child: str, attribute: str) -> list[str]:
    from xml.etree import ElementTree

    devices = ElementTree.fromstring(guest.domain.XMLDesc(0)).findall(f"devices/{device}/{child}")
    return [found.get(attribute) for found in devices]


@pytest.fixture(scope="module")
def host(module_lab):
    return Host(module_lab)


def series(host: str, disks: Iterable[str] = (), nics: Iterable[str] = ()) -> set[tuple[str, str]]:
    """The series of a host with these disks and interfaces, as the csv plugin names them."""
    names = {*ALWAYS, *(f"{kind}-{disk}" for kind in DISK_TYPES for disk in disks)}
    names |= {f"{kind}-{nic}" for kind in NIC_TYPES for nic in nics}
    return {(host, name) for name in names}


def written(path: str) -> str:
    return path.removeprefix("/").replace("/", "_")


@dataclass
class Case:
    """Settings for both plugins, and what is to come out."""

    settings: str
    both: set[tuple[str, str]]
    """Host and series that both plugins have."""
    virt2: set[tuple[str, str]] = frozenset()
    """Further ones that only virt2 has."""
    plugin_instances: frozenset[str] = frozenset({""})


WEB_DISKS = ("vda", "vdb", "sda", "sdb", "sdc")


def cases(host: Host) -> dict[str, Case]:
    web, db, twelve = host.web, host.db, host.twelve
    web_sources, db_sources, twelve_sources = (list(map(written, host.sources[guest.name])) for guest in host.all)
    names = [source.rpartition("_")[2] for source in web_sources]
    assert names[2:] == ["disc.iso", "disc.iso"]
    return {
        "domains by name, number, pattern and UUID": Case(
            f'Domain "web"\nDomain "/^1[[:digit:]]$/"\nDomain "{db.uuid}"',
            both=series("web", WEB_DISKS, web.nics) | series("12", ["vda"], twelve.nics),
            virt2=series("db", ["vda"], db.nics),
        ),
        "some devices": Case(
            'BlockDevice "web:vdb"\nBlockDevice "/^db:/"\nInterfaceDevice "web:2"\nInterfaceFormat number',
            both=series("web", ["vdb"], ["interface-2"]) | series("db", ["vda"]) | series("12"),
        ),
        "all but some": Case(
            f'IgnoreSelected "true"\nDomain "12"\nBlockDevice "/:sd[a-c]$/"\nInterfaceDevice "db:{db.nics[0]}"',
            both=series("web", ["vda", "vdb"], web.nics) | series("db", ["vda"]),
        ),
        "disks by source, interfaces by address": Case(
            f'BlockDeviceFormat source\nInterfaceFormat address\nDomain "web"\nDomain "db"\n'
            f'InterfaceDevice "web:{host.addresses["web"][1]}"',
            both=series("web", web_sources, host.addresses["web"][1:]) | series("db", db_sources),
            virt2={("web", f"{kind}-sdc") for kind in DISK_TYPES},
        ),
        "disks by the last part, filtered by the whole": Case(
            "BlockDeviceFormat source\nBlockDeviceFormatBasename true\nReportNetworkInterfaces false\n"
            f'IgnoreSelected true\nBlockDevice "web:{host.sources["web"][0]}"',
            both=series("web", names[1:])
            | series("db", [db_sources[0].rpartition("_")[2]])
            | series("12", [twelve_sources[0].rpartition("_")[2]]),
            virt2={("web", f"{kind}-{name}") for kind in DISK_TYPES for name in ("disc.iso~sdb", "sdc")},
        ),
        "no disks": Case(
            "ReportBlockDevices false\nInterfaceFormat number",
            both=series("web", (), ["interface-1", "interface-2"])
            | series("db", (), ["interface-1"])
            | series("12", (), ["interface-1"]),
        ),
        "names with metadata": Case(
            f'HostnameFormat name metadata\nHostnameMetadataNS "{NOVA.format("1.0")}"\nReportBlockDevices false\n'
            "ReportNetworkInterfaces false\nPluginInstanceFormat uuid",
            both=series("web:") | series("db:shop") | series("12:"),
            plugin_instances=frozenset(UUIDS.values()),
        ),
    }


@pytest.fixture(scope="module")
def runs(module_lab, host, tmp_path_factory):
    """What each plugin wrote in each case: host and series, and the plugin instances; all cases at the same time."""
    folder = tmp_path_factory.mktemp("runs")
    daemons = {}
    for number, (name, case) in enumerate(cases(host).items()):
        (folder / str(number)).mkdir()
        drop_ins = {
            "a-virt.conf": C_PLUGIN.format(settings=case.settings),
            "virt2.conf": python_module("virt2", case.settings),
        }
        daemons[name] = Collectd(module_lab, folder / str(number), drop_ins, INTERVAL)
    with contextlib.ExitStack() as stack:
        for daemon in daemons.values():
            stack.enter_context(daemon)
        for name, daemon in daemons.items():
            wait_for(lambda daemon=daemon: reads(daemon) >= READS and polled(daemon) >= READS, SOON, name)
    return {name: daemon.series() for name, daemon in daemons.items()}


def polled(daemon: Collectd) -> int:
    """The fewest CPU times that the C plugin wrote of a domain."""
    counts = [
        len(points)
        for (_, plugin, name), points in daemon.series().items()
        if plugin.partition("-")[0] == "virt" and name == "virt_cpu_total"
    ]
    return min(counts, default=0)


def of_plugin(found, plugin: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Host and series of the domains, without what only virt2 says of them; and the plugin instances."""
    own = [(there, by.partition("-"), name) for there, by, name in found if there != "collectd"]
    own = [entry for entry in own if entry[1][0] == plugin and not entry[2].startswith("duration")]
    return {(there, name) for there, _, name in own}, {by[2] for _, by, _ in own}


@pytest.mark.parametrize(
    "name",
    [
        "domains by name, number, pattern and UUID",
        "some devices",
        "all but some",
        "disks by source, interfaces by address",
        "disks by the last part, filtered by the whole",
        "no disks",
        "names with metadata",
    ],
)
def test_the_same_comes_out_under_the_same_names_and_what_only_virt2_has_is_listed(host, runs, name):
    case = cases(host)[name]
    assert of_plugin(runs[name], "virt") == (case.both, case.plugin_instances)
    assert of_plugin(runs[name], "virt2") == (case.both | case.virt2, case.plugin_instances)


def hosts(daemon: Collectd) -> set[str]:
    return {there for there, _, _ in daemon.series()} - {"collectd"}


def warnings(daemon: Collectd) -> list[str]:
    return [line.split("virt2: ")[1] for line in daemon.log.splitlines() if "[warning] virt2" in line]


def test_metadata_names_domains_and_is_followed_when_it_changes(module_lab, host, tmp_path):
    (tmp_path / "collectd").mkdir()
    drop_in = python_module("virt2", "HostnameFormat metadata")
    with Collectd(module_lab, tmp_path / "collectd", {"virt2.conf": drop_in}, INTERVAL) as daemon:
        wait_for_reads(daemon, 2)
        # Of the two that are called the same, the one that was started first has the name.
        second = max((host.web, host.db), key=lambda guest: guest.domain.ID())
        mark = f"shop~{second.uuid[:8]}"
        assert hosts(daemon) == {"shop", mark, "12"}
        wanted = sorted(["domain 12", f"domain {second.name}"])
        wait_for(lambda: sorted(line.split(": ")[0] for line in warnings(daemon)) == wanted, SOON, "each is said once")
        before = host.db.domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NOVA.format("1.0"))
        try:
            set_metadata(host.db, "<instance><name>store</name></instance>")
            wait_for(lambda: "store" in hosts(daemon), SOON, "the domain has its new name")
            assert hosts(daemon) == {"shop", mark, "12", "store"}
            assert len(warnings(daemon)) == 2
        finally:
            set_metadata(host.db, before)
        # collectd writes "/12" as "12", and a domain of that name is there.
        (new,) = module_lab.guests([Guest("new", disks=1, nics=1, metadata=nova("1.1", "/12"))])
        try:
            mine = f"12~{new.uuid[:8]}"
            told = f"severity = OKAY, host = {mine}, plugin = virt2, type = domain_state"
            wait_for(lambda: told in daemon.log, SOON, "its start is told under the name its metadata gives it")
            wait_for(lambda: mine in hosts(daemon), SOON)
            assert "new" not in hosts(daemon)
            assert "too old" not in daemon.log
        finally:
            new.stop()


def set_metadata(guest, xml: str) -> None:
    kind, flags = libvirt.VIR_DOMAIN_METADATA_ELEMENT, libvirt.VIR_DOMAIN_AFFECT_LIVE
    guest.domain.setMetadata(kind, xml, "nova", NOVA.format("1.0"), flags)


def test_lines_of_the_sample_configuration_are_said_once_and_nothing_is_reported(module_lab, host, tmp_path):
    (tmp_path / "collectd").mkdir()
    settings = 'Domain "name"\nBlockDevice "name:device"\nRefreshInterval 1'
    drop_in = python_module("virt2", settings)
    with Collectd(module_lab, tmp_path / "collectd", {"virt2.conf": drop_in}, INTERVAL) as daemon:
        wait_for_reads(daemon, READS)
        assert hosts(daemon) == set()
        (line,) = warnings(daemon)
        assert line.startswith("Domain 'name' matches no domain of this host: no domain is reported.")


# The C plugin's own XPath, without a lab


class NodeSet(ctypes.Structure):
    _fields_ = [("count", ctypes.c_int), ("room", ctypes.c_int), ("nodes", ctypes.POINTER(ctypes.c_void_p))]


class XPathObject(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("found", ctypes.POINTER(NodeSet))]


@pytest.fixture(scope="module")
def libxml2():
    library = ctypes.CDLL(ctypes.util.find_library("xml2") or "libxml2.so.2")
    library.xmlReadMemory.restype = library.xmlXPathNewContext.restype = ctypes.c_void_p
    library.xmlXPathNewContext.argtypes = library.xmlFreeDoc.argtypes = [ctypes.c_void_p]
    library.xmlXPathEvalExpression.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    library.xmlXPathEvalExpression.restype = ctypes.POINTER(XPathObject)
    library.xmlXPathFreeObject.argtypes = [ctypes.POINTER(XPathObject)]
    library.xmlXPathFreeContext.argtypes = library.xmlNodeGetContent.argtypes = [ctypes.c_void_p]
    library.xmlNodeGetContent.restype = ctypes.c_void_p
    return library


def selected(library, xml: str, path: str) -> list[str]:
    """What libxml2 selects."""
    text = xml.encode()
    document = library.xmlReadMemory(text, len(text), None, None, 0)
    context = library.xmlXPathNewContext(document)
    answer = library.xmlXPathEvalExpression(path.encode(), context)
    free = ctypes.CFUNCTYPE(None, ctypes.c_void_p).in_dll(library, "xmlFree")
    try:
        assert document
        assert answer
        found = answer.contents.found
        contents = [
            library.xmlNodeGetContent(found[0].nodes[number]) for number in range(found[0].count if found else 0)
        ]
        texts = [ctypes.string_at(content).decode() for content in contents]
        for content in contents:
            free(content)
    finally:
        library.xmlXPathFreeObject(answer)
        library.xmlXPathFreeContext(context)
        library.xmlFreeDoc(document)
    return texts


def spelled_out(element: Element) -> str:
    """An element as XML; a nameless one is of another namespace, and texts side by side are kept apart."""
    name = element.name or "o:foreign"
    attributes = "".join(f" {key}={quoteattr(value)}" for key, value in element.attributes.items())
    namespace = "" if element.name else " xmlns:o='urn:other'"
    inside, before = "", None
    for child in element.children:
        if isinstance(child, str):
            inside += ("<!---->" if isinstance(before, str) else "") + escape(child)
        else:
            inside += spelled_out(child)
        before = child
    return f"<{name}{namespace}{attributes}>{inside}</{name}>"


@given(journeys())
def test_a_path_selects_what_libxml2_selects(libxml2, journey):
    root, *steps = journey
    path = spelled(*steps)
    assert sorted(Path(path).select(root)) == sorted(selected(libxml2, spelled_out(root), path))
