"""docs/command.md: what it lists is what there is, and each command line on it is run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.unit.cli.fake_status import serving
from tests.unit.status.snapshots import domain, snapshot
from tests.unit.test_docs import ROOT, rows
from virt2.cli import client, commands, screen
from virt2.cli.commands import COMMANDS
from virt2.cli.conffile import USUAL
from virt2.cli.findings import ERROR, NOTE, WARNING

PAGE = (ROOT / "docs" / "command.md").read_text(encoding="utf-8")
LINES = re.findall(r"^    (virt2 .+)$", PAGE, re.MULTILINE)
BOUND = 20.0
SAMPLE = (ROOT / "collectd.conf.d" / "virt2.conf").read_text(encoding="utf-8")

PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from virt2.cli import conffile, process
conffile.USUAL = tuple({etc!r} + path for path in conffile.USUAL)
sys.exit(process.run(sys.argv[1:]))
"""


@pytest.fixture
def host(tmp_path):
    """A folder that stands for the root of a host with a configuration, and the command."""
    for path in ("etc/collectd/collectd.conf.d", "etc/bash_completion.d", "etc/fish/completions", "bin", "run"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "usr/local/share/zsh/site-functions").mkdir(parents=True)
    (tmp_path / "collectd.conf.d").symlink_to(ROOT / "collectd.conf.d")
    (tmp_path / "etc/collectd/collectd.conf").write_text(f'Include "{tmp_path}/etc/collectd/collectd.conf.d/*.conf"\n')
    drop_in = SAMPLE.replace('"qemu:///system"', '"qemu+ssh://nowhere/system"')
    drop_in = drop_in.replace('"/run/virt2.sock"', f'"{tmp_path}/run/virt2.sock"')
    (tmp_path / "etc/collectd/collectd.conf.d/virt2.conf").write_text(drop_in)
    program = tmp_path / "bin" / "virt2"
    program.write_text(PROGRAM.format(python=sys.executable, root=str(ROOT), etc=str(tmp_path)))
    program.chmod(0o755)
    with serving(f"{tmp_path}/run/virt2.sock", snapshot(domain("web-1"), domain("web-2", 2))):
        yield tmp_path


def test_there_are_command_lines():
    assert len(LINES) > 7


# A look would go past the fake virt2, to whatever this machine has; test_views.py looks at a fake libvirt.
@pytest.mark.parametrize("line", [line for line in LINES if "--look" not in line])
def test_each_command_line_works(host, line):
    here = re.sub(r"(?<= )/(?=etc/|usr/|run/)", f"{host}/", line)
    path = f"{host}/bin:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", here], cwd=host, env={"PATH": path}, capture_output=True, text=True, timeout=BOUND
    )
    assert done.stderr == ""
    assert done.returncode in ((0, 1) if line.startswith("virt2 check") and "--show" not in line else (0,)), done.stdout
    written = re.search(r"> (\S+)", here)
    assert (host / written.group(1)).stat().st_size > 100 if written else done.stdout


def test_the_bounds_and_the_keys_of_the_views_are_those_of_the_code():
    assert f"It has {client.LIMIT:g} s." in PAGE
    assert f"Every `--interval` seconds, {top_interval():g} by default" in PAGE
    for key in (*screen.KEYS, "r", "p"):
        assert f"`{key}` " in PAGE
    columns = re.findall(r"`([^`]+)`", "".join(row[0] for row in rows(PAGE, "Watch the domains")))
    assert columns == [column.title for column in screen.COLUMNS[2:8]]


def top_interval():
    return commands.parser("top").parse_args(["top"]).interval


def test_every_command_is_on_the_page_and_is_run():
    assert rows(PAGE.replace("# The command `virt2`", "## Commands"), "Commands") == [
        [f"`virt2 {command.name}`", command.about] for command in COMMANDS
    ]
    assert {shlex.split(line)[1] for line in LINES} == {command.name for command in COMMANDS}


def test_the_severities_and_the_usual_places_are_those_of_the_code():
    assert [row[0] for row in rows(PAGE.replace("## Check a configuration", "## Check"), "Check")] == [
        ERROR,
        WARNING,
        NOTE,
    ]
    assert all(f"`{path}`" in PAGE for path in USUAL)
