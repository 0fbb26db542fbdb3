"""Who reads which domain when: no two readers at once, and no gap, whenever a domain changes readers."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Collection, Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from virt2.model.domain import Description, Disk, Domain
from virt2.readers import groups
from virt2.readers.groups import APART, Groups, Readers
from virt2.readers.partition import Explicit

BOUND = 10.0
INTERVAL = 10.0
MOST_GAP = 1.5
"""Intervals between two samples of one series: the promise of the design."""


class Inventory:
    """A list of domains that the test changes."""

    def __init__(self, **tags: str) -> None:
        self.listed = True
        self.version = 1
        self.tags = tags

    def domains(self) -> tuple[int, list[Domain]]:
        return self.version, [
            Domain(f"uuid-{name}", name, 1, Description(tag=tag)) for name, tag in sorted(self.tags.items())
        ]

    def retag(self, **tags: str) -> None:
        self.tags.update(tags)
        self.version += 1


def explicit(*names: str) -> list[Explicit]:
    """Readers that take the tag of their own name."""

    def equals(name: str) -> Callable[[str], bool]:
        return lambda tag: tag == name

    return [Explicit(name, (equals(name),)) for name in names]


class Bench:
    def __init__(self, inventory: Inventory, *readers: str, **options: object) -> None:
        self.now = 0.0
        self.inventory = inventory
        self.changes: list[set[str]] = []
        on_change = options.pop("on_change", lambda uuids: self.changes.append(set(uuids)))
        afterwards = options.pop("afterwards", lambda uuids: None)
        self.groups = Groups(
            inventory,
            Readers(**{"explicit": explicit(*readers), "automatic": 1, "limit": lambda: 4, **options}),
            interval=INTERVAL,
            on_change=on_change,
            afterwards=afterwards,
            clock=lambda: self.now,
        )

    def begin(self, reader: str) -> list[str]:
        return sorted(domain.name for domain in self.groups.begin(reader))

    def read(self, reader: str, at: float) -> list[str]:
        self.now = at
        names = self.begin(reader)
        self.groups.end(reader)
        return names


def test_every_reader_is_there_explicit_ones_first():
    bench = Bench(Inventory(), "a", "b", automatic=2)
    assert list(bench.groups.sizes()) == ["a", "b", "0", "1"]


def test_sizes():
    assert Bench(Inventory(x="a", y="a", z="c"), "a").groups.sizes() == {"a": 2, "0": 1}


def test_each_reader_reads_its_group():
    bench = Bench(Inventory(x="a", y="b", z="c"), "a", "b")
    assert [bench.read(reader, 0.0) for reader in ("a", "b", "0")] == [["x"], ["y"], ["z"]]


def test_a_change_is_followed_at_the_next_read():
    inventory = Inventory(x="a")
    bench = Bench(inventory, "a")
    assert bench.read("a", 0.0) == ["x"]
    inventory.retag(y="a")
    assert bench.read("a", INTERVAL) == ["x", "y"]
    del inventory.tags["x"]
    inventory.version += 1
    assert bench.read("a", 2 * INTERVAL) == ["y"]


def test_who_only_looks_makes_no_groups():
    inventory = Inventory(x="a")
    bench = Bench(inventory, "a")
    assert bench.groups.assigned == {}
    assert {name: len(group) for name, group in bench.groups.made.groups.items()} == {"a": 0, "0": 0}
    assert bench.changes == []
    bench.begin("a")
    inventory.retag(y="a")
    assert bench.groups.assigned == {"uuid-x": "a"}
    assert {name: len(group) for name, group in bench.groups.made.groups.items()} == {"a": 1, "0": 0}
    assert bench.changes == [{"uuid-x"}]


def test_whoever_forgets_is_told_of_each_change_once_and_before_anybody_reads():
    inventory = Inventory(x="a", y="b")
    bench = Bench(inventory, "a", "b")
    for reader in ("a", "b", "0"):
        bench.read(reader, 0.0)
    assert bench.changes == [{"uuid-x", "uuid-y"}]
    inventory.retag(x="b")
    bench.read("0", 1.0)
    assert len(bench.changes) == 2


def test_the_number_of_readers_is_settled_by_the_first_list():
    inventory = Inventory()
    inventory.listed = False
    bench = Bench(inventory, automatic=None, limit=lambda: 3)
    assert list(bench.groups.sizes()) == ["0"]
    inventory.retag(x="a", y="b", z="c", u="d", v="e")
    assert list(bench.groups.sizes()) == ["0"]
    inventory.listed = True
    assert list(bench.groups.sizes()) == ["0", "1", "2"]
    inventory.retag(w="f")
    assert list(bench.groups.sizes()) == ["0", "1", "2"]


def test_what_was_assigned_before_is_assigned_anew_then():
    inventory = Inventory(x="a", y="b")
    inventory.listed = False
    bench = Bench(inventory, automatic=None)
    assert bench.read("0", 0.0) == ["x", "y"]
    inventory.listed = True
    assert sorted(bench.groups.sizes().values()) == [1, 1]


def test_untagged_domains_go_by_their_storage_if_that_is_asked_for():
    inventory = Inventory()
    disks = [Domain(f"uuid-{sd}", sd, 1, Description(disks=(Disk("vda", "", sd),))) for sd in ("s1", "s2")]
    inventory.domains = lambda: (1, disks)  # type: ignore[method-assign]
    assert sorted(Bench(inventory, automatic=2).groups.sizes().values()) == [1, 1]
    assert Bench(inventory, automatic=2, partition_by=("tag",)).groups.sizes() == {"0": 2, "1": 0}


class Gate:
    """A lock that tells when a second one comes for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked = threading.Semaphore(0)

    def acquire(self, *arguments: object, **options: object) -> bool:
        self.asked.release()
        return self._lock.acquire(*arguments, **options)  # type: ignore[arg-type]

    def release(self) -> None:
        self._lock.release()


