"""The rules of the check, each with what it is about and with what it lets pass."""

from __future__ import annotations

import pytest

from tests.unit.cli.configuration import FILE, collectd, traced, virt2
from tests.unit.fake_collectd import TYPES
from tests.unit.test_docs import METRICS, rows
from virt2.cli.asking import Domains, Names
from virt2.cli.findings import ERROR, NOTE, WARNING
from virt2.cli.host import Plugins, Python
from virt2.cli.rules import domains, files, rights, side_by_side, threads, versions, writers
from virt2.cli.rules.files import TypesDb
from virt2.cli.rules.rights import Rights
from virt2.config.reading import Line
from virt2.metrics.selectors import SELECTORS
from virt2.model.domain import Description, Disk, Domain
from virt2.model.known_bad import BINDING, CLIENT, DAEMON
from virt2.version import VERSION

UUID = "00000000-0000-4000-8000-00000000000"
OWN_TYPES = "/usr/share/collectd/types.db"
STOCK = frozenset(TYPES)


def told(findings):
    """Severity, line and sentence of each finding, all of which say what to do."""
    found = list(findings)
    assert all(finding.todo and not finding.what.endswith(".") for finding in found)
    return [(finding.severity, finding.at and finding.at.number, finding.what) for finding in found]


def one(findings):
    """The only finding."""
    (finding,) = findings
    told([finding])
    return finding


def guest(name, tag="", number=1, disks=()):
    return Domain(UUID + str(number), name, number, Description(tag=tag, disks=tuple(disks)))


# Threads


@pytest.mark.parametrize(
    ("options", "before", "count"),
    [
        ("", "", 0),
        ("Instances 4", "", 0),
        ("Instances 5", "", 6),
        ("Instances 5", "ReadThreads 6", 0),
        ("", "ReadThreads 4", 5),
        ("", "ReadThreads 0", 0),  # to collectd the same as the default
        ("", 'ReadThreads "many"', 0),
        ("ExtraStats disk_capacity", "", 6),
        ("ExtraStats guest_info", "", 6),
        ("ExtraStats disk_capacity guest_info", "ReadThreads 7", 0),
        ("<Instance a>\nTag x\n</Instance>", "", 0),
        ("<Instance a>\nTag x\nExtraStats disk_err\n</Instance>", "ReadThreads 3", 4),
    ],
)
def test_collectd_needs_a_thread_more_than_there_are_readers(options, before, count):
    there = virt2(options, before)
    found = list(threads.read_threads(there, traced(options).settings, None))
    if count:
        assert one(found).todo == f"Set ReadThreads {count} at the top of the configuration."
        assert found[0].at == there.line("ReadThreads")
    else:
        assert found == []


def test_automatic_readers_are_counted_by_the_domains_where_these_are_known():
    there, settings = virt2("ExtraStats disk_capacity"), traced("ExtraStats disk_capacity").settings
    few = [guest("a", "x", 1), guest("b", "x", 2)]
    many = [guest(name, name, number) for number, name in enumerate("abcdefg", 1)]
    assert list(threads.read_threads(there, settings, few)) == []
    assert (
        "up to 5 readers (4 automatic, one for what touches the storage)"
        in one(threads.read_threads(there, settings, many)).what
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", False),
        ("WriteQueueLimitHigh 1000\n", True),
        ("WriteQueueLimitHigh 1000\nWriteQueueLimitLow 900\n", True),
        ("WriteQueueLimitHigh 1000\nWriteQueueLimitLow 1000\n", False),
        ("WriteQueueLimitLow 1000\n", False),
    ],
)
def test_limits_of_the_queue_that_differ_are_told(text, wrong):
    found = told(threads.write_queue(collectd(text)))
    assert [severity for severity, _, _ in found] == [WARNING] * wrong


# Writers


def http(*options, key="Node"):
    inside = "\n".join(options)
    return collectd(f'LoadPlugin write_http\n<Plugin write_http>\n<{key} "a">\n{inside}\n</{key}>\n</Plugin>\n')


@pytest.mark.parametrize("key", ["Node", "URL"])
def test_a_request_without_a_timeout_may_stop_all_writers(key):
    severity, line, what = told(writers.writers(http("Format JSON", "LogHttpError true", key=key)))[0]
    assert (severity, line) == (WARNING, 3)
    assert "write_http 'a' has no Timeout" in what
    assert one(writers.writers(http("Timeout 0", "LogHttpError true", key=key))).at == Line(FILE, 4)


