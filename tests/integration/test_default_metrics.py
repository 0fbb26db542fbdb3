"""The main job: every domain's default metrics come out, true, each by its reader."""

import re
import time

import pytest

from tests.integration.support import (
    INTERVAL,
    Witness,
    assert_no_gap,
    collectd,
    names_of,
    of_host,
    of_reader,
    wait_for_reads,
)
from tests.lab import Guest, wait_for
from tests.lab.collectd_daemon import python_module

CPU_TOLERANCE = 0.020e9
"""ns: libvirt's CPU time comes from two sources that differ by up to 20 ms."""
READ = 0.25
"""Seconds within which a call that virt2 stamped with a time had surely been answered."""
SOON = 15.0


def tagged(count, tags="abc"):
    return [Guest(f"guest-{number}", tag=tags[number % len(tags)]) for number in range(count)]


def test_every_default_series_of_twelve_tagged_domains_is_true(lab, tmp_path):
    guests = lab.guests(tagged(12))
    with Witness(lab, guests) as witness, collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 4)
        series = daemon.series()
        time_over = time.time() + SOON
        compared = 0
        for guest in guests:
            own = of_host(series, guest.name)
            assert set(own) == names_of(guest)
            for name, points in own.items():
                if name == "memory-total":
                    assert {values for _, values in points} == {(guest.spec.memory * 1024 * 1024,)}
                if name == "memory-total" or name.startswith("duration"):
                    continue
                slack = CPU_TOLERANCE if name == "virt_cpu_total" else 0
                for when, values in points:
                    bounds = witness.bounds(guest.name, name, when, READ)
                    if bounds is not None:
                        for low, value, high in zip(bounds[0], values, bounds[1]):
                            assert low - slack <= value <= high + slack, (guest.name, name, when)
                        compared += 1
        assert time.time() < time_over
        # At least the reads that have a reading of the witness on both sides: 12 domains of 1 + 2 * 2 + 2 * 4 series.
        assert compared >= 12 * 13 * 2
        assert_no_gap(daemon, guests)


def test_three_readers_have_their_own_domains_and_no_domain_twice(lab, tmp_path):
    guests = lab.guests(tagged(12))
    with collectd(lab, tmp_path / "collectd", "Instances 3") as daemon:
        for reader in "012":
            wait_for_reads(daemon, 3, reader)
        series = daemon.series()
        assert [of_reader(series, reader, "gauge-domains")[-1] for reader in "012"] == [4, 4, 4]
        assert_no_gap(daemon, guests)
        assert "Value too old" not in daemon.log


def test_the_log_holds_one_line_that_says_what_is_on(lab, tmp_path):
    lab.guests(tagged(3))
    daemon = collectd(lab, tmp_path / "collectd", more=python_module("virt2"))
    with daemon:
        wait_for_reads(daemon, 3)
        lines = [line for line in daemon.log.splitlines() if "virt2" in line]
    assert len(lines) == 1
    assert re.search(
        r"\[info\] virt2: version [\d.]+, libvirt [\d.]+ at qemu:///system, 3 domains every 2 s,"
        r" readers: 0 \(1 domains, \d+ workers\), 1 .*, 2 .*;"
        r" budget 10 of libvirtd's workers: half of libvirtd's 20 workers; CPU time is read off the kernel$",
        lines[0],
    )


def test_a_retagged_domain_changes_readers_without_a_gap(lab, tmp_path):
    guests = lab.guests(tagged(6))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2, "2")
        readers = {}
        for tag in "abc":
            readers[tag] = tag_reader(daemon, lab, guests, tag)
        before = time.time()
        guests[0].retag("b")
        wait_for(lambda: last_sizes(daemon)[readers["b"]] == 3, SOON, "the domain has its new reader")
        assert last_sizes(daemon) == {readers["a"]: 1, readers["b"]: 3, readers["c"]: 2}
        assert time.time() - before < 2 * INTERVAL + 1
        wait_for_reads(daemon, 2, readers["b"])
        assert_no_gap(daemon, guests)
        assert "Value too old" not in daemon.log


def last_sizes(daemon):
    series = daemon.series()
    return {int(reader): of_reader(series, reader, "gauge-domains")[-1] for reader in "012"}


