"""Dashboards and alerts with the real Prometheus, which scrapes the collectd of a lab; pictures with the real rrdtool.

The rules are those of contrib with shorter times, because two minutes of `for` would be two minutes of each test. What
is shortened is listed in `SHORTER`, and promtool tests the rules as they are.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

from tests.integration.support import INTERVAL, SOON, collectd, wait_for_reads
from tests.lab import Collectd, Guest, wait_for

pytestmark = [pytest.mark.full, pytest.mark.timeout(400, method="thread")]

ROOT = Path(__file__).parents[2]
CONTRIB = ROOT / "contrib"
RULES = CONTRIB / "prometheus" / "virt2.rules.yml"
DASHBOARDS = sorted((CONTRIB / "grafana").glob("*.json"))
TARGET = "127.0.0.1"
SCRAPED = f"{TARGET}:9103"
URL = f"http://{TARGET}:9090"
EXTRA = 'ExtraStats "domain_state disk_latency job_stats_background"'
"""What the panels and alerts need that is not on by default."""
WINDOW = "10s"
"""Of the queries here: five reads."""
SHORTER = {
    r"\[1m\]": f"[{WINDOW}]",
    r"\[3m\]": f"[{WINDOW}]",
    r"for: \w+": "for: 2s",
    r"> 30\b": "> 4",
    r"> 120\b": "> 8",
}
"""What is shorter in these tests: how far a query looks back, how long it must hold, how many seconds are too many."""
FIRES = 60.0
"""Seconds within which an alert fires, or ends: a few reads, scrapes and evaluations, on a busy machine."""
MEMORY = 16 << 20
"""Bytes of each guest."""


def promtool(*arguments):
    """What promtool prints, on this host."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, cwd=CONTRIB / "prometheus"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def filled(expr, domain="web"):
    """A panel's query with what Grafana puts into it."""
    for variable, value in (("$__rate_interval", WINDOW), ("$host", TARGET), ("$domain", domain)):
        expr = expr.replace(variable, value)
    assert "$" not in expr
    return expr


def panels():
    """Every panel, by dashboard and title."""
    return {
        (file.stem, panel["title"]): panel for file in DASHBOARDS for panel in json.loads(file.read_text())["panels"]
    }


def test_prometheus_accepts_the_example_the_alerts_and_what_they_promise():
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml")
    assert "9 rules found" in promtool("check", "rules", RULES.name)
    assert "SUCCESS" in promtool("test", "rules", "virt2.rules.test.yml")


def test_every_query_of_the_dashboards_is_one(tmp_path):
    exprs = [target["expr"] for panel in panels().values() for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": filled(expr)} for number, expr in enumerate(exprs)]
    file = tmp_path / "panels.yml"
    # JSON is YAML as well.
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(exprs)} rules found" in promtool("check", "rules", str(file))


class Prometheus:
    """A Prometheus inside a lab, with the rules in their shorter form."""

    def __init__(self, lab, folder):
        self._lab = lab
        folder.mkdir()
        config = (CONTRIB / "prometheus" / "prometheus.yml").read_text()
        for old, new in (
            (r"_interval: 10s", "_interval: 1s"),
            (r"- targets:\n(?: +- .*\n)+", f'- targets: ["{SCRAPED}"]\n'),
        ):
            config, number = re.subn(old, new, config)
            assert number, old
        (folder / "prometheus.yml").write_text(config)
        rules = RULES.read_text()
        for old, new in SHORTER.items():
            rules, number = re.subn(old, new, rules)
            assert number, old
        (folder / RULES.name).write_text(rules)
        arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        self._log = folder / "log"
        self.process = lab.popen(["prometheus", *arguments, f"--web.listen-address={TARGET}:9090"], log=self._log)
        try:
            wait_for(self._ready, 2 * SOON, "Prometheus is ready")
        except BaseException:
            self.stop()
            raise

    def _ready(self):
        assert self.process.poll() is None, self._log.read_text()
        return "Server is ready to receive web requests" in self._log.read_text()

    def stop(self):
        self.process.stop(SOON)

    def ask(self, expr):
        """What a query returns now: labels and value of each series."""
        printed = self._lab.run(["promtool", "query", "instant", "-o", "json", URL, expr])
        return [(sample["metric"], float(sample["value"][1])) for sample in json.loads(printed) or ()]

    def firing(self):
        """The alerts that fire now, each with the domain, hypervisor or target that it is about."""
        found = self.ask('ALERTS{alertstate="firing"}')
        return {(labels["alertname"], labels.get("instance", labels["host"])) for labels, _ in found}

    def wait_firing(self, *expected):
        """Wait until these alerts fire, and no other; AssertionError with those that do."""
        try:
            wait_for(lambda: self.firing() == set(expected), FIRES)
        except TimeoutError:
            raise AssertionError(f"firing: {self.firing()}, expected: {expected}") from None

    def legends(self, panel):
        """What a panel shows now: the value of each line by its legend."""
        return {
            re.sub(r"{{(\w+)}}", lambda label, labels=labels: labels[label[1]], target["legendFormat"]): value
            for target in panel["targets"]
            for labels, value in self.ask(filled(target["expr"]))
        }


