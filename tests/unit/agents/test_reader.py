"""Guests' agents: asked rarely, by few workers, and whatever one does costs nobody else anything."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pytest

from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, INTERVAL, TIMEOUT, Bench, Point
from virt2.agents.connection import SharedConnection
from virt2.agents.guestinfo import AGENT_SELECTORS, FS_INFO, GUEST_INFO, MOST_FILE_SYSTEMS
from virt2.agents.reader import GIVEN_UP, LONGEST_PAUSE, SAID_APART, AgentReader
from virt2.errors import AgentSilent, CallFailed, DomainBusy, Error, Unsupported
from virt2.output.naming import Identity
from virt2.readers.context import Outputs, Workers
from virt2.workers.job import AGENT
from virt2.workers.pool import BUSY_WORKERS, TICK, Pool, Runtime

EVERY = 60.0
PATIENCE = 10.0
ROOT = {
    "fs.count": 1,
    "fs.0.mountpoint": "/",
    "fs.0.name": "vda1",
    "fs.0.fstype": "ext4",
    "fs.0.total-bytes": 100,
    "fs.0.used-bytes": 40,
    "fs.0.disk.count": 2,
    "fs.0.disk.0.alias": "vda",
    "fs.0.disk.1.alias": "vdb",
}


class Told(NamedTuple):
    """A notification."""

    message: str
    host: str
    type: str
    meta: Mapping[str, str | int]


class AgentBench(Bench):
    """A reader and the agents' reader over a fake libvirt, as `virt2.plugin` puts them together."""

    def __init__(
        self, selectors: tuple[str, ...] = (GUEST_INFO,), share: int = 2, size: int = 10, patience: float = PATIENCE
    ) -> None:
        super().__init__(size=size, share=size - 1 - share)
        self.told: list[Told] = []
        self.line = SharedConnection(self.hypervisor.connect_agents)
        self.agent_pool = Pool(
            "agent", self.budget, self.line.hold, share=share, runtime=Runtime(self.clock, self.clock.wait)
        )
        self.clock.watch(self.budget, self.agent_pool)
        self.agents = AgentReader(
            selectors=selectors,
            domains=self.domains,
            workers=Workers(self.agent_pool, self.budget, refused=lambda: self.line.refused),
            outputs=Outputs(self.sink, self._tell),
            timing=self.timing(EVERY, INTERVAL),
            patience=patience,
            gate=self.gate,
        )

    def _tell(self, severity, message, identity: Identity, *, type, type_instance, meta) -> None:
        assert severity == "okay"
        self.told.append(Told(message, identity.host, type, meta))

    def add(self, *names: str) -> None:
        """Start guests with an agent."""
        for name in names:
            self.hypervisor.add(name).agent = True

    def start(self) -> AgentBench:
        """Have every domain read once."""
        self.inventory.start()
        self.read()
        return self

    def ask(self, after: float = EVERY) -> list[Point]:
        """Let time pass and the agents' reader read; returns what it dispatched."""
        self.clock.now += after
        self.sink.points.clear()
        self.hypervisor.calls.clear()
        began = self.clock()
        self.agents.read()
        assert self.clock() - began <= TIMEOUT + TICK
        return list(self.sink.points)

    @property
    def asked(self) -> list[str]:
        """The domains whose agents were asked since the last read began, in this order."""
        return [name for call, name, _ in self.hypervisor.calls if call in ("guestInfo", "fsInfo")]

    def end(self) -> None:
        super().end()
        self.agent_pool.stop()


@pytest.fixture
def make() -> Iterator[Callable[..., AgentBench]]:
    made: list[AgentBench] = []

    def make_bench(*names: str, **options: object) -> AgentBench:
        made.append(AgentBench(**options))
        made[-1].add(*names)
        return made[-1].start()

    yield make_bench
    for bench in made:
        bench.end()


@pytest.fixture
def said(caplog) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "virt2")

    def texts() -> list[str]:
        found = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return found

    return texts


