"""``virt2 top``: its rates, its lines, and what it prints once. tests/integration/test_top.py has a real terminal."""

from __future__ import annotations

import argparse

import pytest

from tests.unit.cli.fake_status import a_host, many, serving
from tests.unit.status.snapshots import domain, sample, server, snapshot, well
from virt2.cli import commands, process, screen
from virt2.cli.columns import cells
from virt2.cli.rates import UNKNOWN, Figures, Rates
from virt2.cli.screen import HELP, MARK, ORDERS, STUCK, View, lines, size
from virt2.cli.top import Live, _interval
from virt2.cli.word import PLUGIN, Word
from virt2.domains.link import Link
from virt2.metrics import defaults
from virt2.model.replies import DiskStats, NicStats
from virt2.status import building

UUID = "u-web"


def told(time, *values, uuid=UUID, interval=10.0):
    """An answer with the values of one domain: type, instance, time, values."""
    rows = [{"type": kind, "instance": one, "time": when, "values": list(them)} for kind, one, when, *them in values]
    return {"time": time, "interval": interval, "domains": [{"uuid": uuid, "values": rows}]}


def rates(*answers):
    made = Rates()
    for answer in answers:
        made.take(answer)
    return made.of(UUID)


def test_a_rate_is_made_of_two_values():
    made = rates(
        told(100, ("virt_cpu_total", "", 99, 1e9), ("disk_octets", "vda", 99, 0, 0), ("if_octets", "v", 99, 5, 5)),
        told(
            110, ("virt_cpu_total", "", 109, 6e9), ("disk_octets", "vda", 109, 50, 100), ("if_octets", "v", 109, 5, 25)
        ),
    )
    assert made == Figures(50.0, None, 5.0, 10.0, 0.0, 2.0)


def test_disks_add_up_and_one_direction_alone_is_told():
    made = rates(
        *(
            told(
                when,
                ("disk_octets", "vda", when, when, 0),
                ("disk_octets", "vdb", when, 2 * when, 0),
                ("if_rx_octets", "vnet0", when, 3 * when),
                ("memory", "total", when, 1024),
                ("memory", "rss", when, 9),
            )
            for when in (1, 2)
        )
    )
    assert made == Figures(None, 1024, 3.0, 0.0, 3.0, None)


def test_the_same_value_again_keeps_the_rate():
    values = [told(when, ("virt_cpu_total", "", taken, taken * 1e9)) for when, taken in ((1, 1), (3, 2), (5, 2))]
    assert rates(*values).cpu == 100.0


@pytest.mark.parametrize(
    "second",
    [
        told(20, ("virt_cpu_total", "", 19, 1e9)),
        told(20, ("virt_cpu_total", "", 5, 9e9)),
        told(20, ("virt_cpu_total", "", 19)),
        told(20, ("virt_cpu_total", "", 19, 1e9, 1e9)),
        told(20),
        told(20, ("virt_cpu_total", "", 19, 9e9), uuid="another"),
    ],
    ids=["backwards", "earlier", "empty", "longer", "gone", "another"],
)
def test_what_does_not_go_on_gives_no_rate(second):
    assert rates(told(10, ("virt_cpu_total", "", 9, 5e9)), second) in (UNKNOWN, Figures())


def test_what_is_old_is_not_shown():
    old = told(50, ("virt_cpu_total", "", 11, 6e9), ("memory", "total", 11, 1))
    assert rates(told(10, ("virt_cpu_total", "", 1, 1e9)), old) == UNKNOWN


def test_the_first_answer_has_memory_and_no_rates():
    made = Rates()
    made.take(building.top(a_host()))
    assert made.of(building.top(a_host())["domains"][1]["uuid"]).memory == 2048 * 1024


def view(known=None, figures=None, **more):
    answer = building.top(a_host() if known is None else known)
    by_uuid = {row["uuid"]: UNKNOWN for row in answer["domains"]}
    for row in answer["domains"]:
        by_uuid[row["uuid"]] = (figures or {}).get(row["name"], UNKNOWN)
    return View(answer, by_uuid.__getitem__, "About", "12:00:00", **more)


