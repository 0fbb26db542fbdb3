"""Puts what packages have in addition to modules and program into a folder: drop-ins, pages, what shells complete.

    PYTHONPATH=. python3 packaging/stage.py FOLDER

`FOLDER/collectd` goes to collectd's include folder, and `FOLDER/share` to /usr/share. All kinds of package take it from
here, so that they have the same.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import drop_ins
import manpages
from checkout import ROOT

from virt2.cli import completion

COMPLETIONS = {
    "bash": "bash-completion/completions/virt2",
    "fish": "fish/vendor_completions.d/virt2.fish",
    "zsh": "zsh/vendor-completions/_virt2",
}
"""Where each shell finds what it completes, below /usr/share. Fedora's zsh looks elsewhere."""


def documents() -> Iterator[Path]:
    """Give the pages that are packaged, with the pictures in them and the samples they explain."""
    yield from (ROOT / "README.md", ROOT / "CHANGELOG.md")
    yield from sorted((ROOT / "docs").glob("*.md"))
    yield from sorted(path for path in (ROOT / "bench").iterdir() if path.suffix in (".md", ".svg"))
    yield from sorted((ROOT / "packaging" / "container").iterdir())
    yield from sorted((ROOT / "contrib" / "fleet").iterdir())


def completions() -> dict[str, str]:
    """Give what each shell reads to complete the words of the command."""
    return {shell: completion.script(shell) for shell in COMPLETIONS}


def write(folder: Path) -> None:
    """Write everything into a folder."""
    doc = folder / "share" / "doc" / "virt2"
    for page in documents():
        _copy(page, doc / page.relative_to(ROOT))
    for name, text in drop_ins.texts().items():
        _write(text, (folder / "collectd" if name == drop_ins.DROP_IN else doc / "examples") / name)
    for name, text in manpages.texts().items():
        _write(text, folder / "share" / "man" / f"man{name[-1]}" / name)
    for shell, script in completions().items():
        _write(script, folder / "share" / COMPLETIONS[shell])
    _copy(ROOT / "packaging" / "load.conf", folder / "share" / Path(drop_ins.LOAD).relative_to("/usr/share"))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Without the rights that the checkout happens to have.
    shutil.copyfile(source, target)


def _write(text: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
