"""What the files of the host tell, and that nothing that is not there fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import virt2
from tests.unit.sources.test_procfs import Host as Processes
from virt2.cli import host
from virt2.version import VERSION

ROOT = str(Path(virt2.__file__).parents[1])


def test_plugins_are_listed_by_their_files(tmp_path):
    for name in ("python.so", "csv.so", "README", "Odd.so"):
        (tmp_path / name).touch()
    assert host.plugins(str(tmp_path)) == host.Plugins(str(tmp_path), frozenset({"python", "csv", "odd"}))
    assert host.plugins(str(tmp_path / "none")) is None


def test_without_plugindir_the_usual_folders_are_looked_at(tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "csv.so").touch()
    monkeypatch.setattr(host, "PLUGIN_DIRS", (str(tmp_path / "a"), str(tmp_path / "b")))
    assert host.plugins() == host.Plugins(str(tmp_path / "b"), frozenset({"csv"}))
    monkeypatch.setattr(host, "PLUGIN_DIRS", ())
    assert host.plugins() is None


def embedding(tmp_path, version, monkeypatch, program=sys.executable):
    """A python plugin that embeds this version, which a program stands for."""
    (tmp_path / "python.so").write_bytes(b"\0junk\0libpython" + version.encode() + b".so.1.0\0more")
    monkeypatch.setattr(host, "PROGRAMS", (program,))
    return host.embedded_python(str(tmp_path))


def test_the_embedded_python_tells_of_itself(tmp_path, monkeypatch):
    found = embedding(tmp_path, "3.11", monkeypatch)
    assert (found.version, found.library) == ("3.11", "libpython3.11.so.1.0")
    assert any(path.endswith(("site-packages", "dist-packages")) for path in found.path)
    # Isolated: neither the folder of this process nor that of its user is on the path.
    assert ROOT not in found.path


def test_a_library_that_is_not_installed_is_seen(tmp_path, monkeypatch):
    assert embedding(tmp_path, "3.999", monkeypatch).loads is False


@pytest.mark.parametrize("script", ["exit 1", "echo no JSON", "echo '[1]'"])
def test_a_python_that_does_not_tell_is_unknown(tmp_path, monkeypatch, script):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    assert embedding(tmp_path, "3.998", monkeypatch, str(program)) is None
    assert embedding(tmp_path, "3.998", monkeypatch, str(tmp_path / "none")) is None


def test_without_a_python_plugin_nothing_is_known_of_its_python(tmp_path):
    assert host.embedded_python(str(tmp_path)) is None
    (tmp_path / "python.so").write_bytes(b"\0libperl.so\0")
    assert host.embedded_python(str(tmp_path)) is None


def test_types_are_read_by_their_names(tmp_path):
    db = tmp_path / "types.db"
    db.write_bytes(
        b"# comment\n\ngauge value:GAUGE:U:U\n  if_octets\trx:DERIVE:0:U, tx:DERIVE:0:U\nalone\n\xff x:GAUGE:U:U"
    )
    assert host.types_in(str(db)) == {"gauge", "if_octets", "\ufffd"}
    with pytest.raises(OSError, match="No such file"):
        host.types_in(str(tmp_path / "none"))


def test_the_types_of_virt2_are_read(tmp_path):
    assert host.types_in(os.path.join(ROOT, "virt2", "types.db")) == {"file_system"}


def test_the_version_of_virt2_in_a_folder(tmp_path):
    assert host.version_in(ROOT) == VERSION
    assert host.version_in(str(tmp_path)) is None
    (tmp_path / "virt2").mkdir()
    (tmp_path / "virt2" / "__init__.py").touch()
    assert host.version_in(str(tmp_path)) == ""
    (tmp_path / "virt2" / "version.py").write_text('VERSION = "9.9.9"\n')
    assert host.version_in(str(tmp_path)) == "9.9.9"


@pytest.fixture
def daemon(tmp_path):
    """Asks for the user of collectd where a process of some name has the number in its pid file."""
    processes = Processes(tmp_path)
    (tmp_path / "collectd.pid").write_text("4711\n")

    def ask(name, path=str(tmp_path / "collectd.pid")):
        processes.process(4711, comm=name)
        return host.daemon_user(path, str(processes.proc))

    return ask


def test_the_user_of_collectd_is_that_of_its_process(daemon, monkeypatch, tmp_path):
    assert daemon(b"collectd") == host.own_user()
    assert daemon(b"collectd", "") == ""
    monkeypatch.setattr(host, "PID_FILES", ("/none", str(tmp_path / "collectd.pid")))
    assert daemon(b"collectd", "") == host.own_user()


def test_another_process_with_the_number_is_not_collectd(daemon):
    assert daemon(b"sleep") == ""
    assert daemon(b"collectd", "/none") == ""


def test_a_user_without_a_name_is_a_number(monkeypatch):
    monkeypatch.setattr("os.getuid", lambda: 4123456)
    assert host.own_user() == "4123456"


@pytest.mark.parametrize(("content", "enforces"), [("1", True), ("0", False), ("", False), (None, False)])
def test_selinux(tmp_path, content, enforces):
    if content is not None:
        (tmp_path / "enforce").write_text(content)
    assert host.enforces_selinux(str(tmp_path / "enforce")) is enforces
