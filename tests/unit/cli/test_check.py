"""``virt2 check`` as a whole: what it prints, where, in which order, and the exit status."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tests.unit.fake_collectd import TYPES
from tests.unit.fakes import FakeHypervisor
from virt2.cli import asking, check, conffile, host, process, survey
from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS
from virt2.errors import AdminUnavailable, CallFailed, Disconnected
from virt2.sources import admin, daemon, procfs
from virt2.version import VERSION

MAIN = """\
Hostname "host1"
LoadPlugin csv
Include "FOLDER/conf.d"
"""
DROP_IN = """\
<LoadPlugin python>
  Globals true
</LoadPlugin>
<Plugin python>
  Import "virt2"
  <Module virt2>
OPTIONS
  </Module>
</Plugin>
"""


class Bench:
    """A host on which all is well, with a configuration, for which the command is run."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder = folder
        self.libvirt = FakeHypervisor()
        self.libvirt.version = "12.0.0"
        self.libvirt.add("web-1", tag="sd-fast")
        self.admin = None
        self.processes = ""
        self._capsys = capsys
        (folder / "conf.d").mkdir()
        self.main = self.write("collectd.conf", MAIN)
        python = host.Python("3.11", "libpython3.11.so.1.0", True, ("/dist",), True, "12.0.0")
        monkeypatch.setattr(host, "plugins", lambda folder="": host.Plugins("/p", frozenset({"csv", "python"})))
        monkeypatch.setattr(host, "embedded_python", lambda folder: python)
        monkeypatch.setattr(host, "version_in", lambda folder: VERSION)
        monkeypatch.setattr(host, "TYPES_DBS", (self.main,))
        monkeypatch.setattr(host, "types_in", lambda path: frozenset(TYPES))
        monkeypatch.setattr(host, "daemon_user", lambda path="": "")
        monkeypatch.setattr(host, "enforces_selinux", lambda: False)
        place = daemon.Place(("libvirtd",), "/none", "/none", "/none", "")
        monkeypatch.setattr(survey.daemon, "place", lambda uri: place)
        monkeypatch.setattr(survey.daemon, "resolve", lambda uri: uri)
        monkeypatch.setattr(procfs.Processes, "problem", lambda processes: self.processes)
        monkeypatch.setattr(admin, "read_limits", lambda uri, timeout: self._limits())
        monkeypatch.setattr(conffile, "USUAL", ("/none", self.main))
        real = asking.ask
        monkeypatch.setattr(
            asking,
            "ask",
            lambda settings, told, until: real(settings, told, until, lambda uri: self.libvirt.connect()),
        )

    def _limits(self):
        if self.admin is not None:
            raise self.admin

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text.replace("FOLDER", str(self.folder)))
        return str(path)

    def options(self, text=""):
        return self.write("conf.d/virt2.conf", DROP_IN.replace("OPTIONS", text))

    def run(self, *words):
        """The exit status, the lines on stdout and those on stderr."""
        status = process.run(["check", *words])
        out, err = self._capsys.readouterr()
        return status, out.splitlines(), err.splitlines()


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    return Bench(tmp_path, monkeypatch, capsys)


def test_where_all_is_well_one_line_says_what_was_looked_at(bench):
    bench.options('Domain "web-1"\n<Instance "fast">\nTag "sd-fast"\n</Instance>')
    assert bench.run() == (
        0,
        ["Nothing is wrong. Read: 2 files. qemu:///system has 1 running domain that virt2 reports."],
        [],
    )


def test_a_mistake_is_said_with_file_and_line_and_what_to_do(bench):
    path = bench.options("Interval soon")
    status, out, err = bench.run()
    assert (status, err) == (1, [])
    assert out == [
        f"{path}:7: error: Interval 'soon' is not usable: accepted is a number of seconds greater than 0, from 0.001 to"
        " 86400.",
        "    Correct it. Until then virt2 goes on as if the line was not there.",
        "1 error. Read: 2 files. qemu:///system has 1 running domain that virt2 reports.",
    ]