def test_the_timeout_is_told_in_milliseconds_and_by_the_interval():
    assert "Timeout 5000 " in one(writers.writers(http("LogHttpError true"))).todo
    short = one(writers.writers(http("Timeout 10", "LogHttpError true")))
    assert "only 10 ms" in short.what
    assert short.todo.endswith("write 10000.")
    assert "longer than its interval of 10 s" in one(writers.writers(http("Timeout 20000", "LogHttpError true"))).what
    assert list(writers.writers(http("Timeout 20000", "Timeout 5000", "LogHttpError true"))) == []
    assert list(writers.writers(http("Timeout 10000", "LogHttpError true"))) == []
    assert list(writers.writers(http("Timeout 100", "LogHttpError true"))) == []


def test_refused_values_are_lost_without_a_word_unless_that_is_logged():
    found = told(writers.writers(http("Timeout 5000")))
    assert [(severity, line) for severity, line, _ in found] == [(NOTE, 3)]


def test_mongodb_has_no_timeout_either():
    text = 'LoadPlugin write_mongodb\n<Plugin write_mongodb>\n<Node "a">\nHost x\n</Node>\n</Plugin>\n'
    assert told(writers.writers(collectd(text)))[0][:2] == (WARNING, 3)
    assert list(writers.writers(collectd(text.replace("Host x", "Timeout 1000")))) == []


@pytest.mark.parametrize("plugin", ["write_graphite", "write_riemann", "write_tsdb"])
def test_a_writer_over_tcp_is_told_unless_the_queue_has_an_end(plugin):
    text = f'LoadPlugin {plugin}\n<Plugin {plugin}>\n<Node "a">\nHost x\n</Node>\n</Plugin>\n'
    found = one(writers.writers(collectd(text)))
    assert f"{plugin} 'a' writes over TCP" in found.what
    assert "WriteQueueLimitHigh" in found.todo
    limit = "WriteQueueLimitHigh 1000\nWriteQueueLimitLow 1000\n"
    assert list(writers.writers(collectd(limit + text))) == []
    udp = list(writers.writers(collectd(text.replace("Host x", 'Protocol "UDP"'))))
    assert bool(udp) == (plugin == "write_tsdb")


def test_a_writer_that_is_not_loaded_blocks_nothing():
    assert list(writers.writers(collectd('<Plugin write_http>\n<Node "a">\nURL x\n</Node>\n</Plugin>\n'))) == []


def test_a_collectd_that_writes_nothing_is_told():
    assert one(writers.no_writer(collectd("Interval 5\nLoadPlugin python\n"))).severity == WARNING
    assert list(writers.no_writer(collectd("LoadPlugin python\nLoadPlugin csv\n"))) == []


# The C plugin


def test_two_plugins_must_not_write_the_same_series():
    there = virt2('PluginName "virt"', before="LoadPlugin virt")
    found = one(side_by_side.side_by_side(there, traced('PluginName "virt"').settings))
    assert (found.severity, found.at) == (ERROR, Line(FILE, 1))
    assert one(side_by_side.side_by_side(there, traced("").settings)).severity == NOTE
    assert list(side_by_side.side_by_side(virt2('PluginName "virt"'), traced('PluginName "virt"').settings)) == []


# Domains

HERE = Names(
    Domains(frozenset({"web-1", "db-1"}), frozenset({UUID + "1", UUID + "2"})),
    frozenset({"web-1:vda", "db-1:vda"}),
    frozenset({"web-1:vnet0"}),
    True,
)
IDLE = Domains(frozenset({"old"}), frozenset({UUID + "9"}))


def compared(options):
    found = traced(options)
    assert found.problems == ()
    return told(domains.filters(found.settings, found.lines, HERE, IDLE))


def test_entries_that_match_are_let_pass():
    assert compared(f'Domain "web-1" "/^db/"\nDomain "{(UUID + "2").upper()}"') == []
    assert compared('BlockDevice "web-1:vda" "/:vda$/"\nInterfaceDevice "web-1:vnet0"') == []


