"""How long the command ``virt2`` takes, and what ``virt2 top`` takes of a core: ``python3 -m bench.command``.

It needs neither root nor a lab. Answers come from a status socket with domains that are made up, and a look goes to the
driver of libvirt that is for tests, in whose process the domains are. So no libvirtd and no QEMU takes a part of the
processor. What it prints is the shortest and the median of several runs, because other work makes a run longer only.
"""

from __future__ import annotations

import argparse
import os
import pty
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.unit.cli.fake_status import many, serving

ROOT = Path(__file__).resolve().parents[1]
PYTHON = "/usr/bin/python3"
"""The system's, as the command is run."""
CONFIGURATION = """\
LoadPlugin python
<Plugin python>
  Import "virt2"
  <Module virt2>
    Connection "{uri}"
    StatusSocket "{socket}"
  </Module>
</Plugin>
"""
DOMAIN = """\
<domain type='test'>
  <name>web-{number}</name>
  <memory>8192</memory>
  <os><type>hvm</type></os>
  <devices>
    <disk type='file'><source file='/images/{number}-a'/><target dev='vda'/></disk>
    <disk type='file'><source file='/images/{number}-b'/><target dev='vdb'/></disk>
  </devices>
</domain>
"""


def took(*words: str, rounds: int) -> str:
    """Run the command several times; gives the shortest and the median, in ms."""
    seconds = []
    for _ in range(rounds):
        began = time.monotonic()
        done = subprocess.run([PYTHON, "-m", "virt2.cli", *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
        seconds.append(time.monotonic() - began)
        if done.returncode != 0 or done.stderr:
            raise SystemExit(f"virt2 {' '.join(words)}: {done.returncode} {done.stdout}{done.stderr}")
    return f"{min(seconds) * 1000:.0f} ms, median {statistics.median(seconds) * 1000:.0f} ms"


def share_of_top(path: str, seconds: float) -> float:
    """Give the part of a core that the live view takes in so many seconds."""
    leader, follower = pty.openpty()
    command = [PYTHON, "-m", "virt2.cli", "top", "--socket", path]
    environment = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=follower, stdout=follower) as top:
        os.close(follower)
        threading.Thread(target=drain, args=(leader,), daemon=True).start()
        time.sleep(3)
        before, began = used(top.pid), time.monotonic()
        time.sleep(seconds)
        share = (used(top.pid) - before) / (time.monotonic() - began)
        os.write(leader, b"q")
        top.wait(20)
    return share


def drain(leader: int) -> None:
    """Read what the terminal shows until it is gone."""
    try:
        while os.read(leader, 65536):
            pass
    except OSError:
        return


def used(pid: int) -> float:
    """The seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=20.0, help="for which the live view is measured")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, host, conf = f"{folder}/virt2.sock", Path(folder, "host.xml"), Path(folder, "collectd.conf")
        domains = "".join(DOMAIN.format(number=number) for number in range(arguments.domains))
        host.write_text(f"<node>{domains}</node>")
        conf.write_text(CONFIGURATION.format(uri=f"test://{host}", socket=path))
        named = ("--config", str(conf))
        with serving(path, many(arguments.domains)):
            print(f"{arguments.domains} domains")
            print(f"domains, from a running virt2: {took('domains', *named, rounds=arguments.rounds)}")
            print(f"limits, from a running virt2:  {took('limits', *named, rounds=arguments.rounds)}")
            print(f"domains, by a look:            {took('domains', '--look', *named, rounds=arguments.rounds)}")
            print(f"top, every 2 s:                {share_of_top(path, arguments.seconds):.2%} of a core")


if __name__ == "__main__":
    sys.exit(main())
