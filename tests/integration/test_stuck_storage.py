"""Storage that does not answer: whom it costs what, and that virt2 makes it no worse."""

import threading
import time

from tests.integration.support import (
    INTERVAL,
    SOON,
    assert_no_gap,
    collectd,
    gaps,
    hang_between_reads,
    messages,
    names_of,
    of_host,
    of_reader,
    reads,
    wait_for_reads,
)
from tests.lab import Guest, wait_for

STORAGE_EXTRAS = 'ExtraStats "disk_capacity disk_allocation disk_err"\nStorageInterval 2'


def read_durations(daemon):
    return of_reader(daemon.series("collectd"), "0", "duration-read")


def test_guests_frozen_by_another_client_cost_the_others_nothing(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        farm.storage.hang()
        farm.visit(farm.on_storage, "domblkinfo")
        wait_for(lambda: len(farm.occupied()) == len(farm.on_storage), SOON, "all are frozen")
        wait_for_reads(daemon, 4)
        assert_no_gap(daemon, farm.elsewhere)
        assert_no_gap(daemon, farm.on_storage, monitor=False)
        for guest in farm.on_storage:
            assert messages(daemon, guest) == ["warning", "WARNING"], guest
            own = of_host(daemon.series(guest.name), guest.name)
            assert own["duration-sample_age"][-1][1][0] > INTERVAL
        held = farm.lost()
        assert daemon.stop() < 2

        # The same again for one that was never there when they were well.
        daemon.start()
        since = time.time()
        wait_for_reads(daemon, 3)
        assert_no_gap(daemon, farm.elsewhere, since)
        assert_no_gap(daemon, farm.on_storage, since, monitor=False)
        print("workers held by all", held, farm.lost())
        # One of virt2's own calls may have come to a guest together with the one that froze it.
        assert farm.lost() <= held
        until = time.time()
        farm.storage.heal()
        wait_for(lambda: all(has_disks(daemon, guest, until) for guest in farm.on_storage), SOON, "disks are back")
        assert time.time() - until < 2 * INTERVAL + 1
        assert_no_gap(daemon, farm.elsewhere, since)
        print("reads", read_durations(daemon))


def has_disks(daemon, guest, since):
    own = of_host(daemon.series(guest.name), guest.name)
    return all(name in own and own[name][-1][0] >= since for name in names_of(guest))


def test_dead_storage_costs_nobody_anything_by_default(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        farm.storage.hang()
        # A guest's own reads hang now.
        wait_for_reads(daemon, 4)
        assert_no_gap(daemon, farm.guests)
        assert not farm.occupied()
        assert not farm.lost()
        assert not any(messages(daemon, guest) for guest in farm.guests)
        print("reads", read_durations(daemon))
        assert daemon.stop() < 2


def test_sizes_freeze_one_guest_of_a_dead_storage_at_most(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd", STORAGE_EXTRAS) as daemon:
        wait_for_reads(daemon, 2)
        # While sizes are asked for, libvirtd may be asking the storage itself, with the lock of a domain held.
        hang_between_reads(farm, daemon, ready=lambda: not farm.held())
        until = reads(daemon) + 5
        most = 0
        over = time.monotonic() + 2 * SOON
        while reads(daemon) < until:
            assert time.monotonic() < over
            most = max(most, len([guest for guest in farm.occupied() if guest in farm.on_storage]))
        assert most == 1
        assert len(farm.occupied()) == 1
        (frozen,) = farm.occupied()
        assert_no_gap(daemon, [guest for guest in farm.guests if guest is not frozen])
        assert_no_gap(daemon, [frozen], monitor=False)
        blocked = [line for line in daemon.log.splitlines() if f"domain {frozen.name}: monitor blocked" in line]
        assert blocked
        assert all("(blockInfo)" in line or "(diskErrors)" in line for line in blocked), blocked
        for guest in farm.elsewhere:
            own = of_host(daemon.series(guest.name), guest.name)
            for disk in guest.disks:
                for kind in ("disk_capacity", "disk_allocation", "disk_error"):
                    points = own[f"{kind}-{disk}"]
                    assert not gaps(points)
                    assert time.time() - points[-1][0] < 2 * INTERVAL
                    assert kind != "disk_capacity" or points[-1][1] == (1 << 20,)
        print("reads", read_durations(daemon))
        assert daemon.stop() < 2


def test_in_bulk_dead_storage_freezes_one_guest_and_costs_the_others_nothing(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd", 'DiskStats "bulk"') as daemon:
        wait_for_reads(daemon, 1)
        hang_between_reads(farm, daemon)
        until = reads(daemon) + 5
        over = time.monotonic() + 2 * SOON
        while reads(daemon) < until:
            assert time.monotonic() < over
            assert len([guest for guest in farm.occupied() if guest in farm.on_storage]) <= 1
        (frozen,) = farm.occupied()
        assert frozen in farm.on_storage
        assert_no_gap(daemon, [guest for guest in farm.guests if guest is not frozen])
        assert_no_gap(daemon, [frozen], monitor=False)
        assert any("does not come back" in line for line in daemon.log.splitlines())
        blocked = [line for line in daemon.log.splitlines() if f"domain {frozen.name}: monitor blocked" in line]
        assert blocked
        assert all("(bulk BLOCK)" in line for line in blocked)
        until = time.time()
        farm.storage.heal()
        wait_for(lambda: has_disks(daemon, frozen, until), SOON, "the disks of the one are back")
        assert time.time() - until < 2 * INTERVAL + 1
        print("reads", read_durations(daemon))
        assert daemon.stop() < 2


def test_locked_domains_cost_the_others_nothing(lab, tmp_path):
    storage = lab.storage("nfs")
    locked, *others = lab.guests([Guest(f"guest-{number}") for number in range(24)])
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        storage.hang()
        # libvirt makes the third wait as well: it looks at every domain when it starts one.
        hanging = [
            threading.Thread(target=locked.plug_disk, args=(storage,), daemon=True),
            threading.Thread(target=lab.guest, args=(Guest("late", storage=storage),), daemon=True),
            threading.Thread(target=lab.guest, args=(Guest("meanwhile"),), daemon=True),
        ]
        for thread in hanging:
            thread.start()
        try:
            wait_for_reads(daemon, 4)
            assert_no_gap(daemon, others)
            assert_reported(daemon, locked)
            assert daemon.stop() < 2

            daemon.start()
            since = time.time()
            wait_for_reads(daemon, 4)
            assert_no_gap(daemon, others, since)
            print("reads", read_durations(daemon))
            assert_reported(daemon, locked, since)
        finally:
            healed = time.time()
            storage.heal()
            for thread in hanging:
                thread.join(SOON)
        assert not any(thread.is_alive() for thread in hanging)
        assert len(locked.disks) == 3
        wait_for(lambda: has_disks(daemon, locked, healed), SOON, "the locked one is back, with its new disk")
        assert time.time() - healed < 2 * INTERVAL + 1
        for name in ("late", "meanwhile"):
            wait_for(lambda name=name: of_host(daemon.series(name), name), SOON, f"{name}, started meanwhile, is there")
        assert_no_gap(daemon, others, since)
        assert not any(messages(daemon, guest) for guest in others)
        assert daemon.log.count("libvirt's list of domains hangs") <= 2


def assert_reported(daemon, guest, since=0.0):
    own = of_host(daemon.series(guest.name), guest.name)
    blocked = [values[0] for when, values in own["duration-monitor_blocked"] if when >= since]
    assert blocked[-1] > INTERVAL
    assert messages(daemon, guest)[-2:] == ["warning", "WARNING"]
