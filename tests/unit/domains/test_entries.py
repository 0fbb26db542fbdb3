"""What is known of domains: described when, from where, and what stands where that cannot be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.unit.domains.bench import REFRESH, Bench
from tests.unit.fake_time import BOUND
from tests.unit.fakes import ERROR, JOB, LXC, OCCUPIED, OK, Control
from virt2.description import storage
from virt2.domains import entries
from virt2.domains.entries import takes_job_for_xml
from virt2.domains.inventory import HUNG_AFTER
from virt2.errors import CallFailed, Disconnected, DomainGone
from virt2.model.domain import Domain
from virt2.model.events import CHANGED

BACKUP = "<domainbackup><disks><disk><scratch file='/mnt/scratch/vda'/></disk></disks></domainbackup>"
SCRATCH = storage.infer(storage.file_image("/mnt/scratch/vda"), "", storage.Mounts.parse(""))


def known(bench: Bench, name: str = "web") -> Domain:
    """A domain as it is known now."""
    return next(domain for domain in bench.inventory.domains()[1] if domain.name == name)


def test_what_is_known_is_not_read_again(listed):
    version = listed.inventory.version
    for _ in range(5):
        listed.clock.now += 10
        assert listed.attempt()
    assert listed.hypervisor.calls == [("active", "", "")] * 5
    assert listed.inventory.version == version


def test_a_new_domain_costs_one_description(listed):
    version = listed.inventory.version
    listed.hypervisor.add("new")
    listed.attempt()
    assert listed.names == ["db", "new", "web"]
    assert listed.hypervisor.count("xml") == listed.hypervisor.count("xml", "new") == 1
    assert listed.inventory.version != version


def test_a_domain_that_is_gone_is_dropped(listed):
    version = listed.inventory.version
    listed.hypervisor.remove("db")
    listed.attempt()
    assert listed.names == ["web"]
    assert listed.inventory.version != version
    assert listed.hypervisor.count("xml") == 0


def test_a_domain_started_anew_is_described_anew(listed):
    listed.hypervisor.domains["web"].tag = "green"
    listed.hypervisor.restart("web")
    listed.attempt()
    assert listed.tags["web"] == "green"
    assert listed.hypervisor.count("xml") == 1


def test_a_renamed_domain_is_described_anew(listed):
    domain = listed.hypervisor.domains.pop("web")
    domain.name = "www"
    listed.hypervisor.domains["www"] = domain
    listed.attempt()
    assert listed.names == ["db", "www"]
    assert listed.hypervisor.count("xml") == 1


def test_a_description_is_read_again_when_it_is_old(listed):
    listed.clock.now += REFRESH
    listed.attempt()
    assert listed.hypervisor.count("xml") == 2


def test_reading_the_same_again_changes_nothing(listed):
    version = listed.inventory.version
    listed.clock.now += REFRESH
    listed.attempt()
    assert listed.inventory.version == version


class TestUnchanged:
    """libvirt's file of a domain shows whether anything of it has changed."""

    @pytest.fixture
    def bench(self, hypervisor) -> Iterator[Bench]:
        self.mounts = "as they were"
        bench = Bench(hypervisor, surroundings=lambda: self.mounts)
        bench.files.changes.update(dict.fromkeys(("db", "web"), 1))
        bench.start()
        assert bench.attempt()
        bench.hypervisor.calls.clear()
        yield bench
        bench.inventory.stop()
        bench.hypervisor.cut()

    def read_again(self, bench: Bench) -> list[str]:
        """The domains that are described again after a long time."""
        bench.hypervisor.calls.clear()
        bench.clock.now += REFRESH
        bench.attempt()
        return [name for call, name, _ in bench.hypervisor.calls if call == "xml"]

    def test_what_is_old_is_not_read_again_where_nothing_has_changed(self, bench):
        version = bench.inventory.version
        assert self.read_again(bench) == self.read_again(bench) == []
        assert bench.inventory.version == version

    def test_what_has_changed_is_read_again_once(self, bench):
        bench.files.changes["web"] = 2
        assert self.read_again(bench) == ["web"]
        assert self.read_again(bench) == []

    def test_everything_is_read_again_where_the_mounts_have_changed(self, bench):
        self.mounts = "others"
        assert sorted(self.read_again(bench)) == ["db", "web"]
        assert self.read_again(bench) == []

    def test_so_is_what_cannot_be_seen_any_more(self, bench):
        bench.files.changes.pop("web")
        assert self.read_again(bench) == self.read_again(bench) == ["web"]

    def test_a_change_while_it_is_described_shows_afterwards(self, bench):
        def change(call: str, name: str, device: str) -> None:
            if (call, name) == ("xml", "web"):
                bench.files.changes["web"] = 3

        bench.hypervisor.on_call = change
        bench.files.changes["web"] = 2
        assert self.read_again(bench) == ["web"]
        bench.hypervisor.on_call = lambda call, name, device: None
        assert self.read_again(bench) == ["web"]
        assert self.read_again(bench) == []

    def test_what_is_not_known_whole_is_read_again_all_the_same(self, bench):
        bench.hypervisor.domains["web"].broken_metadata = "<p:undeclared>&nonsense;</p:undeclared>"
        bench.hypervisor.domains["web"].failures["metadata"] = CallFailed("internal error", 1)
        bench.files.changes["web"] = 2
        for _ in range(2):
            assert self.read_again(bench) == ["web"]
        bench.hypervisor.domains["web"].broken_metadata = ""
        bench.hypervisor.domains["web"].failures["xml"] = CallFailed("internal error", 1)
        bench.files.changes["web"] = 3
        for _ in range(2):
            assert self.read_again(bench) == ["web"]

    def test_now_and_then_it_is_read_again_whatever_the_file_says(self, bench):
        times = [number for number in range(25) if self.read_again(bench)]
        assert times == [entries.KEPT - 1, 2 * entries.KEPT - 1]

    def test_so_is_one_whose_backup_could_not_be_read(self, hypervisor):
        bench = Bench(hypervisor, backups=True)
        bench.files.changes.update(dict.fromkeys(("db", "web"), 1))
        web = hypervisor.domains["web"]
        web.backup = BACKUP
        web.failures["backup"] = CallFailed("cannot acquire state change lock", 1)
        bench.start()
        assert bench.attempt()
        assert SCRATCH not in known(bench).description.others
        web.failures.clear()
        assert self.read_again(bench) == ["web"]
        assert SCRATCH in known(bench).description.others
        assert self.read_again(bench) == []
        bench.inventory.stop()
        hypervisor.cut()

    def test_since_when_nothing_has_changed_is_of_the_entry_that_the_file_was_compared_with(self, bench, monkeypatch):
        stamp = bench.files.stamp
        (web,) = [domain for domain in bench.inventory.domains()[1] if domain.name == "web"]
        before = bench.inventory.unchanged_since(web)

        def replaced(name: str) -> object:
            """The list's thread describes it anew between the two looks."""
            monkeypatch.setattr(bench.files, "stamp", stamp)
            bench.files.changes["web"] = 2
            self.read_again(bench)
            return stamp(name)

        monkeypatch.setattr(bench.files, "stamp", replaced)
        assert bench.inventory.unchanged_since(web) is None
        assert bench.inventory.unchanged_since(web) > before

    def test_since_when_nothing_has_changed_is_told_as_of_the_first_look(self, bench):
        (web,) = [domain for domain in bench.inventory.domains()[1] if domain.name == "web"]
        since = bench.inventory.unchanged_since(web)
        assert since is not None
        self.read_again(bench)
        assert bench.inventory.unchanged_since(web) == since
        bench.files.changes["web"] = 2
        assert bench.inventory.unchanged_since(web) is None
        self.read_again(bench)
        assert since < bench.inventory.unchanged_since(web) <= bench.clock.now
        bench.files.changes.clear()
        assert bench.inventory.unchanged_since(web) is None


