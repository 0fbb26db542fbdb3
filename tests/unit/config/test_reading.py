"""Reading the configuration: what is accepted, what is said of the rest, and that it never fails."""

import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virt2.config import reading
from virt2.config.reading import (
    INSTANCE_OPTIONS,
    OPTIONS,
    Instance,
    Line,
    Match,
    Problem,
    Settings,
    parse,
    stopping,
    trace,
)


class Node(NamedTuple):
    """What collectd calls a Config: numbers are floats, whatever is in quotes is text."""

    key: Any
    values: Any = ()
    children: Any = ()


def option(key, *values):
    return Node(key, values)


def instance(name, *children):
    return Node("Instance", (name,), children)


def module(*nodes):
    return Node("Module", ("virt2",), nodes)


def read(*nodes):
    return parse([module(*nodes)])


def accepted(*nodes):
    """The settings from options that nothing is wrong with."""
    settings, problems = read(*nodes)
    assert problems == ()
    return settings


def refused(*nodes):
    """The text of the only problem, an error, with options that leave every default in place."""
    settings, problems = read(*nodes)
    assert settings == Settings()
    assert [(problem.severity, problem.stops_strict) for problem in problems] == [("error", True)]
    return problems[0].text


def test_nothing_configured_is_the_defaults():
    assert parse([]) == (Settings(), ())
    assert parse([module(), module()]) == (Settings(), ())


def test_the_defaults():
    assert Settings()._asdict() == {
        "connection": "qemu:///system",
        "interval": None,
        "refresh_interval": 60.0,
        "plugin_name": "virt2",
        "domains": (),
        "block_devices": (),
        "interface_devices": (),
        "ignore_selected": False,
        "block_device_format": "target",
        "block_device_format_basename": False,
        "interface_format": "name",
        "report_block_devices": True,
        "report_network_interfaces": True,
        "instances": None,
        "explicit_instances": (),
        "tag_namespace": "http://ovirt.org/ovirtmap/tag/1.0",
        "tag_element": "tag",
        "partition_by": ("tag", "storage"),
        "workers": None,
        "timeout": None,
        "strict": False,
        "hostname_format": ("name",),
        "plugin_instance_format": (),
        "persistent_notification": False,
        "hostname_metadata_ns": tuple(
            f"http://openstack.org/xmlns/libvirt/nova/{version}" for version in ("1.1", "1.0")
        ),
        "hostname_metadata_xpath": "/instance/name/text()",
        "pre_scan": True,
        "host_pre_scan": True,
        "stuck_after": 2.0,
        "extra_stats": (),
        "disk_stats": "each",
        "storage_interval": 60.0,
        "guest_agent_interval": 60.0,
        "guest_agent_timeout": 10.0,
        "admin_connection": "",
        "status_socket": "/run/virt2.sock",
    }


