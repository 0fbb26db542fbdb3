"""Sessions in processes of their own: what ends a process, or is lost in it, is told with the input that did it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz.crew import Crew, Job
from tests.fuzz.session import DIED
from tests.fuzz.verdict import BROKEN, HUNG
from tests.unit.fuzz import faulty

ROOT = Path(__file__).resolve().parents[3]
SEED = 7
BOUND = 10.0


def run(*jobs: Job):
    said: list[str] = []
    outcomes = Crew(2, said.append).run(jobs)
    assert len(said) >= len(jobs)
    return {outcome.target: outcome for outcome in outcomes}


def test_each_job_has_its_outcome():
    outcomes = run(*(Job(target, SEED, 300) for target in (faulty.Harmless, faulty.Breaks, faulty.Harmless)))
    assert outcomes["harmless"].inputs == outcomes["breaks"].inputs == 300
    assert [failure.kind for failure in outcomes["breaks"].failures] == [BROKEN]
    assert outcomes["harmless"].failures == ()


@pytest.mark.parametrize(
    ("job", "kind", "words"),
    [
        (Job(faulty.Dies, SEED, 300), DIED, "exit code 3"),
        (Job(faulty.Lost, SEED, 300, lost=0.5), HUNG, "no signal could end it"),
    ],
    ids=["dies", "is lost"],
)
def test_a_process_that_is_lost_is_told_with_the_input(job, kind, words):
    outcome = run(job)[job.target.name]
    (failure,) = outcome.failures
    assert (failure.kind, outcome.failed) == (kind, 1)
    assert words in failure.words
    assert "!" in failure.data
    assert 0 < outcome.inputs <= 300


def test_a_fault_of_the_fuzzer_itself_is_no_outcome():
    with pytest.raises(RuntimeError, match="ZeroDivisionError: in the fuzzer"):
        run(Job(faulty.Malformed, SEED, 300))


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )


def test_a_run_prints_a_table_of_counts():
    done = fuzz("--only", "statistics", "--seed", "5", "--inputs", "300")
    assert (done.returncode, done.stdout.count("| 300 |")) == (0, 2)
    assert "seed 5" in done.stderr


def test_a_run_that_is_told_to_end_leaves_no_process_behind():
    with subprocess.Popen([sys.executable, "-m", "tests.fuzz"], cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert run.stderr is not None
            assert "seed" in run.stderr.readline()
            children = children_of(run.pid)
            run.terminate()
            assert run.wait(BOUND) == 128 + signal.SIGTERM
        finally:
            run.kill()
    # The one that watches over resources ends when it sees that nobody needs it any more.
    wait_until(lambda: not any(map(runs, children)), "a process was left behind")


def children_of(pid: int) -> list[int]:
    """The processes that a process has started: two sessions, and one that watches over resources."""
    file = Path(f"/proc/{pid}/task/{pid}/children")
    wait_until(lambda: len(file.read_text().split()) == 3, "there are no sessions")
    return [int(word) for word in file.read_text().split()]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(holds: Callable[[], bool], words: str) -> None:
    ends = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < ends, words
        time.sleep(0.01)


def test_one_input_can_be_run_again():
    done = fuzz("--only", "statistics", "--input", "('layers', {'block.0.name': 'vda'}, 'vda')")
    assert (done.returncode, done.stdout) == (0, "it does not fail\n")
    done = fuzz("--only", "statistics", "--input", "('no such selector', {}, 'vda')")
    assert done.returncode == 1
    assert "KeyError: 'no such selector'" in done.stdout
