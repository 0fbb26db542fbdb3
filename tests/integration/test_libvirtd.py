"""libvirtd itself fails: killed, frozen, restarted, short of workers, refusing. All comes back by itself."""

import os
import re
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.integration.support import (
    INTERVAL,
    assert_away,
    assert_kernel_goes_on,
    assert_no_gap,
    collectd,
    names_of,
    of_host,
    of_reader,
    wait_for_reads,
)
from tests.lab import Guest, wait_for
from tests.lab.collectd_daemon import python_module
from tests.lab.records import MODULES
from virt2.sources.admin import read_limits

SOON = 15.0
TWO_INTERVALS = 2 * INTERVAL
SLACK = 1.0
"""Seconds for what this test itself needs to see it: files are read and parsed every 20 ms."""
POLL = ("7", "271")
"""The numbers of the system calls poll and ppoll on x86-64. Which one is used depends on the C library."""
COLLECTDS_THREADS = 11
"""The main one, 5 that read and 5 that write: its defaults."""


def complete(daemon, guests, since):
    """Whether every default series of every guest has a point since then."""
    series = daemon.series()
    return all(
        any(when >= since for when, _ in of_host(series, guest.name).get(name, []))
        for guest in guests
        for name in names_of(guest)
    )


def lines(daemon, text):
    return [line for line in daemon.log.splitlines() if "] virt2: " in line and text in line]


def test_everything_is_back_within_two_intervals_of_a_kill(lab, tmp_path):
    ending, *guests = lab.guests(Guest(f"g{number}") for number in range(7))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        lab.kill_libvirtd()
        down = time.time()
        wait_for(lambda: lines(daemon, "libvirt cannot be reached"), SOON)
        ending.kill()
        ended = time.time()
        wait_for_reads(daemon, 3)
        going_up = time.time()
        lab.start_libvirtd()
        up = time.time()
        wait_for(lambda: complete(daemon, guests, up), SOON)
        assert time.time() - up <= TWO_INTERVALS + SLACK
        assert_away(daemon, guests, down, going_up)
        assert_kernel_goes_on(daemon, guests)
        # Nothing is reported of a guest whose process has ended.
        assert max(points[-1][0] for points in of_host(daemon.series(), ending.name).values()) <= ended + 0.1
        assert len(lines(daemon, "libvirt cannot be reached")) == 1
        assert len(lines(daemon, "libvirt is back")) == 1


def test_a_quick_restart_costs_no_point(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number}") for number in range(3))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        lab.restart_libvirtd()
        restarted = time.time()
        wait_for(lambda: complete(daemon, guests, restarted), SOON)
        assert time.time() - restarted <= TWO_INTERVALS + SLACK
        # Events are told over the new connection as well.
        guests[0].retag("virt-0")
        (fresh,) = lab.guests([Guest("fresh")])
        wait_for(lambda: names_of(fresh) <= set(of_host(daemon.series(), "fresh")), SOON)


def test_a_frozen_libvirtd_is_said_once_and_no_domain_is_blamed(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number}") for number in range(6))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        before = threads(daemon)
        os.kill(lab.libvirtd_pid, signal.SIGSTOP)
        stopped = time.time()
        wait_for(lambda: lines(daemon, "libvirtd has not answered"), SOON)
        wait_for_reads(daemon, 3)
        # More of them could do nothing but wait as well.
        assert threads(daemon) <= before + 2
        assert not lines(daemon, "monitor blocked")
        back = time.time()
        os.kill(lab.libvirtd_pid, signal.SIGCONT)
        wait_for(lambda: complete(daemon, guests, back), SOON)
        assert time.time() - back <= TWO_INTERVALS + SLACK
        assert_away(daemon, guests, stopped, back)
        assert_kernel_goes_on(daemon, guests)
        assert len(lines(daemon, "libvirtd has not answered")) == 1
        wait_for(lambda: lines(daemon, "libvirtd answers again"), SOON)


def threads(daemon):
    """How many threads collectd has."""
    return count(daemon.process.pid)[1]