ACCEPTED = [
    ("ExtraStats", ("disk_err disk_capacity",), "extra_stats", ("disk_capacity", "disk_err")),
    ("ExtraStats", ("disk_physical,disk_allocation",), "extra_stats", ("disk_allocation", "disk_physical")),
    ("ExtraStats", ("",), "extra_stats", ()),
    ("DiskStats", ("bulk",), "disk_stats", "bulk"),
    ("DiskStats", ("EACH",), "disk_stats", "each"),
    ("StorageInterval", (300.0,), "storage_interval", 300.0),
    ("GuestAgentInterval", (300.0,), "guest_agent_interval", 300.0),
    ("GuestAgentTimeout", (3.5,), "guest_agent_timeout", 3.5),
    ("GuestAgentTimeout", (0.0,), "guest_agent_timeout", math.inf),
    ("PartitionBy", ("tag,storage",), "partition_by", ("tag", "storage")),
    ("StatusSocket", ("/tmp/a b.sock",), "status_socket", "/tmp/a b.sock"),
    ("StatusSocket", ("/" + "x" * 106,), "status_socket", "/" + "x" * 106),
    ("StatusSocket", ("none",), "status_socket", None),
    ("StatusSocket", (" None ",), "status_socket", None),
    ("Connection", ("test:///default",), "connection", "test:///default"),
    ("Connection", ("",), "connection", "qemu:///system"),
    ("Interval", (5.0,), "interval", 5.0),
    ("Interval", ("5",), "interval", 5.0),
    ("Interval", (" 0.5 ",), "interval", 0.5),
    ("Interval", ("1e1",), "interval", 10.0),
    ("Interval", (86400.0,), "interval", 86400.0),
    ("RefreshInterval", (30.0,), "refresh_interval", 30.0),
    ("RefreshInterval", ("30",), "refresh_interval", 30.0),
    ("RefreshInterval", (0.0,), "refresh_interval", math.inf),
    ("RefreshInterval", (-1.0,), "refresh_interval", math.inf),
    ("RefreshInterval", (1e9,), "refresh_interval", 1e9),
    ("PluginName", ("virt",), "plugin_name", "virt"),
    ("PluginName", ("x" * 127,), "plugin_name", "x" * 127),
    ("Domain", ("web",), "domains", (Match("web"),)),
    ("Domain", (" web ",), "domains", (Match(" web "),)),
    ("Domain", ("/^web-[[:digit:]]+$/", "db"), "domains", (Match("/^web-[[:digit:]]+$/"), Match("db"))),
    ("BlockDevice", ("web:vda",), "block_devices", (Match("web:vda"),)),
    ("InterfaceDevice", ("web:1",), "interface_devices", (Match("web:1"),)),
    ("IgnoreSelected", (True,), "ignore_selected", True),
    ("IgnoreSelected", ("true",), "ignore_selected", True),
    ("BlockDeviceFormat", ("Source",), "block_device_format", "source"),
    ("BlockDeviceFormatBasename", ("true",), "block_device_format_basename", True),
    ("InterfaceFormat", ("ADDRESS",), "interface_format", "address"),
    ("InterfaceFormat", (" number ",), "interface_format", "number"),
    ("ReportBlockDevices", (False,), "report_block_devices", False),
    ("ReportNetworkInterfaces", ("off",), "report_network_interfaces", False),
    ("Instances", (1.0,), "instances", 1),
    ("Instances", ("128",), "instances", 128),
    ("Instances", ("Auto",), "instances", None),
    ("TagNamespace", ("urn:x",), "tag_namespace", "urn:x"),
    ("TagElement", ("place",), "tag_element", "place"),
    ("PartitionBy", ("tag",), "partition_by", ("tag",)),
    ("PartitionBy", ("storage",), "partition_by", ("storage",)),
    ("PartitionBy", ("tag storage",), "partition_by", ("tag", "storage")),
    ("PartitionBy", ("Storage", "tag"), "partition_by", ("tag", "storage")),
    ("Workers", (3.0,), "workers", 3),
    ("Workers", ("auto",), "workers", None),
    ("Timeout", (1.5,), "timeout", 1.5),
    ("StrictConfig", (True,), "strict", True),
    ("StrictConfig", ("on",), "strict", True),
    ("HostnameFormat", ("uuid",), "hostname_format", ("uuid",)),
    ("HostnameFormat", ("name uuid",), "hostname_format", ("name", "uuid")),
    ("HostnameFormat", ("hostname", "name"), "hostname_format", ("hostname", "name")),
    ("HostnameFormat", ("Name  UUID\thostname",), "hostname_format", ("name", "uuid", "hostname")),
    ("HostnameFormat", ("metadata",), "hostname_format", ("metadata",)),
    ("HostnameFormat", ("name,UUID, hostname metadata",), "hostname_format", ("name", "uuid", "hostname", "metadata")),
    ("PluginInstanceFormat", ("metadata none",), "plugin_instance_format", ("metadata",)),
    ("PluginInstanceFormat", ("uuid", "name"), "plugin_instance_format", ("uuid", "name")),
    ("PluginInstanceFormat", ("uuid none name",), "plugin_instance_format", ("uuid",)),
    ("PluginInstanceFormat", ("none",), "plugin_instance_format", ()),
    ("PluginInstanceFormat", ("none", "metadata"), "plugin_instance_format", ()),
    ("PluginInstanceFormat", ("",), "plugin_instance_format", ()),
    ("PluginInstanceFormat", (), "plugin_instance_format", ()),
    ("HostnameMetadataNS", ("urn:x",), "hostname_metadata_ns", ("urn:x",)),
    ("HostnameMetadataNS", ("urn:x urn:y", "urn:x"), "hostname_metadata_ns", ("urn:x", "urn:y")),
    ("HostnameMetadataXPath", ("//owner/@uuid",), "hostname_metadata_xpath", "//owner/@uuid"),
    ("PreScan", (False,), "pre_scan", False),
    ("PreScan", ("false",), "pre_scan", False),
    ("HostPreScan", ("No",), "host_pre_scan", False),
    ("PersistentNotification", (True,), "persistent_notification", True),
    ("PersistentNotification", ("true",), "persistent_notification", True),
    ("StuckAfter", ("0.25",), "stuck_after", 0.25),
    ("AdminConnection", ("virtqemud:///system",), "admin_connection", "virtqemud:///system"),
]


@pytest.mark.parametrize(("key", "values", "field", "expected"), ACCEPTED, ids=lambda part: repr(part)[:40])
def test_a_value_is_accepted(key, values, field, expected):
    assert accepted(option(key, *values)) == Settings()._replace(**{field: expected})


@pytest.mark.parametrize("key", [opt.key for opt in OPTIONS if opt.parser])
def test_every_option_has_an_accepted_value_above(key):
    assert key in {row[0] for row in ACCEPTED}


@pytest.mark.parametrize("spelling", ["stuckafter", "STUCKAFTER", "sTuCkAfTeR"])
def test_keys_mind_no_case(spelling):
    assert accepted(option(spelling, 5.0)).stuck_after == 5.0


BAD_SECONDS = [0.0, -1.0, 0.0001, 86401.0, math.nan, math.inf, 1e308, True, "", "soon", "nan", "inf", "1_0", "\u0661"]


