"""What a domain's XML says of it, whatever stands in its metadata."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn
from xml.sax.saxutils import escape

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from virt2 import errors
from virt2.description import domainxml, storage
from virt2.description.metadata import Pick
from virt2.model.domain import Description, Disk, Nic
from virt2.text import xpath

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No limits in wall-clock seconds: a busy machine is no failure."""

TAG = "http://ovirt.org/ovirtmap/tag/1.0"
MOUNTS = storage.Mounts.parse("1 1 254:1 / / rw - ext4 /dev/vda1 rw\n2 1 0:9 / /srv/nfs rw - nfs4 filer:/vm rw")
SD = "3a6a4b5c-0d1e-4f20-8123-456789abcdef"

DISKS = """
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <disk type='file' device='disk'>
      <source file='/srv/nfs/a &lt;b&gt;.img' index='1'/>
      <backingStore type='file'><source file='/base.img'/><backingStore/></backingStore>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='block' device='lun'><source dev='/dev/vg/lv'/><target dev='sdb' bus='scsi'/></disk>
    <disk type='network' device='disk'>
      <source protocol='rbd' name='vms/c'><host name='m1' port='6789'/></source><target dev='vdc'/>
    </disk>
"""
NICS = """
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='vnet0'/></interface>
"""
FOUND_DISKS = (
    Disk("vda", "/srv/nfs/a <b>.img", "filer:/vm", backing=("/",)),
    Disk("sdb", "/dev/vg/lv", "vg"),
    Disk("vdc", "vms/c", "rbd://m1/vms"),
    Disk("sda", "", ""),
)
FOUND_NICS = (Nic("vnet0", "52:54:00:00:00:01", tap=True),)


def document(metadata: str = "", devices: str = DISKS + NICS) -> str:
    return f"""<domain type='kvm' id='7'>
  <name>a&lt;metadata&gt;</name>
  <description>&lt;metadata&gt; &lt;/metadata&gt;</description>
  {metadata}
  <os><type arch='x86_64'>hvm</type></os>
  <devices>{devices}</devices>
  <seclabel type='dynamic'><label>&lt;/metadata&gt;</label></seclabel>
</domain>
"""


def within(content: str) -> str:
    return document(f"<metadata>{content}</metadata>")


def tagged(*tags: str) -> str:
    return within("".join(f'<ovirt-tag:tag xmlns:ovirt-tag="{TAG}">{tag}</ovirt-tag:tag>' for tag in tags))


def describe(xml: str, fragment: str | errors.Error | None = None, backup: str = "") -> Description:
    def metadata(namespace: str) -> str:
        if isinstance(fragment, str):
            return fragment
        assert fragment is not None
        raise fragment

    source = None if fragment is None else metadata
    return domainxml.describe(xml, namespace=TAG, element="tag", mounts=MOUNTS, metadata=source, backup=backup)


def not_asked(namespace: str) -> NoReturn:
    raise AssertionError("libvirt was asked for the metadata")


def test_a_domain_with_everything() -> None:
    found = domainxml.describe(tagged("virt-1"), namespace=TAG, element="tag", mounts=MOUNTS, metadata=not_asked)
    assert found == Description("virt-1", FOUND_DISKS, FOUND_NICS)


@pytest.mark.parametrize(
    ("channel", "agent"),
    [
        ("<target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>", True),
        ("<target type='virtio' name='org.qemu.guest_agent.0' state='disconnected'/>", False),
        # An old libvirt does not tell.
        ("<target type='virtio' name='org.qemu.guest_agent.0'/>", True),
        ("<target type='virtio' name='org.qemu.guest_agent.1' state='connected'/>", False),
        ("<target type='virtio' name='com.redhat.spice.0' state='connected'/>", False),
        ("<target type='virtio'/>", False),
        ("", False),
    ],
)
def test_an_agent_can_be_asked_where_its_channel_is_open(channel: str, agent: bool) -> None:
    spice = "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0' state='connected'/></channel>"
    for devices in (
        f"<channel type='unix'>{channel}</channel>{spice}",
        f"{spice}<channel type='unix'>{channel}</channel>",
    ):
        assert describe(document("", devices)).agent is agent


def test_a_channel_in_the_metadata_is_none() -> None:
    channel = "<channel type='unix'><target name='org.qemu.guest_agent.0' state='connected'/></channel>"
    assert not describe(within(f"<devices>{channel}</devices>{channel}")).agent


@pytest.mark.parametrize("text", ["<domain/>", "<domain><devices/></domain>", document("", "")])
def test_a_domain_with_nothing(text: str) -> None:
    assert describe(text) == Description()


def test_disks_without_a_target_are_left_out() -> None:
    devices = "<disk type='file'><source file='/a'/></disk><disk type='file'><source file='/a'/><target dev=''/></disk>"
    assert describe(document("", devices)) == Description()


