"""What collectd makes of its configuration, and what of it has no effect or keeps it from starting."""

from __future__ import annotations

import pytest

from tests.unit.cli.configuration import FILE, collectd, virt2
from virt2.cli.effective import effective
from virt2.cli.findings import ERROR, WARNING
from virt2.config.reading import Line

PYTHON = """\
LoadPlugin python
<Plugin python>
  ModulePath "/first"
  ModulePath "/second"
  Import "virt2"
  ModulePath "/late"
  <Module Virt2>
    Interval 5
  </Module>
</Plugin>
<Plugin Python>
  <Module "virt2">
    Workers 3
  </Module>
  <Module other>
    Key 1
  </Module>
</Plugin>
"""


def found(text):
    return [(finding.severity, finding.at.number, finding.what) for finding in collectd(text).findings]


def only(text):
    """The only finding: severity, line, what is wrong and what to do."""
    (finding,) = collectd(text).findings
    assert finding.at.file == FILE
    return finding.severity, finding.at.number, finding.what, finding.todo


def test_nothing_is_in_force_without_a_configuration():
    nothing = effective(())
    assert (nothing.options, nothing.loaded, nothing.modules, nothing.imported) == ({}, {}, (), None)
    assert nothing.is_meant is False
    assert nothing.findings == ()
    assert nothing.number("ReadThreads", 5) == 5
    assert nothing.text("Hostname") == ""
    assert nothing.line("Hostname") is None


def test_all_blocks_of_virt2_reach_it_and_keys_are_case_insensitive():
    there = collectd(PYTHON)
    assert [child.key for module in there.modules for child in module.children] == ["Interval", "Workers"]
    assert there.imported == Line(FILE, 5)
    assert there.is_meant
    assert there.findings == ()


def test_python_looks_first_where_the_last_module_path_before_the_import_says():
    assert collectd(PYTHON).paths == (("/second", Line(FILE, 4)), ("/first", Line(FILE, 3)))


def test_a_module_of_the_package_is_virt2_too():
    assert collectd("LoadPlugin python\n<Plugin python>\nImport virt2\n</Plugin>\n").imported == Line(FILE, 3)
    assert collectd('LoadPlugin python\n<Plugin python>\nImport "virt2.plugin"\n</Plugin>\n').imported is not None


def test_of_a_global_option_the_last_one_counts():
    there = collectd("Hostname a\nHOSTNAME b\nReadThreads 7\nTimeout 2.5\nFQDNLookup false\n")
    assert (there.text("hostname"), there.line("Hostname")) == ("b", Line(FILE, 2))
    assert (there.number("ReadThreads", 5), there.number("Timeout", 2)) == (7, 2)
    assert there.text("FQDNLookup") == "false"


@pytest.mark.parametrize(("text", "number"), [('"8"', 8), ('" 9 "', 9), ("-3", -3), ("many", 5), ('""', 5), ("1.9", 1)])
def test_a_number_may_be_a_text(text, number):
    assert collectd(f"ReadThreads {text}\n").number("ReadThreads", 5) == number


def test_an_unknown_option_is_ignored_by_collectd_and_told_with_the_nearest_one():
    severity, line, what, todo = only("Interval 5\nReadThread 7\n")
    assert (severity, line) == (WARNING, 2)
    assert "'ReadThread'" in what
    assert todo == "The most similar option is ReadThreads."
    assert only("<Plugins x>\nA 1\n</Plugins>\n")[3] == "The most similar option is Plugin."


@pytest.mark.parametrize("text", ["<Module virt2>\nInterval 1\n</Module>\n", "Import virt2\n", 'ModulePath "/x"\n'])
def test_what_belongs_to_the_python_plugin_is_told(text):
    assert "Put it into a <Plugin python> block" in only(text)[3]


def test_an_option_of_virt2_at_the_top_is_told():
    assert "put it into a <Module virt2> block" in only("ExtraStats disk\n")[3]


@pytest.mark.parametrize(
    "text",
    [
        "ReadThreads 1 2\n",
        "<PIDFile>\nA 1\n</PIDFile>\n",
        "PluginDir 12\n",
        "LoadPlugin 12\n",
        "LoadPlugin a b\n",
        "<Plugin>\nA 1\n</Plugin>\n",
        "<Plugin 12>\nA 1\n</Plugin>\n",
        "LoadPlugin python\n<Plugin python>\nModulePath 1\n</Plugin>\n",
        "LoadPlugin python\n<Plugin python>\nImport a b\n</Plugin>\n",
        "LoadPlugin python\n<Plugin python>\nEncoding utf8\n</Plugin>\n",
        "LoadPlugin python\n<Plugin python>\nImports virt2\n</Plugin>\n",
    ],
    ids=lambda text: text.splitlines()[-2 if "Plugin>" in text else 0],
)
def test_what_collectd_does_not_start_with_is_an_error(text):
    severity, _, what, todo = only(text)
    assert severity == ERROR
    assert "collectd does not start with this" in what
    assert todo


