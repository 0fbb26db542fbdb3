"""What the documentation lists is what there is, and it says so in plain English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.fake_collectd import TYPES
from tests.unit.test_imports import FREE, WINGS
from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS
from virt2.metrics.selectors import LIBVIRT_NAMES, SELECTORS
from virt2.status import server, wire
from virt2.status.desk import FRESH
from virt2.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEVELOPMENT = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
OPTION_PAGE = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
FOLDERS_OF_PAGES = (ROOT, ROOT / "docs", ROOT / "bench", *sorted(ROOT.glob("packaging/**/")))
PAGES = [page for folder in FOLDERS_OF_PAGES for page in sorted(folder.glob("*.md"))]


def sections(text):
    """What stands below each second-level heading, down to the next one."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def rows(text, heading):
    """The cells of the first table below a heading, without its titles."""
    table = re.search(r"(?:^|\n)((?:\|.*\n)+)", sections(text)[heading]).group(1)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def anchor(heading):
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def row_of(option):
    key = f"`{option.key}`" if option in OPTIONS else f"`{option.key}` (in `<Instance>`)"
    return [key, f"`{option.default_text}`" if option.default_text else "(empty)", option.meaning]


def test_the_option_tables_are_what_the_settings_say_and_each_option_is_in_one_group():
    listed = [row for task in sections(OPTION_PAGE) for row in rows(OPTION_PAGE, task)]
    assert sorted(listed) == sorted(row_of(option) for option in (*OPTIONS, *INSTANCE_OPTIONS))


def test_the_readme_groups_the_options_as_the_option_page_does():
    page = [
        [
            f"[{task}](docs/options.md#{anchor(task)})",
            ", ".join(row[0].split(" ")[0] for row in rows(OPTION_PAGE, task)),
        ]
        for task in sections(OPTION_PAGE)
    ]
    assert rows(README, "Options") == page


def test_every_type_in_the_metric_tables_is_one_of_collectds():
    types = {row[0].strip("`") for row in rows(METRICS, "Always")}
    types |= {name for row in rows(METRICS, "What they report") for name in re.findall(r"`(\w+)`", row[1])}
    assert types <= set(TYPES)
    assert types >= {"virt_cpu_total", "memory", "disk_octets", "if_octets", "disk_capacity", "disk_error", "duration"}


@pytest.mark.parametrize(
    ("page", "heading"), [(README, "What you see"), (METRICS, "Of virt2 itself")], ids=["README", "metrics"]
)
def test_every_series_that_is_listed_has_a_type_of_collectds(page, heading):
    series = [name for row in rows(page, heading) for name in re.findall(r"`(\w+)(?:-\w+)?`", row[0])]
    assert series
    assert set(series) <= set(TYPES)


