"""``virt2 domains``, ``limits`` and ``explain`` as a whole: from a running virt2, and by a look at the host."""
# ruff: noqa: F811 - pytest gives fixtures by their names

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.cli.fake_status import many, serving
from tests.unit.plugin.conftest import host, module  # noqa: F401 - fixtures
from virt2.cli import conffile, process, report, word
from virt2.version import VERSION

ROOT = Path(process.__file__).parents[2]
CONFIGURATION = """\
LoadPlugin python
<Plugin python>
  Import "virt2"
  <Module virt2>
    StatusSocket "{socket}"
  </Module>
</Plugin>
"""


@pytest.fixture(autouse=True)
def configuration(tmp_path, monkeypatch):
    """The usual configuration, which names a socket in the folder of the test."""
    main = tmp_path / "collectd.conf"
    main.write_text(CONFIGURATION.format(socket=tmp_path / "virt2.sock"))
    monkeypatch.setattr(conffile, "USUAL", (str(main),))
    return main


@pytest.fixture
def server(tmp_path):
    with serving(str(tmp_path / "virt2.sock")) as server:
        yield server


@pytest.fixture
def run(capsys):
    """Runs the command in this process; gives its exit status and what it prints."""

    def running(*words):
        status = process.run(words)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        assert out.isprintable() or all(line.isprintable() for line in out.splitlines())
        return status, out, err

    return running


def test_domains_are_a_table_with_where_it_is_from(server, run):
    status, out, err = run("domains")
    lines = out.splitlines()
    assert (status, err) == (1, "")
    assert lines[0].split() == ["DOMAIN", "STATE", "MONITOR", "FOR", "TAG", "FROM", "STORAGE", "READER", "UUID"]
    assert [line.split()[0] for line in lines[1:5]] == ["\\x1b[31mbad\\n", "db-1", "web-1", "old"]
    assert lines[2].split()[2:6] == ["blocked:", "blockStats", "3", "min"]
    assert lines[5:] == [
        "3 active domains, 1 not active, 1 stuck.",
        f"virt2 {VERSION}, which runs, says this at {server.path}.",
    ]


def test_stuck_domains_are_first_where_that_is_wanted(server, run):
    assert run("domains", "--stuck")[1].splitlines()[1].startswith("db-1 ")


@pytest.mark.parametrize(
    ("patterns", "names"),
    [(["web-1"], ["web-1"]), (["*-1"], ["db-1", "web-1"]), (["w*", "old"], ["web-1", "old"]), (["?b-1"], ["db-1"])],
)
def test_names_are_picked_by_patterns(server, run, patterns, names):
    status, out, _ = run("domains", "--names", *patterns)
    assert (status, out.splitlines()) == (0, names)


def test_the_status_is_of_the_domains_that_are_picked(server, run):
    assert run("domains", "web-1")[0] == 0
    assert run("domains", "db-1")[0] == 1


def test_a_pattern_that_matches_nothing_is_a_sentence(server, run):
    assert run("domains", "\x1b[2J") == (
        2,
        "",
        "virt2: None of 4 domains has a name that matches '\\x1b[2J'.\n",
    )


@pytest.mark.parametrize(
    "words", [["domains"], ["limits"], ["explain", "db-1"], ["explain", "\x1b[31mbad\n"]], ids=lambda words: words[0]
)
def test_json_is_one_line_with_the_status(server, run, words):
    status, out, err = run(*words, "--json")
    assert (err, out.count("\n")) == ("", 1)
    found = json.loads(out)
    assert (found["version"], found["virt2"], found["status"], found["source"]) == (1, VERSION, status, "plugin")
    assert found["missing"] == []
    assert found["answer"]


def test_names_leave_out_what_controls_a_terminal(server, run):
    assert run("domains", "--names")[1].splitlines() == ["db-1", "web-1", "old"]


def test_a_narrow_terminal_leaves_out_columns_and_says_so(server, run, monkeypatch):
    monkeypatch.setattr(report, "columns", lambda: 80)
    lines = run("domains")[1].splitlines()
    assert all(len(line) <= 80 for line in lines[:5])
    assert "There is no room for UUID; --json has everything." in lines


def test_limits_have_numbers_with_reasons(server, run):
    status, out, _ = run("limits")
    assert status == 1
    assert "10  budget: workers that virt2 holds at most: half of libvirtd's 20 workers." in out
    assert "1 call is stuck" in out
    assert "db-1    blockStats  monitor  3 min  stuck" in out


@pytest.mark.parametrize("words", [["domains"], ["limits"], ["top", "--once", "--interval", "0.5"]], ids=lambda w: w[0])
def test_a_libvirtd_that_answers_nobody_is_told_once_though_the_domains_are_known(tmp_path, run, words):
    silent = many(3)
    silent = silent._replace(server=silent.server._replace(silent=True))
    with serving(str(tmp_path / "silent.sock"), silent) as status:
        code, out, _ = run(*words, "--socket", status.path)
    assert code == 1
    assert " ".join(out.split()).lower().count("libvirtd seems to answer nobody; look whether it is stopped") == 1


def test_a_story_ends_with_what_to_do(server, run):
    status, out, _ = run("explain", "db-1")
    assert status == 1
    assert "Its monitor has been blocked for 200 s: blockStats." in out
    assert out.index("What to do:\n  Look at its QEMU") > out.index("Disk vda, on sd-2: /images/0")
    assert run("explain", "web-1")[0] == 0


