"""What the lab's guests are started from."""

import xml.etree.ElementTree as ElementTree

import pytest

from tests.lab import Guest, wait_for
from tests.lab.boot_sector import BOOT_SECTOR, SECTOR
from tests.lab.guests import IMAGE_SIZE, TAG_NAMESPACE, Images, domain_xml, new_nic


def test_the_boot_sector_is_one_that_firmware_starts():
    assert len(BOOT_SECTOR) == SECTOR
    assert BOOT_SECTOR.endswith(b"\x55\xaa")


def test_the_xml_holds_hostile_names_tags_and_metadata(tmp_path):
    spec = Guest("<&'\">\n\t", tag="<&>", metadata="<x:y xmlns:x='urn:x'/>", disks=5, nics=1)
    xml = ElementTree.fromstring(domain_xml(spec, Images(tmp_path, tmp_path), ["lab0"]))
    assert xml.findtext("name") == spec.name
    assert xml.findtext(f"metadata/{{{TAG_NAMESPACE}}}tag") == "<&>"
    assert xml.find("metadata/{urn:x}y") is not None
    assert [disk.get("dev") for disk in xml.findall("devices/disk/target")] == ["vda", "vdb", "vdc", "vdd", "vde"]
    assert [source.get("file") for source in xml.findall("devices/disk/source")] == [
        str(image) for image in sorted(tmp_path.iterdir(), key=lambda path: int(path.stem))
    ]
    assert {image.stat().st_size for image in tmp_path.iterdir()} == {IMAGE_SIZE}


def test_the_xml_holds_further_elements_and_devices(tmp_path):
    spec = Guest("more", elements="<vcpu>2</vcpu>", devices="<memballoon model='none'/>")
    xml = ElementTree.fromstring(domain_xml(spec, Images(tmp_path, tmp_path), []))
    assert xml.findtext("vcpu") == "2"
    assert xml.find("devices/memballoon").get("model") == "none"


def test_nic_names_are_unique_and_short():
    names = {new_nic() for _ in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) <= 15


def test_waiting_returns_the_first_true_result_or_fails():
    results = iter([0, None, "now", "later"])
    assert wait_for(lambda: next(results), timeout=10) == "now"
    with pytest.raises(TimeoutError, match="the impossible"):
        wait_for(lambda: False, timeout=0, what="the impossible")