@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        *[(key, (value,), "seconds") for key in ("Interval", "Timeout", "StuckAfter") for value in BAD_SECONDS],
        ("Interval", (), "seconds"),
        ("Interval", (5.0, 6.0), "seconds"),
        ("RefreshInterval", (math.nan,), "seconds, or 0 for never"),
        ("RefreshInterval", (math.inf,), "seconds, or 0 for never"),
        ("RefreshInterval", ("never",), "seconds, or 0 for never"),
        ("RefreshInterval", (False,), "seconds, or 0 for never"),
        *[("Instances", (value,), "1 to 128, or auto") for value in (0.0, 129.0, 1.5, -1.0, "many", True, math.nan)],
        *[("Workers", (value,), "1 to 1000, or auto") for value in (0.0, 1e300, 0.5, "auto auto", 10**5000)],
        *[("StrictConfig", (value,), "true or false") for value in (1.0, 0.0, "maybe", "", "1")],
        ("PreScan", (True, True), "true or false"),
        ("HostPreScan", (None,), "true or false"),
        ("PersistentNotification", ("sometimes",), "true or false"),
        *[
            (key, values, "POSIX")
            for key in ("Domain", "BlockDevice", "InterfaceDevice")
            for values in ((), ("",), ("web", ""), (None,), (b"\xe4",), ("a\0b",), (math.nan,))
        ],
        ("Domain", (True,), "in quotes"),
        ("Domain", (1.1,), "in quotes"),
        ("Domain", (-1.0,), "in quotes"),
        ("Domain", ("web", "/(/"), "a ( is not closed"),
        ("BlockDevice", (r"/\d/",), "write a class such as [[:digit:]]"),
        ("IgnoreSelected", (1.0,), "true or false"),
        ("IgnoreSelected", ("all",), "true or false"),
        *[
            ("BlockDeviceFormat", values, "one of target, source")
            for values in ((), ("",), ("path",), ("target source",), ("target", "source"), (1.0,), (True,), (None,))
        ],
        ("InterfaceFormat", ("mac",), "one of name, address, number"),
        ("InterfaceFormat", (1.0,), "one of name, address, number"),
        *[
            (key, (value,), "true or false")
            for key in ("BlockDeviceFormatBasename", "ReportBlockDevices", "ReportNetworkInterfaces")
            for value in (1.0, "", "source", None)
        ],
        ("Connection", (), "URI"),
        ("Connection", ("a", "b"), "URI"),
        ("Connection", ("qemu:///system\n",), "URI"),
        ("Connection", (True,), "in quotes"),
        ("AdminConnection", ("a\0b",), "URI"),
        *[
            ("StatusSocket", values, "the path of a socket, from / on, in quotes, or none")
            for values in (
                (),
                ("",),
                ("virt2.sock",),
                ("@virt2",),
                ("/a\nb",),
                ("/\udc80",),
                (1.0,),
                (True,),
                ("/",) * 2,
            )
        ],
        ("StatusSocket", ("/" + "x" * 107,), "at most 107 bytes"),
        ("StatusSocket", ("/" + "\u00e4" * 54,), "at most 107 bytes"),
        ("PluginName", ("",), "1 to 127 bytes"),
        ("PluginName", ("x" * 128,), "1 to 127 bytes"),
        ("PluginName", ("\u00e4" * 64,), "1 to 127 bytes"),
        ("PluginName", ("a/b",), "1 to 127 bytes"),
        ("PluginName", ("a\x1bb",), "1 to 127 bytes"),
        ("PluginName", ("\udc80",), "1 to 127 bytes"),
        ("PluginName", (b"\xff",), "1 to 127 bytes"),
        ("PluginName", (1.1,), "in quotes"),
        ("PluginName", (2.0**53,), "in quotes"),
        ("TagNamespace", (" ",), "not empty"),
        ("TagElement", ("ovirt:tag",), "without a prefix"),
        ("TagElement", ("",), "without a prefix"),
        ("TagElement", ("1st",), "without a prefix"),
        ("PartitionBy", (), "tag, storage"),
        ("PartitionBy", ("tags",), "tag, storage"),
        ("PartitionBy", (1.0,), "tag, storage"),
        *[
            ("HostnameFormat", values, "1 to 4 of name, uuid, hostname, metadata")
            for values in ((), ("",), ("none",), ("name " * 5,), ("name",) * 5, ("name", 1.0), (True,), (None,))
        ],
        *[
            ("PluginInstanceFormat", values, "0 to 3 of name, uuid, metadata, none")
            for values in (("hostname",), ("name " * 4,), ("name;uuid",), (True,), (1.0,))
        ],
        *[
            ("HostnameMetadataNS", values, "1 to 8 XML namespace URIs")
            for values in ((), ("",), (" ",), (1.0,), (True,), ("urn:x", None), ("urn:\x1b",), ("u " * 9,))
        ],
        *[
            ("HostnameMetadataXPath", values, "one path in quotes")
            for values in ((), ("",), ("/a/text()", "/b/text()"), (1.0,), (True,), (None,), ("name",))
        ],
        ("HostnameMetadataXPath", ("/nova:instance/text()",), "the prefix nova: must be left out"),
        ("HostnameMetadataXPath", ("/instance/name[last()]/text()",), "the function last() is not supported"),
    ],
    ids=lambda part: ascii(part)[:40] if part != (10**5000,) else "huge",
)
def test_a_bad_value_is_an_error_and_leaves_the_default(key, values, said):
    text = refused(option(key, *values))
    assert text.startswith(f"{key} ")
    assert said in text


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (("soon",), "Interval 'soon' is"),
        ((-5.0,), "Interval -5 is"),
        ((0.0001,), "Interval 0.0001 is"),
        ((True,), "Interval true is"),
        ((math.nan,), "Interval nan is"),
        (("a\nb",), r"Interval 'a\nb' is"),
        ((b"\xe4",), r"Interval b'\xe4' is"),
        ((None,), "Interval <NoneType> is"),
        ((), "Interval without a value is"),
        (("a", 5.0), "Interval 'a' 5 is"),
        (("x" * 3000,), f"Interval '{'x' * 80}'... is"),
        (("x",) * 6, "Interval 'x' 'x' 'x' 'x' 'x' 'x' is"),
        (("x",) * 9, "Interval 'x' 'x' 'x' 'x' 'x' 'x' ... is"),
    ],
    ids=lambda part: ascii(part)[:40],
)
def test_a_bad_value_is_shown_as_it_was_written(values, shown):
    text = refused(option("Interval", *values))
    assert text.startswith(shown)
    assert len(text.encode()) < 1023  # what collectd keeps of a line