def test_descriptions_never_get_old_where_that_is_asked_for(hypervisor):
    bench = Bench(hypervisor, refresh=0.0)
    bench.start()
    bench.attempt()
    bench.clock.now += 1e6
    bench.attempt()
    assert hypervisor.count("xml") == 2
    bench.inventory.stop()


def test_domains_that_are_not_active_are_not_described_by_default(listed):
    listed.hypervisor.set_idle("off")
    listed.hypervisor.tell("lifecycle", "u-off", name="off")
    assert listed.inventory.find("u-off", BOUND) is None
    listed.attempt()
    assert listed.hypervisor.count("xml") == 0


class TestIdle:
    """Domains that are not active: described where their names are made of metadata, and only there."""

    @pytest.fixture
    def bench(self, hypervisor) -> Iterator[Bench]:
        hypervisor.set_idle("off", tag="blue")
        bench = Bench(hypervisor, on_statuses=lambda statuses: None, idle=True)
        bench.start()
        assert bench.attempt()
        yield bench
        bench.inventory.stop()
        bench.hypervisor.cut()

    def tag(self, bench: Bench, name: str, timeout: float = BOUND) -> str | None:
        found = bench.inventory.find(f"u-{name}", timeout)
        return None if found is None else found.description.tag

    def test_they_are_described_with_the_first_states(self, bench):
        assert self.tag(bench, "off", 0.0) == "blue"
        assert bench.names == ["db", "web"]

    def test_one_that_an_event_has_just_told_of_is_waited_for(self, bench):
        bench.hypervisor.set_idle("new", tag="red")
        bench.hypervisor.tell("lifecycle", "u-new", name="new")
        assert self.tag(bench, "new") == "red"

    def test_so_is_one_that_has_just_started(self, bench):
        uuid = bench.hypervisor.add("fresh", tag="green").uuid
        bench.hypervisor.tell("lifecycle", uuid, name="fresh")
        assert bench.inventory.find(uuid, BOUND).description.tag == "green"

    def test_one_that_does_not_exist_is_not_waited_for_long(self, bench):
        bench.hypervisor.tell("lifecycle", "u-gone", name="gone")
        assert self.tag(bench, "gone") is None

    def test_nor_is_any_while_the_list_hangs(self, bench):
        with bench.hypervisor.stuck("web", lock=True):
            bench.inventory.tell(None)
            bench.hypervisor.stage.await_blocked(1)
            bench.clock.now += HUNG_AFTER + 1
            assert self.tag(bench, "gone") is None

    def test_what_is_known_is_not_read_again_until_it_is_old(self, bench):
        bench.hypervisor.calls.clear()
        bench.hypervisor.tell("lifecycle", "u-off", name="off")
        bench.attempt()
        assert bench.hypervisor.count("xml", "off") == 0
        bench.hypervisor.set_idle("off", tag="other")
        bench.clock.now += REFRESH
        bench.hypervisor.tell("lifecycle", "u-off", name="off")
        bench.attempt()
        assert self.tag(bench, "off") == "other"

    def test_one_that_was_undefined_is_remembered_for_its_last_event(self, bench):
        bench.hypervisor.inactive.clear()
        bench.hypervisor.idle.clear()
        bench.hypervisor.tell("lifecycle", "u-off", event=1, name="off")
        bench.attempt()
        assert self.tag(bench, "off") == "blue"

    def test_so_many_and_no_more(self, bench, monkeypatch):
        monkeypatch.setattr(entries, "MOST_IDLE", 3)
        for number in range(5):
            bench.hypervisor.set_idle(f"new-{number}")
            bench.hypervisor.tell("lifecycle", f"u-new-{number}", name=f"new-{number}")
            bench.attempt()
        assert list(bench.inventory._entries._idle) == ["u-new-2", "u-new-3", "u-new-4"]


