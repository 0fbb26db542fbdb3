"""The C plugin `virt` and virt2 side by side, in one collectd, on the same guests, with the same settings.

What virt2 writes must hold everything that the C plugin writes, under the same identifiers and with the same values,
but for the differences that stand here one by one, each with its reason. A difference that does not show any more is
a failure too, and so is anything virt2 has on top of it that is not listed.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import libvirt
import libvirt_qemu
import pytest

from tests.integration.support import names_of
from tests.lab import Collectd, Guest, python_module, wait_for
from tests.lab.collectd_daemon import C_PLUGIN

INTERVAL = 1.0
"""Seconds: the shortest collectd users have, so that a few reads take little."""
READS = 4
"""Reads of each plugin that are compared; the C plugin's first one finds the domains."""
ANSWER = 0.4
"""Seconds within which a call that virt2 stamped with a time had surely been answered."""
AT_ONCE = 6
"""Daemons: with more, libvirtd's workers become scarce, and virt2 says so."""
SOON = 30.0
"""Seconds for a few reads."""
BUSY = b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa"
"""A boot sector that runs in a circle."""
LATE = 2.5
"""Seconds for which collectd is stopped."""
STORAGE_INTERVAL = 2.0
FLUSHED = 3_000_000
"""ns that flushes are to have taken."""

TYPES = {
    line.split()[0]: [source.split(":")[1] for source in re.findall(r"\S+:\S+:\S+:\S+", line)]
    for line in Path("/usr/share/collectd/types.db").read_text().splitlines()
    if line and not line.startswith("#")
}
"""The kinds of each type's data sources."""

NOVA_OLD = "http://openstack.org/xmlns/libvirt/nova/1.0"
NOVA_NEW = "http://openstack.org/xmlns/libvirt/nova/1.1"


def nova(namespace: str, name: str) -> str:
    return (
        f'<nova:instance xmlns:nova="{namespace}"><nova:name>{name}</nova:name>'
        f'<nova:owner><nova:user uuid="id-{name}">operator</nova:user></nova:owner></nova:instance>'
    )


EMPTY_DRIVE = "<disk type='file' device='cdrom'><target dev='hdc' bus='scsi'/><readonly/></disk>"
GUESTS = [
    Guest("plain", tag="virt-0"),
    Guest("odd", disks=3, nics=1, devices=EMPTY_DRIVE, elements="<vcpu>2</vcpu>"),
    Guest("old", disks=1, nics=1, metadata=nova(NOVA_OLD, "display-old")),
    Guest("new", disks=1, nics=1, metadata=nova(NOVA_NEW, "display-new")),
    Guest("paused", paused=True),
]
NOT_RUNNING = GUESTS[-1]


SELECTORS = "cpu_util disk domain_state job_stats_background memory pcpu perf vcpu vcpupin"
"""All that need neither the storage nor an agent in the guest."""


class Listed(NamedTuple):
    """Identifiers that only one of the two plugins has, and why."""

    pattern: str
    """Matches all of an identifier: host/plugin[-instance]/type[-instance], where virt2's plugin is named virt too."""
    why: str


ITSELF = Listed(r"[^/]+/virt(-[^/]*)?/duration-(monitor_blocked|sample_age)", "what virt2 says of a domain's monitor")
READERS = Listed(r"collectd/virt-[^/]+/(gauge|duration)-[^/]+", "what virt2 says of itself and of libvirtd")
PAUSED = Listed(
    f".*({NOT_RUNNING.name}|{NOT_RUNNING.uuid}).*", "the C plugin has no metrics of domains that do not run"
)
OF_VIRT2 = (ITSELF, READERS, PAUSED)
DISK_ERRORS = Listed(r"[^/]+/virt/disk_error-[^/]+", "0 where a disk is well (B8)")
GUEST_CPU = Listed(
    r"[^/]+/virt/percent-guest_cpu", "of the domain's own virtual CPUs; the C plugin has the host's only"
)
NO_SOURCE = Listed(
    "odd/virt/disk_(octets|ops)-hdc", "the C plugin drops what has no source, with a warning per refresh"
)


