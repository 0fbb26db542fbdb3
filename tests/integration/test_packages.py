"""virt2 as a package, in an empty Debian: installed as the README says, upgraded, removed, purged, and in an image."""

import re
import subprocess

import pytest

from tests.lab.machine import ROOT
from tests.packages.__main__ import CHAPTERS
from tests.packages.script import script

README_SECONDS = 300
"""From nothing to an installed virt2 by the commands of the README."""
PATIENCE = 1500
"""Seconds for a whole story: it takes about three minutes on a machine that does nothing else."""


@pytest.mark.full
@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.parametrize(
    ("release", "chapters"),
    [
        ("12", ["contents", "deb", "guest", "rpm"]),
        ("13", ["contents", "deb", "guest", "rpm"]),
        ("13", ["image"]),
        ("12", ["folder"]),
    ],
    ids=["12", "13", "image", "folder"],
)
def test_the_story_of_a_package(release, chapters):
    command = [ROOT / "scripts" / "fresh", release, "bash", "-c", script(chapters)]
    # scripts/fresh ends everything that it started when it is ended, and not when it is killed.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as story:
        try:
            told, _ = story.communicate(timeout=PATIENCE)
        except BaseException:
            story.terminate()
            raise
    print(told)
    assert story.returncode == 0, told[-8000:]
    assert len(re.findall(r"^ok: ", told, re.MULTILINE)) == sum(len(CHAPTERS[chapter]) for chapter in chapters)
    for seconds in re.findall(r"^the commands of the README took (\d+) s$", told, re.MULTILINE):
        assert int(seconds) < README_SECONDS