def test_a_domain_that_goes_between_list_and_description_is_no_trouble(bench, caplog):
    def vanish(call: str, name: str, device: str) -> None:
        if (call, name) == ("xml", "web"):
            bench.hypervisor.remove("web")

    bench.hypervisor.on_call = vanish
    bench.start()
    bench.attempt()
    assert bench.names == ["db"]
    assert bench.inventory.listed
    assert caplog.records == []


def test_what_cannot_be_described_is_there_all_the_same_said_once_and_tried_again(bench, caplog):
    bench.hypervisor.domains["web"].failures["xml"] = CallFailed("internal error", 1)
    bench.start()
    for _ in range(3):
        bench.attempt()
    assert bench.names == ["db", "web"]
    assert bench.hypervisor.count("xml", "web") == 3
    assert [record.getMessage() for record in caplog.records] == [
        "domain web: its description could not be read: internal error; its interfaces are reported, but its disks and"
        " its tag are not known. Where its metadata is larger than libvirt's messages (4 MiB), make it smaller, or run"
        " collectd as root"
    ]
    (web,) = [domain for domain in bench.inventory.domains()[1] if domain.name == "web"]
    assert not web.description.complete
    assert [nic.target for nic in web.description.nics] == bench.hypervisor.domains["web"].nics
    del bench.hypervisor.domains["web"].failures["xml"]
    bench.hypervisor.domains["web"].tag = "green"
    bench.attempt()
    assert bench.tags["web"] == "green"