@dataclass(frozen=True)
class Case:
    """Settings, and where the two plugins are to differ with them.

    `settings` are given to both plugins as they stand.
    """

    name: str
    settings: str = ""
    virt2: str = ""
    """Settings that the C plugin does not know."""
    more: tuple[Listed, ...] = OF_VIRT2
    """What only virt2 has."""
    less: tuple[Listed, ...] = ()
    """What only the C plugin has."""
    domains: int = len(GUESTS) - 1
    """How many the C plugin is to report."""
    intervals: tuple[str, ...] = ()
    """Types that virt2 has every `STORAGE_INTERVAL` only."""
    different: tuple[str, ...] = ()
    """Types whose values differ; each has a test of its own that says how."""
    says: tuple[str, ...] = ()
    """Patterns of what virt2 is to complain of in the log."""
    shows: tuple[str, ...] = ()
    """Patterns of identifiers that both are to have: what the settings are for."""


MOVING = {"memory-rss": 4 << 20, "percent-virt_cpu_total": 5.0}
"""What goes up and down by itself, and by how much between two readings: libvirt counts CPU time in steps of 10 ms."""
NO_METADATA = r"domains? .*: no metadata in its identity"
SIZES = ("disk_allocation", "disk_capacity", "disk_physical")

CASES = [
    Case("default set", shows=("plain/virt/disk_octets-vdb", "odd/virt/disk_ops-hdc", "new/virt/if_errors-lab.*")),
    Case("host by uuid", "HostnameFormat uuid", shows=(f"{GUESTS[0].uuid}/virt/disk_ops-vda",)),
    Case(
        "host and instance by name and uuid",
        "HostnameFormat name uuid\nPluginInstanceFormat uuid name",
        shows=(f"old:{GUESTS[2].uuid}/virt-{GUESTS[2].uuid}:old/memory-total",),
    ),
    Case(
        "host by hostname",
        "HostnameFormat hostname\nPluginInstanceFormat name",
        shows=("collectd/virt-plain/virt_cpu_total", "collectd/virt-odd/virt_cpu_total"),
    ),
    Case(
        "sizes and disk errors",
        f'ExtraStats "{" ".join(SIZES)} disk_err"',
        f"StorageInterval {STORAGE_INTERVAL:g}",
        more=(*OF_VIRT2, DISK_ERRORS),
        intervals=(*SIZES, "disk_error"),
        shows=tuple(f"plain/virt/{kind}-vda" for kind in SIZES),
    ),
    Case(
        "domains selected",
        'Domain "plain"\nDomain "/^o[[:lower:]]d/"',
        more=(ITSELF, READERS),
        domains=3,
        shows=("plain/virt/virt_cpu_total", "odd/virt/virt_cpu_total", "old/virt/virt_cpu_total"),
    ),
    Case(
        "domains ignored",
        'Domain "plain"\nDomain "/^o[[:lower:]]d|lain/"\nIgnoreSelected true',
        domains=1,
        shows=("new/virt/disk_ops-vda",),
    ),
    Case(
        "devices selected",
        'BlockDevice "plain:vdb"\nBlockDevice "/^odd:vd[bc]$/"\nInterfaceDevice "/^(new|old):lab[[:digit:]]+$/"',
        shows=("plain/virt/disk_ops-vdb", "odd/virt/disk_ops-vdc", "new/virt/if_octets-lab.*"),
    ),
    Case(
        "devices ignored",
        'BlockDevice "plain:vdb"\nBlockDevice "/:hd/"\nInterfaceDevice "/odd:/"\nIgnoreSelected true',
        shows=("plain/virt/disk_ops-vda", "plain/virt/if_octets-lab.*"),
    ),
    Case(
        "no devices",
        'ReportBlockDevices false\nReportNetworkInterfaces false\nExtraStats "disk_err"',
        f"StorageInterval {STORAGE_INTERVAL:g}",
        more=(*OF_VIRT2, DISK_ERRORS),
        shows=("plain/virt/memory-total",),
    ),
    Case(
        "disks by source",
        "BlockDeviceFormat source",
        more=(*OF_VIRT2, NO_SOURCE),
        shows=("plain/virt/disk_ops-.*_images_[0-9]+.img",),
    ),
    Case(
        "disks by the base name of their source, interfaces by address",
        "BlockDeviceFormat source\nBlockDeviceFormatBasename true\nInterfaceFormat address"
        '\nBlockDevice "/^(plain|old):.*/images/[0-9]+.img$/"\nInterfaceDevice "/^(plain|odd):52:54:/"',
        shows=("plain/virt/disk_ops-[0-9]+.img", "odd/virt/if_octets-52:54:.*"),
    ),
    Case(
        "interfaces by number",
        'InterfaceFormat number\nInterfaceDevice "plain:2"\nInterfaceDevice "odd:1"',
        shows=("plain/virt/if_octets-interface-2", "odd/virt/if_octets-interface-1"),
    ),
    Case(
        "selectors",
        f'ExtraStats "{SELECTORS}"',
        more=(*OF_VIRT2, GUEST_CPU),
        different=("total_time_in_ms",),
        shows=(
            "plain/virt/percent-virt_cpu_total",
            "plain/virt/disk_time-vda",
            "plain/virt/total_requests-flush-vda",
            "plain/virt/total_time_in_ms-flush-vda",
            "plain/virt/domain_state",
            "paused/virt/domain_state",
            "plain/virt/memory-rss",
            "plain/virt/perf-perf_page_faults",
            "odd/virt/virt_vcpu-1",
            "odd/virt/cpu_affinity-vcpu_1-cpu_0",
        ),
    ),
    Case(
        "metadata of a namespace",
        f'HostnameFormat name metadata\nHostnameMetadataNS "{NOVA_NEW}"',
        shows=("new:display-new/virt/virt_cpu_total", "plain:/virt/virt_cpu_total"),
        says=(NO_METADATA,),
    ),
    Case(
        "metadata of Nova",
        "HostnameFormat name\nPluginInstanceFormat name metadata",
        more=(*OF_VIRT2, Listed("new/virt-new:display-new/.*", "both of Nova's namespaces are tried by default")),
        less=(Listed("new/virt-new:/.*", "collectd 5.12 knows nova/1.0 only"),),
        shows=("old/virt-old:display-old/virt_cpu_total", "plain/virt-plain:/virt_cpu_total"),
        says=(NO_METADATA,),
    ),
    Case(
        "metadata by its path",
        f'HostnameFormat metadata\nHostnameMetadataNS "{NOVA_OLD}"\nPluginInstanceFormat name'
        '\nHostnameMetadataXPath "/instance/owner/user/@uuid"',
        more=(*OF_VIRT2, Listed("(plain|odd|new)/virt-(plain|odd|new)/.*", "a host that would be empty is the name")),
        less=(Listed("collectd/virt-(plain|odd|new)/.*", "collectd takes an empty host for itself"),),
        shows=("id-display-old/virt-old/virt_cpu_total",),
        says=(NO_METADATA,),
    ),
]


