"""ExtraStats on the real thing: they say what libvirt says, and what is stuck costs what it must and no more."""

import math
import time

import libvirt
import pytest

from tests.integration.support import INTERVAL, SOON, assert_no_gap, collectd, gaps, of_host, wait_for_reads
from tests.lab import Guest, wait_for
from tests.lab.guests import domain_xml, new_nic
from virt2.metrics.selectors import SELECTORS

ALL = {kind: " ".join(selector.name for selector in SELECTORS if selector.kind == kind) for kind in "ABC"}
CPU_TOLERANCE = 0.05e9
"""ns that a paused QEMU may use between virt2's reading and the test's, and by which libvirt's two sources differ."""
CLASS_A = {
    *("percent-virt_cpu_total", "percent-guest_cpu", "domain_state", "ps_cputime"),
    *("virt_vcpu-0", "gauge-vcpu_state-0"),
}
"""Series of any guest that need libvirtd alone."""
BULK = libvirt.VIR_DOMAIN_STATS_VCPU | libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_IOTHREAD
HOST_CPU = "cpu_affinity-vcpu_0-cpu_0"


def class_b(guest):
    """Series of a guest that need its monitor."""
    names = {"memory-actual_balloon", "memory-rss", "memory-balloon_maximum"}
    names |= {"derive-vcpu_wait-0", "derive-vcpu_delay-0", "derive-haltpoll_success", "derive-haltpoll_fail"}
    for disk in guest.disks:
        names |= {f"disk_time-{disk}", f"total_requests-flush-{disk}", f"total_time_in_ms-flush-{disk}"}
    return names


def class_c(guest):
    """Series of a guest that touch its storage."""
    kinds = ("disk_allocation", "disk_capacity", "disk_physical")
    names = {f"{kind}-{disk}{layer}" for kind in kinds for disk in guest.disks for layer in ("", "-layer_0")}
    return names | {f"{kind}-{disk}" for kind in ("disk_error", "gauge-layers") for disk in guest.disks}


def assert_fresh(daemon, guest, names, since=None):
    """Each of these series has no gap and a point of late, and, with `since`, points after it only count."""
    own = of_host(daemon.series(guest.name), guest.name)
    now = time.time()
    for name in names:
        points = [point for point in own.get(name, []) if since is None or point[0] > since]
        assert points, (guest.name, name, "has no point")
        assert not gaps(points), (guest.name, name)
        assert now - points[-1][0] <= 1.5 * INTERVAL, (guest.name, name, "ends early")


def last(daemon, guest):
    """The last values of each of a guest's series."""
    return {name: points[-1][1] for name, points in of_host(daemon.series(guest.name), guest.name).items()}


