"""``virt2 completion``: prints what makes a shell complete the words of ``virt2``, made from the table of commands."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from virt2.cli import commands
from virt2.cli.findings import FINE

SHELLS = ("bash", "zsh", "fish")


class Word(NamedTuple):
    """An option of a command, or what follows without one."""

    flags: tuple[str, ...]
    """Such as ``--json``; none for words without an option."""
    name: str
    """What the words that belong to it are."""
    about: str
    takes: bool
    """Whether words belong to it."""
    many: bool = False
    """Whether these may be several."""
    choices: tuple[str, ...] = ()
    """The words that it takes, where these are all."""
    files: bool = False
    """Whether it takes names of files."""
    lines_of: tuple[str, ...] = ()
    """A command that prints the words that it takes, one in each line."""


class Spec(NamedTuple):
    """What can be completed behind a command."""

    name: str
    about: str
    words: tuple[Word, ...]


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Prints what makes a shell complete the commands and options of virt2. Load it in a running shell, such as"
        " bash, with: source <(virt2 completion bash). docs/command.md tells where to keep it."
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell that it is for")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    print(script(arguments.shell), end="")
    return FINE


def script(shell: str) -> str:
    """Give the script for a shell."""
    top = commands.parser()
    specs = [Spec(command.name, command.about, ()) for command in commands.COMMANDS]
    parsers = _subparsers(top)
    specs = [spec._replace(words=tuple(_words(parsers[spec.name]))) for spec in specs]
    makers = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return "\n".join((*makers[shell](tuple(_words(top)), specs), ""))


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _words(parser: argparse.ArgumentParser) -> Iterator[Word]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        how = commands.completed_with(action)
        yield Word(
            tuple(action.option_strings),
            action.dest,
            (action.help or "").replace("%%", "%"),
            action.nargs != 0,
            action.nargs in ("*", "+"),
            tuple(map(str, action.choices or ())),
            files=how == commands.FILES,
            lines_of=() if isinstance(how, str) else ("virt2", *how),
        )


def _flags(words: Sequence[Word]) -> list[str]:
    return [flag for word in words for flag in word.flags]


def _bash(top: Sequence[Word], specs: Sequence[Spec]) -> Iterator[str]:
    yield "# Completes virt2 in bash. It is made by: virt2 completion bash"
    yield "_virt2_choose() {"
    yield "    local word"
    yield '    for word in "$@"; do'
    yield '        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")'
    yield "    done"
    yield "}"
    yield "# Names of domains may have any character. What has been typed of them may be quoted already."
    yield "_virt2_lines() {"
    yield "    local line quoted"
    yield "    while IFS= read -r line; do"
    yield '        printf -v quoted %q "$line"'
    yield '        [[ $line == "$cur"* || $quoted == "$cur"* ]] && COMPREPLY+=("$quoted")'
    yield '    done < <("$@" 2>/dev/null)'
    yield "}"
    yield "_virt2() {"
    yield "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command= i"
    yield "    COMPREPLY=()"
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield "        if [[ ${COMP_WORDS[i]} != -* ]]; then"
    yield "            command=${COMP_WORDS[i]}"
    yield "            break"
    yield "        fi"
    yield "    done"
    yield "    case $command in"
    yield f"    '') _virt2_choose {_quoted([*(spec.name for spec in specs), *_flags(top)])} ;;"
    for spec in specs:
        yield f"    {spec.name})"
        valued = [word for word in spec.words if word.flags and word.takes]
        if valued:
            yield "        case $prev in"
            for word in valued:
                yield f"        {'|'.join(word.flags)})"
                yield from ("            " + line for line in _bash_values(word))
                yield "            return"
                yield "            ;;"
            yield "        esac"
        yield "        if [[ $cur == -* ]]; then"
        yield f"            _virt2_choose {_quoted(_flags(spec.words))}"
        yield "            return"
        yield "        fi"
        for word in spec.words:
            if not word.flags:
                yield from ("        " + line for line in _bash_values(word))
        yield "        ;;"
    yield "    esac"
    yield "}"
    yield "complete -F _virt2 virt2"


def _bash_values(word: Word) -> Iterator[str]:
    if word.choices:
        yield f"_virt2_choose {_quoted(word.choices)}"
    if word.lines_of:
        yield f"_virt2_lines {_quoted(word.lines_of)}"
    if word.files:
        yield "compopt -o default"


def _zsh(top: Sequence[Word], specs: Sequence[Spec]) -> Iterator[str]:
    yield "#compdef virt2"
    yield "# Completes virt2 in zsh. It is made by: virt2 completion zsh"
    yield "_virt2_lines() {"
    yield "    local -a lines"
    yield '    lines=("${(@f)$("$@" 2>/dev/null)}")'
    yield "    compadd -a lines"
    yield "}"
    yield "_virt2() {"
    yield "    local context state line"
    yield "    local -a commands"
    yield "    typeset -A opt_args"
    yield f"    _arguments -C {' '.join(_zsh_specs(top))} '1: :->command' '*:: :->words'"
    yield "    case $state in"
    yield "    command)"
    yield f"        commands=({_quoted([f'{spec.name}:{spec.about}' for spec in specs])})"
    yield "        _describe command commands"
    yield "        ;;"
    yield "    words)"
    yield "        case $words[1] in"
    for spec in specs:
        yield f"        {spec.name}) _arguments {' '.join(_zsh_specs(spec.words))} ;;"
    yield "        esac"
    yield "        ;;"
    yield "    esac"
    yield "}"
    yield 'if [ "$funcstack[1]" = _virt2 ]; then'
    yield '    _virt2 "$@"'
    yield "else"
    yield "    compdef _virt2 virt2"
    yield "fi"


def _zsh_specs(words: Sequence[Word]) -> Iterator[str]:
    for word in words:
        about = word.about
        for sign in "\\[]:":
            about = about.replace(sign, "\\" + sign)
        values = ""
        if word.choices:
            values = f"({' '.join(word.choices)})"
        elif word.files:
            values = "_files"
        elif word.lines_of:
            values = "{_virt2_lines " + " ".join(map(shlex.quote, word.lines_of)) + "}"
        for flag in word.flags:
            yield shlex.quote(f"{flag}[{about}]" + (f":{word.name}:{values}" if word.takes else ""))
        if not word.flags:
            yield shlex.quote(f"{'*' if word.many else ''}:{word.name}:{values}")


def _fish(top: Sequence[Word], specs: Sequence[Spec]) -> Iterator[str]:
    yield "# Completes virt2 in fish. It is made by: virt2 completion fish"
    yield "complete -c virt2 -f"
    yield from _fish_lines(top, "__fish_use_subcommand")
    for spec in specs:
        yield f"complete -c virt2 -n __fish_use_subcommand -a {spec.name} -d {_fish_quoted(spec.about)}"
        yield from _fish_lines(spec.words, f"__fish_seen_subcommand_from {spec.name}")


def _fish_lines(words: Sequence[Word], condition: str) -> Iterator[str]:
    for word in words:
        line = f"complete -c virt2 -n {_fish_quoted(condition)}"
        for flag in word.flags:
            line += f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}"
        if word.flags and word.takes:
            line += " -r"
        if word.files:
            line += " -F"
        elif word.choices:
            line += f" -a {_fish_quoted(' '.join(word.choices))}"
        elif word.lines_of:
            line += f" -a {_fish_quoted('(' + ' '.join(map(_fish_quoted, word.lines_of)) + ' 2>/dev/null)')}"
        yield f"{line} -d {_fish_quoted(word.about)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