class Point(NamedTuple):
    """One value list, without its identity."""

    time: float
    interval: float
    values: tuple[float, ...]


class Run:
    """A collectd with both plugins, and what it wrote."""

    def __init__(self, lab: Any, folder: Path, case: Case) -> None:
        folder.mkdir()
        drop_ins = {
            # The C plugin first: it connects at its init, and virt2 must bear that.
            "a-virt.conf": C_PLUGIN.format(settings=case.settings),
            "virt2.conf": python_module("virt2", f"{case.settings}\n{case.virt2}"),
        }
        self.case = case
        self.daemon = Collectd(lab, folder, drop_ins, INTERVAL, record=True)
        self.series: dict[str, dict[str, list[Point]]] = {"virt": defaultdict(list), "virt2": defaultdict(list)}
        """By plugin and identifier, in the order they were written."""
        self.notifications: dict[str, list[dict[str, Any]]] = {"virt": [], "virt2": []}

    @property
    def virt(self) -> dict[str, list[Point]]:
        """What the C plugin wrote."""
        return self.series["virt"]

    @property
    def virt2(self) -> dict[str, list[Point]]:
        """What virt2 wrote."""
        return self.series["virt2"]

    def take(self) -> None:
        """Read what was recorded since."""
        for record in self.daemon.records.new():
            plugin = record["plugin"]
            if plugin not in self.series:
                continue
            if "message" in record:
                self.notifications[plugin].append(record)
                continue
            point = Point(record["time"], record["interval"], tuple(record["values"]))
            self.series[plugin][identifier(record)].append(point)

    def complete(self) -> bool:
        """Whether both plugins have read often enough, and virt2 has said what it is to say.

        It says what many domains have in common in one line, which comes some seconds after the first of them.
        """
        self.take()
        if not all(re.search(pattern, self.daemon.log) for pattern in self.case.says):
            return False
        reads = self.virt2.get("collectd/virt-0/duration-read", ())
        totals = [points for name, points in self.virt.items() if name.endswith("/virt_cpu_total")]
        return len(reads) >= READS and len(totals) >= self.case.domains and min(map(len, totals)) >= READS