def test_the_worst_comes_first_and_notes_alone_are_fine(bench):
    bench.options("Intervall 3\nWorkers none")
    bench.libvirt.version = "11.3.0"
    status, out, _ = bench.run()
    assert status == 1
    assert [line.split(": ")[1] for line in out if ".conf:" in line] == ["error", "warning"]
    assert out[-3].startswith("note: libvirtd is version 11.3.0")
    assert out[-1].startswith("1 error, 1 warning, 1 note.")
    bench.options()
    assert bench.run()[0] == 0


def test_under_strict_config_it_is_said_that_collectd_does_not_start(bench):
    bench.options("StrictConfig true\nIntervall 3")
    assert bench.run()[1][1] == (
        "    Correct or remove it. Until then virt2 ignores it. collectd does not start, because StrictConfig is true."
    )


def test_files_can_be_named(bench):
    path = bench.options("Intervall 3")
    status, out, _ = bench.run(path)
    assert status == 1
    assert out[0].startswith(f"{path}:7: warning: unknown option 'Intervall'")
    assert f"Read: {path}." in out[-1]


def test_without_any_configuration_that_is_said(bench, monkeypatch):
    monkeypatch.setattr(conffile, "USUAL", ("/none/a", "/none/b"))
    status, out, err = bench.run()
    assert (status, out) == (2, [])
    assert err == [
        "virt2: There is no configuration of collectd: /none/a and /none/b do not exist. Name the file, or install"
        " collectd."
    ]


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("<A>\nB 1\n", 1, "the block <A> is not closed by a line </A>"),
        ("A 1\nB", 2, "the file ends within the line"),
        ('A 1\nInclude "FOLDER/collectd.conf"\n', 2, "includes itself"),
        ("A 1\n\0\n", 2, "zero bytes"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_exit_status_2(bench, text, line, told):
    bench.write("collectd.conf", text)
    status, out, _ = bench.run()
    assert status == 2
    assert out[0].startswith(f"{bench.main}:{line}: error: ")
    assert told in out[0]
    assert "nothing in this configuration imports virt2" not in "".join(out)


def test_what_cannot_be_read_does_not_hide_the_rest(bench):
    bench.options("Intervall 3")
    bench.write("conf.d/a.conf", "<A>\n")
    status, out, _ = bench.run()
    assert status == 2
    assert "conf.d/a.conf:1: error" in out[0]
    assert any("unknown option 'Intervall'" in line for line in out)


def test_options_that_are_not_utf_8_are_exit_status_2(bench):
    path = bench.options("Domain NAME")
    with open(path, "r+b") as file:
        text = file.read().replace(b"NAME", b'"\xff"')
        file.seek(0)
        file.write(text)
    status, out, _ = bench.run()
    assert status == 2
    assert out[0] == f"{path}:7: error: this text is not UTF-8, and virt2 cannot read it."
    assert not any("is not usable" in line for line in out)


def test_a_text_of_another_plugin_that_is_not_utf_8_is_a_note(bench):
    bench.options()
    (bench.folder / "conf.d" / "x.conf").write_bytes(b'<Plugin csv>\nDataDir "\xff"\n</Plugin>\n')
    status, out, _ = bench.run()
    assert status == 0
    assert "x.conf:2: note: the text behind DataDir is not UTF-8" in out[0]


def test_a_configuration_without_virt2_is_told_once(bench):
    status, out, _ = bench.run()
    assert status == 1
    assert out[:2] == [
        "error: nothing in this configuration imports virt2, so no domain is reported.",
        "    Copy collectd.conf.d/virt2.conf into the folder that the configuration includes, and restart collectd.",
    ]
    assert len(out) == 3
    assert bench.libvirt.calls == []


def test_without_virt2_the_plugins_are_looked_for_all_the_same(bench):
    path = bench.write("conf.d/virt2.conf", "LoadPlugin virt2\n")
    _, out, _ = bench.run()
    assert out[2].startswith(f"{path}:1: error: there is no plugin 'virt2' in /p; collectd does not start with this")
    assert bench.libvirt.calls == []


def test_a_whole_configuration_without_a_writer_is_told_and_a_drop_in_is_not(bench):
    path = bench.options()
    bench.write("collectd.conf", MAIN.replace("LoadPlugin csv\n", ""))
    assert any("no write plugin is loaded" in line for line in bench.run()[1])
    assert bench.run(path)[0] == 0


def test_types_are_those_of_the_typesdb_lines_or_collectds_own(bench, monkeypatch):
    files = {"/own": frozenset(TYPES), "/more": frozenset({"file_system"})}

    def types_in(path):
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    monkeypatch.setattr(host, "types_in", types_in)
    monkeypatch.setattr(host, "TYPES_DBS", ("/nowhere", bench.main))
    files[bench.main] = files["/own"]
    bench.options("ExtraStats fs_info")
    assert "no types.db has the type file_system" in bench.run()[1][0]
    bench.write("collectd.conf", 'TypesDB "/own" "/more"\n' + MAIN)
    assert bench.run()[0] == 0
    bench.write("collectd.conf", 'TypesDB "/more"\n' + MAIN)
    assert "no types.db that is named has disk_octets" in bench.run()[1][0]
    bench.write("collectd.conf", 'TypesDB "/own"\nTypesDB "/none"\nTypesDB 12\n' + MAIN)
    assert bench.run()[1][0].startswith(f"{bench.main}:2: error: /none cannot be read: No such file or directory.")


def test_a_host_without_collectd_is_checked_as_far_as_that_goes(bench, monkeypatch):
    monkeypatch.setattr(host, "plugins", lambda folder="": None)
    bench.options()
    status, out, _ = bench.run()
    assert status == 0
    assert out[0] == "note: collectd's plugins are not found on this host."


def test_names_are_compared_with_collectds_own_hostname(bench):
    bench.libvirt.add("host1", uuid="00000000-0000-4000-8000-00000000beef")
    bench.options('HostnameFormat "hostname"\nPluginInstanceFormat "name"\n<Instance "web-1">\nTag x\n</Instance>')
    _, out, _ = bench.run()
    assert "domain web-1 is reported as host host1, plugin instance web-1~00000000" in out[0]


def test_files_that_hang_are_told_in_time(bench, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(check, "BOUND", 0.2)
    monkeypatch.setattr(host, "plugins", lambda folder="": release.wait(10.0))
    for options in (bench.options, lambda: bench.write("conf.d/virt2.conf", "")):
        options()
        _, out, _ = bench.run()
        assert any("could not be looked at in time" in line for line in out)
    release.set()


def test_a_block_that_has_no_effect_is_not_told_twice(bench):
    bench.write("conf.d/virt2.conf", "<Plugin python>\nImport virt2\n</Plugin>\n")
    _, out, _ = bench.run()
    assert "the python plugin is not loaded" in out[0]
    assert len(out) == 3


def test_what_is_wrong_with_the_domains_is_told(bench):
    path = bench.options('Domain "web-2"\n<Instance "fast">\nTag "sd-slow"\n</Instance>')
    status, out, _ = bench.run()
    assert status == 1
    assert out[0].startswith(f"{path}:7: warning: Domain 'web-2' matches no domain of this host")
    assert out[2].startswith(f"{path}:9: warning: Tag 'sd-slow' of <Instance \"fast\"> matches no running domain")


def test_without_domains_nothing_is_compared(bench):
    bench.libvirt.remove("web-1")
    bench.options('Domain "web-2"')
    status, out, _ = bench.run()
    assert status == 0
    assert "no domain runs" in out[0]
    bench.options()
    assert len(bench.run()[1]) == 1


def test_a_libvirt_that_cannot_be_reached_is_told_and_its_consequences_are_not(bench):
    path = bench.options('Connection "qemu:///system"\nDomain "web-2"')
    bench.libvirt.down = "Failed to connect socket to '/x': No such file or directory."
    bench.admin = AdminUnavailable("there is no admin socket")
    bench.processes = "/x cannot be listed"
    status, out, _ = bench.run()
    assert status == 1
    assert out[:2] == [
        f"{path}:7: error: libvirt at qemu:///system cannot be reached: Failed to connect socket to '/x': No such file"
        " or directory.",
        "    Start it: /none/libvirt-sock-ro is not there.",
    ]
    assert len(out) == 3


@pytest.mark.parametrize(
    ("is_there", "may", "todo"), [(True, True, "systemctl status"), (True, False, "group libvirt")]
)
def test_what_to_do_where_libvirt_cannot_be_reached_depends_on_its_socket(bench, monkeypatch, is_there, may, todo):
    bench.options()
    bench.libvirt.down = "no"
    exists = survey.os.path.exists
    monkeypatch.setattr(survey.os.path, "exists", lambda path: is_there if "-sock" in str(path) else exists(path))
    monkeypatch.setattr(host, "is_writable", lambda path: may)
    assert todo in bench.run()[1][1]


def test_a_libvirt_that_does_not_answer_is_told_in_time(bench, monkeypatch):
    bench.options()
    monkeypatch.setattr(check, "BOUND", 0.2)
    began = time.monotonic()
    with bench.libvirt.stuck("web-1", lock=True):
        status, out, _ = bench.run()
    assert time.monotonic() - began < 5
    assert status == 1
    assert "libvirt at qemu:///system did not answer in time while it was asked for its domains" in out[0]
    assert "systemctl status" in out[1]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (CallFailed("internal error.", 1), "answers with an error: internal error."),
        (Disconnected("end of file"), "cannot be reached: end of file."),
    ],
)
def test_an_error_of_libvirt_is_told_in_its_words(bench, monkeypatch, error, told):
    bench.options()

    def fail(settings, told, until):
        raise error

    monkeypatch.setattr(asking, "ask", fail)
    assert bench.run()[1][0].endswith(told)


