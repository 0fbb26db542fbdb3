"""A fleet on one machine: hosts that send their values to a central collectd, and a domain that moves between them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.fleet import FLUSH, INTERVAL, LATE, SOON, identity, lost, named, sample, wait_for_points
from tests.integration.support import NIC_TYPES, gaps
from tests.lab import Collectd, Guest, wait_for
from tests.lab.fleet import FleetHost, two_hosts

MAC = "52:54:00:00:00:01"
NIC = """
<interface type='ethernet'>
  <mac address='{mac}'/><model type='ne2k_pci'/><rom enabled='no'/>
</interface>
"""
"""A network interface that libvirt names itself."""


class Fleet(NamedTuple):
    """What the tests of this file share."""

    one: FleetHost
    two: FleetHost
    signing: Collectd
    """Of host one."""
    encrypting: Collectd
    """Of host two."""
    central: Collectd
    passwords: Path
    guests: dict


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fleet")
    for name in ("labs", "central", "host-1", "host-2"):
        (folder / name).mkdir()
    passwords = folder / "passwords"
    passwords.write_text(sample("contrib/fleet/passwords"))
    listen = sample("contrib/fleet/central-network.conf", ("/etc/collectd/passwords", passwords))
    with contextlib.ExitStack() as stack:
        one, two = stack.enter_context(two_hosts(folder / "labs"))
        guests = {
            "stays": one.guest(Guest("stays")),
            # It takes the name that libvirt gives to the first interface of each host.
            "other": two.guest(Guest("other", nics=0, devices=NIC.format(mac="52:54:00:00:00:02"))),
            "moves": one.guest(Guest("moves", nics=0, devices=NIC.format(mac=MAC))),
            "lingers": one.guest(Guest("lingers", nics=0, devices=NIC.format(mac="52:54:00:00:00:03"))),
        }
        central = stack.enter_context(
            Collectd(one, folder / "central", named("central", network=listen), interval=INTERVAL)
        )
        hosts = []
        for host, send in ((one, "host-sign.conf"), (two, "host-encrypt.conf")):
            network = sample(f"contrib/fleet/{send}", ("central.example.org", one.address))
            drop_ins = named(host.hostname, fleet=identity(), network=network)
            hosts.append(stack.enter_context(Collectd(host, folder / host.hostname, drop_ins, interval=INTERVAL)))
        yield Fleet(one, two, *hosts, central, passwords, guests)


def test_all_that_two_hosts_send_signed_and_encrypted_arrives(fleet):
    senders = {
        "stays": (fleet.signing, fleet.guests["stays"].uuid),
        "other": (fleet.encrypting, fleet.guests["other"].uuid),
        "host-1": (fleet.signing, "host-1"),
        "host-2": (fleet.encrypting, "host-2"),
    }
    for what, (sender, host) in senders.items():
        wait_for_points(fleet.central, host, 4)
        missing = lost(sender, fleet.central, host)
        assert set(fleet.central.series(host)) == set(missing), what
        assert not any(missing.values()), (what, missing)
    assert "Value too old" not in fleet.central.log


CAPTURE = """
import json, socket, sys, time
seconds, most, *texts = sys.argv[1:]
wires = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
wires.settimeout(1)
seen = {}
until = time.monotonic() + float(seconds)
while time.monotonic() < until and sum(len(packets) >= int(most) for packets in seen.values()) < len(texts):
    try:
        packet = wires.recv(65536)
    except TimeoutError:
        continue
    header = (packet[0] & 15) * 4
    if packet[9] == socket.IPPROTO_UDP and packet[header + 2 : header + 4] == (25826).to_bytes(2, "big"):
        found = [text for text in texts if text.encode() in packet]
        seen.setdefault(socket.inet_ntoa(packet[12:16]), []).append(found)
print(json.dumps(seen))
"""
"""Prints which of the texts stand in each packet for the central collectd, by the packet's sender."""


