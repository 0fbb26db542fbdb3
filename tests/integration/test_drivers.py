"""virt2 over a driver of libvirt's that does not have every call: containers, which have no monitor."""

from __future__ import annotations

import uuid

import libvirt
import pytest

from tests.integration.support import INTERVAL, collectd, of_host, wait_for_reads
from tests.lab import Guest
from tests.unit.fakes import LXC
from virt2.errors import Error, Missing
from virt2.sources.hypervisor import Hypervisor

CONTAINER = """
<domain type='lxc'>
  <name>box</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type>exe</type><init>/bin/sleep</init><initarg>600</initarg></os>
  <devices>
    <interface type='ethernet'><mac address='52:54:00:0c:00:01'/></interface>
    <console type='pty'/>
  </devices>
</domain>
"""


@pytest.fixture
def container(lab):
    """A lab with one container, besides a guest of QEMU's that is none of this driver's."""
    lab.guest(Guest("other", disks=1, nics=0))
    connection = libvirt.open(f"lxc+unix:///system?socket={lab.inside('/run/libvirt/libvirt-sock')}")
    try:
        domain = connection.createXML(CONTAINER.format(uuid=uuid.uuid4()), 0)
        yield domain
        domain.destroy()
    finally:
        connection.close()


def test_a_containers_driver_lacks_the_calls_that_the_fake_one_lacks(lab, container):
    uri = f"lxc+unix:///system?socket={lab.inside('/run/libvirt/libvirt-sock-ro')}"
    connection = Hypervisor(uri).connect()
    uuid = container.UUIDString()
    calls = {
        "info": lambda: connection.info(uuid),
        "state": lambda: connection.state(uuid),
        "controlInfo": lambda: connection.control(uuid),
        "interfaceStats": lambda: connection.nic(uuid, "veth-none"),
        "blockStats": lambda: connection.disk(uuid, "vda"),
        "blockStatsFlags": lambda: connection.disk_times(uuid, "vda"),
        "memoryStats": lambda: connection.memory(uuid),
        "getCPUStats": lambda: connection.cpu_times(uuid),
        "jobStats": lambda: connection.job(uuid, completed=False),
        "vcpus": lambda: connection.vcpus(uuid, 1, affinity=False),
        "blockInfo": lambda: connection.disk_sizes(uuid, "vda"),
        "diskErrors": lambda: connection.disk_errors(uuid),
        "bulk": lambda: connection.stats(uuid, ("BALLOON",)),
    }
    lacking = set()
    for name, call in calls.items():
        try:
            call()
        except Missing:
            lacking.add(name)
        except Error:
            pass
    connection.close()
    assert lacking | {"backup"} == LXC


def test_a_container_is_reported_with_all_that_its_driver_has(lab, container, tmp_path):
    settings = 'Connection "lxc:///system"\nExtraStats "memory pcpu vcpu domain_state job_stats_background disk_err"'
    with collectd(lab, tmp_path / "collectd", settings) as daemon:
        wait_for_reads(daemon, 3)
        own = of_host(daemon.series(), "box")
        log = daemon.log
    kinds = {name.partition("-")[0] for name in own}
    assert {"virt_cpu_total", "memory", "if_octets", "if_packets", "ps_cputime", "domain_state"} <= kinds
    assert "memory-rss" in own
    assert own["duration-sample_age"][-1][1][0] < INTERVAL
    # What is asked of a monitor elsewhere was answered.
    assert {values for _, values in own["duration-monitor_blocked"]} == {(0.0,)}
    assert of_host(daemon.series(), "other") == {}
    lines = [line for line in log.splitlines() if "does not have the call" in line]
    assert sorted(line.partition("the call ")[2].partition(",")[0] for line in lines) == [
        "bulk BALLOON",
        "controlInfo",
        "jobStats",
        "vcpus",
    ]
    assert "Traceback" not in log
