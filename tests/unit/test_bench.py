"""The benchmark's arithmetic and its words; what it measures is measured by scripts/bench."""

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import contestants, figures, paced, points, processes, report, rounds, scale, soak
from bench.figures import Lost, Paced, PacedWindow, Window
from bench.processes import Thread
from bench.scale import Scale
from bench.simulated.subject import OneRead
from bench.soak import Sample
from tests.lab.relay import Call, bursts


def rows(wall=0.1, extra=0.2, c=1.0, floor=0.1, stuck=0.1, bulk=0.1, rss=30 << 10):
    """One size's rows: the C plugin takes a second of everything, virt2 a tenth."""

    def made(seconds, memory=20 << 10):
        return figures.row([Window((seconds,), seconds, seconds, seconds, memory, memory // 2)])

    return {
        figures.C_PLUGIN: made(c),
        figures.VIRT2: made(wall, rss),
        figures.FLOOR: made(floor),
        figures.BULK: made(bulk),
        figures.C_EXTRA: made(c),
        figures.VIRT2_EXTRA: made(extra),
        figures.STUCK: made(stuck),
    }


def paced_rows(own=0.1, libvirtd=0.1, c=1.0):
    """The rows of one pace: the C plugin takes a second of everything, virt2 a tenth."""

    def made(used, asked):
        return figures.paced_row([PacedWindow(asked, 1.0, used, 20 << 10, 6)])

    return {
        figures.C_PLUGIN: made(c, c),
        figures.VIRT2: made(own, libvirtd),
        figures.FLOOR: made(0.05, 0.05),
        figures.ALONE: made(0.01, 0.01),
    }


def verdict(sizes, words, *others):
    (found,) = [verdict for verdict in figures.verdicts(sizes, *others) if words in verdict.figure]
    return found


def test_everything_is_reached_by_a_tenth_of_the_cost():
    sizes = {50: rows(0.05, floor=0.05), 100: rows(), 200: rows(0.2, floor=0.2)}
    paces = {pace: paced_rows() for pace in (figures.MEDIUM, figures.SMALL)}
    assert all(verdict.reached for verdict in figures.verdicts(sizes, paces, {figures.VIRT2: Lost(1, 1, 0, 0)}))


def test_what_was_not_measured_is_neither_reached_nor_missed():
    assert {verdict.reached for verdict in figures.verdicts({})} == {None}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("wall time of a cycle", {"wall": 0.181, "floor": 1, "stuck": 0.1}),
        ("libvirtd's CPU, to", {"wall": 0.241, "floor": 1}),
        ("QEMUs' CPU", {"wall": 0.71, "floor": 1}),
        ("collectd's CPU, to", {"wall": 0.251, "floor": 1}),
        ("wall time, to the floor", {"floor": 0.092}),
        ("memory", {"rss": 41 << 10}),
        ("10 % stuck", {"stuck": 0.13}),
        ("all ExtraStats", {"extra": 0.41}),
        ("wall time with disks in bulk", {"bulk": 0.31}),
        ("libvirtd's CPU with disks in bulk", {"bulk": 0.46}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_too_dear_is_missed(words, changed):
    assert verdict({100: rows(**changed)}, words).reached is False


@pytest.mark.parametrize(
    ("pace", "words", "changed"),
    [
        (figures.MEDIUM, "collectd's CPU with 60 domains every 10 s", {"own": 0.36}),
        (figures.MEDIUM, "libvirtd's CPU with 60 domains every 10 s", {"libvirtd": 0.31}),
        (figures.SMALL, "collectd's CPU with 2 domains every 5 s", {"own": 1.51}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_too_dear_at_an_interval_is_missed(pace, words, changed):
    assert verdict({}, words, {pace: paced_rows()}).reached is True
    assert verdict({}, words, {pace: paced_rows(**changed)}).reached is False


def test_one_point_missing_is_one_too_many():
    assert verdict({}, "points", {}, {figures.VIRT2: Lost(60, 1800, 0, 0)}).reached is True
    assert verdict({}, "points", {}, {figures.VIRT2: Lost(60, 1800, 1, 0)}).reached is False
    assert verdict({}, "points", {}, {figures.VIRT2: Lost(60, 1800, 0, 1)}).reached is False


def test_growth_is_what_a_domain_costs_among_many_and_among_few_beside_what_the_floor_has_of_it():
    sizes = {50: rows(0.05, floor=0.04), 100: rows(), 200: rows(0.23, floor=0.16)}
    assert verdict(sizes, "growth").measured == pytest.approx(1.15)
    assert verdict(sizes, "growth").reached is False
    sizes[200] = rows(0.23, floor=0.184)
    assert verdict(sizes, "growth").measured == pytest.approx(1.0)
    assert verdict({100: rows()}, "growth").reached is None


def test_the_promises_are_held_against_a_hundred_domains_else_against_the_most_there_are():
    assert figures.judged_at({25: rows(), 100: rows(), 200: rows()}) == 100
    assert figures.judged_at({25: rows(), 50: rows()}) == 50


def test_a_row_is_the_median_of_all_cycles_with_their_ends():
    windows = [Window((1.0, 2.0, 9.0), 3.0, 0.0, 0.0, 0, 0), Window((4.0, 5.0), 1.0, 0.0, 0.0, 0, 0)]
    summed = figures.row(windows)
    assert summed.wall == (4.0, 1.0, 9.0)
    assert summed.libvirtd == (2.0, 1.0, 3.0)
    assert summed.cycles == 5


def test_the_page_names_every_row_and_says_what_was_missed():
    results = report.Results(["2 processors"], "disk vcpu", {25: rows(wall=0.5)}, {25: {figures.VIRT2: {"info": 25}}})
    page = report.markdown(results)
    for name in figures.ROWS:
        assert f"| 25 | {name} |" in page
    assert "at 25 domains where nothing else is said; the promises are for 100" in page
    assert "| 0.18 | 0.50 | missed |" in page
    assert "500 (500-500)" in page
    assert "not measured" in page
    assert "Reads at an interval" not in page


def test_the_page_shows_what_was_measured_at_an_interval_and_without_a_libvirtd():
    threads = {"virt2/0/*": figures.ThreadUse(4, 0.0123, 56.0)}
    results = report.Results(
        ["2 processors"],
        "disk vcpu",
        paces={figures.SMALL: Paced(paced_rows(own=0.0255), threads)},
        outage={figures.C_PLUGIN: Lost(60, 1800, 700, 680), figures.VIRT2: Lost(60, 1800, 0, 3)},
    )
    page = report.markdown(results)
    for name in figures.PACED_ROWS:
        assert f"| 2 domains every 5 s | {name} |" in page
    assert "25.5 (25.5-25.5)" in page
    assert "| virt2/0/* | 4 | 12.30 | 56 |" in page
    assert "| C plugin | 60 | 1800 | 700 | 680 |" in page
    assert "libvirtd dead and frozen | 0 | 3 | missed |" in page
    assert "cycle.svg" not in page


def test_calls_are_parted_where_there_was_a_pause():
    calls = [Call(0.0, "a"), Call(0.1, "b"), Call(0.6, "c"), Call(0.7, "d")]
    assert [[call.name for call in burst] for burst in bursts(calls, 0.3)] == [["a", "b"], ["c", "d"]]
    assert bursts([], 0.3) == []


def samples(rss=lambda n: 40.0, threads=lambda n: 20, descriptors=lambda n: 30):
    """A soak of a hundred samples; each figure by the number of the sample."""
    return [Sample(50 * n, rss(n), threads(n), descriptors(n)) for n in range(1, 101)]


def test_what_stays_the_same_or_grows_only_at_first_is_flat():
    assert soak.growth(samples()) == []
    assert soak.growth(samples(rss=lambda n: min(60, 20 + 2 * n), threads=lambda n: min(20, n))) == []
    assert soak.growth(samples(rss=lambda n: 40 + n % 7, threads=lambda n: 20 + n % 5)) == []


@pytest.mark.parametrize(
    ("figure", "grows"),
    [
        ("memory", {"rss": lambda n: 40 + n / 10}),
        ("threads", {"threads": lambda n: 20 + n // 10}),
        ("descriptors", {"descriptors": lambda n: 30 + n // 5}),
    ],
    ids=["memory", "threads", "descriptors"],
)
def test_what_grows_steadily_is_told(figure, grows):
    (told,) = soak.growth(samples(**grows))
    assert told.startswith(figure)


def test_all_extra_stats_are_those_that_both_plugins_have():
    assert contestants.EXTRA.split() == contestants.C_SELECTORS


def made(*cycles):
    """Calls of cycles a second apart."""
    return [Call(float(second), name) for second, cycle in enumerate(cycles) for name in cycle.split()]


def test_a_cycle_that_came_twice_is_what_every_one_is_like():
    assert rounds.steady(made("open info", "info", "info", "info")) == {"info": 1}
    assert rounds.steady(made("open", "info", "XMLDesc info", "info", "info disk")) == {"info": 1}


def test_how_often_the_admin_socket_was_asked_makes_no_difference():
    assert rounds.steady(made("open", "info admin", "info admin admin", "info")) == {"info": 1, "admin": 1}


def test_no_cycle_is_steady_that_looks_up_or_describes_or_came_once_or_first_or_may_not_be_over():
    assert rounds.steady(made("a", "lookupByUUID", "lookupByUUID", "XMLDesc", "XMLDesc", "info")) is None
    assert rounds.steady(made("info", "info", "disk", "info")) is None
    assert rounds.steady([]) is None


INTERVAL = 2.0


def regular(count, late=lambda number: 0.0):
    """When points are written that are due every interval, each late by so much."""
    return [INTERVAL * number + late(number) for number in range(count)]


def lacking(times, end=20.0):
    return points.missing(times, 0.0, end, INTERVAL)


def test_a_series_with_a_point_every_interval_lacks_none():
    assert lacking(regular(11)) == 0
    assert lacking([time + 1.3 for time in regular(10)]) == 0


def test_each_point_that_is_left_out_is_missing_wherever_it_is():
    times = regular(11)
    assert lacking(times[:4] + times[5:]) == 1
    assert lacking(times[:3] + times[7:]) == 4
    assert lacking(times[3:]) == 2
    assert lacking(times[:-3]) == 2
    assert lacking([]) == 9


def test_what_comes_late_by_half_an_interval_is_there_and_what_comes_later_is_not():
    assert lacking(regular(11, late=lambda number: 1.0 * (number == 5))) == 0
    assert lacking(regular(11, late=lambda number: 1.2 * (number == 5))) == 1


def test_points_that_come_more_often_make_up_for_nothing():
    times = regular(11)
    assert lacking(times[:3] + times[7:] + [16.1, 16.2, 16.3, 16.4]) == 4


def test_a_series_that_is_too_slow_all_the_time_lacks_points_without_a_gap():
    slow = [1.5 * INTERVAL * number for number in range(7)]
    assert lacking(slow) == 3


@given(st.sets(st.integers(1, 19)), st.lists(st.floats(0, 0.45), min_size=21, max_size=21))
def test_as_many_are_missing_as_were_left_out(left_out, late):
    times = [INTERVAL * (number + late[number]) for number in range(21) if number not in left_out]
    missing = points.missing(times, 0.0, 20 * INTERVAL, INTERVAL)
    # Where one gap begins late and another one ends late, their lengths may be off by one.
    gaps = sum(1 for number in left_out if number + 1 not in left_out)
    assert abs(missing - len(left_out)) <= gaps


def test_cpu_is_counted_of_a_thread_that_has_ended():
    def work():
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass

    before = processes.cpu([os.getpid()])
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert processes.used(before, processes.cpu([os.getpid()])) > 0.049


def test_a_process_that_is_not_there_has_used_nothing():
    assert processes.cpu([2**22 + 1]) == {}


def test_threads_are_told_by_name_and_their_sleeps_are_counted():
    def rest():
        for _ in range(20):
            time.sleep(0.001)
        done.set()
        leave.wait(10)

    done, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=rest)
    thread.start()
    try:
        assert done.wait(10)
        found = processes.by_thread(os.getpid())[thread.native_id]
    finally:
        leave.set()
        thread.join()
    assert found.inner == thread.native_id
    assert found.sleeps >= 20
    assert found.cpu > 0


def test_what_threads_use_is_summed_up_by_kind_and_per_interval():
    before = {1: Thread("collectd", 11, 10, 1), 2: Thread("reader#0", 12, 0, 0)}
    after = {
        1: Thread("collectd", 11, 4_000_010, 5),
        2: Thread("reader#0", 12, 6_000_000, 2),
        3: Thread("reader#0", 13, 20_000_000, 8),
    }
    found = paced.by_kind(before, after, {"11": "virt2/events", "13": "virt2/0/12"}, 2)
    assert found == {"virt2/0/*": (1, 0.01, 4), "reader#*": (1, 0.003, 1), "virt2/events": (1, 0.002, 2)}
    assert list(found) == ["virt2/0/*", "reader#*", "virt2/events"]


def test_an_interval_in_which_libvirtd_did_nothing_had_no_read():
    assert paced.missed([0.1, 0.12, 0.09]) == 0
    assert paced.missed([0.1, 0.001, 0.09]) == 1


def test_who_is_left_out_of_reads_in_a_row_waits_for_all_of_them():
    assert scale.longest_wait([(), (), ()]) == 1
    assert scale.longest_wait([(1, 2), (2, 3), (3, 4)]) == 3
    assert scale.longest_wait([(1,), (), (1,), ()]) == 2
    assert scale.longest_wait([(7,), (7,), (7,)]) == 4


def reads_of(domains, *left_out):
    return [OneRead(1.0, 0.1, domains, tuple(numbers), 16 * domains) for numbers in left_out]


def test_a_wait_is_fair_where_the_others_had_their_turn_meanwhile():
    # Four of ten have their turn in each read.
    fair = scale.Limited(1.5, reads_of(10, range(4, 10), [0, 1, 2, 3, 8, 9], [2, 3, 4, 5, 6, 7]))
    assert (fair.left_out, fair.longest_wait, fair.fair_wait) == (6, 3, 3)
    unfair = scale.Limited(1.5, reads_of(10, range(4, 10), range(4, 10), range(4, 10)))
    assert (unfair.longest_wait, unfair.fair_wait) == (4, 3)


def scales(many=5.0, bare=5.0, at_interval=((),), short=((0,), (1,))):
    """What a run found: with 200 domains a read takes a second."""

    def made(domains, wall, loop, paced):
        cpu, rss = figures.spread([0.1]), 100.0 * domains
        return Scale(
            bare=figures.spread([loop]),
            virt2=figures.spread([wall]),
            cpu=cpu,
            bare_rss=rss / 2,
            rss=rss,
            at_interval=scale.Limited(1.5, reads_of(domains, *paced)),
            short=scale.Limited(0.3, reads_of(domains, *short)),
        )

    return {200: made(200, 1.0, 1.0, ((),)), 1000: made(1000, many, bare, at_interval)}


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("growth", {"many": 5.6}),
        ("left out", {"at_interval": ((), (3,))}),
        ("until every domain", {"short": ((0,), (0,), (0,))}),
        ("until every domain", {"at_interval": ((0,), (0,), (0,))}),
    ],
)
def test_a_thousand_domains_are_held_against_what_is_promised(words, changed):
    def found(sizes):
        return [verdict.reached for verdict in scale.verdicts(sizes) if words in verdict.figure]

    assert found(scales()) == [True]
    assert found(scales(**changed)) == [False]


def test_the_bare_loops_growth_is_not_virt2s_fault():
    growth = scale.verdicts(scales(many=6.0, bare=6.0))[0]
    assert growth.measured == pytest.approx(1.0)


def test_the_page_on_a_thousand_domains_tells_times_memory_and_who_was_left_out():
    sizes = scales(at_interval=((), (3, 4)))
    page = scale.markdown(sizes, "100 emulated guests", ["2 processors"])
    assert "* calls take what was recorded: 100 emulated guests" in page
    assert "| 1000 | virt2 | 5000 (5000-5000) | 5.000 | 100 (100-100) | 97.7 |" in page
    assert "| 1000 | every 10 s | 1.50 | 1.00 | 2 | 1 | 2 | 2 |" in page
    assert "takes 100.0 KiB in virt2's process, and 50.0 KiB in that of the bare loop" in page
