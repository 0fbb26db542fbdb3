"""What is reported of which domains, and under which names."""

from __future__ import annotations

import time
from collections import Counter

from tests.unit.fake_collectd import FakeCollectd, Node
from tests.unit.fake_time import BOUND, LOOK
from tests.unit.plugin.daemon import asked, labelled
from virt2.model.domain import Status


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
