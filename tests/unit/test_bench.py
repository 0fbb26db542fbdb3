"""The benchmark's arithmetic and its words; what it measures is measured by scripts/bench."""

import pytest

from bench import contestants, figures, report, rounds, soak
from bench.figures import Window
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


def verdict(sizes, words):
    (found,) = [verdict for verdict in figures.verdicts(sizes) if words in verdict.figure]
    return found


def test_everything_is_reached_by_a_tenth_of_the_cost():
    sizes = {50: rows(0.05), 100: rows(), 200: rows(0.2)}
    assert all(verdict.reached for verdict in figures.verdicts(sizes))


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("wall time of a cycle", {"wall": 0.41, "floor": 1, "stuck": 0.1}),
        ("libvirtd's CPU, to", {"wall": 0.61, "floor": 1}),
        ("QEMUs' CPU", {"wall": 0.71, "floor": 1}),
        ("collectd's CPU", {"wall": 0.36, "floor": 1}),
        ("the floor", {"floor": 0.08}),
        ("memory", {"rss": 51 << 10}),
        ("10 % stuck", {"stuck": 0.13}),
        ("all ExtraStats", {"extra": 0.41}),
        ("wall time with disks in bulk", {"bulk": 0.31}),
        ("libvirtd's CPU with disks in bulk", {"bulk": 0.46}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_too_dear_is_missed(words, changed):
    assert verdict({100: rows(**changed)}, words).reached is False


def test_growth_is_what_a_domain_costs_among_many_and_among_few():
    sizes = {50: rows(0.05), 100: rows(), 200: rows(0.23)}
    assert verdict(sizes, "per domain").measured == pytest.approx(1.15)
    assert verdict(sizes, "per domain").reached is False
    assert verdict({100: rows()}, "per domain").reached is None


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
    results = report.Results(["2 processors"], {25: rows(wall=0.5)}, {25: {figures.VIRT2: {"info": 25}}}, "disk vcpu")
    page = report.markdown(results)
    for name in figures.ROWS:
        assert f"| 25 | {name} |" in page
    assert "at 25 domains; the promises are for 100" in page
    assert "| 0.40 | 0.50 | missed |" in page
    assert "500 (500-500)" in page
    assert "not measured" in page


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
