"""What virt2 costs libvirtd, counted on its socket: no machine is too slow for these."""

from collections import Counter

import libvirt
import pytest

from tests.integration.support import collectd, of_host
from tests.lab import Guest, wait_for
from tests.lab.relay import Relay, bursts

INTERVAL = 1.0
APART = 0.3
"""Seconds of silence between two reads: most of the interval, and far more than lies between two calls of one."""
READS = 3
"""Reads in a row that have to be alike."""
SETTLED = 90.0
"""Seconds: each worker's connection has by then looked up each domain once, which it comes to at random."""


def steady_reads(relay):
    """What each of the last reads asked, once the look-ups and descriptions of the first are over.

    A machine that is busy for a moment tears a read apart, so they have to be alike; but for control info, of which
    there is more or less by nature.
    """
    reads = [Counter(call.name for call in burst) for burst in bursts(relay.calls, APART)][1:-1]
    last = reads[-READS:]
    alike = {tuple(sorted((read - Counter(controlInfo=read["controlInfo"])).items())) for read in last}
    return last if len(last) == READS and len(alike) == 1 and "lookupByUUID" not in last[0] else None


def test_a_steady_read_makes_a_call_for_each_disk_and_two_lists(lab, tmp_path):
    count = 20
    lab.guests(Guest(f"guest-{number}", disks=2, nics=2) for number in range(count))
    # What is old after a few reads need not be read again, because libvirt's files show that nothing has changed.
    with Relay(lab) as relay, collectd(lab, tmp_path / "collectd", "RefreshInterval 4", INTERVAL):
        reads = wait_for(lambda: steady_reads(relay), SETTLED)
    assert all(read - Counter(controlInfo=count) == {"listAllDomains": 2, "blockStats": 2 * count} for read in reads)
    # With nobody else in libvirtd it is asked where the word of the admin socket comes late only.
    assert sum(read["controlInfo"] for read in reads) < len(reads) * count / 2
    assert all(read.total() / count == 2.1 for read in reads if not read["controlInfo"])


def test_where_nobody_knows_who_else_is_there_each_domain_takes_a_look_in_addition(lab, tmp_path):
    guests = lab.guests(Guest(f"guest-{disks}", disks=disks, nics=disks) for disks in (1, 2, 3, 4))
    lab.inside("/run/libvirt/libvirt-admin-sock").unlink()
    with Relay(lab) as relay, collectd(lab, tmp_path / "collectd", "RefreshInterval 0", INTERVAL):
        reads = wait_for(lambda: steady_reads(relay), SETTLED)
    count = len(guests)
    assert reads == READS * [{"listAllDomains": 2, "controlInfo": count, "blockStats": 1 + 2 + 3 + 4}]


def test_where_processes_cannot_be_seen_each_domain_is_asked_for_its_cpu_time(lab, tmp_path):
    guests = lab.guests(Guest(f"guest-{disks}", disks=disks, nics=disks) for disks in (1, 2))
    for path in lab.inside("/run/libvirt/qemu").glob("guest-*.pid"):
        path.unlink()
    lab.inside("/run/libvirt/libvirt-admin-sock").unlink()
    with Relay(lab) as relay, collectd(lab, tmp_path / "collectd", "RefreshInterval 0", INTERVAL):
        reads = wait_for(lambda: steady_reads(relay), SETTLED)
    count = len(guests)
    assert reads == READS * [{"listAllDomains": 2, "info": count, "controlInfo": count, "blockStats": 1 + 2}]


def test_extra_stats_that_the_kernel_tells_cost_nothing(lab, tmp_path):
    guests = lab.guests(Guest(f"guest-{disks}", disks=disks, nics=disks) for disks in (1, 2))
    lab.inside("/run/libvirt/libvirt-admin-sock").unlink()
    settings = "RefreshInterval 0\nExtraStats pcpu"
    with Relay(lab) as relay, collectd(lab, tmp_path / "collectd", settings, INTERVAL) as daemon:
        reads = wait_for(lambda: steady_reads(relay), SETTLED)
        for guest in guests:
            assert "ps_cputime" in of_host(daemon.series(), guest.name)
    assert reads == READS * [{"listAllDomains": 2, "controlInfo": len(guests), "blockStats": 1 + 2}]


def test_in_bulk_the_disks_of_a_domain_take_one_call_together(lab, tmp_path):
    guests = lab.guests(Guest(f"guest-{disks}", disks=disks, nics=disks) for disks in (1, 2, 3, 4))
    lab.inside("/run/libvirt/libvirt-admin-sock").unlink()
    settings = 'RefreshInterval 0\nDiskStats "bulk"'
    with Relay(lab) as relay, collectd(lab, tmp_path / "collectd", settings, INTERVAL):
        reads = wait_for(lambda: steady_reads(relay), SETTLED)
    count = len(guests)
    calls = {"listAllDomains": 2, "controlInfo": count, "domainListGetStats": count}
    assert reads == READS * [calls]


def test_descriptions_are_read_once_until_a_domain_changes(lab, tmp_path):
    guests = lab.guests(Guest(f"guest-{number}") for number in range(4))
    with Relay(lab) as relay, collectd(lab, tmp_path / "collectd", "RefreshInterval 0", INTERVAL):

        def described():
            return sum(call.name == "XMLDesc" for call in relay.calls)

        wait_for(lambda: steady_reads(relay), SETTLED)
        assert described() == len(guests)
        guests[0].retag("elsewhere")
        wait_for(lambda: described() > len(guests), SETTLED)
        wait_for(lambda: len(bursts(relay.calls, APART)) > 2 and described() == len(guests) + 1, SETTLED)


CALLS = {
    "lookupByUUID": lambda connection, guest: connection.lookupByUUIDString(guest.uuid),
    "lookupByName": lambda connection, guest: connection.lookupByName(guest.name),
    "listAllDomains": lambda connection, guest: connection.listAllDomains(),
    "getInfo": lambda connection, guest: connection.getInfo(),
    "getLibVersion": lambda connection, guest: connection.getLibVersion(),
    "domainListGetStats": lambda connection, guest: connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE),
}
DOMAIN_CALLS = {
    "XMLDesc": (),
    "info": (),
    "state": (),
    "controlInfo": (),
    "memoryStats": (),
    "jobStats": (),
    "jobInfo": (),
    "diskErrors": (),
    "vcpus": (),
    "getCPUStats": (True,),
    "ioThreadInfo": (),
    "blockStats": ("vda",),
    "blockStatsFlags": ("vda",),
    "blockInfo": ("vda",),
    "blockJobInfo": ("vda",),
}


@pytest.mark.parametrize("name", [*CALLS, *DOMAIN_CALLS, "interfaceStats"])
def test_the_relay_knows_calls_by_their_names(module_lab, name):
    module_lab.reset()
    (guest,) = module_lab.guests([Guest("known")])
    with Relay(module_lab) as relay:
        connection = libvirt.openReadOnly(
            f"qemu+unix:///system?socket={module_lab.inside('/run/libvirt')}/libvirt-sock-ro"
        )
        domain = connection.lookupByName(guest.name)
        before = len(relay.calls)
        if name in CALLS:
            CALLS[name](connection, guest)
        else:
            getattr(domain, name)(*DOMAIN_CALLS.get(name, guest.nics[:1]))
        assert name in [call.name for call in relay.calls[before:]]
        connection.close()
