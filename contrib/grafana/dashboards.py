"""Writes the three dashboards for Grafana, `virt2-host.json`, `virt2-domain.json` and `virt2-health.json`.

    python3 contrib/grafana/dashboards.py [FOLDER]

The files are what you give to Grafana. This source is only here because a dashboard of Grafana repeats itself: change
the tables below, run it, and commit both. A test holds that the files are what this source writes.

The queries expect the labels that `contrib/prometheus/prometheus.yml` makes. `host` is the hypervisor that was scraped.
`instance` is the host of the series in collectd: the domain (its name or its UUID), or the hypervisor where virt2 tells
of itself. Without a plugin instance collectd writes the type instance into the label `virt2`, with one into the label
`type`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
SCHEMA_VERSION = 36
"""Of Grafana 9.0. A newer Grafana migrates it when it loads it."""
COLUMNS = 24
"""Grafana's grid is this wide."""
HEIGHT = 8
"""Of each panel, in Grafana's units."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
JOB = 'job="collectd"'
RECENT = "$__rate_interval"
"""At least four times the scrape interval of the datasource, so that an absent value ends its line."""


class Query(NamedTuple):
    """One query of a panel."""

    expr: str
    legend: str


class Panel(NamedTuple):
    """One panel: a graph, or a number where `kind` is `stat`."""

    title: str
    unit: str
    """One of Grafana's: `short`, `s`, `Bps` and so on."""
    description: str
    queries: Sequence[Query]
    kind: str = "timeseries"
    red_from: float | None = None
    """From this value on a number is red."""
    width: int = 12


def last(series: str) -> str:
    """The newest value of series, absent where the newest one is old."""
    return f"last_over_time({series}[{RECENT}])"


def rate(series: str) -> str:
    """What a counter gains in a second."""
    return f"rate({series}[{RECENT}])"


def named(name: str, labels: str) -> str:
    """The series of a name, with these labels."""
    return f"collectd_virt2_{name}{{{labels}}}"


# The dashboards show one hypervisor, one domain wherever it is, and virt2 itself on some hypervisors.
HOST = f'{JOB},host="$host"'
DOMAIN = f'{JOB},instance="$domain"'
HEALTH = f'{JOB},host=~"$host"'
# The type memory also counts huge pages.
IN_BYTES = ',virt2!~"hugetlb.*"'


def of_domain(name: str, labels: str, instance: str) -> str:
    """The newest value of a domain's series that has a type instance."""
    return last(named(name, f'{labels},virt2="{instance}"'))


def gauge(kind: str, labels: str, reader: str = "") -> str:
    """A number that virt2 tells of itself."""
    return last(named("gauge", f'{labels}{reader},type="{kind}"'))


def busiest(name: str, factor: str = "") -> str:
    """The twenty domains of a hypervisor that gain most."""
    return f"topk(20, sum by (instance) ({rate(named(name, HOST))})){factor}"


def both(name: str, one: str, two: str) -> list[Query]:
    """The two directions of all disks, or of all interfaces, of a domain. Those that are received are drawn below."""
    return [
        Query(f"sum by (virt2) ({rate(named(f'{name}_{half}_total', DOMAIN))})", f"{{{{virt2}}}} {half}")
        for half in (one, two)
    ]


HOST_PANELS = (
    Panel(
        "Domains",
        "short",
        "Active domains, over all readers. Paused ones count.",
        [Query(f"sum({gauge('domains', HOST)})", "domains")],
        "stat",
        width=6,
    ),
    Panel(
        "Stuck domains",
        "short",
        "Domains whose monitor or lock is blocked. `virt2 explain DOMAIN` on the host says why.",
        [Query(f"sum({gauge('domains_stuck', HOST)})", "stuck")],
        "stat",
        1,
        6,
    ),
    Panel(
        "Oldest sample",
        "s",
        "Seconds since the last read in which the domain that is worst answered everything.",
        [Query(f"max({of_domain('duration_seconds', HOST, 'sample_age')})", "oldest")],
        "stat",
        60,
        6,
    ),
    Panel(
        "Free workers of libvirtd",
        "short",
        "Workers of libvirtd that serve no call now. Absent where virt2 may not ask the admin socket.",
        [Query(gauge("workers_free", HOST, ',virt2="libvirtd"'), "free")],
        "stat",
        None,
        6,
    ),
    Panel(
        "CPU by domain",
        "none",
        "CPUs of the host that each domain keeps busy; the twenty busiest.",
        [Query(busiest("virt_cpu_total_total", " / 1e9"), "{{instance}}")],
    ),
    Panel(
        "Memory by domain",
        "bytes",
        "Memory that each guest has now (its balloon); the twenty biggest.",
        [
            Query(
                f"topk(20, sum by (instance) ({of_domain('memory', HOST, 'total')}))",
                "{{instance}}",
            )
        ],
    ),
    Panel(
        "Disks: read",
        "Bps",
        "Read from all disks of a domain; the twenty that read most.",
        [Query(busiest("disk_octets_read_total"), "{{instance}}")],
    ),
    Panel(
        "Disks: written",
        "Bps",
        "Written to all disks of a domain; the twenty that write most.",
        [Query(busiest("disk_octets_write_total"), "{{instance}}")],
    ),
    Panel(
        "Network: received",
        "Bps",
        "Received by all interfaces of a domain; the twenty that receive most.",
        [Query(busiest("if_octets_rx_total"), "{{instance}}")],
    ),
    Panel(
        "Network: sent",
        "Bps",
        "Sent by all interfaces of a domain; the twenty that send most.",
        [Query(busiest("if_octets_tx_total"), "{{instance}}")],
    ),
    Panel(
        "Monitor does not answer",
        "s",
        "Seconds for which the monitor of each stuck domain has not answered. Empty when nothing is wrong.",
        [
            Query(
                f"topk(20, max by (instance) ({of_domain('duration_seconds', HOST, 'monitor_blocked')}) > 0)",
                "{{instance}}",
            )
        ],
    ),
    Panel(
        "Age of samples",
        "s",
        "Seconds since each domain last answered everything; the twenty oldest.",
        [
            Query(
                f"topk(20, max by (instance) ({of_domain('duration_seconds', HOST, 'sample_age')}))",
                "{{instance}}",
            )
        ],
    ),
)

