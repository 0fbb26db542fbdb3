"""What scripts/fresh is told to run: the commands of the README as they stand there, and then chapters of the story.

`python3 -m tests.packages.script CHAPTER ...` prints it, to be run by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

BEGINNING = """\
set -euo pipefail
# Who reads the README answers the questions of apt.
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90yes
export DEBIAN_FRONTEND=noninteractive
"""
BASE = "tar -c --one-file-system -C / --exclude './root/virt2' --exclude './var/tmp/*' -f /var/tmp/base.tar ."
"""Keeps the system as it is before anything is installed, as the base of an image."""
PYTHON = "apt-get update --quiet=2 && apt-get install --quiet=2 --no-install-recommends python3"


def commands(readme: str) -> list[str]:
    """Give the commands by which the README has virt2 installed."""
    section = readme.split("\n## Install and enable\n", 1)[1]
    block = re.search(r"\n\n((?: {4}\S.*\n)+)", section)
    assert block, "the README has no commands to install virt2"
    return [line.strip() for line in block.group(1).splitlines()]


def script(chapters: Iterable[str]) -> str:
    """Give a program for bash, in the root of a checkout."""
    chapters = list(chapters)
    lines = [BASE] if "image" in chapters else []
    if "deb" in chapters or "contents" in chapters:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        lines += [*commands(readme), 'echo "the commands of the README took $SECONDS s"']
    else:
        lines.append(PYTHON)
    return BEGINNING + "\n".join([*lines, f"/usr/bin/python3 -m tests.packages {' '.join(chapters)}"]) + "\n"


if __name__ == "__main__":
    print(script(sys.argv[1:]))