def test_each_entry_that_matches_nothing_is_told_with_its_line():
    found = compared('Domain "web-1"\nDomain "Web-1" "/^wb/"\nBlockDevice "web-1:vdb"\nInterfaceDevice "vnet0"')
    assert [(severity, line) for severity, line, _ in found] == [(WARNING, number) for number in (8, 8, 9, 10)]
    assert found[0][2] == "Domain 'Web-1' matches no domain of this host: no domain is reported because of it"
    assert found[2][2].startswith("BlockDevice 'web-1:vdb' matches no disk of this host")


def test_devices_that_are_not_all_known_are_not_compared():
    found = traced('Domain "web-2"\nBlockDevice "web-1:vdb"\nInterfaceDevice "vnet0"')
    told_of = told(domains.filters(found.settings, found.lines, HERE._replace(are_complete=False), IDLE))
    assert [line for _, line, _ in told_of] == [7]


def test_what_is_to_be_left_out_is_told_in_its_words():
    ((_, _, what),) = compared('IgnoreSelected true\nDomain "web-2"')
    assert what.endswith("no domain is left out by it")


def test_a_pattern_is_not_compared_with_uuids():
    ((severity, _, _),) = compared('Domain "/^0000/"')
    assert severity == WARNING


def test_a_domain_that_does_not_run_is_only_a_note():
    assert [severity for severity, _, _ in compared(f'Domain "old" "/^ol/" "{UUID}9"')] == [NOTE] * 3


def test_entries_for_devices_that_are_not_reported_are_told():
    found = compared('ReportBlockDevices false\nBlockDevice "web-1:vda"')
    assert found == [(NOTE, 8, "BlockDevice has no effect, because ReportBlockDevices is false")]
    found = compared('ReportNetworkInterfaces false\nInterfaceDevice "web-1:vnet0"')
    assert found == [(NOTE, 8, "InterfaceDevice has no effect, because ReportNetworkInterfaces is false")]


def tagged(options, *guests):
    found = traced(options)
    return told(domains.tags(found.settings, found.lines, guests))


def test_a_tag_that_no_domain_has_is_told():
    options = '<Instance "fast">\nTag "sd-fast" "/^sd-slow/"\n</Instance>'
    assert tagged(options, guest("a", "sd-fast"), guest("b", "sd-slow-2", 2)) == []
    ((severity, line, what),) = tagged(options, guest("a", "sd-fast"), guest("b", "SD-slow", 2))
    assert (severity, line) == (WARNING, 8)
    assert what == "Tag '/^sd-slow/' of <Instance \"fast\"> matches no running domain"
    assert len(tagged(options)) == 2


@pytest.mark.parametrize(
    ("count", "end"), [(5, "'e'."), (6, "'e' and 1 more."), (0, "No domain of this host has one.")]
)
def test_the_tags_that_there_are_are_told(count, end):
    guests = [guest(name, name, number) for number, name in enumerate("abcdef"[:count], 1)]
    found = traced('<Instance "fast">\nTag "x"\n</Instance>')
    assert one(domains.tags(found.settings, found.lines, guests)).todo.endswith(end)


def test_a_domain_without_a_tag_is_taken_by_its_storage():
    options = '<Instance "fast">\nTag "nfs:/fast"\n</Instance>'
    assert tagged(options, guest("a", disks=[Disk("vda", "/x", "nfs:/fast")])) == []
    assert tagged(options + "\nPartitionBy tag", guest("a", disks=[Disk("vda", "/x", "nfs:/fast")])) != []


def identities(options, *guests):
    found = traced(options)
    return told(domains.identities(found.settings, found.lines, guests, "host1"))


def test_names_that_are_cut_or_collide_are_told():
    assert identities("", guest("web-1"), guest("shop/db", number=2)) == []
    found = identities("", guest("shop/db"), guest("shop_db", number=2), guest("x" * 130, number=3))
    assert [severity for severity, _, _ in found] == [WARNING] * 2
    assert "domain shop_db is reported as host shop_db~00000000," in found[0][2]
    assert identities("HostnameFormat uuid", guest("a"), guest("a", number=2)) == []


def test_the_line_of_the_format_is_told():
    found = identities('HostnameFormat "hostname"\nPluginInstanceFormat "name"', guest("a"), guest("a", number=2))
    assert [(line, "plugin instance a~00000000" in what) for _, line, what in found] == [(7, True)]


