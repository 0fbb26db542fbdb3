"""What collectd is told of domains: by libvirt's own events, from real guests to which these things really happen."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
import time

import libvirt
import pytest

from tests.integration.support import INTERVAL, collectd, reads, wait_for_reads
from tests.lab import Collectd, Guest, python_module, wait_for
from tests.lab.guests import domain_xml
from virt2.sources.hypervisor import Hypervisor

SOON = 15.0
"""Seconds within which libvirtd, QEMU and a guest's firmware do what takes them less than one."""
AT_ONCE = 1.0
"""Seconds from an event to its notification, at the most: without a read in between."""
NEVER = 300.0
"""An interval within which a test sees no second read."""
FAILURE, WARNING, OKAY = 1, 2, 4

_HALT = bytes.fromhex("fa f4 ebfd")
PANIC = bytes.fromhex("ba0505 b001 ee") + _HALT
"""Writes 1 (panicked) to the port of the ISA panic device."""
WATCHDOG = bytes.fromhex("ba4304 b00e ee") + _HALT
"""Starts the ib700 watchdog with 2 s, and does not look after it."""
SUSPEND = bytes.fromhex("ba0406 b80024 ef") + _HALT
"""Suspends to memory, by the power management port where SeaBIOS puts it on this machine."""
POWER_OFF = bytes.fromhex("ba0406 b80020 ef") + _HALT
"""Powers itself off, by the same port."""

UNKNOWN = "the reason is unknown"
OTHER_REASON = ("message", "reason unknown")
"""What libvirt says of an I/O error for which it has no word of its own, and what is made of it."""
if libvirt.getVersion() < 11_000_000:
    OTHER_REASON = ("", "reason unknown")
NO_STATE = f"no state. Reason: {UNKNOWN}"
BOOTED = "the domain is running. Reason: normal startup from boot"
UNPAUSED = "the domain is running. Reason: returned from paused state"
WOKEN = "the domain is running. Reason: returned from pmsuspended due to wakeup event"
PAUSED = "the domain is paused by user. Reason: paused on user request"
IO_ERROR = "the domain is paused by user. Reason: paused due to a disk I/O error"
BY_WATCHDOG = "the domain is paused by user. Reason: paused due to a watchdog event"
SHUTTING_DOWN = "the domain is being shut down. Reason: shutting down on user request"
SHUT_DOWN = "the domain is shut off. Reason: normal shutdown"
DESTROYED = "the domain is shut off. Reason: forced poweroff"
FAILED = "the domain is shut off. Reason: domain failed to start"
PANICKED = "the domain is crashed. Reason: domain panicked"
ASLEEP = f"the domain is suspended by guest power management. Reason: {UNKNOWN}"


class Told:
    """What a collectd was told, by host."""

    def __init__(self, daemon: Collectd) -> None:
        self.daemon = daemon
        self._all: list[dict] = []

    def everything(self) -> list[dict]:
        self._all += [record for record in self.daemon.records.new() if "message" in record]
        return self._all

    def all(self, host: str) -> list[dict]:
        return [record for record in self.everything() if record["host"] == host]

    def states(self, host: str) -> list[str]:
        """The states of a domain, in the order in which they were told."""
        prefix = "Domain state: "
        return [one["message"][len(prefix) :] for one in self.all(host) if one["message"].startswith(prefix)]

    def wait(self, host: str, *expected: str, timeout: float = SOON) -> None:
        """Wait until these states were told, in this order; others may have been in between."""

        def seen() -> bool:
            states = iter(self.states(host))
            return all(state in states for state in expected)

        try:
            wait_for(seen, timeout)
        except TimeoutError:
            raise AssertionError(f"{host} was told {self.states(host)}, expected {expected}") from None

    def of_type(self, host: str, type: str, instance: str) -> list[dict]:
        return [one for one in self.all(host) if (one["type"], one["type_instance"]) == (type, instance)]


@contextlib.contextmanager
def telling(lab, folder, settings="", interval=NEVER):
    """A collectd with virt2 that keeps what it is told, after its first read."""
    folder.mkdir()
    with Collectd(lab, folder, {"virt2.conf": python_module("virt2", settings)}, interval, record=True) as daemon:
        wait_for(lambda: "virt2: version" in daemon.log, SOON, "the first list")
        yield Told(daemon)


@contextlib.contextmanager
def watching(lab, sink):
    """Hear libvirt's events in this process; gives whether libvirt has all that tell of changes."""
    hypervisor = Hypervisor(lab.uri)
    hypervisor.start_events()
    connection = hypervisor.connect()
    try:
        yield connection.watch(sink)
    finally:
        connection.close()