@pytest.mark.parametrize("missing", ["<target dev='vnet0'/>", "<mac address='52:54:00:00:00:01'/>"])
def test_nics_without_a_target_or_a_mac_are_left_out(missing: str) -> None:
    assert describe(document("", NICS.replace(missing, ""))).nics == ()


@pytest.mark.parametrize(("attribute", "kind"), [("file", "file"), ("dev", "block"), ("dir", "dir")])
def test_the_source_is_the_path_as_it_is_written(attribute: str, kind: str) -> None:
    text = document("", f"<disk type='{kind}'><source {attribute}='//a/../b '/><target dev='vda'/></disk>")
    assert describe(text).disks[0].source == "//a/../b "


@pytest.mark.parametrize(
    ("disk", "name"),
    [
        ("<disk type='network'><source protocol='rbd' name='vms/c'/>", "vms/c"),
        ("<disk type='network'><source protocol='nbd'><host name='n1'/></source>", "nbd://n1"),
        ("<disk type='volume'><source pool='default' volume='c.img'/>", "default/c.img"),
        ("<disk type='vhostuser'><source type='unix' path='/run/v.sock'/>", "/run/v.sock"),
        (
            "<disk type='nvme'><source type='pci' namespace='1'><address domain='0x0' bus='0x1' slot='0x2'"
            " function='0x3'/></source>",
            "0000:01:02.3",
        ),
        ("<disk type='network'><source/>", ""),
        ("<disk type='file' device='cdrom'>", ""),
    ],
)
def test_a_source_without_a_path_is_what_its_storage_calls_it(disk: str, name: str) -> None:
    assert describe(document("", f"{disk}<target dev='vda'/></disk>")).disks[0].source == name


def test_interfaces_are_numbered_among_those_with_a_target() -> None:
    devices = """<interface type='hostdev'><mac address='52:54:00:00:00:01'/></interface>
        <interface type='bridge'><target dev='vnet0'/></interface>
        <interface type='bridge'><mac address='52:54:00:00:00:03'/><target dev='vnet2'/></interface>
        <interface type='bridge'><mac address='52:54:00:00:00:02'/><target dev='vnet1'/></interface>"""
    assert [(nic.target, nic.number) for nic in describe(document("", devices)).nics] == [("vnet2", 2), ("vnet1", 3)]


def test_a_cd_does_not_place_the_domain() -> None:
    devices = """<disk type='file' device='cdrom'><source file='/isos/a.iso'/><target dev='sda'/></disk>
        <disk type='file' device='floppy'><source file='/isos/a.flp'/><target dev='fda'/></disk>
        <disk type='file' device='disk'><source file='/srv/nfs/b'/><target dev='vdb'/></disk>
        <disk type='file'><source file='/srv/nfs/a'/><target dev='vda'/></disk>"""
    found = describe(document("", devices))
    assert [disk.target for disk in found.disks] == ["vdb", "vda", "sda", "fda"]
    assert found.storage == ("filer:/vm", "/")


def test_elements_of_the_right_name_in_other_places_are_not_taken() -> None:
    tag = f"<tag xmlns='{TAG}'>silver</tag>"
    lookalikes = f"<devices>{DISKS}{NICS}{tag}</devices>{DISKS}<domain>{document()}</domain><metadata>{tag}</metadata>"
    other_device = f"<hostdev><mac address='52:54:00:00:00:02'/><target dev='vnet1'/>{DISKS}{NICS}</hostdev>"
    text = document(f"<metadata>{lookalikes}</metadata>", f"{tag}{other_device}{DISKS}{NICS}")
    text = text.replace("<os>", f"<other>{tag}{lookalikes}</other><os>")
    assert describe(text) == Description("", FOUND_DISKS, FOUND_NICS)


# The tag


@pytest.mark.parametrize(
    "content",
    [
        f"<ovirt-tag:tag xmlns:ovirt-tag='{TAG}'>gold</ovirt-tag:tag>",
        f"<ovirtmap:tag xmlns:ovirtmap='{TAG}'>gold</ovirtmap:tag>",
        f"<tag xmlns='{TAG}'>gold</tag>",
        f"<tag xmlns='{TAG}'>\n    gold\n\t</tag>",
        f"<tag xmlns='{TAG}'><![CDATA[ go]]>ld<!-- silver --></tag>",
        f"<tag xmlns='{TAG}'>go<other>silver</other>ld</tag>",
        f"<a:tag xmlns:a='urn:other'>silver</a:tag><b:tag xmlns:b='{TAG}'>gold</b:tag>",
        f"<tag>silver</tag><tag xmlns='{TAG}'>gold</tag>",
        f"<x:tag>silver</x:tag><tag xmlns='{TAG}'>gold</tag>",
        f"<tag xmlns='{TAG}'>gold</tag><tag xmlns='{TAG}'>gold</tag><tag xmlns='{TAG}'> </tag>",
        f"<outer><tag xmlns='{TAG}'>silver</tag></outer><tag xmlns='{TAG}'>gold</tag>",
        f"<o:tag xmlns:o='urn:other' xmlns='{TAG}'>silver</o:tag><tag xmlns='{TAG}'>gold</tag>",
    ],
)
def test_the_tag_is_the_text_of_its_element(content: str) -> None:
    assert describe(within(content)) == Description("gold", FOUND_DISKS, FOUND_NICS)