def test_without_the_binding_the_rest_is_checked(bench, monkeypatch):
    bench.options("Intervall 3")

    def fail(settings, told, until):
        raise ModuleNotFoundError("No module named 'libvirt'")

    monkeypatch.setattr(asking, "ask", fail)
    status, out, _ = bench.run()
    assert status == 2
    assert "cannot load its binding: No module named 'libvirt'" in out[0]
    assert "Install python3-libvirt" in out[1]
    assert "unknown option" in out[2]


def test_a_remote_libvirt_is_not_asked_where_that_may_ask_for_a_password(bench, monkeypatch):
    bench.options('Connection "qemu+ssh://host/system"')
    status, out, _ = bench.run()
    assert status == 0
    assert "libvirt was not asked" in out[0]
    assert bench.libvirt.calls == []


def test_a_libvirt_elsewhere_is_told_to_be_so(bench, monkeypatch):
    bench.options()
    place = daemon.Place((), "", "", "", "x is served over the network")
    monkeypatch.setattr(survey.daemon, "place", lambda uri: place)
    status, out, _ = bench.run()
    assert status == 0
    assert "x is served over the network: so this host's processes" in out[0]


def test_missing_rights_are_told(bench):
    bench.options()
    bench.admin = AdminUnavailable("it refuses")
    bench.processes = "/proc hides the processes of other users"
    status, out, _ = bench.run()
    assert status == 1
    assert "does not tell" in out[0]
    assert "/proc hides" in out[2]
    bench.options("HostPreScan false")
    assert "/proc hides" not in "".join(bench.run()[1])


