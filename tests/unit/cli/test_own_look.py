"""A look at a host where no plugin runs, over the fake libvirt: what it tells, and what it leaves alone."""
# ruff: noqa: F811 - pytest gives fixtures by their names

from __future__ import annotations

import threading
import time

import pytest

from tests.unit.plugin.conftest import host, module  # noqa: F401 - fixtures
from tests.unit.status.shapes import check
from virt2.cli.own_look import WORKERS, OwnLook
from virt2.config.settings import Settings
from virt2.metrics.selectors import NAMES
from virt2.model.limits import Limits
from virt2.sources import procfs
from virt2.sources.procfs import Guest
from virt2.status.desk import find_answer
from virt2.status.wire import Question

BOUND = 2.0
"""Seconds that a look is given."""


@pytest.fixture
def look(module, host):
    """Looks at the fake host."""
    made = []

    def looking(seconds=BOUND, **settings):
        made.append(OwnLook(Settings()._replace(interval=10.0, **settings)))
        return made[-1].take(time.monotonic() + seconds)

    yield looking
    host.hypervisor.cut()
    for one in made:
        one.close()


def answer(found, question, domain=""):
    told = find_answer(Question(question, domain), found.snapshot)
    check(told, question.capitalize())
    return told


def test_every_question_is_answered_as_by_the_plugin(look, host):
    host.hypervisor.add("web", tag="ssd")
    found = look()
    assert (found.listed, found.missing) == (True, ())
    for question in ("hello", "domains", "limits", "top"):
        answer(found, question)
    (row,) = answer(found, "domains")["domains"]
    assert (row["name"], row["tag"], row["tag_source"], row["reader"]) == ("web", "ssd", "metadata", "0")
    assert (row["state"], row["monitor"]["cause"]) == ("running", "nothing is asked of it")
    story = answer(found, "explain", "web")
    assert [(disk["target"], disk["reported"]) for disk in story["disks"]] == [("vda", True)]


def test_no_monitor_and_no_storage_is_asked_whatever_is_configured(look, host):
    host.hypervisor.add("web")
    found = look(extra_stats=tuple(NAMES), disk_stats="bulk", persistent_notification=True)
    assert found.listed
    harmless = {
        "active",
        "paused",
        "version",
        "watch",
        "xml",
        "info",
        "metadata",
        "state",
        "inactive",
        "controlInfo",
        "statuses",
        "connect",
    }
    called = {call for call, _, _ in host.hypervisor.calls}
    assert "active" in called
    assert called <= harmless


def test_a_frozen_libvirtd_costs_no_more_than_the_time_that_is_given(look, host):
    host.hypervisor.add("web")
    with host.hypervisor.stopped():
        began = time.monotonic()
        found = look(0.6)
        assert time.monotonic() - began < 1.5
    assert not found.listed
    assert "it is not known which" in found.missing[0]
    assert answer(found, "limits")["plan"]["budget"]["value"] > 0


def test_a_domain_whose_lock_is_held_does_not_hide_the_others(look, host, monkeypatch):
    for name in ("web", "db"):
        host.hypervisor.add(name)
    guests = [Guest(name, one.uuid, 1) for name, one in host.hypervisor.domains.items()]
    monkeypatch.setattr(procfs, "guests", lambda run_dir: guests)
    with host.hypervisor.stuck("web", lock=True):
        found = look()
        assert found.listed
        assert "db" in {domain.name for domain in found.snapshot.domains}
        assert "others may be missing" in found.missing[0]


def test_a_libvirt_that_is_away_is_told_with_its_words(look, host):
    host.hypervisor.down = "Connection refused"
    found = look()
    assert not found.listed
    assert found.missing[0].startswith("libvirt cannot be reached: ")


def test_the_plan_is_that_of_the_plugin_and_not_of_the_look(look, host):
    host.limits = Limits(5, 20, 6, 20, 5, 0, max_clients=5000, clients=3)
    host.hypervisor.add("web")
    plan = answer(look(extra_stats=("disk_err",)), "limits")["plan"]
    assert plan["budget"]["value"] == 10 > WORKERS
    assert plan["quarantine"]["value"] >= 1


def test_it_leaves_no_status_socket(look, host, tmp_path):
    host.hypervisor.add("web")
    look(status_socket=str(tmp_path / "own.sock"))
    assert not (tmp_path / "own.sock").exists()
    assert not any(thread.name == "virt2/status" for thread in threading.enumerate())


def test_a_second_look_tells_what_has_changed(module, host):
    host.hypervisor.add("web")
    looking = OwnLook(Settings()._replace(interval=10.0))
    try:
        looking.take(time.monotonic() + BOUND)
        host.hypervisor.add("db")
        found = looking.take(time.monotonic() + BOUND)
    finally:
        looking.close()
    assert {domain.name for domain in found.snapshot.domains} == {"db", "web"}