@pytest.fixture(scope="module")
def guests(module_lab):
    return {guest.name: guest for guest in module_lab.guests([Guest("web"), Guest("db"), Guest("idle", disks=1)])}


@pytest.fixture(scope="module")
def loopback(module_lab):
    # write_prometheus asks for addresses of a kind that this host has, and 127.0.0.1 does not count.
    module_lab.run(["ip", "address", "add", "127.0.0.2/32", "dev", "lo"])


def scraped_text():
    """The drop-in of contrib, at an address that nobody else reaches."""
    text = (CONTRIB / "collectd" / "write_prometheus.conf").read_text()
    text, number = re.subn(r'#Host "[\d.]+"', f'Host "{TARGET}"', text)
    assert number
    return text


@pytest.fixture(scope="module")
def daemon(module_lab, loopback, guests, tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched") / "collectd"
    settings = f"Instances 1\n{EXTRA}"
    with collectd(module_lab, folder, settings, prometheus=scraped_text()) as daemon:
        wait_for_reads(daemon, 2)
        yield daemon


@pytest.fixture(scope="module")
def prometheus(module_lab, daemon, tmp_path_factory):
    prometheus = Prometheus(module_lab, tmp_path_factory.mktemp("prometheus") / "data")
    yield prometheus
    prometheus.stop()


@pytest.fixture
def well(prometheus, guests):
    """No alert fires, before a test and after it."""
    prometheus.wait_firing()
    yield
    for guest in guests.values():
        guest.thaw()
    prometheus.wait_firing()


GUESTS = ("web", "db", "idle")
DISKS = ("vda", "vdb")
READ_BY = (f"{TARGET} 0",)


def of(devices, *words):
    return {f"{device} {word}" for device in devices for word in words}


def shown(nics):
    """The legends that each panel must have while nothing is wrong."""
    return {
        ("virt2-host", "Domains"): {"domains"},
        ("virt2-host", "Stuck domains"): {"stuck"},
        ("virt2-host", "Oldest sample"): {"oldest"},
        ("virt2-host", "Free workers of libvirtd"): {"free"},
        **{
            ("virt2-host", title): set(GUESTS)
            for title in (
                "CPU by domain",
                "Memory by domain",
                "Disks: read",
                "Disks: written",
                "Network: received",
                "Network: sent",
                "Age of samples",
            )
        },
        # Only of stuck domains, which the test that stops one looks at.
        ("virt2-host", "Monitor does not answer"): set(),
        ("virt2-domain", "CPU"): {"CPUs"},
        ("virt2-domain", "Memory"): {"total"},
        ("virt2-domain", "Disks: bytes"): of(DISKS, "read", "write"),
        ("virt2-domain", "Disks: requests"): of(DISKS, "read", "write"),
        ("virt2-domain", "Network: bytes"): of(nics, "rx", "tx"),
        ("virt2-domain", "Network: packets"): of(nics, "rx", "tx"),
        # Only where there are some.
        ("virt2-domain", "Network: errors and drops"): set(),
        ("virt2-domain", "Disks: time of a request"): of(DISKS, "read", "write"),
        ("virt2-domain", "Monitor does not answer"): {f"on {TARGET}"},
        ("virt2-domain", "Age of the sample"): {f"on {TARGET}"},
        ("virt2-domain", "State and reason"): {f"state on {TARGET}", f"reason on {TARGET}"},
        # Only while there is a job.
        ("virt2-domain", "Job: bytes processed"): set(),
        ("virt2-health", "Scraped"): {TARGET},
        ("virt2-health", "Stuck domains"): {TARGET},
        ("virt2-health", "A read takes"): set(READ_BY),
        ("virt2-health", "Domains by reader"): set(READ_BY),
        ("virt2-health", "Stuck and left out, by reader"): of(READ_BY, "stuck", "left out"),
        ("virt2-health", "Workers of virt2, by reader"): of(READ_BY, "all", "in a call", "stuck"),
        ("virt2-health", "Budget"): of([TARGET], "budget", "stuck"),
        ("virt2-health", "Workers of libvirtd"): of([TARGET], "max", "current", "free"),
        ("virt2-health", "Calls that wait in libvirtd"): {TARGET},
        ("virt2-health", "Oldest sample"): {TARGET},
    }


def test_every_panel_shows_what_there_is(prometheus, guests, well):
    expected = shown(guests["web"].nics)
    found = {}

    def complete():
        # Rates need two points, which not all have at the same time.
        for place, panel in panels().items():
            if place not in found or set(found[place]) != expected[place]:
                found[place] = prometheus.legends(panel)
        return {place: set(lines) for place, lines in found.items()} == expected

    with contextlib.suppress(TimeoutError):
        wait_for(complete, FIRES)
    wrong = {place: lines for place, lines in found.items() if set(lines) != expected[place]}
    assert wrong == {}
    assert set(found) == set(expected) == set(panels())

    host = {title: lines for (board, title), lines in found.items() if board == "virt2-host"}
    assert host["Domains"] == {"domains": len(GUESTS)}
    assert host["Stuck domains"] == {"stuck": 0}
    assert 0 <= host["Oldest sample"]["oldest"] < 4 * INTERVAL
    assert host["Memory by domain"] == dict.fromkeys(GUESTS, MEMORY)
    # They do little: it takes some seconds until the kernel has counted something of each.
    used = panels()["virt2-host", "CPU by domain"]
    wait_for(lambda: all(0 < value < 2 for value in prometheus.legends(used).values()), FIRES, "all use a CPU a little")
    # A guest reads or writes a sector of each disk every second.
    assert all(0 < value < 1 << 16 for title in ("Disks: read", "Disks: written") for value in host[title].values())
    assert all(value > 0 for value in host["Network: sent"].values())
    assert found["virt2-domain", "State and reason"] == {f"state on {TARGET}": 1, f"reason on {TARGET}": 1}
    assert found["virt2-health", "Workers of libvirtd"][f"{TARGET} max"] == 20
    assert found["virt2-health", "Budget"] == {f"{TARGET} budget": 10, f"{TARGET} stuck": 0}


def test_a_stopped_guest_is_alerted_and_is_no_more_when_it_goes_on(prometheus, guests, well):
    blocked = panels()["virt2-host", "Monitor does not answer"]
    guests["web"].freeze()
    prometheus.wait_firing(("Virt2DomainStuck", "web"))
    assert set(prometheus.legends(blocked)) == {"web"}
    # Two of one reader: their storage is suspected.
    guests["db"].freeze()
    prometheus.wait_firing(
        ("Virt2DomainStuck", "web"), ("Virt2DomainStuck", "db"), ("Virt2StorageSuspected", "collectd")
    )
    guests["db"].thaw()
    prometheus.wait_firing(("Virt2DomainStuck", "web"))
    guests["web"].thaw()
    prometheus.wait_firing()
    assert prometheus.legends(blocked) == {}


def test_a_libvirtd_without_workers_is_alerted_until_it_has_some(module_lab, prometheus, guests, well):
    module_lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "5")
    guests["web"].freeze()
    asking = [module_lab.popen(["virsh", "--readonly", "domblkstat", "web", "vda"]) for _ in range(12)]
    try:
        wait_for(lambda: ("Virt2LibvirtdOutOfWorkers", "collectd") in prometheus.firing(), FIRES, "the alert fires")
        guests["web"].thaw()
        wait_for(lambda: prometheus.firing() == set(), FIRES, "no alert fires")
    finally:
        guests["web"].thaw()
        for process in asking:
            process.wait(FIRES)
        module_lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "20")