def tag_reader(daemon, lab, guests, tag):
    """Which reader has a tag: the one whose group grows when a domain with it starts."""
    before = last_sizes(daemon)
    (extra,) = lab.guests([Guest(f"extra-{tag}", tag=tag)])
    (reader,) = wait_for(
        lambda: [reader for reader, size in last_sizes(daemon).items() if size == before[reader] + 1], SOON
    )
    extra.stop()
    wait_for(lambda: last_sizes(daemon) == before, SOON)
    return reader


def test_domains_that_start_stop_and_pause_are_followed(lab, tmp_path):
    stays, stops, pauses = lab.guests([Guest("stays"), Guest("stops"), Guest("pauses")])
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        (starts,) = lab.guests([Guest("starts")])
        started = time.time()
        wait_for(lambda: names_of(starts) <= set(of_host(daemon.series(), "starts")), SOON)
        assert time.time() - started < 2 * INTERVAL
        stops.stop()
        pauses.pause()
        gone = time.time()
        wait_for_reads(daemon, 3)
        for points in of_host(daemon.series(), "stops").values():
            assert points[-1][0] < gone + INTERVAL
        assert_no_gap(daemon, [stays, pauses])
        assert_no_gap(daemon, [starts], started)
        assert daemon.log.count("] virt2: ") == 1


def test_a_disk_and_an_interface_plugged_in_are_seen_by_the_next_read(lab, tmp_path):
    (guest,) = lab.guests([Guest("grows")])
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 1)
        disk, nic = guest.plug_disk(), guest.plug_nic()
        plugged = time.time()
        assert {f"disk_octets-{disk}", f"if_octets-{nic}"} <= names_of(guest)
        wait_for(lambda: names_of(guest) <= set(of_host(daemon.series(), "grows")), SOON)
        assert time.time() - plugged < 2 * INTERVAL


def test_explicit_instances_from_two_drop_ins_take_their_tags(lab, tmp_path):
    lab.guests([Guest("f1", tag="sd-fast"), Guest("s1", tag="sd-slow-1"), Guest("s2", tag="sd-slow-2"), Guest("rest")])
    daemon = collectd(
        lab,
        tmp_path / "collectd",
        # In the order of their names, one sorts before and one after the file with the plain settings.
        fast=python_module("virt2", '<Instance "fast">\nTag "sd-fast"\n</Instance>'),
        zslow=python_module("virt2", '<Instance "slow">\nTag "/^sd-slow/"\n</Instance>'),
    )
    with daemon:
        for reader in ("fast", "slow", "0"):
            wait_for_reads(daemon, 2, reader)
        series = daemon.series()
        sizes = {reader: of_reader(series, reader, "gauge-domains")[-1] for reader in ("fast", "slow", "0")}
        assert sizes == {"fast": 1, "slow": 2, "0": 1}
        assert not of_reader(series, "1", "gauge-domains")


def test_collectd_exits_in_under_two_seconds(lab, tmp_path):
    lab.guests(tagged(3))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 1)
        assert daemon.stop() < 2
        assert daemon.process.exit_code == 0


def test_without_libvirtd_collectd_starts_and_heals_by_itself(lab, tmp_path):
    guests = lab.guests(tagged(3))
    lab.kill_libvirtd()
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 3)
        lines = [line for line in daemon.log.splitlines() if "] virt2: " in line]
        assert len(lines) == 1
        assert "libvirt cannot be reached at qemu:///system" in lines[0]
        lab.start_libvirtd()
        up = time.time()
        wait_for(lambda: all(names_of(guest) <= set(of_host(daemon.series(), guest.name)) for guest in guests), SOON)
        assert time.time() - up < 2 * INTERVAL + 1
        # The number of readers could not be known before.
        wait_for_reads(daemon, 1, "2")


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("two\nlines", "two_lines"),
        ("a\ttab", "a_tab"),
        ("driver", "driver"),
        ("ünïcode ☃", "ünïcode ☃"),
        ("n" * 240, None),
    ],
    ids=["newline", "tab", "driver", "unicode", "long"],
)
def test_a_hostile_name_costs_nothing(module_lab, tmp_path, name, host):
    # A name that differs only behind collectd's limit must not end in the same series.
    other = name[:-1] + "x"
    try:
        first, second = module_lab.guests([Guest(name), Guest(other)])
        with collectd(module_lab, tmp_path / "collectd") as daemon:
            wait_for_reads(daemon, 3)
            series = daemon.series()
            hosts = {there for there, plugin, _ in series if plugin == "virt2"}
            assert len(hosts) == 2
            assert host is None or host in hosts
            for there in hosts:
                own = of_host(series, there)
                assert names_of(first) <= set(own) or names_of(second) <= set(own)
            assert "Value too old" not in daemon.log
            # Nobody forges a line of the log by a name.
            assert all(line.startswith("[") for line in daemon.log.splitlines())
    finally:
        module_lab.reset()