def test_a_budget_of_one_or_two_is_had_back_after_calls_were_cut_off(lab, tmp_path):
    guests = sorted(lab.guests(Guest(f"g{number}") for number in range(5)), key=lambda guest: guest.uuid)
    # Calls for the last two are out when libvirtd freezes, so that what finds out about them comes behind others.
    stopped = guests[-2:]
    impatient = python_module("virt2_impatient", path=MODULES)
    settings = "HostPreScan false\nWorkers"
    with (
        collectd(lab, tmp_path / "one", f"{settings} 1", virt2_impatient=impatient) as one,
        collectd(lab, tmp_path / "two", f"{settings} 2", virt2_impatient=impatient) as two,
    ):
        for daemon in (one, two):
            wait_for_reads(daemon, 1)
        for guest in stopped:
            os.kill(guest.pid, signal.SIGSTOP)
        for daemon in (one, two):
            wait_for_reads(daemon, 2)
        os.kill(lab.libvirtd_pid, signal.SIGSTOP)
        for daemon in (one, two):
            wait_for(lambda daemon=daemon: lines(daemon, "the connection to libvirt was lost"), SOON)
            wait_for_reads(daemon, 1)
        for guest in stopped:
            os.kill(guest.pid, signal.SIGCONT)
        os.kill(lab.libvirtd_pid, signal.SIGCONT)
        back = time.time()
        for daemon in (one, two):
            wait_for(lambda daemon=daemon: complete(daemon, guests, back), SOON)
        assert time.time() - back <= TWO_INTERVALS + SLACK


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_libvirtd_frozen_until_its_connections_are_given_up_comes_back(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number}") for number in range(6))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        os.kill(lab.libvirtd_pid, signal.SIGSTOP)
        # libvirt's keepalive gives up after 20 s; calls in flight are cut off and new connections hang.
        wait_for_reads(daemon, int(60 / INTERVAL), timeout=90)
        os.kill(lab.libvirtd_pid, signal.SIGCONT)
        back = time.time()
        wait_for(lambda: complete(daemon, guests, back), 30)
        assert time.time() - back <= TWO_INTERVALS + SLACK


def test_collectd_exits_with_a_frozen_libvirtd(lab, tmp_path):
    lab.guests(Guest(f"g{number}") for number in range(3))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        os.kill(lab.libvirtd_pid, signal.SIGSTOP)
        wait_for_reads(daemon, 2)
        assert daemon.stop() < 2
    with collectd(lab, tmp_path / "second") as daemon:
        wait_for_reads(daemon, 1)
        assert daemon.stop() < 2
    os.kill(lab.libvirtd_pid, signal.SIGCONT)


def test_only_collectds_own_threads_take_its_signals(lab, tmp_path):
    lab.guests(Guest(f"g{number}") for number in range(3))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        threads = list(Path(f"/proc/{daemon.process.pid}/task").iterdir())
        takers = [thread.name for thread in threads if signal.SIGTERM not in blocked(thread)]
        assert len(threads) > len(takers) == COLLECTDS_THREADS


def blocked(thread):
    """The signals that a thread blocks."""
    status = (thread / "status").read_text()
    mask = int(re.search(r"^SigBlk:\s*(\w+)$", status, re.MULTILINE)[1], 16)
    return {number + 1 for number in range(64) if mask >> number & 1}


def test_the_budget_follows_libvirtds_limits(lab, tmp_path):
    lab.guests(Guest(f"g{number}") for number in range(2))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)

        def budget():
            return of_reader(daemon.series(), "libvirtd", "gauge-budget")[-1]

        assert budget() == 10
        for workers, expected in ((6, 3), (40, 20), (60, 30), (5, 2), (20, 10)):
            minimum = ("--min-workers", "1") if workers < 6 else ()
            lab.virt_admin("srv-threadpool-set", "libvirtd", *minimum, "--max-workers", str(workers))
            wait_for(lambda expected=expected: budget() == expected, SOON, f"budget {expected}")
        assert re.search(r"budget of libvirtd workers now 3, was 10: half of libvirtd's 6 workers", daemon.log)


def test_without_the_admin_socket_the_budget_is_small_and_metrics_go_on(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number}") for number in range(2))
    socket = lab.inside("/run/libvirt/libvirt-admin-sock")
    socket.rename(socket.with_name("moved"))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 3)
        assert_no_gap(daemon, guests)
        assert of_reader(daemon.series(), "libvirtd", "gauge-budget")[-1] == 4
        assert "budget 4 of libvirtd's workers: libvirtd's limits are unknown: there is no admin socket" in daemon.log


def test_a_libvirtd_that_refuses_clients_is_said_once(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number}") for number in range(2))
    connections = [lab.connect() for _ in range(3)]
    lab.virt_admin("srv-clients-set", "libvirtd", "--max-unauth-clients", "1", "--max-clients", "3")
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 3)
        assert daemon.stop() < 2
        daemon.start()
        lab.virt_admin("srv-clients-set", "libvirtd", "--max-clients", "5000", "--max-unauth-clients", "20")
        since = time.time()
        wait_for(lambda: complete(daemon, guests, since), 30)
    for connection in connections:
        connection.close()