DOMAIN_PANELS = (
    Panel(
        "CPU",
        "none",
        "CPUs of the host that the domain keeps busy.",
        [Query(f"sum({rate(named('virt_cpu_total_total', DOMAIN))}) / 1e9", "CPUs")],
    ),
    Panel(
        "Memory",
        "bytes",
        'Memory that the guest has now (total). More lines come with ExtraStats "memory".',
        [Query(f"max by (virt2) ({last(named('memory', DOMAIN + IN_BYTES))})", "{{virt2}}")],
    ),
    Panel("Disks: bytes", "Bps", "By disk.", both("disk_octets", "read", "write")),
    Panel("Disks: requests", "iops", "By disk.", both("disk_ops", "read", "write")),
    Panel("Network: bytes", "Bps", "By interface.", both("if_octets", "rx", "tx")),
    Panel("Network: packets", "pps", "By interface.", both("if_packets", "rx", "tx")),
    Panel(
        "Network: errors and drops",
        "pps",
        "By interface. Anything above 0 is worth a look.",
        [
            Query(f"{query.expr} > 0", f"{query.legend} {word}")
            for word, name in (("errors", "if_errors"), ("dropped", "if_dropped"))
            for query in both(name, "rx", "tx")
        ],
    ),
    Panel(
        "Disks: time of a request",
        "ms",
        'Average of the requests that ended since the last read. It needs ExtraStats "disk_latency".',
        [
            Query(f"max by (virt2) ({last(named(f'disk_latency_{half}', DOMAIN))})", f"{{{{virt2}}}} {half}")
            for half in ("read", "write")
        ],
    ),
    Panel(
        "Monitor does not answer",
        "s",
        "Seconds for which the monitor has not answered; 0 when nothing is wrong. Disk values are absent meanwhile.",
        [Query(f"max by (host) ({of_domain('duration_seconds', DOMAIN, 'monitor_blocked')})", "on {{host}}")],
    ),
    Panel(
        "Age of the sample",
        "s",
        "Seconds since the last read in which the domain answered everything.",
        [Query(f"max by (host) ({of_domain('duration_seconds', DOMAIN, 'sample_age')})", "on {{host}}")],
    ),
    Panel(
        "State and reason",
        "short",
        "libvirt's numbers: state 1 runs, 3 is paused; a paused domain with reason 5 had an I/O error. It needs "
        'ExtraStats "domain_state".',
        [
            Query(f"max by (host) ({last(named(f'domain_state_{half}', DOMAIN))})", f"{half} on {{{{host}}}}")
            for half in ("state", "reason")
        ],
    ),
    Panel(
        "Job: bytes processed",
        "bytes",
        'Of a migration, a save or a dump, since it began. It needs ExtraStats "job_stats_background".',
        [
            Query(
                f"max by (host) ({of_domain('job_stats_total', DOMAIN, f'data_{word}')})",
                f"{word} on {{{{host}}}}",
            )
            for word in ("processed", "total")
        ],
    ),
)