def test_a_domain_that_nobody_knows_is_told_with_the_nearest_names(server, run):
    status, out, err = run("explain", "wep-1")
    assert (status, out) == (2, "")
    assert err.startswith("virt2: None of the 4 domains that virt2 knows has the name or UUID 'wep-1'; the nearest")


def test_a_socket_that_lies_is_a_sentence(server, run):
    server.say_answer({"domains": 1})
    status, out, err = run("domains")
    assert (status, out) == (2, "")
    assert "answers is of no use: answer has no reach (virt2 '9.9.9'). Look whether collectd hangs" in err


def test_a_socket_that_hangs_is_a_sentence_in_time(server, run):
    server.behave = lambda sock, line: server.is_over.wait()
    began = time.monotonic()
    status, _, err = run("domains")
    assert status == 2
    assert "gave no whole answer within 2 s. Look whether collectd hangs" in err
    assert time.monotonic() - began < 3


def test_a_named_socket_is_asked_whatever_the_configuration_is(server, run, configuration):
    configuration.write_text("<Plugin")
    assert run("domains", "--socket", server.path)[0] == 1
    status, _, err = run("domains")
    assert status == 2
    assert "The configuration cannot be read: " in err
    assert "--socket" in err


def test_a_named_socket_that_is_not_there_is_no_reason_to_look(run, tmp_path):
    assert run("limits", "--socket", str(tmp_path / "no")) == (
        2,
        "",
        f"virt2: Nobody can be asked, because there is no status socket {tmp_path}/no.\n",
    )


def test_a_configuration_that_is_not_there_is_a_sentence(run, tmp_path):
    status, out, err = run("domains", "--config", str(tmp_path / "no.conf"))
    assert (status, out) == (2, "")
    assert "no.conf" in err


def test_an_empty_name_is_bad_usage(run):
    assert run("explain", "")[0] == 2


def test_without_a_plugin_the_host_is_looked_at(run, module, host, tmp_path):
    host.hypervisor.add("web", tag="ssd")
    status, out, err = run("domains")
    assert (status, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["web", "running"]
    assert f"This host was looked at, because there is no status socket {tmp_path}/virt2.sock." in out
    assert run("domains", "--names")[1] == "web\n"
    assert json.loads(run("explain", "web", "--json")[1])["source"] == "host"
    assert run("limits")[0] == 0
    assert run("explain", "wep")[0] == 2


def test_a_look_is_had_though_a_plugin_runs(run, module, host, server):
    host.hypervisor.add("real")
    assert run("domains", "--look", "--names")[1] == "real\n"
    assert server.asked == []


def test_without_any_configuration_the_defaults_count(run, module, host, monkeypatch):
    monkeypatch.setattr(conffile, "USUAL", ("/none",))
    host.hypervisor.add("web")
    status, out, _ = run("domains", "--look")
    assert status == 0
    assert "There is no configuration of collectd, so virt2's defaults count. This host was looked at" in out


def test_a_frozen_libvirtd_is_told_within_3_s(run, module, host):
    host.hypervisor.add("web")
    with host.hypervisor.stopped():
        for words in (["domains"], ["limits"], ["explain", "web"]):
            began = time.monotonic()
            status, out, err = run(*words)
            assert time.monotonic() - began < 2.9
            assert status == 2
            assert (out + err).count("it is not known which domains there are") == 1


def test_a_libvirtd_that_is_away_is_told(run, module, host):
    host.hypervisor.down = "no socket \x1b[2J"
    status, out, err = run("domains")
    assert (status, out) == (2, "")
    assert err.startswith("virt2: libvirt cannot be reached: ")
    status, out, _ = run("limits")
    assert status == 2
    assert out.count("cannot be reached") == 1


def test_a_libvirt_behind_ssh_is_not_asked(run, module, host, configuration):
    configuration.write_text(
        configuration.read_text().replace(
            "    StatusSocket", '    Connection "qemu+ssh://far/system"\n    StatusSocket'
        )
    )
    status, _, err = run("domains")
    assert status == 2
    assert "may ask for a password" in err
    assert host.hypervisor.calls == []


def test_without_the_binding_of_libvirt_it_is_a_sentence(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "libvirt", None)
    for name in ("virt2.assembly", "virt2.sources.hypervisor"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    status, _, err = run("domains")
    assert status == 2
    assert "cannot load the binding of libvirt" in err


def test_a_table_of_a_hundred_domains_is_there_in_a_tenth_of_a_second(tmp_path, configuration):
    with serving(str(tmp_path / "virt2.sock"), many(100)):
        took = []
        for _ in range(5):
            began = time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", "virt2.cli", "domains", "--config", str(configuration)],
                cwd=ROOT,
                env=os.environ,
                capture_output=True,
                text=True,
                timeout=20,
            )
            took.append(time.monotonic() - began)
            assert len(done.stdout.splitlines()) == 103
    # The machine may be busy. A library for tables, or libvirt's binding, would make every one of them longer.
    assert min(took) < 0.25


def test_what_a_view_of_a_running_plugin_imports_is_light(tmp_path, configuration):
    program = (
        "import sys\nfrom virt2.cli import process\n"
        f"process.run(['domains', '--names', '--config', {str(configuration)!r}])\n"
        "heavy = 'rich', 'libvirt', 'virt2.assembly', 'difflib', 'subprocess'\n"
        "print(*(name for name in heavy if name in sys.modules))"
    )
    with serving(str(tmp_path / "virt2.sock")):
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True
        )
    assert done.stdout.splitlines()[-1] == ""
    assert word.BOUND < 3
