"""What /proc tells of QEMU, from recorded trees."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virt2.sources import cgroups, procfs
from virt2.sources.procfs import Guest, Processes

BOUND = 10.0
SLEEPER = (sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()")
UUID = "ff209345-3dd4-44ac-9385-12ee3524f301"
OTHER = "2217077c-9f69-4a44-8198-66407ae8f60c"

STAT = (
    b"%d (%s) %s 1 185 185 0 -1 138412416 5366 0 0 0 %d %d 0 0 20 0 4 0 %d 1162706944 10917 18446744073709551615"
    b" 1 1 0 0 0 0 268444224 4096 16963 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
"""Recorded from QEMU 7.2 under Linux 6.18; pid, name, state, ticks in user and kernel mode, and start time are put
in."""
TICK = 10**9 // os.sysconf("SC_CLK_TCK")

COMMAND = (
    "/usr/bin/qemu-system-x86_64", "-name", "guest=NAME,debug-threads=on", "-S", "-object",
    '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/master-key.aes"}',
    "-machine", "pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram", "-accel", "tcg", "-m", "16",
    "-overcommit", "mem-lock=off", "-smp", "1,sockets=1,cores=1,threads=1", "-uuid", "UUID", "-display", "none",
)  # fmt: skip
"""Recorded from libvirt 9.0; NAME and UUID are put in."""

HOSTILE = ["plain", "a,b", "x=y,guest=z,", ",,", "new\nline", "trail\n", "tab\there", "cr\rx", "..", ".", "driver",
           "-uuid", "ünïcode-✓", "a)\n T 1 (", "<a&b>'\"", "a&amp;b", "n" * 240, "guest=", " "]  # fmt: skip
"""libvirt 9.0 starts a domain by each of these names."""


class Host:
    """A recorded host: a folder as /proc and one as libvirt's run folder."""

    def __init__(self, root: Path, room: int = 0) -> None:
        self.proc = root / "proc"
        self.run_dir = root / "run"
        self.proc.mkdir()
        self.run_dir.mkdir()
        self.slept: list[float] = []
        self.starts: dict[int, int] = {}
        self.now = 50.0
        self.on_sleep: Callable[[], None] = lambda: None
        self.used = (27, 8)
        """Clock ticks in user and in kernel mode."""
        self.processes = Processes(str(self.run_dir), str(self.proc), self._sleep, lambda: self.now, room)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()

    def process(
        self, pid: int, state: str = "S", start: int = 900, comm: bytes = b"qemu-system-x86", cmdline: bytes = b""
    ) -> None:
        folder = self.proc / str(pid)
        if self.starts.get(pid, start) != start:
            self.gone(pid)
        self.starts[pid] = start
        (folder / "task").mkdir(parents=True, exist_ok=True)
        thread = folder / "task" / str(pid)
        if not thread.exists():
            thread.symlink_to(folder)
        (folder / "stat").write_bytes(STAT % (pid, comm, state.encode(), *self.used, start))
        (folder / "cmdline").write_bytes(cmdline)

    def qemu(self, pid: int, name: str, uuid: str = UUID, state: str = "S", start: int = 900) -> None:
        self.process(pid, state, start, cmdline=command_line(name, uuid))
        self.pid_file(name, pid)

    def pid_file(self, name: str, pid: int | str) -> None:
        """As libvirt writes it: named by the escaped name, without a newline."""
        stem = escape(name, {'"': "&quot;", "'": "&apos;"})
        (self.run_dir / f"{stem}.pid").write_text(str(pid))

    def gone(self, pid: int) -> None:
        # Who has it open can read no more, as with a real one.
        os.truncate(self.proc / str(pid) / "stat", 0)
        shutil.rmtree(self.proc / str(pid))
        del self.starts[pid]

    def forbid_all_but_stat(self, pid: int) -> None:
        """From now on the test fails when anything else of this process, or its pid file, is needed."""
        (self.proc / str(pid) / "cmdline").unlink()
        for file in self.run_dir.glob("*.pid"):
            file.unlink()


def command_line(name: str, uuid: str, template: tuple[str, ...] = COMMAND) -> bytes:
    doubled = name.replace(",", ",,")
    arguments = [part.replace("NAME", doubled) if "NAME" in part else part.replace("UUID", uuid) for part in template]
    return b"".join(argument.encode() + b"\0" for argument in arguments)


