"""The real shells complete the words of the command: each is given a terminal, and the Tab key is pressed."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from tests.lab.machine import ROOT
from virt2.cli.commands import COMMANDS
from virt2.cli.completion import script

SOON = 20.0
"""Seconds within which a shell does what takes it a tenth of one."""
HOSTILE = ("web-1", "web 2", "web$(touch ran)", "web`touch ran`", "web;touch ran", 'web"3', "web'4")
"""Names of domains."""
CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][0-9A-B]?)|\r|\x08")
PROMPT = "ready> "

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'; PS1='ready> '"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "unsetopt prompt_sp prompt_cr; PS1='ready> '; autoload -Uz compinit; compinit -u -D; LISTMAX=1000",
    ),
}
"""How a shell is started, and what it is told first."""


@pytest.fixture
def folder(tmp_path):
    """A folder with the command, and with a file to complete."""
    program = tmp_path / "bin" / "virt2"
    program.parent.mkdir()
    names = " ".join("'" + name.replace("'", "'\\''") + "'" for name in HOSTILE)
    program.write_text(
        "#!/bin/bash\n"
        f"if [ \"$*\" = 'domains --names' ]; then printf '%s\\n' {names}; exit; fi\n"
        f'cd {ROOT} && exec {sys.executable} -m virt2.cli "$@"\n'
    )
    program.chmod(0o755)
    (tmp_path / "my own.conf").touch()
    return tmp_path


class Shell:
    """An interactive shell in a terminal of its own."""

    def __init__(self, shell, folder, load):
        argv, first = START[shell]
        leader, follower = pty.openpty()
        environment = {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            **{name: os.environ[name] for name in ("FPATH", "MODULE_PATH", "LD_LIBRARY_PATH") if name in os.environ},
        }
        self.process = subprocess.Popen(
            argv, stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=environment, start_new_session=True
        )
        os.close(follower)
        self._terminal = leader
        self._text = ""
        self.send(f"{first}\n")
        # What is echoed has the quotes between.
        self.send(f"{load}; echo lo''aded\n")
        self.expect("loaded")
        self.expect(PROMPT)

    def send(self, text):
        os.write(self._terminal, text.encode())

    def expect(self, text):
        """Wait until something is shown, and give what was shown until then."""
        until = time.monotonic() + SOON
        while text not in self._text:
            ready, _, _ = select.select([self._terminal], [], [], max(until - time.monotonic(), 0))
            assert ready, f"{text!r} is not shown, but {self._text!r}"
            self._text = CONTROL.sub("", self._text + os.read(self._terminal, 4096).decode(errors="replace"))
        shown, _, self._text = self._text.partition(text)
        return shown + text

    def close(self):
        self.process.kill()
        self.process.wait(SOON)
        os.close(self._terminal)


@contextlib.contextmanager
def shell(name, folder, load=""):
    running = Shell(name, folder, load or f"source <(virt2 completion {name})")
    try:
        yield running
    finally:
        running.close()


@pytest.mark.parametrize("name", START)
def test_commands_options_and_files_are_completed(name, folder):
    with shell(name, folder) as running:
        running.send("virt2 ch\t")
        running.expect("virt2 check ")
        running.send("--sh\t")
        running.expect("--show-config ")
        running.send("my\t")
        running.expect("my\\ own.conf")
        running.send("\x15virt2 completion z\t")
        running.expect("virt2 completion zsh")


@pytest.mark.parametrize("name", START)
def test_what_there_is_to_choose_is_listed(name, folder):
    with shell(name, folder) as running:
        running.send("virt2 check --\t\t")
        shown = running.expect("--json")
        shown += running.expect("--show-config")
        assert "check" in shown
        running.send("\x15virt2 \t\t")
        running.expect("completion")


@pytest.mark.parametrize("name", START)
def test_hostile_names_of_domains_are_words_and_run_nothing(name, folder):
    (folder / "completion").write_text(script(name))
    with shell(name, folder, "source ./completion") as running:
        running.send("virt2 explain web-\t")
        running.expect("web-1")
        running.send("\x15virt2 explain web\\ \t")
        running.expect("2 ")
        running.send("\x15virt2 explain web\\$\t")
        running.expect("touch\\ ran")
        running.send("\x15virt2 explain web\t\t")
        running.expect("web-1")
        # A question whether to show all of them would wait for an answer.
        running.send("n\x15echo do''ne\n")
        running.expect("done")
    assert not (folder / "ran").exists()


def fish(folder, *lines):
    """What fish would complete these lines to: for each line the words, with what they mean."""
    asked = "\n".join(f"complete -C {line}; echo ==" for line in lines)
    environment = {
        **{name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {folder}/completion.fish\n{asked}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert done.stderr == ""
    answers = done.stdout.split("==\n")[:-1]
    return [[tuple(line.partition("\t")[::2]) for line in answer.splitlines()] for answer in answers]


def test_fish_completes_commands_options_and_files(folder):
    (folder / "completion.fish").write_text(script("fish"))
    described = [(command.name, command.about) for command in COMMANDS]
    top, some, options, shells, files = fish(
        folder, "'virt2 '", "'virt2 ch'", "'virt2 check --'", "'virt2 completion '", "'virt2 check my'"
    )
    assert top == described
    assert some == [line for line in described if line[0].startswith("ch")]
    assert [word for word, _ in options] == ["--help", "--json", "--show-config"]
    assert [word for word, _ in shells] == ["bash", "fish", "zsh"]
    assert [word for word, _ in files] == ["my own.conf"]


def test_fish_completes_hostile_names_of_domains(folder):
    (folder / "completion.fish").write_text(script("fish"))
    (names,) = fish(folder, "'virt2 explain '")
    assert sorted(word for word, _ in names) == sorted(HOSTILE)
    assert not (folder / "ran").exists()