def test_connections_that_do_not_come_are_said_once_and_cost_no_domain_a_point(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number}") for number in range(6))
    others = read_limits(lab.uri).clients
    # One for the list, and one for a worker.
    allowed = str(others + 2)
    lab.virt_admin("srv-clients-set", "libvirtd", "--max-unauth-clients", "1", "--max-clients", allowed)
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for(lambda: lines(daemon, "libvirtd has not answered an attempt to connect"), SOON)
        wait_for_reads(daemon, 2)
        (line,) = lines(daemon, "attempt to connect for")
        assert f"it has {allowed} clients of {allowed} allowed (max_clients)" in line
        assert_no_gap(daemon, guests)
        lab.virt_admin("srv-clients-set", "libvirtd", "--max-clients", "5000", "--max-unauth-clients", "20")
        wait_for(lambda: lines(daemon, "libvirtd answers attempts to connect again"), SOON)
        assert not [text for word in ("lock", "blocked", "short of") for text in lines(daemon, word)]


def test_where_a_read_has_no_time_for_all_each_domain_has_its_turn(lab, tmp_path):
    guests = lab.guests(Guest(f"g{number:02}", nics=0) for number in range(12))
    settings = "Workers 1\nTimeout 0.02\nInterval 0.5"
    with collectd(lab, tmp_path / "collectd", settings, interval=0.5) as daemon:

        def points(guest):
            return len(of_host(daemon.series(), guest.name).get(f"disk_octets-{guest.disks[-1]}", []))

        wait_for(lambda: all(points(guest) >= 3 for guest in guests), SOON)
        skipped = of_reader(daemon.series("collectd"), "0", "gauge-domains_skipped")
        assert max(skipped) > 0
        assert len(lines(daemon, "reader 0 is short of time")) == 1


def count(pid):
    """File descriptors, threads and resident KiB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    threads = int(re.search(r"Threads:\s+(\d+)", status).group(1))
    memory = int(re.search(r"VmRSS:\s+(\d+)", status).group(1))
    return len(os.listdir(f"/proc/{pid}/fd")), threads, memory


@pytest.mark.parametrize("outages", [10, pytest.param(200, marks=[pytest.mark.full, pytest.mark.timeout(900)])])
def test_reconnects_leave_nothing_behind(lab, tmp_path, outages):
    guests = lab.guests(Guest(f"g{number}", disks=1, nics=1) for number in range(3))
    with collectd(lab, tmp_path / "collectd", "Interval 0.5", interval=0.5) as daemon:

        def outage():
            lab.restart_libvirtd()
            since = time.time()
            wait_for(lambda: complete(daemon, guests, since), SOON)

        # The first ones load what is loaded once and start the threads there will be.
        for _ in range(5):
            outage()
        before = count(daemon.process.pid)
        for _ in range(outages):
            outage()
        after = count(daemon.process.pid)
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 2048 + 20 * outages


def test_collectd_T_reads_once_and_ends(lab, tmp_path):
    lab.guests([Guest("one")])
    daemon = collectd(lab, tmp_path / "collectd")
    output = lab.run(["collectd", "-T", "-C", str(tmp_path / "collectd" / "collectd.conf")], timeout=20)
    assert "rror" not in output
    assert "readers: 0 (1 domains" in daemon.log


def test_a_libvirtd_that_starts_none_of_its_workers_is_told_with_what_helps(lab, tmp_path):
    stopped = lab.guests(Guest(f"stopped-{number}") for number in range(10))
    others = lab.guests(Guest(f"g{number}") for number in range(4))
    domains = [lab.connect().lookupByName(guest.name) for guest in stopped]
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        for guest in stopped:
            guest.freeze()
        calls = [threading.Thread(target=ask_disk, args=(domain,), daemon=True) for domain in domains]
        # Calls that were sent to a libvirtd that is stopped come in together when it goes on.
        os.kill(lab.libvirtd_pid, signal.SIGSTOP)
        for call in calls:
            call.start()
        wait_for(lambda: all(waits_in_poll(call) for call in calls), SOON, "all calls are sent")
        os.kill(lab.libvirtd_pid, signal.SIGCONT)
        wait_for(lambda: read_limits(lab.uri).starved, SOON, "calls wait, and no worker is started for them")
        wait_for(lambda: lines(daemon, "libvirtd has no worker left for us, and has started"), SOON)
        assert read_limits(lab.uri).starved
        assert_kernel_goes_on(daemon, [*stopped, *others])
        lab.virt_admin("server-threadpool-set", "libvirtd", "--min-workers", "20")
        helped = time.time()
        wait_for(lambda: complete(daemon, others, helped), SOON, "the others are back")
        assert time.time() - helped < TWO_INTERVALS + SLACK
        wait_for(lambda: lines(daemon, "libvirtd has workers again"), SOON)
        for guest in stopped:
            guest.thaw()
        for call in calls:
            call.join(SOON)
        assert daemon.stop() < 2
    assert not any(call.is_alive() for call in calls)
    for domain in domains:
        domain.connect().close()


def ask_disk(domain):
    domain.blockStats("vda")


def waits_in_poll(thread):
    """Whether a thread of ours has sent what it wants to know, and waits for the answer."""
    if thread.native_id is None:
        return False
    called = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()
    return called[0] in POLL
