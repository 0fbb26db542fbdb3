"""The samples of a fleet belong together: who sends is who is let in, and the page sets up what they use."""

from __future__ import annotations

import pytest

from tests.integration.fleet import PAGE, commands
from tests.unit.config.test_samples import ROOT, tree

FOLDER = ROOT / "contrib" / "fleet"
SAMPLES = sorted(FOLDER.glob("*.conf"))


def options(path, *blocks):
    """The options in a block of blocks of a sample, by key."""
    nodes = tree(path.read_text(encoding="utf-8"))
    for block in blocks:
        (nodes,) = (node.children for node in nodes if node.key == block)
    return {node.key: node.values[0] for node in nodes if not node.children}


def test_there_are_samples_and_the_page_names_each():
    assert [path.name for path in SAMPLES] == [
        "central-amqp.conf",
        "central-network.conf",
        "host-amqp.conf",
        "host-encrypt.conf",
        "host-sign.conf",
    ]
    page = PAGE.read_text(encoding="utf-8")
    for path in (*SAMPLES, FOLDER / "passwords"):
        assert f"(../{path.relative_to(ROOT)})" in page, path.name
    assert "`collectd.conf.d/examples/virt2-fleet.conf`" in page


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_loads_the_plugin_that_it_configures(path):
    nodes = tree(path.read_text(encoding="utf-8"))
    loaded = [node.values for node in nodes if node.key == "LoadPlugin"]
    (plugin,) = (node for node in nodes if node.key == "Plugin")
    assert plugin.values in loaded
    limits = {node.key for node in nodes} - {"LoadPlugin", "Plugin"}
    assert limits <= {"WriteThreads", "WriteQueueLimitHigh", "WriteQueueLimitLow"}


def test_the_central_collectd_knows_the_password_of_each_host():
    known = dict(line.split(": ") for line in (FOLDER / "passwords").read_text().splitlines())
    sent = [options(FOLDER / name, "Plugin", "Server") for name in ("host-sign.conf", "host-encrypt.conf")]
    assert {one["Username"]: one["Password"] for one in sent} == known
    assert [one["SecurityLevel"] for one in sent] == ["Sign", "Encrypt"]


def test_the_broker_knows_whom_the_samples_log_in_as_and_what_they_use():
    ends = [options(FOLDER / "host-amqp.conf", "Plugin", "Publish")]
    ends.append(options(FOLDER / "central-amqp.conf", "Plugin", "Subscribe"))
    told = commands("rabbitmqctl")
    users = [arguments for name, *arguments in told if name == "add_user"]
    assert users == [[end["User"], end["Password"]] for end in ends]
    assert [user for name, user, *_ in told if name == "set_permissions"] == [end["User"] for end in ends]
    assert ends[0]["Exchange"] == ends[1]["Exchange"] == "amq.fanout"
    assert ends[1]["Queue"] == "collectd"