class TestValues:
    """What goes out."""

    def test_what_the_agent_tells_with_the_time_before_the_call(self, make):
        bench = make("web")
        bench.hypervisor.domains["web"].guest_info = {**ROOT, "user.count": 3, "hostname": "inside"}
        wall = bench.clock.wall() + EVERY
        assert bench.ask() == [
            Point("web", "", "duration", "guest_agent", (0.0,), wall),
            Point("web", "", "users", "", (3,), wall),
            Point("web", "", "df_complex", "used-root", (40,), wall),
            Point("web", "", "df_complex", "free-root", (60,), wall),
            Point("web", "", "percent_bytes", "used-root", (40.0,), wall),
        ]
        assert bench.sink.metas[-1] == {"guest_hostname": "inside"}

    def test_a_guest_without_an_open_channel_is_not_asked(self, make):
        bench = make("web")
        bench.hypervisor.add("mute")
        bench.hypervisor.tell("changed", "")
        bench.read()
        bench.ask()
        assert bench.asked == ["web"]

    def test_an_agent_that_comes_is_asked_once_it_is_told_of(self, make):
        bench = make("web")
        domain = bench.hypervisor.add("late")
        bench.read()
        bench.ask()
        domain.agent = True
        bench.hypervisor.tell("changed", domain.uuid)
        bench.read()
        bench.ask()
        assert sorted(bench.asked) == ["late", "web"]

    def test_each_is_asked_once_per_interval_however_often_it_is_read(self, make):
        bench = make("web")
        reads = [bool(bench.ask(after=INTERVAL)) for _ in range(13)]
        assert reads == [True] + 5 * [False] + [True] + 5 * [False] + [True]

    def test_nothing_but_agents_is_asked_on_the_read_write_connection(self, make):
        bench = make("web", selectors=AGENT_SELECTORS)
        bench.ask()
        assert [call for call, _, _ in bench.hypervisor.calls] == ["connect_agents", "guestInfo"]

    def test_one_read_write_connection_serves_all_workers(self, make):
        bench = make(*(f"g{n}" for n in range(20)), share=4)
        with bench.hypervisor.stuck("g0", agent=True), bench.hypervisor.stuck("g1", agent=True):
            bench.ask()
            assert len(bench.hypervisor.agent_connections) == 1


META = {"mountpoint": "/", "name": "vda1", "fstype": "ext4", "ndevAlias": 2, "devAlias": "vda,vdb"}


class TestFileSystems:
    """The notifications of the C plugin's fs_info."""

    def test_each_file_system_is_told_of_once(self, make):
        bench = make("web", selectors=(FS_INFO,))
        bench.hypervisor.domains["web"].file_systems = [("/", "vda1", "ext4", ["vda", "vdb"])]
        assert bench.ask() == []
        bench.ask()
        assert bench.told == [Told("File system information", "web", "file_system", META)]
        assert bench.asked == ["web"]

    def test_with_guest_info_one_call_serves_both(self, make):
        bench = make("web", selectors=AGENT_SELECTORS)
        bench.hypervisor.domains["web"].guest_info = ROOT
        bench.ask()
        assert [told.meta for told in bench.told] == [META]
        assert bench.hypervisor.count("fsInfo") == 0

    def test_a_guest_that_was_started_anew_is_told_of_again(self, make):
        bench = make("web", selectors=(FS_INFO,))
        bench.hypervisor.domains["web"].file_systems = [("/", "vda1", "ext4", [])]
        bench.ask()
        bench.hypervisor.restart("web")
        bench.read()
        bench.ask()
        assert len(bench.told) == 2

    def test_where_libvirt_only_knows_the_older_call_that_is_used(self, make, said):
        bench = make("web", "db", selectors=AGENT_SELECTORS, share=1)
        for domain in bench.hypervisor.domains.values():
            domain.failures["guestInfo"] = Unsupported("not supported by the connection driver")
            domain.file_systems = [("/", "vda1", "ext4", [])]
        bench.ask()
        assert bench.hypervisor.count("guestInfo") == 1
        assert len(bench.told) == 2
        bench.ask()
        assert bench.hypervisor.count("guestInfo") == 0
        assert said().count("guestInfo is not known to this libvirt: not supported by the connection driver") == 1

    def test_what_libvirt_did_not_know_is_asked_again_on_another_connection(self, make):
        bench = make("web")
        bench.hypervisor.domains["web"].failures["guestInfo"] = Unsupported("not supported")
        bench.ask()
        del bench.hypervisor.domains["web"].failures["guestInfo"]
        bench.hypervisor.cut()
        bench.read()
        assert bench.ask()


