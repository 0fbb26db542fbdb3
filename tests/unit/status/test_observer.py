"""The status socket of a whole virt2 over a fake libvirt: it tells what is so, and nothing waits for it."""
# ruff: noqa: F811 - pytest gives fixtures by their names

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterator

import pytest

from tests.threads import started
from tests.unit.fake_collectd import FakeCollectd, Node
from tests.unit.fake_time import BOUND, LOOK
from tests.unit.fakes import FakeProcesses
from tests.unit.plugin.conftest import collectd, daemon, host, module  # noqa: F401 - fixtures
from tests.unit.plugin.daemon import Daemon, limits
from tests.unit.status.shapes import check
from tests.unit.status.test_server import ask as exchange
from tests.unit.status.test_server import await_socket
from virt2.model.domain import Status
from virt2.model.replies import DiskStats
from virt2.sources import procfs
from virt2.status.desk import find_answer
from virt2.status.wire import Question
from virt2.version import VERSION
from virt2.workers.job import SERVER, Job

SHAPES = {"hello": "Hello", "domains": "Domains", "limits": "Limits", "explain": "Explain", "top": "Top"}


@pytest.fixture
def ask(daemon, host):
    """Asks at the socket; each answer is of this moment, and has its shape."""

    def asking(question, **more):
        await_socket(host.status_socket)
        daemon.assembly.status._replies._given.clear()
        found = exchange(host.status_socket, _line(question, **more))
        assert set(found) == {"version", "virt2", "answer"}, found
        check(found["answer"], SHAPES[question])
        return found["answer"]

    return asking


def _line(question, **more):
    return json.dumps({"ask": question, **more}).encode() + b"\n"


def row(ask, name, question="domains"):
    return next(one for one in ask(question)["domains"] if one["name"] == name)


def test_a_daemon_tells_who_it_is(daemon, ask, host, collectd):
    host.hypervisor.add("web")
    daemon.start(Node("Instance", "fast", children=[Node("Tag", "ssd")]))
    daemon.read()
    found = ask("hello")
    assert (found["version"], found["pid"], found["interval"]) == (VERSION, os.getpid(), 4.0)
    assert (found["connection"], found["libvirt"], found["reach"]["state"]) == ("qemu:///system", "9.0.0", "up")
    assert found["readers"] == ["fast", "0"]
    assert abs(found["since"]["time"] + found["since"]["seconds"] - time.time()) < BOUND
    assert found["since"]["seconds"] < BOUND


def test_before_the_first_read_it_answers_as_well(daemon, ask):
    daemon.start()
    for question in ("hello", "domains", "limits", "top"):
        ask(question)


def test_domains_are_told_with_their_reader_tag_and_monitor(daemon, ask, host):
    host.hypervisor.add("web", tag="ssd")
    host.hypervisor.add("db", source="/rhev/data-center/x/11111111-2222-4333-8444-555555555555")
    paused = host.hypervisor.add("paused")
    paused.info = paused.info._replace(state=3)
    host.hypervisor.inactive.append(Status("u-old", "old", -1, True, 5, 1))
    daemon.start(Node("Instance", "fast", children=[Node("Tag", "ssd")]))
    daemon.read()
    daemon.read("fast")
    found = {one["name"]: one for one in ask("domains")["domains"]}
    assert list(found) == ["db", "paused", "web", "old"]
    web = found["web"]
    assert (web["tag"], web["tag_source"], web["reader"]) == ("ssd", "metadata", "fast")
    assert (web["state"], web["monitor"]["state"], web["active"]) == ("running", "ok", True)
    assert (web["uuid"], web["id"]) == (host.hypervisor.domains["web"].uuid, host.hypervisor.domains["web"].id)
    assert web["sample_age"] < BOUND
    assert (found["db"]["tag_source"], found["db"]["reader"]) == ("storage", "0")
    assert found["db"]["storage"] == [found["db"]["tag"]]
    assert found["paused"]["state"] == "paused"
    assert (found["old"]["state"], found["old"]["active"], found["old"]["reader"]) == ("shut off", False, None)