def test_a_description_that_fails_later_leaves_the_former_one(listed):
    listed.hypervisor.domains["db"].failures["xml"] = CallFailed("internal error", 1)
    listed.clock.now += REFRESH
    listed.attempt()
    assert listed.tags["db"] == "blue"


def test_metadata_that_cannot_be_parsed_is_said_once_and_costs_a_call_for_the_tag(bench, caplog):
    broken = bench.hypervisor.domains["db"]
    broken.broken_metadata = "<p:undeclared>&nonsense;</p:undeclared>"
    broken.failures["metadata"] = CallFailed("no", 1)
    bench.start()
    for _ in range(3):
        bench.attempt()
        bench.clock.now += REFRESH
    assert len(caplog.records) == 1
    assert "domain db: metadata cannot be parsed" in caplog.records[0].getMessage()
    del broken.failures["metadata"]
    bench.attempt()
    assert bench.tags["db"] == "blue"


def test_a_domain_found_without_a_list_is_taken_in(bench):
    connection = bench.hypervisor.connect()
    line = connection.find("db")
    assert not bench.inventory.knows(line.uuid)
    bench.inventory.adopt(connection, line)
    assert bench.inventory.knows(line.uuid)
    assert bench.tags == {"db": "blue"}
    assert not bench.inventory.listed


@pytest.mark.parametrize("failure", [DomainGone("gone"), Disconnected("reset")])
def test_a_failing_describer_of_one_domain_is_no_unexpected_failure(bench, caplog, failure):
    bench.hypervisor.domains["web"].failures["xml"] = failure
    bench.start()
    bench.await_attempts(1)
    assert [record for record in caplog.records if record.exc_info] == []


class TestStatusFile:
    """What libvirt keeps of a running domain in a file, which changes with the domain."""

    @pytest.fixture
    def seen(self, bench) -> Bench:
        bench.files.changes.update({"db": 1, "web": 1})
        bench.start()
        assert bench.attempt()
        return bench

    def test_a_domain_is_as_it_was_described_until_its_file_changes(self, seen):
        web = known(seen)
        assert seen.inventory.is_current(web) is True
        assert seen.inventory.is_fresh(web, seen.clock())
        seen.clock.now += 5
        assert seen.inventory.is_fresh(web, seen.clock())
        seen.files.changes["web"] = 2
        assert seen.inventory.is_current(web) is False
        assert not seen.inventory.is_fresh(web, seen.clock())
        assert seen.inventory.is_current(known(seen, "db")) is True

    def test_a_change_that_is_noticed_has_the_domain_described_anew(self, seen):
        web = known(seen)
        assert not seen.inventory.notice_change(web)
        seen.files.changes["web"] = 2
        seen.hypervisor.domains["web"].tag = "green"
        assert seen.inventory.notice_change(web)
        assert seen.attempt()
        assert seen.tags["web"] == "green"
        assert not seen.inventory.notice_change(known(seen))

    def test_described_anew_it_is_as_it_is_now(self, seen):
        seen.files.changes["web"] = 2
        connection = seen.hypervisor.connect()
        seen.inventory.adopt(connection, known(seen))
        assert seen.inventory.is_current(known(seen)) is True

    def test_a_change_while_it_is_described_shows(self, seen):
        seen.hypervisor.on_call = lambda call, name, device: seen.files.changes.update(web=3) if call == "xml" else None
        seen.inventory.adopt(seen.hypervisor.connect(), known(seen))
        assert seen.inventory.is_current(known(seen)) is False

    def test_where_it_cannot_be_seen_only_a_description_made_since_is_fresh(self, seen):
        seen.files.changes.clear()
        connection = seen.hypervisor.connect()
        seen.inventory.adopt(connection, known(seen))
        assert seen.inventory.is_current(known(seen)) is None
        assert seen.inventory.is_fresh(known(seen), seen.clock())
        seen.clock.now += 1
        assert not seen.inventory.is_fresh(known(seen), seen.clock())

    def test_it_has_the_xml_that_libvirt_has_no_room_for(self, bench, caplog):
        bench.files.readable = True
        bench.hypervisor.domains["web"].failures["xml"] = CallFailed("too large", 1)
        bench.start()
        assert bench.attempt()
        web = known(bench)
        assert web.description.complete
        assert [disk.target for disk in web.description.disks] == bench.hypervisor.domains["web"].disks
        assert caplog.records == []


