"""The readers besides the groups' own, and readers that come and go with the domains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.threads import started
from tests.unit.fake_collectd import FakeCollectd, Node
from tests.unit.fake_time import BOUND
from tests.unit.plugin.daemon import INTERVAL, limits
from virt2.capacity import CHANGES_SAID, CHANGES_WITHIN


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