NAMESPACE = 'xmlns:x="http://example.org/x"'
BOMB = "".join(f"<!ENTITY e{n} '{f'&e{n - 1};' * 10 if n else 'bang'}'>" for n in range(2))


@pytest.mark.parametrize(
    ("metadata", "doctype"),
    [
        (f"<x:a {NAMESPACE}>&mine;</x:a>", "<!DOCTYPE domain [<!ENTITY mine 'x'>]>"),
        (f"<x:a {NAMESPACE}>&e1;</x:a>", f"<!DOCTYPE domain [{BOMB}]>"),
        (f"<x:a {NAMESPACE}>{'<x:b/>' * 20000}</x:a>", ""),
        (f"<x:a {NAMESPACE}>{'y' * 1000000}</x:a>", ""),
        (f"<x:a {NAMESPACE}><![CDATA[</metadata></domain>]]></x:a>", ""),
    ],
    ids=["entity", "entity bomb", "many elements", "huge text", "cdata"],
)
def test_hostile_metadata_costs_nothing(module_lab, tmp_path, metadata, doctype):
    # libvirt prints entities without their declarations: nobody can parse what it says of such a domain.
    specs = [Guest("hostile", tag="virt-1", metadata=metadata, doctype=doctype), Guest("plain", tag="virt-0")]
    try:
        guests = module_lab.guests(specs)
        with collectd(module_lab, tmp_path / "collectd") as daemon:
            wait_for_reads(daemon, 3)
            wait_for_reads(daemon, 2, "1")
            assert_no_gap(daemon, guests)
            assert of_reader(daemon.series(), "1", "gauge-domains")[-1] == 1
            assert len([line for line in daemon.log.splitlines() if "virt2" in line]) <= 2
    finally:
        module_lab.reset()


def test_a_tag_that_cannot_be_used_is_said_once(lab, tmp_path):
    (guest,) = lab.guests([Guest("odd", tag="line\nbreak")])
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 3)
        assert_no_gap(daemon, [guest])
        assert len([line for line in daemon.log.splitlines() if "domain odd" in line]) == 1


def test_bad_settings_are_reported_and_the_rest_is_used(lab, tmp_path):
    (guest,) = lab.guests([Guest("one")])
    settings = "Instances many\nIntervall 5\nRefreshInterval 30"
    with collectd(lab, tmp_path / "collectd", settings) as daemon:
        wait_for_reads(daemon, 2)
        assert names_of(guest) <= set(of_host(daemon.series(), "one"))
        log = daemon.log
    assert re.search(r"\[error\] virt2: .*Instances.*many", log)
    assert re.search(r"\[warning\] virt2: .*Intervall.*Interval", log)


def test_strict_config_stops_the_daemon(lab, tmp_path):
    daemon = collectd(lab, tmp_path / "collectd", "Instances many", strict=python_module("virt2", "StrictConfig true"))
    with pytest.raises(RuntimeError, match="collectd ended with 1"):
        daemon.start()
    assert "Instances" in daemon.log


def test_plugin_name_and_formats_reach_the_identifiers(lab, tmp_path):
    (guest,) = lab.guests([Guest("one")])
    settings = 'PluginName "virt"\nHostnameFormat "hostname"\nPluginInstanceFormat name uuid'
    with collectd(lab, tmp_path / "collectd", settings) as daemon:
        wait_for(lambda: names_of(guest) <= set(of_host(daemon.series(), "collectd", f"virt-one:{guest.uuid}")), SOON)
