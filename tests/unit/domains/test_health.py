"""What is remembered of a domain's health."""

from __future__ import annotations

import pytest

from virt2.domains.health import ANEW, Health, Healths, Known
from virt2.metrics import defaults
from virt2.model.domain import Description, Disk, Nic
from virt2.model.events import CHANGED, IO_ERROR, LIFECYCLE, MEMORY, Event
from virt2.model.replies import Info
from virt2.readers.records import Sample


@pytest.fixture
def health() -> Health:
    return Health(100.0)


def test_a_domain_just_seen_is_well_and_as_old_as_that(health):
    assert not health.blocked
    assert health.blocked_for(200.0) == 0.0
    assert health.age(103.0) == 3.0


def test_a_complete_sample_sets_its_age(health):
    health.complete = 110.0
    assert health.age(112.5) == 2.5


def test_age_and_block_are_never_negative(health):
    health.block("blockStats", 100.0)
    assert (health.age(99.0), health.blocked_for(99.0)) == (0.0, 0.0)


def test_of_several_beginnings_the_earliest_counts_and_of_causes_the_latest(health):
    health.block("by another client", 105.0)
    health.block("process stopped", 108.0)
    assert (health.blocked_for(110.0), health.cause) == (5.0, "process stopped")
    health.block("blockStats", 102.0)
    assert (health.blocked_for(110.0), health.cause) == (8.0, "blockStats")


def test_a_monitor_that_somebody_else_entered_since_has_answered_in_between(health):
    health.block("by another client", 105.0, entered=True)
    # The same one, looked at by a slow machine.
    health.block("by another client", 105.0 + ANEW, entered=True)
    assert health.blocked_for(110.0) == 5.0
    health.block("by another client", 109.0, entered=True)
    assert health.blocked_for(110.0) == 1.0


def test_an_answer_clears_it(health):
    health.block("blockStats", 0.0)
    assert health.blocked
    health.clear()
    assert (health.blocked, health.cause, health.blocked_for(200.0)) == (False, "", 0.0)
    health.block("blockStats", 150.0)
    assert health.blocked_for(151.0) == 1.0


def test_the_health_of_a_domain_stays_whoever_asks_until_it_is_gone():
    healths = Healths()
    first = healths.of("a", 1.0)
    healths.of("b", 1.0)
    assert healths.of("a", 2.0) is first
    healths.retain(["a"])
    assert healths.of("a", 3.0) is first
    assert healths.of("b", 3.0).first_seen == 3.0


class TestRuns:
    """What is known of one run of a domain, and forgotten with it."""

    def test_the_first_run_is_nothing_new(self):
        healths = Healths()
        healths.of("a", 1.0).unsupported.add(("vcpus", ""))
        assert healths.of("a", 2.0, 7).unsupported == {("vcpus", "")}

    def test_another_run_forgets_what_was_refused_and_what_was_counted(self):
        healths = Healths()
        health = healths.of("a", 1.0, 7)
        health.unsupported.add(("vcpus", ""))
        health.refused.add(("getCPUStats", ""))
        health.baselines["cpu_util", ""] = object()
        assert healths.of("a", 2.0, 7).baselines
        assert healths.of("a", 3.0, 8) is health
        assert (health.unsupported, health.refused, health.baselines) == (set(), set(), {})

    def test_another_run_may_be_received_from_elsewhere(self):
        healths = Healths()
        health = healths.of("a", 1.0, 7)
        health.incoming = False
        assert healths.of("a", 2.0, 7).incoming is False
        assert healths.of("a", 3.0, 8).incoming is None

    def test_who_is_not_its_reader_changes_nothing(self):
        healths = Healths()
        healths.of("a", 1.0, 7).unsupported.add(("vcpus", ""))
        assert healths.of("a", 2.0).unsupported

    def test_a_reconnect_forgets_what_was_refused_and_keeps_what_was_counted(self):
        healths = Healths()
        health = healths.of("a", 1.0, 7)
        health.unsupported.add(("vcpus", ""))
        health.baselines["cpu_util", ""] = object()
        healths.reconnected()
        assert health.unsupported == set()
        assert health.baselines


