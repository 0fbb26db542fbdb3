"""Calls that touch the storage: rarely, one at a time per storage domain, and none where one does not come back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.unit.fakes import JOB, OCCUPIED, OK, Control, DiskSizes
from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, INTERVAL, STUCK_AFTER, TIMEOUT, Bench, Point
from virt2.errors import CallFailed, DomainBusy, Unsupported
from virt2.metrics.selectors import Selection
from virt2.readers.context import Clocks, Workers
from virt2.readers.gate import LOOKS, Gate
from virt2.readers.records import Record
from virt2.readers.results import Results
from virt2.readers.sampling import Sampler
from virt2.readers.storage import StorageReader
from virt2.workers.job import MONITOR, Job
from virt2.workers.pool import TICK

SIZE_TYPES = ("disk_allocation", "disk_capacity", "disk_physical")
DISK_ERRORS = "disk_err"
EVERYTHING = (*SIZE_TYPES, DISK_ERRORS)
QUARANTINED = {"blockInfo", "diskErrors", "bulk"}


class StorageBench(Bench):
    """A reader and the storage reader over a fake libvirt, as `virt2.plugin` puts them together."""

    def __init__(self, extra: tuple[str, ...] = SIZE_TYPES, share: int = 2, tick: float = INTERVAL) -> None:
        super().__init__()
        self.storage_pool = self._pool("storage", share)

        def sampler(put: Callable[[Record], None]) -> Sampler:
            return Sampler(
                put,
                Gate(stuck_after=STUCK_AFTER, clock=self.clock),
                extra=lambda uuid: Selection(extra),
                clocks=Clocks(self.clock, self.clock.wall),
            )

        self.storage = StorageReader(
            domains=self.domains,
            workers=Workers(self.storage_pool, self.budget),
            results=Results(self.names, self.sink),
            sampler=sampler,
            timing=self.timing(INTERVAL, tick),
        )

    def start(self) -> None:
        """Have every domain read once."""
        self.inventory.start()
        self.read()

    def read_storage(self) -> list[Point]:
        """Let an interval pass and the storage reader read; returns what it dispatched."""
        self.clock.now += INTERVAL
        self.sink.points.clear()
        self.hypervisor.calls.clear()
        began = self.clock()
        self.storage.read()
        assert self.clock() - began <= TIMEOUT + TICK
        return list(self.sink.points)

    @property
    def asked(self) -> list[str]:
        """The domains whose storage was touched since the last read began, in this order."""
        return list(dict.fromkeys(name for call, name, _ in self.hypervisor.calls if call in QUARANTINED))

    def end(self) -> None:
        super().end()
        self.storage_pool.stop()


@pytest.fixture
def make() -> Iterator[Callable[..., StorageBench]]:
    made: list[StorageBench] = []

    def make_bench(**options: object) -> StorageBench:
        made.append(StorageBench(**options))
        return made[-1]

    yield make_bench
    for bench in made:
        bench.end()


@pytest.fixture
def bench(make) -> StorageBench:
    """Three domains on /nfs, two on /san; both storage domains are well."""
    return populate(make())


def populate(bench: StorageBench) -> StorageBench:
    for name, folder in (("a", "/nfs"), ("b", "/nfs"), ("c", "/nfs"), ("x", "/san"), ("y", "/san")):
        bench.hypervisor.add(name, source=folder)
    bench.start()
    return bench


class TestValues:
    """What goes out."""

    def test_sizes_and_errors_of_every_disk_with_the_time_before_their_calls(self, make):
        bench = make(extra=EVERYTHING)
        web = bench.hypervisor.add("web", disks=("vda", "vdb"))
        web.disk_sizes = DiskSizes(capacity=30, allocation=10, physical=20)
        web.disk_errors = {"vdb": 2}
        bench.start()
        points = bench.read_storage()
        expected = [
            (kind, disk, (size,))
            for disk in ("vda", "vdb")
            for kind, size in (("disk_allocation", 10), ("disk_capacity", 30), ("disk_physical", 20))
        ] + [("disk_error", "vda", (0,)), ("disk_error", "vdb", (2,))]
        assert sorted(points) == sorted(Point("web", "", *metric, bench.clock.wall()) for metric in expected)

    @pytest.mark.parametrize("kind", SIZE_TYPES)
    def test_only_the_size_that_was_asked_for(self, make, kind):
        bench = populate(make(extra=(kind,)))
        assert {point.type for point in bench.read_storage()} == {kind}
        assert bench.hypervisor.count("blockInfo") == 5
        assert bench.hypervisor.count("diskErrors") == 0

    def test_where_only_errors_are_asked_for_no_size_is(self, make):
        bench = populate(make(extra=(DISK_ERRORS,)))
        assert {(point.type, point.values) for point in bench.read_storage()} == {("disk_error", (0,))}
        assert bench.hypervisor.count("blockInfo") == 0

    def test_all_images_of_a_domain_come_with_one_call(self, make):
        bench = make(extra=("disk_layers", "disk_threshold"))
        web = bench.hypervisor.add("web", disks=("vda", "vdb"))
        web.stats["BLOCK"] |= {"block.1.threshold": 77}
        bench.start()
        points = bench.read_storage()
        assert [call for call in bench.hypervisor.calls if call[1] == "web"] == [
            ("xml", "web", ""),
            ("controlInfo", "web", ""),
            ("bulk", "web", "BLOCK"),
        ]
        assert {(point.type, point.type_instance, point.values) for point in points} == {
            *(
                (f"disk_{kind}", f"{disk}-layer_0", (size,))
                for disk in ("vda", "vdb")
                for kind, size in (("allocation", 1024), ("capacity", 8192), ("physical", 4096))
            ),
            ("gauge", "layers-vda", (1,)),
            ("gauge", "layers-vdb", (1,)),
            ("bytes", "write_threshold-vdb", (77,)),
        }

    def test_a_steady_read_makes_these_calls_and_no_others(self, bench):
        bench.read_storage()
        calls = [call for call in bench.hypervisor.calls if call[0] != "connect"]
        assert calls.count(("active", "", "")) == 1
        assert sorted(calls)[1:] == sorted(
            (call, name, device)
            for name in "abcxy"
            for call, device in (("blockInfo", "vda"), ("controlInfo", ""), ("xml", ""))
        )

    def test_where_its_status_file_has_not_changed_a_domain_need_not_be_described_anew(self, bench):
        changes = bench.stamps
        changes.update(dict.fromkeys("abcxy", 1))
        bench.read_storage()
        bench.read_storage()
        assert bench.hypervisor.count("xml") == 0
        changes["b"] = 2
        bench.read_storage()
        assert [name for call, name, _ in bench.hypervisor.calls if call == "xml"] == ["b"]

    def test_a_disk_that_was_moved_holds_what_it_lies_on_now(self, bench):
        bench.read_storage()
        bench.hypervisor.domains["a"].source = "/san"
        with bench.hypervisor.dead_storage("/san"):
            for _ in range(3):
                bench.read_storage()
            frozen = [name for name, domain in bench.hypervisor.domains.items() if domain.frozen]
            assert len(frozen) == 1
            assert frozen[0] in "axy"

    def test_what_cannot_be_described_now_is_not_asked(self, bench):
        bench.read_storage()
        bench.hypervisor.domains["a"].failures["xml"] = CallFailed("internal error", 1)
        bench.read_storage()
        assert bench.hypervisor.count("blockInfo", "a") == 0
        assert bench.hypervisor.count("blockInfo", "b") == 1

    def test_the_other_readers_make_none_of_these_calls(self, bench):
        bench.read()
        assert bench.asked == []

    def test_a_domain_without_disks_is_left_alone(self, make):
        bench = make(extra=EVERYTHING)
        bench.hypervisor.add("bare", disks=())
        bench.start()
        bench.read_storage()
        assert [call for call in bench.hypervisor.calls if call[1] == "bare"] == []

    def test_while_libvirt_is_away_nobody_is_asked(self, bench):
        bench.hypervisor.crash()
        bench.read()
        assert bench.read_storage() == []
        assert bench.asked == []
        # One may be the list's; workers would have made one for each domain.
        assert bench.hypervisor.count("connect") <= 1


class TestDeadStorage:
    """One storage domain that does not answer."""

    def test_one_guest_is_caught_and_no_more(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            for _ in range(4):
                bench.read_storage()
                assert [domain.name for domain in bench.hypervisor.domains.values() if domain.frozen] == ["a"]
        assert bench.hypervisor.most_touching["/nfs"] == 1

    def test_the_other_one_loses_nothing(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            for _ in range(3):
                assert {point.host for point in bench.read_storage()} == {"x", "y"}

    def test_with_one_slot_the_other_one_goes_on_with_the_next_read(self, make):
        bench = populate(make(share=1))
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            bench.read()
            for _ in range(2):
                assert {point.host for point in bench.read_storage()} == {"x", "y"}
                bench.read()

    def test_it_is_told_which_one_is_suspended(self, bench):
        assert bench.storage.suspended == frozenset()
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            assert bench.storage.suspended == {"/nfs"}
        bench.clock.settle()
        assert bench.storage.suspended == frozenset()

    def test_what_is_suspended_is_said_and_that_it_is_over_too(self, bench, caplog):
        # Also where the storage reader itself reads nothing, as with DiskStats "bulk" and no selector of sizes.
        caplog.set_level(logging.INFO)
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            bench.storage.watch()
        bench.clock.settle()
        for _ in range(3):
            bench.storage.watch()
            bench.clock.now += 2 * INTERVAL
        said = [record.getMessage() for record in caplog.records if "storage domain /nfs" in record.getMessage()]
        assert [text.split(": ")[0] for text in said] == ["storage domain /nfs", "storage domain /nfs answers again"]

    def test_it_is_resumed_when_the_call_comes_back(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            bench.read()
        bench.clock.settle()
        bench.read()
        assert {point.host for point in bench.read_storage()} == set("abcxy")

    def test_what_the_caught_call_says_at_last_goes_out_with_its_own_time(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            asked = bench.clock.wall() - TIMEOUT
        bench.clock.settle()
        bench.read()
        times = [point.time for point in bench.read_storage() if point.host == "a" and point.type == "disk_capacity"]
        assert times == [pytest.approx(asked, abs=2 * TICK), bench.clock.wall()]

    def test_the_others_of_the_same_storage_keep_what_does_not_touch_it(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            for _ in range(2):
                bench.read()
                assert [name for name in "bcxy" if bench.types(name) != CLASS_A | CLASS_B] == []
                assert bench.types("a") == CLASS_A

    def test_the_caught_guest_is_reported_as_blocked_by_that_call(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            for _ in range(3):
                bench.read()
            assert bench.of("a")["duration-monitor_blocked"] > INTERVAL
            assert bench.hypervisor.count("blockStats", "a") == 0
        ((severity, message, host),) = bench.notifications
        assert (severity, host) == ("warning", "a")
        assert "(blockInfo), storage domain /nfs" in message
        bench.clock.settle()
        bench.read()
        assert [severity for severity, _, _ in bench.notifications] == ["warning", "okay"]

    def test_as_many_as_there_are_slots_may_be_dead(self, make):
        bench = make(share=3)
        for folder in ("/nfs", "/san", "/images"):
            for number in range(3):
                bench.hypervisor.add(f"{folder[1:]}{number}", source=folder)
        bench.start()
        with bench.hypervisor.dead_storage("/nfs"), bench.hypervisor.dead_storage("/san"):
            bench.read_storage()
            assert bench.hypervisor.stage.blocked == 2
            bench.read()
            assert {point.host for point in bench.read_storage()} == {"images0", "images1", "images2"}
            assert bench.hypervisor.stage.blocked == 2


class TestTwoStorageDomains:
    """A domain whose disks lie on two of them."""

    @pytest.fixture
    def astride(self, make) -> StorageBench:
        bench = make(share=4)
        bench.hypervisor.add("both", disks=("vda", "vdb"), source="/nfs", sources={"vdb": "/san"})
        for name, folder in (("n", "/nfs"), ("s", "/san"), ("i", "/images")):
            bench.hypervisor.add(name, source=folder)
        bench.start()
        return bench

    def test_holds_both(self, astride):
        with astride.hypervisor.dead_storage("/nfs"):
            astride.read_storage()
            assert astride.storage.suspended == {"/nfs", "/san"}
            assert {point.host for point in astride.read_storage()} == {"i"}
        astride.clock.settle()
        astride.read()
        assert {point.host for point in astride.read_storage()} == {"both", "n", "s", "i"}

    def test_is_not_asked_while_a_call_is_out_for_either(self, astride):
        astride.hypervisor.domains["both"].control = Control(OCCUPIED, 0, 0.1)
        with astride.hypervisor.dead_storage("/san"):
            astride.read_storage()
            assert astride.storage.suspended == {"/san"}
            astride.hypervisor.domains["both"].control = Control(OK, 0, 0.0)
            astride.read()
            astride.read_storage()
            assert "both" not in astride.asked
        assert max(astride.hypervisor.most_touching.values()) == 1


class TestLeftAlone:
    """Domains that are not asked."""

    def test_one_whose_monitor_is_blocked(self, bench):
        with bench.hypervisor.stuck("b", monitor=True):
            bench.read()
            began = bench.clock()
            bench.read_storage()
            assert bench.asked == ["a", "c", "x", "y"]
            assert bench.clock() - began == INTERVAL, "it was waited for"
        bench.clock.settle()
        bench.read()
        bench.read_storage()
        assert "b" in bench.asked

    def test_one_that_was_blocked_until_its_reader_has_found_it_well(self, bench):
        bench.hypervisor.domains["b"].control = Control(OCCUPIED, 0, 5.0)
        bench.read()
        bench.hypervisor.domains["b"].control = Control(OK, 0, 0.0)
        bench.read_storage()
        assert bench.asked == ["a", "c", "x", "y"]
        bench.read()
        bench.read_storage()
        assert "b" in bench.asked

    def test_one_that_any_call_cut_off_is_charged_for(self, bench):
        b = bench.hypervisor.domains["b"]
        with bench.hypervisor.stuck("b", monitor=True):
            bench.read()
            bench.hypervisor.cut()
            bench.clock.settle()
            bench.healths.of(b.uuid, 0.0).clear()
            bench.read_storage()
            assert bench.asked == ["a", "c", "x", "y"]
            assert bench.budget.charged(b.uuid).what == "blockStats"

    def test_one_somebody_else_is_in(self, bench):
        bench.hypervisor.domains["b"].control = Control(OCCUPIED, 0, 0.1)
        bench.read_storage()
        assert bench.asked == ["a", "c", "x", "y"]
        assert bench.hypervisor.count("controlInfo", "b") == 1 + len(LOOKS)

    def test_one_that_is_still_coming_in(self, bench):
        bench.healths.of(bench.hypervisor.domains["b"].uuid, 0.0).incoming = True
        bench.read_storage()
        assert bench.asked == ["a", "c", "x", "y"]

    def test_one_that_a_call_cut_off_is_charged_for_and_its_storage_with_it(self, bench):
        with bench.hypervisor.dead_storage("/nfs"):
            bench.read_storage()
            # A young job would be let pass.
            bench.hypervisor.domains["a"].control = Control(JOB, 0, 0.5)
            bench.hypervisor.cut()
            bench.clock.settle()
            for _ in range(2):
                bench.read()
                bench.read_storage()
                assert bench.asked == ["x", "y"]
                assert bench.budget.used == 1
                assert bench.storage.suspended == {"/nfs"}
        bench.hypervisor.domains["a"].control = Control(OK, 0, 0.0)
        bench.read()
        bench.read()
        bench.read_storage()
        assert sorted(bench.asked) == list("abcxy")


def test_what_there_was_no_time_for_is_asked_first_by_the_next_read(bench):
    # Nobody knows yet that it is stuck: the call is made, and holds up its storage domain until the deadline.
    with bench.hypervisor.stuck("b", monitor=True):
        bench.read_storage()
        assert bench.asked == ["a", "b", "x", "y"]
    bench.clock.settle()
    bench.read_storage()
    assert [name for name in bench.asked if name in "abc"] == ["c", "a", "b"]


def test_one_that_never_answers_does_not_go_first_for_ever(make):
    bench = populate(make(share=1))

    def stick(call: str, name: str, device: str) -> None:
        """Whoever is asked first holds the one slot for the whole read."""
        if call == "blockInfo":
            bench.hypervisor.domains[name].stuck.add("monitor")

    bench.hypervisor.on_call = stick
    asked = []
    for _ in range(6):
        bench.read_storage()
        asked += bench.asked
        domain = bench.hypervisor.domains[asked[-1]]
        domain.failures["blockInfo"] = DomainBusy("cannot acquire state change lock")
        domain.stuck.clear()
        bench.hypervisor.stage.review()
        bench.clock.settle()
    assert asked == list("abcxya")


@pytest.mark.parametrize("out", [0.0, 0.3], ids=["short", "longer than calls take"])
def test_a_momentary_call_does_not_cost_the_domain_its_disks_in_a_concurrent_read(bench, out):
    def read_meanwhile(event: threading.Event, seconds: float) -> bool:
        """The storage reader waits, with the call for one domain in flight: now another reader reads."""
        bench.waits.pop("storage")
        bench.clock.settle(event)
        bench.clock.now += out
        bench.readers["0"].read()
        return bench.clock.wait(event, seconds)

    def come_back(event: threading.Event, seconds: float) -> bool:
        """All that other reader can do is done, but for what waits for the call; it comes back a moment later."""
        bench.clock.settle(event)
        bench.hypervisor.domains["a"].stuck.clear()
        bench.hypervisor.stage.review()
        return bench.clock.wait(event, seconds)

    # Described as it is now, so that nothing else is waited for first.
    bench.stamps.update(dict.fromkeys(bench.hypervisor.domains, 1))
    bench.read_storage()
    bench.waits.update({"storage": read_meanwhile, "0": come_back})
    bench.hypervisor.on_call = lambda call, name, device: (
        bench.hypervisor.domains["a"].stuck.add("monitor") if (call, name) == ("blockInfo", "a") else None
    )
    bench.read_storage()
    assert bench.hypervisor.most_in_flight["a"] == 1
    assert bench.types("a") == CLASS_A | CLASS_B | set(SIZE_TYPES)
    assert bench.own()["domains_skipped"] == 0
    assert bench.of("a")["duration-monitor_blocked"] == 0.0
    assert bench.of("a")["duration-sample_age"] <= TICK


def test_a_size_no_driver_can_tell_does_not_cost_the_disk_its_counters(bench, caplog):
    bench.hypervisor.domains["a"].failures["blockInfo vda"] = Unsupported("no sizes here")
    for _ in range(2):
        bench.read_storage()
        bench.read()
        assert bench.types("a") == CLASS_A | CLASS_B
    assert [record.getMessage() for record in caplog.records] == ["domain a: blockInfo vda: no sizes here"]


class TestManyDisks:
    """One call at a time on a storage domain, and more disks than there is time for in one read."""

    TICK = INTERVAL / 5
    ROOM = 75
    """Sizes there is time for in one read: 20 ms each, of a read of 1.5 s."""

    def lived(self, make, count: int, reads: int) -> StorageBench:
        bench = make(tick=self.TICK)
        for number in range(count):
            bench.hypervisor.add(f"vm{number}", source="/nfs")
        bench.start()
        run = bench.storage_pool.run

        def run_some(jobs: Iterable[Job], deadline: float) -> object:
            jobs = list(jobs)
            return run(jobs[: self.ROOM] if jobs and jobs[0].kind == MONITOR else jobs, deadline)

        def note(call: str, name: str, device: str) -> None:
            if call == "blockInfo":
                self.asked.setdefault(name, []).append(bench.clock.now)

        self.asked: dict[str, list[float]] = {}
        bench.storage_pool.run = run_some
        bench.hypervisor.on_call = note
        began = bench.clock.now
        for number in range(1, reads + 1):
            bench.clock.now = began + number * self.TICK
            bench.storage.read()
        return bench

    def test_they_are_asked_once_an_interval_in_several_reads(self, make, caplog):
        self.lived(make, 200, 30)
        assert len(self.asked) == 200
        for times in self.asked.values():
            apart = [two - one for one, two in zip(times, times[1:])]
            assert len(apart) >= 4
            assert all(INTERVAL <= seconds < INTERVAL + 2 * TICK for seconds in apart)
        assert caplog.records == []

    def test_where_sizes_are_late_all_the_same_it_is_said_once_with_what_to_do(self, make, caplog):
        caplog.set_level("INFO")
        # 900 of them take 12 reads, which is 24 s, and every 10 s are wanted.
        bench = self.lived(make, 900, 40)
        (text,) = [record.getMessage() for record in caplog.records]
        assert text.startswith("storage domain /nfs: ")
        assert text.endswith(
            "domains on it have sizes that are up to 22 s old, because one call at a time is made there;"
            " set StorageInterval to 22 or more"
        )
        for name in list(bench.hypervisor.domains)[10:]:
            bench.hypervisor.remove(name)
        for _ in range(4):
            bench.read_storage()
        assert caplog.records[-1].getMessage() == "storage domain /nfs: sizes come every StorageInterval again"
        assert len(caplog.records) == 2

    def test_a_storage_that_does_not_answer_is_not_called_late(self, make, caplog):
        bench = make()
        for number in range(5):
            bench.hypervisor.add(f"vm{number}", source="/nfs")
        bench.start()
        bench.read_storage()
        with bench.hypervisor.dead_storage("/nfs"):
            for _ in range(6):
                bench.read_storage()
        assert caplog.records == []