@pytest.fixture(params=[0, 8], ids=["opened anew", "kept open"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    return Host(tmp_path, request.param)


@pytest.mark.parametrize("comm", [b"qemu-system-x86", b"", b"a) T 1 (", b")", b"((", b") ) R 2", b"a\nb", b"\xff\xc3"])
def test_the_name_of_a_process_cannot_forge_its_state(comm: bytes, host: Host) -> None:
    host.process(7, "D", 4711, comm)
    assert procfs.read_stat(7, str(host.proc))[:3] == (comm, "D", 4711)
    assert procfs.main_thread_state(7, str(host.proc)) == "D"


@settings(deadline=None)  # files are written, on a machine that may be busy
@given(
    comm=st.binary(max_size=15).filter(lambda name: b"\0" not in name),
    state=st.sampled_from("RSDZTtXIP"),
    start=st.integers(0, 2**64 - 1),
)
def test_any_name_state_and_start_time_are_read_back(
    comm: bytes, state: str, start: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    host = Host(tmp_path_factory.mktemp("host"))
    host.process(7, state, start, comm)
    assert procfs.read_stat(7, str(host.proc))[:3] == (comm, state, start)


@pytest.mark.parametrize(
    "content", [b"", b"7", b"7 (qemu", b"7 (qemu) S 1 2", b"7 qemu) S" + b" 1" * 30, b"7 (q) S" + b" x" * 30], ids=repr
)
def test_a_stat_that_cannot_be_used_is_unknown(content: bytes, host: Host) -> None:
    host.process(7)
    (host.proc / "7" / "stat").write_bytes(content)
    assert procfs.read_stat(7, str(host.proc)) is None
    assert procfs.main_thread_state(7, str(host.proc)) == ""


@pytest.mark.parametrize("letter", [b"\xff", b"\xed\xa0\x80", "\u00e9".encode()])
def test_a_state_that_is_no_letter_is_neither_stopped_nor_an_error(letter: bytes, host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.stopped(UUID, "web") == ""
    file = host.proc / "7" / "stat"
    file.write_bytes(file.read_bytes().replace(b") S ", b") " + letter + b" "))
    stat = procfs.read_stat(7, str(host.proc))
    assert stat is not None
    assert stat.start == 900
    assert host.processes.stopped(UUID, "web") == ""


def test_a_process_that_is_gone_or_hidden_is_unknown(host: Host) -> None:
    assert procfs.read_stat(7, str(host.proc)) is None
    assert procfs.main_thread_state(7, str(host.proc)) == ""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_domain_is_found_whatever_its_name(name: str, host: Host) -> None:
    host.qemu(7, name)
    places = {"run_dir": str(host.run_dir), "proc": str(host.proc)}
    assert procfs.guests(**places) == [Guest(name, UUID, 7)]
    assert host.processes.pid(UUID, name) == 7
    assert host.processes.pid(UUID.upper(), name) == 7


def test_a_pid_file_that_an_older_libvirt_did_not_escape_is_found(host: Host) -> None:
    host.qemu(7, "<a&b>")
    os.rename(host.run_dir / "&lt;a&amp;b&gt;.pid", host.run_dir / "<a&b>.pid")
    assert host.processes.pid(UUID, "<a&b>") == 7


def test_one_domain_escaped_is_not_another_one_by_that_name(host: Host) -> None:
    host.qemu(7, "a&b", UUID)
    host.qemu(8, "a&amp;b", OTHER)
    assert (host.processes.pid(UUID, "a&b"), host.processes.pid(OTHER, "a&amp;b")) == (7, 8)
    host.gone(8)
    assert host.processes.pid(OTHER, "a&amp;b") is None


def test_a_command_line_without_the_word_guest_is_understood(host: Host) -> None:
    host.process(7, cmdline=command_line("a,b", UUID, ("qemu", "-name", "NAME", "-uuid", "UUID")))
    host.pid_file("a,b", 7)
    assert procfs.guests(str(host.run_dir), str(host.proc)) == [Guest("a,b", UUID, 7)]


def test_what_follows_on_the_command_line_cannot_forge_the_uuid(host: Host) -> None:
    host.process(7, cmdline=command_line("a", UUID, (*COMMAND, "-append", "-uuid", OTHER, "-name", "guest=b")))
    host.pid_file("a", 7)
    assert procfs.guests(str(host.run_dir), str(host.proc)) == [Guest("a", UUID, 7)]


@pytest.mark.parametrize(
    "cmdline",
    [
        pytest.param(command_line("web", OTHER), id="another domain's QEMU"),
        pytest.param(b"sleep\x001000\0", id="another program"),
        pytest.param(b"", id="kernel thread"),
        pytest.param(b"qemu\0-name\0guest=web\0-uuid", id="cut off"),
    ],
)
def test_a_pid_that_was_reused_is_not_taken_for_the_domain(cmdline: bytes, host: Host) -> None:
    host.process(7, "T", cmdline=cmdline)
    host.pid_file("web", 7)
    assert host.processes.pid(UUID, "web") is None
    assert host.processes.stopped(UUID, "web") == ""


def test_a_name_that_only_begins_alike_is_another_domain(host: Host) -> None:
    host.process(7, cmdline=command_line("a,b", UUID))
    host.pid_file("a", 7)
    assert procfs.guests(str(host.run_dir), str(host.proc)) == [Guest("a,b", UUID, 7)]
    assert host.processes.pid(OTHER, "a") is None


@pytest.mark.parametrize("content", ["", "x", "-7", "7 8", "9" * 30])
def test_a_pid_file_without_a_number_is_no_pid_file(content: str, host: Host) -> None:
    host.qemu(7, "web")
    host.pid_file("web", content)
    assert host.processes.pid(UUID, "web") is None
    assert procfs.guests(str(host.run_dir), str(host.proc)) == []


@pytest.mark.parametrize("name", ["../run/web", "a/b", "nul\0", "n" * 300, "no text \ud800"])
def test_a_name_that_is_no_file_name_is_unknown(name: str, host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.pid(UUID, name) is None


def test_guests_leaves_out_the_drivers_own_pid_file(host: Host) -> None:
    host.process(3, comm=b"libvirtd", cmdline=b"/usr/sbin/libvirtd\0")
    host.pid_file("driver", 3)
    host.qemu(7, "web")
    (host.run_dir / "web.xml").write_text("7")
    assert procfs.guests(str(host.run_dir), str(host.proc)) == [Guest("web", UUID, 7)]


def test_guests_says_when_the_folder_cannot_be_listed(host: Host) -> None:
    with pytest.raises(FileNotFoundError):
        procfs.guests(str(host.run_dir / "none"), str(host.proc))


@pytest.mark.parametrize(
    ("state", "expected"), [("R", ""), ("S", ""), ("I", ""), ("Z", ""), ("T", "T"), ("t", "T")], ids=str
)
def test_stopped_or_traced_is_stopped_and_takes_one_look(state: str, expected: str, host: Host) -> None:
    host.qemu(7, "web", state=state)
    assert host.processes.stopped(UUID, "web") == expected
    assert host.slept == []


@pytest.mark.parametrize("then", ["D", "S", "R", "T"])
def test_uninterruptible_sleep_counts_at_two_looks_only(then: str, host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.stopped(UUID, "web") == ""
    host.process(7, "D")
    host.on_sleep = lambda: host.process(7, then)
    assert host.processes.stopped(UUID, "web") == {"D": "D", "T": "T"}.get(then, "")
    assert host.slept == [0.010]


@pytest.mark.parametrize(("state", "expected"), [("S", ""), ("D", "D"), ("T", "T"), ("t", "T"), ("Z", "")])
def test_the_state_of_a_known_process_takes_one_look_and_no_sleep(state: str, expected: str, host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.state(UUID) == ""
    assert host.processes.pid(UUID, "web") == 7
    host.process(7, state)
    host.forbid_all_but_stat(7)
    assert host.processes.state(UUID) == expected
    assert host.processes.has_ended(UUID, "web") == (state == "Z")
    assert host.slept == []


def test_a_process_replaced_between_two_looks_is_well(host: Host) -> None:
    host.qemu(7, "web", state="D")
    host.on_sleep = lambda: host.process(7, "D", start=901)
    assert host.processes.stopped(UUID, "web") == ""


def test_a_process_gone_between_two_looks_is_well(host: Host) -> None:
    host.qemu(7, "web", state="D")
    host.on_sleep = lambda: host.gone(7)
    assert host.processes.stopped(UUID, "web") == ""


def test_a_command_line_is_not_read_while_in_uninterruptible_sleep(host: Host) -> None:
    """The kernel may delay that read for as long as the sleep lasts; the name of the program must do."""
    host.process(7, "D", cmdline=command_line("web", OTHER))
    host.pid_file("web", 7)
    assert host.processes.stopped(UUID, "web") == "D"
    host.process(7, "S", cmdline=command_line("web", OTHER))
    assert host.processes.stopped(UUID, "web") == ""
    assert host.processes.pid(UUID, "web") is None


def test_another_program_in_uninterruptible_sleep_is_not_the_domain(host: Host) -> None:
    host.process(7, "D", comm=b"rsync")
    host.pid_file("web", 7)
    assert host.processes.stopped(UUID, "web") == ""
    assert host.slept == []


def test_a_known_process_costs_one_small_file(host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.pid(UUID, "web") == 7
    host.forbid_all_but_stat(7)
    assert host.processes.pid(UUID, "web") == 7
    host.process(7, "T")
    host.forbid_all_but_stat(7)
    assert host.processes.stopped(UUID, "web") == "T"


def test_files_are_kept_open_for_as_many_as_there_is_room_for(tmp_path: Path) -> None:
    host = Host(tmp_path, room=2)
    for pid in range(7, 11):
        host.qemu(pid, f"web{pid}", f"{UUID}{pid}")
        assert host.processes.stopped(f"{UUID}{pid}", f"web{pid}") == ""
    assert len(kept_open(tmp_path)) == 2
    for pid in range(7, 11):
        host.process(pid, "T")
        assert host.processes.stopped(f"{UUID}{pid}", f"web{pid}") == "T"
    host.processes.keep([])
    assert kept_open(tmp_path) == []


def kept_open(folder: Path) -> list[str]:
    """The files in a folder that this process has open."""
    links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link for link in links if link.startswith(str(folder))]


def test_a_real_process_is_seen_to_stop_and_to_be_gone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*SLEEPER, "-name", "guest=web", "-uuid", UUID], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        (tmp_path / "web.pid").write_text(str(child.pid))
        processes = Processes(str(tmp_path))
        assert await_letter(processes, "")
        assert processes.pid(UUID, "web") == child.pid
        os.kill(child.pid, signal.SIGSTOP)
        assert await_letter(processes, "T")
        os.kill(child.pid, signal.SIGCONT)
        assert await_letter(processes, "")
        child.kill()
    assert processes.pid(UUID, "web") is None


def await_letter(processes: Processes, letter: str) -> bool:
    """Whether the process is said to be in that state soon."""
    over = time.monotonic() + BOUND
    while processes.stopped(UUID, "web") != letter:
        if time.monotonic() > over:
            return False
    return True


def test_a_restarted_domain_is_found_at_once(host: Host) -> None:
    host.qemu(7, "web", start=900)
    assert host.processes.pid(UUID, "web") == 7
    host.gone(7)
    host.qemu(8, "web", state="T", start=950)
    assert host.processes.stopped(UUID, "web") == "T"
    assert host.processes.pid(UUID, "web") == 8


def test_a_known_pid_that_was_reused_is_noticed_by_its_start_time(host: Host) -> None:
    host.qemu(7, "web", start=900)
    assert host.processes.stopped(UUID, "web") == ""
    host.process(7, "T", start=901, cmdline=b"vi\0")
    assert host.processes.stopped(UUID, "web") == ""


def test_a_domain_not_found_is_looked_for_again_later_only(host: Host) -> None:
    host.pid_file("web", 7)
    for pause in (procfs.FIRST_RETRY, procfs.RETRY, procfs.RETRY):
        assert host.processes.stopped(UUID, "web") == ""
        host.process(7, "T", cmdline=command_line("web", UUID))
        host.now += pause - 0.1
        assert host.processes.stopped(UUID, "web") == ""
        host.gone(7)
        host.now += 0.1
    host.process(7, "T", cmdline=command_line("web", UUID))
    assert host.processes.stopped(UUID, "web") == "T"


def test_a_domain_found_late_is_not_unknown_any_more(host: Host) -> None:
    assert host.processes.pid(UUID, "web") is None
    host.now += procfs.RETRY
    host.qemu(7, "web")
    assert host.processes.pid(UUID, "web") == 7
    assert repr(host.processes) == "<Processes known=1 unknown=0>"


def test_a_domain_that_is_back_is_found_at_once_although_it_was_not_there_a_moment_ago(host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.pid(UUID, "web") == 7
    host.gone(7)
    assert host.processes.pid(UUID, "web") is None
    (host.run_dir / "web.pid").unlink()
    assert host.processes.pid(UUID, "web") is None
    host.qemu(8, "web")
    assert host.processes.pid(UUID, "web") == 8


def test_a_process_that_is_no_qemu_yet_is_found_soon(host: Host) -> None:
    host.pid_file("web", 7)
    host.process(7, comm=b"libvirtd", cmdline=b"libvirtd\0")
    assert host.processes.pid(UUID, "web") is None
    host.process(7, cmdline=command_line("web", UUID))
    host.now += procfs.FIRST_RETRY
    assert host.processes.pid(UUID, "web") == 7


def test_a_domain_that_is_gone_is_not_looked_for_at_every_look(host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.pid(UUID, "web") == 7
    host.gone(7)
    assert host.processes.pid(UUID, "web") is None
    host.process(7, cmdline=command_line("web", UUID))
    host.now += procfs.FIRST_RETRY - 0.1
    assert host.processes.pid(UUID, "web") is None


def test_one_domain_not_found_does_not_hide_the_others(host: Host) -> None:
    host.qemu(8, "db", OTHER, state="T")
    assert host.processes.stopped(UUID, "web") == ""
    assert host.processes.stopped(OTHER, "db") == "T"


def test_what_is_kept_is_known_and_the_rest_forgotten(host: Host) -> None:
    host.qemu(7, "web", UUID)
    host.qemu(8, "db", OTHER)
    for uuid, name in ((UUID, "web"), (OTHER, "db"), ("none", "none")):
        host.processes.pid(uuid, name)
    assert repr(host.processes) == "<Processes known=2 unknown=1>"
    host.processes.keep([UUID])
    assert repr(host.processes) == "<Processes known=1 unknown=0>"
    host.forbid_all_but_stat(7)
    assert host.processes.pid(UUID, "web") == 7


def test_no_problem_where_a_process_can_be_seen(host: Host) -> None:
    host.qemu(7, "web")
    assert host.processes.problem() == ""


def test_no_problem_where_there_is_nothing_to_see(host: Host) -> None:
    host.process(1, comm=b"init")
    host.pid_file("driver", 3)
    assert host.processes.problem() == ""


def test_hidden_processes_are_a_problem_even_before_the_first_domain(host: Host) -> None:
    assert host.processes.problem() == f"{host.proc} hides the processes of other users"


def test_pid_files_of_another_pid_namespace_are_a_problem(host: Host) -> None:
    host.process(1, comm=b"init")
    host.pid_file("web", 7)
    expected = f"no pid file in {host.run_dir} leads to a QEMU in {host.proc}"
    assert host.processes.problem() == expected


def test_a_run_folder_that_cannot_be_listed_is_a_problem(host: Host) -> None:
    host.run_dir.rmdir()
    assert host.processes.problem() == f"{host.run_dir} cannot be listed: No such file or directory"


def test_a_domain_called_driver_is_no_reason_to_overlook_it(host: Host) -> None:
    host.process(1, comm=b"init")
    host.qemu(7, "driver", state="T")
    assert host.processes.stopped(UUID, "driver") == "T"
    assert host.processes.problem() == ""


def test_a_qemu_that_waits_for_its_storage_is_seen_and_its_command_line_is_left_alone(host: Host) -> None:
    host.qemu(7, "web", state="D")
    (host.proc / "7" / "cmdline").unlink()
    assert host.processes.problem() == ""
    assert procfs.guests(str(host.run_dir), str(host.proc)) == []


class TestAccount:
    """What a QEMU has used, where it is known."""

    @pytest.fixture
    def known(self, host: Host) -> Host:
        host.qemu(7, "web")
        assert host.processes.pid(UUID, "web") == 7
        return host

    def test_it_is_cpu_time_and_resident_memory_of_all_its_threads(self, known: Host) -> None:
        account = known.processes.account(UUID)
        assert account == (27 * TICK, 8 * TICK, 10917 * os.sysconf("SC_PAGE_SIZE"))
        assert account is not None
        assert account.cpu_time == 35 * TICK
        known.used = (28, 8)
        known.process(7)
        account = known.processes.account(UUID)
        assert account is not None
        assert account.cpu_time == 36 * TICK

    def test_one_that_was_not_found_yet_has_none_and_nothing_is_searched(self, host: Host) -> None:
        host.qemu(7, "web")
        assert host.processes.account(UUID) is None
        assert not host.processes.has_ended(UUID, "web")

    def test_only_the_stat_file_is_read(self, known: Host) -> None:
        known.forbid_all_but_stat(7)
        assert known.processes.account(UUID) is not None

    @pytest.mark.parametrize("end", ["gone", "zombie", "reused"])
    def test_one_that_has_ended_has_none_and_that_is_seen(self, known: Host, end: str) -> None:
        if end == "gone":
            known.gone(7)
        else:
            known.process(7, *(("Z", 900) if end == "zombie" else ("S", 901)))
        assert known.processes.account(UUID) is None
        assert known.processes.has_ended(UUID, "web")
        known.processes.keep([UUID])
        assert known.processes.has_ended(UUID, "web")
        known.processes.keep([])
        assert not known.processes.has_ended(UUID, "web")

    def test_one_that_cannot_be_looked_at_now_has_not_ended(self, known: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> int:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as context:
            context.setattr(procfs.os, "open", refuse)
            context.setattr(procfs.os, "pread", refuse)
            assert known.processes.account(UUID) is None
            assert known.processes.stopped(UUID, "web") == ""
        assert not known.processes.has_ended(UUID, "web")
        assert known.processes.account(UUID) is not None

    def test_the_next_one_of_the_domain_is_not_the_one_that_has_ended(self, known: Host) -> None:
        known.gone(7)
        assert known.processes.account(UUID) is None
        (known.run_dir / "web.pid").unlink()
        assert known.processes.has_ended(UUID, "web")
        known.qemu(8, "web", start=950)
        assert not known.processes.has_ended(UUID, "web")
        assert known.processes.pid(UUID, "web") == 8
        assert not known.processes.has_ended(UUID, "web")
        assert known.processes.account(UUID) is not None

    def test_it_agrees_with_what_the_kernel_tells_of_a_process_by_other_ways(self, tmp_path: Path) -> None:
        busy = "import sys, time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\nsys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", busy, "-name", "guest=web", "-uuid", UUID],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            (tmp_path / "web.pid").write_text(str(child.pid))
            processes = Processes(str(tmp_path))
            assert processes.pid(UUID, "web") == child.pid
            account = processes.account(UUID)
            assert account is not None
            assert account.cpu_time >= 0.3e9 - 2 * TICK
            assert account.rss > 1 << 20
            child.communicate(b"")
            assert processes.account(UUID) is None


def test_cpu_time_by_mode_is_read_of_the_group_that_was_found_for_the_process(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []

    class Group:
        def read(self) -> tuple[int, int]:
            return 5, 7

    monkeypatch.setattr(cgroups, "group_of", lambda pid, proc: found.append(pid) or (Group() if pid == 7 else None))
    host.qemu(7, "web")
    assert host.processes.cpu_times(UUID) is None
    assert host.processes.pid(UUID, "web") == 7
    for _ in range(2):
        assert host.processes.cpu_times(UUID) == (5, 7)
    host.gone(7)
    host.qemu(8, "web", start=950)
    assert host.processes.pid(UUID, "web") == 8
    for _ in range(2):
        assert host.processes.cpu_times(UUID) is None
    assert found == [7, 8]


@pytest.mark.parametrize(
    ("text", "count"), [("0\n", 1), ("0-3\n", 4), ("0-1,3,5-6\n", 5), ("", 0), ("none\n", 0)], ids=repr
)
def test_the_cpus_that_are_online_are_counted(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "online"
    path.write_text(text)
    assert procfs.online_cpus(str(path)) == count
    assert procfs.online_cpus(str(tmp_path / "missing")) == 0
