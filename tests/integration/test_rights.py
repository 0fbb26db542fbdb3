"""virt2 without root: what it needs, what it loses, and what the rules and drop-ins in contrib do for it."""

from __future__ import annotations

import configparser
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.integration.support import INTERVAL, give_own_etc, names_of, of_host
from tests.lab import Collectd, Guest, Lab, python_module, wait_for
from tests.lab.machine import ROOT

SOON = 20.0
CONTRIB = ROOT / "contrib"
USER = "collectd"
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
POLKITD = ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")
"""Where Debian has it, and where others do."""
DENIAL = """\
polkit.addRule(function(action, subject) {
    if (action.id.indexOf("org.libvirt.unix.") === 0) {
        return polkit.Result.NO;
    }
    return polkit.Result.NOT_HANDLED;
});
"""
"""An administrator's rule that takes all rights from everybody but root. Its file comes after ours."""


def section(drop_in: str, name: str) -> dict[str, str]:
    """One section of a drop-in of systemd's."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string((CONTRIB / "systemd" / drop_in).read_text())
    return dict(parser[name])


class Host:
    """A lab with a user that collectd may run as, and a libvirtd that asks polkit."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        give_own_etc(lab)
        self.shell("rm -rf /etc/polkit-1/rules.d; mkdir -p /etc/polkit-1/rules.d /run/dbus /run/systemd/sessions")
        self.shell(f"useradd --system --user-group --no-create-home --shell /usr/sbin/nologin {USER}")
        self.guest = lab.guest(Guest("web-1"))

    def shell(self, line: str, check: bool = True) -> str:
        return self.lab.run(["bash", "-c", line], check=check)

    def ask_polkit(self) -> None:
        """Have libvirtd leave it to polkit who may connect."""
        self.lab.popen(["dbus-daemon", "--system", "--nofork", "--nopidfile"], log=self.folder / "dbus.log")
        wait_for(lambda: self.lab.inside("/run/dbus/system_bus_socket").exists(), SOON, "there is a bus")
        polkitd = next(path for path in POLKITD if os.path.exists(path))
        self.lab.popen([polkitd], log=self.folder / "polkit.log")
        owner = "dbus-send --system --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.NameHasOwner"
        wait_for(
            lambda: "boolean true" in self.shell(f"{owner} string:org.freedesktop.PolicyKit1", check=False),
            SOON,
            "polkitd answers",
        )
        settings = 'auth_unix_ro = "polkit"\nauth_unix_rw = "polkit"\nunix_sock_rw_perms = "0777"\n'
        self.lab.inside("/etc/libvirt/libvirtd.conf").write_text(settings)
        self.lab.restart_libvirtd()

    def may(self, *options: str, user: str = USER) -> bool:
        """Whether a user may list domains over a connection of some kind."""
        command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        virsh = ["virsh", "--connect", "qemu:///system", *options, "list", "--name"]
        return "web-1" in self.lab.run([*command, *virsh], check=False).split()

    def add_rule(self, name: str, text: str) -> None:
        self.lab.inside(f"/etc/polkit-1/rules.d/{name}").write_text(text)


@pytest.fixture
def host(lab):
    """A host whose folder everybody may look into."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="virt2-rights-") as folder:
        os.chmod(folder, 0o755)
        subprocess.run(["cp", "-r", ROOT / "virt2", folder], check=True)
        yield Host(lab, Path(folder))


def test_the_rules_for_polkit_give_collectds_user_what_they_say_and_nobody_else_anything(host):
    host.ask_polkit()
    # As libvirt's own policy has it: everybody may read.
    assert host.may("--readonly")
    assert not host.may()
    host.add_rule("60-host.rules", DENIAL)
    wait_for(lambda: not host.may("--readonly"), SOON, "the administrator's rule holds")

    rules = CONTRIB / "polkit"
    host.add_rule("50-virt2-read.rules", (rules / "50-virt2-read.rules").read_text())
    wait_for(lambda: host.may("--readonly"), SOON, "the user may read")
    assert not host.may()
    assert not host.may("--readonly", user="nobody")

    host.add_rule("50-virt2-agents.rules", (rules / "50-virt2-agents.rules").read_text())
    wait_for(host.may, SOON, "the user may do everything")
    assert not host.may(user="nobody")
    assert sorted(path.name for path in rules.iterdir()) == ["50-virt2-agents.rules", "50-virt2-read.rules"]


class AsUser:
    """Starts commands in a lab as the user."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def popen(self, argv, log):
        return self._lab.popen([*AS_USER, *argv], log=log)