def test_old_samples_are_alerted_while_libvirtd_is_away(module_lab, prometheus, well):
    module_lab.kill_libvirtd()
    try:
        prometheus.wait_firing(*(("Virt2SamplesOld", name) for name in GUESTS))
    finally:
        module_lab.start_libvirtd()
    prometheus.wait_firing()


def test_a_guest_that_its_storage_stopped_is_alerted_until_it_is_resumed(module_lab, prometheus, well):
    storage = module_lab.storage("full")
    path = module_lab.images(storage).create()
    disk = (
        f"<disk type='file' device='disk'><driver name='qemu' type='raw' error_policy='stop' rerror_policy='stop'/>"
        f"<source file='{path}'/><target dev='vda' bus='ide'/></disk>"
    )
    guest = module_lab.guest(Guest("full", disks=0, nics=0, devices=disk))
    try:
        storage.fail(errno.ENOSPC)
        prometheus.wait_firing(("Virt2PausedByIOError", "full"))
        storage.heal()
        guest.domain.resume()
        prometheus.wait_firing()
    finally:
        storage.heal()
        guest.stop()


def test_a_collectd_that_is_gone_and_one_without_virt2_are_alerted(module_lab, daemon, prometheus, well, tmp_path):
    daemon.stop()
    prometheus.wait_firing(("Virt2CollectdGone", SCRAPED))
    folder = tmp_path / "without"
    folder.mkdir()
    other = {"prometheus.conf": scraped_text(), "load.conf": "LoadPlugin load\n"}
    with Collectd(module_lab, folder, other, INTERVAL):
        prometheus.wait_firing(("Virt2Gone", SCRAPED))
    daemon.start()
    prometheus.wait_firing()


