"""What libvirtd alone has to be asked of a domain."""

from __future__ import annotations

import pytest

from virt2.domains.health import Health
from virt2.metrics.selectors import Selection
from virt2.model.domain import Description, Domain, Nic
from virt2.readers.needs import ServerNeeds, asks, is_of_libvirt, server_needs

NOTHING = ServerNeeds(info=False, state=False, memory=False, times=False)
TAP = Nic("vnet0", "52:54:00:00:00:01", tap=True)
OTHER = Nic("macvtap0", "52:54:00:00:00:02")
SWITCH = Nic("vhu0", "52:54:00:00:00:03", outside=True)


def needs(*nics: Nic, extra: str = "", known: ServerNeeds = NOTHING, **health: object) -> ServerNeeds | None:
    """What is needed of a domain whose tap is seen on the host."""
    of = Health(0.0)
    for name, value in health.items():
        setattr(of, name, value)
    domain = Domain("u", "web", 1, Description(nics=nics))
    return server_needs(domain, of, Selection(extra.split()), {"vnet0"}, known)


def test_a_domain_of_which_all_is_known_is_not_asked_for_anything():
    assert needs(TAP) is None
    assert needs(TAP, extra="memory disk disk_capacity") is None


@pytest.mark.parametrize("field", ["info", "state"])
def test_what_is_not_known_is_asked_for(field):
    known = NOTHING._replace(**{field: True})
    assert needs(TAP, known=known) == known


def test_an_interface_that_only_libvirt_knows_is_asked_for():
    assert needs(TAP, OTHER) == NOTHING
    assert needs(TAP, Nic("vnet1", "", tap=True)) == NOTHING


def test_but_not_together_with_all_else_where_another_program_is_asked():
    assert needs(TAP, SWITCH) is None
    assert needs(TAP, OTHER, slow={"macvtap0"}) is None
    assert not is_of_libvirt(SWITCH, (), Health(0.0))


def test_a_monitor_that_no_other_job_looks_at_is_looked_at():
    assert needs(TAP, monitored=False) == NOTHING
    assert needs(TAP, skipped=True) == NOTHING._replace(is_look=True)


def test_what_is_asked_of_libvirtd_anyway_is_no_mere_look():
    assert needs(TAP, OTHER, skipped=True) == NOTHING
    assert needs(TAP, known=NOTHING._replace(info=True), skipped=True) == NOTHING._replace(info=True)


@pytest.mark.parametrize(
    ("extra", "info"), [("domain_state", False), ("perf", False), ("vcpu", True), ("vcpupin", True), ("cpu_util", True)]
)
def test_selectors_that_need_libvirtd_have_it_asked_and_those_that_need_the_virtual_cpus_for_all(extra, info):
    found = needs(TAP, extra=extra)
    assert found is not None
    assert found.info is info


def test_cpu_time_by_mode_is_asked_for_where_it_is_not_known():
    known = NOTHING._replace(times=True)
    assert needs(TAP, extra="pcpu") is None
    assert needs(TAP, extra="pcpu", known=known) == known
    selection = Selection(["pcpu", "perf"])
    assert len(asks(selection, known)) == 2
    assert [ask.what for ask in asks(selection, NOTHING)] == ["bulk PERF"]
