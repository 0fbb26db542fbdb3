"""What a call of another client has come to."""

from types import SimpleNamespace

import pytest

from tests.chaos.clients import Clients
from tests.chaos.journal import Journal
from tests.lab import CommandFailed


def clients_of(fails):
    """Clients whose commands end so; and the journal."""

    def run(_argv, _timeout):
        if fails is not None:
            raise fails

    journal = Journal()
    return Clients(SimpleNamespace(run=run), journal), journal


def test_a_call_that_succeeds_has_no_error():
    clients, _ = clients_of(None)
    assert clients.run("list") == ""
    assert clients.begin("list").wait()


@pytest.mark.parametrize(
    "error", [CommandFailed("no"), TimeoutError("it still runs"), ProcessLookupError("it has ended"), TimeoutError()]
)
def test_a_call_that_does_not_succeed_is_told_in_words_however_it_ends(error):
    clients, journal = clients_of(error)
    assert (str(error) or "TimeoutError") in clients.run("list")
    assert not clients.begin("list").wait()
    assert all(end < float("inf") for _, end in journal.visits())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_call_of_which_nobody_knows_how_it_ended_has_not_succeeded():
    call = clients_of(RuntimeError("the lab is not up"))[0].begin("attach-device")
    assert not call.wait()
    assert call.is_over
    assert call.error
