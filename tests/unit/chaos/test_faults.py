"""What faults do where what they act on is slow, away or gone."""

import signal

import pytest

from tests.chaos import faults
from tests.chaos.faults import Stage, kill_libvirtd, restart_libvirtd
from tests.chaos.model import Action
from tests.unit.chaos.stories import deed


class Libvirtd:
    """One that a storage that hangs holds for so many seconds of waiting after it was killed."""

    def __init__(self, held=0.0, patience=0.0):
        self.signals = []
        self.held = held
        self.patience = patience
        """Seconds of waiting until it ends by itself when it is told to."""

    def signal(self, number):
        self.signals.append(number)

    def wait(self, timeout):
        left = self.held if signal.SIGKILL in self.signals else self.patience
        if timeout < left:
            raise TimeoutError("it still runs")
        return 0


class Machine:
    """A lab that tells what is done to its libvirtd."""

    def __init__(self, libvirtd):
        self.libvirtd = libvirtd
        self.started = 0

    def start_libvirtd(self, timeout):
        self.started += 1


def stage_of(lab, **parts):
    things = {"storages": {}, "population": None, "clients": None, "witness": None, "daemon": None, **parts}
    return Stage(lab, **things)


def do(fault, stage, *targets, detail=""):
    done = deed(fault.__name__, 0, 0, *targets, detail=detail)
    with fault(stage, Action(0, 0, fault.__name__, targets, detail), done):
        pass
    return done


@pytest.mark.parametrize("fault", [kill_libvirtd, restart_libvirtd])
def test_libvirtd_is_started_only_when_the_one_before_is_gone_also_where_storage_holds_that(fault):
    lab = Machine(Libvirtd(held=60.0, patience=100.0))
    do(fault, stage_of(lab))
    assert lab.libvirtd.signals[-1] == signal.SIGKILL
    assert lab.started == 1
    lab = Machine(Libvirtd(held=1e9, patience=1e9))
    with pytest.raises(TimeoutError):
        do(fault, stage_of(lab))
    assert lab.started == 0


def test_libvirtd_that_ends_when_it_is_told_to_is_not_killed():
    lab = Machine(Libvirtd(patience=faults.GENTLE / 2))
    assert do(restart_libvirtd, stage_of(lab)).note == ""
    assert lab.libvirtd.signals == [signal.SIGTERM]
    assert lab.started == 1
