"""Domain XML as libvirt prints it, and as nobody should: devices, storage, labels, the tag and what a path picks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from xml.sax.saxutils import escape, quoteattr

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator, below, pick
from tests.fuzz.target import Plain, Target, require
from virt2 import errors
from virt2.description import domainxml, storage
from virt2.description.filters import Filters
from virt2.description.labels import Labels
from virt2.description.metadata import LONGEST_PICK, MOST_NODES, Pick
from virt2.text.identifiers import LONGEST
from virt2.text.xpath import Path as XPath

UNIT = Path(__file__).resolve().parents[2] / "unit"
TAG = "http://ovirt.org/ovirtmap/tag/1.0"
VM = "http://ovirt.org/vm/1.0"
NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"

MOUNTS = storage.Mounts.parse(
    "1 1 254:1 / / rw - ext4 /dev/vda1 rw\n2 1 0:9 / /srv/nfs rw - nfs4 filer:/vm rw\n"
    "3 1 0:10 / /rhev/data-center/mnt/glusterSD/g:_v rw - fuse.glusterfs g:/v rw\n"
    "4 1 0:11 / /a\\040b rw - xfs /dev/b rw\n"
)

METADATA = (
    f'<o:tag xmlns:o="{TAG}"> virt-1 </o:tag>'
    f'<v:vm xmlns:v="{VM}"><v:device devtype="disk" name="vda"><v:domainID>3a6a4b5c-0d1e-4f20-8123-456789abcdef'
    "</v:domainID></v:device></v:vm>"
    f'<nova:instance xmlns:nova="{NOVA}"><nova:package version="23.2.1"/><nova:name>web-1</nova:name>'
    '<nova:flavor name="m1"><nova:memory>2048</nova:memory></nova:flavor><nova:owner><nova:user uuid="u1">ann'
    '</nova:user></nova:owner><nova:ports><nova:port uuid="a"><nova:ip type="fixed" address="10.0.0.1"/></nova:port>'
    "</nova:ports></nova:instance>"
)

DEVICES = (
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/srv/nfs/a &lt;b&gt;.img' index='1'><dataStore type='file'><source file='/data.raw'/></dataStore>"
    "</source><backingStore type='file'><format type='raw'/><source file='/base.img'/><backingStore/></backingStore>"
    "<mirror type='block' job='copy'><source dev='/dev/vg/new'/></mirror><target dev='vda' bus='virtio'/>"
    "<alias name='virtio-disk0'/></disk>",
    "<disk type='block' device='lun'><source dev='/dev/mapper/vg--a-lv'/><target dev='sdb' bus='scsi'/></disk>",
    "<disk type='block'><source dev='/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2001:x-lun-1'/><target dev='sdc'/>"
    "</disk>",
    "<disk type='network' device='disk'><source protocol='rbd' name='vms/c'><host name='m1' port='6789'/>"
    "<host name='::1'/></source><target dev='vdc'/></disk>",
    "<disk type='network'><source protocol='iscsi' name='iqn.x/1'><host name='h'/></source><target dev='vdd'/></disk>",
    "<disk type='network'><source protocol='nfs' name='/vm/x'><host name='h'/></source><target dev='vdi'/></disk>",
    "<disk type='network'><source protocol='gluster' name='v/x'><host name='g'/></source><target dev='vdj'/></disk>",
    "<disk type='file'><mirror file='/srv/nfs/m'/><source file='/dev/zvol/tank/v'/><target dev='vdk'/></disk>",
    "<disk type='block'><source dev='/dev/disk/by-id/dm-name-vg-lv'/><target dev='vdl'/></disk>",
    "<disk type='volume'><source pool='p' volume='v'/><target dev='vde'/></disk>",
    "<disk type='nvme'><source type='pci' namespace='1'>"
    "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source><target dev='vdf'/></disk>",
    "<disk type='vhostuser'><source type='unix' path='/tmp/v.sock'/><target dev='vdg'/></disk>",
    "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>",
    "<disk type='file'><source file='/rhev/data-center/mnt/x/3a6a4b5c-0d1e-4f20-8123-456789abcdef/images/i/v'/>"
    "<target dev='vdh'/></disk>",
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/>"
    "</interface>",
    "<interface type='vhostuser'><mac address='52:54:00:00:00:02'/><target dev='vhu1'/></interface>",
    "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>",
)

BACKUP = (
    "<domainbackup mode='pull'><disks><disk name='vda' backup='yes' type='file'><scratch file='/srv/nfs/scratch'/>"
    "</disk><disk name='vdb' type='block'><target dev='/dev/vg/backup'/></disk></disks></domainbackup>"
)

BOMB = (
    '<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;">]>'
)
TOKENS = (
    BOMB, "<!DOCTYPE domain>", "<!DOCTYPE d SYSTEM 'file:///etc/passwd'>", '<!ENTITY x "y">', "&lol;", "&c;", "&#0;",
    "&#x1F600;", "&#xD800;", "&#10;", "&amp;", "&lt;", "&", "&#", "<![CDATA[", "]]>", "<!--", "-->", "--", "<?pi ?>",
    "<?xml version='1.0' encoding='UTF-16'?>", "<?xml version='1.1'?>", "<metadata>", "</metadata>", "<metadata/>",
    "<domain>", "</domain>", "<devices>", "</devices>", "<disk>", "</disk>", "<disk type='file'>", "<interface>",
    "</interface>", "<channel>", "<source file='/a'/>", "<source>", "</source>", "<target dev='vda'/>",
    "<backingStore>", "</backingStore>", "<mirror file='/m'/>", "<os>", "</os>", "<loader type='pflash'>/fw</loader>",
    "<nvram>/srv/nfs/vars</nvram>", f'<o:tag xmlns:o="{TAG}">t</o:tag>', f'xmlns:o="{TAG}"', 'xmlns=""', "xmlns:v=",
    f'xmlns="{NOVA}"', "<o:tag>", "</o:tag>", "<v:vm>", "<v:device devtype='disk' name='vda'>", "<v:domainID>",
    "<instance>", "<name>", "</name>", "nova:", "o:", ":", "xml:", "xmlns:xml='urn:x'", "<a>", "</a>", "<a/>",
    "<a b='c'", " a='1' a='2'", "='", "'/>", ">", "<", "\0", "\ud800", "type='network'", "protocol='gluster'",
    "dev='", "name='../../x'", "/dev/zvol/p/v", "/dev/rbd/p/i", "/dev/mapper/", "/dev/disk/by-id/dm-name-", "/dev/",
    "/../..",
)  # fmt: skip
ELEMENTS = (
    "domain", "metadata", "devices", "disk", "interface", "channel", "source", "target", "backingStore", "mirror", "os",
    "loader", "nvram", "host", "address", "mac", "alias", "a", "o:tag", "v:vm", "v:device", "v:domainID", "instance",
    "name", "dataStore",
)  # fmt: skip
ATTRIBUTES = (
    "type", "device", "file", "dev", "dir", "name", "pool", "volume", "protocol", "port", "path", "state", "address",
    "xmlns", "xmlns:o", "xmlns:v", "devtype", "domain", "bus", "slot", "function", "socket", "o:x",
)  # fmt: skip
WORDS = (
    "file", "block", "network", "volume", "nvme", "vhostuser", "rbd", "iscsi", "nfs", "gluster", "cdrom", "vda", "vdb",
    "vnet0", "/srv/nfs/x", "/dev/vg/lv", "disk", "pflash", "org.qemu.guest_agent.0", TAG, VM, NOVA, "0x0000", "",
)  # fmt: skip

REFUSALS: dict[str, Callable[[], errors.Error]] = {
    "gone": lambda: errors.DomainGone("gone"),
    "unsupported": lambda: errors.Unsupported("no"),
    "failed": lambda: errors.CallFailed("\n" * 500, 1),
}
"""How libvirt may refuse to give an element of the metadata."""
PATHS = ("/instance/name/text()", "//@uuid", "//*[name='web-1']//text()", "//port[1]/ip[@type='fixed']/@address")
FORMATS = (("target", False, "name"), ("source", False, "address"), ("source", True, "number"))
_PIECES = re.compile(r"<[^<>]*>|[^<]+|<")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def recorded() -> list[str]:
    """Domains that libvirt printed."""
    found = [path.read_text(encoding="utf-8") for path in sorted((UNIT / "description" / "data").glob("*.xml"))]
    for path in sorted((UNIT / "replies").glob("*.json")):
        domains = json.loads(path.read_text(encoding="utf-8"))["domains"]
        found += ["\n".join(domain["xml"]) for domain in domains.values()]
    return found


def document(metadata: str, devices: Sequence[str]) -> str:
    return (
        f"<domain type='kvm' id='7'><name>a</name><metadata>{metadata}</metadata><os><loader type='pflash'>/fw</loader>"
        f"<nvram>/srv/nfs/vars</nvram></os><devices>{''.join(devices)}</devices></domain>"
    )


class DomainXml(Target):
    """An input is the XML of a domain, of one element of its metadata and of its backup, and a choice of settings."""

    name = "domain_xml"
    share = 10
    what = "XML of domains, of their metadata and of backups: real, changed, built, cut, nested, with entities"

    def __init__(self) -> None:
        self._labels = [Labels(Filters(), *chosen) for chosen in FORMATS]
        self._picks = [Pick((NOVA, VM), XPath(path)) for path in PATHS]

    def corpus(self) -> Sequence[Plain]:
        made = [document(METADATA, DEVICES), document(METADATA.replace("web-1", "&lol;"), DEVICES), "<domain/>"]
        made += [document(METADATA, [device]) for device in DEVICES]
        made += [
            document(METADATA.replace(" virt-1 ", tag), DEVICES[:1]) for tag in ("t" * 300, "a&#9;b", "<a/>x<!-- -->y")
        ]
        many = "<nova:port uuid='a'/>" * MOST_NODES
        made.append(document(METADATA.replace("<nova:ports>", f"<nova:ports><!-- all of them -->{many}"), DEVICES[:1]))
        made.append(BOMB + document(METADATA.replace(" virt-1 ", "&c;"), DEVICES[:1]))
        fragment = METADATA[: METADATA.index("<v:vm")]
        return [
            (xml, (None, fragment, "gone")[at % 3], ("", BACKUP)[at % 2], at)
            for at, xml in enumerate(made + recorded())
        ]

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts(TOKENS), strange=0.0)

    def fresh(self) -> st.SearchStrategy[Plain]:
        attributes = st.dictionaries(
            st.sampled_from(ATTRIBUTES), st.sampled_from((*WORDS, *hostile.TEXTS)) | st.text(max_size=20), max_size=4
        )
        text = st.sampled_from((*WORDS, "&lol;", "<![CDATA[x]]>", "<!-- x -->")) | st.text(max_size=20).map(escape)
        element = st.sampled_from(ELEMENTS)
        tree = st.recursive(
            text, lambda inner: st.builds(_written, element, attributes, st.lists(inner, max_size=4)), max_leaves=15
        )
        whole = st.lists(tree, max_size=4).map("".join)
        xml = st.builds(document, whole, st.lists(tree, max_size=4)) | st.builds(
            _written, element, attributes, st.lists(tree)
        )
        return st.tuples(
            xml, st.none() | tree | st.sampled_from(tuple(REFUSALS)), st.just(BACKUP) | tree, st.integers(0, 11)
        )

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        xml, fragment, backup, number = base
        chance = random.random()
        if chance < 0.45:
            xml = mutator.strings.change(random, xml, other[0], mutator.styles)
        elif chance < 0.75:
            xml = _rearranged(random, xml, other[0])
        elif chance < 0.85:
            fragment = mutator.strings.change(random, fragment or "", other[0], mutator.styles)
        elif chance < 0.93:
            backup = mutator.strings.change(random, backup, other[0], mutator.styles)
        else:
            fragment = pick(random, (None, *REFUSALS, other[1]))
            number = below(random, 12)
        return xml, fragment, backup, number

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        xml, fragment, backup, number = base
        if random.random() < 0.4:
            xml = mutator.inflate(random, xml, size)
        elif random.random() < 0.8:
            xml = _nested(random, xml, size)
        elif random.random() < 0.5:
            fragment = _nested(random, fragment or "<a/>", size)
        else:
            backup = mutator.inflate(random, backup or BACKUP, size)
        return xml, fragment, backup, number

    def run(self, data: Plain) -> None:
        xml, fragment, backup, number = data

        def metadata(namespace: str) -> str:
            if fragment in REFUSALS:
                raise REFUSALS[fragment]()
            return str(fragment)

        found = domainxml.describe(
            xml,
            namespace=TAG,
            element="tag",
            mounts=MOUNTS,
            metadata=None if fragment is None else metadata,
            pick=self._picks[number % len(self._picks)] if number % 5 else None,
            backup=backup,
        )
        require(len(found.tag) <= domainxml.LONGEST_TAG and not _CONTROL.search(found.tag), "the tag is unfit")
        require(found.metadata is None or len(found.metadata) <= LONGEST_PICK, "the picked text is too long")
        for name in (*found.storage, found.placement):
            require(len(name) <= storage.LONGEST and not _CONTROL.search(name), "the name of a storage domain is unfit")
        require(all(disk.target for disk in found.disks), "a disk has no target")
        require(all(nic.target and nic.mac for nic in found.nics), "an interface has no target or address")
        for problem in found.problems:
            require(0 < len(problem) < 1000, "a problem is empty, or too long for a log line")
        labelled = self._labels[number % len(self._labels)].apply("web-1", found)
        for devices in (labelled.disks, labelled.nics):
            labels = {device.target: device.label for device in devices}
            require(len(set(labels.values())) == len(labels), "two devices share a label")
            require(
                all(0 < len(label.encode()) <= LONGEST for label in labels.values()), "a label is too long, or empty"
            )
            require(not any(map(_CONTROL.search, labels.values())), "a label has control characters")


def _written(name: str, attributes: dict[str, str], children: Sequence[str]) -> str:
    pairs = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{pairs}>{''.join(children)}</{name}>"


def _rearranged(random: Random, xml: str, other: str) -> str:
    """Take a whole tag or text out, double it, move it, or put one of another document there."""
    pieces = _PIECES.findall(xml)
    if not pieces:
        return xml
    at, to = below(random, len(pieces)), below(random, len(pieces))
    chance = random.random()
    if chance < 0.25:
        del pieces[at]
    elif chance < 0.5:
        pieces.insert(to, pieces[at])
    elif chance < 0.65:
        pieces[at], pieces[to] = pieces[to], pieces[at]
    elif chance < 0.85:
        pieces.insert(to, pick(random, _PIECES.findall(other) or [""]))
    else:
        start, end = sorted((at, to))
        pieces[start:start] = pieces[start:end]
    return "".join(pieces)[: mutation.MOST]


def _nested(random: Random, xml: str, size: int) -> str:
    """Put many elements around each other somewhere, or many attributes into one."""
    pieces = _PIECES.findall(xml) or [""]
    at = below(random, len(pieces))
    name = pick(random, ELEMENTS)
    if random.random() < 0.7:
        times = min(size // (2 * len(name) + 5), mutation.MOST // (2 * len(name) + 5))
        pieces[at] = f"<{name}>" * times + pieces[at] + f"</{name}>" * times
    else:
        attributes = " ".join(f"{pick(random, ATTRIBUTES)}{number}='x'" for number in range(min(size // 16, 40000)))
        pieces[at] = f"{pieces[at]}<{name} {attributes}/>"
    return "".join(pieces)[: mutation.MOST]
