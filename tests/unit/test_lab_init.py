"""The first process of a lab goes on whatever becomes of those that drive it."""

import os

import pytest

from tests.lab.init import Init


@pytest.mark.parametrize("command", ["true", "/nowhere/to/be/found"])
def test_who_does_not_wait_for_the_start_of_a_command_does_not_end_the_lab(tmp_path, command):
    init = object.__new__(Init)
    init._report_to = {}
    streams = [os.open(os.devnull, os.O_RDWR) for _ in range(3)]
    read_end, write_end = os.pipe()
    os.close(read_end)
    init._start({"argv": [command], "cwd": str(tmp_path), "env": {"PATH": os.environ["PATH"]}}, [*streams, write_end])
    assert len(init._report_to) == (command == "true")
    for pid, report in init._report_to.items():
        os.waitpid(pid, 0)
        os.close(report)