@pytest.mark.parametrize("kind", ["name", "uuid"])
def test_the_rrd_example_draws_pictures_of_what_rrdtool_keeps(lab, tmp_path, kind):
    guest = lab.guest(Guest("web"))
    text = (CONTRIB / "rrd" / "rrdtool.conf").read_text()
    data = tmp_path / "rrd"
    for old, new in ((r'DataDir ".*"', f'DataDir "{data}"'), ("CacheTimeout 120", "CacheTimeout 1")):
        text, number = re.subn(old, new, text)
        assert number
    host = guest.name if kind == "name" else guest.uuid
    with collectd(lab, tmp_path / "collectd", f"HostnameFormat {kind}", rrd=text) as daemon:
        wait_for_reads(daemon, 4)
    # What it had in memory is in the files when it has ended.
    own = data / host / "virt2"
    printed = subprocess.run(
        ["rrdtool", "lastupdate", str(own / "memory-total.rrd")],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=True,
    ).stdout
    assert float(printed.split()[-1]) == MEMORY
    out = tmp_path / "pictures"
    argv = [str(CONTRIB / "rrd" / "virt2-graphs"), "--data", str(data), "--out", str(out), "--since", "5min"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    names = {f"{host}-{picture}.png" for picture in ("cpu", "memory", "disk", "network", "stuck")}
    assert {file.name for file in out.iterdir()} == names
    for file in out.iterdir():
        picture = file.read_bytes()
        assert picture[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", picture[16:24])
        assert width > 600
        assert height > 180