@pytest.mark.parametrize("hidden", [False, True])
def test_it_is_told_whether_cpu_time_is_read_off_the_kernel(daemon, ask, host, monkeypatch, hidden):
    processes = FakeProcesses(host.hypervisor)
    processes.hidden = hidden
    monkeypatch.setattr(procfs, "Processes", lambda run_dir: processes)
    host.hypervisor.add("web")
    daemon.start()
    for _ in range(3):
        daemon.read()
    assert row(ask, "web")["cpu_off_kernel"] is not hidden


def test_a_stuck_domain_is_told_with_its_call_and_what_to_do(daemon, ask, host):
    host.hypervisor.add("web")
    host.hypervisor.add("db")
    # Long enough for the healthy domain to answer on a machine that has other work.
    daemon.start(Node("Timeout", 1.5))
    daemon.read()
    with host.hypervisor.stuck("web", monitor=True):
        daemon.read()
        monitor = row(ask, "web")["monitor"]
        assert (monitor["state"], monitor["cause"]) == ("blocked", "blockStats")
        assert monitor["since"]["seconds"] >= 0.1
        assert row(ask, "db")["monitor"]["state"] == "ok"
        story = ask("explain", domain="web")
        (call,) = story["calls"]
        assert (call["call"], call["kind"], call["stuck"]) == ("blockStats", "monitor", True)
        assert story["waits_for"]["what"] == "its QEMU, to answer blockStats"
        assert story["next_steps"]
        held = ask("limits")
        assert (held["held"]["in_flight"], held["held"]["stuck"]) == (1, 1)
        assert [one["domain"] for one in held["calls"]] == ["web"]
        top = ask("top")
        assert [one["name"] for one in top["domains"]] == ["web", "db"]
        assert [(one["name"], one["stuck"]) for one in top["storage"]] == [(monitor_storage(top), ["web"])]
        assert [(one["name"], one["stuck"]) for one in top["readers"]] == [("0", 1)]
        # It keeps its last values, with their time.
        before = values(top, "web")["disk_octets", "vda"]["time"]
        assert before < values(top, "db")["disk_octets", "vda"]["time"]
    daemon.read()
    assert row(ask, "web")["monitor"]["state"] == "ok"
    assert ask("explain", domain="web")["waits_for"] is None


def monitor_storage(top):
    return top["domains"][0]["storage"][0]


def values(top, name):
    (found,) = [one for one in top["domains"] if one["name"] == name]
    return {(one["type"], one["instance"]): one for one in found["values"]}


def test_the_limits_and_the_plan_are_those_in_force(daemon, ask, host):
    host.limits = limits(20)
    host.hypervisor.add("web")
    daemon.start(Node("ExtraStats", "disk_err guest_info"))
    assert daemon.assembly.poller.wait(BOUND)
    daemon.read()
    found = ask("limits")
    assert found["admin"]["max_workers"] == 20
    assert found["admin"]["asked"]["seconds"] < BOUND
    assert found["plan"]["budget"]["value"] == daemon.assembly.budget.size == 10
    (share,) = found["plan"]["shares"]
    assert (share["reader"], share["domains"]) == ("0", 1)
    assert share["share"]["value"] == daemon.assembly.pools["0"].share
    assert found["plan"]["quarantine"]["value"] == daemon.assembly.storage_pool.share
    assert found["plan"]["agents"]["value"] == daemon.assembly.agent_pool.share
    assert [one["name"] for one in ask("top")["readers"]] == ["0", "storage", "agent"]
    held = found["held"]
    assert held == {"used": 0, "in_flight": 0, "charged": 0, "stuck": 0, "free": 10}


def test_why_the_limits_are_unknown_is_told(daemon, ask, host):
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    found = ask("limits")["admin"]
    assert (found["known"], found["reason"], found["asked"]) == (False, "refused", None)


def dispatched(collectd, name):
    """The last value of each default series of a domain."""
    return {
        (values.type, values.type_instance): (list(values.values), values.time)
        for values in collectd.dispatched
        if values.host == name and values.type != "duration"
    }