def test_the_same_bad_value_twice_is_said_once():
    assert refused(option("Interval", "soon"), option("Interval", "soon"))


def test_a_bad_value_does_not_undo_a_good_one():
    settings, problems = read(option("Interval", 5.0), option("Interval", "soon"))
    assert settings.interval == 5.0
    assert len(problems) == 1


def test_an_option_written_as_a_block_is_refused():
    assert "not a block" in refused(Node("Interval", (5.0,), (option("Seconds", 5.0),)))


# Several blocks


def test_blocks_add_up():
    settings, problems = parse([module(option("Interval", 5.0)), module(option("Workers", 3.0))])
    assert (settings.interval, settings.workers, problems) == (5.0, 3, ())


def test_extra_stats_add_up_across_blocks():
    blocks = [module(option("ExtraStats", "disk_err")), module(option("extrastats", "disk_capacity disk_err"))]
    settings, problems = parse(blocks)
    assert sorted(settings.extra_stats) == ["disk_capacity", "disk_err"]
    assert problems == ()


def test_within_one_block_the_last_extra_stats_count():
    settings = accepted(option("ExtraStats", "disk_err disk_capacity"), option("ExtraStats", "disk_physical"))
    assert settings.extra_stats == ("disk_physical",)


@pytest.mark.parametrize("first", [True, False])
def test_empty_extra_stats_take_nothing_from_other_blocks(first):
    blocks = [module(option("ExtraStats", "disk_err")), module(option("ExtraStats", ""))]
    assert parse(blocks if first else blocks[::-1])[0].extra_stats == ("disk_err",)


def test_empty_extra_stats_undo_those_of_their_own_block():
    assert accepted(option("ExtraStats", "disk_err"), option("ExtraStats", "")).extra_stats == ()


def test_a_bad_selector_leaves_those_that_were_good():
    blocks = [module(option("ExtraStats", "disk_err")), module(option("ExtraStats", "disk_speed"))]
    settings, problems = parse(blocks)
    assert settings.extra_stats == ("disk_err",)
    assert [problem.severity for problem in problems] == ["error"]
    assert "disk_speed" in problems[0].text


def test_filters_add_up_over_lines_and_blocks_each_entry_once():
    first = [option("Domain", "web"), option("Domain", "db", "web"), option("BlockDevice", "web:vda")]
    settings, problems = parse([module(*first), module(option("domain", "/^mail/"), option("Domain", "db"))])
    assert problems == ()
    assert settings.domains == (Match("web"), Match("db"), Match("/^mail/"))
    assert settings.block_devices == (Match("web:vda"),)


def test_a_bad_entry_costs_itself_only():
    settings, problems = read(option("Domain", "web"), option("Domain", "/(/"), option("Domain", "db"))
    assert settings.domains == (Match("web"), Match("db"))
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("Interval", 10.0, "10"),
        ("HostnameFormat", "name", "NAME"),
        ("PartitionBy", "tag storage", "storage tag"),
        ("RefreshInterval", 0.0, -1.0),
        ("PreScan", True, "yes"),
    ],
)
def test_the_same_value_twice_is_no_problem(key, first, second):
    accepted(option(key, first), option(key, second))


def test_of_different_values_the_last_one_wins_with_a_warning():
    settings, problems = parse([module(option("Interval", 5.0)), module(option("interval", "7"))])
    assert settings.interval == 7.0
    text, todo = "Interval is set to 5 and then to '7': the last one, '7', is used", "Leave only one of these lines."
    assert problems == (Problem("warning", text, todo=todo),)