@pytest.mark.parametrize("where", ["domain type='kvm'", "metadata"])
def test_a_prefix_may_be_declared_further_up(where: str) -> None:
    text = within("<o:tag>gold</o:tag>").replace(f"<{where}", f"<{where} xmlns:o='{TAG}'", 1)
    assert describe(text).tag == "gold"


def test_the_nearest_declaration_counts() -> None:
    text = document(
        f"<metadata xmlns:o='{TAG}' xmlns='{TAG}'><o:tag xmlns:o='urn:other'>a</o:tag><tag xmlns=''>b</tag></metadata>"
    )
    assert describe(text).tag == ""


def test_namespace_and_element_can_be_chosen() -> None:
    text = within("<n:pool xmlns:n='urn:n'>gold</n:pool>")
    assert domainxml.describe(text, namespace="urn:n", element="pool", mounts=MOUNTS).tag == "gold"


@pytest.mark.parametrize("text", [document(), document("<metadata/>"), tagged(""), tagged(" \n\t "), tagged("", " ")])
def test_a_domain_without_a_tag_is_untagged(text: str) -> None:
    assert describe(text) == Description("", FOUND_DISKS, FOUND_NICS)


def test_of_different_tags_the_first_is_used_and_the_operator_told() -> None:
    found = describe(tagged("gold", "silver", "gold", "bronze"))
    assert found.tag == "gold"
    assert found.problems == ("3 different tags: the first, 'gold', is used",)
    assert describe(tagged("silver", "gold")).problems == ("2 different tags: the first, 'silver', is used",)


@pytest.mark.parametrize("tag", ["a\nb", "a\tb", "a&#x9;b", "a&#x7f;b", "a&#x85;b", "a&#x9f;b"])
def test_a_tag_with_control_characters_is_not_used(tag: str) -> None:
    found = describe(tagged(tag))
    assert found[:3] == ("", FOUND_DISKS, FOUND_NICS)
    assert len(found.problems) == 1
    assert "control characters: treated as untagged" in found.problems[0]
    assert found.problems[0].isprintable()


def test_a_tag_may_have_255_characters_and_no_more() -> None:
    assert describe(tagged("ü" * 255)) == Description("ü" * 255, FOUND_DISKS, FOUND_NICS)
    found = describe(tagged("ü" * 256))
    assert found.tag == ""
    assert found.problems == (f"tag '{'ü' * 60}'... is longer than 255 characters: treated as untagged",)


@pytest.mark.parametrize("tag", ["\u202egold\u202c", "go\u200bld", "\u05d6\u05d4\u05d1", "\U0001f947"])
def test_any_writing_may_be_a_tag(tag: str) -> None:
    assert describe(tagged(tag)) == Description(tag, FOUND_DISKS, FOUND_NICS)


def test_a_problem_quotes_no_character_a_terminal_would_obey() -> None:
    assert all(problem.isprintable() for problem in describe(tagged("\u202ea", "\x9b31mb", "c")).problems)


def test_a_domain_holds_the_storage_of_the_images_below_its_disks_too() -> None:
    """What touches a disk's size touches these: they count for the quarantine, and never for the reader."""
    chain = """<backingStore type='file'><format type='qcow2'/><source file='/srv/nfs/middle'/>
      <backingStore type='network'><source protocol='rbd' name='gold/base'><host name='m1' port='6789'/></source>
      <backingStore/></backingStore></backingStore>"""
    devices = f"""
      <disk type='file'><source file='/srv/local/top'/>{chain}<target dev='vda'/></disk>
      <disk type='block'><source dev='/dev/vg/lv'/><target dev='vdb'/></disk>"""
    found = describe(document(devices=devices))
    assert [disk.storage for disk in found.disks] == ["/", "vg"]
    assert found.disks[0].backing == ("filer:/vm", "rbd://m1/gold")
    assert found.storage == ("/", "vg", "filer:/vm", "rbd://m1/gold")


