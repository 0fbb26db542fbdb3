"""Root asks at a status socket of the user that collectd runs as: with real users, and without a lab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

import pytest

from tests.integration.terminal import ROOT, SOON
from tests.unit.cli.fake_status import a_host
from virt2.status.desk import Desk

COLLECTD, OTHER = 65534, 65533
"""Two users that own nothing."""
SERVES = """
import os, socket, sys
answer = sys.stdin.buffer.read()
with socket.socket(socket.AF_UNIX) as sock:
    sock.bind(sys.argv[1])
    os.chmod(sys.argv[1], 0o600)
    sock.listen(8)
    print("listens", flush=True)
    while True:
        client, _ = sock.accept()
        with client:
            client.recv(4096)
            client.sendall(answer)
"""


@pytest.fixture
def folder():
    """A folder of that user, on a way that is root's. The folder of a test is below /tmp, where anybody may write."""
    made = tempfile.mkdtemp(prefix="virt2-test-", dir="/run")
    os.chmod(made, 0o755)
    os.chown(made, COLLECTD, COLLECTD)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def path(folder):
    """A socket of that user, at which virt2's answer to one question is given."""
    answer = Desk(a_host).reply(b'{"ask": "domains"}')
    serving = subprocess.Popen(
        ["/usr/bin/python3", "-c", SERVES, f"{folder}/virt2.sock"],
        cwd="/",
        user=COLLECTD,
        group=COLLECTD,
        extra_groups=(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with serving:
        try:
            serving.stdin.write(answer)
            serving.stdin.close()
            assert serving.stdout.readline() == b"listens\n"
            yield f"{folder}/virt2.sock"
        finally:
            serving.kill()


def domains(path):
    """The exit status of the command that root gives, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "virt2.cli", "domains", "--socket", path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    return done.returncode, done.stdout + done.stderr


def test_root_believes_the_user_that_collectd_runs_as(path):
    status, text = domains(path)
    assert status == 1
    assert "db-1" in text
    assert f"which runs, says this at {path}" in text


def test_nobody_is_believed_where_others_could_have_made_the_socket(path, folder):
    os.chmod(folder, 0o1777)
    status, text = domains(path)
    assert status == 2
    assert f"belongs to user {COLLECTD}, and others than that user may write to {folder}" in text


def test_a_socket_in_the_folder_of_another_user_is_not_believed(path, folder):
    os.chown(folder, OTHER, OTHER)
    status, text = domains(path)
    assert status == 2
    assert f"belongs to user {COLLECTD}, but {folder} to user {OTHER}, so it is not trusted" in text
