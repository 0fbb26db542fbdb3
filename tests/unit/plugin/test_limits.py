"""libvirtd's limits, and what becomes of them in the daemon."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from tests.unit.fake_time import BOUND
from tests.unit.plugin.daemon import limits
from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.output.log import Handler


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


@pytest.mark.parametrize("started", [7, 20])
def test_that_libvirtd_starts_no_workers_although_it_may_is_said_with_what_helps(
    daemon, host, collectd, monkeypatch, started
):
    host.limits = limits(20)._replace(workers=started, free_workers=0, job_queue_depth=6)
    daemon.start()
    daemon.assembly.poller.poke()
    assert daemon.assembly.poller.wait(BOUND)
    long_ago = time.monotonic() - 60
    monkeypatch.setattr(daemon.assembly.budget, "stalled_since", lambda **_: long_ago)
    daemon.assembly.capacity.watch(waits_outside=False)
    (said,) = [text for text in collectd.texts("warning") if "libvirtd has no worker left" in text]
    assert ("has started 7 of 20 only" in said and "--min-workers 20 helps at once" in said) == (started == 7)


@pytest.mark.parametrize(
    ("free", "waiting", "started", "wait"), [(0, 2, 20, True), (0, 0, 20, False), (1, 2, 20, False), (0, 2, 19, True)]
)
def test_calls_wait_where_libvirtd_has_no_worker_free(daemon, host, free, waiting, started, wait):
    host.limits = limits(20)._replace(workers=started, free_workers=free, job_queue_depth=waiting)
    daemon.start()
    daemon.assembly.poller.poke()
    assert daemon.assembly.poller.wait(BOUND)
    assert daemon.assembly.budget.calls_wait is wait


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
