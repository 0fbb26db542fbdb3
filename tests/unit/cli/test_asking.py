"""What is asked of libvirt: only what needs no monitor, and what is known when it stops answering."""

from __future__ import annotations

import threading
import time

import pytest

from tests.unit.cli.configuration import traced
from tests.unit.fakes import FakeHypervisor
from virt2.cli import asking
from virt2.cli.asking import Domains, Names, Told, ask, not_asked
from virt2.cli.bounded import Look
from virt2.errors import CallFailed, Disconnected, DomainGone
from virt2.sources import procfs

BOUND = 10.0


def soon():
    """The moment until which something is waited for that happens at once."""
    return time.monotonic() + BOUND


@pytest.fixture
def libvirt(monkeypatch):
    """Two active domains and one that does not run; no file of libvirt's own can be read."""
    monkeypatch.setattr(procfs, "status_xml", lambda name, run_dir: "")
    hypervisor = FakeHypervisor()
    hypervisor.add("web-1", tag="sd-fast", disks=("vda", "vdb"))
    hypervisor.add("db-1", nics=())
    hypervisor.set_idle("old")
    return hypervisor


def asked(libvirt, options="", told=None, until=None):
    told = told or Told()
    ask(traced(options).settings, told, soon() if until is None else until, lambda uri: libvirt.connect())
    return told


def test_all_that_the_rules_need_is_told(libvirt):
    told = asked(libvirt)
    assert (told.daemon, told.undescribed, told.doing) == ("9.0.0", "", "")
    uuids = frozenset(domain.uuid for domain in libvirt.domains.values())
    assert told.names == Names(
        Domains(frozenset({"web-1", "db-1"}), uuids),
        frozenset({"web-1:vda", "web-1:vdb", "db-1:vda"}),
        frozenset({"web-1:vnet0"}),
        True,
    )
    assert told.inactive == Domains(frozenset({"old"}), frozenset({"u-old"}))
    assert {domain.name: domain.description.tag for domain in told.domains} == {"web-1": "sd-fast", "db-1": ""}


def test_no_call_needs_a_monitor_or_a_storage(libvirt):
    with libvirt.stuck("web-1", monitor=True), libvirt.dead_storage("/images"):
        assert len(asked(libvirt).domains) == 2
    assert {call for call, _, _ in libvirt.calls} <= {"connect", "version", "active", "inactive", "xml", "close"}


def test_only_what_is_reported_is_described(libvirt):
    told = asked(libvirt, 'Domain "web-1"')
    assert [domain.name for domain in told.domains] == ["web-1"]
    assert told.names.domains.names == {"web-1", "db-1"}
    assert ("xml", "db-1", "") not in libvirt.calls


def test_disks_are_called_as_the_filters_see_them(libvirt):
    told = asked(libvirt, "BlockDeviceFormat source\nInterfaceFormat address")
    assert "web-1:/images/web-1-vda.img" in told.names.disks
    assert told.names.nics == {"web-1:52:54:00:00:00:01"}


@pytest.mark.parametrize("version", ["11.0.0", "11.4.0", "unknown"])
def test_a_libvirtd_that_waits_for_the_monitor_is_asked_for_no_xml(libvirt, version):
    libvirt.version = version
    libvirt.xml_takes_job = True
    with libvirt.stuck("web-1", monitor=True):
        told = asked(libvirt)
    assert "waits for a domain's monitor" in told.undescribed
    assert told.names.are_complete is False
    assert told.names.domains.names == {"web-1", "db-1"}
    assert len(told.domains) == 2
    assert not any(call == "xml" for call, _, _ in libvirt.calls)


def test_libvirts_own_files_are_read_first(libvirt, monkeypatch):
    libvirt.version = "11.3.0"
    monkeypatch.setattr(procfs, "status_xml", lambda name, run_dir: libvirt.domains[name].xml)
    monkeypatch.setattr(asking.daemon, "place", lambda uri: asking.daemon.Place(("libvirtd",), "/s", "/p", "/q", ""))
    told = asked(libvirt)
    assert told.undescribed == ""
    assert len(told.names.disks) == 3


def test_where_there_is_no_time_left_the_domains_are_known_by_name(libvirt):
    told = asked(libvirt, until=0.0)
    assert told.undescribed == "there was no time left to describe all of 2 domains"
    assert told.names.domains.names == {"web-1", "db-1"}
    assert told.names.are_complete is False
    assert len(told.domains) == 2


def test_a_domain_that_ends_meanwhile_is_left_out(libvirt):
    libvirt.domains["web-1"].failures["xml"] = DomainGone("it is gone")
    assert [domain.name for domain in asked(libvirt).domains] == ["db-1"]


def test_a_domain_that_cannot_be_described_leaves_the_comparison_out(libvirt):
    libvirt.domains["web-1"].failures["xml"] = CallFailed("no", 1)
    told = asked(libvirt)
    assert len(told.domains) == 2
    assert told.names.are_complete is False


def test_a_libvirt_that_cannot_be_reached_raises(libvirt):
    libvirt.down = "Connection refused"
    with pytest.raises(Disconnected, match="Connection refused"):
        asked(libvirt)


def test_while_the_list_hangs_the_version_is_known(libvirt):
    told = Told()
    with libvirt.stuck("web-1", lock=True):
        look = Look("libvirt", lambda: asked(libvirt, told=told))
        libvirt.stage.await_blocked(1)
        assert not look.wait(0.0)
        assert told.daemon == "9.0.0"
        assert "asked for its domains" in told.doing
        assert told.domains is None
    assert look.wait(soon())
    assert told.doing == ""


@pytest.mark.parametrize(
    ("uri", "is_asked"),
    [
        ("qemu:///system", True),
        ("qemu+tls://host/system", True),
        ("qemu+ssh://root@host/system", False),
        ("qemu+libssh2://host/system", False),
        ("qemu+ext:///system?command=x", False),
        ("test:///default", True),
    ],
)
def test_a_transport_that_may_ask_for_a_password_is_not_used(uri, is_asked):
    assert not_asked(uri) == (
        "" if is_asked else f"{uri} is reached through another program, which may ask for a password"
    )


@pytest.mark.parametrize(("options", "metadata"), [("", None), ("HostnameFormat metadata", "shop")])
def test_the_name_in_the_metadata_is_read_where_it_is_used(libvirt, options, metadata):
    namespace = "http://openstack.org/xmlns/libvirt/nova/1.1"
    instance = f"<n:instance xmlns:n='{namespace}'><n:name>shop</n:name></n:instance>"
    libvirt.domains["db-1"].broken_metadata = instance
    told = asked(libvirt, options)
    assert {domain.name: domain.description.metadata for domain in told.domains}["db-1"] == metadata


class Failure(Exception):
    pass


def test_what_is_found_is_waited_for_within_bounds():
    release = threading.Event()
    waiting = Look("waiting", lambda: release.wait(BOUND))
    with pytest.raises(TimeoutError, match="waiting has not ended"):
        waiting.result(0.0)
    assert repr(waiting) == "<Look waiting under way>"
    release.set()
    assert waiting.result(soon()) is True
    assert repr(waiting) == "<Look waiting done>"


def test_what_fails_raises_where_it_is_waited_for():
    def fail():
        raise Failure("broken")

    with pytest.raises(Failure, match="broken"):
        Look("failing", fail).result(soon())
