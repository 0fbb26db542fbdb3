"""The table of scripts/run tells what collectd wrote, and nothing else."""

import json

from tests.demo.overview import COLUMNS, NONE, Overview
from tests.lab.records import Records

NOW = 1000.0


def record(kind, values, time=NOW, instance="", host="web", meta=None):
    return {
        "host": host,
        "plugin": "virt2",
        "plugin_instance": "",
        "type": kind,
        "type_instance": instance,
        "values": values,
        "time": time,
        "meta": meta or {},
    }


def rows(overview, now=NOW):
    return [dict(zip(COLUMNS, row.cells)) for row in overview.rows(now)]


def test_rates_are_summed_over_devices_and_taken_by_the_samples_own_times():
    overview = Overview(interval=2)
    overview.add(
        [
            record("virt_cpu_total", [0], NOW - 4),
            record("virt_cpu_total", [2e9]),
            record("disk_octets", [0, 0], NOW - 2, "vda"),
            record("disk_octets", [200, 20], NOW, "vda"),
            record("disk_octets", [100, 100], NOW - 1, "vdb"),
            record("disk_octets", [400, 100], NOW, "vdb"),
        ]
    )
    (row,) = rows(overview)
    assert (row["CPU %"], row["disk read/s"], row["write/s"]) == ("50.0", "400 B", "10 B")


def test_what_was_not_written_is_not_shown():
    overview = Overview(interval=2)
    overview.add([record("memory", [16 << 20], instance="total"), record("virt_cpu_total", [1])])
    (row,) = rows(overview)
    assert row["memory"] == "16 MiB"
    assert [cell for cell in row.values() if cell != NONE] == ["web", "16 MiB"]


def test_a_value_that_has_become_old_disappears_and_a_domain_without_values_too():
    overview = Overview(interval=2)
    overview.add([record("memory", [16 << 20], NOW - 10, "total"), record("duration", [9], NOW, "monitor_blocked")])
    (row,) = rows(overview)
    assert (row["memory"], row["blocked for"]) == (NONE, "! 9.0 s")
    assert rows(overview, NOW + 10) == []


def test_only_a_domain_whose_monitor_is_blocked_is_marked():
    overview = Overview(interval=2)
    overview.add([record("duration", [0], instance="monitor_blocked", host="a")])
    overview.add([record("duration", [0.5], instance="monitor_blocked", host="b")])
    overview.add([record("memory", [1], instance="total", host="c")])
    assert [(row.cells[-1], row.is_stuck) for row in overview.rows(NOW)] == [
        ("0.0 s", False),
        ("! 0.5 s", True),
        (NONE, False),
    ]


def test_tag_and_reader_come_from_meta_data_and_names_are_printed_safely():
    overview = Overview(interval=2)
    meta = {"virt2_tag": "a", "virt2_reader": "0"}
    overview.add([record("duration", [0], instance="monitor_blocked", host="two\nlines", meta=meta)])
    overview.add([record("memory", [1], instance="total", host="two\nlines")])
    (row,) = rows(overview)
    assert (row["domain"], row["tag"], row["reader"]) == (r"two\nlines", "a", "0")


def test_points_that_overtook_each_other_are_put_in_order():
    overview = Overview(interval=2)
    overview.add([record("virt_cpu_total", [1e9]), record("virt_cpu_total", [0], NOW - 1)])
    assert rows(overview)[0]["CPU %"] == "100.0"


def test_notifications_and_other_plugins_are_left_out():
    overview = Overview(interval=2)
    overview.add([{"message": "domain web: monitor blocked"}, {**record("memory", [1]), "plugin": "virt"}])
    overview.add([{**record("gauge", [1]), "plugin_instance": "libvirtd"}])
    assert rows(overview) == []


def test_records_are_read_once_across_files_and_half_lines(tmp_path):
    records = Records(tmp_path)
    first, second = tmp_path / "00000000.jsonl", tmp_path / "00000001.jsonl"
    assert records.new() == []
    first.write_text(json.dumps({"n": 1}) + '\n{"n"')
    assert records.new() == [{"n": 1}]
    first.write_text(json.dumps({"n": 1}) + '\n{"n": 2}\n')
    second.write_text('{"n": 3}\n')
    assert records.new() == [{"n": 2}, {"n": 3}]
    first.unlink()
    assert records.new() == []
