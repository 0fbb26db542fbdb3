"""The callbacks: what collectd sees of virt2 over a fake libvirt."""

from __future__ import annotations

import fnmatch
import importlib
import logging
import re
import sys
import threading
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.threads import started
from tests.unit.fakes import BOUND, LOOK, FakeCollectd, FakeHypervisor, Node
from tests.unit.test_docs import ARCHITECTURE, rows
from virt2 import threads
from virt2.capacity import CHANGES_SAID, CHANGES_WITHIN
from virt2.errors import AdminUnavailable, BadSetting, Missing, Unsupported
from virt2.model.domain import Status
from virt2.model.limits import Limits
from virt2.output import collectd_host
from virt2.output.log import Handler
from virt2.readers import results
from virt2.readers.reader import Reader
from virt2.sources import admin, procfs
from virt2.sources import daemon as daemon_module
from virt2.sources.daemon import Daemon as Libvirtd

INTERVAL = 4.0


def limits(max_workers: int) -> Limits:
    return Limits(5, max_workers, 5, 5, 5, 0, max_clients=5000, clients=3)


class Session:
    """What asks for the limits, as `virt2.sources.admin` has it."""

    def __init__(self, host: Host, uri: str) -> None:
        self._host = host
        self._uri = uri

    def limits(self) -> Limits:
        return self._host.read_limits(self._uri)

    def close(self) -> None:
        pass


class Host:
    """What there is on the host: a libvirt, its limits, and no process of any domain."""

    def __init__(self, status_socket: str) -> None:
        self.hypervisor = FakeHypervisor()
        self.status_socket = status_socket
        self.limits: Limits | None = None
        self.uris: list[str] = []
        self.asked: list[str] = []
        self.unseen = ""
        """Why no process of a domain can be seen."""
        self.agents = False
        """Whether virt2 wants to be told of agents that come and go."""

    def connect(self, uri: str, *, agents: bool) -> FakeHypervisor:
        self.uris.append(uri)
        self.agents = agents
        return self.hypervisor

    def session(self, uri: str) -> Session:
        return Session(self, uri)

    def read_limits(self, uri: str) -> Limits:
        self.asked.append(uri)
        if self.limits is None:
            raise AdminUnavailable("refused")
        return self.limits


@pytest.fixture
def host(monkeypatch, tmp_path) -> Host:
    host = Host(str(tmp_path / "virt2.sock"))
    monkeypatch.setattr(admin, "Session", host.session)
    monkeypatch.setattr(procfs, "guests", lambda run_dir: [])
    monkeypatch.setattr(procfs.Processes, "problem", lambda self: host.unseen)
    monkeypatch.setattr(daemon_module, "identify", lambda there: Libvirtd("libvirtd", 0, host.hypervisor.daemon))
    return host


