"""The container image: its recipe is carried out by a real tool, and a container of it reports.

The base image is made of the system of scripts/fresh itself, because there is nowhere to fetch one from. It is
what debootstrap makes, which is what the official image is made of too.
"""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

from tests.lab import wait_for
from tests.packages.system import ROOT, SOON, install, run

BASE = Path("/var/tmp/base.tar")
"""The system as it was before anything was installed. scripts/fresh is told to make it."""
OUT = Path("/var/tmp/image-values")
RUN = Path("/var/tmp/host-run")
"""Stands for /run of the host."""
WRITER = """\
LoadPlugin csv
<Plugin csv>
  DataDir "/values"
</Plugin>
"""
OPTIONS = """\
Include "/usr/share/virt2/load.conf"
<Plugin python>
  <Module virt2>
    Connection "test:///default"
  </Module>
</Plugin>
"""
"""What README.md says of options: a file of the operator's, mounted beside virt2.conf, which comes after it."""


def limits() -> list[str]:
    """Give the options that keep the limits of this process, where it may not raise them as the tool would."""
    names = {"nproc": resource.RLIMIT_NPROC, "nofile": resource.RLIMIT_NOFILE}
    found = {name: resource.getrlimit(limit) for name, limit in names.items()}
    return [f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in found.items()]


def buildah(*arguments: str | Path) -> str:
    """Run buildah so that it needs no more than a folder to change root into."""
    os.environ.update(BUILDAH_ISOLATION="chroot", STORAGE_DRIVER="vfs")
    return run("buildah", *arguments)


def the_image_is_built_of_its_recipe() -> None:
    install("buildah", "crun", "netavark")
    base = buildah("from", "scratch").strip()
    buildah("add", "--quiet", base, BASE, "/")
    buildah("commit", "--quiet", base, "localhost/debian:trixie-slim")
    buildah("build", *limits(), "--file", "packaging/container/Containerfile", "--tag", "virt2", ".")


def a_container_of_it_reports_a_domain() -> None:
    OUT.mkdir()
    (RUN / "libvirt").mkdir(parents=True)
    (RUN / "libvirtd.pid").write_text("1\n")
    files = {"write": WRITER, "zz-options": OPTIONS}
    for name, text in files.items():
        Path(f"/var/tmp/{name}.conf").write_text(text)
    folder = "/etc/collectd/collectd.conf.d"
    mounts = [f"--volume=/var/tmp/{name}.conf:{folder}/{name}.conf:ro" for name in files]
    container = buildah("from", *limits(), "virt2").strip()
    # The program of the image, which buildah does not take from it.
    assert "[/usr/sbin/collectd -f]" in buildah("inspect", "--format", "{{.OCIv1.Config.Cmd}}", container)
    options = [f"--volume={RUN}:/host/run:ro,rslave", f"--volume={OUT}:/values", *mounts]
    assert "1\n" in buildah("run", *options, container, "cat", "/run/libvirtd.pid")
    log = Path("/var/tmp/image.log")
    command = ["buildah", "run", *options, container, "/usr/sbin/collectd", "-f"]
    with open(log, "w") as output, subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output) as process:
        try:
            wait_for(lambda: list(OUT.glob("test/virt2/virt_cpu_total-*")), SOON)
        except TimeoutError:
            raise TimeoutError(f"the container reports no domain: {log.read_text()}") from None
        finally:
            process.terminate()


STEPS = (the_image_is_built_of_its_recipe, a_container_of_it_reports_a_domain)