def test_three_different_values_are_one_warning():
    settings, problems = read(*(option("Instances", value) for value in (2.0, "auto", 2.0, 3.0)))
    assert settings.instances == 3
    assert [problem.text for problem in problems] == [
        "Instances is set to 2 and then to 'auto' and then to 3: the last one, 3, is used"
    ]


# Unknown keys


@pytest.mark.parametrize(
    ("key", "closest"),
    [
        ("Intervall", "Interval"),
        ("connectoin", "Connection"),
        ("Worker", "Workers"),
        ("HostnamFormat", "HostnameFormat"),
    ],
)
def test_an_unknown_key_is_a_warning_with_the_closest_one(key, closest):
    settings, problems = read(option(key, 5.0))
    assert settings == Settings()
    expected = f"unknown option {key!r}: the most similar option is {closest}"
    assert [problem[:3] for problem in problems] == [("warning", expected, True)]


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("Uri", "Connection"),
        ("URL", "Connection"),
        ("ConnectionURI", "Connection"),
        ("Host", "HostnameFormat"),
        ("VM", "Domain"),
        ("Disk", "BlockDevice"),
        ("Nic", "InterfaceDevice"),
        ("MaxWorkers", "Workers"),
        ("Stats", "ExtraStats"),
    ],
)
def test_an_unknown_key_that_is_used_elsewhere_is_told_with_what_it_is_here(key, meant):
    _, problems = read(option(key, "x"))
    assert [problem.text for problem in problems] == [f"unknown option {key!r}: the option for that is {meant}"]


@pytest.mark.parametrize("key", ["LogLevel", "Foo", "Uuri", "x", ""])
def test_where_nothing_is_like_an_unknown_key_none_is_named(key):
    _, problems = read(option(key, "x"))
    assert [problem.text for problem in problems] == [f"unknown option {key!r}: docs/options.md lists all options"]


def test_every_word_used_elsewhere_means_one_option_that_there_is():
    words = [word for words in reading._MEANT.values() for word in words]
    assert len(words) == len(set(words))
    assert not set(words) & {option.key.lower() for option in (*OPTIONS, *INSTANCE_OPTIONS)}
    assert set(reading._MEANT) <= {option.key for option in OPTIONS}
    assert all(word == word.lower() for word in words)


def test_an_option_of_all_within_an_instance_is_told_where_it_belongs():
    _, problems = read(instance("a", option("Tag", "x"), option("domain", "web")))
    assert [problem.text for problem in problems] == [
        "unknown option 'domain' in <Instance>: Domain belongs outside of this block"
    ]


# Texts without quotes


@pytest.mark.parametrize("value", [7.0, 100000.0, -0.0])
@pytest.mark.parametrize("key", ["Domain", "BlockDevice", "InterfaceDevice", "PluginName"])
def test_a_number_where_a_text_is_meant_is_taken_as_it_looks_and_told_once(key, value):
    settings, problems = read(option(key, value), option(key, value))
    shown = str(int(value))
    assert settings == read(option(key, shown))[0]
    assert [problem.severity for problem in problems] == ["warning"]
    assert not problems[0].stops_strict
    assert problems[0].text.startswith(f"{key} {shown} is a number to collectd, which forgets how it was written")
    assert problems[0].text.endswith(f'It is read as the text "{shown}". Put it in quotes')
    assert settings != Settings()


def test_the_same_in_quotes_is_what_it_says_and_nothing_is_told():
    settings, problems = read(option("Domain", "007"), option("Domain", "7"), option("PluginName", "7"))
    assert settings.domains == (Match("007"), Match("7"))
    assert problems == ()


def test_an_instance_and_a_tag_that_are_numbers_are_told_too():
    _, problems = read(instance(12.0, option("Tag", 7.0)))
    assert [problem.text.split(" is a number")[0] for problem in problems] == ["Instance 12", '<Instance "12">: Tag 7']


def test_a_number_where_one_is_meant_is_nothing_to_tell():
    assert read(option("Interval", 5.0), option("Workers", 3.0), option("GuestAgentTimeout", 0.0))[1] == ()


@pytest.mark.parametrize("key", ["", "x" * 100_000, "\n", None, 12.0, b"Interval"], ids=lambda key: ascii(key)[:20])
def test_any_key_gets_a_short_warning(key):
    _, problems = read(option(key, 5.0))
    assert [problem.severity for problem in problems] == ["warning"]
    assert len(problems[0].text) < 200
    assert problems[0].text.isprintable()


def test_an_unknown_key_is_said_once():
    _, problems = parse([module(option("Foo", 1.0), option("foo", 2.0)), module(option("FOO"))])
    assert len(problems) == 1


def test_a_tag_outside_an_instance_is_told_where_it_belongs():
    _, problems = read(option("tag", "a"))
    assert [problem.text for problem in problems] == [
        "unknown option 'tag': Tag belongs inside <Instance \"name\">",
    ]


# Instances