READER = "{{host}} {{virt2}}"
LIBVIRTD = ',virt2="libvirtd"'
HEALTH_PANELS = (
    Panel(
        "Scraped",
        "short",
        "1 where Prometheus reaches collectd, 0 where it does not.",
        [Query(f"up{{{HEALTH}}}", "{{host}}")],
        "stat",
        width=12,
    ),
    Panel(
        "Stuck domains",
        "short",
        "Domains whose monitor or lock is blocked, by hypervisor.",
        [Query(f"sum by (host) ({gauge('domains_stuck', HEALTH)})", "{{host}}")],
        "stat",
        1,
        12,
    ),
    Panel(
        "A read takes",
        "s",
        "By reader. It ends after Timeout whatever hangs. A read near its Timeout waits for somebody.",
        [Query(last(named("duration_seconds", HEALTH + ',type="read"')), READER)],
    ),
    Panel("Domains by reader", "short", "Active domains of each reader.", [Query(gauge("domains", HEALTH), READER)]),
    Panel(
        "Stuck and left out, by reader",
        "short",
        "Domains that are stuck, and those that a read left out.",
        [
            Query(gauge("domains_stuck", HEALTH), f"{READER} stuck"),
            Query(gauge("domains_skipped", HEALTH), f"{READER} left out"),
        ],
    ),
    Panel(
        "Workers of virt2, by reader",
        "short",
        "Worker threads, those in a call, and those whose call takes longer than calls usually take.",
        [
            Query(gauge("workers", HEALTH), f"{READER} all"),
            Query(gauge("workers_busy", HEALTH), f"{READER} in a call"),
            Query(gauge("workers_stuck", HEALTH), f"{READER} stuck"),
        ],
    ),
    Panel(
        "Budget",
        "short",
        "Workers of libvirtd that virt2 may hold, and its workers that are stuck. Where the two come near each other, "
        "give libvirtd more workers (max_workers), or raise Workers.",
        [
            Query(gauge("budget", HEALTH, LIBVIRTD), "{{host}} budget"),
            Query(f"sum by (host) ({gauge('workers_stuck', HEALTH)})", "{{host}} stuck"),
        ],
    ),
    Panel(
        "Workers of libvirtd",
        "short",
        "The most there may be, those that run, and those that are free. Absent where virt2 may not ask.",
        [
            Query(gauge(f"workers_{word}", HEALTH, LIBVIRTD), f"{{{{host}}}} {word}")
            for word in ("max", "current", "free")
        ],
    ),
    Panel(
        "Calls that wait in libvirtd",
        "short",
        "Calls of all clients for which libvirtd has no worker. Anything that stays above 0 is too much.",
        [Query(gauge("job_queue_depth", HEALTH, LIBVIRTD), "{{host}}")],
    ),
    Panel(
        "Oldest sample",
        "s",
        "Seconds since the domain that is worst last answered everything, by hypervisor.",
        [Query(f"max by (host) ({of_domain('duration_seconds', HEALTH, 'sample_age')})", "{{host}}")],
    ),
)


def panel(number: int, shown: Panel, x: int, y: int) -> dict[str, Any]:
    """One panel in Grafana's words."""
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if shown.red_from is not None:
        steps.append({"color": "red", "value": shown.red_from})
    options: dict[str, Any]
    if shown.kind == "stat":
        options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "textMode": "auto"}
    else:
        options = {
            "legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    return {
        "id": number,
        "type": shown.kind,
        "title": shown.title,
        "description": shown.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": shown.width, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": shown.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(shown.queries)
        ],
    }


def laid_out(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Panels from left to right, and line by line."""
    found, x, y = [], 0, 0
    for number, shown in enumerate(panels, 1):
        if x + shown.width > COLUMNS:
            x, y = 0, y + HEIGHT
        found.append(panel(number, shown, x, y))
        x += shown.width
    return found


def variable(name: str, label: str, query: str, several: bool) -> dict[str, Any]:
    """A choice at the top of a dashboard, filled by a query for the values of a label."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        # Again when the time range changes: domains come and go.
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "hide": 0,
        **({"current": {"text": ["All"], "value": ["$__all"]}} if several else {}),
    }


def dashboard(uid: str, title: str, choice: dict[str, Any], panels: Sequence[Panel]) -> dict[str, Any]:
    """One dashboard in Grafana's words."""
    source = {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
    }
    return {
        "uid": uid,
        "title": title,
        "tags": ["virt2", "libvirt"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [source, choice]},
        "links": [
            {
                "type": "dashboards",
                "title": "virt2",
                "tags": ["virt2"],
                "asDropdown": False,
                "includeVars": True,
                "keepTime": True,
            }
        ],
        "annotations": {"list": []},
        "panels": laid_out(panels),
    }


HOSTS = f"label_values(collectd_virt2_gauge{{{JOB}}}, host)"
DOMAINS = f'label_values(collectd_virt2_duration_seconds{{{JOB},virt2="sample_age"}}, instance)'


def dashboards() -> dict[str, str]:
    """The text of each file by its name."""
    made = (
        dashboard("virt2-host", "virt2: a hypervisor", variable("host", "Hypervisor", HOSTS, False), HOST_PANELS),
        dashboard("virt2-domain", "virt2: a domain", variable("domain", "Domain", DOMAINS, False), DOMAIN_PANELS),
        dashboard("virt2-health", "virt2: its own health", variable("host", "Hypervisors", HOSTS, True), HEALTH_PANELS),
    )
    return {f"{one['uid']}.json": json.dumps(one, indent=2) + "\n" for one in made}


def write(folder: Path) -> None:
    """Write the files into a folder."""
    for name, text in dashboards().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