def identifier(record: dict[str, Any]) -> str:
    """How collectd writes a value list's identity, with the plugin named virt."""
    plugin = "-".join(filter(None, ("virt", record["plugin_instance"])))
    return "/".join((record["host"], plugin, "-".join(filter(None, (record["type"], record["type_instance"])))))


def type_of(name: str) -> str:
    return name.split("/")[-1].partition("-")[0]


@pytest.fixture(scope="module")
def guests(module_lab):
    guests = {guest.name: guest for guest in module_lab.guests(GUESTS)}
    guests["plain"].domain.setPerfEvents({"page_faults": True})
    # More reads than writes, so that the two cannot be taken for each other; and flushes, which the guests do not do.
    qemu_io(guests["plain"], "ide0-0-0", "aio_read 0 256k")
    while guests["plain"].domain.blockStatsFlags("vda")["flush_total_times"] < FLUSHED:
        qemu_io(guests["plain"], "ide0-0-0", "aio_write 64k 64k")
        qemu_io(guests["plain"], "ide0-0-0", "aio_flush")
    return guests


def qemu_io(guest: Any, device: str, command: str) -> None:
    """Have a guest's QEMU make a request of a disk as if it were the guest's."""
    flags = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
    said = libvirt_qemu.qemuMonitorCommand(guest.domain, f'qemu-io -d {device} "{command}"', flags)
    assert "rror" not in said, said


@pytest.fixture(scope="module")
def runs(module_lab, guests, tmp_path_factory):
    """Every case's daemon has run, several at the same time, for they spend theirs waiting."""
    folder = tmp_path_factory.mktemp("runs")
    runs = {case.name: Run(module_lab, folder / str(number), case) for number, case in enumerate(CASES)}
    waiting = list(runs.values())
    while waiting:
        wave, waiting = waiting[:AT_ONCE], waiting[AT_ONCE:]
        with contextlib.ExitStack() as stack:
            for run in wave:
                stack.enter_context(run.daemon)
            for run in wave:
                wait_for(run.complete, SOON, f"reads of the case {run.case.name}")
        for run in wave:
            run.take()
    return runs


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def run(request, runs):
    return runs[request.param.name]


def test_virt2_has_every_series_of_the_c_plugin_and_each_further_one_is_listed(run):
    assert sum(name.endswith("/virt_cpu_total") for name in run.virt) == run.case.domains
    for pattern in run.case.shows:
        assert any(re.fullmatch(pattern, name) for name in run.virt), f"the C plugin does not show {pattern}"
    missing = unlisted(set(run.virt) - set(run.virt2), run.case.less)
    assert not missing, f"only the C plugin has {missing}"
    further = unlisted(set(run.virt2) - set(run.virt), run.case.more)
    assert not further, f"only virt2 has, and the test does not list, {further}"


