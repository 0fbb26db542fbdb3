"""libvirt's own test driver, in this process, and a real QEMU keep the contract that the fake hypervisor is held to."""

from __future__ import annotations

import libvirt
import pytest

from tests.lab import Guest
from tests.unit.fakes import TAG_NAMESPACE
from tests.unit.hypervisor_contract import *  # noqa: F403
from tests.unit.hypervisor_contract import Subject
from virt2.errors import Disconnected, DomainGone
from virt2.sources.hypervisor import Connection, Hypervisor, client_version

NODE = f"""
<node>
  <domain type='test'>
    <name>subject</name>
    <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>
    <memory>1048576</memory>
    <currentMemory>524288</currentMemory>
    <vcpu>2</vcpu>
    <os><type>hvm</type></os>
    <metadata><map:tag xmlns:map='{TAG_NAMESPACE}'>blue</map:tag></metadata>
    <devices>
      <disk type='file' device='disk'>
        <source file='/images/subject.img'/>
        <target dev='vda' bus='virtio'/>
      </disk>
      <interface type='ethernet'>
        <mac address='52:54:00:00:00:01'/>
        <target dev='tap7'/>
      </interface>
    </devices>
  </domain>
</node>
"""


@pytest.fixture(scope="module")
def qemu(module_lab) -> tuple[Hypervisor, Subject]:
    guest = module_lab.guest(Guest("subject", tag="blue", disks=1, nics=1))
    return Hypervisor(module_lab.uri), Subject("subject", "blue", guest.disks[0], guest.nics[0])


@pytest.fixture(scope="module")
def test_driver(tmp_path_factory) -> tuple[Hypervisor, Subject]:
    """A host described by a file; unlike ``test:///default`` it is private to each connection."""
    description = tmp_path_factory.mktemp("node") / "node.xml"
    description.write_text(NODE)
    return Hypervisor(f"test://{description}"), Subject("subject", "blue", "vda", "tap7")


@pytest.fixture(params=["test_driver", "qemu"])
def host(request) -> tuple[Hypervisor, Subject]:
    return request.getfixturevalue(request.param)


@pytest.fixture
def hypervisor(host) -> Hypervisor:
    return host[0]


@pytest.fixture
def subject(host) -> Subject:
    return host[1]


def test_the_default_host_of_the_test_driver_is_there():
    connection = Hypervisor("test:///default").connect()
    assert [line.name for line in connection.active()] == ["test"]


def test_a_host_that_cannot_be_had_is_disconnected_with_libvirts_words(tmp_path, capfd):
    with pytest.raises(Disconnected, match=r"XML|nowhere\.xml"):
        Hypervisor(f"test://{tmp_path}/nowhere.xml").connect()
    # libvirt's own handler would have printed the error.
    assert "libvirt" not in capfd.readouterr().err


def test_without_an_event_loop_nothing_is_watched(hypervisor):
    assert not hypervisor.connect().watch(lambda event: None)


def test_the_client_library_has_a_version():
    assert len(client_version().split(".")) == 3


def test_an_event_that_cannot_be_dealt_with_is_said_once_and_no_other_is_lost(test_driver, caplog):
    callbacks = []

    class Raw:
        """libvirt's side of a connection, which calls back when the test does."""

        def domainEventRegisterAny(self, domain, number, callback, opaque):
            callbacks.append(callback)
            return len(callbacks)

        def registerCloseCallback(self, callback, opaque):
            callbacks.append(callback)

        def isAlive(self):
            return True

    told = []

    def sink(event) -> None:
        if not event.uuid:
            raise ZeroDivisionError("by hand")
        told.append(event.kind)

    raw = test_driver[0].connect()._raw
    domain = raw.listAllDomains()[0]
    connection = Connection(Raw(), events=True)
    assert connection.watch(sink)
    lifecycle, *_, closed = callbacks
    for _ in range(3):
        closed(raw, 0, None)
        lifecycle(raw, domain, 2, 0, None)
    assert told == ["lifecycle"] * 3
    assert len(caplog.records) == 1
    assert "an event of libvirt's was lost" in caplog.messages[0]


def test_an_error_that_libvirt_python_has_lost_is_not_taken_for_a_failure():
    connection = Hypervisor("test:///default").connect()
    lost = libvirt.libvirtError("virDomainLookupByUUIDString() failed")
    lost.err = None
    assert isinstance(connection._translated.translate(lost), DomainGone)
