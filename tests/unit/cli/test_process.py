"""The command as a process: every way in which it may end is a sentence and an exit status, or its signal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest

import virt2
from virt2.cli import commands, process
from virt2.cli.commands import COMMANDS, CannotDo, Command
from virt2.version import VERSION

ROOT = Path(virt2.__file__).parents[1]
BOUND = 20.0
PROGRAM = (sys.executable, "-m", "virt2.cli")


def run(*words, **options):
    """Run the command to its end."""
    options = {"capture_output": True, "text": True, **options}
    return subprocess.run([*PROGRAM, *words], cwd=ROOT, timeout=BOUND, **options)


@pytest.fixture
def command(monkeypatch):
    """Makes a command that does something, of the name ``do``."""

    def make(do, declare=lambda parser: None):
        module = types.ModuleType("virt2_command_of_a_test")
        module.run = do
        module.declare = declare
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(commands, "COMMANDS", (*COMMANDS, Command("do", module.__name__, "does it")))

    return make


def fail(error):
    def run(arguments):
        raise error

    return run


def test_the_version_is_printed():
    assert run("--version").stdout == f"virt2 {VERSION}\n"


@pytest.mark.parametrize("words", [(), ("nothing",), ("check", "--nothing"), ("completion",), ("completion", "csh")])
def test_bad_usage_is_exit_status_2(words):
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: virt2")
    assert "Traceback" not in done.stderr


def test_the_help_names_every_command_and_the_exit_statuses():
    done = run("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert command.name in done.stdout
        assert command.about in " ".join(done.stdout.split())
    assert "Exit status: 0 if all is well" in done.stdout


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_each_command_and_each_of_its_options_is_explained(command):
    done = run(command.name, "--help")
    assert done.returncode == 0
    assert "Exit status: 0 if all is well" in done.stdout
    parser = commands.parser(command.name)
    (choices,) = [action.choices for action in parser._actions if hasattr(action, "_name_parser_map")]
    one = choices[command.name]
    assert one.description
    assert one.description.endswith(".")
    for action in one._actions:
        assert action.help, action
        assert action.help[0].islower()


def test_the_table_is_in_order_and_its_lines_are_one():
    assert [command.name for command in COMMANDS] == sorted(command.name for command in COMMANDS)
    for command in COMMANDS:
        assert command.about[0].islower()
        assert not command.about.endswith(".")
        assert callable(commands.runner(command.name))


def test_only_the_module_of_the_wanted_command_is_imported():
    program = (
        "import sys\n"
        "from virt2.cli import commands\n"
        "commands.parser('completion')\n"
        "print(*sorted(name for name in sys.modules if name in"
        " ('rich', 'difflib', 'libvirt', 'subprocess', 'virt2.cli.check', 'virt2.assembly', 'virt2.cli.completion')))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=BOUND)
    assert (done.stdout, done.stderr) == ("virt2.cli.completion\n", "")


def test_a_pipe_that_is_closed_ends_it_as_it_ends_any_program():
    read, write = os.pipe()
    os.close(read)
    done = run("check", "--help", stdout=write, stderr=subprocess.PIPE, capture_output=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, "")


def test_an_output_that_cannot_be_written_is_a_sentence():
    with open("/dev/full", "w") as full:
        done = run("check", "--help", stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert done.returncode == 2
    assert done.stderr == "virt2: the output cannot be written: No space left on device.\n"


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_do_no_harm(redirection):
    line = f'"$@" check /none/at/all {redirection}'
    done = subprocess.run(["bash", "-c", line, "bash", *PROGRAM], cwd=ROOT, capture_output=True, timeout=BOUND)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


def test_ctrl_c_ends_it_without_a_word():
    program = (
        "import signal, sys, types\n"
        # Who runs the tests may ignore it, as a shell has its background jobs do.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from virt2.cli import __main__, commands\n"
        "module = sys.modules['waiting'] = types.ModuleType('waiting')\n"
        "def wait(arguments):\n"
        "    print('waiting', flush=True)\n"
        "    sys.stdin.read()\n"
        "module.run, module.declare = wait, lambda parser: None\n"
        "commands.COMMANDS = (commands.Command('wait', 'waiting', 'waits'),)\n"
        "sys.argv = ['virt2', 'wait']\n"
        "__main__.main()\n"
    )
    waiting = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with waiting:
        try:
            assert waiting.stdout.readline() == b"waiting\n"
            waiting.send_signal(signal.SIGINT)
            assert waiting.wait(BOUND) == -signal.SIGINT
            assert waiting.stderr.read() == b""
        finally:
            waiting.kill()


def test_whoever_ignores_ctrl_c_goes_on_ignoring_it():
    program = "trap '' INT; exec \"$@\""
    code = (
        "import signal\nfrom virt2.cli import __main__, process\nprocess.run = lambda words: 0\n__main__.main()\n"
        "print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
    )
    done = subprocess.run(
        ["bash", "-c", program, "bash", sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=BOUND
    )
    assert done.stdout == b"True\n"


def test_what_cannot_be_done_is_said_in_one_printable_line(command, capsys):
    command(fail(CannotDo("It is \x1b[31mred\n.")))
    assert process.run(["do"]) == 2
    assert capsys.readouterr() == ("", "virt2: It is \\x1b[31mred\\n.\n")


def test_the_exit_status_is_that_of_the_command(command):
    command(lambda arguments: 1)
    assert process.run(["do"]) == 1


def test_an_unexpected_failure_is_a_sentence_and_its_traceback_can_be_had(command, capsys, monkeypatch):
    command(fail(ValueError("odd")))
    assert process.run(["do"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    place = r"virt2/[\w/]+\.py:[0-9]+"
    assert re.fullmatch(
        rf"virt2: an unexpected failure in {place}: ValueError: odd\. Please report this, with what"
        r" VIRT2_TRACEBACK=1 in the environment prints\.\n",
        err,
    )
    monkeypatch.setenv("VIRT2_TRACEBACK", "1")
    process.run(["do"])
    assert "Traceback" in capsys.readouterr().err


def test_a_file_that_cannot_be_opened_is_no_failure_of_the_output(command, capsys):
    command(fail(FileNotFoundError(2, "No such file or directory", "/x")))
    assert process.run(["do"]) == 2
    assert "an unexpected failure" in capsys.readouterr().err


def test_a_terminal_that_lacks_characters_is_no_failure():
    program = (
        "import sys\nfrom virt2.cli import process\n"
        "process._do = lambda words: print('w\u00fcrfel') or 0\nsys.exit(process.run([]))\n"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, timeout=BOUND
    )
    assert (done.returncode, done.stdout) == (0, b"w\\xfcrfel\n")


def test_without_the_binding_of_libvirt_it_is_a_sentence(tmp_path):
    conf = tmp_path / "x.conf"
    conf.write_text("LoadPlugin python\n<Plugin python>\nImport virt2\n</Plugin>\n")
    program = (
        "import sys\nsys.modules['libvirt'] = None\nfrom virt2.cli import process\n"
        f"sys.exit(process.run(['check', {str(conf)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 2
    assert "cannot load its binding" in done.stdout
    assert (done.stderr, "Traceback" in done.stdout) == ("", False)