def test_what_a_disk_is_being_copied_to_is_storage_of_the_domain() -> None:
    mirror = """<mirror type='network' job='copy' ready='yes'><format type='qcow2'/>
      <source protocol='rbd' name='gold/copy'><host name='m1' port='6789'/></source>
      <backingStore type='file'><source file='/srv/nfs/base'/><backingStore/></backingStore></mirror>"""
    found = describe(
        document(devices=f"<disk type='block'><source dev='/dev/vg/lv'/>{mirror}<target dev='vda'/></disk>")
    )
    assert found.disks[0].storage == "vg"
    assert found.storage == ("vg", "rbd://m1/gold", "filer:/vm")
    assert found.placement == "vg"


def test_an_old_mirror_has_its_file_in_an_attribute() -> None:
    mirror = "<mirror file='/srv/nfs/copy' format='raw' ready='yes'/>"
    found = describe(
        document(devices=f"<disk type='block'><source dev='/dev/vg/lv'/>{mirror}<target dev='vda'/></disk>")
    )
    assert found.storage == ("vg", "filer:/vm")


def test_the_data_file_of_an_image_or_of_one_below_it_is_storage_of_the_domain() -> None:
    data = "<dataStore type='{}'><format type='raw'/><source {}/></dataStore>"
    devices = f"""<disk type='file'><source file='/a'>{data.format("file", "file='/srv/nfs/data'")}</source>
      <backingStore type='file'><source file='/b'>{data.format("block", "dev='/dev/vg2/data'")}</source></backingStore>
      <target dev='vda'/></disk>"""
    assert describe(document(devices=devices)).storage == ("/", "filer:/vm", "vg2")


FLASH = "<loader readonly='yes' type='pflash'>/srv/nfs/CODE.fd</loader>"
NFS_VARIABLES = "<source file='/srv/nfs/x_VARS.fd'/>"


@pytest.mark.parametrize(
    ("firmware", "storage"),
    [
        pytest.param("<nvram template='/srv/nfs/VARS.fd'>/srv/nfs/x_VARS.fd</nvram>", ("filer:/vm",), id="a path"),
        pytest.param("<nvram>  /dev/vg2/x_VARS\n</nvram>", ("vg2",), id="a device"),
        pytest.param(f"<nvram type='file' format='qcow2'>{NFS_VARIABLES}</nvram>", ("filer:/vm",), id="a source"),
        pytest.param(
            "<nvram type='block'><source dev='/dev/vg2/x'/></nvram>", ("vg2",), id="a source that is a device"
        ),
        pytest.param(
            "<nvram type='network'><source protocol='rbd' name='gold/x'><host name='m1'/></source></nvram>",
            ("rbd://m1/gold",),
            id="a source elsewhere",
        ),
        pytest.param(FLASH, ("filer:/vm",), id="a loader"),
        pytest.param("<loader type='rom'>/srv/nfs/bios.bin</loader>", (), id="a ROM"),
        pytest.param("<loader>/srv/nfs/bios.bin</loader>", (), id="a ROM by default"),
        pytest.param("<nvram>/var/lib/libvirt/qemu/nvram/x_VARS.fd</nvram>", (), id="where libvirt itself lives"),
        pytest.param("<nvram template='/srv/nfs/VARS.fd'/>", (), id="not made yet"),
    ],
)
def test_the_images_of_the_firmware_are_storage_of_the_domain_and_place_it_nowhere(firmware, storage) -> None:
    xml = document().replace("<os>", f"<os>{firmware}")
    assert describe(xml).others == storage
    assert describe(document(devices="").replace("<os>", f"<os>{firmware}")).placement == ""
    assert describe(xml).placement == describe(document()).placement


@pytest.mark.parametrize(
    ("image", "storage"),
    [
        ("<scratch file='/srv/nfs/overwritten'/>", ("filer:/vm",)),
        ("<target file='/srv/nfs/copy'/>", ("filer:/vm",)),
        ("<target dev='/dev/vg2/copy'/>", ("vg2",)),
    ],
)
def test_what_a_backup_writes_to_is_storage_of_the_domain(image, storage) -> None:
    disk = f"<disk name='vda' backup='yes' type='file'>{image}</disk>"
    backup = f"<domainbackup mode='pull'><disks>{disk}</disks></domainbackup>"
    assert describe(document(), backup=backup).others == storage
    assert describe(document(), backup="<domainbackup").others == ()


def test_a_backup_with_what_no_text_can_have_raises_nothing() -> None:
    disk = "<disk><scratch file='/srv/nfs/\udcff'/></disk>"
    assert describe(document(), backup=f"<domainbackup><disks>{disk}</disks></domainbackup>").others == ("filer:/vm",)
    assert describe(document(), backup="\ud800").others == ()


# oVirt's note of a disk's storage domain

