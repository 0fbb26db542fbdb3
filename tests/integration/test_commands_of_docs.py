"""The command lines of the documentation do in a lab what the pages say, each as it stands there.

tests/commands/pages says of each line what it must print, and in which of the `STATES` below.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import libvirt
import pytest

from tests.commands.table import labs, tables
from tests.integration.support import give_own_etc
from tests.lab import Guest, Lab, wait_for
from tests.lab.collectd_daemon import C_PLUGIN, python_module
from tests.lab.machine import ROOT

SOON = 20.0
"""Seconds within which collectd and virt2 do what takes them one or two."""
LONGEST = 30.0
"""Seconds for a command of a page."""
PATH = "/usr/local/sbin:/run/docs/bin:/usr/sbin:/usr/bin:/sbin:/bin"
OWN = "/run/docs"
"""The lab's own folder with the command and with what collectd writes."""

PROGRAM = f"""\
#!/bin/sh
PYTHONPATH={OWN}/lib exec /usr/bin/python3 -m virt2.cli "$@"
"""
"""`virt2`, as the packages install it: for every user, who may not be allowed to look into a checkout."""

COLLECTD = f"""\
Hostname "node"
FQDNLookup false
Interval 1
PIDFile "{OWN}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin logfile
<Plugin logfile>
  LogLevel info
  File "{OWN}/collectd.log"
</Plugin>
LoadPlugin csv
<Plugin csv>
  DataDir "{OWN}/csv"
</Plugin>
Include "/etc/collectd/collectd.conf.d/*.conf"
"""
DROP_IN = python_module("virt2", 'Connection "qemu:///system"', Path(f"{OWN}/lib"))

LINES = [
    pytest.param(line, how, id=f"{page}: {line} ({how.state})")
    for page, lines in tables().items()
    for line, hows in lines.items()
    for how in labs(hows)
]


class Host:
    """A lab that looks like a host whose operator has read the pages."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        # Everything below is the lab's own: mounts end with it.
        give_own_etc(lab)
        for line in (
            "for own in /srv /var/lib/collectd; do mkdir -p $own && mount -t tmpfs tmpfs $own; done",
            f"mkdir -p {OWN}/bin {OWN}/lib /etc/collectd/collectd.conf.d /srv/images /var/lib/collectd/rrd",
            f"cp -r {ROOT}/virt2 {OWN}/lib && rm -f /etc/collectd/collectd.conf.d/*",
        ):
            self.do(line)
        self.write(f"{OWN}/bin/virt2", PROGRAM)
        self.do(f"chmod 755 {OWN} {OWN}/bin {OWN}/lib {OWN}/bin/virt2")
        self.write("/etc/collectd/collectd.conf", COLLECTD)
        self.write("/etc/collectd/collectd.conf.d/virt2.conf", DROP_IN)
        self.storage = lab.storage("images")
        self.do(f"mount --bind {self.storage.path} /srv/images")
        self.guests = lab.guests([Guest("web-1", tag="web"), Guest("web-2")])
        # One that stays when it is shut off, as an operator's domains do.
        lab.connection.defineXML(self.guests[0].domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        self.start_collectd()

    def run(self, line: str) -> tuple[int, str]:
        """Run a line in a shell of root's."""
        log = self.lab.work_dir / "line.log"
        log.unlink(missing_ok=True)
        process = self.lab.popen(["env", f"PATH={PATH}", "COLUMNS=100", "bash", "-c", line], log=log)
        status = process.wait(LONGEST)
        return status, log.read_text()

    def do(self, line: str) -> None:
        """Run a line that must do what it says."""
        status, said = self.run(line)
        assert status == 0, said

    def write(self, path: str, text: str) -> None:
        self.lab.inside(path).write_text(text)

    def start_collectd(self) -> None:
        line = "collectd -f -C /etc/collectd/collectd.conf"
        command = ["env", f"PATH={PATH}", *line.split()]
        self.collectd = self.lab.popen(command, log=self.lab.work_dir / "collectd.output")
        wait_for(lambda: "web-1" in self.run("virt2 domains --names")[1], SOON, "virt2 knows the domains")
        wait_for(lambda: self.monitor_is("web-1", "ok"), SOON, "and has read them")

    def monitor_is(self, name: str, wanted: str) -> bool:
        return re.search(rf"^{name} +running +{wanted}", self.run("virt2 domains")[1], re.MULTILINE) is not None

    @property
    def log(self) -> str:
        return self.lab.inside(f"{OWN}/collectd.log").read_text()