def test_the_limits_are_asked_of_whom_the_configuration_names(bench, monkeypatch):
    asked = []
    monkeypatch.setattr(admin, "read_limits", lambda uri, timeout: asked.append((uri, timeout)))
    for options in ("", 'AdminConnection "virtqemud:///system"'):
        bench.options(options)
        bench.run()
    assert asked == [("qemu:///system", survey.ADMIN), ("virtqemud:///system", survey.ADMIN)]


def test_what_was_not_asked_for_is_not_compared(bench, monkeypatch):
    monkeypatch.setattr(procfs, "status_xml", lambda name, run_dir: "")
    bench.libvirt.version = "11.3.0"
    path = bench.options('Domain "web-1" "nothing"')
    status, out, _ = bench.run()
    assert status == 1
    assert out[0].startswith(f"{path}:7: warning: Domain 'nothing' matches no domain")
    assert not any("compared with the configuration" in line for line in out)
    bench.options('Domain "web-1"\nBlockDevice "web-1:nothing"\n<Instance "a">\nTag "nothing"\n</Instance>')
    status, out, _ = bench.run()
    assert status == 0
    assert "disks, interfaces and tags were not compared with the configuration, because this version of" in out[0]


def test_hostile_names_cannot_reach_the_terminal(bench):
    bench.libvirt.add("a\x1b]0;x\x07\n", uuid="00000000-0000-4000-8000-00000000beef")
    bench.options('Domain "a\x1b[2J" "/./"')
    for words in ((), ("--json",), ("--show-config",)):
        _, out, err = bench.run(*words)
        assert not any(char in "\x1b\x07\r" for line in out + err for char in line), words


