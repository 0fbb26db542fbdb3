"""What the documentation lists is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.fakes import TYPES
from tests.unit.test_imports import FREE, WINGS
from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS
from virt2.metrics.selectors import LIBVIRT_NAMES, SELECTORS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEVELOPMENT = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")


def rows(text, heading):
    """The cells of the first table below a heading, without its titles."""
    below = text.split(f"\n## {heading}\n", 1)[1]
    table = re.search(r"\n((?:\|.*\n)+)", below).group(1)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_the_option_table_is_what_the_settings_say():
    expected = []
    for option in (*OPTIONS, *INSTANCE_OPTIONS):
        key = f"`{option.key}`" if option in OPTIONS else f"`{option.key}` (in `<Instance>`)"
        expected.append([key, f"`{option.default_text}`" if option.default_text else "(empty)", option.meaning])
    assert rows(README, "Options") == expected


def test_every_type_in_the_metric_table_is_one_of_collectds():
    types = {row[0].strip("`") for row in rows(README, "Metrics")}
    assert types <= set(TYPES)
    assert types >= {"virt_cpu_total", "memory", "disk_octets", "if_octets", "disk_capacity", "disk_error", "duration"}


def test_every_module_is_on_the_map():
    named = set(re.findall(r"`(virt2/[\w/]+\.py)`", DEVELOPMENT))
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "virt2").rglob("*.py") if path.name != "__init__.py"}
    assert named == modules - {"virt2/version.py"}


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_every_link_within_the_project_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target


def test_both_commands_stand_on_the_first_screen():
    screen = "\n".join(README.splitlines()[:24])
    assert "scripts/run" in screen
    assert "scripts/test" in screen


METRICS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_the_selector_table_is_what_extra_stats_accept():
    expected = [[f"`{name}`", kind, f"`{call}`", meaning] for name, kind, call, meaning in SELECTORS]
    assert rows(METRICS, "Selectors") == expected


def test_every_selector_has_its_metrics_listed_under_types_of_collectds():
    listed = rows(METRICS, "What they report")
    assert list(dict.fromkeys(row[0].strip("`") for row in listed)) == list(LIBVIRT_NAMES)
    assert {name for row in listed for name in re.findall(r"`(\w+)`", row[1])} <= set(TYPES)


def test_what_is_always_reported_is_listed_under_types_of_collectds():
    assert {row[0].strip("`") for row in rows(METRICS, "Always")} <= set(TYPES)


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_table_of_wings_is_the_rule_that_is_held():
    listed = {row[0].strip("`"): set(row[2].split(", ")) - {"nothing"} for row in rows(ARCHITECTURE, "The wings")}
    assert listed == {wing: may for wing, may in WINGS.items() if wing not in {*FREE, "__init__"}}


def test_the_picture_shows_every_wing():
    picture = ARCHITECTURE.split("```mermaid", 1)[1].split("```", 1)[0]
    # Records, texts and options are everywhere, and would hide the rest.
    assert {wing for wing in WINGS if not re.search(rf"\b{wing}\b", picture)} == {
        *FREE,
        *("__init__", "model", "text", "config"),
    }


def test_the_modules_named_on_the_way_of_a_sample_are_there():
    way = ARCHITECTURE.split("## A sample's way", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"`(\w+/\w+)`", way))
    assert len(named) > 8
    assert {module for module in named if not (ROOT / "virt2" / f"{module}.py").exists()} == set()