def names(made):
    shown = [line.text[3:].split()[0] for line in made if line.text]
    return shown[3 : shown.index("STORAGE")]


def test_stuck_domains_and_suspected_storage_are_first_and_marked():
    made = lines(view(), 80, 24)
    assert made[3].text.startswith(f"{MARK}  db-1 ")
    assert (made[3].style, made[4].style) == (STUCK, screen.PLAIN)
    two = a_host()
    bad = next(one for one in two.domains if one.name.startswith("\x1b"))
    two = two._replace(facts={**two.facts, bad.uuid: well(bad, blocked_since=1.0, cause="lock held")})
    made = lines(view(two), 80, 24)
    assert made[3].text.startswith(f"{MARK}  \\x1b[31m")
    (suspected,) = [line for line in made if line.text.startswith(f"{MARK}  sd-2")]
    assert suspected.style == STUCK


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("name", ["a", "b", "c"]),
        ("cpu", ["b", "a", "c"]),
        ("memory", ["a", "b", "c"]),
        ("disk", ["c", "a", "b"]),
        ("net", ["b", "c", "a"]),
    ],
)
def test_the_others_are_sorted_and_what_is_not_known_is_last(order, wanted):
    figures = {
        "a": Figures(1.0, 9.0, None, 1.0, None, None),
        "b": Figures(5.0, 5.0, None, None, 9.0, 9.0),
        "c": Figures(None, None, 5.0, 5.0, None, 1.0),
    }
    known = snapshot(domain("b"), domain("a"), domain("c"))
    assert names(lines(view(known, figures, order=order), 80, 24)) == wanted
    assert order in ORDERS


def test_an_order_can_be_reversed():
    figures = {"a": Figures(1.0), "b": Figures(5.0), "c": UNKNOWN}
    known = snapshot(domain("b"), domain("a"), domain("c"))
    assert names(lines(view(known, figures, is_reversed=True), 80, 24)) == ["a", "b", "c"]
    assert names(lines(view(known, figures, order="name", is_reversed=True), 80, 24)) == ["c", "b", "a"]


@pytest.mark.parametrize("width", [1, 20, 40, 79, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 11, 12, 24, 100])
def test_the_screen_has_as_many_lines_as_the_terminal(width, height):
    made = lines(view(many(30)), width, height)
    assert len(made) == height
    assert made[-1].text == HELP
    if width >= 79:
        assert max(cells(line.text) for line in made) <= width
    assert all(line.text.isprintable() for line in made)


def test_the_keys_fit_the_narrowest_terminal():
    assert len(HELP) <= 79


def test_scrolling_ends_at_the_last_domain():
    made = lines(view(many(30), first=1000, order="name"), 80, 24)
    assert names(made)[-1] == "web-9"


def test_there_is_room_for_as_many_domains_as_are_shown():
    for height in (3, 8, 12, 24):
        seen = view(many(60))
        shown = [line for line in lines(seen, 80, height) if line.text.startswith("   web-")]
        assert screen.room_for(seen, 80, height) == len(shown)


def test_without_a_height_everything_is_there():
    made = lines(view(many(300)), None, None)
    assert sum(line.text.startswith("   web-") for line in made) == 300
    assert HELP not in [line.text for line in made]


def test_what_is_wrong_with_libvirt_is_in_the_second_line():
    away = a_host()._replace(server=server(link=Link(False, 900.0, "refused \x1b[2J")))
    made = lines(view(away), 80, 24)
    assert made[1].text == "libvirt cannot be reached, since 100 s: refused \\x1b[2J"
    assert lines(view(note="Gone."), 80, 24)[1].text == "Gone."