def test_an_unknown_key_in_the_python_block_is_told_with_the_nearest_one():
    assert only("LoadPlugin python\n<Plugin python>\nModulPath /x\n</Plugin>\n".replace("/x", '"/x"'))[3] == (
        "The most similar option is ModulePath."
    )
    todo = only("LoadPlugin python\n<Plugin python>\nInterval 3\n</Plugin>\n")[3]
    assert todo == "Interval is an option of virt2: put it into the <Module virt2> block."
    assert "at the top of a file" in only('LoadPlugin python\n<Plugin python>\nInclude "x"\n</Plugin>\n')[3]


def test_a_block_before_its_plugin_is_ignored():
    text = "<Plugin python>\nImport virt2\n</Plugin>\nLoadPlugin python\n"
    severity, line, what, todo = only(text)
    assert (severity, line) == (ERROR, 1)
    assert f"the python plugin is loaded only in {FILE}:4, so collectd ignores this block" in what
    assert "Loading a plugin twice does no harm" in todo
    there = collectd(text)
    assert there.imported is None
    assert there.is_meant
    assert "the python plugin is not loaded" in only("<Plugin python>\nImport virt2\n</Plugin>\n")[2]


def test_a_module_before_its_import_is_ignored():
    text = "LoadPlugin python\n<Plugin python>\n<Module virt2>\nInterval 1\n</Module>\nImport virt2\n</Plugin>\n"
    severity, line, what, _ = only(text)
    assert (severity, line) == (ERROR, 3)
    assert f"virt2 is imported only in {FILE}:6, so collectd ignores this block" in what
    assert collectd(text).modules == ()
    assert "nothing imports virt2" in only(text.replace("Import virt2\n", ""))[2]


def test_with_auto_load_plugin_a_block_loads_its_plugin():
    there = collectd("AutoLoadPlugin true\n<Plugin python>\nImport virt2\n</Plugin>\n")
    assert there.imported == Line(FILE, 3)
    assert there.loaded["python"].at == Line(FILE, 2)
    assert collectd("AutoLoadPlugin false\n<Plugin python>\nImport virt2\n</Plugin>\n").imported is None


@pytest.mark.parametrize("name", ["virt", "libvirt", "virt2.plugin"])
def test_a_module_of_another_name_is_told(name):
    text = f'LoadPlugin python\n<Plugin python>\nImport virt2\n<Module "{name}">\nInterval 1\n</Module>\n</Plugin>\n'
    severity, line, _, todo = only(text)
    assert (severity, line, todo) == (ERROR, 4, "Write <Module virt2>.")


def test_a_plugin_block_of_virt2_is_told():
    assert "collectd has no plugin virt2" in only("<Plugin virt2>\nInterval 1\n</Plugin>\n")[2]
    assert collectd("<Plugin virt2>\nInterval 1\n</Plugin>\n").is_meant


def test_libvirt_is_the_old_name_of_the_c_plugin():
    there = collectd("LoadPlugin libvirt\n<Plugin libvirt>\nConnection x\n</Plugin>\n")
    assert list(there.loaded) == ["virt"]
    assert [node.key for node in there.blocks["virt"]] == ["Connection"]


@pytest.mark.parametrize(
    ("text", "interval", "line"),
    [
        ("LoadPlugin python\n", 10.0, None),
        ("Interval 5\nLoadPlugin python\n", 5.0, 1),
        ('Interval "2.5"\nLoadPlugin python\n', 2.5, 1),
        ("Interval soon\nLoadPlugin python\n", 10.0, None),
        ("Interval 5\n<LoadPlugin python>\nInterval 3\n</LoadPlugin>\n", 3.0, 3),
    ],
)
def test_the_interval_of_the_python_plugin(text, interval, line):
    loading = collectd(text).loaded["python"]
    assert loading.interval == interval
    assert loading.interval_at == (None if line is None else Line(FILE, line))


def test_an_interval_that_comes_too_late_is_told():
    severity, line, what, _ = only("Interval 5\nLoadPlugin python\nInterval 20\n")
    assert (severity, line) == (WARNING, 3)
    assert f"after LoadPlugin python in {FILE}:2, which therefore reads every 5 s instead of every 20 s" in what
    assert found("LoadPlugin csv\nInterval 20\nLoadPlugin python\n") == []
    assert found("<LoadPlugin python>\nInterval 3\n</LoadPlugin>\nInterval 20\n") == []


def test_of_two_loadplugin_blocks_the_first_one_counts():
    text = "<LoadPlugin python>\nInterval 3\n</LoadPlugin>\n<LoadPlugin python>\nInterval 7\n</LoadPlugin>\n"
    severity, line, what, _ = only(text)
    assert (severity, line) == (WARNING, 4)
    assert f"was loaded in {FILE}:1 already" in what
    assert found("LoadPlugin python\n<LoadPlugin python>\nGlobals true\n</LoadPlugin>\n") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Intervall 3", "collectd ignores 'Intervall' here"),
        ('Interval "3"', "collectd ignores this Interval, because it is no number"),
        ("FlushInterval -1", "collectd ignores this FlushInterval"),
    ],
)
def test_a_mistake_in_a_loadplugin_block_is_told(line, told):
    assert told in only(f"<LoadPlugin python>\n{line}\n</LoadPlugin>\n")[2]


def test_the_samples_of_this_project_are_in_force_as_they_are():
    assert virt2("Interval 5").findings == ()
    assert len(virt2("Interval 5").modules) == 1