def test_what_is_signed_can_be_read_on_the_way_and_what_is_encrypted_cannot(fleet):
    texts = {"10.9.0.1": fleet.guests["stays"].uuid, "10.9.0.2": fleet.guests["other"].uuid}
    output = fleet.one.run([sys.executable, "-c", CAPTURE, str(SOON), "10", *texts.values()], timeout=2 * SOON)
    packets = json.loads(output)
    assert set(packets) == set(texts)
    assert [texts["10.9.0.1"]] in packets["10.9.0.1"]
    assert not any(packets["10.9.0.2"])


REFUSALS = {
    "host-sign.conf": "Verifying HMAC-SHA-256 signature failed: Hash mismatch. Username: stranger-1",
    "host-encrypt.conf": "Checksum mismatch. Username: stranger-2",
    "": "Unsigned packet or part has been ignored.",
}
HURRY = 0.1
"""Seconds between two reads of who has few values. They would wait long until a packet is full."""


def rewrite(passwords: Path, text: str) -> None:
    """Change the file so that collectd sees it, which looks at whole seconds of its time."""
    new = passwords.with_suffix(".new")
    new.write_text(text)
    later = int(passwords.stat().st_mtime) + 1
    os.utime(new, (later, later))
    new.replace(passwords)


def test_who_does_not_know_the_password_is_refused_and_heard_once_it_is_right(fleet, tmp_path):
    strangers = {}
    with contextlib.ExitStack() as stack:
        for number, name in enumerate(REFUSALS, start=1):
            hostname = f"stranger-{number}"
            if name:
                changes = [(f"host-{number}", hostname), (f"change-me-{number}", "wrong")]
                network = sample(f"contrib/fleet/{name}", ("central.example.org", fleet.one.address), *changes)
            else:
                network = f'LoadPlugin network\n<Plugin network>\nServer "{fleet.one.address}"\n</Plugin>\n'
            (tmp_path / hostname).mkdir()
            drop_ins = named(hostname, network=network, memory="LoadPlugin memory\n")
            strangers[hostname] = Collectd(fleet.two, tmp_path / hostname, drop_ins, interval=HURRY)
        before = fleet.passwords.read_text()
        stack.callback(rewrite, fleet.passwords, before)
        rewrite(fleet.passwords, f"{before}stranger-1: right\nstranger-2: right\n")
        for stranger in strangers.values():
            stack.enter_context(stranger)
        for refusal in REFUSALS.values():
            wait_for(lambda refusal=refusal: refusal in fleet.central.log, SOON, refusal)
        for hostname, stranger in strangers.items():
            wait_for_points(stranger, hostname, 4)
            assert fleet.central.series(hostname) == {}
        # The central collectd reads the file again when it has changed.
        rewrite(fleet.passwords, f"{before}stranger-1: wrong\nstranger-2: wrong\n")
        for hostname in ("stranger-1", "stranger-2"):
            wait_for_points(fleet.central, hostname, 2)
        assert fleet.central.series("stranger-3") == {}


def test_a_notification_arrives_too(fleet):
    guest = fleet.guests["stays"]
    guest.pause()
    guest.resume()
    wanted = f"host = {guest.uuid}, plugin = virt2"
    wait_for(lambda: wanted in fleet.central.log, SOON, "the notification is in the central log")


def test_what_is_sent_while_the_central_collectd_is_away_is_lost_and_no_read_is_late(fleet):
    senders = {fleet.guests["stays"].uuid: fleet.signing, fleet.guests["other"].uuid: fleet.encrypting}
    for host in senders:
        wait_for_points(fleet.central, host, 4)
    gone = time.time()
    fleet.central.stop()
    for host, sender in senders.items():
        wait_for_points(sender, host, 5, since=gone)
    back = time.time()
    fleet.central.start()
    for host, sender in senders.items():
        wait_for_points(fleet.central, host, 4, since=back + INTERVAL)
        missing = lost(sender, fleet.central, host)
        for name, points in missing.items():
            assert len(points) >= 4, (host, name, points)
            # Values may wait for others in a packet, and collectd takes its time to start.
            assert gone - (FLUSH + 1) * INTERVAL <= points[0][0], (host, name, gone, points)
            assert points[-1][0] <= back + INTERVAL, (host, name, back, points)
        print(f"away {back - gone:.1f} s, lost of each series:", sorted({len(points) for points in missing.values()}))
        for name, points in sender.series(host).items():
            assert not gaps(points, LATE), (host, name, gaps(points, LATE))