def test_instances_keep_their_order_and_add_tags():
    settings, problems = parse(
        [
            module(instance("slow", option("Tag", "/^sd-slow/"), option("tag", "x", "y"))),
            module(instance("fast", option("Tag", "sd-fast"))),
            module(instance("slow", option("Tag", " z "), option("Tag", "x"))),
        ]
    )
    assert problems == ()
    assert settings.explicit_instances == (
        Instance("slow", (Match("/^sd-slow/"), Match("x"), Match("y"), Match("z"))),
        Instance("fast", (Match("sd-fast"),)),
    )


def test_a_number_is_a_tag_and_a_name():
    settings, _ = read(instance(12.0, option("Tag", 7.0)))
    assert settings.explicit_instances == (Instance("12", (Match("7"),)),)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ((), None),
        ((instance("a", option("Tag", "x")),), 1),
        ((option("Instances", "auto"), instance("a", option("Tag", "x"))), None),
        ((instance("a", option("Tag", "x")), option("Instances", 3.0)), 3),
    ],
    ids=["nothing said", "only explicit ones", "auto and explicit ones", "a number and explicit ones"],
)
def test_how_many_automatic_readers(nodes, expected):
    assert accepted(*nodes).instances == expected


@pytest.mark.parametrize(
    "values",
    [(), ("",), ("a", "b"), ("x" * 64,), ("a b",), ("a/b",), ("a\n",), ("\u00e4",), ("libvirtd",), (True,), (-1.0,)],
    ids=ascii,
)
def test_a_bad_name_is_refused(values):
    assert "1 to 63 letters" in refused(Node("Instance", values, (option("Tag", "x"),)))


@pytest.mark.parametrize(
    ("instances", "name", "free"),
    [
        (None, "0", False),
        (None, "1", True),
        ("auto", "3", False),
        ("auto", "4", True),
        (2.0, "1", False),
        (2.0, "2", True),
        (2.0, "01", True),
        (2.0, 1.0, False),
    ],
)
def test_a_name_of_an_automatic_reader_is_refused(instances, name, free):
    number = [option("Instances", instances)] if instances else []
    settings, problems = read(instance(name, option("Tag", "x")), *number)
    assert bool(settings.explicit_instances) is free
    errors = [problem for problem in problems if problem.severity == "error"]
    # A name that is a number is told as such besides.
    assert len(problems) - len(errors) == isinstance(name, float)
    assert [("automatic readers" in error.text) for error in errors] == ([] if free else [True])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("/(/",), "( is not closed"),
        (("/[[:foo:]]/",), "[:foo:] is not a POSIX character class"),
        (("",), "a text"),
        (("a\0",), "a text"),
        ((True,), "in quotes"),
        ((1.1,), "in quotes"),
        ((), "without a value"),
        (("b", None), "a text"),
    ],
    ids=ascii,
)
def test_a_bad_tag_costs_itself_only(values, said):
    settings, problems = read(instance("a", option("Tag", "x"), option("Tag", *values)))
    assert settings.explicit_instances == (Instance("a", (Match("x"),)),)
    assert [problem.severity for problem in problems] == ["error"]
    assert problems[0].text.startswith('<Instance "a">: Tag ')
    assert said in problems[0].text


def test_an_instance_without_tags_is_warned_of():
    settings, problems = parse([module(instance("a")), module(instance("a"))])
    assert settings.explicit_instances == (Instance("a"),)
    assert [(problem.severity, problem.stops_strict) for problem in problems] == [("warning", False)]
    assert "no usable Tag" in problems[0].text


def test_an_unknown_key_in_an_instance_is_a_warning():
    _, problems = read(instance("a", option("Tag", "x"), option("Tagg", "y")))
    text = "unknown option 'Tagg' in <Instance>: the most similar option is Tag"
    assert problems == (Problem("warning", text, True, todo="Correct or remove it. Until then virt2 ignores it."),)


@pytest.mark.parametrize(
    ("node", "hint"),
    [
        (option("ExtraStats", "disk vcpuu"), "'vcpuu' is most like vcpu"),
        (option("BlockDeviceFormat", "sorce"), "'sorce' is most like source"),
        (option("HostnameFormat", "name", "uid"), "'uid' is most like uuid"),
    ],
)
def test_a_word_that_is_not_accepted_is_told_with_the_nearest_one(node, hint):
    assert refused(node).endswith(f"; {hint}")


def test_a_word_that_is_like_none_is_told_without_another():
    assert "most like" not in refused(option("BlockDeviceFormat", "xyz"))


# Places


class PlacedNode(NamedTuple):
    """A node that tells where it stands."""

    key: str
    values: tuple
    children: tuple
    at: Line


def placed(line, key, *values, inside=()):
    return PlacedNode(key, values, tuple(inside), Line("v.conf", line))


