"""What fails around virt2 while it runs is told once, and ends nothing."""

from __future__ import annotations

import logging
import re
import threading
import time

from tests.unit.fake_collectd import FakeCollectd, Node
from tests.unit.fake_time import BOUND, LOOK
from tests.unit.plugin.daemon import limits
from virt2.errors import Missing, Unsupported
from virt2.output import collectd_host
from virt2.readers import results
from virt2.readers.reader import Reader


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


def test_unexpected_failures_are_said_once_and_not_without_limit(daemon, collectd, module, monkeypatch):
    daemon.start()
    count = iter(range(1000))

    def fail(self: object) -> None:
        raise ZeroDivisionError(next(count))

    monkeypatch.setattr(Reader, "read", fail)
    for _ in range(module.MOST_SAID + 10):
        daemon.read()
    assert len([text for text in collectd.texts("error") if "unexpected failure" in text]) == module.MOST_SAID


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