def unlisted(names: Iterable[str], table: Iterable[Listed]) -> list[str]:
    """The names no pattern matches; a pattern that matches none is wrong itself."""
    names = set(names)
    found = {entry: {name for name in names if re.fullmatch(entry.pattern, name)} for entry in table}
    assert all(found.values()), f"listed, and not found: {[entry for entry in found if not found[entry]]}"
    return sorted(names - set().union(*found.values()))


@pytest.fixture(scope="module")
def turned(runs, guests, module_lab):
    """Whether this libvirt has the counters of `ethernet` interfaces as the host sees them: 7.0 does, 9.0 does not."""
    nic = guests["plain"].nics[0]
    (line,) = (line for line in module_lab.run(["cat", "/proc/net/dev"]).splitlines() if f"{nic}:" in line)
    fields = line.partition(":")[2].split()
    received, sent = int(fields[1]), int(fields[9])
    packets = guests["plain"].domain.interfaceStats(nic)[1]
    return abs(packets - received) < abs(packets - sent)


def test_the_values_of_both_are_the_same_within_what_moved_in_between(run, turned):
    compared = Counter()
    for name in sorted(set(run.virt) & set(run.virt2)):
        if type_of(name) in run.case.different:
            continue
        there, ours, slack = run.virt[name], run.virt2[name], MOVING.get(name.split("/")[-1])
        if turned and type_of(name).startswith("if_"):
            # virt2 has what the guest sees with every libvirt.
            there = [point._replace(values=point.values[::-1]) for point in there]
        if slack is not None:
            compared[type_of(name)] += compare_moving(name, there, ours, slack)
        elif set(TYPES[type_of(name)]) == {"DERIVE"}:
            compared[type_of(name)] += compare_counters(name, there, ours)
        else:
            compared[type_of(name)] += compare_gauges(name, there, ours)
    never = {type_of(name) for name in run.virt} - set(run.case.different) - set(+compared)
    assert not never, f"no value was compared of {never}"


def compare_counters(name: str, there: list[Point], ours: list[Point]) -> int:
    """Each value of the C plugin lies between virt2's before and after; returns how many were compared.

    The C plugin stamps a value after its call, virt2 before.
    """
    compared = 0
    for point in there:
        before = [one for one in ours if one.time + ANSWER <= point.time]
        after = [one for one in ours if one.time >= point.time]
        if before and after:
            for low, value, high in zip(before[-1].values, point.values, after[0].values):
                assert low <= value <= high, (name, before[-1], point, after[0])
            compared += 1
    return compared


def compare_gauges(name: str, there: list[Point], ours: list[Point]) -> int:
    """The values do not move, and are the same; returns how many were compared."""
    values = {point.values for point in there}
    assert values == {point.values for point in ours}, name
    return len(there)


def compare_moving(name: str, there: list[Point], ours: list[Point], slack: float) -> int:
    """The values lie in the same range; returns how many were compared."""
    low, high = (pick(point.values[0] for point in ours) for pick in (min, max))
    for point in there:
        assert low - slack <= point.values[0] <= high + slack, (name, point, low, high)
    return len(there)


def test_the_intervals_of_both_are_the_same_but_for_what_touches_the_storage(run):
    for name in set(run.virt) & set(run.virt2):
        wanted = STORAGE_INTERVAL if type_of(name) in run.case.intervals else INTERVAL
        assert {point.interval for point in run.virt2[name]} == {wanted}, name
        assert {point.interval for point in run.virt[name]} == {INTERVAL}, name


def test_no_series_has_two_values_at_a_time_and_nothing_is_complained_of(run):
    for name, points in run.virt2.items():
        times = [point.time for point in points]
        assert len(times) == len(set(times)), name
    complaints = [line for line in run.daemon.log.splitlines() if "virt2" in line and "] [info]" not in line]
    assert not [line for line in complaints if not any(re.search(pattern, line) for pattern in run.case.says)]
    for pattern in run.case.says:
        assert any(re.search(pattern, line) for line in complaints), f"it does not say {pattern}"


