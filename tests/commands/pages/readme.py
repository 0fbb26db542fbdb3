"""README.md."""

from tests.commands.table import Elsewhere, How, Lab, Never

PAGE = "README.md"
_STORY = Elsewhere("tests/packages/script.py")
_FOLDER = Elsewhere("tests/packages/folder.py")
TESTS = Never("It would run this test again, and all others; it is run before each release.")
LINES: dict[str, How] = {
    "scripts/run": Elsewhere("tests/integration/test_run.py"),
    "scripts/run --seconds 20": Elsewhere("tests/integration/test_run.py", "--seconds"),
    "scripts/test": TESTS,
    "scripts/test unit": TESTS,
    "scripts/test full": TESTS,
    "scripts/package deb": _STORY,
    "scripts/package rpm": Elsewhere("tests/packages/rpm.py", 'package("rpm"'),
    "apt-get install --no-install-recommends collectd libmnl0 python3-rich ./dist/virt2_*_all.deb": _STORY,
    "service collectd restart": _STORY,
    "man collectd-virt2": Elsewhere("tests/packages/deb.py", '["man", '),
    "apt-get install --no-install-recommends collectd-core libpython3.11 python3-libvirt": _FOLDER,
    "/usr/bin/python3 -m pip install --no-deps --target /usr/local/lib/virt2 .": _FOLDER,
    "mkdir -p /usr/local/lib/virt2 && cp -r virt2 /usr/local/lib/virt2/": _FOLDER,
    "pip install .": Never("The page names it to say that newer distributions refuse it."),
    "/usr/bin/python3 -m virt2.cli check": Lab(
        "nothing in this configuration imports virt2", status=1, state="no import"
    ),
    "virsh metadata web-1 http://ovirt.org/ovirtmap/tag/1.0 --key ovirtmap"
    " --set '<tag>sd-fast</tag>' --live --config": Lab("Metadata modified"),
}
