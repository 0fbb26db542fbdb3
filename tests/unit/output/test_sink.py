"""Metrics and notifications are given to collectd as it takes them."""

import math
from typing import Any

import pytest

from tests.unit.fake_collectd import FakeCollectd
from virt2.metrics.metric import Metric
from virt2.notifications.notification import Notification
from virt2.notifications.notifier import Mail
from virt2.output.naming import Identity
from virt2.output.sink import Sink

INTERVAL = 2.0


@pytest.fixture
def collectd() -> FakeCollectd:
    return FakeCollectd()


class TestSink:
    """Metrics."""

    @pytest.fixture
    def sink(self, collectd) -> Any:
        return Sink(collectd, "virt2", INTERVAL)

    def test_a_type_collectd_does_not_know_is_said_once_and_costs_only_itself(self, sink, collectd, caplog):
        del collectd.types["duration"]
        metrics = [Metric("duration", "x", (1.0,)), Metric("gauge", "y", (2.0,))]
        for _ in range(3):
            sink.dispatch(Identity("web", ""), metrics, 1.0)
        assert [values.type_instance for values in collectd.dispatched] == ["y"] * 3
        (line,) = caplog.messages
        assert "duration" in line

    def test_identity_time_and_meta_are_handed_on(self, sink, collectd):
        sink.dispatch(Identity("web", "i"), [Metric("gauge", "x", (1.0,))], 5.0, {"virt2_tag": "blue"})
        (values,) = collectd.dispatched
        assert (values.host, values.plugin_instance, values.time) == ("web", "i", 5.0)
        assert values.meta == {"virt2_tag": "blue"}
        assert values.interval == INTERVAL

    def test_nothing_is_left_of_what_went_out_before(self, sink, collectd):
        sink.dispatch(Identity("web", "i"), [Metric("gauge", "x", (1.0,))], 5.0, {"virt2_tag": "blue"})
        sink.dispatch(Identity("db", ""), [Metric("if_octets", "y", (2, 3))], 6.0)
        _, values = collectd.dispatched
        assert (values.host, values.plugin_instance, values.time, values.meta) == ("db", "", 6.0, {})
        assert (values.type, values.type_instance, values.values) == ("if_octets", "y", (2, 3))

    def test_what_collectd_does_not_take_leaves_the_others_as_they_are(self, sink, collectd, caplog):
        metrics = [Metric("gauge", "x", (1.0,)), Metric("gauge", "bad", (1.0, 2.0)), Metric("gauge", "y", (2.0,))]
        sink.dispatch(Identity("web", ""), metrics, 5.0)
        assert [(values.type_instance, values.values) for values in collectd.dispatched] == [
            ("x", (1.0,)),
            ("y", (2.0,)),
        ]
        assert len(caplog.messages) == 1

    def test_a_value_that_is_no_number_costs_only_itself(self, sink, collectd, caplog):
        metrics = [Metric("if_octets", "x", (math.nan, 1)), Metric("gauge", "y", (2.0,))]
        sink.dispatch(Identity("web", ""), metrics, 5.0)
        assert [values.type_instance for values in collectd.dispatched] == ["y"]
        assert len(caplog.messages) == 1


class TestMail:
    """Notifications."""

    @pytest.fixture
    def mail(self, collectd) -> Any:
        return Mail(collectd, "virt2")

    def notification(self, **changes: object) -> Any:
        plain = Notification("warning", "it happened", Identity("web", "i"), "duration", "x", {}, 5.0)
        return plain._replace(**changes)

    @pytest.mark.parametrize(
        ("severity", "number"), [("okay", "NOTIF_OKAY"), ("warning", "NOTIF_WARNING"), ("failure", "NOTIF_FAILURE")]
    )
    def test_severity_identity_time_and_meta_are_handed_on(self, mail, collectd, severity, number):
        mail.send(self.notification(severity=severity, meta={"disk": "vda", "count": 2}))
        (notified,) = collectd.notified
        assert notified.severity == getattr(collectd, number)
        assert (notified.host, notified.plugin, notified.plugin_instance) == ("web", "virt2", "i")
        assert (notified.type, notified.type_instance, notified.time) == ("duration", "x", 5.0)
        assert notified.meta == {"disk": "vda", "count": 2}

    def test_a_hostile_message_is_escaped_and_fits(self, mail, collectd):
        mail.send(self.notification(message="domain a\nb\0 " + "\u00e9" * 300))
        assert "\n" not in collectd.notified[0].message

    def test_where_nobody_takes_notifications_nothing_is_raised(self, mail, collectd, caplog):
        collectd.takes_notifications = False
        mail.send(self.notification())
        assert collectd.notified == []
        assert not caplog.messages

    def test_a_type_collectd_does_not_know_is_said_once(self, mail, collectd, caplog):
        for _ in range(3):
            mail.send(self.notification(type="file_system"))
        mail.send(self.notification())
        (line,) = caplog.messages
        assert "file_system" in line
        assert [notified.type for notified in collectd.notified] == ["duration"]

    def test_an_old_collectd_without_meta_data_takes_those_that_need_none(self, collectd):
        def old(**fields: object) -> Any:
            assert "meta" not in fields
            return new(**fields)

        new, collectd.Notification = collectd.Notification, old
        Mail(collectd, "virt2").send(self.notification())
        assert len(collectd.notified) == 1