class TestMemory:
    """It is known between two questions, as long as libvirt tells of changes."""

    INFO = Info(1, 4096, 1024, 2, 5)

    @pytest.fixture
    def healths(self) -> Healths:
        healths = Healths()
        healths.of("a", 1.0, 7).known = Known(self.INFO, 20.0)
        return healths

    def test_it_is_what_libvirt_said_last(self, healths):
        assert healths.of("a", 30.0).memory(told_since=10.0, asked_since=None) == 1024

    def test_it_is_unknown_before_that(self, health):
        assert health.memory(told_since=10.0, asked_since=None) is None

    def test_a_change_of_before_the_question_is_in_the_answer(self, healths):
        healths.tell(Event(MEMORY, "a"), 15.0)
        assert healths.of("a", 30.0).memory(10.0, None) == 1024

    @pytest.mark.parametrize(("unchanged_since", "stands"), [(20.0, True), (20.1, False), (None, False)])
    def test_where_nothing_has_changed_since_it_was_asked_for_it_need_not_be_asked_for_again(
        self, healths, unchanged_since, stands
    ):
        health = healths.of("a", 30.0)
        assert health.known.asked == 20.0
        health.confirm(unchanged_since, 40.0)
        assert health.memory(told_since=10.0, asked_since=35.0) == (1024 if stands else None)
        assert health.memory(told_since=10.0, asked_since=45.0) is None
        # What is lost while libvirt does not tell is not known by that.
        assert health.memory(told_since=21.0, asked_since=35.0) is None
        health.doubted = 21.0
        assert health.memory(told_since=10.0, asked_since=35.0) is None

    @pytest.mark.parametrize(
        ("told_since", "asked_since"), [(None, None), (21.0, None), (10.0, 21.0)], ids=["not told", "told late", "old"]
    )
    def test_it_is_to_be_asked_for_where_something_may_not_have_been_told(self, healths, told_since, asked_since):
        assert healths.of("a", 30.0).memory(told_since, asked_since) is None

    @pytest.mark.parametrize(("kind", "memory"), [(MEMORY, None), (CHANGED, None), (LIFECYCLE, None), (IO_ERROR, 1024)])
    def test_a_change_makes_it_unknown(self, healths, kind, memory):
        healths.tell(Event(kind, "a"), 25.0)
        assert healths.of("a", 30.0).memory(10.0, None) == memory

    def test_another_run_of_the_domain_has_another(self, healths):
        assert healths.of("a", 30.0, 8).memory(10.0, None) is None

    def test_what_is_told_of_others_is_nothing(self, healths):
        healths.tell(Event(MEMORY, "b"), 25.0)
        assert healths.of("a", 30.0).memory(10.0, None) == 1024


@pytest.fixture
def last(health) -> dict:
    """The newest samples of a domain with one disk and one interface, in its first run."""
    health.begin(1)
    health.describe(Description(disks=(Disk("vda", "a", "s"),), nics=(Nic("vnet0", "m"),)))
    for call, device in ((defaults.CPU_TIME, ""), (defaults.DISK, "vda"), (defaults.NIC, "vnet0")):
        health.last[call, device] = Sample("u", call, device, 100.0, 1.7e9, 1)
    return health.last


def test_the_last_values_of_a_device_are_forgotten_with_it(health, last):
    health.describe(Description(disks=(Disk("vda", "b", "s"),), nics=(Nic("vnet0", "m"),)))
    assert set(last) == {(defaults.CPU_TIME, ""), (defaults.NIC, "vnet0")}


def test_the_last_values_are_kept_while_the_domain_is_described_again_as_it_was(health, last):
    health.describe(Description("tag", (Disk("vda", "a", "s"),), (Nic("vnet0", "m"),)))
    assert len(last) == 3


def test_no_value_outlives_the_run_that_it_is_of(health, last):
    health.begin(2)
    assert last == {}


def test_all_healths_are_a_copy_that_others_may_go_through_while_domains_come():
    healths = Healths()
    one = healths.of("a", 1.0)
    found = healths.all()
    healths.of("b", 1.0)
    assert found == {"a": one}