class TestBackup:
    """The backup of a domain that is described by libvirt's file: nothing in the XML tells of it."""

    @pytest.fixture
    def bench(self, hypervisor) -> Iterator[Bench]:
        bench = Bench(hypervisor, backups=True)
        yield bench
        bench.inventory.stop()
        bench.hypervisor.cut()

    @pytest.mark.parametrize("why", ["xml too long", "monitor busy"])
    def test_a_backup_is_asked_for_beside_it(self, bench, why):
        web = bench.hypervisor.domains["web"]
        web.backup = BACKUP
        if why == "xml too long":
            web.failures["xml"] = CallFailed("too large", 1)
        else:
            bench.hypervisor.version = "11.3.0"
            web.control = Control(JOB, 0, 5.0)
        bench.files.readable = True
        bench.start()
        assert bench.attempt()
        assert known(bench).description.others == (SCRATCH,)

    def test_a_backup_that_cannot_be_read_costs_no_more_than_itself(self, bench, caplog):
        web = bench.hypervisor.domains["web"]
        web.failures["xml"] = CallFailed("too large", 1)
        web.failures["backup"] = CallFailed("no such luck", 1)
        bench.files.readable = True
        bench.start()
        assert bench.attempt()
        assert known(bench).description.complete
        bench.inventory._entries.troubles.say()
        assert "its backup could not be read: no such luck" in caplog.text

    def test_a_domain_that_ends_while_its_file_is_read_is_gone(self, bench, caplog):
        web = bench.hypervisor.domains["web"]
        web.failures["xml"] = CallFailed("too large", 1)
        web.failures["backup"] = DomainGone("gone", 42)
        bench.files.readable = True
        bench.start()
        assert bench.attempt()
        assert bench.names == ["db"]
        assert caplog.records == []


