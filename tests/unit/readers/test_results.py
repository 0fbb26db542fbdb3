"""What is between the workers of a reader and collectd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tests.unit.fakes import DiskStats
from virt2.domains.health import Health
from virt2.metrics.defaults import DISK
from virt2.metrics.metric import Metric, gauge
from virt2.model.domain import Description, Domain, Nic
from virt2.output.batch import Batch
from virt2.output.naming import Identity, Names
from virt2.readers.records import Sample, Trouble
from virt2.readers.results import ENDING, Results

WEB, DB = Identity("web", ""), Identity("db", "")


class Sink:
    """Notes what is dispatched."""

    def __init__(self) -> None:
        self.taken: list[tuple[Identity, list[Metric], float, Mapping[str, str] | None]] = []

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        self.taken.append((identity, list(metrics), when, meta))


def test_a_batch_goes_out_in_one_go_in_its_order_and_once():
    sink = Sink()
    batch = Batch(sink)
    batch.dispatch(WEB, [gauge("x", 1.0)], 1.0)
    batch.dispatch(DB, (gauge(name, 2.0) for name in "yz"), 2.0, {"virt2_tag": "blue"})
    assert sink.taken == []
    batch.flush()
    batch.flush()
    assert sink.taken == [
        (WEB, [gauge("x", 1.0)], 1.0, None),
        (DB, [gauge("y", 2.0), gauge("z", 2.0)], 2.0, {"virt2_tag": "blue"}),
    ]
    batch.dispatch(WEB, [gauge("x", 3.0)], 3.0)
    batch.flush()
    assert sink.taken[2:] == [(WEB, [gauge("x", 3.0)], 3.0, None)]


def test_what_one_value_raises_costs_no_other_and_is_raised_at_the_end():
    class Picky(Sink):
        def dispatch(self, identity, metrics, when, meta=None) -> None:
            if identity == WEB:
                raise ZeroDivisionError(when)
            super().dispatch(identity, metrics, when, meta)

    sink = Picky()
    batch = Batch(sink)
    for number, identity in enumerate((WEB, DB, WEB, DB)):
        batch.dispatch(identity, [gauge("x", 1.0)], float(number))
    with pytest.raises(ZeroDivisionError, match="0"):
        batch.flush()
    assert [when for _, _, when, _ in sink.taken] == [1.0, 3.0]
    batch.flush()
    assert len(sink.taken) == 2


def test_a_reply_that_cannot_be_dealt_with_costs_no_other_record_and_is_said_once(caplog):
    sink = Sink()
    results = Results(Names(("name",), (), "node1"), sink)
    domains = {"u": Domain("u", "web", 1)}
    healths = {"u": Health(0.0)}
    good = DiskStats(1, 2, 3, 4, 5)
    for taken, reply in enumerate((None, good, None, good), 1):
        results.put(Sample("u", DISK, "vda", float(taken), float(taken), reply))
    results.take(domains, healths, 0.0)
    assert [when for _, _, when, _ in sink.taken] == [2.0, 4.0]
    assert len(caplog.records) == 1
    assert DISK in caplog.messages[0]
    assert "web" in caplog.messages[0]


class TestTrouble:
    """A call's failure is said where libvirt still lists what failed when an end would be over."""

    RUN = 7
    NICS = (Nic("vnet0", ""),)

    @pytest.fixture
    def results(self) -> Results:
        results = Results(Names(("name",), (), "node1"), Sink())
        results.put(Trouble("u", "interfaceStats vnet0: not found", self.RUN, 100.0, "vnet0"))
        return results

    def take(self, results: Results, listed: float, run: int = RUN, nics: tuple[Nic, ...] = NICS) -> None:
        results.take({"u": Domain("u", "web", run, Description(nics=nics))}, {"u": Health(0.0)}, listed)

    def test_a_list_that_is_only_just_later_may_have_a_domain_that_is_ending(self, results, caplog):
        self.take(results, 100.2)
        self.take(results, 100.0 + ENDING)
        assert caplog.records == []
        self.take(results, 100.1 + ENDING)
        assert [record.getMessage() for record in caplog.records] == ["domain web: interfaceStats vnet0: not found"]

    def test_a_failure_in_every_read_is_not_put_off(self, results, caplog):
        for listed in (101.0, 103.0, 105.0, 107.0):
            self.take(results, listed)
            results.put(Trouble("u", "interfaceStats vnet0: not found", self.RUN, listed + 0.1, "vnet0"))
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("now", [{"run": 8}, {"nics": ()}], ids=["started anew", "unplugged"])
    def test_what_has_ended_by_then_is_no_trouble(self, results, caplog, now):
        self.take(results, 100.2)
        self.take(results, 101.0 + ENDING, **now)
        self.take(results, 102.0 + ENDING)
        assert caplog.records == []

    def test_one_of_an_earlier_run_does_not_stand_for_one_of_this_run(self, results, caplog):
        self.take(results, 100.2)
        results.put(Trouble("u", "interfaceStats vnet0: not found", self.RUN + 1, 103.0, "vnet0"))
        self.take(results, 101.0 + ENDING, run=self.RUN + 1)
        assert caplog.records == []
        self.take(results, 104.0 + ENDING, run=self.RUN + 1)
        assert len(caplog.records) == 1
