"""What completes the words of the command is made from the table of commands.

tests/integration/test_completion.py presses the Tab key in the real shells.
"""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from virt2.cli import commands, completion
from virt2.cli.commands import COMMANDS, FILES, Command, complete_with
from virt2.cli.completion import SHELLS, script

BOUND = 20.0


@pytest.fixture
def more(monkeypatch):
    """A command with an option of each kind."""

    def declare(parser):
        complete_with(parser.add_argument("domain", help="the domain's name"), ("domains", "--names"))
        parser.add_argument("--sort", choices=("cpu", "name"), help="what it's sorted by [first]: cpu")
        complete_with(parser.add_argument("--conf", metavar="FILE", help="a file"), FILES)
        parser.add_argument("-n", "--number", type=int, help="a number, such as 100%%")
        parser.add_argument("--hidden", help="==SUPPRESS==")

    module = types.ModuleType("virt2_command_of_a_test")
    module.declare, module.run = declare, lambda arguments: 0
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(commands, "COMMANDS", (*COMMANDS, Command("describe", module.__name__, "tells of one domain")))


@pytest.mark.parametrize("shell", SHELLS)
def test_each_command_and_each_of_its_options_is_completed(shell, more):
    text = script(shell)
    assert text.endswith("\n")
    for word in (*(command.name for command in commands.COMMANDS), "tells of one domain" if shell != "bash" else ""):
        assert word in text
    dashes = "" if shell == "fish" else "--"
    for flag in ("json", "show-config", "sort", "conf", "number", "help"):
        assert f"{dashes}{flag}" in text
    assert "hidden" not in text
    assert "domains" in text
    assert "100%%" not in text


def test_the_script_for_bash_is_in_its_language(more):
    done = subprocess.run(
        ["bash", "-n"], input=script("bash"), capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_prints_it(capsys):
    parser = commands.parser("completion")
    assert completion.run(parser.parse_args(["completion", "fish"])) == 0
    assert capsys.readouterr().out == script("fish")


def test_a_quote_in_a_help_ends_no_word_of_the_script(more):
    assert r"'--sort[what it'\"'\"'s sorted by \[first\]\: cpu]:sort:(cpu name)'".replace(r"\"", '"') in script("zsh")
    assert r"-d 'what it\'s sorted by [first]: cpu'" in script("fish")