def test_of_many_changed_names_some_are_told():
    guests = [guest("a", number=number) for number in range(1, 10)]
    found = identities("", *guests)
    assert len(found) == domains.MOST_TOLD + 1
    assert found[-1][2] == "3 more domains are reported under changed names"
    assert len(identities("", *guests[: domains.MOST_TOLD + 1])) == domains.MOST_TOLD


def test_a_hostile_name_is_made_printable():
    ((_, _, what),) = identities("", guest("a\x1b[31m\n"))
    assert "\x1b" not in what
    assert "\n" not in what


# Files

PYTHON = Python("3.11", "libpython3.11.so.1.0", True, ("/usr/lib/python3/dist-packages",), True, "9.0.0")
SYSTEM = PYTHON.path[0]


def test_plugins_that_are_there_are_let_pass():
    there = virt2(before="LoadPlugin csv")
    assert list(files.plugin_files(there, Plugins("/p", frozenset({"csv", "python"})))) == []


@pytest.mark.parametrize(
    ("name", "todo"),
    [
        ("rrdtol", "The most similar plugin is rrdtool."),
        ("virt2", "virt2 is a Python module: write LoadPlugin python, and use collectd.conf.d/virt2.conf."),
        ("nothing_like_it", "Install it, or remove this line."),
        ("python", "Install it. On Fedora and its relatives it is in the package collectd-python."),
    ],
)
def test_a_plugin_that_is_not_there_is_told(name, todo):
    found = one(files.plugin_files(collectd(f"\nLoadPlugin {name}\n"), Plugins("/p", frozenset({"rrdtool"}))))
    assert (found.severity, found.at, found.todo) == (ERROR, Line(FILE, 2), todo)


def test_a_host_without_collectd_is_told():
    assert one(files.plugin_files(collectd(""), None)).severity == NOTE
    found = one(files.plugin_files(collectd('PluginDir "/none"\n'), None))
    assert (found.severity, found.at) == (ERROR, Line(FILE, 1))


def test_virt2_is_looked_for_where_python_looks():
    there = virt2(inside='ModulePath "/opt/virt2"')
    assert list(files.modules(there, PYTHON, {"/opt/virt2": VERSION})) == []
    found = told(files.modules(there, PYTHON, {SYSTEM: VERSION}))
    assert found == [(NOTE, 4, "there is no virt2 in ModulePath /opt/virt2")]
    found = told(files.modules(virt2(), PYTHON, {SYSTEM: None}))
    assert [(severity, line) for severity, line, _ in found] == [(ERROR, 5)]
    assert "finds no virt2" in found[0][2]


def test_another_version_of_virt2_is_told():
    there = virt2(inside='ModulePath "/opt/virt2"')
    found = one(files.modules(there, PYTHON, {"/opt/virt2": "0.0.1", SYSTEM: VERSION}))
    assert found.severity == WARNING
    assert f"collectd loads virt2 0.0.1 from /opt/virt2, and this command is of version {VERSION}" in found.what
    assert list(files.modules(there, PYTHON, {"/opt/virt2": ""})) == []


def test_what_python_lacks_is_told():
    found = told(files.modules(virt2(), PYTHON._replace(loads=False), {SYSTEM: VERSION}))
    assert found == [
        (
            ERROR,
            2,
            "collectd's python plugin needs libpython3.11.so.1.0, which is not installed; collectd does not start",
        )
    ]
    found = told(files.modules(virt2(), PYTHON._replace(has_libvirt=False), {SYSTEM: VERSION}))
    assert "finds no binding of libvirt" in found[0][2]


def test_without_virt2_or_without_python_nothing_is_said_of_modules():
    assert list(files.modules(collectd("LoadPlugin python\n"), PYTHON, {})) == []
    assert list(files.modules(virt2(), None, {})) == []


def test_what_is_always_reported_has_these_types():
    assert {row[0].strip("`") for row in rows(METRICS, "Always")} | {"gauge"} == files.ALWAYS


def db(types=STOCK, line=1, problem="", path=OWN_TYPES):
    return TypesDb(path, None if line is None else Line(FILE, line), types, problem)