def test_top_has_what_was_dispatched_last(daemon, ask, host, collectd):
    web = host.hypervisor.add("web", disks=["vda", "vdb"], nics=["vnet0", "vnet1"])
    host.hypervisor.add("db")
    daemon.start()
    for number in range(3):
        web.disk_stats = DiskStats(number, 10 * number, 1, 2, 0)
        daemon.read()
        top = ask("top")
        for name in ("web", "db"):
            told = {key: (one["values"], one["time"]) for key, one in values(top, name).items()}
            assert told == dispatched(collectd, name)
    assert len(values(top, "web")) == 14
    (reader,) = top["readers"]
    assert reader["last_read"]["seconds"] <= reader["last_read"]["began"]["seconds"]
    assert (reader["domains"], reader["skipped"], reader["stuck"]) == (2, [], 0)


def test_extra_stats_are_not_kept(daemon, ask, host):
    host.hypervisor.add("web")
    daemon.start(Node("ExtraStats", "vcpu state memory job_stats"))
    daemon.read()
    assert {kind for kind, _ in values(ask("top"), "web")} == {
        *("virt_cpu_total", "memory", "disk_octets", "disk_ops"),
        *("if_octets", "if_packets", "if_errors", "if_dropped"),
    }
    assert len(values(ask("top"), "web")) == 8


def test_a_read_that_dispatches_several_times_and_late_values_are_all_told(daemon, ask, host, collectd):
    host.hypervisor.add("web")
    host.hypervisor.add("db")
    daemon.start(Node("Timeout", 0.2))
    daemon.read()
    with host.hypervisor.stuck("web", monitor=True):
        # The second read gives out what it has before it asks, because the one before took all its time.
        daemon.read()
        daemon.read()
        top = ask("top")
        for name in ("web", "db"):
            told = {key: (one["values"], one["time"]) for key, one in values(top, name).items()}
            assert told == dispatched(collectd, name)
    daemon.read()
    told = {key: (one["values"], one["time"]) for key, one in values(ask("top"), "web").items()}
    assert told == dispatched(collectd, "web")


def test_a_domain_that_moved_to_another_reader_keeps_its_values(daemon, ask, host, collectd):
    web = host.hypervisor.add("web")
    daemon.start(Node("Instance", "fast", children=[Node("Tag", "ssd")]))
    daemon.read()
    daemon.read("fast")
    before = values(ask("top"), "web")
    assert len(before) == 8
    web.tag = "ssd"
    host.hypervisor.tell("changed", web.uuid)
    daemon.assembly.inventory.refresh(0.0, BOUND)
    # Only this read has groups made, in which it is another reader's.
    daemon.read()
    top = ask("top")
    assert row(ask, "web")["reader"] == "fast"
    assert set(values(top, "web")) == set(before)


def refresh(daemon, host, domain):
    """Let virt2 know that something of a domain has changed."""
    host.hypervisor.tell("changed", domain.uuid)
    daemon.assembly.inventory.refresh(0.0, BOUND)
    daemon.read()


def test_a_device_that_is_gone_has_no_values_and_neither_has_a_domain_of_a_former_run(daemon, ask, host):
    web = host.hypervisor.add("web", disks=["vda", "vdb"])
    daemon.start()
    daemon.read()
    assert ("disk_octets", "vdb") in values(ask("top"), "web")
    web.disks.remove("vdb")
    refresh(daemon, host, web)
    assert ("disk_octets", "vdb") not in values(ask("top"), "web")
    with host.hypervisor.stuck("web", monitor=True):
        host.hypervisor.restart("web")
        refresh(daemon, host, web)
        assert ("disk_octets", "vda") not in values(ask("top"), "web")


def test_a_domain_that_ended_is_not_told_of(daemon, ask, host):
    web = host.hypervisor.add("web")
    host.hypervisor.add("db")
    daemon.start()
    daemon.read()
    host.hypervisor.remove("web")
    refresh(daemon, host, web)
    assert [one["name"] for one in ask("top")["domains"]] == ["db"]