def test_every_module_is_on_the_map():
    named = set(re.findall(r"`(virt2/[\w/]+\.py)`", DEVELOPMENT))
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "virt2").rglob("*.py") if path.name != "__init__.py"}
    assert named == modules - {"virt2/version.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_within_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, place = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if place:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert place in map(anchor, headings), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_path_of_the_project_that_is_named_exists(page):
    text = re.sub(r"\]\([^)]+\)", "]", page.read_text(encoding="utf-8"))  # a link is relative to its page
    for path in re.findall(
        r"(?<![\w./-])(?:scripts|docs|tests|bench|collectd\.conf\.d|contrib|packaging|virt2)/[\w./-]*\w", text
    ):
        is_a_thread = path.startswith("virt2/") and "." not in path
        assert is_a_thread or (ROOT / path).exists(), path


def test_both_commands_stand_on_the_first_screen():
    screen = "\n".join(README.splitlines()[:24])
    assert "scripts/run" in screen
    assert "scripts/test" in screen


STATUS = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")


def test_the_questions_that_are_listed_are_those_that_are_answered():
    asked = [wire.parse(row[0].strip("`").encode()).ask for row in rows(STATUS, "How to ask")]
    assert asked == list(wire.QUESTIONS)


def test_the_bounds_of_the_status_socket_are_those_that_are_kept():
    bounds = re.sub(r"\s+", " ", sections(STATUS)["Bounds"])
    assert f"at most {wire.LONGEST_QUESTION:,} bytes" in bounds
    assert f"A client has {server.LIMIT:g} s for everything" in bounds
    assert f"At most {server.MOST_CLIENTS} clients are served at a time" in bounds
    assert f"goes after {server.GRACE:g} s" in bounds
    assert f"The same question within {FRESH:g} s gets the same answer" in bounds


def test_the_selector_table_is_what_extra_stats_accept():
    expected = [[f"`{name}`", kind, f"`{call}`", meaning] for name, kind, call, meaning in SELECTORS]
    assert rows(METRICS, "Selectors") == expected


def test_every_selector_has_its_metrics_listed_under_types_of_collectds():
    listed = rows(METRICS, "What they report")
    assert list(dict.fromkeys(row[0].strip("`") for row in listed)) == list(LIBVIRT_NAMES)
    assert {name for row in listed for name in re.findall(r"`(\w+)`", row[1])} <= set(TYPES)


def test_what_is_always_reported_is_listed_under_types_of_collectds():
    assert {row[0].strip("`") for row in rows(METRICS, "Always")} <= set(TYPES)


WORDS = """
    budget, charge, class A, class B, class C, deadline, dispatch, domain, group, monitor, quarantine, reader, sample,
    slot, storage domain, stuck, tag, worker
""".strip()


def test_the_glossary_explains_each_word_in_a_few_sentences_in_alphabetical_order():
    entries = sections((ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
    assert list(entries) == re.split(r",\s+", WORDS)
    for word, entry in entries.items():
        assert 2 <= len(re.findall(r"\.(?=\s|$)", entry)) <= 4, word


WITHOUT = ("CHANGELOG.md", "glossary.md", "results.md", "scale.md")
"""A list of changes, the glossary itself, and pages that a run writes."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in WITHOUT], ids=lambda page: page.name)
def test_every_page_leads_to_the_glossary(page):
    assert "glossary.md" in page.read_text(encoding="utf-8")


ARCHAIC = {
    "except": r"\bbut for\b",
    "there is, one can have": r"\b(?:to|can|could|cannot|can't|(?:can|could) not) be had\b|\b(?:is|are) had\b",
    "which": r"\bof which there\b",
    "changed so that": r"\bmade fit\b",
    "a number": r"\bso many\b",
    "and not": r"\bnor (?:is|are|was|were|do|does|did|has|have|had|can)\b",
    "because": (
        r"[,;(] ?for (?:it|they|we|there|nobody|nothing|somebody|only it)"
        r" (?:\w+s|are|have|had|can|cannot|may|would|do)\b"
    ),
    "because (before a clause)": (
        r"[,;] for (?:the|its|this|QEMU|libvirt|collectd)(?: (?!that|which|who|where|when)[\w']+){0,3}"
        r" (?:is|are|was|were|has|have|joins|asks|goes)\b"
    ),
    "again": r"\banew\b",
    "a plain preposition": r"\b(?:here|there|where)(?:of|in|upon|with)\b",
    "so that not": r"\blest\b",
    "in addition": r"\bbesides\b",
    "must": r"\bshall\b",
    "more expensive": r"\bdearer\b",
    "learned, known": r"\blearnt\b",
    "has, gets": r"\bbears? (?:a|its|their|the)\b",
    "back and forth": r"\bto and fro\b",
    "one log line says so": r"\b(?:which|that) is said\b(?! to)|, is said once\b",
}
"""Turns of phrase that plain English does without, each with what it says instead."""


def _is_made_elsewhere(path):
    """Whether the words of a file are not ours: a license, or what Python has compiled."""
    return path.name == "copyright" or "__pycache__" in path.parts


PROSE = [
    *PAGES,
    *sorted((ROOT / "collectd.conf.d").rglob("*.conf")),
    *sorted(path for path in (ROOT / "contrib").rglob("*") if path.suffix in (".conf", ".rules")),
    *sorted((ROOT / "scripts").iterdir()),
    *sorted(path for path in (ROOT / "packaging").rglob("*") if path.is_file() and not _is_made_elsewhere(path)),
]


@pytest.mark.parametrize("page", PROSE, ids=lambda p: p.name)
def test_the_language_is_plain(page):
    text = re.sub(r"\s+(?:# )?", " ", page.read_text(encoding="utf-8"))
    found = [
        f"{match.group()!r}: write {instead!r} in …{text[max(0, match.start() - 40) : match.end() + 20]}…"
        for instead, turn in ARCHAIC.items()
        for match in re.finditer(turn, text, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_table_of_wings_is_the_rule_that_is_held():
    listed = {row[0].strip("`"): set(row[2].split(", ")) - {"nothing"} for row in rows(ARCHITECTURE, "The wings")}
    assert listed == {wing: may for wing, may in WINGS.items() if wing not in {*FREE, "__init__"}}


def test_the_picture_shows_every_wing():
    picture = ARCHITECTURE.split("```mermaid", 1)[1].split("```", 1)[0]
    # Records, texts and options are everywhere, and would hide the rest.
    assert {wing for wing in WINGS if not re.search(rf"\b{wing}\b", picture)} == {
        *FREE,
        *("__init__", "model", "text", "config", "parts"),
    }


def test_the_modules_named_on_the_way_of_a_sample_are_there():
    way = ARCHITECTURE.split("## A sample's way", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"`(\w+/\w+)`", way))
    assert len(named) > 8
    assert {module for module in named if not (ROOT / "virt2" / f"{module}.py").exists()} == set()


def test_this_version_has_its_section_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d{{2}}-\d{{2}}$", changelog, re.MULTILINE)
    assert f"version {VERSION}" in README
