"""The lab does what the other integration tests rely on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import libvirt
import pytest

from tests.lab import Collectd, CommandFailed, Guest, Lab, cgroups, wait_for
from tests.lab.machine import ROOT

OCCUPIED = 2  # VIR_DOMAIN_CONTROL_OCCUPIED
SOON = 10


def counters(guest):
    """Bytes read, written, received and sent, on all devices."""
    domain = guest.domain
    disks = [domain.blockStats(disk) for disk in guest.disks]
    nics = [domain.interfaceStats(nic) for nic in guest.nics]
    return [disk[1] for disk in disks] + [disk[3] for disk in disks] + [n[0] for n in nics] + [n[4] for n in nics]


def trees(pids):
    """The cgroup trees of labs whose first process was one of these; those of others come and go meanwhile."""
    found = [tree for one in cgroups.hierarchies() for tree in one.mount_point.glob(f"{cgroups.PREFIX}*")]
    return [tree for tree in found if int(tree.name[len(cgroups.PREFIX) :]) in pids]


def has_cgroups(lab):
    return "cgroup" in lab.run(["cat", "/proc/mounts"])


def gone(pids):
    return not any(Path("/proc", str(pid)).exists() for pid in pids)


def test_every_counter_of_a_guest_moves(lab):
    guests = lab.guests([Guest("one"), Guest("two", disks=1, nics=3)])
    for guest in guests:
        before = counters(guest)

        def all_moved(guest=guest, before=before):
            return all(new > old for new, old in zip(counters(guest), before))

        wait_for(all_moved, SOON, "all counters of the guest have moved")


def test_an_idle_guest_costs_next_to_nothing(lab):
    (guest,) = lab.guests([Guest("idle")])
    # It has booted and done each kind of work once.
    wait_for(lambda: all(counters(guest)), SOON)
    reads = counters(guest)[0]
    before = guest.domain.info()[4]
    # Not by asking until something has moved: QEMU's answers would cost far more than the guest does.
    time.sleep(6)
    assert guest.domain.info()[4] - before < 0.03e9
    assert counters(guest)[0] >= reads + 2 * 512


@pytest.mark.parametrize(
    "name",
    ["two\nlines", "a\ttab", "..x", "driver", "ünïcode ☃", "<&'\">", "n" * 240],
    ids=["newline", "tab", "dots", "driver", "unicode", "markup", "long"],
)
def test_hostile_names_start(module_lab, name):
    (guest,) = module_lab.guests([Guest(name, nics=0, disks=1)])
    try:
        assert guest.domain.name() == name
        assert not gone([guest.pid])
    finally:
        guest.stop()


def test_metadata_tags_and_devices_can_change(lab):
    guest = lab.guest(Guest("web", tag="a", metadata="<x:y xmlns:x='urn:x'>&lt;</x:y>"))
    xml = guest.domain.XMLDesc()
    assert ">a</o:tag>" in xml
    assert "urn:x" in xml
    guest.retag("b")
    assert ">b</ovirtmap:tag>" in guest.domain.XMLDesc()
    guest.retag(None)
    assert "ovirt" not in guest.domain.XMLDesc()
    disk, nic = guest.plug_disk(), guest.plug_nic()
    assert guest.domain.blockStats(disk)
    assert guest.domain.interfaceStats(nic)
    guest.pause()
    assert "paused" in lab.virsh("domstate", "web")
    guest.resume()
    guest.stop()
    assert lab.virsh("list", "--name").split() == []


def test_two_labs_do_not_see_each_other(lab, tmp_path):
    host_interfaces = os.listdir("/sys/class/net")
    with Lab(tmp_path) as other:
        here = lab.guest(Guest("same name"))
        there = other.guest(Guest("same name"))
        assert here.domain.ID() == there.domain.ID() == 1
        assert lab.virsh("list", "--uuid").split() == [here.uuid]
        assert other.virsh("list", "--uuid").split() == [there.uuid]
        there.stop()
        assert here.domain.isActive()
        assert not has_cgroups(lab) or here.domain.getCPUStats(True)
    assert here.domain.isActive()
    assert os.listdir("/sys/class/net") == host_interfaces


def test_a_stopped_lab_leaves_nothing_behind_however_stuck_it_was(tmp_path):
    mounts = Path("/proc/self/mountinfo").read_text()
    with Lab(tmp_path) as lab:
        storage = lab.storage("nfs")
        well, frozen, hung = lab.guests([Guest("well"), Guest("frozen"), Guest("hung", storage=storage)])
        storage.hang()
        frozen.freeze()
        lab.popen(["virsh", "domblkinfo", "hung", "vda"])
        wait_for(lambda: hung.domain.controlInfo()[0] == OCCUPIED, SOON)
        lab.kill_libvirtd(signal.SIGSTOP)
        pids = list(lab.pids().values())
        assert well.pid in pids
        assert trees(pids) or not has_cgroups(lab)
    wait_for(lambda: gone(pids), SOON)
    assert trees(pids) == []
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_a_lab_ends_with_the_process_that_drives_it(tmp_path):
    script = (
        "import sys; from tests.lab import Guest, Lab\n"
        "lab = Lab(sys.argv[1]); lab.start(); lab.guest(Guest('orphan'))\n"
        "print(*lab.pids().values(), flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
        pids = [int(pid) for pid in driver.stdout.readline().split()]
        driver.kill()
    assert len(pids) >= 3
    wait_for(lambda: gone(pids), SOON)
    cgroups.sweep()
    assert trees(pids) == []


def test_storage_hangs_a_size_question_freezes_the_guest_and_it_heals(lab):
    storage = lab.storage("nfs")
    hung, well = lab.guests([Guest("hung", storage=storage), Guest("well")])
    wait_for(lambda: counters(hung)[0] > 0, SOON)
    storage.hang()
    # The guest's reads hang, its QEMU does not: it answers, with numbers that stand still.
    before = counters(well)[0]
    wait_for(lambda: counters(well)[0] >= before + 2 * 512, SOON)
    at_rest = counters(hung)[0]
    before = counters(well)[0]
    wait_for(lambda: counters(well)[0] >= before + 2 * 512, SOON)
    assert counters(hung)[0] == at_rest
    assert hung.domain.controlInfo()[0] == 0
    question = lab.popen(["virsh", "domblkinfo", "hung", "vda"])
    wait_for(lambda: hung.domain.controlInfo()[0] == OCCUPIED, SOON)
    with pytest.raises(TimeoutError):
        question.wait(1)
    storage.heal()
    assert question.wait(SOON) == 0
    wait_for(lambda: counters(hung)[0] > at_rest, SOON)


def test_plugging_a_disk_on_dead_storage_holds_the_domain_lock(lab):
    storage = lab.storage("nfs")
    guest = lab.guest(Guest("locked"))
    image = storage.images.create()
    device = lab.work_dir / "disk.xml"
    device.write_text(
        f"<disk type='file'><source file='{image}'/><driver name='qemu' type='qcow2'/>"
        "<target dev='vdx' bus='virtio'/></disk>"
    )
    storage.hang()
    lab.popen(["virsh", "attach-device", "locked", str(device)])
    listing = wait_for(lambda: _blocked(lab.popen(["virsh", "list"])), SOON, "a list that hangs")
    storage.heal()
    assert listing.wait(SOON) == 0
    assert guest.domain.isActive()


def _blocked(process):
    try:
        process.wait(0.5)
    except TimeoutError:
        return process
    return None


def test_libvirtd_can_be_killed_frozen_and_restarted(lab):
    guest = lab.guest(Guest("survivor"))
    first = lab.libvirtd_pid
    lab.kill_libvirtd()
    assert gone([first])
    lab.start_libvirtd()
    assert guest.domain.isActive()
    if has_cgroups(lab):
        wait_for(lambda: _cpu_stats(guest), SOON, "libvirtd has found the guest's cgroup again")
    lab.kill_libvirtd(signal.SIGSTOP)
    assert _blocked(lab.popen(["virsh", "list"]))
    lab.kill_libvirtd(signal.SIGCONT)
    lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "6")
    assert "maxWorkers     : 6" in lab.virt_admin("srv-threadpool-info", "libvirtd")


def _cpu_stats(guest):
    """None while libvirtd, just started, knows the guest but has not looked for its cgroup yet."""
    try:
        return guest.domain.getCPUStats(True)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise
        return None


def test_reset_makes_a_clean_lab_of_a_broken_one(lab):
    storage = lab.storage("nfs")
    frozen, _ = lab.guests([Guest("frozen"), Guest("hung", storage=storage)])
    frozen.freeze()
    storage.hang()
    lab.kill_libvirtd()
    lab.reset()
    assert lab.virsh("list", "--name").split() == []


def test_commands_inside_tell_how_they_ended(lab):
    assert lab.run(["sh", "-c", "echo $((6 * 7))"]) == "42\n"
    with pytest.raises(CommandFailed, match="exit code 3"):
        lab.run(["sh", "-c", "exit 3"])
    with pytest.raises(CommandFailed, match="No such file"):
        lab.run(["/no/such/command"])
    with pytest.raises(TimeoutError):
        lab.run(["sleep", "60"], timeout=0.2)
    process = lab.popen(["sleep", "60"])
    process.signal(signal.SIGTERM)
    assert process.wait(SOON) == -signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        process.signal(signal.SIGTERM)


def test_collectd_runs_in_a_lab(lab, tmp_path):
    lab.guests([Guest("web"), Guest("two\nlines")])
    drop_in = 'LoadPlugin virt\n<Plugin virt>\n  Connection "qemu:///system"\n</Plugin>\n'
    folder = tmp_path / "collectd"
    folder.mkdir()
    with Collectd(lab, folder, {"virt.conf": drop_in}, interval=0.5) as collectd:
        for name in ("web", "two\nlines"):
            key = (name, "virt", "virt_cpu_total")
            wait_for(lambda key=key: len(collectd.series().get(key, [])) >= 3, SOON)
        points = collectd.series()["web", "virt", "disk_octets-vda"]
        assert [len(values) for _, values in points] == [2] * len(points)
        assert collectd.stop() < 5
    assert collectd.process.exit_code == 0
    assert "Exiting normally" in collectd.log


def test_collectd_records_what_csv_cannot_hold(lab, tmp_path):
    lab.guests([Guest("..x")])
    drop_in = 'LoadPlugin virt\n<Plugin virt>\n  Connection "qemu:///system"\n</Plugin>\n'
    folder = tmp_path / "collectd"
    folder.mkdir()
    with Collectd(lab, folder, {"virt.conf": drop_in}, interval=0.5, record=True) as collectd:
        found = []

        def complete():
            found.extend(collectd.records.new())
            return {"virt_cpu_total", "disk_octets", "if_octets"} <= {record["type"] for record in found}

        wait_for(complete, SOON)
        assert {record["host"] for record in found} == {"..x"}
        assert {record["interval"] for record in found} == {0.5}
        times = [(record["type"], record["type_instance"], record["time"]) for record in found]
        assert len(set(times)) == len(times)