DEVICE = f"""<vm:vm xmlns:vm="http://ovirt.org/vm/1.0">
  <vm:clusterVersion>4.7</vm:clusterVersion>
  <vm:device mac_address="56:6f"><vm:domainID>not-a-disk</vm:domainID></vm:device>
  <vm:device devtype="disk" name="vdc"><vm:domainID> {SD} </vm:domainID><vm:poolID>pool</vm:poolID></vm:device>
  <vm:device devtype="disk"><vm:domainID>nameless</vm:domainID></vm:device>
  <vm:domainID>not-in-a-device</vm:domainID>
</vm:vm>"""


def test_ovirts_metadata_gives_the_storage_domain_of_a_disk() -> None:
    storages = {disk.target: disk.storage for disk in describe(within(DEVICE)).disks}
    assert storages == {"vda": "filer:/vm", "sdb": "vg", "vdc": SD, "sda": ""}


def test_the_same_note_in_another_namespace_is_none() -> None:
    assert describe(within(DEVICE.replace("ovirt.org", "example.com"))).disks == FOUND_DISKS


# Metadata that costs itself only

ENTITIES = (Path(__file__).parent / "data" / "metadata-with-entities.xml").read_text(encoding="utf-8")
"""As libvirt 9.0 printed it for a domain defined with entities of its own: it drops their declarations."""


def test_undeclared_entities_as_libvirt_prints_them_cost_no_disk() -> None:
    found = describe(ENTITIES, "<tag>gold</tag>")
    assert found.tag == "gold"
    assert [disk.target for disk in found.disks] == ["vda"]
    assert found.problems == ()


@pytest.mark.parametrize(
    "content",
    [
        "&foo;",
        "&foo;<!-- </metadata> -->",
        "&foo;<!-- <metadata> -->",
        "&foo;<![CDATA[</metadata>]]>",
        "&foo;<![CDATA[</domain>]]>",
        "&foo;<?pi </metadata><devices> ?>",
        "&foo;<metadata><metadata/>x</metadata>",
        "&foo;<x:metadata xmlns:x='urn:x'/>",
        "<a></b>",
        "<a>",
        "</a>",
        "<a b='1' b='2'/>",
        "<!DOCTYPE domain [<!ENTITY foo 'bar'>]>&foo;",
        "<![CDATA[",
        "<!--",
        "<a b='",
        "\x00",
        "\x1b",
        "\ud800&foo;",
        "</metadata>",
        "</metadata></domain>",
        "</metadata><metadata>&foo;",
        "<metadata>",
    ],
)
def test_metadata_that_cannot_be_parsed_costs_no_disk(content: str) -> None:
    assert describe(within(content), "<tag>gold</tag>") == Description("gold", FOUND_DISKS, FOUND_NICS)


@pytest.mark.parametrize("start", ["<metadata>", "<metadata\n x='1'>", "<metadata xmlns:x='/metadata'>"])
def test_the_metadata_is_found_however_its_start_tag_is_written(start: str) -> None:
    assert describe(document(f"{start}&foo;</metadata>"), "<tag>gold</tag>").disks == FOUND_DISKS


def test_an_element_whose_name_only_starts_alike_is_not_the_metadata() -> None:
    cache = "<metadata_cache><max_size unit='bytes'>1</max_size></metadata_cache>"
    text = document("", DISKS.replace("<target dev='vda'", f"<driver>{cache}</driver><target dev='vda'") + NICS)
    assert describe(text) == Description("", FOUND_DISKS, FOUND_NICS)
    assert domainxml._without_metadata(text) == text


BROKEN = within("&foo;")
UNTAGGED = Description("", FOUND_DISKS, FOUND_NICS)


@pytest.mark.parametrize(
    ("fragment", "problem"),
    [
        (None, "metadata cannot be parsed (undefined entity): treated as untagged"),
        ("", ""),
        ("\n", ""),
        ("<tag> </tag>", ""),
        ("<other>gold</other>", ""),
        ("<a><tag>gold</tag></a>", ""),
        (f"<tag xmlns='urn:other'>{TAG}</tag>", ""),
        ("<tag>&foo;</tag>", "tag cannot be parsed (undefined entity): treated as untagged"),
        ("<!DOCTYPE tag [<!ENTITY foo 'bar'>]><tag>&foo;</tag>", "tag cannot be parsed (document type not accepted)"),
        ("<tag>gold</tag><tag>silver</tag>", "tag cannot be parsed (junk after document element)"),
        ("<tag>a&#10;b</tag>", "control characters: treated as untagged"),
        (errors.DomainGone("gone"), ""),
        (errors.Unsupported("no"), "metadata cannot be parsed (undefined entity) and cannot be read in parts"),
        (errors.CallFailed("bad\n" + "long" * 100, 1), "reading the tag alone failed ('bad\\nlonglong"),
    ],
)
def test_a_tag_that_cannot_be_had_alone_either(fragment: str | errors.Error | None, problem: str) -> None:
    found = describe(BROKEN, fragment)
    assert found._replace(problems=()) == UNTAGGED
    assert len(found.problems) == bool(problem)
    assert all(problem in text and text.isprintable() and len(text) < 200 for text in found.problems)