def booting(lab, name, sector=None, *, storage=None, policy="", **more):
    """A guest with one disk that boots this sector, on this storage, with this policy for errors."""
    path = lab.images(storage).create()
    if sector is not None:
        with open(path, "r+b") as image:
            image.write(sector)
    disk = f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' {policy}/>
      <source file='{path}'/>
      <target dev='vda' bus='ide'/>
    </disk>"""
    return Guest(name, disks=0, nics=0, storage=storage, **{**more, "devices": disk + more.get("devices", "")})


def define(lab, name):
    """A persistent domain, not started."""
    return lab.connection.defineXML(domain_xml(Guest(name, disks=1, nics=0), lab.images(None), []))


def test_what_is_done_to_a_domain_is_told_at_once_and_without_a_read(lab, tmp_path):
    with telling(lab, tmp_path / "collectd") as told:
        domain = define(lab, "web")
        told.wait("web", NO_STATE, timeout=AT_ONCE)
        domain.create()
        told.wait("web", NO_STATE, BOOTED, timeout=AT_ONCE)
        domain.suspend()
        told.wait("web", BOOTED, PAUSED, timeout=AT_ONCE)
        domain.resume()
        told.wait("web", PAUSED, UNPAUSED, timeout=AT_ONCE)
        domain.destroy()
        told.wait("web", UNPAUSED, DESTROYED, timeout=AT_ONCE)
        domain.undefine()
        told.wait("web", DESTROYED, NO_STATE, timeout=AT_ONCE)
        severities = {one["message"].split(". ")[0]: one["severity"] for one in told.all("web")}
        # Whether QEMU comes to say that it shuts down before it is gone is a matter of luck.
        severities.pop("Domain state: the domain is being shut down", OKAY)
        assert severities == {
            "Domain state: no state": OKAY,
            "Domain state: the domain is running": OKAY,
            "Domain state: the domain is paused by user": WARNING,
            "Domain state: the domain is shut off": OKAY,
        }
        for one in told.all("web"):
            assert (one["plugin"], one["plugin_instance"]) == ("virt2", "")
            assert (one["type"], one["type_instance"], one["meta"]) == ("domain_state", "", {})
            assert abs(one["time"] - time.time()) < 60
        assert told.daemon.stop() < 2
        assert "rror" not in told.daemon.log.replace("Reason: paused due to a disk I/O error", "")


def named(lab, name, shown):
    """A persistent domain, not started, that OpenStack calls by another name."""
    metadata = (
        f"<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'><n:name>{shown}</n:name></n:instance>"
    )
    guest = Guest(name, disks=1, nics=0, metadata=metadata)
    return lab.connection.defineXML(domain_xml(guest, lab.images(None), []))


def test_a_domain_has_the_name_its_metadata_gives_it_before_and_after_its_run_too(lab, tmp_path):
    old = named(lab, "instance-1", "old")
    with telling(lab, tmp_path / "collectd", "HostnameFormat metadata") as told:
        new = named(lab, "instance-2", "new")
        told.wait("new", NO_STATE, timeout=2 * AT_ONCE)
        for domain, shown in ((old, "old"), (new, "new")):
            domain.create()
            told.wait(shown, BOOTED, timeout=2 * AT_ONCE)
            domain.destroy()
            told.wait(shown, DESTROYED, timeout=2 * AT_ONCE)
            domain.undefine()
            told.wait(shown, DESTROYED, NO_STATE, timeout=2 * AT_ONCE)
        assert {one["host"] for one in told.everything()} == {"old", "new"}


def test_a_guest_that_powers_itself_off(lab, tmp_path):
    with telling(lab, tmp_path / "collectd", 'HostnameFormat "uuid"\nPluginInstanceFormat "name"') as told:
        guest = lab.guest(booting(lab, "web", POWER_OFF))
        told.wait(guest.uuid, BOOTED, SHUTTING_DOWN, SHUT_DOWN)
        assert {one["plugin_instance"] for one in told.all(guest.uuid)} == {"web"}
        assert told.all("web") == []


def test_a_qemu_that_is_killed(lab, tmp_path):
    with telling(lab, tmp_path / "collectd") as told:
        guest = lab.guest(Guest("web", disks=1, nics=0))
        guest.kill()
        # libvirt's word for a QEMU that ended by itself, and the C plugin's for that.
        told.wait("web", BOOTED, FAILED)


def test_a_guest_that_panics(lab, tmp_path):
    with telling(lab, tmp_path / "collectd") as told:
        lab.guest(booting(lab, "web", PANIC, elements="<on_crash>preserve</on_crash>", devices="<panic model='isa'/>"))
        told.wait("web", BOOTED, PANICKED)
        assert [one["severity"] for one in told.all("web") if PANICKED in one["message"]] == [FAILURE]


def test_a_guest_that_sleeps_and_is_woken(lab, tmp_path):
    with telling(lab, tmp_path / "collectd") as told:
        elements = "<pm><suspend-to-mem enabled='yes'/></pm>"
        guest = lab.guest(booting(lab, "web", SUSPEND, elements=elements))
        told.wait("web", BOOTED, ASLEEP)
        assert [one["severity"] for one in told.all("web") if ASLEEP in one["message"]] == [WARNING]
        guest.domain.pMWakeup()
        told.wait("web", ASLEEP, WOKEN)


def test_a_watchdog_that_nobody_looks_after(lab, tmp_path):
    with telling(lab, tmp_path / "collectd") as told:
        lab.guest(booting(lab, "web", WATCHDOG, devices="<watchdog model='ib700' action='pause'/>"))
        told.wait("web", BOOTED, BY_WATCHDOG)
        wait_for(lambda: told.of_type("web", "domain_state", "watchdog"), SOON)
        (one,) = told.of_type("web", "domain_state", "watchdog")
        assert one["message"] == "domain web: watchdog fired: domain paused"
        assert (one["severity"], one["meta"]) == (WARNING, {"action": "domain paused"})


@pytest.mark.parametrize(
    ("number", "policy", "reason", "words"),
    [
        (errno.EIO, "error_policy='stop' rerror_policy='stop'", *OTHER_REASON),
        (errno.ENOSPC, "error_policy='stop' rerror_policy='stop'", "enospc", "no space left on its storage (enospc)"),
    ],
)
def test_a_guest_that_stands_still_for_its_storage_fails(lab, tmp_path, number, policy, reason, words):
    storage = lab.storage("nfs")
    lab.guest(booting(lab, "web", storage=storage, policy=policy))
    with telling(lab, tmp_path / "collectd") as told:
        storage.fail(number)
        told.wait("web", IO_ERROR)
        wait_for(lambda: told.of_type("web", "disk_error", "vda"), SOON)
        (one,) = told.of_type("web", "disk_error", "vda")
        path = one["meta"]["path"]
        assert path.startswith(f"{storage.path}/")
        assert one["message"] == f"domain web: I/O error on disk vda (ide0-0-0, {path}): {words}; domain paused"
        assert one["severity"] == FAILURE
        assert one["meta"] == {
            "disk": "vda",
            "alias": "ide0-0-0",
            "path": path,
            "action": "domain paused",
            "reason": reason,
        }


def test_errors_that_are_the_guests_to_deal_with_are_told_once(lab, tmp_path):
    storage = lab.storage("nfs")
    guest = lab.guest(booting(lab, "web", storage=storage, policy="error_policy='report'"))
    counted = []
    with telling(lab, tmp_path / "collectd") as told, watching(lab, counted.append):
        # The firmware never writes, and gives up after an error where it has not booted the guest yet.
        wait_for(lambda: guest.domain.blockStats("vda")[2] > 0, SOON, "the guest has booted")
        storage.fail(errno.EIO)
        wait_for(lambda: sum(event.kind == "I/O error" for event in counted) >= 3, SOON, "the guest tries again")
        (one,) = told.of_type("web", "disk_error", "vda")
        assert (one["severity"], one["meta"]["action"]) == (WARNING, "reported to the guest")
        assert told.states("web") == []


def test_what_happened_while_libvirtd_was_away_is_told_when_it_is_back(lab, tmp_path):
    storage = lab.storage("nfs")
    lab.guest(Guest("well", disks=1, nics=0))
    killed = lab.guest(Guest("killed", disks=1, nics=0))
    policy = "error_policy='stop' rerror_policy='stop'"
    lab.guest(booting(lab, "starved", storage=storage, policy=policy))
    define(lab, "persistent").create()
    pid = int(lab.inside("/run/libvirt/qemu/persistent.pid").read_text())
    with telling(lab, tmp_path / "collectd", interval=INTERVAL) as told:
        lab.kill_libvirtd()
        killed.kill()
        os.kill(lab.outer_pid(pid), signal.SIGKILL)
        storage.fail(errno.EIO)
        wait_for(lambda: pid not in lab.pids(), SOON, "its QEMU is gone")
        lab.start_libvirtd()
        told.wait("starved", IO_ERROR, timeout=2 * SOON)
        told.wait("killed", f"the domain is shut off. Reason: {UNKNOWN}")
        # Of a persistent domain libvirt knows it.
        told.wait("persistent", "the domain is shut off. Reason: domain crashed")
        assert told.states("well") == []


def test_persistent_domains_are_told_of_in_every_read_and_events_are_not(lab, tmp_path):
    define(lab, "on").create()
    off = define(lab, "off")
    define(lab, "out")
    lab.guest(Guest("transient", disks=1, nics=0))
    settings = 'PersistentNotification true\nDomain "/^o[nf]/"\nDomain "transient"'
    interval = 1.0
    with telling(lab, tmp_path / "collectd", settings, interval) as told:
        wait_for(lambda: len(told.states("off")) >= 4, SOON)
        assert set(told.states("off")) == {f"the domain is shut off. Reason: {UNKNOWN}"}
        assert set(told.states("on")) == {BOOTED}
        times = [one["time"] for one in told.all("on")]
        assert all(0.5 * interval < two - one < 1.5 * interval for one, two in zip(times, times[1:]))
        off.create()
        told.wait("off", BOOTED, timeout=3 * interval)
        off.destroy()
        told.wait("off", BOOTED, DESTROYED, timeout=3 * interval)
        assert told.all("transient") == told.all("out") == []


def test_a_domain_that_is_left_out_is_not_told_of(lab, tmp_path):
    with telling(lab, tmp_path / "collectd", 'Domain "/^web/"') as told:
        for name in ("db", "web-1"):
            lab.guest(Guest(name, disks=1, nics=0)).stop()
        told.wait("web-1", BOOTED, DESTROYED)
        assert told.all("db") == []


def test_a_held_lock_delays_nothing_that_is_told_of_others(lab, tmp_path):
    storage = lab.storage("nfs")
    guest = lab.guest(Guest("web", disks=1, nics=0))
    with telling(lab, tmp_path / "collectd", interval=INTERVAL) as told:
        storage.hang()
        start = threading.Thread(target=lambda: lab.guest(Guest("held", disks=1, nics=0, storage=storage)))
        start.start()
        try:
            wait_for(lambda: "list of domains hangs" in told.daemon.log, SOON)
            guest.pause()
            told.wait("web", PAUSED, timeout=AT_ONCE)
            assert told.states("held") == []
        finally:
            storage.heal()
            start.join(SOON)
        told.wait("held", BOOTED)


SLOW = """
import time
import collectd