def test_collectds_own_types_are_enough_for_all_but_one_selector():
    assert list(files.types(virt2(), traced("").settings, [db(line=None)])) == []
    assert list(files.types(virt2(), traced("").settings, [])) == []
    found = one(files.types(virt2(), traced("ExtraStats fs_info").settings, [db(line=None)]))
    assert (found.severity, found.at) == (ERROR, None)
    assert "file_system" in found.what
    both = [db(), db(frozenset({"file_system"}), 2)]
    assert list(files.types(virt2(), traced("ExtraStats fs_info").settings, both)) == []


def test_a_typesdb_line_replaces_collectds_own_types():
    found = one(files.types(virt2(), traced("").settings, [db(frozenset({"file_system"}), 3)]))
    assert (found.severity, found.at) == (ERROR, Line(FILE, 3))
    assert "virt_cpu_total" in found.what
    assert OWN_TYPES in found.todo


def test_a_types_db_that_cannot_be_read_is_told():
    dbs = [db(), db(frozenset(), 4, "No such file or directory", "/none")]
    found = one(files.types(virt2(), traced("").settings, dbs))
    assert (found.severity, found.at) == (ERROR, Line(FILE, 4))
    assert "/none cannot be read: No such file or directory" in found.what


# Rights

ALL = Rights("root", "root", "", "", "", False)


def lacking(selectors=(), **changes):
    return told(rights.rights(ALL._replace(**changes), frozenset(selectors)))


def test_with_all_rights_nothing_is_said():
    assert lacking() == []
    assert lacking(daemon_user="") == []


def test_rights_of_another_user_are_not_looked_at():
    assert lacking(user="me", admin="refused", processes="hidden") == [
        (NOTE, None, "collectd runs as root, and this runs as me: so rights were not looked at")
    ]


def test_each_right_that_is_missing_is_told():
    assert lacking(admin="it was refused")[0][0] == WARNING
    assert "does not tell root (as whom collectd runs) how many workers" in lacking(admin="it was refused")[0][2]
    assert "/proc hides the processes" in lacking(processes="/proc hides the processes of other users")[0][2]
    assert lacking(selinux=True)[0][0] == NOTE


def test_the_socket_for_agents_matters_only_where_agents_are_asked():
    assert lacking(read_write="/run/libvirt/libvirt-sock") == []
    severity, _, what = lacking(["guest_info", "disk"], read_write="/run/libvirt/libvirt-sock")[0]
    assert severity == ERROR
    assert "without which guest_info cannot ask any agent" in what


# Versions


def test_new_versions_are_let_pass():
    every = " ".join(selector.name for selector in SELECTORS if selector.name != "job_stats_completed")
    assert told(versions.versions({DAEMON: "12.0.0", CLIENT: "12.0.0", BINDING: ""}, traced("").settings)) == []
    assert told(versions.versions({DAEMON: "12.0.0"}, traced(f'ExtraStats "{every}"').settings)) == []


def test_what_only_is_to_be_known_is_one_note_for_each_thing():
    ((severity, line, what),) = told(versions.versions({DAEMON: "11.3.0", CLIENT: "11.3.0"}, traced("").settings))
    assert (severity, line) == (NOTE, None)
    assert what.startswith("libvirtd is version 11.3.0, of which this is known, unless your distribution has")
    assert "waits for a domain's monitor when it is asked for the domain's XML" in what
    assert "NEWS 11.4.0" in what


def test_what_the_configuration_brings_about_is_a_warning():
    found = list(versions.versions({DAEMON: "5.0.0"}, traced("ExtraStats iothread").settings))
    assert [finding.severity for finding in found] == [WARNING, NOTE]
    assert "leaks memory of libvirtd" in found[0].what
    assert found[0].todo == "Install 6.1.0 or newer. Remove iothread from ExtraStats."
    instance = traced("<Instance a>\nTag x\nExtraStats iothread\n</Instance>").settings
    assert WARNING in [finding.severity for finding in versions.versions({DAEMON: "5.0.0"}, instance)]
    for options, is_told in (("DiskStats bulk", True), ("DiskStats each", False)):
        reasons = [finding.what for finding in versions.versions({DAEMON: "3.0.0"}, traced(options).settings)]
        assert any("CVE-2017-2635" in reason for reason in reasons) is is_told


def test_a_version_that_is_too_old_is_told():
    assert "with which virt2 was never tried" in told(versions.versions({CLIENT: "1.3.0"}, traced("").settings))[0][2]
    assert list(versions.versions({CLIENT: "2.0.0"}, traced("").settings)) == []
