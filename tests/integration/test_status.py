"""The status socket of a real collectd: it tells what is so, also while libvirtd, guests and storage do not answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator

import pytest

from tests.integration.support import (
    INTERVAL,
    SOON,
    assert_no_gap,
    collectd,
    hang_between_reads,
    of_host,
    wait_for_reads,
)
from tests.lab import wait_for
from tests.unit.status.shapes import check

PATH = "/run/virt2.sock"
BOUND = 2.0
"""Seconds within which whoever asks is answered, whatever hangs."""
SHAPES = {"hello": "Hello", "domains": "Domains", "limits": "Limits", "explain": "Explain", "top": "Top"}
SILENT = 100
"""Clients that connect at once and say nothing."""


@pytest.fixture(scope="module")
def farm_size():
    return 9


def path_of(lab) -> str:
    """Where the socket of the lab's collectd is to this process."""
    return str(lab.inside(PATH))


def ask(lab, question: str, **more: str):
    """Ask, and fail where the answer has not come in time or has another shape."""
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(BOUND)
        client.connect(path_of(lab))
        client.sendall(json.dumps({"ask": question, **more}).encode() + b"\n")
        received = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert time.monotonic() - began < BOUND
    found = json.loads(received)
    assert "answer" in found, found
    check(found["answer"], SHAPES[question])
    return found["answer"]


def rows(lab, question: str = "domains"):
    return {row["name"]: row for row in ask(lab, question)["domains"]}


def everything(lab, name: str) -> None:
    """Ask every question."""
    for question in SHAPES:
        ask(lab, question, **({"domain": name} if question == "explain" else {}))


def lines(daemon, text: str) -> list[str]:
    return [line for line in daemon.log.splitlines() if text in line]


def test_it_tells_what_csv_has_and_who_may_ask_is_root_alone(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        found = os.stat(path_of(farm.lab))
        assert stat.S_ISSOCK(found.st_mode)
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o600, 0)
        assert ask(farm.lab, "hello")["interval"] == INTERVAL
        told = rows(farm.lab)
        assert set(told) == {guest.name for guest in farm.guests}
        for guest in farm.guests:
            row = told[guest.name]
            assert (row["uuid"], row["state"], row["cpu_off_kernel"]) == (guest.uuid, "running", True)
            assert (row["monitor"]["state"], row["tag_source"]) == ("ok", "storage")
            assert row["sample_age"] < 2 * INTERVAL
        # One that is on the storage of its own is told so.
        assert told[farm.on_storage[0].name]["storage"] != told[farm.elsewhere[0].name]["storage"]
        wait_for_reads(daemon, 1)
        top = rows(farm.lab, "top")
        series = daemon.series()
        for guest in farm.guests:
            own = of_host(series, guest.name)
            for value in top[guest.name]["values"]:
                name = f"{value['type']}-{value['instance']}" if value["instance"] else value["type"]
                points = [values for when, values in own[name] if abs(when - value["time"]) < 0.01]
                # What was dispatched just now may not be written yet.
                assert not points or points[-1] == tuple(value["values"]), (guest.name, name)
        assert any(top[guest.name]["values"] for guest in farm.guests)
        command = ["python3", "-c", f"import socket; socket.socket(socket.AF_UNIX).connect({PATH!r})"]
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        assert "PermissionError" in farm.lab.run([*nobody, *command], check=False)
        assert farm.lab.run(command) == ""


def test_a_stopped_guest_is_told_with_what_to_do(farm, tmp_path):
    guest, *others = farm.elsewhere
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        farm.freeze([guest])
        wait_for(lambda: rows(farm.lab)[guest.name]["monitor"]["state"] == "blocked", SOON, "it is blocked")
        told = rows(farm.lab)
        assert told[guest.name]["monitor"]["cause"] == "process stopped"
        assert {told[other.name]["monitor"]["state"] for other in others} == {"ok"}
        story = ask(farm.lab, "explain", domain=guest.name)
        assert "whose process is stopped" in story["waits_for"]["what"]
        assert "kill -CONT" in story["next_steps"][-1]
        top = ask(farm.lab, "top")
        assert top["domains"][0]["name"] == guest.name
        assert [row["stuck"] for row in top["readers"]].count(1) == 1
        # CPU time goes on, and its disks keep their last values.
        values = {(value["type"], value["instance"]): value["time"] for value in top["domains"][0]["values"]}
        wait_for_reads(daemon, 2)
        later = {
            (value["type"], value["instance"]): value["time"] for value in rows(farm.lab, "top")[guest.name]["values"]
        }
        assert later["virt_cpu_total", ""] > values["virt_cpu_total", ""]
        assert later["disk_octets", "vda"] == values["disk_octets", "vda"]
        farm.thaw([guest])
        wait_for(lambda: rows(farm.lab)[guest.name]["monitor"]["state"] == "ok", SOON, "it answers again")
        assert ask(farm.lab, "explain", domain=guest.uuid)["waits_for"] is None