@pytest.mark.parametrize("name", ["\x1b]0;pwned\x07", "a\nb", "\u202e", "a\udcff", 'q"\\', "\U0001f600"], ids=ascii)
def test_hostile_names_come_as_valid_json_and_can_be_asked_for(daemon, ask, host, name, caplog):
    # pytest keeps what is logged, and its processes cannot tell each other half a character.
    caplog.set_level(logging.CRITICAL, "virt2")
    host.hypervisor.add(name)
    daemon.start()
    daemon.read()
    told = name.encode(errors="backslashreplace").decode()
    for question in ("domains", "top"):
        assert [one["name"] for one in ask(question)["domains"]] == [told]
    assert ask("explain", domain=told)["domain"]["name"] == told


class CallsByThread(list):
    """The calls of a fake hypervisor, and which threads made them."""

    def __init__(self, calls):
        super().__init__(calls)
        self.threads = set()

    def append(self, call):
        self.threads.add(threading.current_thread().name)
        super().append(call)


def test_asking_asks_libvirt_for_nothing_and_says_and_dispatches_nothing(daemon, ask, host, collectd, caplog):
    for number in range(3):
        host.hypervisor.add("same", uuid=f"00000000-0000-4000-8000-00000000000{number}")
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    host.hypervisor.add("new")
    daemon.assembly.inventory.refresh(0.0, BOUND)
    groups = daemon.assembly.groups.made
    calls = host.hypervisor.calls = CallsByThread(host.hypervisor.calls)
    before = len(collectd.dispatched)
    for question in ("hello", "domains", "limits", "top"):
        ask(question)
    ask("explain", domain="web")
    new = ask("explain", domain="new")
    assert new["domain"]["reader"] is None
    assert new["identity"] is None
    assert "virt2/status" not in calls.threads
    assert "virt2/status" not in {record.threadName for record in caplog.records}
    assert len(collectd.dispatched) == before
    assert daemon.assembly.groups.made is groups


@contextlib.contextmanager
def held(*locks) -> Iterator[None]:
    """Hold locks on another thread, as a reader that does not get on."""
    ready, release = threading.Event(), threading.Event()

    def hold() -> None:
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            ready.set()
            release.wait(BOUND)

    thread = threading.Thread(target=hold)
    thread.start()
    assert ready.wait(BOUND)
    try:
        yield
    finally:
        release.set()
        thread.join(BOUND)


def test_it_answers_whoever_holds_the_locks_of_those_who_read(daemon, ask, host):
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    assembly = daemon.assembly
    locks = [
        assembly.budget.lock,
        assembly.groups._lock,
        assembly.groups._making,
        assembly.names._lock,
        assembly.inventory._changed,
        assembly._adjusting,
        assembly._starting,
    ]
    with held(*locks):
        for question in ("hello", "domains", "limits", "top"):
            ask(question)
        assert ask("explain", domain="web")["domain"]["name"] == "web"


def test_it_answers_while_libvirtd_answers_nobody_and_says_so(daemon, ask, host):
    host.hypervisor.add("web")
    daemon.start(Node("Timeout", 0.2))
    daemon.read()
    with host.hypervisor.stopped():
        hung = daemon.assembly.inventory.hung_for
        limit = time.monotonic() + BOUND
        while hung() < 0.6:
            daemon.read()
            assert time.monotonic() < limit
        assert ask("limits")["silent"]
        assert row(ask, "web")["name"] == "web"
        assert ask("explain", domain="web")["waits_for"]["what"] == "libvirtd, which answers nobody"
        began = time.monotonic()
        ask("top")
        assert time.monotonic() - began < BOUND


def test_libvirt_that_is_away_is_told(daemon, ask, host):
    host.hypervisor.add("web")
    daemon.start()
    daemon.read()
    host.hypervisor.crash()
    limit = time.monotonic() + BOUND
    while ask("domains")["reach"]["state"] == "up":
        daemon.read()
        assert time.monotonic() < limit
    found = ask("domains")
    assert found["reach"]["state"] == "down"
    assert found["reach"]["reason"] == daemon.assembly.inventory.link.reason != ""
    assert row(ask, "web")["monitor"]["cause"] == "libvirt cannot be reached"