def test_what_is_in_force_is_traced_to_its_lines():
    web, db = Match("web"), Match("/db/")
    first = [
        placed(2, "Interval", 5.0),
        placed(3, "interval", 5.0),
        placed(4, "Domain", "web", "/db/"),
        placed(5, "Domain", "web"),
        placed(6, "ExtraStats", "vcpu"),
        placed(7, "ExtraStats", "disk pcpu"),
        placed(8, "Instance", "a", inside=[placed(9, "Tag", "x"), placed(10, "ExtraStats", "")]),
    ]
    second = [placed(21, "ExtraStats", "disk vm"), placed(22, "Instance", "a", inside=[placed(23, "Tag", "x", "y")])]
    traced = trace([placed(1, "Module", "virt2", inside=first), placed(20, "Module", "virt2", inside=second)])
    assert traced.problems == ()
    assert traced.settings == parse([placed(1, "Module", "virt2", inside=[*first, *second[1:]]), module(second[0])])[0]
    assert {key: line.number for key, line in traced.lines.items()} == {
        ("Interval",): 3,
        ("Domain", web): 4,
        ("Domain", db): 4,
        ("ExtraStats", "disk"): 7,
        ("ExtraStats", "pcpu"): 7,
        ("ExtraStats", "vm"): 21,
        ("Instance", "a"): 8,
        ("Instance", "a", "Tag", Match("x")): 9,
        ("Instance", "a", "Tag", Match("y")): 23,
        ("Instance", "a", "ExtraStats"): 10,
    }


def test_each_problem_has_its_line_and_the_same_one_in_two_lines_is_two_mistakes():
    nodes = [
        placed(2, "Intervall", 5.0),
        placed(3, "Intervall", 5.0),
        placed(4, "Interval", "soon"),
        placed(5, "Interval", "soon"),
        placed(6, "Workers", 3.0),
        placed(7, "Workers", 4.0),
        placed(8, "Domain", 12.0),
        placed(9, "Instance", "a", inside=[placed(10, "Tagg", 1.0), placed(11, "Tag", "/(/")]),
        placed(12, "Instance", "0", inside=[placed(13, "Tag", "x")]),
        placed(14, "Instance", "b c"),
        placed(15, "Timeout", 20.0),
        placed(16, "Interval", 10.0),
    ]
    problems = trace([placed(1, "Module", "virt2", inside=nodes)]).problems
    assert [(problem.at.number, problem.text.split(" ")[0]) for problem in problems] == [
        (2, "unknown"),
        (3, "unknown"),
        (4, "Interval"),
        (5, "Interval"),
        (8, "Domain"),
        (10, "unknown"),
        (11, "<Instance"),
        (14, "Instance"),
        (7, "Workers"),
        (12, "Instance"),
        (15, "Timeout"),
        (15, "Timeout"),
        (9, "<Instance"),
    ]
    assert all(problem.at.file == "v.conf" and problem.todo for problem in problems)
    assert str(problems[0].at) == "v.conf:2"


def test_nodes_of_collectds_tell_no_lines():
    traced = trace([module(option("Interval", 5.0), option("Nothing", 1.0))])
    assert traced.lines == {}
    assert traced.problems[0].at is None


# Deadlines


@pytest.mark.parametrize(
    ("timeout", "interval", "expected"),
    [(None, 10.0, 1.5), (None, 2.0, 1.0), (1.0, 10.0, 1.0), (5.0, 10.0, 5.0), (5.0, 2.0, 2.0)],
)
def test_the_timeout_of_a_read(timeout, interval, expected):
    assert Settings(timeout=timeout).timeout_for(interval) == expected


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ((option("Timeout", 1.6),), ["more than 2 s to exit"]),
        ((option("Timeout", 1.5), option("Interval", 1.0)), ["over the Interval, 1 s"]),
        ((option("Timeout", 1.5), option("Interval", 1.5)), []),
    ],
    ids=["slow exit", "over the interval", "fine"],
)
def test_a_long_timeout_is_accepted_with_a_warning(nodes, said):
    settings, problems = read(*nodes)
    assert settings.timeout == nodes[0].values[0]
    assert [(problem.severity, problem.stops_strict) for problem in problems] == [("warning", False)] * len(said)
    assert all(part in problem.text for part, problem in zip(said, problems))


# StrictConfig


