"""The storage domain of a disk, told from its XML and the mount table."""

from __future__ import annotations

import builtins
import os
import time
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from virt2.description import storage
from virt2.description.storage import Mounts
from virt2.sources.procfs import read_mounts

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No limits in wall-clock seconds: a busy machine is no failure."""

SD = "3a6a4b5c-0d1e-4f20-8123-456789abcdef"
OTHER = "99999999-0d1e-4f20-8123-456789abcdef"
POOL = "11111111-0d1e-4f20-8123-456789abcdef"
IQN = "iqn.2001-04.com.example:storage-lun-disks"

# As Linux 6.1 writes it, shortened.
MOUNTINFO = r"""22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw
24 23 0:22 / /dev/shm rw,nosuid shared:3 - tmpfs tmpfs rw
30 22 254:2 / /srv rw shared:4 master:1 - xfs /dev/mapper/vg-srv rw
31 30 0:40 / /srv/nfs rw shared:5 - nfs4 filer:/export/vm rw,vers=4.2
32 22 0:41 / /mnt/two\040words rw - nfs filer:/two\040words rw
33 22 0:42 / /mnt/win rw - cifs //win/share rw
34 22 0:43 / /mnt/gluster rw - fuse.glusterfs gl1:/vol rw
35 22 0:44 / /mnt/odd rw - fuse.odd odd rw
36 22 254:9 / /mnt/ntfs rw - fuseblk /dev/sdz1 rw
37 22 0:45 / /mnt/ceph rw - ceph admin@fsid.cephfs=/vm rw
38 22 0:46 / /mnt/auto rw - autofs systemd-1 rw
39 22 0:47 / /mnt/auto rw - nfs4 late:/over rw
40 22 0:48 / /mnt/back\134slash rw - tmpfs tmpfs rw
41 22 0:49 / /mnt/no\011tab rw - tmpfs tmpfs rw
"""
MOUNTS = Mounts.parse(MOUNTINFO)


def disk(source: str, kind: str = "file") -> Element:
    return fromstring(f"<disk type='{kind}' device='disk'>{source}<target dev='vda'/></disk>")


def of_path(path: str, kind: str = "file", domain_id: str = "") -> str:
    element = disk("<source/>", kind)
    source = element.find("source")
    assert source is not None
    source.set({"block": "dev", "dir": "dir"}.get(kind, "file"), path)
    return storage.infer(element, domain_id, MOUNTS)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/libvirt/images/a.img", "/"),
        ("/srv/a.img", "/srv"),
        ("/srv", "/srv"),
        ("/srvx/a.img", "/"),
        ("/srv/nfs/a.img", "filer:/export/vm"),
        ("/srv/nfs/deep/er/a.img", "filer:/export/vm"),
        ("/srv/nfsx/a.img", "/srv"),
        ("//srv//./nfs/../nfs/a.img", "filer:/export/vm"),
        ("/mnt/two words/a.img", "filer:/two words"),
        ("/mnt/win/a.img", "//win/share"),
        ("/mnt/gluster/a.img", "gl1:/vol"),
        ("/mnt/odd/a.img", "/mnt/odd"),
        ("/mnt/ntfs/a.img", "/mnt/ntfs"),
        ("/mnt/ceph/a.img", "admin@fsid.cephfs=/vm"),
        ("/mnt/auto/a.img", "late:/over"),
        ("/mnt/back\\slash/a.img", "/mnt/back\\slash"),
        ("/dev/shm/a.img", "/dev/shm"),
        ("relative.img", ""),
        ("", ""),
    ],
)
def test_an_image_file_lies_on_the_mount_with_the_longest_prefix(path: str, expected: str) -> None:
    assert of_path(path) == expected


def test_a_directory_lies_on_a_mount_as_a_file_does() -> None:
    assert of_path("/srv/nfs", "dir") == "filer:/export/vm"


def test_control_characters_of_a_mount_point_are_escaped_in_its_name() -> None:
    assert of_path("/mnt/no\ttab/a.img") == "/mnt/no\\ttab"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"/rhev/data-center/{POOL}/{SD}/images/{OTHER}/{POOL}", SD),
        (f"/rhev/data-center/mnt/filer:_export/{SD}/images/{OTHER}/{POOL}", SD),
        (f"/rhev/data-center/mnt/glusterSD/gl1:_vol/{SD}/images/{OTHER}/{POOL}", SD),
        (f"/rhev/data-center/mnt/blockSD/{SD}/images/{OTHER}/{POOL}", SD),
        (f"/rhev/data-center/{POOL}/{SD}/images/{OTHER}/images/{POOL}", SD),
        (f"/run/vdsm/storage/{SD}/{OTHER}/{POOL}", SD),
        (f"/var/run/vdsm/storage/{SD}/{OTHER}/{POOL}", SD),
        (f"/dev/{SD}/{OTHER}", SD),
        (f"/dev/mapper/{SD.replace('-', '--')}-{OTHER.replace('-', '--')}", SD),
        (f"/rhev/data-center/{POOL}/not-a-uuid/images/a", "/"),
        (f"/srv/rhev/data-center/{POOL}/{SD}/images/a", "/srv"),
    ],
)
@pytest.mark.parametrize("kind", ["file", "block"])
def test_ovirts_paths_name_the_storage_domain(path: str, expected: str, kind: str) -> None:
    if expected.startswith("/") and kind == "block":
        expected = path
    assert of_path(path, kind) == expected


def test_ovirts_metadata_names_the_storage_domain_where_the_path_does_not() -> None:
    assert of_path("/dev/sdb", "block", domain_id=SD) == SD
    assert of_path(f"/rhev/data-center/{POOL}/{SD}/images/{OTHER}/{POOL}", domain_id=OTHER) == SD


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/vg/lv", "vg"),
        ("/dev/vg//lv", "vg"),
        ("/dev/mapper/vg-lv", "vg"),
        ("/dev/mapper/my--vg-my--lv", "my-vg"),
        ("/dev/mapper/a---b", "a-"),
        ("/dev/disk/by-id/dm-name-my--vg-lv", "my-vg"),
        ("/dev/mapper/mpatha", "/dev/mapper/mpatha"),
        ("/dev/mapper/my--disk", "/dev/mapper/my--disk"),
        ("/dev/mapper/luks-12-34", "/dev/mapper/luks-12-34"),
        ("/dev/mapper/-", "/dev/mapper/-"),
        ("/dev/mapper", "/dev/mapper"),
        ("/dev/sdb", "/dev/sdb"),
        ("/dev/dm-7", "/dev/dm-7"),
        ("/dev/disk/by-id/wwn-0x5000", "/dev/disk/by-id/wwn-0x5000"),
        ("/dev/disk/by-id/ata-Maker_Model-Serial", "/dev/disk/by-id/ata-Maker_Model-Serial"),
        ("/dev/disk/by-label/dm-name-vg-lv", "/dev/disk/by-label/dm-name-vg-lv"),
        ("/dev/zvol/tank", "/dev/zvol/tank"),
        ("/dev/disk/by-id", "/dev/disk/by-id"),
        ("/dev/md/raid", "/dev/md/raid"),
        ("/dev/drbd/by-res/r0/0", "/dev/drbd/by-res/r0/0"),
        ("/dev/zvol/tank/vm/a", "tank"),
        ("/dev/rbd/vms/a", "rbd:vms"),
        (f"/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-{IQN}-lun-1", f"iscsi://10.0.0.1:3260/{IQN}"),
        (f"/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-{IQN}-lun-12-part3", f"iscsi://10.0.0.1:3260/{IQN}"),
        (f"/dev/disk/by-path/pci-0000:01:00.0-ip-san:3260-iscsi-{IQN}-lun-1", f"iscsi://san:3260/{IQN}"),
        ("/dev/disk/by-path/pci-0000:01:00.0-fc-0x5000-lun-1", "/dev/disk/by-path/pci-0000:01:00.0-fc-0x5000-lun-1"),
    ],
)
@pytest.mark.parametrize("kind", ["file", "block"])
def test_a_device_belongs_to_its_target_or_volume_group(path: str, expected: str, kind: str) -> None:
    assert of_path(path, kind) == expected


@pytest.mark.parametrize(
    "directory",
    [
        *("block", "bsg", "bus", "char", "cpu", "dm", "loop", "mapper", "md"),
        *("net", "nvme", "rbd", "snd", "vfio", "vx", "zvol"),
    ],
)
def test_a_directory_of_devices_is_no_volume_group(directory: str) -> None:
    path = f"/dev/{directory}/a"
    assert of_path(path) == path


def test_a_device_elsewhere_is_its_own_storage_domain() -> None:
    assert of_path("/srv/nfs/link-to-a-device", "block") == "/srv/nfs/link-to-a-device"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("protocol='rbd' name='vms/a.img'><host name='m2' port='6789'/><host name='m1'/>", "rbd://m1,m2/vms"),
        ("protocol='rbd' name='vms/ns/a.img'><host name='fd00::1'/>", "rbd://[fd00::1]/vms"),
        ("protocol='rbd' name='vms/a.img'><host name='[fd00::1]'/>", "rbd://[fd00::1]/vms"),
        ("protocol='rbd' name='vms/a.img'>", "rbd:vms"),
        ("protocol='gluster' name='vol/a.img'><host name='gl1' port='24007'/>", "gl1:/vol"),
        ("protocol='gluster' name='/vol/a.img'><host transport='unix' socket='/run/g:l'/>", "/run/g:l:/vol"),
        (f"protocol='iscsi' name='{IQN}/2'><host name='10.0.0.1' port='3260'/>", f"iscsi://10.0.0.1:3260/{IQN}"),
        (f"protocol='iscsi' name='{IQN}/0'><host name='san' port='3261'/>", f"iscsi://san:3261/{IQN}"),
        (f"protocol='iscsi' name='{IQN}'><host name='san'/>", f"iscsi://san:3260/{IQN}"),
        ("protocol='nfs' name='/export/vm/a.img'><host name='filer'/>", "filer:/export/vm"),
        ("protocol='nfs' name='a.img'><host name='filer'/>", "filer:/"),
        ("protocol='nbd' name='a'><host name='nbd1' port='10809'/>", "nbd://nbd1"),
        ("protocol='nbd'><host transport='unix' socket='/run/nbd.sock'/>", "nbd:///run/nbd.sock"),
        ("protocol='https' name='iso/a.iso'><host name='web' port='443'/>", "https://web"),
        ("protocol='ssh' name='/a.img'><host name='far'/>", "ssh://far"),
        ("protocol='sheepdog' name='a'>", "sheepdog:a"),
        ("protocol='nbd' name='a'><host transport='unix'/>", "nbd:a"),
        (">", ""),
    ],
)
def test_a_network_disk_belongs_to_the_far_end(source: str, expected: str) -> None:
    assert storage.infer(disk(f"<source {source}</source>", "network"), "", MOUNTS) == expected


@pytest.mark.parametrize(
    ("kind", "source", "expected"),
    [
        ("volume", "<source pool='default' volume='a.img'/>", "default"),
        (
            "nvme",
            "<source type='pci'><address domain='0x0000' bus='0x0a' slot='0x1f' function='0x3'/></source>",
            "0000:0a:1f.3",
        ),
        ("nvme", "<source type='pci'><address domain='0x0000' bus='?' slot='0x1f' function='0x3'/></source>", ""),
        ("nvme", "<source type='pci'/>", ""),
        ("vhostuser", "<source type='unix' path='/run/spdk.sock'/>", "/run/spdk.sock"),
        ("vhostvdpa", "<source dev='/dev/vhost-vdpa-0'/>", "/dev/vhost-vdpa-0"),
        ("file", "<source startupPolicy='optional'/>", ""),
        ("file", "", ""),
        ("no-such-type", "<source/>", ""),
        ("no-such-type", "<source file='/srv/a'/>", "/srv"),
    ],
)
def test_other_kinds_of_disk(kind: str, source: str, expected: str) -> None:
    assert storage.infer(disk(source, kind), "", MOUNTS) == expected


def test_the_storage_of_a_backing_file_is_not_the_disks() -> None:
    element = disk("<backingStore><source file='/srv/nfs/base'/></backingStore><source file='/srv/top'/>")
    assert storage.infer(element, "", MOUNTS) == "/srv"


def test_nothing_is_touched_to_tell_the_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*arguments: object, **options: object) -> None:
        raise AssertionError(f"touched {arguments}")

    for name in ("stat", "lstat", "readlink", "open", "listdir", "scandir", "access"):
        monkeypatch.setattr(os, name, touched)
    monkeypatch.setattr(builtins, "open", touched)
    assert of_path("/srv/nfs/a.img") == "filer:/export/vm"
    assert of_path("/dev/vg/lv", "block") == "vg"


@pytest.mark.parametrize(
    "kind",
    [
        *("9p", "ceph", "cifs", "fuse", "fuse.sshfs", "glusterfs", "gpfs", "lustre", "beegfs"),
        *("nfs", "nfs4", "orangefs", "smb3", "smbfs", "afs"),
    ],
)
def test_a_remote_file_system_is_known_by_its_far_end(kind: str) -> None:
    assert Mounts.parse(f"1 2 0:1 / /a rw - {kind} far:/end rw").of("/a/b") == "far:/end"


@pytest.mark.parametrize("source", ["far:/end", "//far/end", "user@fsid", "mfs#far"])
def test_a_far_end_is_known_by_the_look_of_the_source(source: str) -> None:
    assert Mounts.parse(f"1 2 0:1 / /a rw - fuse.any {source} rw").of("/a/b") == source


@pytest.mark.parametrize("kind", ["ext4", "xfs", "fuseblk", "overlay", "nfsd", "tmpfs"])
def test_a_local_file_system_is_known_by_its_mount_point(kind: str) -> None:
    assert Mounts.parse(f"1 2 0:1 / /a rw - {kind} far:/end rw").of("/a/b") == "/a"


def test_a_mount_table_says_how_much_it_knows() -> None:
    assert repr(MOUNTS) == "<Mounts points=14>"


def test_a_mount_table_with_nothing_usable_knows_the_root() -> None:
    assert Mounts.parse("").of("/a/b") == "/"
    assert (
        Mounts.parse("no mountinfo\n\n1 2 3\n1 2 0:1 - nfs far:/ rw\n1 2 0:1 / /a rw\n1 2 0:1 / /a rw - nfs\n").of(
            "/a/b"
        )
        == "/"
    )


def test_a_bad_line_does_not_cost_the_others() -> None:
    assert Mounts.parse("rubbish\n" + MOUNTINFO).of("/srv/x") == "/srv"


def test_an_optional_field_more_or_less_does_not_matter() -> None:
    line = "1 2 0:1 / /a rw {}- nfs filer:/e rw"
    for optional in ("", "shared:1 ", "shared:1 master:2 propagate_from:3 unbindable "):
        assert Mounts.parse(line.format(optional)).of("/a/b") == "filer:/e"


def test_the_mount_table_of_this_process_can_be_read(tmp_path: os.PathLike[str]) -> None:
    mounts = Mounts.load(read_mounts)
    assert mounts.problem == ""
    assert mounts.of("/proc/self") == "/proc"


def test_a_mount_table_that_is_not_utf8_is_read(tmp_path: os.PathLike[str]) -> None:
    path = os.path.join(tmp_path, "mountinfo")
    with open(path, "wb") as file:
        file.write(b"1 2 0:1 / /a\xff rw - nfs filer:/\xff rw\n3 2 0:2 / /b rw - nfs filer:/b\xff rw\n")
    element = disk("<source file='/b/x'/>")
    assert storage.infer(element, "", Mounts.load(lambda: read_mounts(path))) == "filer:/b\\udcff"


def test_without_a_mount_table_all_files_count_as_on_one_storage_domain(tmp_path: os.PathLike[str]) -> None:
    mounts = Mounts.load(lambda: read_mounts(os.path.join(tmp_path, "missing")))
    assert mounts.of("/a/b") == mounts.of("/c") == "/"
    assert "No such file" in mounts.problem


def test_a_long_name_is_cut_and_stays_apart_from_others_with_the_same_start() -> None:
    one, two = (storage.infer(disk(f"<source pool='{'p' * 300}{end}'/>", "volume"), "", MOUNTS) for end in "ab")
    assert len(one) == len(two) == 255
    assert one != two
    assert one.startswith("ppp")


def test_a_name_of_just_the_length_allowed_is_left_alone() -> None:
    pool = "p" * 255
    assert storage.infer(disk(f"<source pool='{pool}'/>", "volume"), "", MOUNTS) == pool


@pytest.mark.parametrize(
    "path",
    [
        "/" + "a/" * 2_000_000,
        "/rhev/data-center/" + "a/" * 2_000_000,
        "/rhev/data-center/" + f"{SD}/" * 100_000,
        "/dev/mapper/" + "-" * 4_000_000,
        "/dev/mapper/" + "a-" * 2_000_000,
        "/dev/mapper/" + "a--" * 1_300_000,
        "/dev/disk/by-path/" + "ip-" * 1_300_000,
        "/dev/disk/by-path/" + "ip-a-iscsi-a-lun-1" * 220_000,
        "/dev/disk/by-path/" + "-iscsi-" * 600_000,
        "/." + "./.." * 1_000_000,
    ],
    ids=range(10),
)
def test_a_hostile_path_costs_no_more_than_its_length(path: str) -> None:
    start = time.process_time()
    assert len(of_path(path)) <= storage.LONGEST
    assert time.process_time() - start < 0.5


TEXT = st.text(st.sampled_from("/-:ab. ipluniscsi\x00\n\x7f\x85\ud800é\\0"), max_size=80)


@calm
@given(st.sampled_from(["file", "block", "dir", "network", "volume", "nvme", "vhostuser", "?"]), st.data())
def test_whatever_the_xml_says_a_name_can_be_shown(kind: str, data: st.DataObject) -> None:
    element = Element("disk", type=kind)
    attributes = st.dictionaries(st.sampled_from(["file", "dev", "dir", "protocol", "name", "pool", "path"]), TEXT)
    source = Element("source", data.draw(attributes))
    for host in data.draw(st.lists(st.dictionaries(st.sampled_from(["name", "port", "socket"]), TEXT), max_size=3)):
        source.append(Element("host", host))
    source.append(Element("address", data.draw(st.dictionaries(st.sampled_from(["domain", "bus", "slot"]), TEXT))))
    element.append(source)
    name = storage.infer(element, data.draw(TEXT), MOUNTS)
    assert len(name) <= storage.LONGEST
    assert not storage._UNPRINTABLE.search(name)
    name.encode()


@calm
@given(st.lists(st.sampled_from(["a", "b", "c d", "e\\"]), max_size=5), st.lists(st.integers(0, 5), max_size=4))
def test_the_mount_found_is_a_prefix_and_none_longer_is(parts: list[str], lengths: list[int]) -> None:
    points = {"/" + "/".join(parts[:length]) for length in lengths}
    escaped = [point.replace("\\", "\\134").replace(" ", "\\040") for point in points]
    mounts = Mounts.parse("\n".join(f"1 1 0:1 / {point} rw - ext4 /dev/sda rw" for point in escaped))
    path = "/" + "/".join(parts)
    assert mounts.of(path) == max(points | {"/"}, key=len)
