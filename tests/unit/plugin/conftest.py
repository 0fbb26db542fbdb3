"""virt2 as collectd loads it; see `tests.unit.plugin.daemon`."""

from __future__ import annotations

import importlib
import logging
import sys
import types
from collections.abc import Iterator

import pytest

from tests.unit.fake_collectd import FakeCollectd
from tests.unit.plugin.daemon import Daemon, Host
from virt2.sources import admin, procfs
from virt2.sources import daemon as daemon_module
from virt2.sources.daemon import Daemon as Libvirtd


@pytest.fixture
def host(monkeypatch, tmp_path) -> Host:
    host = Host(str(tmp_path / "virt2.sock"))
    monkeypatch.setattr(admin, "Session", host.session)
    monkeypatch.setattr(procfs, "guests", lambda run_dir: [])
    monkeypatch.setattr(procfs.Processes, "problem", lambda self: host.unseen)
    monkeypatch.setattr(daemon_module, "identify", lambda there: Libvirtd("libvirtd", 0, host.hypervisor.daemon))
    return host


@pytest.fixture
def module(host, monkeypatch) -> Iterator[types.ModuleType]:
    """`virt2.plugin`, imported where there is no libvirt but the fake one."""
    door = types.ModuleType("virt2.sources.hypervisor")
    door.Hypervisor = host.connect  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "virt2.sources.hypervisor", door)
    for name in ("virt2.assembly", "virt2.plugin"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    logger = logging.getLogger("virt2")
    before = logger.handlers, logger.level, logger.propagate
    yield importlib.import_module("virt2.plugin")
    logger.handlers, logger.level, logger.propagate = before
    for name in ("virt2.assembly", "virt2.plugin"):
        sys.modules.pop(name, None)


@pytest.fixture
def collectd() -> FakeCollectd:
    return FakeCollectd()


@pytest.fixture
def daemon(module, collectd, host) -> Iterator[Daemon]:
    daemon = Daemon(module, collectd, host)
    yield daemon
    host.hypervisor.cut()
    collectd.shutdowns["virt2"]()
