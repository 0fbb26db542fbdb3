"""What is said once: within bounds, spaced, and one line for what many domains have in the same way."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virt2 import once
from virt2.once import APART, GATHERED, HELD, STILL, Conditions, Gatherer, Once

BOUND = 10.0


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


class TestOnce:
    def test_a_thing_is_said_the_first_time_only(self, time):
        memory = Once(clock=time)
        assert [memory.first("u1", "no"), memory.first("u1", "no"), memory.first("u2", "no")] == [True, False, True]
        time.now += 1e7
        assert not memory.first("u1", "no")

    def test_or_again_after_a_while(self, time):
        memory = Once(again=60.0, clock=time)
        assert memory.first("u1")
        time.now += 59.0
        assert not memory.first("u1")
        time.now += 1.0
        assert memory.first("u1")

    def test_what_is_forgotten_is_said_again(self, time):
        memory = Once(clock=time)
        for uuid in ("u1", "u2"):
            memory.first(uuid, "no")
        memory.forget("u1")
        assert memory.first("u1", "no")
        assert not memory.first("u2", "no")

    def test_it_does_not_grow_and_what_is_still_asked_for_stays(self, time):
        memory = Once(most=100, clock=time)
        for number in range(10000):
            memory.first(number)
            assert not number or not memory.first("that stays") or number == 1
        assert len(memory) == 100

    def test_what_may_be_said_again_need_not_be_remembered(self, time):
        memory, always = Once(again=60.0, clock=time), Once(clock=time)
        for number in range(3):
            memory.first(number)
            always.first(number)
            time.now += 30.0
        for each in (memory, always):
            each.review()
        assert (len(memory), len(always)) == (1, 3)
        assert not memory.first(2)

    def test_where_each_thing_is_another_one_it_falls_silent(self, time):
        memory = Once(most=20, again=60.0, clock=time, silent_when_full=True)
        assert sum(memory.first(number) for number in range(1000)) == 20
        time.now += 60.0
        assert not memory.first("a new one")
        assert memory.first(0), "it was said before, and long ago"
        assert len(memory) == 20

    def test_without_a_time_no_clock_is_asked(self):
        def stopped() -> float:
            raise AssertionError

        assert Once(clock=stopped).first("u1")

    def test_of_many_threads_one_says_it(self, time):
        memory, start, told = Once(clock=time), threading.Barrier(8), []

        def ask() -> None:
            start.wait(BOUND)
            told.extend(number for number in range(200) if memory.first(number))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND)
        assert sorted(told) == list(range(200))


class TestConditions:
    """What is wrong: said when it begins, and when it has been over for a while."""

    @pytest.fixture
    def conditions(self, time) -> Conditions:
        return Conditions(clock=time)

    def test_each_thing_is_said_once_when_it_begins_and_once_when_it_ends(self, conditions, time, said, caplog):
        for wrong in (False, True, True, True, False, False, False, False):
            conditions.update(wrong, "it hangs", "it is back")
            time.now += 10.0
        assert said() == ["it hangs", "it is back"]
        assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.INFO]

    def test_it_is_the_same_thing_when_the_words_for_its_beginning_change(self, conditions, time, said):
        for seconds in (1, 2, 3):
            conditions.update(True, f"it hangs for {seconds} s", "it is back")
            time.now += 1000.0
        assert said() == ["it hangs for 1 s"]

    def test_the_end_is_said_when_it_has_held(self, conditions, time, said):
        conditions.update(True, "it hangs", "it is back")
        time.now += 1.0
        conditions.update(False, "", "it is back")
        time.now += HELD - 0.1
        conditions.update(False, "", "it is back")
        assert said() == ["it hangs"]
        time.now += 0.1
        conditions.update(False, "", "it is back")
        assert said() == ["it hangs", "it is back"]

    def test_also_where_only_others_are_spoken_of_by_then(self, conditions, time, said):
        conditions.update(True, "it hangs", "it is back")
        conditions.update(False, "", "it is back")
        time.now += HELD
        conditions.update(False, "the other hangs", "the other is back")
        assert said() == ["it hangs", "it is back"]

    def test_two_things_are_told_apart(self, conditions, time, said):
        conditions.update(True, "a hangs", "a is back")
        conditions.update(True, "b hangs", "b is back")
        conditions.update(False, "a hangs", "a is back")
        time.now += HELD
        conditions.update(True, "b hangs", "b is back")
        assert said() == ["a hangs", "b hangs", "a is back"]

    def test_what_flaps_in_every_read_is_one_line_in_ten_minutes_with_how_often(self, conditions, time, said):
        for read in range(360):
            conditions.update(read % 2 == 0, "it hangs", "it is back")
            time.now += 10.0
        assert said() == ["it hangs", *["it hangs (this began 30 times in 600 s)"] * 5]

    def test_and_its_end_tells_how_often_since(self, conditions, time, said):
        for read in range(7):
            conditions.update(read % 2 == 0, "it hangs", "it is back")
            time.now += 10.0
        for _ in range(3):
            conditions.update(False, "it hangs", "it is back")
            time.now += 10.0
        assert said() == ["it hangs", "it is back (this began 3 more times)"]

    def test_what_begins_again_soon_and_stays_is_said_a_minute_after_it_was_said_last(self, conditions, time, said):
        conditions.update(True, "it hangs", "it is back")
        for _ in range(3):
            time.now += 10.0
            conditions.update(False, "it hangs", "it is back")
        assert said() == ["it hangs", "it is back"]
        for _ in range(3):
            time.now += 10.0
            conditions.update(True, "it hangs", "it is back")
        assert said() == ["it hangs", "it is back", "it hangs"]
        assert time.now == 1000.0 + APART

    def test_what_is_over_for_long_is_forgotten(self, conditions, time):
        for number in range(50):
            conditions.update(True, "", f"{number} is back")
            conditions.update(False, "", f"{number} is back")
        for _ in range(2):
            time.now += APART
            conditions.update(False, "", "another")
        assert repr(conditions) == "<Conditions []>"

    def test_it_does_not_grow(self, conditions, monkeypatch):
        monkeypatch.setattr(once, "MOST", 10)
        for number in range(50):
            conditions.update(True, "", f"{number:02} is back")
        assert repr(conditions) == f"<Conditions {[f'{number:02} is back' for number in range(40, 50)]}>"

    @given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 7.0, 40.0, 400.0])), max_size=60))
    @settings(max_examples=60)
    def test_whatever_happens_it_is_no_flood_and_the_last_word_is_right(self, steps):
        lines: list[tuple[float, str]] = []
        time = Time()

        class Taker(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append((time.now, record.getMessage()))

        taker, logger = Taker(), logging.getLogger("virt2.once")
        logger.addHandler(taker)
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            conditions = Conditions(clock=time)
            for wrong, seconds in steps:
                conditions.update(wrong, "begin", "end")
                time.now += seconds
            wrong = bool(steps) and steps[-1][0]
            time.now += STILL
            conditions.update(wrong, "begin", "end")
        finally:
            logger.removeHandler(taker)
            logger.setLevel(level)
        begun = [when for when, text in lines if text.startswith("begin")]
        assert all(later - earlier >= APART for earlier, later in zip(begun, begun[1:]))
        if lines:
            assert lines[-1][1].startswith("begin" if wrong else "end")
        else:
            assert not wrong


class TestGatherer:
    """Many domains with the same trouble."""

    @pytest.fixture
    def gatherer(self, time) -> Gatherer:
        return Gatherer(clock=time)

    def test_of_one_domain_it_is_said_after_a_moment_and_once(self, gatherer, time, said):
        for _ in range(3):
            gatherer.add("u1", "web", "no")
            gatherer.say()
        assert said() == []
        for _ in range(3):
            time.now += GATHERED
            gatherer.add("u1", "web", "no")
            gatherer.say()
        assert said() == ["domain web: no"]

    def test_a_hundred_domains_are_one_line(self, gatherer, time, said):
        for number in range(100):
            gatherer.add(f"u{number}", f"vm-{number}", "no")
        time.now += GATHERED
        gatherer.say()
        assert said() == ["100 domains (vm-0, vm-1, vm-2, vm-3, vm-4 and 95 others): no"]

    @pytest.mark.parametrize(
        ("count", "names"),
        [(2, "vm-0, vm-1"), (5, "vm-0, vm-1, vm-2, vm-3, vm-4"), (6, "vm-0, vm-1, vm-2, vm-3, vm-4 and 1 other")],
    )
    def test_a_few_are_named(self, gatherer, said, count, names):
        for number in range(count):
            gatherer.add(f"u{number}", f"vm-{number}", "no")
        gatherer.say(everything=True)
        assert said() == [f"{count} domains ({names}): no"]

    def test_new_ones_are_at_most_a_line_a_minute(self, gatherer, time, said):
        for number in range(600):
            gatherer.add(f"u{number}", f"vm-{number}", "no")
            gatherer.say()
            time.now += 1.0
        time.now += APART
        gatherer.say()
        assert len(said()) == 11
        assert sum(int(line.split()[0]) for line in said()) == 600

    def test_texts_that_differ_in_names_and_numbers_are_alike(self, gatherer, said):
        for number in range(3):
            gatherer.add(f"u{number}", f"vm-{number}", f"interfaceStats of vnet{number}: no 'vm-{number}' (u{number})")
        gatherer.say(everything=True)
        assert said() == [
            "3 domains (vm-0, vm-1, vm-2) have a trouble like that of vm-0: interfaceStats of vnet0: no 'vm-0' (u0)"
        ]

    def test_other_troubles_are_lines_of_their_own(self, gatherer, said):
        gatherer.add("u1", "web", "no")
        gatherer.add("u1", "web", "never")
        gatherer.say(everything=True)
        assert said() == ["domain web: no", "domain web: never"]

    def test_what_is_forgotten_is_said_again(self, gatherer, time, said):
        for _ in range(2):
            gatherer.add("u1", "web", "no")
            gatherer.say(everything=True)
            gatherer.forget("u1")
        assert said() == ["domain web: no"] * 2

    def test_it_does_not_grow(self, gatherer, time, said, monkeypatch):
        monkeypatch.setattr(once, "MOST_GROUPS", 10)
        for number in range(100):
            gatherer.add(f"u{number}", "web", f"trouble {chr(200 + number)}")
        assert len(gatherer._groups) == 10
        assert len(said()) == 90
        time.now += GATHERED
        gatherer.say()
        assert len(said()) == 100
        time.now += APART
        gatherer.say()
        assert len(gatherer._groups) == 0

    def test_no_lock_is_held_while_a_line_is_logged(self, gatherer):
        entered, proceed = threading.Event(), threading.Event()

        class Stuck(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                entered.set()
                assert proceed.wait(BOUND)
                return True

        stuck, logger = Stuck(), logging.getLogger("virt2.once")
        logger.addHandler(stuck)
        try:
            gatherer.add("u1", "web", "no")
            thread = threading.Thread(target=gatherer.say, args=(True,), daemon=True)
            thread.start()
            assert entered.wait(BOUND)
            gatherer.add("u2", "db", "no")
            logger.removeHandler(stuck)
            gatherer.say(everything=True)
            assert repr(gatherer) == "<Gatherer waiting=0>"
        finally:
            logger.removeHandler(stuck)
            proceed.set()
            thread.join(BOUND)
