"""docs/dashboards.md."""

from tests.commands.table import Elsewhere, How, Never

PAGE = "docs/dashboards.md"
_TEST = "tests/integration/test_prometheus.py"
LINES: dict[str, How] = {
    "apt-get install --no-install-recommends libmicrohttpd12 libprotobuf-c1": Elsewhere(
        "scripts/lib.sh", by="printf '%s\\n' libmicrohttpd12\n"
    ),
    "apt-get install --no-install-recommends rrdtool": Elsewhere(
        "scripts/lib.sh", by="lab_packages+=(prometheus rrdtool)"
    ),
    "promtool check config /etc/prometheus/prometheus.yml": Elsewhere(_TEST, by='"check", "config"'),
    "promtool test rules virt2.rules.test.yml": Elsewhere(_TEST, by='"test", "rules", "virt2.rules.test.yml"'),
    "service prometheus reload": Never("The Prometheus of these tests is not a service of the machine."),
    "contrib/rrd/virt2-graphs --data /var/lib/collectd/rrd --out /var/www/html/virt2 --since 1d": Elsewhere(
        _TEST, by='"virt2-graphs"), "--data"'
    ),
}
