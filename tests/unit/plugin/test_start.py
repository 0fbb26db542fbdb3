"""The callbacks that start virt2: what collectd sees of it over a fake libvirt."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.threads import started
from tests.unit.fake_collectd import Node
from tests.unit.fake_time import BOUND
from tests.unit.fakes import FakeHypervisor
from tests.unit.plugin.daemon import INTERVAL, await_log, limits
from virt2.errors import BadSetting


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


def test_a_strict_configuration_without_fault_runs(daemon, collectd):
    daemon.start(Node("StrictConfig", True), Node("Workers", 3.0))
    assert "virt2/0" in collectd.reads


def test_several_blocks_are_one_configuration(daemon, collectd):
    collectd.configs["virt2"](Node("Module", "virt2", children=[Node("Instance", "a", children=[Node("Tag", "a")])]))
    daemon.start(Node("Instance", "b", children=[Node("Tag", "b")]))
    assert {"virt2/a", "virt2/b"} <= set(collectd.reads)


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