def test_every_selector_says_what_libvirt_says(lab, tmp_path):
    elements = "<vcpu>2</vcpu><iothreads>1</iothreads>"
    guest, other = lab.guests([Guest("one", elements=elements), Guest("two")])
    settings = f"ExtraStats {ALL['A']} {ALL['B']} {ALL['C']}\nStorageInterval {INTERVAL:g}"
    with collectd(lab, tmp_path / "collectd", settings) as daemon:
        wait_for_reads(daemon, 2)
        guest.pause()
        paused = time.time()
        wait_for(lambda: points_after(daemon, guest, "disk_error-vda", paused) >= 2, SOON, "sizes after the pause")
        wait_for_reads(daemon, 2)
        said = last(daemon, guest)
        wanted = CLASS_A | class_b(guest) | class_c(guest) | {"virt_vcpu-1", "cpu_affinity-vcpu_1-cpu_0"}
        assert wanted <= set(said)
        domain = guest.domain

        for disk in guest.disks:
            times = domain.blockStatsFlags(disk)
            assert said[f"disk_time-{disk}"] == (times["rd_total_times"], times["wr_total_times"])
            assert said[f"total_requests-flush-{disk}"] == (times["flush_operations"],)
            assert said[f"total_time_in_ms-flush-{disk}"] == (times["flush_total_times"] // 10**6,)
            assert said[f"disk_octets-{disk}"] == (times["rd_bytes"], times["wr_bytes"])
            assert said[f"disk_ops-{disk}"] == (times["rd_operations"], times["wr_operations"])
            capacity, allocation, physical = domain.blockInfo(disk)
            assert said[f"disk_capacity-{disk}"] == (capacity,)
            assert said[f"disk_allocation-{disk}"] == (allocation,)
            assert said[f"disk_physical-{disk}"] == (physical,)
            assert said[f"disk_error-{disk}"] == (0,)
            assert said[f"gauge-layers-{disk}"] == (1,)
            assert said[f"disk_capacity-{disk}-layer_0"] == (capacity,)
        bulk = domain.connect().domainListGetStats([domain], BULK, 0)[0][1]
        for number in range(2):
            assert said[f"derive-vcpu_wait-{number}"] == (bulk[f"vcpu.{number}.wait"],)
            assert said[f"derive-vcpu_delay-{number}"][0] <= bulk[f"vcpu.{number}.delay"]
        assert said["memory-balloon_maximum"] == (bulk["balloon.maximum"] * 1024,)
        assert said["gauge-iothreads"] == (bulk["iothread.count"],) == (1,)
        assert said["gauge-iothread_poll_max-1"] == (bulk["iothread.1.poll-max-ns"],)
        memory = domain.memoryStats()
        assert said["memory-rss"][0] == pytest.approx(memory["rss"] * 1024, rel=0.02)
        assert said["memory-actual_balloon"] == (memory["actual"] * 1024,)
        assert said["domain_state"] == tuple(domain.state())
        infos, maps = domain.vcpus()
        for (number, _, cpu_time, _), allowed in zip(infos, maps):
            assert said[f"gauge-vcpu_state-{number}"] == (1,)
            assert said[f"virt_vcpu-{number}"][0] == pytest.approx(cpu_time, abs=CPU_TOLERANCE)
            for cpu, usable in enumerate(allowed):
                assert said[f"cpu_affinity-vcpu_{number}-cpu_{cpu}"] == (int(usable),)
        (total,) = domain.getCPUStats(True)
        assert said["ps_cputime"] == pytest.approx((total["user_time"], total["system_time"]), abs=CPU_TOLERANCE)
        assert all(0 <= said[f"percent-{name}"][0] <= 5 for name in ("virt_cpu_total", "guest_cpu"))
        assert_fresh(daemon, other, CLASS_A | class_b(other))
        # At the start all domains of a storage domain are due at once, and one call at a time is made there.
        assert_fresh(daemon, other, class_c(other), paused)
        assert latencies(daemon, other, "vda")
        assert "not to be had" not in daemon.log
        assert daemon.log.count("virt2:") == 1, daemon.log


def test_a_job_that_ended_is_told_and_kept(lab, tmp_path):
    (guest,) = lab.guests([Guest("dumped")])
    with collectd(lab, tmp_path / "collectd", "ExtraStats job_stats_completed, job_stats_background") as daemon:
        wait_for_reads(daemon, 1)
        assert not jobs(daemon, guest)
        guest.domain.coreDump(str(lab.work_dir / "dump"), libvirt.VIR_DUMP_LIVE)
        wait_for(lambda: jobs(daemon, guest), SOON, "the job is told")
        wait_for_reads(daemon, 2)
        flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
        kept = {name: value for name, value in guest.domain.jobStats(flags).items() if isinstance(value, int)}
        # Reading it with this flag made libvirt keep it; it still has all that was told of it.
        assert kept.pop("type") == libvirt.VIR_DOMAIN_JOB_COMPLETED
        assert kept["data_total"] > 0
        assert jobs(daemon, guest) == {f"job_stats-completed_{name}": (value,) for name, value in kept.items()}
        assert_fresh(daemon, guest, jobs(daemon, guest))


def jobs(daemon, guest):
    return {name: values for name, values in last(daemon, guest).items() if name.startswith("job_stats")}


def test_the_state_of_every_domain_is_told_of_inactive_ones_too(lab, tmp_path):
    lab.guests([Guest("runs"), Guest("waits", paused=True)])
    lab.connection.defineXML(domain_xml(Guest("off"), lab.images(None), [new_nic()]))
    with collectd(lab, tmp_path / "collectd", "ExtraStats domain_state") as daemon:
        wait_for_reads(daemon, 4)
        series = daemon.series()
        for name, state in {"runs": 1, "waits": 3, "off": 5}.items():
            points = of_host(series, name)["domain_state"]
            assert {values for _, values in points} == {tuple(lab.connection.lookupByName(name).state())}
            assert points[0][1][0] == state
            assert not gaps(points)
        assert set(of_host(series, "off")) == {"domain_state"}
        # Started, it is its reader's: no point twice, none missing.
        lab.connection.lookupByName("off").create()
        started = time.time()
        wait_for(lambda: "virt_cpu_total" in of_host(daemon.series("off"), "off"), SOON)
        wait_for_reads(daemon, 2)
        points = of_host(daemon.series("off"), "off")["domain_state"]
        assert points[-1][1][0] == 1
        assert not gaps(points)
        assert time.time() - started < SOON
        assert "Value too old" not in daemon.log


def latencies(daemon, guest, disk):
    """How many points of a disk's latency there are, each found to follow from its counters."""
    own = of_host(daemon.series(guest.name), guest.name)
    times, ops = dict(own[f"disk_time-{disk}"]), dict(own[f"disk_ops-{disk}"])
    before = dict(zip(sorted(times)[1:], sorted(times)))
    for when, values in own[f"disk_latency-{disk}"]:
        for value, *counted in zip(values, times[when], times[before[when]], ops[when], ops[before[when]]):
            took, ended = counted[0] - counted[1], counted[2] - counted[3]
            assert math.isnan(value) if not ended else value == pytest.approx(took / ended / 1e6)
    return len(own[f"disk_latency-{disk}"])


def points_after(daemon, guest, name, when):
    own = of_host(daemon.series(guest.name), guest.name)
    return sum(1 for taken, _ in own.get(name, []) if taken > when)


@pytest.fixture(scope="module")
def farm_size():
    return 12


def test_a_stopped_qemu_keeps_what_libvirtd_knows_and_the_others_keep_all(farm, tmp_path):
    stopped, *others = farm.guests
    settings = f"HostPreScan false\nExtraStats {ALL['A']} {ALL['B']}"
    with collectd(farm.lab, tmp_path / "collectd", settings) as daemon:
        wait_for_reads(daemon, 3)
        stopped.freeze()
        since = time.time()
        wait_for_reads(daemon, 4)
        assert_fresh(daemon, stopped, CLASS_A | {HOST_CPU})
        assert not any(points_after(daemon, stopped, name, since) for name in class_b(stopped))
        assert_no_gap(daemon, others)
        for guest in others:
            assert_fresh(daemon, guest, CLASS_A | class_b(guest) | {HOST_CPU})
        stopped.thaw()
        thawed = time.time()
        wait_for(
            lambda: all(points_after(daemon, stopped, name, thawed) for name in class_b(stopped)), SOON, "all is back"
        )
        assert daemon.stop() < 2


def test_dead_storage_freezes_nobody_with_every_selector_that_does_not_touch_it(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd", f"ExtraStats {ALL['A']} {ALL['B']}") as daemon:
        wait_for_reads(daemon, 2)
        farm.storage.hang()
        # A guest's own reads hang now.
        wait_for_reads(daemon, 4)
        assert_no_gap(daemon, farm.guests)
        for guest in farm.guests:
            assert_fresh(daemon, guest, CLASS_A | class_b(guest) | {HOST_CPU})
        assert not farm.occupied()
        assert not farm.lost()
        assert daemon.stop() < 2
