"""docs/command.md."""

from tests.commands.table import Elsewhere, How, Lab

PAGE = "docs/command.md"
_HERE = Elsewhere("tests/unit/cli/test_docs.py")
LINES: dict[str, How] = {
    "/usr/bin/python3 -m virt2.cli": Lab("^usage: virt2", status=2),
    "python3 -m virt2.cli": Lab("^usage: virt2", status=2),
    "virt2 check": (
        Lab("the C plugin virt is loaded too", state="beside"),
        Lab("nothing in this configuration imports virt2", status=1, state="no import"),
    ),
    "virt2 check /etc/collectd/collectd.conf.d/virt2.conf": _HERE,
    "virt2 check collectd.conf.d/virt2.conf collectd.conf.d/examples/virt2-fast.conf": _HERE,
    "virt2 check --show-config": Lab(r'Connection "qemu:///system"'),
    "virt2 check --json": _HERE,
    "virt2 check --show-config --json": _HERE,
    "virt2 domains": Lab(r"^web-1 +running +ok"),
    "virt2 domains --stuck 'web-*'": Lab(r"^web-1 +running +blocked: process stopped", status=1, state="stuck"),
    "virt2 domains --look": Lab("This host was looked at"),
    "virt2 domains --socket /run/virt2.sock": Lab("^web-2 "),
    "virt2 domains --json": _HERE,
    "virt2 domains --names": Lab("^web-1$"),
    "virt2 limits": Lab(r" 20 +workers at most"),
    "virt2 limits --config /etc/collectd/collectd.conf.d/virt2.conf": Lab(" 20 +workers at most"),
    "virt2 limits --json": Lab(r'^\{.*"budget"'),
    "virt2 explain web-1": (
        Lab("It waits for nothing"),
        Lab("kill -CONT", status=1, state="stuck"),
    ),
    "virt2 explain web-1 --json": Lab(r'"identity": ?\{"host": ?"web-1"'),
    "virt2 top --once": Lab("web-1"),
    "virt2 top --once --interval 1 --sort disk": Lab("web-1"),
    "virt2 completion bash > /etc/bash_completion.d/virt2": _HERE,
    "virt2 completion zsh > /usr/local/share/zsh/site-functions/_virt2": _HERE,
    "virt2 completion fish > /etc/fish/completions/virt2.fish": _HERE,
}