@pytest.fixture
def module(host, monkeypatch) -> Iterator[types.ModuleType]:
    """`virt2.plugin`, imported where there is no libvirt but the fake one."""
    door = types.ModuleType("virt2.sources.hypervisor")
    door.Hypervisor = host.connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "virt2.sources.hypervisor", door)
    for name in ("virt2.assembly", "virt2.plugin"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    logger = logging.getLogger("virt2")
    before = logger.handlers, logger.level, logger.propagate
    yield importlib.import_module("virt2.plugin")
    logger.handlers, logger.level, logger.propagate = before
    for name in ("virt2.assembly", "virt2.plugin"):
        sys.modules.pop(name, None)


@pytest.fixture
def collectd() -> FakeCollectd:
    return FakeCollectd()


class Daemon:
    """collectd, doing what it does with a plugin."""

    def __init__(self, module: types.ModuleType, collectd: FakeCollectd, host: Host) -> None:
        self.collectd = collectd
        self._host = host
        self.plugin: Any = module.register(collectd)

    def start(self, *options: Node) -> None:
        """Configure and initialise."""
        if not any(option.key == "Interval" for option in options):
            options = (*options, Node("Interval", INTERVAL))
        if not any(option.key == "StatusSocket" for option in options):
            options = (*options, Node("StatusSocket", self._host.status_socket))
        self.collectd.configs["virt2"](Node("Module", "virt2", children=options))
        self.collectd.inits["virt2"]()

    @property
    def assembly(self) -> Any:
        """What the plugin has built."""
        return self.plugin.assembly

    def read(self, name: str = "0") -> None:
        self.collectd.reads[f"virt2/{name}"]()

    def await_notified(self, count: int) -> None:
        """Wait until so many notifications were sent."""
        limit = time.monotonic() + BOUND
        while len(self.collectd.notified) < count:
            assert time.monotonic() < limit, "no notification came"
            time.sleep(LOOK)

    def series(self, host: str) -> set[str]:
        """What was dispatched for a host, by type."""
        return {values.type for values in self.collectd.dispatched if values.host == host}

    @property
    def plan(self) -> list[str]:
        return [text for text in self.collectd.texts("info") if "budget" in text]


@pytest.fixture
def daemon(module, collectd, host) -> Iterator[Daemon]:
    daemon = Daemon(module, collectd, host)
    yield daemon
    host.hypervisor.cut()
    collectd.shutdowns["virt2"]()


@pytest.mark.parametrize(
    ("uri", "is_ours"),
    [
        ("qemu:///system", True),
        ("qemu:///system?socket=/elsewhere/libvirt-sock", False),
        ("qemu+ssh://root@other/system", False),
        ("lxc:///system", False),
        ("qemu:///system?name=lxc:///", False),
    ],
)
def test_what_this_host_shows_is_used_for_its_own_libvirt_only_and_that_is_said(daemon, host, collectd, uri, is_ours):
    host.hypervisor.add("web")
    daemon.start(Node("Connection", uri))
    daemon.read()
    seen = daemon.assembly.processes is not None
    assert seen is bool(is_ours)
    said = [text for text in collectd.texts("info") if "network devices of this host are not looked at" in text]
    assert len(said) == (1 if is_ours is False else 0)
    assert all(uri in text for text in said)


def test_that_the_processes_of_domains_cannot_be_seen_is_said_once(daemon, host, collectd):
    host.unseen = "/proc hides the processes of other users"
    daemon.start()
    daemon.read()
    await_log(collectd, "warning", 0)
    host.hypervisor.add("web")
    for _ in range(3):
        daemon.assembly.inventory.refresh(0.0, BOUND)
    await_log(collectd, "warning", 1)
    assert "cannot be seen: /proc hides the processes of other users" in collectd.texts("warning")[0]
    assert "HostPreScan" in collectd.texts("warning")[0]


def test_what_cannot_be_seen_is_said_again_only_where_it_changes_with_libvirtd(daemon, host, collectd):
    host.unseen = "one reason"
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    await_log(collectd, "warning", 1)
    daemon.assembly._on_connect()
    daemon.assembly._on_list()
    await_log(collectd, "warning", 1)
    host.unseen = "another reason"
    daemon.assembly._on_connect()
    daemon.assembly._on_list()
    await_log(collectd, "warning", 2)
    assert "another reason" in collectd.texts("warning")[1]


def await_log(collectd: FakeCollectd, level: str, count: int) -> None:
    """Wait until so many lines were logged; no more of them may come."""
    limit = time.monotonic() + BOUND
    while len(collectd.texts(level)) < count or any(t.name == "virt2/look" for t in started()):
        assert time.monotonic() < limit, "no line came"
        time.sleep(LOOK)
    assert len(collectd.texts(level)) == count


def test_registering_starts_nothing_and_asks_nobody(daemon, collectd, host):
    assert set(collectd.configs) == set(collectd.inits) == set(collectd.shutdowns) == {"virt2"}
    assert collectd.reads == {}
    assert host.uris == []
    assert [thread.name for thread in started() if thread.name.startswith("virt2/")] == []


def test_configuring_starts_nothing_either(daemon, collectd, host):
    collectd.configs["virt2"](Node("Module", "virt2", children=[Node("Workers", 3.0)]))
    assert collectd.reads == {}
    assert host.uris == []
    assert [thread.name for thread in started() if thread.name.startswith("virt2/")] == []


def test_init_registers_the_first_reader_and_others_once_the_domains_are_known(daemon, collectd, host):
    for tag in ("a", "b", "c"):
        host.hypervisor.add(f"domain-{tag}", tag=tag)
    host.limits = limits(20)
    daemon.start()
    assert "virt2/0" in collectd.reads
    daemon.read()
    assert sorted(name for name in collectd.reads if name[-1].isdigit()) == ["virt2/0", "virt2/1", "virt2/2"]
    assert collectd.intervals["virt2/2"] == INTERVAL
    for name in ("1", "2"):
        daemon.read(name)
    assert {values.host for values in collectd.dispatched} >= {"domain-a", "domain-b", "domain-c"}


def test_explicit_readers_are_there_at_once(daemon, collectd, host):
    daemon.start(Node("Instance", "fast", children=[Node("Tag", "ssd")]))
    assert {"virt2/fast", "virt2/0"} <= set(collectd.reads)


def test_every_value_has_plugin_interval_and_time(daemon, collectd, host):
    host.hypervisor.add("web")
    daemon.start(Node("PluginName", "virt"))
    daemon.read()
    domain = [values for values in collectd.dispatched if values.host == "web"]
    assert {(values.plugin, values.interval) for values in collectd.dispatched} == {("virt", INTERVAL)}
    assert all(values.time > 1e9 for values in domain)
    assert {values.type for values in domain} >= {"virt_cpu_total", "memory", "disk_octets", "if_octets", "duration"}


def test_events_are_started_before_the_first_connection(daemon, host):
    connected = []

    def connect() -> Any:
        connected.append(host.hypervisor.events_started)
        return FakeHypervisor.connect(host.hypervisor)

    host.hypervisor.connect = connect  # type: ignore[method-assign]
    daemon.start()
    daemon.read()
    assert connected
    assert set(connected) == {1}


def test_the_event_loop_does_not_wait_while_calls_are_made_and_ends_at_shutdown(daemon, host, collectd):
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    seen = set()
    host.hypervisor.on_call = lambda call, name, device: seen.add((name, host.hypervisor.loop.undisturbed_now))
    daemon.read()
    assert ("web", 1) in seen
    assert host.hypervisor.loop.undisturbed_now == 0
    assert not host.hypervisor.loop.stopped
    collectd.shutdowns["virt2"]()
    assert host.hypervisor.loop.stopped


def test_the_start_is_said_in_one_line_with_its_reasons(daemon, collectd, host):
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    daemon.read()
    (line,) = daemon.plan
    for words in ("libvirt 9.0.0", "1 domains every 4 s", "readers: 0 (1 domains, 3 workers)", "budget 4", "unknown"):
        assert words in line


def test_libvirtds_limits_become_the_budget(daemon, collectd, host):
    host.limits = limits(20)
    host.hypervisor.add("web")
    daemon.start()
    assert daemon.assembly.poller.wait(BOUND)
    daemon.read()
    assert "budget 10 of libvirtd's workers: half of libvirtd's 20" in daemon.plan[0]
    own = {
        values.type_instance: values.values[0] for values in collectd.dispatched if values.plugin_instance == "libvirtd"
    }
    assert own["workers_max"] == 20


def test_a_change_of_the_limits_changes_the_budget_and_is_said(daemon, host):
    host.limits = limits(20)
    daemon.start()
    assert daemon.assembly.poller.wait(BOUND)
    daemon.read()
    host.limits = limits(12)
    daemon.read()
    assert daemon.assembly.poller.wait(BOUND)
    daemon.read()
    assert "now 6, was 10" in daemon.plan[-1]
    assert daemon.assembly.budget.size == 6


def test_the_budget_is_followed_while_the_line_on_its_last_change_is_never_taken(daemon, collectd, host):
    entered, release = threading.Event(), threading.Event()
    host.limits = limits(20)
    daemon.start()
    assert daemon.assembly.poller.wait(BOUND)

    def block(text: str) -> None:
        entered.set()
        assert release.wait(BOUND)

    logging.getLogger("virt2").handlers = [Handler({logging.INFO: block})]
    daemon.assembly.inventory.refresh(0.0, BOUND)
    stuck = threading.Thread(target=daemon.read, daemon=True)
    stuck.start()
    try:
        assert entered.wait(BOUND)
        logging.getLogger("virt2").handlers = []
        host.limits = limits(12)
        daemon.assembly.poller.poke()
        assert daemon.assembly.poller.wait(BOUND)
        daemon.assembly.adjust()
        assert daemon.assembly.budget.size == 6
    finally:
        release.set()
        stuck.join(BOUND)


def test_the_configured_connections_are_the_ones_used(daemon, host):
    daemon.start(Node("Connection", "qemu:///session"), Node("AdminConnection", "virtqemud:///session"))
    assert daemon.assembly.poller.wait(BOUND)
    assert host.uris == ["qemu:///session"]
    assert host.asked[0] == "virtqemud:///session"


def test_a_bad_value_is_one_error_and_virt2_runs(daemon, collectd):
    daemon.start(Node("Workers", "many"))
    (line,) = collectd.texts("error")
    assert "Workers" in line
    assert "many" in line
    assert "virt2/0" in collectd.reads


def test_an_unknown_key_is_one_warning_with_the_closest_known(daemon, collectd):
    daemon.start(Node("Worker", 3.0))
    (line,) = collectd.texts("warning")
    assert "Workers" in line


@pytest.mark.parametrize("option", [Node("Workers", "many"), Node("Worker", 3.0)])
def test_a_strict_configuration_stops_the_daemon(daemon, collectd, option):
    with pytest.raises(BadSetting):
        collectd.configs["virt2"](Node("Module", "virt2", children=[Node("StrictConfig", True), option]))
    assert any(option.key in line for line in collectd.texts("error"))
    assert collectd.reads == {}


def test_a_strict_configuration_stops_for_what_an_earlier_block_said(daemon, collectd):
    collectd.configs["virt2"](Node("Module", "virt2", children=[Node("Workers", "many")]))
    with pytest.raises(BadSetting):
        collectd.configs["virt2"](Node("Module", "virt2", children=[Node("StrictConfig", True)]))


def test_only_the_domains_asked_for_are_reported(daemon, collectd, host):
    for name in ("web", "db", "mail"):
        host.hypervisor.add(name)
    daemon.start(Node("Domain", "web"), Node("Domain", host.hypervisor.domains["mail"].uuid))
    daemon.read()
    assert {values.host for values in collectd.dispatched if values.host} == {"web", "mail"}
    assert "db" not in {name for _, name, _ in host.hypervisor.calls}
    assert collectd.texts("warning") == []


def test_a_filter_that_matches_nothing_is_said_once(daemon, collectd, host):
    host.hypervisor.add("web")
    daemon.start(Node("Domain", "name"))
    for _ in range(3):
        daemon.read()
        host.hypervisor.tell("lifecycle", host.hypervisor.domains["web"].uuid)
    assert [text for text in collectd.texts("warning") if "Domain 'name' matches no domain" in text] == collectd.texts(
        "warning"
    )
    assert len(collectd.texts("warning")) == 1


def labelled(collectd: FakeCollectd, kind: str, host: str = "web") -> set[str]:
    """The type instances of what was dispatched of a type for a domain."""
    return {values.type_instance for values in collectd.dispatched if (values.host, values.type) == (host, kind)}


def asked(host: Host, call: str) -> set[str]:
    return {device for name, _, device in host.hypervisor.calls if name == call}


def test_devices_are_asked_by_target_and_go_out_under_their_label(daemon, collectd, host):
    host.hypervisor.add("web", disks=("vda", "vdb"), nics=("vnet0", "vnet1"))
    daemon.start(
        Node("BlockDeviceFormat", "source"),
        Node("BlockDeviceFormatBasename", True),
        Node("InterfaceFormat", "number"),
        Node("ExtraStats", "disk_capacity disk_err"),
    )
    daemon.read()
    daemon.collectd.reads["virt2-storage"]()
    assert labelled(collectd, "disk_octets") == labelled(collectd, "disk_capacity") == {"web-vda.img", "web-vdb.img"}
    assert labelled(collectd, "if_octets") == {"interface-1", "interface-2"}
    assert asked(host, "blockStats") == asked(host, "blockInfo") == labelled(collectd, "disk_error") == {"vda", "vdb"}
    assert asked(host, "interfaceStats") == {"vnet0", "vnet1"}


def test_only_the_devices_asked_for_are_asked_but_errors_of_all(daemon, collectd, host):
    host.hypervisor.add("web", disks=("vda", "vdb"), nics=("vnet0", "vnet1"))
    daemon.start(
        Node("BlockDevice", "web:vdb"),
        Node("InterfaceDevice", "/:vnet1$/"),
        Node("ExtraStats", "disk_capacity disk_err"),
    )
    daemon.read()
    daemon.collectd.reads["virt2-storage"]()
    assert asked(host, "blockStats") == asked(host, "blockInfo") == {"vdb"}
    assert asked(host, "interfaceStats") == {"vnet1"}
    assert labelled(collectd, "disk_error") == {"vda", "vdb"}


def test_without_disks_to_report_no_monitor_is_used_and_the_domain_is_well(daemon, collectd, host):
    host.hypervisor.add("web")
    daemon.start(
        Node("ReportBlockDevices", False),
        Node("ReportNetworkInterfaces", "false"),
        Node("ExtraStats", "disk_capacity"),
    )
    for _ in range(2):
        daemon.read()
        daemon.collectd.reads["virt2-storage"]()
    assert daemon.series("web") == {"virt_cpu_total", "memory", "duration"}
    # Control info tells whether its monitor is blocked, and needs none.
    forbidden = {"blockStats", "interfaceStats", "blockInfo"}
    assert not forbidden & {name for name, _, _ in host.hypervisor.calls}
    health = daemon.assembly.healths.of(host.hypervisor.domains["web"].uuid, 0.0)
    assert health.complete is not None


NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"


def nova(name: str) -> str:
    return f"<nova:instance xmlns:nova='{NOVA}'><nova:name>{name}</nova:name></nova:instance>"


def test_metadata_names_the_domains_and_what_has_none_is_said_once(daemon, collectd, host):
    for name, metadata in (("vm1", nova("shop")), ("vm2", nova("shop")), ("vm3", "")):
        host.hypervisor.add(name).broken_metadata = metadata
    daemon.start(Node("HostnameFormat", "metadata"))
    for _ in range(2):
        daemon.read()
    hosts = {values.host for values in collectd.dispatched} - {""}
    assert hosts == {"shop", "shop~00000000", "vm3"}
    daemon.assembly.troubles.say(everything=True)
    assert sorted(text.split(": ")[1] for text in collectd.texts("warning")) == ["domain vm2", "domain vm3"]
    assert host.hypervisor.count("metadata") == 0


def test_metadata_that_changes_is_followed_at_the_next_list(daemon, collectd, host):
    domain = host.hypervisor.add("vm1")
    domain.broken_metadata = nova("shop")
    daemon.start(Node("PluginInstanceFormat", "metadata"))
    daemon.read()
    domain.broken_metadata = nova("store")
    host.hypervisor.tell("changed", domain.uuid)
    daemon.assembly.inventory.refresh(max_age=0.0, timeout=BOUND)
    collectd.dispatched.clear()
    daemon.read()
    assert {values.plugin_instance for values in collectd.dispatched if values.host == "vm1"} == {"store"}


def test_without_metadata_in_a_format_nothing_is_said_of_it(daemon, collectd, host):
    host.hypervisor.add("vm1")
    daemon.start(Node("HostnameMetadataNS", "urn:x"))
    daemon.read()
    assert collectd.texts("warning") == []


def test_a_strict_configuration_without_fault_runs(daemon, collectd):
    daemon.start(Node("StrictConfig", True), Node("Workers", 3.0))
    assert "virt2/0" in collectd.reads


def test_several_blocks_are_one_configuration(daemon, collectd):
    collectd.configs["virt2"](Node("Module", "virt2", children=[Node("Instance", "a", children=[Node("Tag", "a")])]))
    daemon.start(Node("Instance", "b", children=[Node("Tag", "b")]))
    assert {"virt2/a", "virt2/b"} <= set(collectd.reads)


def test_a_reader_that_fails_unexpectedly_is_said_once_and_never_raises(daemon, collectd, monkeypatch):
    daemon.start()

    def explode() -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(daemon.assembly.readers["0"], "read", explode)
    for _ in range(3):
        daemon.read()
    errors = collectd.texts("error")
    assert sum("unexpected failure of reader 0" in line for line in errors) == 1
    assert any("ZeroDivisionError: by hand" in line for line in errors)


def test_with_libvirt_away_a_read_returns_and_it_is_said_once(daemon, collectd, host):
    host.hypervisor.down = "no such socket"
    daemon.start()
    for _ in range(3):
        daemon.read()
    lines = [line for line in collectd.texts("error") if "cannot be reached" in line]
    assert len(lines) == 1
    assert "no such socket" in lines[0]
    daemon.await_notified(1)
    assert [notified.severity for notified in collectd.notified] == [collectd.NOTIF_FAILURE]
    assert daemon.plan == []


def test_both_ends_of_an_outage_are_told_without_a_read(daemon, collectd, host):
    host.hypervisor.add("web")
    host.hypervisor.down = "no such socket"
    daemon.start()
    daemon.await_notified(1)
    changed = daemon.assembly.inventory._changed
    host.hypervisor.boot()
    with changed:
        daemon.assembly.inventory._reach.next_attempt = 0.0
        daemon.assembly.inventory.tell(None)
    daemon.await_notified(2)
    assert [(notified.severity, notified.plugin_instance) for notified in collectd.notified] == [
        (collectd.NOTIF_FAILURE, "libvirtd"),
        (collectd.NOTIF_OKAY, "libvirtd"),
    ]


class TestNotifications:
    """What libvirt tells of domains, from its event to collectd."""

    def told(self, collectd: FakeCollectd) -> list[tuple[str, str]]:
        return [(one.host, one.message) for one in collectd.notified if one.type == "domain_state"]

    def test_an_event_is_notified_without_a_read(self, daemon, collectd, host):
        uuid = host.hypervisor.add("web").uuid
        daemon.start(Node("HostnameFormat", "uuid"), Node("PluginName", "virt"))
        daemon.read()
        host.hypervisor.tell("lifecycle", uuid, event=5, detail=2, name="web")
        daemon.await_notified(1)
        assert self.told(collectd) == [(uuid, "Domain state: the domain is shut off. Reason: domain crashed")]
        assert collectd.notified[0].plugin == "virt"
        assert collectd.notified[0].time > 1e9

    def test_a_domain_that_is_left_out_is_not_notified(self, daemon, collectd, host):
        daemon.start(Node("Domain", "web"))
        daemon.read()
        for name in ("db", "web"):
            host.hypervisor.tell("lifecycle", f"u-{name}", event=2, name=name)
        daemon.await_notified(1)
        assert [name for name, _ in self.told(collectd)] == ["web"]

    def test_the_start_of_a_domain_is_told_under_the_name_its_metadata_gives_it(self, daemon, collectd, host):
        daemon.start(Node("HostnameFormat", "metadata"))
        daemon.read()
        domain = host.hypervisor.add("vm1")
        domain.broken_metadata = nova("shop")
        host.hypervisor.tell("lifecycle", domain.uuid, event=2, name="vm1", id=domain.id)
        daemon.await_notified(1)
        assert [name for name, _ in self.told(collectd)] == ["shop"]

    def test_what_happened_while_libvirt_was_away_is_notified_when_it_is_back(self, daemon, collectd, host):
        host.hypervisor.add("web")
        daemon.start()
        daemon.read()
        # The states are read after the list, and a read waits for the list only.
        daemon.assembly.inventory.refresh(0.0, BOUND)
        assert host.hypervisor.count("statuses") == 1
        host.hypervisor.remove("web")
        host.hypervisor.cut()
        daemon.assembly.inventory.refresh(0.0, BOUND)
        daemon.await_notified(1)
        assert self.told(collectd) == [("web", "Domain state: the domain is shut off. Reason: the reason is unknown")]

    def test_persistent_ones_are_repeated_and_events_are_not_told(self, daemon, collectd, host):
        host.hypervisor.add("web").persistent = True
        host.hypervisor.inactive = [Status("u-off", "off", -1, True, 5, 1)]
        daemon.start(Node("PersistentNotification", True), Node("Interval", 0.001))
        daemon.read()
        host.hypervisor.tell("lifecycle", "u-web", event=3, name="web")
        states = {
            ("web", "Domain state: the domain is running. Reason: the reason is unknown"),
            ("off", "Domain state: the domain is shut off. Reason: normal shutdown"),
        }
        before = Counter(self.told(collectd))
        limit = time.monotonic() + BOUND
        while not all(Counter(self.told(collectd))[state] > before[state] for state in states):
            assert time.monotonic() < limit, self.told(collectd)
            time.sleep(LOOK)
        assert set(self.told(collectd)) == states


class TestChangesOfPlan:
    """A budget that goes up and down with what others do."""

    @pytest.fixture
    def change(self, daemon, host, monkeypatch) -> Callable[[float, int], None]:
        self.now = 1000.0
        host.limits = limits(20)
        daemon.start()
        monkeypatch.setattr(daemon.assembly.capacity, "_clock", lambda: self.now)
        assert daemon.assembly.poller.wait(BOUND)
        daemon.read()

        def change(seconds: float, max_workers: int) -> None:
            """Let time pass, and a read find other limits."""
            self.now += seconds
            monkeypatch.setattr(daemon.assembly.poller, "limits", lambda: limits(max_workers))
            daemon.read()

        return change

    def test_each_one_is_said_with_what_was_said_before(self, daemon, change):
        change(10.0, 12)
        change(10.0, 16)
        assert [line.split(": ")[1] for line in daemon.plan[1:]] == [
            "budget of libvirtd workers now 6, was 10",
            "budget of libvirtd workers now 8, was 6",
        ]

    def test_a_plan_that_stays_is_said_once(self, daemon, change):
        for _ in range(5):
            change(60.0, 20)
        assert len(daemon.plan) == 1

    def test_of_many_a_few_are_said_a_minute_and_all_are_followed(self, daemon, change):
        for count in range(100):
            change(4.0, 12 if count % 2 else 16)
            assert daemon.assembly.budget.size == (6 if count % 2 else 8)
        said = len(daemon.plan) - 1
        assert CHANGES_SAID <= said <= CHANGES_SAID * (400.0 / CHANGES_WITHIN + 1)

    def test_the_last_one_is_said_in_the_end(self, daemon, change):
        for max_workers in (12, 16, 12, 16):
            change(1.0, max_workers)
        assert "now 6, was 8" in daemon.plan[-1]
        change(CHANGES_WITHIN, 16)
        assert "now 8, was 6" in daemon.plan[-1]
        assert len(daemon.plan) == 1 + CHANGES_SAID + 1


def test_what_libvirt_did_not_have_is_tried_again_after_a_reconnect(daemon, collectd, host):
    web = host.hypervisor.add("web")
    web.failures["getCPUStats"] = Missing("not in this driver")
    daemon.start(Node("ExtraStats", "pcpu"))
    for _ in range(2):
        daemon.read()
    assert host.hypervisor.count("getCPUStats") == 1
    assert sum("getCPUStats" in text for text in collectd.texts("warning")) == 1
    web.failures.clear()
    host.hypervisor.cut()
    daemon.assembly.inventory.refresh(max_age=0.0, timeout=BOUND)
    daemon.read()
    assert "ps_cputime" in daemon.series("web")


def test_a_text_of_a_job_goes_out_as_the_c_plugins_does(daemon, collectd, host):
    host.hypervisor.add("web").completed_job = {"type": 4, "errmsg": "no route to host"}
    daemon.start(Node("ExtraStats", "job_stats_completed"))
    daemon.read()
    daemon.await_notified(1)
    (notified,) = collectd.notified
    assert (notified.severity, notified.type, notified.type_instance, notified.message, notified.host) == (
        collectd.NOTIF_OKAY,
        "job_stats",
        "errmsg",
        "no route to host",
        "web",
    )


def test_the_state_of_an_inactive_domain_goes_out_where_it_is_asked_for(daemon, collectd, host):
    host.hypervisor.inactive = [Status("u-off", "off", -1, True, 5, 1)]
    daemon.start(Node("ExtraStats", "domain_state"))
    daemon.read()
    daemon.read()
    assert [values.values for values in collectd.dispatched if values.host == "off"] == [(5.0, 1.0)]


def test_by_default_nobody_asks_for_inactive_domains(daemon, collectd, host):
    host.hypervisor.inactive = [Status("u-off", "off", -1, True, 5, 1)]
    daemon.start(Node("ExtraStats", "vcpu"))
    daemon.read()
    assert host.hypervisor.count("inactive") == 0
    assert daemon.series("off") == set()


class TestStorageReader:
    """What touches the storage, only where that is asked for."""

    def storage_reads(self, collectd: FakeCollectd) -> list[str]:
        return [name for name in collectd.reads if "storage" in name]

    def test_by_default_there_is_none(self, daemon, collectd, host):
        host.hypervisor.add("web")
        daemon.start()
        daemon.read()
        assert self.storage_reads(collectd) == []
        assert host.hypervisor.count("blockInfo") == host.hypervisor.count("diskErrors") == 0

    def test_empty_extra_stats_ask_for_none(self, daemon, collectd):
        daemon.start(Node("ExtraStats", ""))
        assert self.storage_reads(collectd) == []

    def test_its_values_carry_its_own_interval(self, daemon, collectd, host):
        host.hypervisor.add("web")
        daemon.start(Node("ExtraStats", "disk_capacity disk_err"), Node("StorageInterval", 120.0))
        (name,) = self.storage_reads(collectd)
        # It is read more often, so that the work is spread.
        assert collectd.intervals[name] == INTERVAL
        daemon.read()
        collectd.dispatched.clear()
        collectd.reads[name]()
        assert {(values.type, values.host, values.interval) for values in collectd.dispatched} == {
            ("disk_capacity", "web", 120.0),
            ("disk_error", "web", 120.0),
        }

    def test_selectors_that_touch_no_storage_need_none(self, daemon, collectd, host):
        host.hypervisor.add("web")
        daemon.start(Node("ExtraStats", "vcpu disk"))
        daemon.read()
        assert self.storage_reads(collectd) == []
        assert {"virt_vcpu", "disk_time"} <= daemon.series("web")

    def test_each_domain_is_asked_what_its_reader_says(self, daemon, collectd, host):
        for tag in ("a", "b", "c"):
            host.hypervisor.add(f"domain-{tag}", tag=tag, source=f"/{tag}")
        daemon.start(
            Node("ExtraStats", "disk_capacity vcpu"),
            Node("Instance", "first", children=[Node("Tag", "a"), Node("ExtraStats", "disk_err pcpu")]),
            Node("Instance", "second", children=[Node("Tag", "b"), Node("ExtraStats", "")]),
        )
        for name in ("first", "second", "0"):
            daemon.read(name)
        (name,) = self.storage_reads(collectd)
        collectd.reads[name]()
        extra = {"disk_capacity", "disk_error", "virt_vcpu", "ps_cputime"}
        assert {tag: daemon.series(f"domain-{tag}") & extra for tag in "abc"} == {
            "a": {"disk_error", "ps_cputime"},
            "b": set(),
            "c": {"disk_capacity", "virt_vcpu"},
        }

    def test_an_instance_alone_may_ask_for_what_touches_the_storage(self, daemon, collectd, host):
        daemon.start(Node("Instance", "first", children=[Node("Tag", "a"), Node("ExtraStats", "disk_err")]))
        assert self.storage_reads(collectd) == ["virt2-storage"]

    def test_a_reader_that_is_called_like_it_is_another(self, daemon, collectd):
        daemon.start(Node("ExtraStats", "disk_err"), Node("Instance", "storage", children=[Node("Tag", "a")]))
        assert sorted(collectd.reads) == ["virt2-storage", "virt2/0", "virt2/storage"]

    def test_it_never_raises(self, daemon, collectd, monkeypatch):
        daemon.start(Node("ExtraStats", "disk_err"))

        def explode() -> None:
            raise ZeroDivisionError("by hand")

        monkeypatch.setattr(daemon.assembly.storage, "read", explode)
        for _ in range(3):
            collectd.reads[self.storage_reads(collectd)[0]]()
        assert sum("ZeroDivisionError: by hand" in line for line in collectd.texts("error")) == 1


class TestAgentReader:
    """What only guests' agents can tell, only where that is asked for."""

    @pytest.fixture
    def web(self, host):
        domain = host.hypervisor.add("web")
        domain.agent = True
        return domain

    def announced(self, collectd: FakeCollectd) -> list[str]:
        return [text for text in collectd.texts("info") if "read-write" in text]

    def test_by_default_nothing_is_read_write_and_nobody_waits_for_agents(self, daemon, collectd, host, web):
        daemon.start()
        daemon.read()
        assert "virt2-agent" not in collectd.reads
        assert host.hypervisor.agent_connections == []
        assert not host.agents
        assert self.announced(collectd) == []
        assert daemon.assembly.agent_pool.share == 0

    def test_its_values_carry_its_own_interval(self, daemon, collectd, host, web):
        daemon.start(Node("ExtraStats", "guest_info"), Node("GuestAgentInterval", 120.0))
        daemon.read()
        collectd.dispatched.clear()
        collectd.reads["virt2-agent"]()
        assert {(values.type, values.host, values.interval) for values in collectd.dispatched} == {
            ("duration", "web", 120.0),
            ("users", "web", 120.0),
        }
        assert {"guest_hostname": "inside"} in [values.meta for values in collectd.dispatched]

    def test_it_is_read_as_often_as_all_else_so_that_the_work_is_spread(self, daemon, collectd):
        daemon.start(Node("ExtraStats", "guest_info"))
        assert collectd.intervals["virt2-agent"] == INTERVAL

    def test_the_one_read_write_connection_is_announced_once(self, daemon, collectd, host, web):
        collectd.types["file_system"] = ("gauge",)
        daemon.start(Node("ExtraStats", "guest_info fs_info"))
        daemon.read()
        for _ in range(3):
            collectd.reads["virt2-agent"]()
        (line,) = self.announced(collectd)
        assert "guest_info, fs_info: one read-write connection" in line
        assert len(host.hypervisor.agent_connections) == 1
        assert host.agents

    def test_what_touches_the_storage_does_not_come_with_it(self, daemon, collectd, host, web):
        daemon.start(Node("ExtraStats", "guest_info"))
        daemon.read()
        assert "virt2-storage" not in collectd.reads
        assert host.hypervisor.count("blockInfo") == 0

    def test_without_its_type_fs_info_is_left_out_which_is_said_once(self, daemon, collectd, host, web):
        daemon.start(Node("ExtraStats", "fs_info"))
        daemon.read()
        assert "virt2-agent" not in collectd.reads
        assert not host.agents
        assert self.announced(collectd) == []
        (line,) = [text for text in collectd.texts("warning") if "fs_info" in text]
        assert "types.db" in line

    def test_the_types_db_that_comes_along_has_the_type(self, module):
        line = (Path(module.__file__).parent / "types.db").read_text()
        assert line.split() == ["file_system", "value:GAUGE:0:U"]

    def test_file_systems_become_notifications(self, daemon, collectd, host, web):
        collectd.types["file_system"] = ("gauge",)
        web.file_systems = [("/a\x00\ud800b", "vda1", "ext4", ["vda", "vdb"])]
        daemon.start(Node("ExtraStats", "fs_info"))
        daemon.read()
        collectd.reads["virt2-agent"]()
        daemon.await_notified(1)
        (told,) = collectd.notified
        assert (told.message, told.host, told.severity) == ("File system information", "web", collectd.NOTIF_OKAY)
        assert told.meta == {
            "mountpoint": "/a\\x00\\ud800b",
            "name": "vda1",
            "fstype": "ext4",
            "ndevAlias": 2,
            "devAlias": "vda,vdb",
        }

    def test_it_never_raises(self, daemon, collectd, monkeypatch):
        daemon.start(Node("ExtraStats", "guest_info"))

        def explode() -> None:
            raise ZeroDivisionError("by hand")

        monkeypatch.setattr(daemon.assembly.agents, "read", explode)
        for _ in range(3):
            collectd.reads["virt2-agent"]()
        assert sum("ZeroDivisionError: by hand" in line for line in collectd.texts("error")) == 1

    def test_shutdown_lets_go_of_the_read_write_connection(self, daemon, collectd, host, web):
        daemon.start(Node("ExtraStats", "guest_info"))
        daemon.read()
        collectd.reads["virt2-agent"]()
        collectd.shutdowns["virt2"]()
        for thread in [thread for thread in started() if thread.name.startswith("virt2/agent")]:
            thread.join(BOUND)
        assert host.hypervisor.agent_connections[0].closed


class TestInitFails:
    """What a part costs that cannot be started."""

    def explode(self, *_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    @pytest.mark.parametrize("part", ["_build_agents", "_start_threads", "_add_readers"])
    def test_of_what_all_need_is_one_line_and_nothing_is_left_running(self, daemon, collectd, host, monkeypatch, part):
        host.hypervisor.add("web")
        monkeypatch.setattr(sys.modules["virt2.assembly"].Assembly, part, self.explode)
        daemon.start()
        assert collectd.texts("error") == [
            "virt2: virt2 could not start, and nothing is reported until collectd is restarted: RuntimeError(\"can't"
            ' start new thread")'
        ]
        assert collectd.reads == {}
        self.assert_nothing_runs()
        collectd.shutdowns["virt2"]()

    def test_after_a_part_of_the_readers_is_registered_they_read_nothing(self, daemon, collectd, host, monkeypatch):
        host.hypervisor.add("web")
        register = collectd.register_read

        def once(callback: Callable[..., None], interval: float, name: str) -> None:
            if collectd.reads:
                self.explode()
            register(callback, interval, name=name)

        monkeypatch.setattr(collectd, "register_read", once)
        daemon.start(Node("Instances", 2.0))
        assert len(collectd.texts("error")) == 1
        daemon.read()
        assert collectd.dispatched == []
        assert len(collectd.texts("error")) == 1
        self.assert_nothing_runs()

    def assert_nothing_runs(self) -> None:
        for thread in started():
            if thread.name.startswith("virt2/"):
                thread.join(BOUND)
                assert not thread.is_alive()

    def test_what_cannot_be_stopped_leaves_the_rest_to_be_stopped(self, daemon, collectd, monkeypatch):
        daemon.start()
        inventory_stop = daemon.assembly.inventory.stop
        monkeypatch.setattr(daemon.assembly.discovery_pool, "stop", self.explode)
        collectd.shutdowns["virt2"]()
        assert any("could not be stopped" in line for line in collectd.texts("error"))
        inventory_stop()
        self.assert_nothing_runs()


@pytest.mark.parametrize(
    ("callback", "name"),
    [
        ("on_event", "Assembly._on_event"),
        ("on_link", "Assembly._on_link"),
        ("on_connect", "Assembly._on_connect"),
        ("on_list", "Assembly._on_list"),
    ],
)
def test_a_callback_that_fails_ends_no_thread_and_is_said_once(daemon, collectd, monkeypatch, callback, name):
    daemon.start()
    call = getattr(daemon.assembly.inventory._listeners, callback)
    arguments = () if callback in ("on_connect", "on_list") else (object(),)
    for part in ("healths", "filters", "notifier"):
        monkeypatch.setattr(daemon.assembly, part, None)
    for _ in range(3):
        call(*arguments)
    assert sum(f"unexpected failure in {name}, said once" in line for line in collectd.texts("error")) == 1


def test_every_thread_is_on_the_list_of_what_runs(daemon, collectd, host):
    host.hypervisor.add("web")
    host.limits = limits(20)
    daemon.start(Node("ExtraStats", "disk_err guest_info"), Node("Instance", "fast", children=[Node("Tag", "ssd")]))
    daemon.read()
    collectd.reads["virt2-storage"]()
    collectd.reads["virt2-agent"]()
    listed = {running.thread for running in daemon.assembly.running}
    names = {thread.name for thread in started() if thread.name.startswith("virt2/")}
    assert len(names) > 4
    assert [name for name in names if not any(fnmatch.fnmatchcase(name, one) for one in listed)] == []
    assert {"virt2/0/*", "virt2/fast/*"} <= listed
    by_default = [
        [f"`{one.thread}`", one.period, one.bound] for one in daemon.assembly.running if "fast" not in one.thread
    ]
    assert rows(ARCHITECTURE, "What runs") == by_default


def test_shutdown_before_init_is_nothing(module, collectd):
    module.register(collectd)
    collectd.shutdowns["virt2"]()


def test_after_shutdown_no_thread_is_left(daemon, collectd, host):
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    threads = [thread for thread in started() if thread.name.startswith("virt2/")]
    assert threads
    collectd.shutdowns["virt2"]()
    for thread in threads:
        thread.join(BOUND)
        assert not thread.is_alive()
    assert all(connection.closed for connection in host.hypervisor.connections)


def test_inside_collectd_importing_the_package_registers(module, collectd, monkeypatch):
    registered: list[Any] = []
    register: Callable[[Any], Any] = registered.append
    monkeypatch.setattr(module, "register", register)
    monkeypatch.setattr(sys, "builtin_module_names", (*sys.builtin_module_names, "collectd"))
    monkeypatch.setitem(sys.modules, "collectd", collectd)  # type: ignore[arg-type]
    package = sys.modules["virt2"]
    monkeypatch.setattr(package, "collectd", None, raising=False)
    importlib.reload(package)
    assert registered == [collectd]


def seconds_in(text: str) -> int:
    """For how long something lasts by a line: on a busy machine it lasts longer until it is said."""
    found = re.search(r" for (\d+) s\b", text)
    assert found is not None, text
    return int(found[1])


class TestConnectionsThatDoNotCome:
    """Said once for all readers, with what libvirtd says of its clients."""

    OVER = "libvirtd answers attempts to connect again"

    def texts(self, collectd: FakeCollectd, severity: str) -> list[str]:
        return [text for text in collectd.texts(severity) if "connect" in text and "version" not in text]

    def test_one_that_is_waited_for_is_said_once_and_once_when_all_have_come(self, daemon, collectd, host):
        host.limits = limits(20)._replace(clients=12, max_clients=12)
        host.hypervisor.add("web")
        daemon.start()
        daemon.assembly.poller.wait(BOUND)
        connects = daemon.assembly.budget.connects
        connects.begin("worker", time.monotonic() - 4.2)
        for _ in range(3):
            daemon.read()
        (text,) = self.texts(collectd, "warning")
        assert "libvirtd has not answered an attempt to connect for" in text
        assert seconds_in(text) >= 4
        assert text.endswith(
            " s: it has 12 clients of 12 allowed (max_clients),"
            " ours and others'; raise max_clients in its configuration or find out who holds them; the domains are"
            " asked over the connections there are"
        )
        # One after another comes late: that is no end each time.
        connects.begin("another", time.monotonic())
        connects.end("worker", time.monotonic())
        daemon.read()
        assert self.OVER not in " ".join(collectd.texts("info"))
        connects.end("another", time.monotonic())
        # A worker of its own may be about to connect in any one read.
        limit = time.monotonic() + BOUND
        while self.OVER not in " ".join(collectd.texts("info")):
            assert time.monotonic() < limit, "its end is not said"
            daemon.read()
        assert len([text for text in collectd.texts("info") if self.OVER in text]) == 1
        assert len(self.texts(collectd, "warning")) == 1

    def test_further_ones_that_are_refused_are_said_with_libvirts_words(self, daemon, collectd, host):
        host.hypervisor.add("web")
        daemon.start()
        daemon.read()
        connects = daemon.assembly.budget.connects
        # A connection that succeeds would end it.
        with host.hypervisor.crowded():
            limit = time.monotonic() + BOUND
            while connects.pending > host.hypervisor.stage.blocked:
                assert time.monotonic() < limit, "an attempt to connect does not end"
                time.sleep(LOOK)
            connects.end("worker", time.monotonic() - 7, "too many open files")
            daemon.read()
        (text,) = self.texts(collectd, "warning")
        assert "libvirtd has refused every attempt to connect for" in text
        assert seconds_in(text) >= 7
        assert " s: too many open files; the domains" in text

    def test_while_libvirt_is_away_nothing_else_is_said(self, daemon, collectd, host):
        daemon.start()
        daemon.read()
        host.hypervisor.crash()
        daemon.assembly.inventory.refresh(max_age=0.0, timeout=BOUND)
        assert not daemon.assembly.inventory.link.up
        daemon.assembly.budget.connects.end("worker", time.monotonic() - 7, "no such file")
        daemon.read()
        assert [text for text in self.texts(collectd, "warning") if "attempt" in text] == []

    def test_a_list_that_waits_for_its_connection_is_not_blamed_on_a_domain(self, daemon, collectd, host, monkeypatch):
        host.limits = limits(20)
        daemon.start(Node("StuckAfter", 0.1))
        daemon.read()
        inventory = daemon.assembly.inventory
        monkeypatch.setattr(inventory, "hung_for", lambda: 3.0)
        daemon.assembly.poller.poke()
        daemon.assembly.poller.wait(BOUND)
        monkeypatch.setattr(daemon.assembly.capacity, "is_silent", lambda: False)
        connects = daemon.assembly.budget.connects
        connects.begin(inventory, time.monotonic() - 3.0)
        daemon.read()
        texts = collectd.texts("warning")
        assert not any("lock" in text for text in texts)
        (text,) = [text for text in texts if "libvirtd has not answered an attempt to connect for" in text]
        assert seconds_in(text) >= 3
        connects.end(inventory, time.monotonic())
        daemon.read()
        assert any("a domain's lock is held" in text for text in collectd.texts("warning"))

    def test_what_is_not_asked_meanwhile_is_not_said_as_well(self, daemon, collectd, host):
        host.hypervisor.add("web")
        daemon.start()
        daemon.read()
        reader = daemon.assembly.readers["0"]
        with_reason = daemon.assembly.capacity.explains
        reader.skipped = ["web"]
        assert not with_reason(reader.skipped)
        daemon.assembly.budget.connects.begin("worker", time.monotonic() - 4.2)
        assert with_reason(reader.skipped)
        assert not with_reason([])


def test_threads_that_cannot_be_started_at_init_are_started_by_a_later_read(daemon, collectd, host, monkeypatch):
    host.hypervisor.add("web")
    with monkeypatch.context() as context:

        def refuse(name: str, body: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

        context.setattr(threads, "start", refuse)
        daemon.start()
        daemon.read()
        assert collectd.dispatched == [] or daemon.series("web") == set()
    (text,) = [text for text in collectd.texts("error") if "thread" in text]
    assert "can't start new thread" in text
    daemon.read()
    collectd.dispatched.clear()
    daemon.read()
    assert {"virt_cpu_total", "disk_octets"} <= daemon.series("web")
    assert len([text for text in collectd.texts("info") if "threads can be started again" in text]) == 1
    assert daemon.assembly.pools["0"].workers <= 4


def test_unexpected_failures_are_said_once_and_not_without_limit(daemon, collectd, module, monkeypatch):
    daemon.start()
    count = iter(range(1000))

    def fail(self: object) -> None:
        raise ZeroDivisionError(next(count))

    monkeypatch.setattr(Reader, "read", fail)
    for _ in range(module.MOST_SAID + 10):
        daemon.read()
    assert len([text for text in collectd.texts("error") if "unexpected failure" in text]) == module.MOST_SAID


@pytest.mark.parametrize("what", ["inventory.out_of_workers", "budget.calls_wait"])
def test_that_libvirtd_has_no_worker_is_said_once_a_call_has_waited_for_a_while(daemon, collectd, monkeypatch, what):
    daemon.start()
    waiting = {"since": time.monotonic()}
    part, name = what.split(".")
    monkeypatch.setattr(type(getattr(daemon.assembly, part)), name, property(lambda _: True))
    monkeypatch.setattr(daemon.assembly.budget, "stalled_since", lambda **_: waiting["since"])

    def said() -> int:
        daemon.assembly.capacity.watch(waits_outside=False)
        return sum("libvirtd has no worker left" in text for text in collectd.texts("warning"))

    # A call for a domain that is being destroyed waits for a moment, and may be the only one.
    assert said() == 0
    waiting["since"] -= daemon.assembly.settings.stuck_after
    assert said() == said() == 1


@pytest.mark.parametrize(
    ("free", "waiting", "started", "wait"), [(0, 2, 20, True), (0, 0, 20, False), (1, 2, 20, False), (0, 2, 19, False)]
)
def test_calls_wait_where_libvirtd_has_no_worker_free_and_can_start_none(daemon, host, free, waiting, started, wait):
    host.limits = limits(20)._replace(workers=started, free_workers=free, job_queue_depth=waiting)
    daemon.start()
    daemon.assembly.poller.poke()
    assert daemon.assembly.poller.wait(BOUND)
    assert daemon.assembly.budget.calls_wait is wait


class TestAlikeTroubles:
    """What many domains have in the same way is one line with their number."""

    def lines(self, daemon, collectd) -> list[str]:
        daemon.assembly.troubles.say(everything=True)
        return collectd.texts("warning")

    def test_a_hundred_domains_that_cannot_be_asked_for_the_same_give_one_line(
        self, daemon, collectd, host, monkeypatch
    ):
        monkeypatch.setattr(results, "ENDING", 0.0)
        for number in range(100):
            domain = host.hypervisor.add(f"vm{number:03}")
            domain.failures["blockStats vda"] = Unsupported("no counters for this disk")
        daemon.start()
        for _ in range(3):
            daemon.assembly.inventory.refresh(0.0, BOUND)
            daemon.read()
        (line,) = self.lines(daemon, collectd)
        # Which of them are named depends on who was asked first.
        assert re.search(r"100 domains \(vm\d+(, vm\d+){4} and 95 others\): blockStats vda: no counters", line)

    def test_two_hundred_stopped_domains_without_metadata_give_one_line_however_often_they_are_read(
        self, daemon, collectd, host
    ):
        for number in range(200):
            host.hypervisor.set_idle(f"off{number:03}")
        daemon.start(Node("HostnameFormat", "metadata"), Node("ExtraStats", "domain_state"), Node("Interval", 0.1))
        limit = time.monotonic() + BOUND
        while len({values.host for values in collectd.dispatched}) < 200:
            assert time.monotonic() < limit
            daemon.assembly.inventory.refresh(0.0, BOUND)
            daemon.read()
        for _ in range(5):
            daemon.assembly.inventory.refresh(0.0, BOUND)
            daemon.read()
        assert len(self.lines(daemon, collectd)) <= 1


def test_whoever_takes_our_log_lines_and_never_returns_stops_no_reader_but_the_one_that_logs(daemon, host, collectd):
    blocked, release = threading.Event(), threading.Event()
    for name, tag in (("a", "one"), ("b", "two"), ("c", "three")):
        host.hypervisor.add(name, tag=tag)
    daemon.start(Node("Instances", 3))
    daemon.assembly.inventory.refresh(0.0, BOUND)
    readers = [name for name in collectd.reads if name.startswith("virt2/")]
    for name in readers:
        collectd.reads[name]()

    def block(text: str) -> None:
        if "never back" in text:
            blocked.set()
            assert release.wait(BOUND)

    collectd.warning = block
    logging.getLogger("virt2").handlers = []
    collectd_host.log_to(collectd)
    # It is made to log where the groups are made anew, which all readers need.
    make = daemon.assembly.groups._make

    def logs() -> None:
        if not blocked.is_set():
            logging.getLogger("virt2").warning("never back")
        make()

    daemon.assembly.groups._make = logs
    host.hypervisor.add("d", tag="one")
    daemon.assembly.inventory.refresh(0.0, BOUND)
    stuck = threading.Thread(target=collectd.reads[readers[0]], daemon=True)
    stuck.start()
    assert blocked.wait(BOUND)
    try:
        for name in readers[1:]:
            collectd.dispatched.clear()
            other = threading.Thread(target=collectd.reads[name], daemon=True)
            other.start()
            other.join(BOUND)
            assert not other.is_alive()
            assert {values.host for values in collectd.dispatched} & {"a", "b", "c"}
    finally:
        release.set()
        stuck.join(BOUND)


def test_the_first_plan_waits_for_a_moment_for_libvirtds_limits(daemon, host, collectd):
    asked = threading.Event()
    limits_of_host = limits(20)

    def slow(uri: str) -> Limits:
        asked.set()
        time.sleep(0.05)
        return limits_of_host

    host.read_limits = slow
    host.hypervisor.add("web")
    daemon.start()
    assert asked.wait(BOUND)
    daemon.read()
    assert len(daemon.plan) == 1
    assert "half of libvirtd's 20 workers" in daemon.plan[0]


def test_limits_that_never_come_do_not_keep_the_first_plan_waiting(daemon, host, collectd):
    release = threading.Event()

    def hang(uri: str) -> Limits:
        release.wait(BOUND)
        raise AdminUnavailable("refused")

    host.read_limits = hang
    host.hypervisor.add("web")
    daemon.start()
    began = time.monotonic()
    daemon.read()
    assert time.monotonic() - began < 1.5
    assert len(daemon.plan) == 1
    release.set()


def test_every_part_says_in_its_repr_how_it_is(daemon, host):
    host.hypervisor.add("web")
    daemon.start(Node("ExtraStats", "disk_err guest_info"))
    daemon.read()
    parts = [daemon.plugin, *vars(daemon.assembly).values(), *daemon.assembly.readers.values()]
    parts += [worker for pool in daemon.assembly.pools.values() for worker in pool._workers]
    own = [part for part in parts if type(part).__module__.startswith("virt2.")]
    assert len(own) > 20
    assert [type(part).__name__ for part in own if " object at 0x" in repr(part)] == []


def test_a_reader_that_finds_another_one_starting_threads_starts_none(daemon, monkeypatch):
    daemon.start()
    started: list[str] = []
    monkeypatch.setattr(daemon.assembly.inventory, "start", lambda: started.append("list"))
    with daemon.assembly._starting:
        daemon.read()
    assert started == []
    daemon.read()
    assert started == ["list"]


def test_the_groups_are_made_with_no_lock_that_a_line_about_them_could_keep(daemon, host, monkeypatch):
    daemon.start()
    locked: list[bool] = []
    monkeypatch.setattr(
        daemon.assembly.groups, "_afterwards", lambda uuids: locked.append(daemon.assembly._adjusting.locked())
    )
    host.hypervisor.add("web")
    daemon.assembly.inventory.refresh(0.0, BOUND)
    daemon.assembly.adjust()
    assert locked == [False]
