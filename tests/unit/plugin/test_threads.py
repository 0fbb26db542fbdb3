"""The threads of virt2 in the daemon: which there are, when they cannot be started, and how they end."""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.threads import started
from tests.unit.fake_collectd import Node
from tests.unit.fake_time import BOUND
from tests.unit.plugin.daemon import limits
from tests.unit.test_docs import ARCHITECTURE, rows
from virt2 import threads


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