@pytest.fixture
def making() -> Iterator[tuple[Bench, threading.Thread, threading.Event]]:
    """A bench on which reader `a` is making the groups of the first list, until it is let go."""
    entered, proceed = threading.Event(), threading.Event()

    def hold(uuids: Collection[str]) -> None:
        entered.set()
        assert proceed.wait(BOUND)

    bench = Bench(Inventory(x="a", y="b"), "a", "b", on_change=hold)
    bench.groups._making = Gate()  # type: ignore[assignment]
    maker = threading.Thread(target=bench.begin, args=("a",), daemon=True)
    maker.start()
    assert entered.wait(BOUND)
    assert bench.groups._making.asked.acquire(timeout=BOUND)
    yield bench, maker, proceed
    proceed.set()
    maker.join(BOUND)


def test_a_reader_that_comes_while_another_one_makes_the_groups_reads_its_own_at_once(making, monkeypatch):
    monkeypatch.setattr(groups, "PATIENCE", BOUND, raising=False)
    bench, _, proceed = making
    found: list[list[str]] = []
    other = threading.Thread(target=lambda: found.append(bench.begin("b")), daemon=True)
    other.start()
    assert bench.groups._making.asked.acquire(timeout=BOUND)
    proceed.set()
    other.join(BOUND)
    assert found == [["y"]]


def test_but_it_does_not_wait_for_one_that_never_ends(making, monkeypatch):
    monkeypatch.setattr(groups, "PATIENCE", 0.01, raising=False)
    bench, maker, _ = making
    assert bench.begin("b") == []
    assert bench.groups.sizes() == {"a": 0, "b": 0, "0": 0}
    assert maker.is_alive()


def test_whoever_is_told_afterwards_and_never_returns_keeps_nobody_from_the_new_groups():
    told, release = threading.Event(), threading.Event()

    def log(uuids: Collection[str]) -> None:
        told.set()
        assert release.wait(BOUND)

    bench = Bench(Inventory(x="a", y="b"), "a", "b", afterwards=log)
    maker = threading.Thread(target=bench.begin, args=("a",), daemon=True)
    maker.start()
    assert told.wait(BOUND)
    assert bench.begin("b") == ["y"]
    bench.groups._afterwards = lambda uuids: None
    bench.inventory.retag(z="b")
    bench.groups.end("b")
    assert bench.begin("b") == ["y", "z"]
    release.set()
    maker.join(BOUND)


class TestMoving:
    """A domain that is given to another reader."""

    @pytest.fixture
    def bench(self) -> Bench:
        return Bench(Inventory(x="a", y="a", z="b"), "a", "b")

    def test_waits_while_the_former_reader_is_at_it(self, bench):
        assert bench.begin("a") == ["x", "y"]
        bench.inventory.retag(x="b")
        assert bench.read("b", 1.0) == ["z"]
        bench.groups.end("a")
        assert bench.read("b", 1.0 + INTERVAL) == ["x", "z"]

    def test_waits_for_some_time_after_that(self, bench):
        bench.read("a", 0.0)
        bench.inventory.retag(x="b")
        assert bench.read("b", APART * INTERVAL - 0.1) == ["z"]
        assert bench.read("b", INTERVAL) == ["x", "z"]

    def test_moves_at_once_where_the_former_read_is_long_over(self, bench):
        bench.read("a", 0.0)
        bench.inventory.retag(x="b")
        assert bench.read("b", INTERVAL / 2) == ["x", "z"]
        assert bench.read("a", INTERVAL) == ["y"]

    def test_is_read_once_more_by_the_former_where_the_new_one_comes_too_late(self, bench):
        bench.read("a", 0.0)
        bench.read("b", INTERVAL * 0.9)
        bench.inventory.retag(x="b")
        assert bench.read("a", INTERVAL) == ["x", "y"]
        assert bench.read("b", INTERVAL * 1.9) == ["x", "z"]
        assert bench.read("a", INTERVAL * 2) == ["y"]

    def test_that_is_gone_is_not_read_by_the_former(self, bench):
        bench.read("a", 0.0)
        bench.read("b", INTERVAL * 0.9)
        del bench.inventory.tags["x"]
        bench.inventory.version += 1
        assert bench.read("a", INTERVAL) == ["y"]