class TestHostileGuests:
    """Agents that do as they like."""

    def test_one_that_hangs_costs_neither_its_domain_nor_any_other_a_metric(self, make):
        bench = make(*(f"g{n}" for n in range(8)))
        with bench.hypervisor.stuck("g3", agent=True):
            bench.ask()
            for _ in range(3):
                bench.read()
                assert all(bench.types(f"g{n}") >= CLASS_A | CLASS_B for n in range(8))
                assert bench.of("g3")["duration-monitor_blocked"] == 0
            assert {point.host for point in bench.ask()} == {f"g{n}" for n in range(8)} - {"g3"}

    def test_no_second_call_is_made_for_one_that_hangs(self, make):
        bench = make("web", "db")
        with bench.hypervisor.stuck("web", agent=True):
            for _ in range(3):
                bench.ask()
                bench.read()
            bench.ask()
            assert bench.asked == ["db"]

    def test_however_many_hang_only_the_share_is_held_and_everybody_is_read(self, make):
        names = [f"g{n:02}" for n in range(16)]
        bench = make(*names, share=2)
        for name in names:
            bench.hypervisor.domains[name].stuck.add("agent")
        for _ in range(3):
            bench.ask()
            bench.read()
            assert all(bench.types(name) >= CLASS_A | CLASS_B for name in names)
        assert [kind for _, kind in bench.budget.in_flight].count(AGENT) == 2
        assert bench.agent_pool.workers <= 2 + BUSY_WORKERS

    def test_those_that_answer_go_before_those_that_did_not(self, make):
        bench = make("a", "b", "c", share=1)
        bench.hypervisor.domains["a"].failures["guestInfo"] = AgentSilent("not responding")
        bench.hypervisor.on_call = lambda call, name, _: self.dawdle(bench, call, name == "a")
        bench.agents.read()
        assert bench.asked[0] == "a"
        bench.hypervisor.on_call = lambda *_: None
        bench.ask(after=2 * EVERY)
        assert bench.asked[0] != "a"

    def test_one_that_hangs_again_and_again_is_asked_more_and_more_rarely(self, make):
        bench = make("web")
        bench.hypervisor.on_call = lambda call, name, _: self.dawdle(bench, call)
        bench.hypervisor.domains["web"].failures["guestInfo"] = AgentSilent("not responding")
        asked = []
        for number in range(300):
            bench.clock.now = (number + 1) * EVERY
            bench.hypervisor.calls.clear()
            bench.agents.read()
            if bench.asked:
                asked.append(number)
        pauses = [later - earlier for earlier, later in zip(asked, asked[1:])]
        assert pauses[:5] == [2, 4, 8, 16, 32]
        assert set(pauses[5:]) == {LONGEST_PAUSE / EVERY}
        bench.hypervisor.domains["web"].failures.clear()
        bench.hypervisor.on_call = lambda *_: None
        bench.ask(after=LONGEST_PAUSE)
        assert all(bench.ask() for _ in range(3))

    def test_those_that_hung_before_never_take_the_last_worker(self, make):
        bench = make("a", "b", "c", "well", share=2)
        hostile = ("a", "b", "c")
        for name in hostile:
            bench.hypervisor.domains[name].failures["guestInfo"] = AgentSilent("not responding")
        bench.hypervisor.on_call = lambda call, name, _: self.dawdle(bench, call, name in hostile)
        for _ in range(4):
            bench.agents.read()
            bench.clock.now += EVERY
        bench.hypervisor.on_call = lambda *_: None
        for name in hostile:
            bench.hypervisor.domains[name].failures.clear()
            bench.hypervisor.domains[name].stuck.add("agent")
        for _ in range(5):
            assert {point.host for point in bench.ask(after=LONGEST_PAUSE)} == {"well"}
        assert [kind for _, kind in bench.budget.in_flight].count(AGENT) == 1

    def test_where_they_hold_all_workers_that_is_said_with_their_names_and_heals(self, make, said):
        bench = make("a", "b", "c", share=2)
        said()
        with bench.hypervisor.stuck("a", agent=True), bench.hypervisor.stuck("b", agent=True):
            bench.ask()
            bench.ask(after=PATIENCE)
            bench.ask()
            lines = [line for line in said() if "workers" in line]
            assert lines == [
                "all 2 workers for guest agents wait for agents that do not answer: no other agent is asked until one"
                " of these does, or its guest ends: a, b"
            ]
        bench.clock.settle()
        assert {point.host for point in bench.ask()} == {"a", "b", "c"}
        bench.ask()
        assert [line for line in said() if "workers" in line] == [
            "guest agents are asked again: not all workers wait for agents that do not answer"
        ]

    def test_what_a_late_one_tells_goes_out_with_its_own_time(self, make):
        bench = make("web")
        asked = bench.clock.wall() + EVERY
        with bench.hypervisor.stuck("web", agent=True):
            assert bench.ask() == []
            bench.clock.now += 3
        bench.clock.settle()
        points = bench.ask(after=INTERVAL)
        assert {point.time for point in points} == {asked}
        (duration,) = [point for point in points if point.type == "duration"]
        assert duration.values[0] >= 3

    def test_one_that_is_not_there_is_no_news(self, make, said):
        bench = make("web")
        bench.hypervisor.domains["web"].failures["guestInfo"] = AgentSilent("not connected")
        said()
        assert bench.ask() == []
        assert bench.ask(after=INTERVAL) == []
        assert bench.asked == []
        assert said() == []

    def dawdle(self, bench: AgentBench, call: str, slow: bool = True) -> None:
        if call == "guestInfo" and slow:
            bench.clock.now += PATIENCE

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (AgentSilent("for now"), "did not answer in 10 s: for now"),
            (
                DomainBusy("cannot acquire state change lock"),
                "did not answer in 10 s: cannot acquire state change lock",
            ),
            (CallFailed("bad \x1b[31m\nline" + "x" * 999), "makes no sense: bad \\x1b[31m\\nlinex"),
        ],
    )
    def test_one_that_is_silent_or_raves_is_said_once_and_once_when_it_is_over(self, make, said, error: Error, words):
        bench = make("web")
        bench.hypervisor.on_call = lambda call, name, _: self.dawdle(bench, call)
        bench.hypervisor.domains["web"].failures["guestInfo"] = error
        said()
        for _ in range(3):
            bench.agents.read()
            bench.clock.now += EVERY
        (line,) = said()
        assert line.startswith(f"domain web: its guest agent {words}")
        assert len(line) < 300
        assert line.isprintable()
        bench.hypervisor.domains["web"].failures.clear()
        bench.hypervisor.on_call = lambda *_: None
        bench.ask(after=LONGEST_PAUSE)
        bench.ask()
        assert said() == ["domain web: its guest agent answers again"]

    def test_one_that_takes_long_is_said_once_and_what_it_tells_is_reported(self, make, said):
        bench = make("web")
        bench.hypervisor.on_call = lambda call, name, _: self.dawdle(bench, call)
        said()
        for _ in range(3):
            bench.sink.points.clear()
            bench.agents.read()
            bench.clock.now += EVERY
        assert {point.type for point in bench.sink.points} == {"duration", "users"}
        assert said() == ["domain web: its guest agent took 10 s to answer"]

    def test_one_that_flaps_is_not_said_every_time(self, make, said):
        bench = make("web")
        said()
        for raves in (True, False) * 10:
            bench.hypervisor.domains["web"].failures = {"guestInfo": CallFailed("nonsense")} if raves else {}
            bench.ask()
        assert 20 * EVERY < SAID_APART
        assert len(said()) == 2

    def test_one_that_does_not_come_back_is_said_while_it_is_out(self, make, said):
        bench = make("web")
        said()
        with bench.hypervisor.stuck("web", agent=True):
            bench.ask()
            bench.ask(after=INTERVAL)
            bench.ask(after=INTERVAL)
            (line,) = said()
            assert line.startswith("domain web: its guest agent has not answered for 1")
        bench.clock.settle()
        bench.ask(after=INTERVAL)
        assert said() == []
        bench.ask()
        assert said() == ["domain web: its guest agent answers again"]

    def test_one_that_invents_mount_points_is_bounded_and_said_once(self, make, said):
        bench = make("web")
        said()
        seen = set()
        for number in range(MOST_FILE_SYSTEMS + 5):
            bench.hypervisor.domains["web"].guest_info = {**ROOT, "fs.0.mountpoint": f"/m{number}"}
            seen |= {point.type_instance for point in bench.ask() if point.type == "percent_bytes"}
        assert len(seen) == MOST_FILE_SYSTEMS
        (line,) = said()
        assert "more than 32 mount points" in line