def take(notification):
    time.sleep(3600)

collectd.register_notification(take, name="slow")
"""


def test_a_plugin_that_takes_notifications_slowly_costs_no_read_and_no_exit(lab, tmp_path):
    guest = lab.guest(Guest("web", disks=1, nics=0))
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "slow_taker.py").write_text(SLOW)
    slow = python_module("slow_taker", path=tmp_path / "modules")
    with collectd(lab, tmp_path / "collectd", interval=1.0, slow=slow) as daemon:
        wait_for_reads(daemon, 1)
        guest.pause()
        wait_for(lambda: "Reason: paused on user request" in daemon.log, SOON)
        guest.resume()
        guest.freeze()
        # An alarm comes from a read.
        wait_for(lambda: f"domain {guest.name}: monitor blocked" in daemon.log, SOON)
        before = reads(daemon)
        wait_for(lambda: reads(daemon) >= before + 3, SOON)
        assert daemon.stop() < 2
        # These wait for the first one to be taken.
        assert "Reason: returned from paused state" not in daemon.log
        assert "WARNING, host = web, plugin = virt2, type = duration" not in daemon.log


@pytest.mark.parametrize("unknown", ["IO_ERROR_REASON", "WATCHDOG", "METADATA_CHANGE"])
def test_an_event_that_libvirtd_does_not_know_leaves_the_others(lab, monkeypatch, unknown):
    monkeypatch.setattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{unknown}", 9999)
    seen = []
    with watching(lab, seen.append) as complete:
        assert complete == (unknown != "METADATA_CHANGE")
        guest = lab.guest(Guest("web", disks=1, nics=0))
        wait_for(lambda: seen, SOON)
        assert (seen[0].kind, seen[0].uuid, seen[0].name, seen[0].id) == ("lifecycle", guest.uuid, "web", 1)