def test_a_paused_domain_has_all_its_series(runs, guests):
    run = runs["default set"]
    assert {f"paused/virt/{name}" for name in names_of(guests["paused"])} <= set(run.virt2)


def test_flushes_have_their_time_in_ms_and_not_in_microseconds(runs, guests):
    run = runs["selectors"]
    # Nobody flushes any more: these stay.
    flushed = guests["plain"].domain.blockStatsFlags("vda")["flush_total_times"]
    assert flushed >= FLUSHED
    name = "plain/virt/total_time_in_ms-flush-vda"
    assert {point.values for point in run.virt[name]} == {(flushed // 1000,)}
    assert {point.values for point in run.virt2[name]} == {(flushed // 1000000,)}


@pytest.fixture
def alone(module_lab, guests, tmp_path):
    """Runs a case by itself, with guests of its own beside the others'."""
    with contextlib.ExitStack() as stack:
        started = []

        def start(case: Case, *specs: Guest) -> tuple[Run, list[Any]]:
            started.extend(module_lab.guests(specs))
            run = Run(module_lab, tmp_path / "run", case)
            stack.enter_context(run.daemon)
            return run, started

        yield start
    for guest in started:
        with contextlib.suppress(libvirt.libvirtError):
            guest.stop()


@pytest.mark.parametrize("refresh", [1, 60], ids=["refreshed", "late"])
def test_cpu_util_is_there_in_every_read_and_right_in_a_late_one(alone, refresh, tmp_path):
    (tmp_path / "busy.img").write_bytes(BUSY)
    disk = f"<disk type='file'><source file='{tmp_path}/busy.img'/><target dev='hda' bus='ide'/></disk>"
    settings = f'Domain "busy"\nExtraStats "cpu_util"\nRefreshInterval {refresh}'
    run, _ = alone(Case("busy", settings), Guest("busy", disks=0, nics=0, devices=disk))
    name = "busy/virt/percent-virt_cpu_total"

    def reads(number: int) -> bool:
        run.take()
        return len(run.virt2[name]) >= number and len(run.virt["busy/virt/virt_cpu_total"]) >= number

    wait_for(lambda: reads(2), SOON)
    run.daemon.process.signal(signal.SIGSTOP)
    time.sleep(LATE)
    run.daemon.process.signal(signal.SIGCONT)
    number = len(run.virt2[name])
    wait_for(lambda: reads(number + 2), SOON)
    run.take()
    totals = [(point.time, point.values[0]) for point in run.virt2["busy/virt/virt_cpu_total"]]
    used = {
        later: (later - earlier, 100 * (now - before) / (later - earlier) / os.cpu_count() / 1e9)
        for (earlier, before), (later, now) in zip(totals, totals[1:])
    }
    assert len(run.virt2[name]) >= number + 2
    for point in run.virt2[name]:
        assert point.values == pytest.approx((min(used[point.time][1], 100.0),), abs=0.5)
    elapsed, percent = max(used.values())
    assert elapsed > LATE
    if refresh <= INTERVAL:
        # It is lost with every refresh. A read that comes a little early makes none, so it is not lost each time.
        assert len(run.virt[name]) < len(run.virt["busy/virt/virt_cpu_total"]) - 1
    else:
        # What was used in all that time, divided by one interval.
        assert max(point.values[0] for point in run.virt[name]) > 1.5 * percent


def test_instances_split_the_domains_and_do_not_repeat_them(alone):
    run, _ = alone(Case("instances", "Instances 2"))
    name = "plain/virt/virt_cpu_total"

    def twice() -> bool:
        run.take()
        times = [point.time for point in run.virt[name]]
        are_close = any(later - earlier < INTERVAL / 2 for earlier, later in zip(times, times[1:]))
        return len(run.virt2[name]) >= READS and len(times) >= 2 * READS and are_close

    wait_for(twice, SOON, "both instances of the C plugin report it")
    assert sum(name.endswith("gauge-domains_stuck") for name in run.virt2) == 2
    times = [point.time for point in run.virt2[name]]
    assert all(later - earlier > INTERVAL / 2 for earlier, later in zip(times, times[1:]))


def test_both_notify_of_what_happens_to_a_domain_in_the_same_words(alone, module_lab):
    run, _ = alone(Case("notifications"))
    wait_for(run.complete, SOON, "both listen")
    (guest,) = module_lab.guests([Guest("restless")])
    guest.pause()
    guest.resume()
    guest.stop()
    told = {}

    def both() -> bool:
        run.take()
        for plugin, notifications in run.notifications.items():
            told[plugin] = [
                (
                    one["severity"],
                    one["host"],
                    one["plugin_instance"],
                    one["type"],
                    one["type_instance"],
                    one["message"],
                )
                for one in notifications
                if one["host"] == "restless" and one["type"] == "domain_state"
            ]
        return all("shut off" in "".join(map(str, said)) for said in told.values())

    wait_for(both, SOON)
    assert len(told["virt"]) >= 4
    assert told["virt2"] == told["virt"]
    assert {one[-1] for one in told["virt2"]} >= {
        "Domain state: the domain is running. Reason: normal startup from boot",
        "Domain state: the domain is paused by user. Reason: paused on user request",
        "Domain state: the domain is running. Reason: returned from paused state",
        "Domain state: the domain is shut off. Reason: forced poweroff",
    }


def test_a_domain_filter_holds_for_notifications_here_and_does_not_there(alone, guests, module_lab):
    run, _ = alone(Case("filtered", 'Domain "plain"', domains=1))
    wait_for(run.complete, SOON, "both listen")
    module_lab.guests([Guest("unwanted")])[0].stop()
    wait_for(lambda: run.take() or any(one["host"] == "unwanted" for one in run.notifications["virt"]), SOON)
    # virt2's come within a tenth of a second, and this one is for the plain one.
    guests["plain"].pause()
    guests["plain"].resume()
    wait_for(lambda: run.take() or any(one["host"] == "plain" for one in run.notifications["virt2"]), SOON)
    assert not [one for one in run.notifications["virt2"] if one["host"] == "unwanted"]


def test_an_inactive_domain_has_its_state(alone, module_lab):
    xml = "<domain type='qemu'><name>off</name><memory>16384</memory><os><type>hvm</type></os></domain>"
    domain = module_lab.connection.defineXML(xml)
    try:
        run, _ = alone(Case("inactive", 'ExtraStats "domain_state"'))
        wait_for(run.complete, SOON, "reads")
        assert "off/virt/domain_state" in run.virt
        assert "off/virt/domain_state" in run.virt2
    finally:
        domain.undefine()


def test_a_job_that_is_under_way_is_reported_by_both(alone, module_lab, tmp_path):
    run, (guest,) = alone(
        Case("job", 'Domain "saved"\nExtraStats "job_stats_background"', domains=1), Guest("saved", nics=0)
    )
    scratch = "".join(
        f"<disk name='{disk}' type='file'><scratch file='{tmp_path}/{disk}.scratch'/></disk>" for disk in guest.disks
    )
    guest.domain.backupBegin(
        f"<domainbackup mode='pull'><server transport='unix' socket='{tmp_path}/nbd'/><disks>{scratch}</disks>"
        "</domainbackup>",
        None,
    )
    # To begin it takes its time in the monitor.
    begun = time.time()
    name = "saved/virt/job_stats-time_elapsed"

    def reported() -> bool:
        run.take()
        return min(len(run.virt[name]), len(run.virt2[name])) >= READS

    wait_for(reported, SOON)
    jobs = {one for one in run.virt if "/job_stats-" in one}
    assert jobs
    assert jobs <= set(run.virt2)
    assert compare_counters(name, run.virt[name], run.virt2[name])
    blocked = run.virt2["saved/virt/duration-monitor_blocked"]
    assert {point.values for point in blocked if point.time >= begun} == {(0.0,)}