class TestXmlThatTakesAJob:
    """libvirt 11.0 to 11.4 waits for a domain's job when its XML is read."""

    @pytest.fixture(autouse=True)
    def a_libvirt_of_such_a_version(self, hypervisor):
        hypervisor.version = "11.3.0"
        hypervisor.xml_takes_job = True

    @pytest.mark.parametrize("state", [JOB, OCCUPIED, ERROR])
    def test_a_domain_is_described_when_its_monitor_looks_free(self, bench, state, caplog):
        web = bench.hypervisor.domains["web"]
        web.control = Control(state, 0, 5.0)
        bench.start()
        assert bench.attempt()
        assert bench.names == ["db", "web"]
        assert bench.hypervisor.count("xml", "web") == 0
        assert bench.hypervisor.count("xml", "db") == 1
        incomplete = [domain.name for domain in bench.inventory.domains()[1] if not domain.description.complete]
        assert incomplete == ["web"]
        assert caplog.records == []
        web.control = Control(OK, 0, 0.0)
        bench.attempt()
        assert all(domain.description.complete for domain in bench.inventory.domains()[1])

    def test_libvirts_file_says_all_of_it_meanwhile(self, bench):
        bench.hypervisor.domains["web"].control = Control(JOB, 0, 5.0)
        bench.files.readable = True
        bench.start()
        assert bench.attempt()
        assert bench.hypervisor.count("xml", "web") == 0
        assert all(domain.description.complete for domain in bench.inventory.domains()[1])

    def test_without_it_the_interfaces_are_known(self, bench):
        bench.hypervisor.domains["web"].control = Control(JOB, 0, 5.0)
        bench.start()
        assert bench.attempt()
        (web,) = [domain for domain in bench.inventory.domains()[1] if domain.name == "web"]
        assert [nic.target for nic in web.description.nics] == bench.hypervisor.domains["web"].nics

    def test_a_driver_without_control_info_is_asked(self, bench):
        bench.hypervisor.lacks = LXC
        bench.start()
        assert bench.attempt()
        assert all(domain.description.complete for domain in bench.inventory.domains()[1])

    def test_a_stopped_process_is_not_asked(self, bench):
        bench.stopped.add("web")
        bench.start()
        assert bench.attempt()
        assert bench.hypervisor.count("xml", "web") == 0

    def test_what_is_known_of_it_stands_meanwhile(self, bench):
        bench.start()
        assert bench.attempt()
        bench.hypervisor.domains["db"].control = Control(OCCUPIED, 0, 5.0)
        bench.clock.now += REFRESH
        bench.attempt()
        assert bench.tags["db"] == "blue"
        assert all(domain.description.complete for domain in bench.inventory.domains()[1])

    def test_the_list_goes_on_while_a_monitor_is_stuck(self, bench):
        with bench.hypervisor.stuck("web", monitor=True) as web:
            web.control = Control(OCCUPIED, 0, 5.0)
            bench.start()
            assert bench.attempt()
            bench.hypervisor.add("new")
            bench.attempt()
            assert bench.names == ["db", "new", "web"]


@pytest.mark.parametrize(
    ("version", "needs"),
    [("9.0.0", False), ("10.10.0", False), ("11.0.0", True), ("11.4.0", True), ("11.5.0", False), ("", False)],
)
def test_which_versions_take_a_job_for_the_xml(version, needs):
    assert takes_job_for_xml(version) is needs


def test_a_new_domain_is_described_before_those_that_are_merely_to_be_described_again(listed):
    # Of a UUID that libvirt lists last.
    listed.hypervisor.add("zebra", uuid="ffffffff-0000-4000-8000-000000000001")
    listed.clock.now += REFRESH
    listed.attempt()
    assert [name for call, name, _ in listed.hypervisor.calls if call == "xml"] == ["zebra", "db", "web"]


def test_domains_are_there_as_soon_as_they_are_described(bench):
    with bench.hypervisor.stuck("web", lock=False, monitor=True):
        bench.hypervisor.xml_takes_job = True
        bench.start()
        bench.hypervisor.stage.await_blocked(1)
        assert [domain.name for domain in bench.inventory.domains()[1]] == ["db"]
    assert bench.attempt()


class TestLateDescriptions:
    """Workers describe as well as the list's thread, and a call may take long."""

    def describe_late(self, listed: Bench, meanwhile: Callable[[], None]) -> None:
        """Describe a domain over a call that gets its answer, and then waits for something else to happen."""
        connection = listed.hypervisor.connect()
        ask = connection.xml

        def slow(uuid: str) -> str:
            xml = ask(uuid)
            listed.clock.now += 1.0
            meanwhile()
            return xml

        connection.xml = slow  # type: ignore[method-assign]
        listed.inventory.adopt(connection, known(listed))

    def test_one_that_was_asked_for_later_stands(self, listed):
        def change() -> None:
            listed.hypervisor.domains["web"].tag = "newer"
            listed.hypervisor.tell(CHANGED, listed.hypervisor.domains["web"].uuid)
            assert listed.attempt()
            assert listed.tags["web"] == "newer"

        self.describe_late(listed, change)
        assert listed.tags["web"] == "newer"

    def test_a_domain_that_is_gone_meanwhile_does_not_come_back(self, listed):
        def end() -> None:
            listed.hypervisor.remove("web")
            assert listed.attempt()
            assert listed.names == ["db"]

        self.describe_late(listed, end)
        assert listed.names == ["db"]