def test_the_findings_as_json(bench):
    path = bench.options("Intervall 3")
    status, (line,), _ = bench.run("--json")
    told = json.loads(line)
    assert told == {
        "version": 1,
        "virt2": VERSION,
        "status": status,
        "files": [bench.main, path],
        "about": "qemu:///system has 1 running domain that virt2 reports.",
        "findings": [
            {
                "severity": "warning",
                "file": path,
                "line": 7,
                "what": "unknown option 'Intervall': the most similar option is Interval",
                "todo": "Correct or remove it. Until then virt2 ignores it.",
            }
        ],
    }


def test_the_configuration_in_force_has_every_option_with_its_place(bench):
    path = bench.options('Interval 5\nDomain "web-1"\n<Instance "fast">\nTag "sd-fast"\n</Instance>')
    status, out, _ = bench.run("--show-config")
    assert status == 0
    shown = {line.split("#")[0].strip(): line.rsplit("# ", 1)[1] for line in out if not line.startswith(("#", "</"))}
    assert shown["Interval 5"] == f"{path}:7"
    assert shown['Domain "web-1"'] == f"{path}:8"
    assert shown['<Instance "fast">'] == f"{path}:9"
    assert shown['Tag "sd-fast"'] == f"{path}:10"
    assert shown["Workers auto"] == "default"
    assert {option.key for option in OPTIONS} <= {word.strip("<") for line in out for word in line.split()[:2]} | {
        word.strip(":") for line in out for word in line.split()[:2]
    }
    assert bench.libvirt.calls == []


def test_the_interval_in_force_may_be_collectds(bench):
    bench.write("collectd.conf", "Interval 7\n" + MAIN)
    bench.options()
    _, out, _ = bench.run("--show-config")
    assert f"Interval 7  # {bench.main}:1" in [" ".join(line.split()).replace(" #", "  #") for line in out]


def test_the_configuration_in_force_as_json(bench):
    path = bench.options('Domain "a" "b"\nExtraStats disk vm\n<Instance "fast">\nTag "x"\nExtraStats ""\n</Instance>')
    _, (line,), _ = bench.run("--show-config", "--json")
    told = json.loads(line)
    found = [(one["option"], one["instance"], one["value"], one["line"]) for one in told["options"]]
    assert told["files"] == [bench.main, path]
    assert ("Domain", None, "a", 7) in found
    assert ("Domain", None, "b", 7) in found
    assert ("ExtraStats", None, ["disk", "vm"], 8) in found
    assert ("Instance", None, "fast", 9) in found
    assert ("Tag", "fast", "x", 10) in found
    assert ("ExtraStats", "fast", [], 11) in found
    assert ("Workers", None, None, None) in found
    assert {option.key for option in (*OPTIONS, *INSTANCE_OPTIONS)} == {one["option"] for one in told["options"]}


def test_showing_a_configuration_with_mistakes_says_so_by_its_status(bench):
    bench.options("Intervall 3")
    assert bench.run("--show-config")[0] == 1
    bench.write("conf.d/a.conf", "<A>\n")
    status, _, err = bench.run("--show-config")
    assert status == 2
    assert "conf.d/a.conf:1: error: the block <A>" in err[0]


def test_files_that_take_too_long_to_read_are_given_up(bench, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(check, "READING", 0.05)
    monkeypatch.setattr(conffile, "read", lambda paths: release.wait(10.0))
    status, out, err = bench.run()
    release.set()
    assert (status, out) == (2, [])
    assert "The configuration was not read within 0.05 s" in err[0]
