"""What faults do where what they act on is slow, away or gone."""

import contextlib
import signal
import threading
import time
from types import SimpleNamespace

import pytest

from tests.chaos import faults
from tests.chaos.daemon import Daemon
from tests.chaos.faults import Stage, hot_plug, kill_libvirtd, other_clients, restart_libvirtd
from tests.chaos.model import FOREVER, Action
from tests.chaos.performance import Failed, Performance
from tests.unit.chaos.stories import deed, life


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


class Watched:
    """A process at which somebody looks for as long as it takes that something else could begin to end it."""

    def __init__(self):
        self.looked = threading.Event()
        self.told = threading.Event()
        self.told_during_a_look = False
        self.exit_code = None
        self.pid = 1

    def poll(self):
        if not self.looked.is_set():
            self.looked.set()
            self.told_during_a_look = self.told.wait(0.2)
        return self.exit_code

    def signal(self, number):
        self.told.set()

    def stop(self, timeout=0.0):
        self.told.set()
        return 0.1

    def wait(self, timeout):
        return 0


def performance_of(libvirtd, collectd):
    performance = object.__new__(Performance)
    well = SimpleNamespace(check=lambda: None)
    performance._witness = performance._watch = well
    performance._failures = []
    performance._lab = Machine(libvirtd)
    performance._daemon = daemon = object.__new__(Daemon)
    daemon.collectd = SimpleNamespace(process=collectd, stop=collectd.stop)
    daemon.runs, daemon.pid, daemon._started, daemon._lock = [], collectd.pid, 0.0, threading.Lock()
    performance._stage = stage_of(performance._lab, population=well, daemon=daemon)
    return performance


@pytest.mark.parametrize("kind", ["kill_libvirtd", "restart_libvirtd", "restart_collectd"])
def test_nobody_looks_whether_a_process_ended_by_itself_while_a_fault_ends_it(kind):
    libvirtd, collectd = Watched(), Watched()
    performance = performance_of(libvirtd, collectd)
    ended = collectd if kind == "restart_collectd" else libvirtd

    def end():
        ended.looked.wait(10)
        performance._daemon.stop() if ended is collectd else do(faults.FAULTS[kind], performance._stage)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    performance._check()
    assert ended.told.wait(10)
    thread.join(10)
    assert not ended.told_during_a_look


@pytest.mark.parametrize("which", ["libvirtd", "collectd"])
def test_a_process_that_ended_by_itself_ends_the_run(which):
    processes = {"libvirtd": Watched(), "collectd": Watched()}
    processes[which].exit_code = 0
    with pytest.raises(Failed, match=f"{which} ended by itself, with 0"):
        performance_of(**processes)._check()


class Guests:
    """A population without guests, whose guests somebody else has for a moment."""

    def __init__(self):
        self.free_at = 0.0

    @contextlib.contextmanager
    def held(self, _names):
        time.sleep(0.05)
        self.free_at = time.time()
        yield

    def living(self, _names):
        return []

    def start(self, *_names, **_more):
        pass


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("stop_guests", ("one",)),
        ("other_clients", ("alpha", "one")),
        ("hot_plug", ("alpha", "one")),
        ("replace_guest", ("one",)),
        ("return_guest", ("one",)),
        ("crash_guest", ("one",)),
        ("pause_guest", ("one",)),
        ("retag_guest", ("one",)),
        ("fill_workers", ("one",)),
    ],
)
def test_a_deed_begins_when_nobody_else_has_its_guests_any_more(kind, targets):
    guests = Guests()
    lab = SimpleNamespace(virt_admin=lambda *_, **_more: None)
    storage = SimpleNamespace(hang=lambda: None, heal=lambda: None)
    stage = stage_of(lab, population=guests, storages={"alpha": storage})
    assert do(faults.FAULTS[kind], stage, *targets).began >= guests.free_at > 0


@pytest.mark.parametrize("kind", ["limit_workers", "fill_workers"])
def test_libvirtd_has_as_long_to_answer_on_workers_as_everywhere(kind):
    asked = []
    lab = SimpleNamespace(virt_admin=lambda *words, timeout=30.0: asked.append((words[-1], timeout)))
    do(faults.FAULTS[kind], stage_of(lab, population=Guests()), detail="5")
    assert asked == [("5", faults.UP), ("20", faults.UP)]


@pytest.mark.parametrize(
    ("later", "ended", "in_force"),
    [(100.0, FOREVER, True), (0.0, FOREVER, False), (0.0, 1.0, True)],
    ids=["silent", "answers", "ended"],
)
def test_a_guest_that_answers_again_was_not_frozen_by_others(later, ended, in_force):
    guests = Guests()
    one = life("one")
    guests.living = lambda _names: [one]
    silent = iter([100.0, later])
    storage = SimpleNamespace(hang=lambda: None, heal=lambda: None)
    call = SimpleNamespace(wait=lambda: True, is_over=True)
    stage = stage_of(
        None,
        population=guests,
        storages={"alpha": storage},
        witness=SimpleNamespace(silent_for=lambda _life: next(silent)),
        clients=SimpleNamespace(begin=lambda *_: call),
    )
    done = deed("other_clients", 0, 0, "alpha", "one")
    with other_clients(stage, Action(0, 0, "other_clients", ("alpha", "one")), done):
        one.ended = ended
    assert (done.done < FOREVER) is in_force


@pytest.mark.parametrize("plugged", [True, False])
def test_a_disk_that_is_plugged_in_lies_on_the_storage_that_it_is_from(tmp_path, plugged):
    (tmp_path / "guests").mkdir()
    guests = Guests()
    one = life("one")
    guests.living = lambda _names: [one]
    images = SimpleNamespace(create=lambda: tmp_path / "image")
    storage = SimpleNamespace(name="alpha", images=images, hang=lambda: None, heal=lambda: None)
    call = SimpleNamespace(wait=lambda: plugged, error="" if plugged else "no")
    stage = stage_of(
        SimpleNamespace(work_dir=tmp_path),
        population=guests,
        storages={"alpha": storage},
        clients=SimpleNamespace(begin=lambda *_: call),
    )
    do(hot_plug, stage, "alpha", "one")
    disk = one.devices[-1]
    assert (disk.name, disk.storage, disk.since < FOREVER) == ("vdb", "alpha", plugged)
