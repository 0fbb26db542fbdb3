"""docs/from-an-exporter.md: the names that it gives are those that collectd's write_prometheus has for virt2."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands import collect
from tests.integration.support import INTERVAL, collectd
from tests.lab import Guest, wait_for
from tests.unit.test_docs import rows

PAGE = "docs/from-an-exporter.md"
TEXT = (collect.ROOT / PAGE).read_text(encoding="utf-8")
TABLE = rows(TEXT, "Names")
TYPES_DB = Path("/usr/share/collectd/types.db")
METRIC = re.compile(r"(collectd_\w+)(\{[^}]*\})?")
WRITER = "LoadPlugin write_prometheus\n<Plugin write_prometheus>\n  Port 9103\n</Plugin>\n"
SOON = 30.0
SILENT = re.compile(
    r"collectd_virt2_(?:memory\{virt2=\"(?:available|disk_caches|unused|usable)\"\}|ps_pagefaults|swap_io|job_stats)"
)
"""What the guests of a lab do not tell, because they have no operating system, and no job."""


def expected():
    """Each metric that the table names, with its labels as a set."""
    found = {match.group(): match.groups() for row in TABLE for match in METRIC.finditer(row[1])}
    return {text: (name, set(re.findall(r'\w+="[^"]*"', labels or ""))) for text, (name, labels) in found.items()}


def possible_names():
    """The names that each of collectd's types can have, by the rule of write_prometheus, for the plugin virt2."""
    for line in TYPES_DB.read_text().splitlines():
        kind, *sources = line.replace(",", " ").split() or ["#"]
        for source in sources if not kind.startswith("#") else ():
            name, counts, *_ = source.split(":")
            middle = "" if name == "value" else f"_{name}"
            yield f"collectd_virt2_{kind}{middle}{'_total' if counts in ('DERIVE', 'COUNTER') else ''}"


def scraped(text):
    """The metrics of an answer: name, and labels as a set."""
    found = re.findall(r"^(collectd_\w+)\{(.*)\} \S+", text, re.MULTILINE)
    return [(name, set(re.findall(r'\w+="(?:[^"\\]|\\.)*"', labels))) for name, labels in found]


def test_the_names_are_those_that_prometheus_gets(lab, tmp_path):
    (line,) = (one.text for one in collect.of_page(collect.ROOT / PAGE) if one.text.startswith("curl "))
    extras = " ".join(dict.fromkeys(re.findall(r"`(\w+)`", " ".join(row[3] for row in TABLE))))
    lab.guests([Guest("web-1")])
    settings = f'ExtraStats "{extras}"\nStorageInterval {INTERVAL}'
    with collectd(lab, tmp_path / "collectd", settings, prometheus=WRITER):

        def missing():
            has = scraped(lab.run(["bash", "-c", line], check=False))
            return {
                text
                for text, (name, labels) in expected().items()
                if not any(name == one and labels <= others for one, others in has)
            }

        wait_for(lambda: all(SILENT.match(text) for text in missing()), SOON, "all others are there")
        assert {text for text in expected() if SILENT.match(text)} >= missing()


@pytest.mark.parametrize("text", expected())
def test_each_name_is_one_that_a_type_can_have(text):
    assert expected()[text][0] in set(possible_names())


def test_the_table_has_a_selector_for_what_is_an_option():
    assert all(re.fullmatch(r"(?:`\w+`)?", row[3]) for row in TABLE), [row[3] for row in TABLE]
    assert len(expected()) > 35
