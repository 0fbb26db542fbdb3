"""What a guest's agent answers, or why it does not, in our errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit import doors, replies
from virt2 import errors

CONSTANTS = replies.recordings()[-1].constants
AgentConnection: Any = doors.load(CONSTANTS)["guest_agents"].AgentConnection


class Raw:
    """A read-write connection of libvirt's with one domain."""

    def __init__(self, reply: object) -> None:
        self.reply = reply
        self.alive = True
        self.asked: list[tuple[Any, ...]] = []

    def isAlive(self) -> bool:
        return self.alive

    def lookupByUUIDString(self, uuid: str) -> Raw:
        return self

    def guestInfo(self, *arguments: int) -> object:
        self.asked.append(arguments)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply

    def close(self) -> None:
        self.alive = False
        raise doors.LibvirtError(1, 0, "closed by the other end")


def failure(name: str) -> doors.LibvirtError:
    return doors.LibvirtError(CONSTANTS[f"VIR_ERR_{name}"], 0, "libvirt's words")


def test_all_is_asked_in_one_call():
    raw = Raw({"hostname": "inside"})
    assert AgentConnection(raw).guest_info("some") == {"hostname": "inside"}
    assert raw.asked == [(0, 0)]


@pytest.mark.parametrize("name", ["AGENT_UNRESPONSIVE", "AGENT_UNSYNCED", "ARGUMENT_UNSUPPORTED"])
def test_an_agent_that_is_not_there_or_does_not_answer_is_silent(name):
    with pytest.raises(errors.AgentSilent, match="libvirt's words"):
        AgentConnection(Raw(failure(name))).guest_info("some")


def test_an_agent_is_not_called_silent_where_the_connection_is_lost():
    raw = Raw(failure("AGENT_UNRESPONSIVE"))
    raw.alive = False
    with pytest.raises(errors.Disconnected):
        AgentConnection(raw).guest_info("some")


def test_any_other_error_is_translated():
    with pytest.raises(errors.DomainGone):
        AgentConnection(Raw(failure("NO_DOMAIN"))).guest_info("some")


@pytest.mark.parametrize("raised", [SystemError("by hand"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "by hand")])
def test_a_reply_that_is_no_text_is_a_failed_call(raised):
    with pytest.raises(errors.CallFailed, match="the reply is no text"):
        AgentConnection(Raw(raised)).guest_info("some")


def test_a_call_that_the_binding_does_not_have_is_told():
    with pytest.raises(errors.Unsupported, match="libvirt's Python binding has no fsInfo"):
        AgentConnection(Raw({})).fs_info("some")


def test_close_never_raises():
    connection = AgentConnection(Raw({}))
    assert connection.alive
    connection.close()
    assert not connection.alive
