"""What is known of a running domain whose disks move or are copied, and of one whose XML is too long for libvirt."""

from __future__ import annotations

import pytest

from tests.integration.support import INTERVAL, SOON, collectd, of_host, wait_for_reads
from tests.lab import Guest, Lab, RunningGuest, wait_for
from virt2.description import domainxml
from virt2.description.storage import Mounts
from virt2.domains.entries import Describing
from virt2.domains.inventory import Inventory
from virt2.model.domain import Domain
from virt2.sources import procfs
from virt2.sources.hypervisor import Hypervisor
from virt2.workers.budget import Budget

VIR_DOMAIN_METADATA_ELEMENT, LIVE = 2, 1


class Descriptions:
    """An inventory of a lab's domains, read on the test's own thread."""

    def __init__(self, lab: Lab, files: bool = True) -> None:
        self.lab = lab
        self.connection = Hypervisor(lab.uri).connect()
        self.inventory = Inventory(
            None,
            Budget(10),
            Describing(
                lambda: self._describe,
                status_file=procfs.StatusFiles(str(lab.inside("/run/libvirt/qemu"))) if files else None,
                backups=True,
            ),
        )

    def _describe(self, name, xml, fetch, backup):
        mounts = Mounts.parse(self.lab.inside("/proc/1/mountinfo").read_text())
        return domainxml.describe(xml, namespace="urn:t", element="t", mounts=mounts, metadata=fetch, backup=backup)

    def of(self, guest: RunningGuest) -> Domain:
        """Describe a guest as it is now."""
        self.inventory.adopt(self.connection, self.connection.find(guest.name))
        return self.known(guest)

    def known(self, guest: RunningGuest) -> Domain:
        """As it was described last."""
        return next(domain for domain in self.inventory.domains()[1] if domain.uuid == guest.uuid)


@pytest.fixture
def lab(module_lab):
    yield module_lab
    module_lab.reset()


@pytest.fixture
def seen(lab):
    descriptions = Descriptions(lab)
    yield descriptions
    descriptions.connection.close()


def test_what_a_disk_is_being_copied_to_is_known_as_soon_as_it_is(lab, seen):
    target = lab.storage("target")
    guest = lab.guest(Guest("copied", disks=1, nics=0))
    before = seen.of(guest)
    assert str(target.path) not in before.description.storage
    copy = [
        "blockcopy",
        "copied",
        "vda",
        "--dest",
        f"{target.path}/copy",
        "--format",
        "raw",
        "--transient-job",
        "--wait",
    ]
    lab.virsh(*copy)
    # No event tells that a copy began.
    assert seen.inventory.is_current(before) is False
    copied = seen.of(guest)
    assert copied.description.storage[-1] == str(target.path)
    assert copied.placement == before.placement
    assert seen.inventory.is_current(copied) is True
    lab.virsh("blockjob", "copied", "vda", "--pivot")
    assert not seen.inventory.is_fresh(copied, 0.0) or seen.inventory.is_current(copied) is False
    assert seen.of(guest).description.disks[0].source == f"{target.path}/copy"


def test_a_snapshot_of_which_no_event_tells_is_seen(lab, seen):
    elsewhere = lab.storage("overlays")
    guest = lab.guest(Guest("snapped", disks=1, nics=0))
    before = seen.of(guest)
    spec = f"vda,file={elsewhere.path}/overlay"
    lab.virsh("snapshot-create-as", "snapped", "one", "--disk-only", "--no-metadata", "--diskspec", spec)
    assert seen.inventory.is_current(before) is False
    after = seen.of(guest)
    assert after.description.disks[0].storage == str(elsewhere.path)
    assert set(before.description.storage) < set(after.description.storage)


def test_what_a_backup_writes_to_is_known_while_it_runs(lab, seen):
    scratch = lab.storage("scratch")
    guest = lab.guest(Guest("saved", disks=1, nics=0))
    before = seen.of(guest)
    xml = lab.work_dir / "backup.xml"
    disk = f"<disk name='vda' backup='yes' type='file'><scratch file='{scratch.path}/x'/></disk>"
    server = f"<server transport='unix' socket='{lab.work_dir}/nbd'/>"
    xml.write_text(f"<domainbackup mode='pull'>{server}<disks>{disk}</disks></domainbackup>")
    lab.virsh("backup-begin", "saved", str(xml))
    assert seen.inventory.is_current(before) is False
    assert seen.of(guest).description.storage[-1] == str(scratch.path)
    lab.virsh("domjobabort", "saved")
    wait_for(lambda: str(scratch.path) not in seen.of(guest).description.storage, SOON, "the backup is over")


def test_xml_that_is_larger_than_libvirts_messages_costs_root_nothing_and_others_the_disks(lab, seen):
    guest = lab.guest(Guest("wordy", disks=1, nics=2))
    for key in "ab":
        words = f"<x>{'y' * (3 << 20)}</x>"
        guest.domain.setMetadata(VIR_DOMAIN_METADATA_ELEMENT, words, key, f"http://example.org/{key}", LIVE)
    found = seen.of(guest).description
    assert found.complete
    assert [disk.target for disk in found.disks] == guest.disks
    assert [(nic.target, nic.tap) for nic in found.nics] == [(nic, True) for nic in guest.nics]

    blind = Descriptions(lab, files=False)
    found = blind.of(guest).description
    assert not found.complete
    assert found.disks == ()
    assert [nic.target for nic in found.nics] == guest.nics
    blind.connection.close()


def test_a_disk_that_was_moved_and_a_medium_that_was_put_in_are_known_by_the_next_read(lab, tmp_path):
    drive = "<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>"
    lab.guest(Guest("mover", disks=1, nics=0, devices=drive))
    target = lab.work_dir / "moved"
    medium = lab.images(None).create()
    settings = "RefreshInterval 0\nBlockDeviceFormat source\nBlockDeviceFormatBasename true"
    with collectd(lab, tmp_path / "collectd", settings) as daemon:
        wait_for_reads(daemon, 1)

        def names() -> set[str]:
            return {name for name in of_host(daemon.series("mover"), "mover") if name.startswith("disk_ops")}

        copy = ["blockcopy", "mover", "vda", "--dest", str(target), "--format", "raw", "--transient-job", "--wait"]
        lab.virsh(*copy, "--pivot")
        wait_for(lambda: "disk_ops-moved" in names(), 2 * INTERVAL + 1, "the disk has its new name")
        lab.virsh("change-media", "mover", "hdc", str(medium), "--insert")
        wait_for(lambda: f"disk_ops-{medium.name}" in names(), 2 * INTERVAL + 1, "the medium is known")