@pytest.mark.parametrize(
    ("number", "told"),
    [(None, "-"), (0, "0B"), (999, "999B"), (1000, "1.0K"), (10240, "10K"), (2**31, "2.0G"), (1e29, "86736173799E")],
)
def test_a_size_is_short(number, told):
    assert size(number) == told


@pytest.mark.parametrize("text", ["0.1", "0", "-1", "nan", "inf", "1e9", "x"])
def test_an_interval_out_of_bounds_is_bad_usage(text):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        _interval(text)


class Source:
    """Gives answers that a test has made, or fails."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def ask(self, question, patience=2.0):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Word(building.top(answer), PLUGIN, "About")


def test_the_last_answer_stays_where_there_is_no_newer_one():
    live = Live(Source(a_host(), commands.CannotDo("It hangs."), a_host()), 2.0)
    live.ask()
    assert (live.view("cpu").note, len(live.view("cpu").answer["domains"])) == ("It hangs.", 3)
    live.ask()
    assert live.view("cpu").note == ""
    assert live.turns == 3


def test_a_failure_that_nobody_foresaw_is_told_and_the_screen_goes_on():
    live = Live(Source(a_host(), KeyError("odd"), a_host()), 2.0)
    live.ask()
    assert "an unexpected failure" in live.view("cpu").note
    assert "KeyError: 'odd'" in live.view("cpu").note
    live.ask()
    assert live.view("cpu").note == ""


def test_what_is_wrong_has_as_many_lines_as_it_needs():
    words = " ".join(f"word{number}" for number in range(200))
    for width, height in ((80, 24), (80, 10), (20, 24), (5, 5)):
        seen = view(many(60), note=f"It hangs. {words}")
        made = lines(seen, width, height)
        assert len(made) == height
        told = [line.text for line in made[1:4] if line.style == STUCK]
        assert len(told) == (3 if height >= screen.LEAST_FOR_MORE else 1)
        shown = [line for line in made if line.text.startswith("   web-")]
        assert len(shown) == screen.room_for(seen, width, height)
    short = lines(view(note="It hangs."), 80, 24)
    assert [line.text for line in short[1:3]] == ["It hangs.", short[2].text]
    assert short[2].style == screen.TITLE


def later(known):
    """The same host 10 s later."""
    facts = {}
    for one in known.domains:
        samples = [
            sample(one, defaults.CPU_TIME, "", 10_000_000_000, 1006.0),
            sample(one, defaults.DISK, "vda", DiskStats(1, 512 + 10240, 2, 1024, 0), 1006.0),
            sample(one, defaults.NIC, "vnet0", NicStats(10, 1, 0, 0, 20, 2, 0, 0), 1006.0),
        ]
        facts[one.uuid] = known.facts[one.uuid]._replace(last={(one.call, one.device): one for one in samples})
    return known._replace(moment=known.moment._replace(monotonic=1010.0, wall=known.moment.wall + 10), facts=facts)


def test_once_prints_the_rates_between_two_answers(tmp_path, capsys):
    with serving(str(tmp_path / "s"), many(2)) as status:
        first = status.snapshot

        def answer(sock, line):
            status.answer(sock, line)
            status.snapshot = later(first)

        status.behave = answer
        assert process.run(["top", "--once", "--interval", "0.5", "--socket", status.path]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[3].split()[:7] == ["web-0", "50.0", "-", "1.0K", "0B", "0B", "0B"]


def test_once_tells_of_what_is_stuck_by_its_status(tmp_path, capsys):
    with serving(str(tmp_path / "s")) as status:
        assert process.run(["top", "--once", "--interval", "0.5", "--socket", status.path]) == 1
    assert capsys.readouterr().out.splitlines()[3].startswith("!  db-1")


def test_without_a_terminal_it_is_a_sentence(tmp_path, capsys):
    assert process.run(["top", "--socket", str(tmp_path / "s")]) == 2
    assert capsys.readouterr().err == (
        "virt2: There is no terminal to show the domains on. With --once they are printed.\n"
    )