@pytest.mark.parametrize(
    ("nodes", "count"),
    [
        ((option("Interval", "soon"),), 1),
        ((option("Foo"),), 1),
        ((instance("a", option("Tag", "x"), option("Foo")),), 1),
        ((option("Interval", 5.0), option("Interval", 6.0)), 0),
        ((option("Timeout", 5.0),), 0),
    ],
    ids=["bad value", "unknown key", "unknown key in a block", "set twice", "advice"],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_stops_the_daemon(strict, nodes, count):
    settings, problems = read(option("StrictConfig", strict), *nodes)
    assert len(problems) == 1
    assert stopping(settings, problems) == (problems if strict and count else ())


# The table


def test_every_setting_is_an_option_and_documented():
    assert [opt.field for opt in OPTIONS] == [*Settings._fields]
    for opt in (*OPTIONS, *INSTANCE_OPTIONS):
        assert opt.key[0].isupper()
        assert opt.meaning.endswith(".")
        assert "\n" not in opt.meaning
        assert "|" not in opt.meaning + opt.default_text  # would end a table's cell


@pytest.mark.parametrize("opt", [opt for opt in OPTIONS if opt.parser], ids=lambda opt: opt.key)
def test_a_default_written_out_is_the_default(opt):
    default = getattr(Settings(), opt.field)
    if opt.lists:
        assert (opt.default_text, default) == ("none", ())
    elif opt.default_text.startswith(("collectd's", "half", "derived")):
        assert not default
    else:
        assert getattr(accepted(option(opt.key, opt.default_text)), opt.field) == default


# Anything at all

VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.just(10**400),  # too large for a float
    st.binary(max_size=5),
    st.text(st.characters(), max_size=10),
    st.sampled_from(["auto", "name uuid", "tag", "none", "libvirtd", "0", "/[[:digit:]]/", "/(/", "a\0b", "\udc80"]),
    st.lists(st.integers(), max_size=2),
)
KEY = st.one_of(st.sampled_from([opt.key for opt in (*OPTIONS, *INSTANCE_OPTIONS)]), VALUE)
VALUES = st.one_of(st.lists(VALUE, max_size=3).map(tuple), st.lists(VALUE, max_size=3), VALUE)
PLAIN = st.builds(Node, KEY, VALUES, st.just(()))
INSTANCE = st.builds(instance, st.one_of(st.sampled_from("ab"), VALUE)) | st.builds(
    instance, st.sampled_from("ab"), PLAIN, st.builds(Node, st.just("Tag"), VALUES, st.just(()))
)
BLOCK = st.one_of(PLAIN, INSTANCE, st.builds(Node, KEY, VALUES, st.lists(PLAIN, max_size=3) | VALUE), VALUE)
MODULE = st.lists(BLOCK, min_size=3, max_size=10).map(lambda nodes: module(*nodes))


@settings(max_examples=250)
@given(st.lists(MODULE | BLOCK, min_size=1, max_size=4))
def test_parse_never_raises(blocks):
    chosen, problems = parse(blocks)
    hash(chosen)
    assert len({problem.text for problem in problems}) == len(problems)
    for problem in problems:
        assert problem.severity in ("error", "warning")
        assert problem.text.isprintable()
        problem.text.encode()


@given(st.lists(PLAIN | INSTANCE, max_size=6))
def test_how_options_are_spread_over_blocks_does_not_matter(nodes):
    assert parse([module(*nodes)]) == parse([module(node) for node in nodes])


@given(st.lists(st.sampled_from([1.0, 2.0, "3", "soon", math.nan, None]), min_size=1, max_size=6))
def test_the_last_usable_value_wins(values):
    settings, problems = read(*(option("StuckAfter", value) for value in values))
    usable = [float(value) for value in values if value in (1.0, 2.0, "3")]
    assert settings.stuck_after == (usable or [Settings().stuck_after])[-1]
    assert sum(problem.severity == "warning" for problem in problems) == (len(set(usable)) > 1)


@given(st.lists(st.sampled_from("abcd"), max_size=8))
def test_tags_accumulate_in_order_and_once(tags):
    settings, _ = parse([module(instance("i", option("Tag", tag))) for tag in tags])
    assert [match.text for found in settings.explicit_instances for match in found.tags] == list(dict.fromkeys(tags))


class TestExtraStatsOfAnInstance:
    """They stand instead of those of all."""

    def test_one_without_any_has_those_of_all(self):
        settings = accepted(option("ExtraStats", "disk"), instance("fast", option("Tag", "a")))
        assert settings.explicit_instances[0].extra_stats is None

    @pytest.mark.parametrize(("values", "expected"), [(("vcpu, Disk",), ("disk", "vcpu")), (("",), ())])
    def test_its_own_stand_instead(self, values, expected):
        settings = accepted(
            option("ExtraStats", "memory"), instance("fast", option("Tag", "a"), option("extrastats", *values))
        )
        assert settings.extra_stats == ("memory",)
        assert settings.explicit_instances[0].extra_stats == expected

    def test_they_add_up_over_blocks_and_the_last_line_of_one_counts(self):
        blocks = [
            module(instance("fast", option("Tag", "a"), option("ExtraStats", "disk"), option("ExtraStats", "vcpu"))),
            module(instance("fast", option("ExtraStats", "perf"))),
        ]
        settings, problems = parse(blocks)
        assert settings.explicit_instances[0].extra_stats == ("vcpu", "perf")
        assert problems == ()

    def test_a_bad_one_leaves_those_of_all(self):
        settings, problems = parse([module(instance("fast", option("Tag", "a"), option("ExtraStats", "speed")))])
        assert settings.explicit_instances[0].extra_stats is None
        assert [problem.severity for problem in problems] == ["error"]
        assert problems[0].text.startswith('<Instance "fast">: ExtraStats')


@pytest.mark.parametrize(
    "values", [("Disk VCPU\tperf",), ("disk,vcpu,perf",), ("disk", "vcpu perf"), ("disk, vcpu ,perf",)]
)
def test_selectors_are_separated_by_blanks_or_commas_whatever_the_case(values):
    assert accepted(option("ExtraStats", *values)).extra_stats == ("disk", "perf", "vcpu")


def test_an_unknown_selector_is_answered_with_those_there_are():
    _, problems = read(option("ExtraStats", "disk nonsense"))
    assert [problem.severity for problem in problems] == ["error"]
    assert "vcpupin" in problems[0].text