READ_ONLY = 'auth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n'
"""A libvirtd whose read-only socket is for everybody, as Debian's is, and the other one for root."""


def a_collectd_without_root(host: Host) -> tuple[Collectd, str]:
    """A collectd that runs as the drop-in has it, and the path of its status socket."""
    host.lab.inside("/etc/libvirt/libvirtd.conf").write_text(READ_ONLY)
    host.lab.restart_libvirtd()
    service = section("virt2-user.conf", "Service")
    assert (service["User"], service["Group"]) == (USER, USER)
    # What systemd does for it.
    run = f"/run/{service['RuntimeDirectory']}"
    host.shell(f"mkdir {run} && chown {USER}:{USER} {run}")
    socket = f"{run}/status.sock"
    folder = host.folder / "collectd"
    folder.mkdir()
    settings = f'ExtraStats "guest_info memory"\nStatusSocket "{socket}"'
    daemon = Collectd(AsUser(host.lab), folder, {"virt2.conf": python_module("virt2", settings, host.folder)}, INTERVAL)
    host.shell(f"chown -R {USER}:{USER} {folder}")
    return daemon, socket


def test_without_root_every_default_series_is_there_and_what_is_lost_is_said(host):
    daemon, socket = a_collectd_without_root(host)
    with daemon:
        wait_for(lambda: names_of(host.guest) <= set(of_host(daemon.series(), "web-1")), SOON, "all series are there")
        wait_for(lambda: "budget 4 of libvirtd's workers" in daemon.log, SOON, "the start is told")
        assert "libvirtd's limits are unknown" in daemon.log
        assert "counters of interfaces are asked of libvirt" in daemon.log
        assert "CPU time is read off the kernel" in daemon.log
        virt2 = f"PYTHONPATH={host.folder} /usr/bin/python3 -m virt2.cli"
        domains = f"{virt2} domains --socket {socket}"
        assert "web-1" in host.shell(domains, check=False)
        assert "web-1" in host.lab.run([*AS_USER, "bash", "-c", domains])
        assert "Traceback" not in daemon.log
        check = f"{virt2} check {host.folder}/collectd/collectd.conf"
        found = host.lab.run([*AS_USER, "bash", "-c", check], check=False)
        assert "may not use /run/libvirt/libvirt-sock, without which guest_info cannot ask any agent" in found
        assert "does not tell collectd" in found


def test_where_the_processes_of_others_are_hidden_it_is_said(host):
    host.shell("mount -o remount,hidepid=2 /proc")
    daemon, _ = a_collectd_without_root(host)
    with daemon:
        wait_for(lambda: names_of(host.guest) <= set(of_host(daemon.series(), "web-1")), SOON, "all series are there")
        wait_for(lambda: "hides the processes of other users" in daemon.log, SOON, "it is said")


@pytest.mark.parametrize("drop_in", sorted((CONTRIB / "systemd").iterdir()), ids=lambda path: path.name)
def test_systemd_takes_the_drop_ins(drop_in, tmp_path):
    unit = Path("/lib/systemd/system/collectd.service")
    folder = tmp_path / "collectd.service.d"
    folder.mkdir()
    (tmp_path / "collectd.service").write_text(unit.read_text())
    (folder / drop_in.name).write_text(drop_in.read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", "collectd.service"],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert (done.returncode, done.stderr) == (0, "")