DEFAULT_NAMES = {
    *("virt_cpu_total", "memory-total", "duration-sample_age", "duration-monitor_blocked"),
    *(f"{kind}-{disk}" for kind in ("disk_octets", "disk_ops") for disk in ("vda", "vdb")),
    *(f"{kind}-{MAC}" for kind in NIC_TYPES),
}


def test_a_domain_that_moves_keeps_its_names_and_its_values_come_from_the_other_host(fleet):
    guest = fleet.guests["moves"]
    expected = {(guest.uuid, f"virt2-{guest.name}", name) for name in DEFAULT_NAMES}
    wait_for_points(fleet.central, guest.uuid, 4)
    assert set(fleet.central.series(guest.uuid)) == expected
    begins = time.time()
    fleet.one.migrate(guest, fleet.two)
    moved = time.time()
    wait_for(lambda: set(fleet.encrypting.series(guest.uuid)) == expected, SOON, "the other host has all series")
    wait_for_points(fleet.central, guest.uuid, 4, since=moved + 2 * INTERVAL)
    here, there, got = (daemon.series(guest.uuid) for daemon in (fleet.signing, fleet.encrypting, fleet.central))
    assert set(here) == set(there) == set(got) == expected
    steps = {}
    for name, points in got.items():
        before = {point for point in points if point[0] < begins}
        after = {point for point in points if point[0] > moved + INTERVAL}
        assert len(before) >= 4, name
        assert len(after) >= 2, name
        assert before <= set(here[name]), name
        assert after <= set(there[name]), name
        assert not after & set(here[name]), name
        # The central collectd was away earlier.
        around = [when for when, _ in points if when > begins - 2 * INTERVAL]
        steps[name[-1]] = round(max(later - earlier for earlier, later in zip(around, around[1:])), 2)
    print(f"the migration took {moved - begins:.2f} s, longest steps:", steps)
    assert max(steps.values()) <= moved - begins + LATE


def test_while_a_domain_moves_one_host_only_reports_it(fleet):
    guest = fleet.guests["lingers"]
    wait_for_points(fleet.central, guest.uuid, 2)
    moving = fleet.one.begin_migration(guest, fleet.two)
    receiver = wait_for(lambda: process_of(fleet.two, guest), SOON, "the QEMU that receives it")
    os.kill(receiver, signal.SIGSTOP)
    held = time.time()
    try:
        wait_for_points(fleet.central, guest.uuid, 4, since=held)
        assert moving.poll() is None
        assert fleet.encrypting.series(guest.uuid) == {}
    finally:
        os.kill(receiver, signal.SIGCONT)
    goes_on = time.time()
    assert moving.wait(SOON) == 0
    moved = time.time()
    wait_for_points(fleet.central, guest.uuid, 4, since=moved + INTERVAL)
    there, got = fleet.encrypting.series(guest.uuid), fleet.central.series(guest.uuid)
    assert len(got) == len(DEFAULT_NAMES)
    for name, points in got.items():
        assert min(there[name])[0] > goes_on, name
        around = [when for when, _ in points if when > held]
        assert max(later - earlier for earlier, later in zip(around, around[1:])) <= moved - goes_on + LATE, name


def process_of(host, guest):
    """The pid of a guest's QEMU on a host, as seen from here; None where there is none."""
    for pid in host.pids().values():
        with contextlib.suppress(OSError):
            if guest.uuid.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None