class TestTrouble:
    """When something below is not as it should be."""

    def test_a_domain_whose_monitor_is_blocked_is_not_asked(self, make):
        bench = make("web", "db")
        with bench.hypervisor.stuck("web", monitor=True):
            bench.read()
            bench.read()
            bench.ask()
            assert bench.asked == ["db"]

    def test_without_slots_to_spare_no_agent_is_asked_and_that_is_said_once(self, make, said):
        bench = make("web", share=0)
        said()
        assert bench.ask() == bench.ask() == []
        assert bench.asked == []
        assert len(said()) == 1
        bench.agent_pool.share = 1
        assert bench.ask()
        # It is over when it was right for a while.
        bench.ask()
        assert len(said()) == 1

    def test_a_connection_that_is_refused_is_said_once_and_costs_nothing_else(self, make, said):
        bench = make("web")
        bench.hypervisor.read_write = False
        said()
        for _ in range(3):
            assert bench.ask() == []
        bench.read()
        assert bench.types("web") >= CLASS_A | CLASS_B
        assert said() == [
            "guest agents cannot be asked, because libvirt refuses a read-write connection: authentication failed"
        ]
        bench.hypervisor.read_write = True
        assert bench.ask()
        bench.ask()
        assert said() == ["guest agents can be asked again"]

    def test_a_restart_of_libvirtd_is_not_said_here_and_heals(self, make, said):
        bench = make("web")
        bench.ask()
        bench.hypervisor.crash()
        bench.hypervisor.boot()
        bench.read()
        said()
        assert bench.ask()
        assert said() == []

    def test_a_call_that_was_cut_off_stays_charged_for_an_hour_then_the_agent_is_asked_again(self, make):
        bench = make("web", "db")
        with bench.hypervisor.stuck("web", agent=True):
            bench.ask()
            bench.hypervisor.cut()
            bench.clock.settle()
            assert len(bench.budget.charges) == 1
            bench.read()
            bench.read()
            assert bench.types("web") >= CLASS_A | CLASS_B
            assert len(bench.budget.charges) == 1
        bench.ask(after=GIVEN_UP - 3 * INTERVAL)
        assert bench.asked == ["db"]
        bench.ask()
        assert sorted(bench.asked) == ["db", "web"]

    def test_a_call_that_was_cut_off_stays_charged_no_longer_than_that_libvirtd_runs(self, make):
        bench = make("web", "db")
        with bench.hypervisor.stuck("web", agent=True):
            bench.ask()
            bench.hypervisor.cut()
            bench.clock.settle()
        bench.read()
        bench.ask()
        assert bench.asked == ["db"]
        bench.hypervisor.boot()
        bench.hypervisor.cut()
        bench.read()
        bench.ask()
        assert sorted(bench.asked) == ["db", "web"]

    def test_a_domain_that_goes_while_it_is_asked_leaves_nothing(self, make):
        bench = make("web", "db")
        with bench.hypervisor.stuck("web", agent=True):
            bench.ask()
            domain = bench.hypervisor.domains["web"]
            bench.hypervisor.remove("web")
        bench.clock.settle()
        bench.read()
        assert {point.host for point in bench.ask()} == {"db"}
        assert domain.uuid not in bench.agents._guests


