"""What is read off the kernel: it goes on whatever libvirt does, and libvirt is not asked for it."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter

import pytest

from tests.unit.fakes import OCCUPIED, PAUSED, RUNNING, CpuTimes, NicStats
from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, CLASS_NETWORK, INTERVAL, TIMEOUT, Bench
from virt2.domains.entries import KEPT
from virt2.model.events import CHANGED, LIFECYCLE, MEMORY

NAMES = ("db", "web", "www")
KERNEL = {"virt_cpu_total"} | CLASS_NETWORK


@pytest.fixture
def bench(make) -> Bench:
    """Three domains whose processes and devices are seen, that have been read twice."""
    bench = make(kernel=True)
    for number, name in enumerate(NAMES):
        bench.hypervisor.add(name, disks=("vda", "vdb"), nics=(f"vnet{number}",))
        bench.counters[f"vnet{number}"] = NicStats(1, 2, 3, 4, 5, 6, 7, 8)
    bench.inventory.start()
    for _ in range(2):
        bench.read()
    return bench


def asked(bench: Bench) -> Counter[str]:
    """How often each call was made in the last read; connections aside."""
    return Counter(call for call, _, _ in bench.hypervisor.calls if call not in ("connect", "version", "watch"))


def spend(bench: Bench, seconds: int) -> None:
    """Have each domain use CPU time."""
    for domain in bench.hypervisor.domains.values():
        domain.info = domain.info._replace(cpu_time=domain.info.cpu_time + seconds * 10**9)


def test_a_steady_read_makes_a_call_for_each_disk_and_two_lists(bench):
    bench.read()
    assert asked(bench) == {"active": 1, "paused": 1, "controlInfo": 3, "blockStats": 6}
    for name in NAMES:
        assert bench.types(name) == CLASS_A | CLASS_B
        assert bench.of(name)["duration-sample_age"] == 0.0


def test_the_first_read_is_whole(make):
    bench = make(kernel=True)
    bench.hypervisor.add("web")
    bench.inventory.start()
    bench.read()
    assert bench.types("web") == CLASS_A | CLASS_B
    assert bench.of("web")["virt_cpu_total"] == bench.hypervisor.domains["web"].info.cpu_time


def test_cpu_time_carries_the_time_when_the_read_began(bench):
    spend(bench, 3)
    bench.read()
    (point,) = [point for point in bench.sink.points if point.host == "web" and point.type == "virt_cpu_total"]
    assert point.values == (bench.hypervisor.domains["web"].info.cpu_time,)
    assert point.time == bench.clock.wall()


def test_it_is_read_before_the_list_so_that_its_points_are_as_far_from_each_other_as_the_reads(bench):
    def pass_time(call, name, device):
        if call == "active":
            bench.clock.now += 0.15

    bench.hypervisor.on_call = pass_time
    began = bench.clock.wall() + INTERVAL
    bench.read()
    whens = {point.host: point.time for point in bench.sink.points if point.type == "virt_cpu_total"}
    assert whens == dict.fromkeys(NAMES, pytest.approx(began, abs=1e-3))
    assert bench.clock.wall() >= began + 0.15


class TestWithoutLibvirt:
    """CPU and interfaces go on, disks and memory are absent, and the age of the sample tells."""

    @pytest.mark.parametrize("how", ["crashed", "stopped"])
    def test_every_series_of_the_kernel_goes_on(self, bench, how):
        if how == "crashed":
            bench.hypervisor.crash()
        else:
            bench.hypervisor.is_stopped = True
        for number in range(1, 5):
            spend(bench, 1)
            began = bench.clock() + INTERVAL
            bench.read()
            for name in NAMES:
                assert bench.types(name) == KERNEL
                assert bench.of(name)["virt_cpu_total"] == bench.hypervisor.domains[name].info.cpu_time
                assert bench.of(name)["duration-sample_age"] >= number * INTERVAL
            # At the same distance as ever, however long the read waits for libvirtd.
            whens = [point.time for point in bench.sink.points if point.type == "virt_cpu_total"]
            assert whens == [pytest.approx(began + 1.7e9, abs=1e-3)] * len(NAMES)
        bench.hypervisor.is_stopped = False
        bench.hypervisor.stage.review()

    def test_all_is_back_with_the_second_read_after_libvirtd_goes_on(self, bench):
        with bench.hypervisor.stopped():
            for _ in range(3):
                bench.read()
        bench.clock.settle()
        bench.read()
        bench.read()
        for name in NAMES:
            assert bench.types(name) == CLASS_A | CLASS_B
            assert bench.of(name)["duration-sample_age"] == 0.0

    def test_a_process_that_is_gone_ends_its_series(self, bench):
        bench.hypervisor.crash()
        bench.read()
        bench.hypervisor.remove("web")
        bench.read()
        assert bench.of("web") == {}
        assert bench.types("db") == KERNEL
        assert bench.own()["domains"] == 2

    def test_memory_is_asked_again_once_after_libvirtd_was_another_one(self, bench):
        bench.hypervisor.cut()
        bench.hypervisor.daemon += 1
        db = bench.hypervisor.domains["db"]
        db.info = db.info._replace(memory=7)
        bench.read()
        bench.read()
        assert bench.of("db")["memory-total"] == 7 * 1024
        bench.read()
        assert asked(bench)["info"] == 0
        assert bench.of("db")["memory-total"] == 7 * 1024

    def test_a_held_lock_costs_its_domain_what_only_libvirt_knows(self, bench):
        with bench.hypervisor.stuck("db", lock=True):
            for _ in range(3):
                bench.read()
                assert bench.types("db") == KERNEL
                assert bench.types("web") == bench.types("www") == CLASS_A | CLASS_B
            assert bench.of("db")["duration-monitor_blocked"] > INTERVAL
            assert bench.healths.of(bench.hypervisor.domains["db"].uuid, 0.0).cause == "lock held"
            assert bench.hypervisor.stage.blocked == bench.budget.used <= 3
        bench.clock.settle()
        bench.read()
        bench.read()
        assert bench.types("db") == CLASS_A | CLASS_B

    def test_a_domain_that_is_started_again_while_a_lock_is_held_is_reported(self, bench):
        with bench.hypervisor.stuck("db", lock=True):
            bench.read()
            bench.hypervisor.restart("web")
            for _ in range(3):
                bench.read()
                assert bench.types("web") == CLASS_A | CLASS_B
                assert bench.own()["domains"] == 3

    def test_a_monitor_that_is_always_slow_is_blocked_in_every_read_but_the_first(self, make):
        bench = make(kernel=True)
        bench.hypervisor.add("web", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        found = []
        for _ in range(4):
            with bench.hypervisor.stuck("web", monitor=True):
                bench.read()
                found.append(bench.of("web").get("duration-monitor_blocked"))
            bench.clock.settle()
        assert found[0] is None
        assert all(seconds is not None and seconds > 0 for seconds in found[1:])

    @pytest.mark.parametrize("goes_on", [True, False], ids=["blocked", "well again"])
    def test_what_a_read_could_not_tell_of_a_monitor_comes_with_the_next_one_and_its_own_time(self, make, goes_on):
        bench = make(kernel=True)
        bench.hypervisor.add("web", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        with bench.hypervisor.stuck("web", monitor=True):
            wall = bench.clock.wall() + INTERVAL
            bench.read()
            assert "duration-monitor_blocked" not in bench.of("web")
            if goes_on:
                bench.read()
        if not goes_on:
            bench.clock.settle()
            bench.read()
        points = [point for point in bench.sink.points if point.type_instance == "monitor_blocked"]
        assert [point.time - wall for point in points] == pytest.approx([0.0, INTERVAL + TIMEOUT], abs=0.1)
        seconds = [point.values[0] for point in points]
        assert seconds == (pytest.approx([TIMEOUT, INTERVAL + TIMEOUT], abs=0.2) if goes_on else [0.0, 0.0])
        bench.read()
        assert len([point for point in bench.sink.points if point.type_instance == "monitor_blocked"]) == 1

    def test_a_stopped_process_is_told_where_there_is_no_slot_for_a_look(self, make):
        bench = make(kernel=True, size=1)
        web = bench.hypervisor.add("web", disks=("vda",), nics=())
        bench.hypervisor.add("db", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        with bench.hypervisor.stuck("db", monitor=True):
            bench.read()
            bench.processes.states[web.uuid] = "T"
            bench.read()
            assert bench.healths.of(web.uuid, 0.0).cause == "process stopped"
            assert bench.of("web")["duration-monitor_blocked"] > 0
            bench.processes.states[web.uuid] = "D"
            bench.healths.of(web.uuid, 0.0).clear()
            bench.read()
            assert bench.of("web")["duration-monitor_blocked"] == 0
            bench.read()
            assert bench.healths.of(web.uuid, 0.0).cause == "process in uninterruptible sleep"

    def test_a_stopped_process_is_told_of_a_domain_without_disks_too_whose_call_does_not_come_back(self, make):
        bench = make(kernel=True, size=10)
        web = bench.hypervisor.add("web", disks=(), nics=())
        bench.hypervisor.add("db", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        bench.processes.states[web.uuid] = "T"
        with bench.hypervisor.stuck("web", lock=True):
            bench.read()
            bench.read()
            assert bench.healths.of(web.uuid, 0.0).cause == "process stopped"

    def test_a_domain_that_came_back_under_its_uuid_is_told_of_before_its_new_process_is_found(self, make):
        bench = make(kernel=True)
        uuid = bench.hypervisor.add("web", disks=("vda",), nics=()).uuid
        bench.hypervisor.add("db", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        bench.hypervisor.restart("web")
        bench.processes.hidden = True
        bench.read()
        with bench.hypervisor.stuck("db", lock=True):
            bench.read()
            assert bench.processes.account(uuid) is None
            assert "duration-sample_age" in bench.of("web")

    def test_a_domain_whose_process_has_ended_is_neither_asked_nor_told_of_where_libvirtd_still_lists_it(self, make):
        bench = make(kernel=True)
        web = bench.hypervisor.add("web", disks=("vda",), nics=())
        bench.hypervisor.add("db", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        bench.processes.ended.add(web.uuid)
        bench.hypervisor.calls.clear()
        bench.read()
        assert bench.of("web") == {}
        assert not [call for call in bench.hypervisor.calls if call[1] == "web"]
        assert bench.types("db") == {"virt_cpu_total", "memory"} | CLASS_B
        assert bench.own()["domains"] == 1

    def test_a_domain_whose_process_has_ended_is_not_told_of_as_long_as_a_list_hangs(self, make):
        bench = make(kernel=True)
        bench.hypervisor.add("web", disks=("vda",), nics=())
        bench.hypervisor.add("db", disks=("vda",), nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        with bench.hypervisor.stuck("db", lock=True):
            bench.hypervisor.remove("web")
            bench.read()
            assert bench.of("web") == {}
            assert "duration-sample_age" in bench.of("db")

    def test_a_lock_that_is_taken_after_the_list_is_told_as_one_in_the_next_read(self, bench):
        db = bench.hypervisor.domains["db"]

        def lock(call: str, name: str, device: str) -> None:
            if (call, name) == ("controlInfo", "db"):
                bench.hypervisor.on_call = lambda *_: None
                db.stuck.add("lock")

        bench.hypervisor.on_call = lock
        bench.read()
        bench.read()
        assert bench.healths.of(db.uuid, 0.0).cause == "lock held"
        assert bench.types("web") == CLASS_A | CLASS_B
        assert bench.types("db") == KERNEL
        db.stuck.clear()
        bench.hypervisor.stage.review()

    @pytest.mark.parametrize("size", [3, 4, 10])
    def test_a_held_lock_costs_the_others_no_memory_where_it_holds_all_slots(self, make, size):
        bench = make(kernel=True, size=size, share=size - 1)
        names = ["a", "b", "c", "d"]
        for name in names:
            bench.hypervisor.add(name, nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        db = bench.hypervisor.domains["b"]

        def lock(call: str, name: str, device: str) -> None:
            if (call, name) == ("blockStats", "b"):
                bench.hypervisor.on_call = lambda *_: None
                db.stuck.add("lock")

        bench.hypervisor.on_call = lock
        bench.read()
        for _ in range(4):
            bench.read()
            # The list, a call to its monitor, and one that needs none.
            assert bench.budget.used >= 3
            for name in "acd":
                assert bench.types(name) == {"virt_cpu_total", "memory"} | (CLASS_B if size > 3 else set())
        db.stuck.clear()
        bench.hypervisor.stage.review()
        bench.clock.settle()
        bench.read()
        bench.read()
        assert all(bench.types(name) == {"virt_cpu_total", "memory"} | CLASS_B for name in names)

    @pytest.mark.parametrize("size", [1, 2, 3, 10])
    def test_where_libvirtd_has_no_worker_left_all_goes_on_that_needs_none_and_nobody_is_blamed(self, make, size):
        bench = make(kernel=True, size=size, share=max(1, size - 1))
        names = [f"d{number:02}" for number in range(16)]
        for name in names:
            bench.hypervisor.add(name, nics=(f"of-{name}",))
            bench.counters[f"of-{name}"] = NicStats(1, 2, 3, 4, 5, 6, 7, 8)
        bench.inventory.start()
        bench.read()
        bench.read()
        with bench.hypervisor.full():
            for _ in range(4):
                bench.read()
                assert all(bench.types(name) == CLASS_A for name in names)
                assert all(bench.of(name).get("duration-monitor_blocked", 0.0) == 0.0 for name in names)
            assert bench.notifications == []
            assert bench.hypervisor.count("blockStats") == 0
            if size > 3:
                # What waits in libvirtd was asked before it was known, and leaves slots for others.
                assert bench.budget.used < size
                assert bench.own()["read"] < TIMEOUT
                assert bench.own()["domains_skipped"] == 0
        bench.clock.settle()
        bench.read()
        bench.read()
        assert all(bench.types(name) == CLASS_A | CLASS_B for name in names)

    @pytest.fixture
    def crowd(self, make) -> Bench:
        """Sixteen domains that have been read."""
        bench = make(kernel=True)
        for number in range(16):
            bench.hypervisor.add(f"d{number:02}", nics=())
        bench.inventory.start()
        bench.read()
        bench.read()
        return bench

    def test_what_a_monitor_is_blocked_by_is_seen_meanwhile(self, crowd):
        bench, names = crowd, sorted(crowd.hypervisor.domains)
        with bench.hypervisor.full():
            bench.read()
            bench.read()
            last = bench.hypervisor.domains[names[-1]]
            last.control = last.control._replace(state=OCCUPIED, seconds=9.0)
            bench.read()
            assert bench.of(names[-1])["duration-monitor_blocked"] >= 9.0
            assert bench.healths.of(last.uuid, 0.0).cause == "by another client"

    def test_half_of_the_domains_stuck_at_once_cost_the_others_nothing(self, crowd):
        bench, names = crowd, sorted(crowd.hypervisor.domains)
        with contextlib.ExitStack() as stuck:
            for name in names[:6]:
                stuck.enter_context(bench.hypervisor.stuck(name, monitor=True))
            for _ in range(3):
                bench.read()
                assert all(bench.types(name) == {"virt_cpu_total", "memory"} | CLASS_B for name in names[6:])
            assert all(bench.of(name)["duration-monitor_blocked"] > 0 for name in names[:6])


class TestSlowLook:
    """The kernel may keep whoever looks for a process waiting."""

    def test_it_costs_nobody_a_point_and_nobody_is_blamed(self, bench, monkeypatch):
        gone_on = threading.Event()
        find = bench.processes.pid

        def wait(uuid: str, name: str) -> int | None:
            if name == "late":
                bench.hypervisor.stage.hold(lambda: not gone_on.is_set())
            return find(uuid, name)

        monkeypatch.setattr(bench.processes, "pid", wait)
        late = bench.hypervisor.add("late", nics=())
        bench.hypervisor.tell(LIFECYCLE, late.uuid)
        for _ in range(3):
            bench.read()
            for name in NAMES:
                assert bench.types(name) == CLASS_A | CLASS_B
        assert bench.of("late")["duration-monitor_blocked"] == 0.0
        gone_on.set()
        bench.hypervisor.stage.review()
        bench.clock.settle()
        bench.read()
        bench.read()
        assert bench.types("late") == {"virt_cpu_total", "memory"} | CLASS_B


class TestMemory:
    """libvirt tells of changes, and is asked every RefreshInterval."""

    def test_it_is_asked_for_every_refresh_interval_of_each_domain_at_times_of_its_own(self, make):
        bench = make(kernel=True, refresh=6 * INTERVAL)
        names = [f"d{number:02}" for number in range(24)]
        for name in names:
            bench.hypervisor.add(name)
        bench.inventory.start()
        bench.read()
        bench.read()
        for _ in range(2):
            in_each = []
            for _ in range(6):
                bench.read()
                in_each.append([name for call, name, _ in bench.hypervisor.calls if call == "info"])
            assert sorted(itertools.chain(*in_each)) == names
            assert max(map(len, in_each)) < len(names) / 2
        db = bench.hypervisor.domains["d00"]
        db.info = db.info._replace(memory=9)
        for _ in range(6):
            bench.read()
        assert bench.of("d00")["memory-total"] == 9 * 1024

    def test_or_not_at_all_where_libvirts_file_shows_that_nothing_has_changed(self, make):
        bench = make(kernel=True, refresh=INTERVAL)
        for name in NAMES:
            bench.hypervisor.add(name)
            bench.stamps[name] = 1
        bench.inventory.start()
        bench.read()
        for _ in range(3):
            bench.read()
            assert asked(bench)["info"] == asked(bench)["xml"] == 0
        db = bench.hypervisor.domains["db"]
        db.info = db.info._replace(memory=9)
        bench.stamps["db"] = 2
        bench.read()
        assert [name for call, name, _ in bench.hypervisor.calls if call == "info"] == ["db"]
        assert bench.of("db")["memory-total"] == 9 * 1024
        bench.read()
        # It was described and asked in one read, in any order.
        bench.read()
        assert asked(bench)["info"] == 0

    def test_now_and_then_it_is_asked_for_whatever_that_file_says(self, make):
        # libvirt writes no file when virtio-mem changes, and older ones tell nothing of it either.
        bench = make(kernel=True, refresh=INTERVAL)
        db = bench.hypervisor.add("db")
        bench.stamps["db"] = 1
        bench.inventory.start()
        bench.read()
        bench.read()
        db.info = db.info._replace(memory=9)
        asked_in = [number for number in range(2 * KEPT + 2) if bench.read() and asked(bench)["info"]]
        assert len(asked_in) == 2
        assert asked_in[1] - asked_in[0] == KEPT
        assert bench.of("db")["memory-total"] == 9 * 1024

    @pytest.mark.parametrize("kind", [MEMORY, CHANGED, LIFECYCLE])
    def test_and_when_something_of_the_domain_has_changed(self, bench, kind):
        db = bench.hypervisor.domains["db"]
        db.info = db.info._replace(memory=9)
        bench.hypervisor.tell(kind, db.uuid)
        bench.read()
        assert bench.of("db")["memory-total"] == 9 * 1024
        assert asked(bench)["info"] == 1

    def test_a_domain_that_is_started_again_is_asked(self, bench):
        db = bench.hypervisor.domains["db"]
        db.info = db.info._replace(memory=9, cpu_time=5)
        bench.hypervisor.restart("db")
        bench.read()
        assert bench.of("db")["memory-total"] == 9 * 1024
        assert bench.of("db")["virt_cpu_total"] == 5

    def test_without_events_it_is_asked_in_every_read(self, make):
        bench = make(kernel=True)
        bench.hypervisor.events = False
        bench.hypervisor.add("web")
        bench.inventory.start()
        for number in range(3):
            web = bench.hypervisor.domains["web"]
            web.info = web.info._replace(memory=number)
            bench.read()
            assert bench.of("web")["memory-total"] == number * 1024

    @pytest.mark.parametrize(("before", "types"), [(0.2, CLASS_A), (0.3, KERNEL)])
    def test_a_list_of_before_the_read_vouches_for_a_quarter_of_a_second(self, bench, before, types):
        bench.clock.now += INTERVAL - before
        assert bench.inventory.refresh(0.0, 10.0)
        bench.clock.now -= INTERVAL - before
        with bench.hypervisor.stopped():
            bench.read()
            assert bench.types("web") == types

    def test_it_is_never_asked_for_by_age_where_refresh_interval_is_0(self, make):
        bench = make(kernel=True, refresh=0.0)
        bench.hypervisor.add("web")
        bench.inventory.start()
        bench.read()
        for _ in range(30):
            bench.read()
            assert asked(bench)["info"] == 0


class TestPaused:
    """One list tells which domains are paused; why is asked of these alone."""

    def test_only_paused_domains_are_asked_for_their_state(self, bench):
        db = bench.hypervisor.domains["db"]
        db.info = db.info._replace(state=PAUSED)
        db.reason = 1
        bench.read()
        assert asked(bench) == {"active": 1, "paused": 1, "state": 1, "controlInfo": 3, "blockStats": 6}
        assert bench.types("db") == CLASS_A | CLASS_B

    def test_the_monitor_of_an_incoming_domain_is_never_asked(self, bench):
        db = bench.hypervisor.domains["db"]
        db.info, db.reason = db.info._replace(state=PAUSED), 2
        with bench.hypervisor.stuck("db", monitor=True):
            for _ in range(3):
                bench.read()
                assert bench.hypervisor.count("blockStats", "db") == 0
        db.info = db.info._replace(state=RUNNING)
        bench.read()
        assert bench.types("db") == CLASS_A | CLASS_B

    def test_nothing_is_told_of_a_domain_that_is_being_moved_until_it_runs_here(self, bench):
        moved = bench.hypervisor.add("moved", nics=("vnet9",))
        moved.info, moved.reason = moved.info._replace(state=PAUSED), 2
        bench.counters["vnet9"] = NicStats(1, 2, 3, 4, 5, 6, 7, 8)
        bench.hypervisor.tell(LIFECYCLE, moved.uuid)
        for _ in range(3):
            bench.read()
            assert bench.of("moved") == {}
        moved.info = moved.info._replace(state=RUNNING)
        bench.read()
        assert bench.types("moved") == CLASS_A | CLASS_B
        # The host that it is moved to goes on with it.
        moved.info, moved.reason = moved.info._replace(state=PAUSED), 9
        bench.read()
        bench.read()
        assert bench.of("moved") == {}

    def test_of_one_that_is_paused_by_its_user_all_is_told(self, bench):
        db = bench.hypervisor.add("paused", nics=("vnet9",))
        db.info, db.reason = db.info._replace(state=PAUSED), 1
        bench.counters["vnet9"] = NicStats(1, 2, 3, 4, 5, 6, 7, 8)
        bench.hypervisor.tell(LIFECYCLE, db.uuid)
        for _ in range(2):
            bench.read()
        assert bench.types("paused") == CLASS_A | CLASS_B

    def test_nor_that_of_one_that_has_just_come(self, bench):
        late = bench.hypervisor.add("late", nics=())
        late.info, late.reason = late.info._replace(state=PAUSED), 11
        with bench.hypervisor.stuck("late", monitor=True):
            bench.hypervisor.tell(LIFECYCLE, late.uuid)
            for _ in range(2):
                bench.read()
                assert bench.hypervisor.count("blockStats", "late") == 0


class TestUnseen:
    """Where a process cannot be seen, libvirt is asked, and the counter goes on when that changes."""

    def test_libvirt_is_asked_in_every_read(self, make):
        bench = make(kernel=True)
        bench.processes.hidden = True
        bench.hypervisor.add("web")
        bench.inventory.start()
        for _ in range(3):
            spend(bench, 1)
            bench.read()
            assert bench.of("web")["virt_cpu_total"] == bench.hypervisor.domains["web"].info.cpu_time
            assert asked(bench)["info"] == 1

    def test_what_libvirt_says_too_late_is_dropped(self, make):
        bench = make(kernel=True)
        bench.processes.hidden = True
        db = bench.hypervisor.add("db", nics=())
        bench.inventory.start()
        bench.read()
        before = db.info.cpu_time
        with bench.hypervisor.full():
            # This read asks libvirt, and has no answer.
            bench.read()
            bench.processes.hidden = False
            bench.processes.pid(db.uuid, "db")
            spend(bench, 5)
            bench.read()
            assert bench.of("db")["virt_cpu_total"] == before + 5 * 10**9
            # What comes now is of the time of the question.
            db.info = db.info._replace(cpu_time=before)
        bench.clock.settle()
        db.info = db.info._replace(cpu_time=before + 6 * 10**9)
        bench.read()
        values = [
            point.values[0] for point in bench.sink.points if (point.host, point.type) == ("db", "virt_cpu_total")
        ]
        assert values == [before + 6 * 10**9]


class TestSelectors:
    """What ExtraStats asks for of it."""

    def test_resident_memory_is_reported_once_and_goes_on_while_the_monitor_is_stuck(self, make):
        bench = make(kernel=True, extra=("memory",))
        bench.hypervisor.add("web")
        bench.inventory.start()
        # The process is found in the middle of the first read, whose value is libvirt's.
        bench.read()
        assert "memory-rss" in bench.of("web")
        bench.read()
        assert bench.of("web")["memory-rss"] == bench.processes.rss
        with bench.hypervisor.stuck("web", monitor=True):
            for rss in (3, 4):
                bench.processes.rss = rss
                bench.read()
                assert bench.of("web")["memory-rss"] == rss

    def test_cpu_use_is_that_of_the_virtual_cpus_there_are_and_goes_on_without_libvirtd(self, make):
        bench = make(kernel=True, extra=("cpu_util",))
        bench.hypervisor.add("web")
        bench.inventory.start()
        for _ in range(2):
            bench.read()
        spend(bench, 2)
        bench.read()
        assert asked(bench)["nodeInfo"] == 0
        assert bench.of("web")["percent-virt_cpu_total"] == pytest.approx(100 * 2 / INTERVAL / 4)
        assert bench.of("web")["percent-guest_cpu"] == pytest.approx(100 * 2 / INTERVAL / 2)
        web = bench.hypervisor.domains["web"]
        web.info = web.info._replace(vcpus=8)
        bench.read()
        bench.hypervisor.crash()
        spend(bench, 2)
        bench.read()
        assert bench.of("web")["percent-guest_cpu"] == pytest.approx(100 * 2 / INTERVAL / 8)

    @pytest.mark.parametrize(("groups", "calls"), [(True, 0), (False, 1)])
    def test_cpu_time_by_mode_needs_a_call_only_without_control_groups(self, make, groups, calls):
        bench = make(kernel=True, extra=("pcpu",))
        bench.processes.groups = groups
        web = bench.hypervisor.add("web")
        bench.inventory.start()
        for number in range(3):
            web.cpu_times = CpuTimes(7 + number, 8)
            bench.read()
            assert bench.of("web")["ps_cputime"] == 7 + number
            assert asked(bench)["getCPUStats"] == calls
        bench.hypervisor.crash()
        bench.read()
        assert ("ps_cputime" in bench.types("web")) is groups

    def test_what_the_kernel_tells_is_not_asked_where_a_call_was_cut_off_either(self, make):
        bench = make(kernel=True, extra=("pcpu",))
        bench.hypervisor.add("web", nics=())
        bench.inventory.start()
        for _ in range(2):
            bench.read()
        with bench.hypervisor.stuck("web", monitor=True) as web:
            bench.read()
            web.control = web.control._replace(state=OCCUPIED, seconds=5.0)
            bench.hypervisor.cut()
            bench.clock.settle()
            for _ in range(3):
                bench.read()
                assert bench.budget.charged(bench.hypervisor.domains["web"].uuid) is not None
                bench.of("web")
            assert asked(bench)["getCPUStats"] == 0

    def test_a_domain_without_disks_is_looked_at_and_asked_nothing(self, make):
        bench = make(kernel=True)
        bench.hypervisor.add("web", disks=(), nics=())
        bench.inventory.start()
        for _ in range(2):
            bench.read()
        bench.read()
        assert asked(bench) == {"active": 1, "paused": 1, "controlInfo": 1}
        assert bench.of("web")["duration-sample_age"] == 0.0