@contextlib.contextmanager
def well(host: Host) -> Iterator[None]:
    """Nothing is wrong."""
    yield


@contextlib.contextmanager
def stuck(host: Host) -> Iterator[None]:
    """The process of web-1 is stopped, and virt2 knows it."""
    host.guests[0].freeze()
    try:
        wait_for(lambda: host.monitor_is("web-1", "blocked: process stopped"), SOON, "web-1 is told to be stuck")
        yield
    finally:
        host.guests[0].thaw()
        wait_for(lambda: host.monitor_is("web-1", "ok"), SOON, "web-1 answers again")


@contextlib.contextmanager
def hanging(host: Host) -> Iterator[None]:
    """The storage at /srv/images does not answer."""
    host.storage.hang()
    try:
        yield
    finally:
        host.storage.heal()


@contextlib.contextmanager
def beside(host: Host) -> Iterator[None]:
    """The configuration has the C plugin as well."""
    host.write("/etc/collectd/collectd.conf.d/virt.conf", C_PLUGIN.format(settings=""))
    try:
        yield
    finally:
        host.do("rm /etc/collectd/collectd.conf.d/virt.conf")


@contextlib.contextmanager
def no_import(host: Host) -> Iterator[None]:
    """The configuration does not load virt2."""
    host.write("/etc/collectd/collectd.conf.d/virt2.conf", "")
    try:
        yield
    finally:
        host.write("/etc/collectd/collectd.conf.d/virt2.conf", DROP_IN)


@contextlib.contextmanager
def no_user(host: Host) -> Iterator[None]:
    """There is no user collectd, before and after."""
    yield
    host.do("userdel collectd")


@contextlib.contextmanager
def user(host: Host) -> Iterator[None]:
    """There is a user collectd, as the page makes it, and no collectd runs."""
    host.do("useradd --system --user-group --no-create-home --shell /usr/sbin/nologin collectd")
    host.collectd.stop(SOON)
    try:
        yield
    finally:
        host.start_collectd()
        host.do("userdel collectd")


@contextlib.contextmanager
def series(host: Host) -> Iterator[None]:
    """web-1 has files of the C plugin."""
    host.do("mkdir -p /var/lib/collectd/rrd/web-1/virt && touch /var/lib/collectd/rrd/web-1/virt/memory-total.rrd")
    yield
    assert host.lab.inside("/var/lib/collectd/rrd/web-1/virt2/memory-total.rrd").exists()


STATES: dict[str, Callable[[Host], contextlib.AbstractContextManager[None]]] = {
    "well": well,
    "stuck": stuck,
    "hanging": hanging,
    "beside": beside,
    "no import": no_import,
    "no user": no_user,
    "user": user,
    "series": series,
}
"""How the lab is while a line is run; each of them leaves it as it was."""


@pytest.fixture(scope="module")
def host(module_lab):
    return Host(module_lab)


@pytest.mark.parametrize(("line", "how"), LINES)
def test_a_command_line_of_the_pages_does_what_they_say(host, line, how):
    with STATES[how.state](host):
        status, printed = host.run(line)
    host.lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "20")
    assert status == how.status, printed
    assert re.search(how.prints, printed, re.MULTILINE), printed
    assert "Traceback" not in printed


def test_every_state_is_used():
    assert {param.values[1].state for param in LINES} == set(STATES)


def test_an_import_that_fails_says_what_the_page_says(host):
    host.write(f"{OWN}/broken.conf", COLLECTD.replace("Include", "#") + DROP_IN.replace(f"{OWN}/lib", "/nowhere"))
    status, said = host.run(f"collectd -f -C {OWN}/broken.conf")
    assert status != 0
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if "importing module" in line]
    for words in re.findall(r"`([^`]+)`", row.split(" | ")[0]):
        assert words in said + host.log, words