def test_a_call_that_was_cut_off_is_told_as_charged_and_calls_come_by_age(daemon, ask, host):
    host.hypervisor.add("web")
    daemon.start(Node("Timeout", 0.2))
    daemon.read()
    with host.hypervisor.stuck("web", monitor=True):
        daemon.read()
        host.hypervisor.cut()
        limit = time.monotonic() + BOUND
        while not daemon.assembly.budget.charges:
            assert time.monotonic() < limit
            time.sleep(LOOK)
        found = ask("limits")
        assert (found["held"]["charged"], found["held"]["in_flight"]) == (1, 0)
        assert [(one["domain"], one["cut_off"]) for one in found["calls"]] == [("web", True)]
        later = Job("another", SERVER, lambda connection, job: None)
        later.doing("info")
        daemon.assembly.budget.in_flight["another", SERVER] = later
        assert [one["call"] for one in ask("limits")["calls"]] == ["blockStats", "info"]
        del daemon.assembly.budget.in_flight["another", SERVER]


def test_there_is_no_thread_and_no_file_before_init_and_none_after_shutdown(daemon, host, collectd, ask):
    assert not os.path.lexists(host.status_socket)
    daemon.start()
    ask("hello")
    assert any(thread.name == "virt2/status" for thread in started())
    began = time.monotonic()
    collectd.shutdowns["virt2"]()
    assert time.monotonic() - began < BOUND
    assert not os.path.lexists(host.status_socket)
    assert not any(thread.name == "virt2/status" for thread in started())


def test_none_turns_it_off(daemon, host, collectd):
    host.hypervisor.add("web")
    daemon.start(Node("StatusSocket", "none"))
    daemon.read()
    assert not any(thread.name == "virt2/status" for thread in started())
    assert not any(running.thread == "virt2/status" for running in daemon.assembly.running)
    assert daemon.assembly.observer.take().domains


def test_a_socket_that_cannot_be_made_is_one_line_and_costs_nothing_else(daemon, host, collectd):
    host.hypervisor.add("web")
    began = time.monotonic()
    daemon.start(Node("StatusSocket", "/nowhere/virt2.sock"))
    daemon.read()
    assert time.monotonic() - began < BOUND
    limit = time.monotonic() + BOUND
    while not collectd.texts("warning"):
        assert time.monotonic() < limit
        time.sleep(LOOK)
    (line,) = collectd.texts("warning")
    assert "/nowhere/virt2.sock cannot be made: No such file or directory" in line
    assert {values.host for values in collectd.dispatched} >= {"web"}


def test_a_second_daemon_leaves_the_socket_of_the_first_alone_and_reads_all_the_same(
    daemon,
    host,
    module,
    collectd,
    ask,
):
    daemon.start()
    ask("hello")
    other = FakeCollectd()
    second = Daemon(module, other, host)
    second.start()
    limit = time.monotonic() + BOUND
    # Both log to the collectd that was registered with last.
    while not [line for line in other.texts("warning") + collectd.texts("warning") if "listens at" in line]:
        assert time.monotonic() < limit
        time.sleep(LOOK)
    other.shutdowns["virt2"]()
    assert ask("hello")["pid"] == os.getpid()


def test_snapshots_may_be_taken_while_domains_come_and_go(daemon, host, ask):
    """A reader writes what an answer is made of, at any time."""
    for number in range(20):
        host.hypervisor.add(f"guest-{number}")
    daemon.start()
    daemon.read()
    over, failures = threading.Event(), []

    def look() -> None:
        while not over.is_set():
            for question in ("domains", "limits", "top"):
                try:
                    check(answer(daemon, question), SHAPES[question])
                except Exception as error:
                    failures.append(error)
                    return

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for thread in lookers:
        thread.start()
    try:
        for number in range(10):
            host.hypervisor.remove(f"guest-{number}")
            new = host.hypervisor.add(f"new-{number}", disks=["vda", "vdb"])
            refresh(daemon, host, new)
    finally:
        over.set()
        for thread in lookers:
            thread.join(BOUND)
    assert failures == []


def answer(daemon, question):
    return find_answer(Question(question), daemon.assembly.observer.take())
