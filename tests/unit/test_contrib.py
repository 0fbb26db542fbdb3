"""What is in contrib is what its sources write, and Grafana can load it.

Whether Prometheus takes the queries and the alerts needs its own tools: tests/integration/test_prometheus.py.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

CONTRIB = Path(__file__).parents[2] / "contrib"
FILES = sorted((CONTRIB / "grafana").glob("*.json"))
UNITS = {"short", "none", "s", "ms", "bytes", "Bps", "iops", "pps"}
"""Those of Grafana's units that the dashboards use."""


def program(path):
    """A program of contrib as a module."""
    loader = importlib.machinery.SourceFileLoader(path.stem.replace("-", "_"), str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def dashboard(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_the_dashboards_are_what_their_source_writes():
    written = program(CONTRIB / "grafana" / "dashboards.py").dashboards()
    assert {file.name: file.read_text(encoding="utf-8") for file in FILES} == written
    assert len(written) == 3


def test_the_dashboards_are_told_apart():
    read = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
    assert len({one["uid"] for one in read}) == len({one["title"] for one in read}) == 3


def test_a_dashboard_can_be_provisioned(dashboard):
    # One that was exported for sharing asks for inputs, which provisioning does not fill. An id belongs to a database.
    assert not {"__inputs", "__requires", "id"} & set(dashboard)
    assert re.fullmatch(r"[\w-]{1,40}", dashboard["uid"])
    assert dashboard["title"].startswith("virt2: ")
    assert isinstance(dashboard["schemaVersion"], int)
    assert {"time", "refresh", "templating", "annotations", "panels"} <= set(dashboard)


def lost(written, kept, place=""):
    """What of a JSON value is not in another one, or is another value there."""
    if isinstance(written, dict) and isinstance(kept, dict):
        for key, value in written.items():
            yield from lost(value, kept.get(key, "nothing"), f"{place}.{key}")
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for number, (one, other) in enumerate(zip(written, kept)):
            yield from lost(one, other, f"{place}[{number}]")
    elif written != kept:
        yield f"{place}: {written!r} is {kept!r}"


def kept_by_grafana(dashboard):
    """What is left of a dashboard that went through the types that are generated from Grafana's schema."""
    plugins.register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


def test_a_dashboard_is_one_by_grafanas_schema(dashboard):
    assert sorted(lost(dashboard, kept_by_grafana(dashboard))) == []


def test_what_grafanas_schema_does_not_have_is_found(dashboard):
    dashboard["panels"][0]["tooltips"] = dashboard["panels"][0]["targets"][0]["exemplars"] = True
    assert len(list(lost(dashboard, kept_by_grafana(dashboard)))) == 2


def test_the_data_source_and_what_is_shown_are_chosen_by_variables(dashboard):
    source, choice = dashboard["templating"]["list"]
    assert (source["type"], source["name"], source["query"]) == ("datasource", "datasource", "prometheus")
    assert choice["type"] == "query"
    assert choice["query"]["query"].startswith("label_values(collectd_virt2_")
    for panel in dashboard["panels"]:
        for one in (choice, panel, *panel["targets"]):
            assert one["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            known = {source["name"], choice["name"], "__rate_interval"}
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= known


def test_every_panel_says_what_it_is_and_asks_something(dashboard):
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels) > 8
    for panel in panels:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        targets = panel["targets"]
        assert [target["refId"] for target in targets] == list("ABCDEFGH"[: len(targets)]) != []
        assert all(target["expr"] and target["legendFormat"] for target in targets)
        legends = [target["legendFormat"] for target in targets]
        assert len(set(legends)) == len(legends)


def test_the_panels_lie_beside_each_other(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert cells
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


def test_a_legend_uses_only_labels_that_its_query_keeps(dashboard):
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            kept = re.search(r"\bby \((\w+)\)", target["expr"])
            labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            if kept:
                assert labels <= {kept[1]}
            elif re.match(r"(sum|max)\(", target["expr"]):
                assert not labels


def test_each_alert_says_what_is_wrong_and_what_to_do():
    text = (CONTRIB / "prometheus" / "virt2.rules.yml").read_text(encoding="utf-8")
    alerts = text.split("      - alert: ")[1:]
    assert len(alerts) == 9
    for alert in alerts:
        assert re.search(r"severity: (warning|critical)\n", alert)
        assert "{{ $labels.host }}" in alert.split("summary: ", 1)[1].split("description: ", 1)[0]
        assert re.search(r"`|[Ll]ook at", alert.split("description: ", 1)[1])


def test_each_alert_has_a_test_of_its_own_and_a_row_in_the_documentation():
    rules = (CONTRIB / "prometheus" / "virt2.rules.yml").read_text(encoding="utf-8")
    tests = (CONTRIB / "prometheus" / "virt2.rules.test.yml").read_text(encoding="utf-8")
    page = (CONTRIB.parent / "docs" / "dashboards.md").read_text(encoding="utf-8")
    names = re.findall(r"- alert: (\w+)", rules)
    assert re.findall(r"^\| `(Virt2\w+)` \|", page, re.MULTILINE) == names
    tested = set(re.findall(r"Virt2\w+", tests)) | {"Virt2CollectdGone", "Virt2Gone"}
    assert "Virt2(Collectd)?Gone" in tests
    assert tested == set(names)


GRAPHS = program(CONTRIB / "rrd" / "virt2-graphs")


@pytest.fixture
def rrds(tmp_path):
    for name in ("memory-total", "disk_octets-vda", "disk_octets-x:y"):
        file = tmp_path / "web" / "virt2" / f"{name}.rrd"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "hypervisor" / "virt2-0").mkdir(parents=True)
    return tmp_path


def test_the_domains_are_the_hosts_with_files_of_the_plugin(rrds):
    assert GRAPHS.domains(rrds, "virt2") == ["web"]
    assert GRAPHS.domains(rrds, "virt") == []


def test_a_picture_has_a_line_for_each_file_and_direction(rrds):
    disk = next(picture for picture in GRAPHS.PICTURES if picture.name == "disk")
    drawn = list(GRAPHS.arguments(disk, rrds / "web" / "virt2"))
    assert [one.split(":", 2)[2] for one in drawn if one.startswith("LINE1")] == [
        "vda read",
        "x\\:y read",
        "vda written",
        "x\\:y written",
    ]
    assert sum(one.startswith("DEF:") for one in drawn) == 4
    network = next(picture for picture in GRAPHS.PICTURES if picture.name == "network")
    assert list(GRAPHS.arguments(network, rrds / "web" / "virt2")) == []


@pytest.mark.parametrize(
    ("asked", "told"), [(["nobody"], "has no files of a domain 'nobody'"), (["--plugin", "virt"], "of a domain at all")]
)
def test_a_domain_without_files_is_told_and_nothing_is_drawn(rrds, capsys, asked, told):
    assert GRAPHS.main(["--data", str(rrds), "--out", str(rrds / "out"), *asked]) == 2
    assert told in capsys.readouterr().err
    assert not (rrds / "out").exists()


def test_without_rrdtool_it_is_said_how_to_get_it(rrds, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(rrds))
    assert GRAPHS.main(["--data", str(rrds), "--out", str(rrds / "out")]) == 2
    assert "apt-get install rrdtool" in capsys.readouterr().err
