"""Tell chapters of the story, step after step. The first step that fails ends it, with what it found."""

from __future__ import annotations

import sys
import time

from tests.packages import contents, deb, folder, guest, image, rpm
from tests.packages.system import ROOT

CHAPTERS = {
    "deb": deb.STEPS,
    "contents": contents.STEPS,
    "rpm": rpm.STEPS,
    "image": image.STEPS,
    "guest": guest.STEPS,
    "folder": folder.STEPS,
}


def main(chapters: list[str]) -> None:
    """Take all steps of the chapters that are named, in that order."""
    if str(ROOT) != "/root/virt2":
        sys.exit("this changes the system it runs on: have scripts/fresh run it in one of its own")
    for chapter in chapters:
        for step in CHAPTERS[chapter]:
            began = time.monotonic()
            step()
            print(f"ok: {step.__name__.replace('_', ' ')} ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
