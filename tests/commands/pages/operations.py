"""docs/operations.md."""

from tests.commands.table import How, Lab, Never

PAGE = "docs/operations.md"
SYSTEMD = Never(
    "systemctl and journalctl need a systemd that runs the machine, and the machines of these tests have none."
)
_HARM = Never("The page says not to run it where storage hangs.")
_DAEMONS = Never("Debian packages no virtqemud.")
LINES: dict[str, How] = {
    "virt2 domains --stuck": (Lab("^web-2 +running +ok"), Lab(r"^web-1 .*process stopped", status=1, state="stuck")),
    "stat --file-system /srv/images & sleep 5; jobs": (
        Lab(r"Blocks: Total(?![\s\S]*Running)"),
        Lab(r"Running +stat", state="hanging"),
    ),
    "virsh domblkinfo": _HARM,
    "virsh domstats --block": _HARM,
    "virsh domstate web-1": Lab("^running", state="stuck"),
    "virsh dominfo web-1": Lab(r"^State:\s+running", state="stuck"),
    "virsh domcontrol web-1": Lab("ok|occupied|job", state="stuck"),
    "virt-admin srv-threadpool-set libvirtd --max-workers 40": Lab(r"^\s*$"),
    "virt-admin --connect virtqemud:///system srv-threadpool-set virtqemud --max-workers 40": _DAEMONS,
    "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin collectd": Lab(r"^\s*$", state="no user"),
    "usermod --append --groups libvirt collectd": Lab(r"^\s*$", state="user"),
    "setpriv --reuid collectd --regid collectd --clear-groups"
    " virsh --readonly --connect qemu:///system list --name": Lab("^web-1$", state="user"),
    "setpriv --reuid collectd --regid collectd --init-groups virt2 check": Lab(
        r"does not tell collectd\b.* how many workers it has", status=1, state="user"
    ),
    "setpriv --reuid collectd --regid collectd --init-groups virt2 domains": Lab("^web-1 ", state="user"),
    "systemctl daemon-reload": SYSTEMD,
    "systemctl restart collectd": SYSTEMD,
    "ausearch -m avc -c collectd": Never("It needs a kernel on which SELinux is enforced, with its audit log."),
}