READERS = ["a", "b", "c", "0"]
MOVES = st.lists(st.tuples(st.floats(1.0, 60.0), st.sampled_from("xyz"), st.sampled_from("abcd")), max_size=6)


@given(
    phases=st.lists(st.floats(0.0, 0.999), min_size=4, max_size=4),
    durations=st.lists(st.floats(0.001, 0.5), min_size=4, max_size=4),
    moves=MOVES,
)
@settings(max_examples=150)
def test_no_domain_is_read_by_two_readers_at_once_and_none_is_lost(phases, durations, moves):
    turns = simulate(phases, durations, moves, 80.0)
    for name, reads in turns.items():
        for (_, ended), (began, _) in zip(reads, reads[1:]):
            assert began >= ended, f"{name} is read by two readers"
        assert reads[-1][0] >= 80.0 - 2 * INTERVAL


@given(
    phases=st.lists(st.floats(0.0, 0.999), min_size=4, max_size=4),
    durations=st.lists(st.floats(0.001, 0.14), min_size=4, max_size=4),
    at=st.floats(10.0, 40.0),
    target=st.sampled_from("bcd"),
)
@settings(max_examples=300)
@example(phases=[0.0, 0.26, 0.5, 0.9], durations=[0.05] * 4, at=10.1, target="b")
@example(phases=[0.0, 0.24, 0.5, 0.9], durations=[0.05] * 4, at=10.1, target="b")
@example(phases=[0.0, 0.999, 0.5, 0.9], durations=[0.05] * 4, at=19.995, target="b")
def test_a_domain_that_is_retagged_at_any_instant_has_no_gap(phases, durations, at, target):
    began = [start for start, _ in simulate(phases, durations, [(at, "x", target)], 80.0)["x"]]
    gaps = [later - earlier for earlier, later in zip(began, began[1:])]
    assert max(gaps) <= MOST_GAP * INTERVAL


@given(
    phases=st.lists(st.floats(0.0, 0.999), min_size=4, max_size=4),
    durations=st.lists(st.floats(0.001, 0.14), min_size=4, max_size=4),
    at=st.floats(10.0, 40.0),
)
@example(phases=[0.0, 0.5, 0.5, 0.5], durations=[0.01] * 4, at=10.1)
@example(phases=[0.0, 0.26, 0.5, 0.9], durations=[0.05] * 4, at=10.1)
def test_two_intervals_after_it_was_retagged_it_is_its_new_readers_alone(phases, durations, at):
    reads = [start for start, _ in simulate(phases, durations, [(at, "x", "b")], 80.0)["x"]]
    late = [start for start in reads if start > at + 2 * INTERVAL + 1e-6]
    assert all(abs((start / INTERVAL - phases[1] + 0.5) % 1.0 - 0.5) < 1e-6 for start in late)
    assert len(late) >= 1


def simulate(
    phases: list[float], durations: list[float], moves: list[tuple[float, str, str]], end: float
) -> dict[str, list[tuple[float, float]]]:
    """Let four readers read at their phases while domains are retagged; returns each domain's reads, begin and end."""
    inventory = Inventory(x="a", y="b", z="d")
    bench = Bench(inventory, "a", "b", "c")
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in inventory.tags}
    # Of events at one time, moves come first, then ends, then begins.
    events: list[tuple[float, int, str, str]] = [(at, 0, name, tag) for at, name, tag in moves]
    for reader, phase in zip(READERS, phases):
        events.append((phase * INTERVAL, 2, reader, ""))
    heapq.heapify(events)
    while events and events[0][0] < end:
        at, kind, subject, tag = heapq.heappop(events)
        bench.now = at
        if kind == 0:
            inventory.retag(**{subject: tag})
        elif kind == 1:
            bench.groups.end(subject)
        else:
            over = at + durations[READERS.index(subject)] * INTERVAL
            for name in bench.begin(subject):
                turns[name].append((at, over))
            heapq.heappush(events, (over, 1, subject, ""))
            heapq.heappush(events, (at + INTERVAL, 2, subject, ""))
    return turns
