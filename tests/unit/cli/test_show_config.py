"""The options in force, written in collectd's language: what is printed can be used, and means the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli.configuration import traced, virt2
from virt2.cli import syntax
from virt2.cli.show_config import settings_in_force, text
from virt2.config import reading
from virt2.config.settings import OPTIONS


def shown(options):
    return list(text(settings_in_force(traced(options), virt2(options))))


def again(lines):
    """The settings that are read from what was printed."""
    printed = "<Module virt2>\n" + "\n".join(lines) + "\n</Module>\n"
    return reading.parse(syntax.parse("x.conf", printed.encode()).nodes)


LINES = {
    "Connection": ['"test:///default"', '""'],
    "Interval": ["5", '"0.5"'],
    "RefreshInterval": ["0", "12.25"],
    "PluginName": ['"virt"', '"a b\\"c\\\\d"'],
    "Domain": ['"web" "/^db[0-9]+$/"', "12"],
    "BlockDevice": ['"/\\\\.x:vda/"'],
    "InterfaceDevice": ['"a:vnet0"'],
    "IgnoreSelected": ["true", '"yes"'],
    "BlockDeviceFormat": ["source"],
    "BlockDeviceFormatBasename": ["on"],
    "InterfaceFormat": ["number"],
    "ReportBlockDevices": ["false"],
    "ReportNetworkInterfaces": ["no"],
    "Instances": ["3", "auto"],
    "TagNamespace": ['"urn:x"'],
    "TagElement": ["label"],
    "PartitionBy": ["tag", "storage tag"],
    "Workers": ["7", "auto"],
    "Timeout": ["0.75"],
    "StrictConfig": ["true"],
    "HostnameFormat": ["name uuid", '"hostname metadata"'],
    "PluginInstanceFormat": ["name", "none", '"name none"'],
    "HostnameMetadataNS": ['"urn:a" "urn:b"'],
    "HostnameMetadataXPath": ["\"//owner[@uuid='a']/text()\""],
    "PersistentNotification": ["true"],
    "PreScan": ["false"],
    "HostPreScan": ["false"],
    "StuckAfter": ["3.5"],
    "ExtraStats": ['"disk vcpu"', '""'],
    "DiskStats": ["bulk"],
    "StorageInterval": ["86400"],
    "GuestAgentInterval": ["0.001"],
    "GuestAgentTimeout": ["0", "7"],
    "AdminConnection": ['"virtqemud:///system"'],
    "StatusSocket": ['"/run/virt2/other.sock"', "none"],
}
"""For each option some values that differ from the default."""


def test_every_option_has_values_here():
    assert [*LINES, "Instance"] == [*[option.key for option in OPTIONS if option.parser is not None], "Instance"]


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in LINES.items() for value in values])
def test_each_value_means_the_same_when_it_is_read_again(key, value):
    settings, problems = again(shown(f"{key} {value}"))
    wanted = traced(f"{key} {value}")
    assert [problem for problem in problems if "number to collectd" not in problem.text] == []
    # The interval of collectd is written out where virt2 has none of its own.
    assert settings == wanted.settings._replace(interval=wanted.settings.interval or 10.0)


@given(st.data())
def test_whole_configurations_mean_the_same(data):
    chosen = [
        f"{key} {data.draw(st.sampled_from(values))}" for key, values in LINES.items() if data.draw(st.booleans())
    ]
    if data.draw(st.booleans()):
        chosen += ['<Instance "a">', 'Tag "x" "/y/"', "</Instance>", '<Instance "b">', "Tag 1", 'ExtraStats ""']
        chosen += ["</Instance>"]
    options = "\n".join(chosen)
    wanted = traced(options).settings
    assert again(shown(options))[0] == wanted._replace(interval=wanted.interval or 10.0)


def test_a_block_stands_where_its_option_has_its_place_and_is_closed():
    lines = shown('<Instance "b">\nTag "x"\nExtraStats "disk"\n</Instance>\nWorkers 3')
    start = next(number for number, line in enumerate(lines) if line.startswith("<Instance"))
    assert [line.split("#")[0].rstrip() for line in lines[start : start + 4]] == [
        '<Instance "b">',
        '  Tag "x"',
        '  ExtraStats "disk"',
        "</Instance>",
    ]
    assert lines[start + 1].endswith(":8")


def test_what_virt2_decides_itself_is_a_comment():
    assert any(line.startswith("# Timeout: half the interval, at most 1.5") for line in shown(""))
    assert any(line.startswith("# Domain: none") for line in shown(""))