@pytest.mark.parametrize("fragment", ["<tag>gold</tag>", f"<o:tag xmlns:o='{TAG}'>\n gold\n</o:tag>"])
def test_a_tag_had_alone_with_or_without_its_namespace(fragment: str) -> None:
    assert describe(BROKEN, fragment) == Description("gold", FOUND_DISKS, FOUND_NICS)


def test_a_lost_connection_is_the_callers_business() -> None:
    with pytest.raises(errors.Disconnected):
        describe(BROKEN, errors.Disconnected("lost"))


# Text that is hostile or no domain at all


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no element found"),
        ("<domain>", "no element found"),
        ("<capabilities/>", "not a domain"),
        ("<domain><devices><disk></devices></domain>", "mismatched tag"),
        ("&foo;", ""),
        ("\x00", ""),
        ("<domain>&foo;</domain>", "undefined entity"),
        (document("<metadata>&foo;").replace("</metadata>", ""), "undefined entity"),
        ("<!DOCTYPE domain [<!ENTITY a 'b'>]>" + document(), "document type not accepted"),
        ("<!DOCTYPE domain>" + within("&foo;"), "document type not accepted"),
    ],
)
def test_xml_that_cannot_be_parsed_is_a_problem_and_no_exception(text: str, problem: str) -> None:
    found = describe(text, "<tag>gold</tag>")
    assert found[:3] == ("", (), ())
    assert len(found.problems) == 1
    assert found.problems[0].startswith("XML cannot be parsed (")
    assert problem in found.problems[0]


def bomb(levels: int = 30) -> str:
    entities = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10 if n else 'bang'}'>" for n in range(levels))
    return f"<!DOCTYPE domain [{entities}]>"


LARGE = 1 << 19

