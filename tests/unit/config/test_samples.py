"""The drop-ins: each stands alone, and together they are a configuration nothing is wrong with."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest

from virt2.config.reading import Instance, Match, Settings, parse
from virt2.version import VERSION

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "collectd.conf.d").rglob("*.conf"))


class Node(NamedTuple):
    key: str
    values: tuple
    children: list


def tree(text):
    """Read what the samples use of collectd's language: comments, options with quoted or bare text, blocks."""
    open_blocks = [Node("", (), [])]
    for line in text.splitlines():
        words = shlex.split(line.strip().strip("<>"), comments=True)
        if not words:
            continue
        if line.strip().startswith("</"):
            open_blocks.pop()
            continue
        node = Node(words[0], tuple(words[1:]), [])
        open_blocks[-1].children.append(node)
        if line.strip().startswith("<"):
            open_blocks.append(node)
    assert len(open_blocks) == 1
    return open_blocks[0].children


def modules(path):
    return [node for block in tree(path.read_text(encoding="utf-8")) for node in block.children if node.key == "Module"]


def test_there_are_samples():
    assert [path.name for path in SAMPLES] == [
        "virt2-fast.conf",
        "virt2-fleet.conf",
        "virt2-guest-agent.conf",
        "virt2-slow.conf",
        "virt2.conf",
    ]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_loads_and_imports_before_its_module(path):
    load, plugin = tree(path.read_text(encoding="utf-8"))
    assert (load.key, load.values) == ("LoadPlugin", ("python",))
    assert (plugin.key, plugin.values) == ("Plugin", ("python",))
    assert [(node.key, node.values) for node in plugin.children] == [("Import", ("virt2",)), ("Module", ("virt2",))]


def test_the_drop_in_is_the_defaults_written_out():
    assert parse(modules(ROOT / "collectd.conf.d/virt2.conf")) == (Settings(), ())


def test_all_samples_together_are_two_readers_the_names_of_a_fleet_and_the_rest():
    settings, problems = parse([module for path in SAMPLES for module in modules(path)])
    assert problems == ()
    assert settings == Settings(
        instances=1,
        explicit_instances=(Instance("fast", (Match("sd-fast"),)), Instance("slow", (Match("/^sd-slow/"),))),
        extra_stats=("guest_info",),
        hostname_format=("uuid",),
        plugin_instance_format=("name",),
        interface_format="address",
    )


def test_the_version_is_written_as_packaging_reads_it():
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", VERSION)
    assert f'\nVERSION = "{VERSION}"\n' in (ROOT / "virt2/version.py").read_text(encoding="utf-8")
