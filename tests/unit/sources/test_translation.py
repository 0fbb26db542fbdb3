"""libvirt's errors become ours, by their numbers."""

from __future__ import annotations

import pytest

from tests.unit import doors, replies
from virt2 import errors

CONSTANTS = {**replies.recordings()[-1].constants}
LOADED = doors.load(CONSTANTS)
translation = LOADED["translation"]


class Raw:
    """A connection of libvirt's."""

    def __init__(self, answer: bool | Exception = True) -> None:
        self.answer = answer

    def isAlive(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def error(name: str | None, message: str = "libvirt's words") -> doors.LibvirtError:
    return doors.LibvirtError(None if name is None else CONSTANTS[f"VIR_ERR_{name}"], 0, message)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NO_DOMAIN", errors.DomainGone),
        ("OPERATION_INVALID", errors.DomainGone),
        ("INVALID_ARG", errors.DomainGone),
        (None, errors.DomainGone),
        ("OPERATION_TIMEOUT", errors.DomainBusy),
        ("NO_SUPPORT", errors.Missing),
        ("ARGUMENT_UNSUPPORTED", errors.Unsupported),
        ("CONFIG_UNSUPPORTED", errors.Unsupported),
        ("OPERATION_UNSUPPORTED", errors.Unsupported),
        ("INTERNAL_ERROR", errors.CallFailed),
    ],
)
def test_each_number_becomes_one_of_our_errors_with_libvirts_words(name, expected):
    with pytest.raises(errors.Error) as caught, translation.Translated(Raw()):
        raise error(name)
    assert type(caught.value) is expected
    assert str(caught.value) == "libvirt's words"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_error_without_a_branch_of_its_own_keeps_its_number():
    with pytest.raises(errors.CallFailed) as caught, translation.Translated(Raw()):
        raise error("INTERNAL_ERROR")
    assert caught.value.code == CONSTANTS["VIR_ERR_INTERNAL_ERROR"]


@pytest.mark.parametrize("answer", [False, error("INTERNAL_ERROR")], ids=["lost", "unknown"])
@pytest.mark.parametrize("name", ["NO_DOMAIN", "INTERNAL_ERROR"])
def test_on_a_connection_that_is_lost_every_error_is_its_loss(name, answer):
    with pytest.raises(errors.Disconnected, match="libvirt's words"), translation.Translated(Raw(answer)):
        raise error(name)


def test_what_is_no_error_of_libvirts_is_left_alone():
    with pytest.raises(KeyError), translation.Translated(Raw()):
        raise KeyError("x")
    with translation.Translated(Raw()):
        pass


def test_an_error_without_a_message_is_told_by_its_text():
    lost = doors.LibvirtError(None, 0, "")
    lost.args = ("virDomainLookupByUUIDString() failed",)
    assert translation.words(lost) == "virDomainLookupByUUIDString() failed"


def test_a_libvirt_that_does_not_know_a_number_yet_does_without_it():
    fewer = {name: number for name, number in CONSTANTS.items() if name != "VIR_ERR_OPERATION_UNSUPPORTED"}
    with pytest.raises(errors.CallFailed), doors.load(fewer)["translation"].Translated(Raw()):
        raise error("OPERATION_UNSUPPORTED")