def test_it_answers_within_its_bound_while_libvirtd_is_frozen(farm, tmp_path):
    name = farm.guests[0].name
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        os.kill(farm.lab.libvirtd_pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                everything(farm.lab, name)
            wait_for(lambda: ask(farm.lab, "limits")["silent"], SOON, "that nobody is answered is told")
            everything(farm.lab, name)
            assert ask(farm.lab, "explain", domain=name)["waits_for"]["what"] == "libvirtd, which answers nobody"
            wait_for(lambda: not ask(farm.lab, "limits")["admin"]["known"], SOON, "the limits get too old")
            assert ask(farm.lab, "limits")["admin"]["reason"]
            assert set(rows(farm.lab)) == {guest.name for guest in farm.guests}
        finally:
            os.kill(farm.lab.libvirtd_pid, signal.SIGCONT)
        wait_for(lambda: not ask(farm.lab, "limits")["silent"], SOON, "it answers again")
        wait_for(lambda: rows(farm.lab)[name]["monitor"]["state"] == "ok", SOON, "all is well")


def test_it_answers_while_libvirtd_is_away(farm, tmp_path):
    name = farm.guests[0].name
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        farm.lab.kill_libvirtd()
        try:
            wait_for(lambda: ask(farm.lab, "hello")["reach"]["state"] == "down", SOON, "that it is away is told")
            everything(farm.lab, name)
            assert "cannot be reached" in ask(farm.lab, "explain", domain=name)["waits_for"]["what"]
        finally:
            farm.lab.start_libvirtd()
        wait_for(lambda: rows(farm.lab)[name]["monitor"]["state"] == "ok", SOON, "all is well")


def test_storage_that_hangs_is_suspected_with_those_who_are_stuck_there(farm, tmp_path):
    extras = 'ExtraStats "disk_capacity"\nStorageInterval 2'
    with collectd(farm.lab, tmp_path / "collectd", extras) as daemon:
        wait_for_reads(daemon, 2)
        wait_for(lambda: [row["name"] for row in ask(farm.lab, "top")["readers"]][-1] == "storage", SOON)
        (storage,) = rows(farm.lab)[farm.on_storage[0].name]["storage"]
        hang_between_reads(farm, daemon)

        def suspected() -> list[str]:
            return [row["name"] for row in ask(farm.lab, "top")["storage"] if row["suspected"]]

        wait_for(lambda: suspected() == [storage], SOON, "the storage domain is suspected")
        everything(farm.lab, farm.on_storage[0].name)
        (row,) = [row for row in ask(farm.lab, "top")["storage"] if row["name"] == storage]
        assert row["domains"] == len(farm.on_storage)
        calls = ask(farm.lab, "limits")["calls"]
        assert [call["storage"] for call in calls if call["stuck"]] == [[storage]]
        farm.storage.heal()
        wait_for(lambda: suspected() == [], SOON, "nothing is suspected any more")


@contextlib.contextmanager
def flood(lab) -> Iterator[None]:
    """Have clients ask, say nothing and read nothing all the time."""
    over = threading.Event()

    def asking() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                ask(lab, "top")

    def bothering() -> None:
        while not over.is_set():
            with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
                for number in range(SILENT):
                    client = stack.enter_context(socket.socket(socket.AF_UNIX))
                    client.settimeout(BOUND)
                    client.connect(path_of(lab))
                    client.sendall((b"", b'{"ask": "top"}\n', b"x" * 5000)[number % 3])
                over.wait(0.2)

    threads = [threading.Thread(target=body) for body in (asking, asking, bothering)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(SOON)


def test_a_flood_of_clients_costs_no_domain_a_point(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        since = time.time()
        with flood(farm.lab):
            wait_for_reads(daemon, 5)
        assert_no_gap(daemon, farm.guests, since)
        ask(farm.lab, "hello")


def test_the_socket_is_gone_after_the_exit_which_waits_for_no_client(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 1)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path_of(farm.lab))
            assert daemon.stop() < 2
        assert not farm.lab.inside(PATH).exists()


def test_a_socket_that_a_killed_daemon_left_is_replaced(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 1)
        daemon.process.signal(signal.SIGKILL)
        daemon.process.wait(SOON)
        assert farm.lab.inside(PATH).exists()
        daemon.start()
        wait_for_reads(daemon, 1)
        everything(farm.lab, farm.guests[0].name)
        assert not lines(daemon, "status socket")


def test_a_second_daemon_is_told_in_one_line_and_reads_all_the_same(farm, tmp_path):
    with collectd(farm.lab, tmp_path / "one") as one:
        wait_for_reads(one, 1)
        first = ask(farm.lab, "hello")["pid"]
        with collectd(farm.lab, tmp_path / "two") as two:
            wait_for_reads(two, 3)
            (line,) = lines(two, "has no status socket")
            assert f"process {first} listens at {PATH} already" in line
            assert not lines(one, "status socket")
        assert ask(farm.lab, "hello")["pid"] == first