def test_a_connection_that_does_not_come_is_blamed_on_no_agent(make, said):
    bench = make("a", "b")
    with bench.hypervisor.crowded():
        for _ in range(3):
            bench.ask()
            assert bench.asked == []
        assert bench.agent_pool.connecting == 1
        assert not any("agent has not answered" in text or "did not answer" in text for text in said())
    bench.clock.settle()
    bench.ask(INTERVAL)
    assert bench.asked == ["a", "b"]


def test_a_silent_agent_goes_behind_those_that_answer_but_has_its_turn(make):
    names = ("a", "b", "c", "d", "silent")
    bench = make(*names, share=1)
    asked: list[str] = []

    def take_time(call: str, name: str, device: str) -> None:
        """Each read has time for two; the second of them takes the rest of it."""
        if call == "guestInfo":
            asked.append(name)
            if len(asked) == 2:
                bench.hypervisor.domains[name].stuck.add("agent")

    bench.agents._know({domain.uuid: domain for domain in bench.inventory.domains()[1]})
    bench.agents._guests[bench.hypervisor.domains["silent"].uuid].answers = False
    bench.hypervisor.on_call = take_time
    reads = []
    for _ in range(8):
        asked.clear()
        bench.ask(EVERY)
        reads.append(list(asked))
        for name in asked:
            bench.hypervisor.domains[name].stuck.discard("agent")
        bench.hypervisor.stage.review()
        bench.clock.settle()
    assert reads[:2] == [["a", "b"], ["c", "d"]]
    assert "silent" in reads[2] + reads[3]