HOSTILE = {
    "bomb": bomb() + within(f"<tag xmlns='{TAG}'>&e29;</tag>"),
    "bomb within": within(bomb() + "&e29;"),
    "deep": within("<a>" * (LARGE // 2) + "</a>" * (LARGE // 2)),
    "deep and broken": within("<a>" * LARGE),
    "deep disk": document("", "<disk>" + "<a>" * (LARGE // 8) + "</a>" * (LARGE // 8) + "</disk>" + DISKS + NICS),
    "wide": within("<a/>" * (LARGE // 2)),
    "long text": within("a" * 4 * LARGE),
    "long tag": tagged("a" * 4 * LARGE),
    "many tags": within(f"<tag xmlns='{TAG}'/>" * (LARGE // 16)),
    "long namespace": within(f"<a xmlns:b='{'u' * LARGE}'>" + "<b:c/>" * (LARGE // 4) + "</a>"),
    "attributes": within("<a " + " ".join(f"b{n}=''" for n in range(LARGE // 8)) + "/>"),
    "declarations": within("<a " + " ".join(f"xmlns:b{n}='u'" for n in range(LARGE // 16)) + "/>"),
    "entities": within("&foo;" * (LARGE // 2)),
    "starts": within("&foo;<!-- " + "<metadata " * (LARGE // 4) + " -->"),
    "ends": within("&foo;<!-- " + "</metadata>" * (LARGE // 4) + " -->"),
    "open comments": within("<!-- " * (LARGE // 2)),
    "brackets": within("&foo;" + "<" * 4 * LARGE),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    start = time.process_time()
    found = describe(text, f"{bomb()}<tag>&e29;</tag>")
    # A tenth of it on a slow day; quadratic work on these would take minutes.
    assert time.process_time() - start < 4
    assert found.disks == (FOUND_DISKS if not text.startswith("<!DOCTYPE") else ())
    assert len(found.problems) <= 1
    assert all(len(problem) < 200 for problem in found.problems)
    assert found.tag == ""


def test_nesting_does_not_use_the_interpreters_stack() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(150)
    try:
        assert describe(HOSTILE["deep"]).disks == FOUND_DISKS
        assert describe(HOSTILE["deep disk"]).disks == FOUND_DISKS
    finally:
        sys.setrecursionlimit(limit)


PIECES = st.sampled_from(
    [
        *("<metadata>", "</metadata>", "<metadata/>", "<devices>", "</devices>", "<disk><target dev='evil'/></disk>"),
        *("<domain>", "</domain>", f"<tag xmlns='{TAG}'>", "</tag>", "<a>", "</a>", "<!--", "-->", "<![CDATA[", "]]>"),
        *("<?p", "?>", "<!DOCTYPE a>", "&foo;", "&lt;", "'", '"', "<", ">", "x", " ", "\n", "\x00", "\ud800"),
    ]
)


@calm
@given(st.lists(PIECES, max_size=12).map("".join))
@example("</metadata><devices><disk><target dev='evil'/></disk></devices><metadata>&foo;")
def test_content_that_libvirt_can_print_never_changes_disks_or_nics(content: str) -> None:
    # Well-formed up to undeclared entities is what libvirt can print; anything else is cut out just so, because only
    # what stands before the first start tag and behind the last end tag is believed.
    text = within("&broken;" + content)
    assert describe(text, "<tag>gold</tag>") == Description("gold", FOUND_DISKS, FOUND_NICS)


@calm
@given(st.text(max_size=300))
def test_any_tag_comes_back_trimmed_or_with_a_problem(tag: str) -> None:
    found = describe(tagged(escape(tag)), "")
    assert found[1:3] == (FOUND_DISKS, FOUND_NICS)
    assert found.tag in (tag.strip(), "")
    if tag.strip() and tag.isprintable() and len(tag) <= 255:
        assert found == Description(tag.strip(), FOUND_DISKS, FOUND_NICS)


@calm
@given(st.text(max_size=200) | st.lists(PIECES, max_size=12).map("".join))
def test_any_text_gives_a_description(text: str) -> None:
    found = describe(text, text)
    assert all(problem.isprintable() and len(problem) < 200 for problem in found.problems)


# What is picked out of the metadata

NOVA_1, NOVA_0 = "urn:nova:1.1", "urn:nova:1.0"
PICK = Pick((NOVA_1, NOVA_0), xpath.Path("/instance/name/text()"))


def instance(name: str = "shop", namespace: str = NOVA_1) -> str:
    return f"<n:instance xmlns:n='{namespace}'><n:package version='1'/><n:name>{name}</n:name></n:instance>"


def pick(xml: str, path: str = PICK.path.text, fetch: Callable[[str], str] = not_asked) -> Description:
    wanted = PICK._replace(path=xpath.Path(path))
    return domainxml.describe(xml, namespace=TAG, element="tag", mounts=MOUNTS, metadata=fetch, pick=wanted)


def test_nothing_is_picked_unless_wanted() -> None:
    assert describe(within(instance())).metadata is None


@pytest.mark.parametrize(
    ("content", "path", "expected"),
    [
        (instance(), "/instance/name/text()", "shop"),
        (instance(" a\n "), "/instance/name/text()", " a\n "),
        (instance("a &amp; b"), "/instance/name/text()", "a & b"),
        (instance("<![CDATA[a<]]>b"), "/instance/name/text()", "a<b"),
        (instance(namespace=NOVA_0), "/instance/name/text()", "shop"),
        (instance("old", NOVA_0) + instance("new", NOVA_1), "/instance/name/text()", "new"),
        (instance("<n:x/>", NOVA_1) + instance("old", NOVA_0), "/instance/name/text()", "old"),
        (instance("first") + instance("second"), "/instance/name/text()", "first"),
        (instance(), "//@version", "1"),
        (f"<instance xmlns='{NOVA_1}'><name>shop</name></instance>", "/instance/name/text()", "shop"),
        (f"<n:instance xmlns:n='{NOVA_1}'><name>shop</name></n:instance>", "/instance/name/text()", "shop"),
        (f"<n:a xmlns:n='{NOVA_1}' xmlns:o='urn:o' o:b='1' n:c='2' d='3'/>", "/a/@c", "2"),
        (f"<n:a xmlns:n='{NOVA_1}' xmlns:o='urn:o' o:b='1' n:b='2' b='3'/>", "/a/@b", "3"),
        (f"<n:a xmlns:n='{NOVA_1}' xmlns:o='urn:o'><o:b>1</o:b><n:b>2</n:b></n:a>", "/a/b/text()", "2"),
        (f"<n:a xmlns:n='{NOVA_1}'>{'<n:b>' * 9}x{'</n:b>' * 9}</n:a>", "//text()", "x"),
        (f"<n:a xmlns:n='{NOVA_1}'><n:a xmlns:n='urn:o'>1</n:a><n:a>2</n:a></n:a>", "/a/a/text()", "2"),
        (f"<tag xmlns='{TAG}'>gold</tag>{instance()}", "/instance/name/text()", "shop"),
        (instance("x" * 300), "/instance/name/text()", "x" * 255),
    ],
)
def test_one_text_is_picked_by_namespace_and_path(content: str, path: str, expected: str) -> None:
    found = pick(within(content), path)
    assert (found.metadata, found.problems) == (expected, ())
    assert (found.disks, found.nics) == (FOUND_DISKS, FOUND_NICS)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "it has none of 'urn:nova:1.1' or 'urn:nova:1.0'"),
        ("<instance><name>shop</name></instance>", "it has none of"),
        (f"<x>{instance()}</x>", "it has none of"),
        (instance(""), "'/instance/name/text()' selects 0 texts in its element, not one"),
        (instance("a<!-- b -->c"), "selects 2 texts"),
        (instance("a<?b c?>d"), "selects 2 texts"),
        (instance("a<n:b/>c"), "selects 2 texts"),
        (instance("a</n:name><n:name>b"), "selects 2 texts"),
        (instance("a" + "<n:b/>" * 2000), "the element of 'urn:nova:1.1' has over 2000 elements and attributes"),
        (instance("<n:b " + " ".join(f"a{n}=''" for n in range(2000)) + "/>"), "has over 2000"),
    ],
)
def test_where_not_exactly_one_is_selected_nothing_is_picked_and_it_is_said_why(content: str, problem: str) -> None:
    found = pick(within(content))
    assert found.metadata == ""
    assert len(found.problems) == 1
    assert problem in found.problems[0]
    assert found.problems[0].startswith("no metadata in its identity: ")


def test_the_tag_and_the_note_of_ovirt_may_be_picked_from_too() -> None:
    both = f"<tag xmlns='{TAG}'>gold</tag>{DEVICE}"
    for namespace, path, expected in (
        (TAG, "/tag/text()", "gold"),
        ("http://ovirt.org/vm/1.0", "//poolID/text()", "pool"),
    ):
        wanted = Pick((namespace,), xpath.Path(path))
        found = domainxml.describe(within(both), namespace=TAG, element="tag", mounts=MOUNTS, pick=wanted)
        assert (found.metadata, found.tag, found.disks[2].storage) == (expected, "gold", SD)


@pytest.mark.parametrize(
    ("fragments", "expected", "problem"),
    [
        ({NOVA_1: "<instance><name>shop</name></instance>"}, "shop", ""),
        ({NOVA_0: "<instance><name>shop</name></instance>"}, "shop", ""),
        ({NOVA_1: instance()}, "shop", ""),
        ({NOVA_1: "<instance>&foo;</instance>", NOVA_0: "<instance><name>old</name></instance>"}, "old", ""),
        ({}, "", "it has none of"),
        (
            {NOVA_1: "<instance>&foo;</instance>"},
            "",
            "the element of 'urn:nova:1.1' cannot be parsed (undefined entity)",
        ),
        ({NOVA_1: "<instance/><name/>"}, "", "cannot be parsed (junk after document element)"),
        ({NOVA_1: errors.DomainGone("gone")}, None, ""),
        (
            {NOVA_1: errors.Unsupported("no")},
            None,
            "reading the element of 'urn:nova:1.1' alone failed ('no'): it is not used",
        ),
        ({NOVA_1: errors.CallFailed("no", 1)}, None, "alone failed ('no')"),
    ],
)
def test_it_is_fetched_alone_where_the_whole_cannot_be_parsed(
    fragments: dict[str, str | errors.Error], expected: str | None, problem: str
) -> None:
    def fetch(namespace: str) -> str:
        fragment = fragments.get(namespace, "")
        if isinstance(fragment, errors.Error):
            raise fragment
        return fragment

    found = pick(BROKEN, fetch=fetch)
    assert (found.metadata, found.disks) == (expected, FOUND_DISKS)
    assert len(found.problems) == bool(problem)
    assert all(problem in text and text.isprintable() and len(text) < 250 for text in found.problems)


def test_it_is_unknown_where_the_domain_cannot_be_read() -> None:
    assert pick("<domain>&foo;").metadata is None


@pytest.mark.parametrize("kind", ["deep", "wide", "long text", "long namespace", "attributes", "declarations"])
def test_picking_from_hostile_text_costs_no_more_than_its_length(kind: str) -> None:
    text = HOSTILE[kind].replace("<metadata>", f"<metadata><n:instance xmlns:n='{NOVA_1}'><n:name>", 1)
    text = text.replace("</metadata>", "</n:name></n:instance></metadata>", 1)
    start = time.process_time()
    found = pick(text, "//*//*[1][a='x']//text()", lambda namespace: f"{bomb()}<a>&e29;</a>")
    # A tenth of it on a slow day.
    assert time.process_time() - start < 4
    assert found.disks == FOUND_DISKS
    assert found.metadata in ("", None)


@calm
@given(st.lists(PIECES, max_size=12).map("".join))
def test_any_metadata_gives_a_text_or_a_reason(content: str) -> None:
    found = pick(within(instance(content)), "//text()", lambda namespace: content)
    assert found.metadata or len(found.problems) >= 1
