"""Which reader a domain belongs to: every rule in a table, then all of them against random histories."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from virt2.model.domain import Description, Disk, Domain
from virt2.readers.partition import Explicit, Partition, automatic_count, label_of, partition

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""No limits in wall-clock seconds: a busy machine is no failure."""

BOTH = ("tag", "storage")


def domain(uuid: str, tag: str = "", storage: str = "", id: int = 1) -> Domain:
    return Domain(uuid, f"name-{uuid}", id, Description(tag, (Disk("vda", "", storage),)))


def domains(**tags: str) -> list[Domain]:
    return [domain(uuid, tag) for uuid, tag in tags.items()]


def many(tag: str, count: int) -> list[Domain]:
    return [domain(f"{tag}-{number}", tag) for number in range(count)]


def uuids(result: Partition) -> dict[str, str]:
    """The UUIDs of each group that is not empty, joined."""
    return {name: " ".join(member.uuid for member in group) for name, group in result.groups.items() if group}


def explicit(name: str, *patterns: str) -> Explicit:
    return Explicit(name, tuple((lambda tag, p=pattern: re.fullmatch(p, tag) is not None) for pattern in patterns))


GOLD, METAL = explicit("gold", "gold", "aurum"), explicit("metal", ".*ium", "gold", "iron")


# The rules, one by one


def test_an_explicit_reader_takes_the_tags_it_matches() -> None:
    result = partition(domains(a="gold", b="aurum", c="tin"), [GOLD], 1, BOTH, {})
    assert uuids(result) == {"gold": "a b", "0": "c"}
    assert result.assignment == {"tin": "0"}


@pytest.mark.parametrize(("order", "expected"), [((GOLD, METAL), "gold"), ((METAL, GOLD), "metal")])
def test_the_first_explicit_reader_in_order_of_configuration_wins(order: Sequence[Explicit], expected: str) -> None:
    assert uuids(partition(domains(a="gold"), order, 1, BOTH, {})) == {expected: "a"}


def test_an_explicit_reader_comes_before_the_convention_and_the_assignment() -> None:
    reader = explicit("mine", "virt-1", "tin")
    result = partition(domains(a="virt-1", b="tin"), [reader], 2, BOTH, {"virt-1": "1", "tin": "0"})
    assert uuids(result) == {"mine": "a b"}
    assert result.assignment == {}


def test_an_explicit_reader_does_not_take_domains_without_a_label() -> None:
    assert uuids(partition(domains(a=""), [explicit("all", ".*")], 1, BOTH, {})) == {"0": "a"}


def test_a_matcher_is_asked_once_for_a_tag_however_many_domains_carry_it() -> None:
    asked: list[str] = []
    reader = Explicit("odd", (lambda tag: bool(asked.append(tag)),))
    partition([*many("tin", 50), *many("iron", 50)], [reader], 2, BOTH, {})
    assert sorted(asked) == ["iron", "tin"]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("virt-0", "0"),
        ("virt-1", "1"),
        ("virt-2", "2"),
        ("virt-12", "12"),
        # None of these is canonical: they are tags like others, and reader 0 is the first without tags.
        ("virt-01", "0"),
        ("virt-+1", "0"),
        ("virt-1 ", "0"),
        ("virt- 1", "0"),
        ("virt-1_2", "0"),
        ("virt-\u0661", "0"),
        ("virt-\u00b2", "0"),
        ("virt--1", "0"),
        ("virt-", "0"),
        ("virt-1.0", "0"),
        ("VIRT-1", "0"),
        ("xvirt-1", "0"),
        ("1", "0"),
        # Readers that do not exist.
        ("virt-13", "0"),
        ("virt-" + "9" * 10_000, "0"),
    ],
)
def test_the_c_plugins_convention(tag: str, expected: str) -> None:
    assert uuids(partition(domains(a=tag), [], 13, BOTH, {})) == {expected: "a"}


def test_a_reader_that_the_convention_gives_a_tag_is_not_without_tags() -> None:
    result = partition(domains(a="virt-0", b="virt-1", c="tin"), [], 3, BOTH, {})
    assert uuids(result) == {"0": "a", "1": "b", "2": "c"}


def test_new_tags_go_to_readers_without_tags_first_the_largest_first() -> None:
    result = partition([*many("a", 1), *many("b", 3), *many("c", 2)], [], 4, BOTH, {})
    assert result.assignment == {"b": "0", "c": "1", "a": "2"}


def test_new_tags_of_one_size_are_placed_by_name() -> None:
    assert partition(domains(x="c", y="a", z="b"), [], 3, BOTH, {}).assignment == {"a": "0", "b": "1", "c": "2"}


def test_new_tags_go_to_the_fewest_domains_when_every_reader_has_tags() -> None:
    result = partition([*many("a", 5), *many("b", 3), *many("c", 1), *many("d", 1), *many("e", 1)], [], 2, BOTH, {})
    assert result.assignment == {"a": "0", "b": "1", "c": "1", "d": "1", "e": "0"}


def test_of_readers_with_equally_few_domains_the_lowest_takes_a_new_tag() -> None:
    # The eleventh reader too is behind the third: by number, not by spelling.
    previous = {f"t{number}": str(number) for number in range(11)}
    tags = [*many("t0", 2), *many("t1", 2), *(member for number in range(2, 11) for member in many(f"t{number}", 1))]
    assert partition([*tags, domain("new", "new")], [], 11, BOTH, previous).assignment["new"] == "2"


def test_a_reader_without_tags_comes_first_even_if_it_has_domains_without_a_label() -> None:
    result = partition(domains(a="", b="", c="", d="virt-1", e="tin"), [], 2, BOTH, {})
    assert uuids(result) == {"0": "a b c e", "1": "d"}


def test_domains_without_a_label_count_when_readers_are_compared() -> None:
    result = partition(domains(a="", b="", c="virt-0", d="virt-1", e="virt-1", f="tin"), [], 2, BOTH, {})
    assert result.assignment["tin"] == "1"


def test_a_tag_keeps_its_reader_when_others_come_and_go() -> None:
    result = partition(domains(a="tin", b="new", c="iron"), [], 3, BOTH, {"tin": "2", "gone": "0", "iron": "2"})
    assert result.assignment == {"tin": "2", "iron": "2", "new": "0"}


def test_nothing_is_moved_to_balance() -> None:
    tags = [*many("a", 9), *many("b", 9), *many("c", 1)]
    previous = {"a": "0", "b": "0", "c": "1"}
    assert partition(tags, [], 3, BOTH, previous).assignment == previous


def test_a_tag_no_domain_carries_is_forgotten() -> None:
    first = partition(domains(a="x", b="y"), [], 2, BOTH, {})
    assert first.assignment == {"x": "0", "y": "1"}
    second = partition(domains(a="x"), [], 2, BOTH, first.assignment)
    assert second.assignment == {"x": "0"}
    third = partition(domains(a="x", b="z", c="y"), [], 2, BOTH, second.assignment)
    assert third.assignment == {"x": "0", "y": "1", "z": "0"}


def test_a_tag_of_a_reader_that_is_no_more_is_new() -> None:
    result = partition(domains(a="x", b="y", c="z"), [], 2, BOTH, {"x": "3", "y": "0", "z": "gold"})
    assert result.assignment == {"y": "0", "x": "1", "z": "0"}


def test_more_readers_move_only_the_tags_that_name_one_of_them() -> None:
    first = partition(domains(a="x", b="y", c="virt-2", d="virt-3"), [], 1, BOTH, {})
    assert first.assignment == dict.fromkeys(("x", "y", "virt-2", "virt-3"), "0")
    second = partition(domains(a="x", b="y", c="virt-2", d="virt-3"), [], 3, BOTH, first.assignment)
    assert second.assignment == {"x": "0", "y": "0", "virt-2": "2", "virt-3": "0"}


# Domains without a tag


@pytest.mark.parametrize(
    ("partition_by", "tag", "storage", "expected"),
    [
        (("tag", "storage"), "t", "s", "t"),
        (("tag", "storage"), "", "s", "s"),
        (("tag", "storage"), "t", "", "t"),
        (("tag", "storage"), "", "", ""),
        (("storage", "tag"), "t", "s", "t"),
        (("tag",), "t", "s", "t"),
        (("tag",), "", "s", ""),
        (("storage",), "t", "s", "s"),
        (("storage",), "t", "", ""),
        ((), "t", "s", ""),
    ],
)
def test_what_places_a_domain(partition_by: Sequence[str], tag: str, storage: str, expected: str) -> None:
    assert label_of(domain("a", tag, storage), partition_by) == expected


def test_an_untagged_domain_is_treated_as_tagged_with_its_storage_domain() -> None:
    members = [
        domain("a", "", "filer:/vm"),
        domain("b", "", "gold"),
        domain("c", "", "virt-2"),
        domain("d", "filer:/vm", "other"),
        domain("e", "", "vg"),
        domain("f"),
    ]
    result = partition(members, [GOLD], 3, BOTH, {"vg": "1"})
    assert uuids(result) == {"gold": "b", "0": "a d f", "1": "e", "2": "c"}
    assert result.assignment == {"vg": "1", "virt-2": "2", "filer:/vm": "0"}


def test_without_storage_untagged_domains_are_one_big_set() -> None:
    members = [domain(uuid, "", f"sd-{uuid}") for uuid in "abc"]
    result = partition(members, [], 3, ("tag",), {})
    assert uuids(result) == {"0": "a b c"}
    assert result.assignment == {}


def test_by_storage_alone_tags_are_ignored() -> None:
    members = [domain("a", "gold", "s1"), domain("b", "virt-0", "s2"), domain("c", "gold", "s2")]
    assert uuids(partition(members, [GOLD], 2, ("storage",), {})) == {"0": "b c", "1": "a"}


def test_the_first_disk_that_has_a_storage_domain_places_the_domain() -> None:
    member = Domain("a", "a", 1, Description("", (Disk("sda", "", ""), Disk("vda", "", "s1"), Disk("vdb", "", "s2"))))
    assert label_of(member, BOTH) == "s1"


# What comes out


def test_every_reader_has_a_group_even_without_domains() -> None:
    result = partition([], [METAL, GOLD], 3, BOTH, {"x": "0"})
    assert list(result.groups) == ["metal", "gold", "0", "1", "2"]
    assert not any(result.groups.values())
    assert result.assignment == {}


def test_there_is_always_an_automatic_reader() -> None:
    with pytest.raises(ValueError, match="at least one"):
        partition([], [GOLD], 0, BOTH, {})


def test_explicit_readers_that_share_a_name_share_a_group() -> None:
    readers = [explicit("0", "gold"), explicit("own", "tin"), explicit("own", "iron")]
    result = partition(domains(a="gold", b="tin", c="iron", d="zinc"), readers, 1, BOTH, {})
    assert uuids(result) == {"0": "a d", "own": "b c"}


def test_of_two_records_of_one_domain_the_later_run_counts() -> None:
    old, new = domain("a", "old", id=3), domain("a", "new", id=12)
    for members in ([old, new], [new, old]):
        assert partition(members, [], 2, BOTH, {}).groups == {"0": (new,), "1": ()}


# How many automatic readers


@pytest.mark.parametrize(
    ("tags", "limit", "expected"),
    [
        ([], 4, 1),
        ([""], 4, 1),
        (["", "", ""], 4, 1),
        (["a"], 4, 1),
        (["a", "a"], 4, 1),
        (["a", ""], 4, 1),
        (["a", "b", ""], 4, 2),
        (list("abc"), 4, 3),
        (list("abcd"), 4, 4),
        (list("abcdefgh"), 4, 4),
        (list("abcdefgh"), 3, 3),
        (list("abcdefgh"), 1, 1),
        (list("abcdefgh"), 0, 1),
        (list("abcdefgh"), -1, 1),
        (["virt-0"], 4, 1),
        (["virt-0", "virt-1", "virt-2"], 4, 3),
        (["virt-2", "virt-3"], 4, 4),
        (["virt-3"], 4, 4),
        (["virt-3"], 3, 1),
        (["virt-2"], 3, 3),
        (["virt-4"], 4, 1),
        (["virt-4", "virt-5"], 4, 2),
        (["virt-1", "a"], 4, 2),
        (["virt-2", "a"], 4, 3),
        (["virt-1", "a", "b"], 4, 3),
        (["virt-01"], 4, 1),
        (["gold"], 4, 1),
        (["gold", "aurum", "a"], 4, 1),
        (["gold", "a", "b"], 4, 2),
    ],
)
def test_how_many_automatic_readers_there_are(tags: list[str], limit: int, expected: int) -> None:
    members = [domain(str(number), tag) for number, tag in enumerate(tags)]
    assert automatic_count(members, [GOLD], BOTH, limit) == expected


def test_an_explicit_reader_of_a_tag_that_names_an_automatic_one_leaves_nothing_to_it() -> None:
    assert automatic_count(domains(a="virt-3"), [explicit("mine", "virt-3")], BOTH, 4) == 1


@pytest.mark.parametrize(("partition_by", "expected"), [(BOTH, 3), (("tag",), 1), (("storage",), 2)])
def test_storage_domains_count_where_they_place_domains(partition_by: Sequence[str], expected: int) -> None:
    members = [domain("a", "x", "s1"), domain("b", "", "s1"), domain("c", "", "s2")]
    assert automatic_count(members, [], partition_by, 4) == expected


# Properties

LABELS = st.sampled_from(
    ["", "a", "b", "c", "d", "e", "gold", "iron", "osmium", "virt-0", "virt-1", "virt-2", "virt-7", "virt-01"]
)
STORAGES = st.sampled_from(["", "s1", "s2", "s3", "virt-1", "gold", "a"])
DOMAINS = st.lists(
    st.builds(domain, st.integers(0, 40).map("{:02}".format), LABELS, STORAGES),
    max_size=25,
    unique_by=lambda member: member.uuid,
)
EXPLICIT = st.lists(
    st.sampled_from([GOLD, METAL, explicit("virt", "virt-1"), explicit("1", "a"), explicit("none")]),
    max_size=3,
    unique_by=lambda reader: reader.name,
)
AUTOMATIC = st.integers(1, 9)
BY = st.sampled_from([("tag", "storage"), ("tag",), ("storage",)])
PREVIOUS = st.dictionaries(LABELS, st.sampled_from(["0", "1", "2", "3", "8", "12", "gold", "", "-1"]))


def reader_of(result: Partition) -> dict[str, str]:
    """The reader of each domain; fails if a domain has two."""
    pairs = [(member.uuid, name) for name, group in result.groups.items() for member in group]
    readers = dict(pairs)
    assert len(readers) == len(pairs), "a domain has two readers"
    return readers


def matching(label: str, readers: Sequence[Explicit]) -> list[str]:
    return [reader.name for reader in readers if any(match(label) for match in reader.matchers)]


def check(
    result: Partition,
    members: Sequence[Domain],
    readers: Sequence[Explicit],
    automatic: int,
    by: Sequence[str],
    previous: Mapping[str, str],
) -> None:
    """Hold a partition against the rules, each in words of its own rather than those of the code."""
    names = [str(number) for number in range(automatic)]
    placed = reader_of(result)
    assert set(placed) == {member.uuid for member in members}, "a domain is lost"
    assert set(result.groups) == {*names, *(reader.name for reader in readers)}
    new: set[str] = set()
    for member in members:
        label, reader = label_of(member, by), placed[member.uuid]
        takers = matching(label, readers) if label else []
        if takers:
            assert reader == takers[0], "the first explicit reader in order of configuration"
        elif label in {f"virt-{name}" for name in names}:
            assert f"virt-{reader}" == label, "the convention"
        elif not label:
            assert reader == "0", "no hints, one big set"
        elif previous.get(label) in names:
            assert reader == previous[label], "moved without need"
        else:
            new.add(label)
        if label and not takers:
            assert result.assignment[label] == reader
    left = {label_of(member, by) for member in members} - {""}
    assert set(result.assignment) == {label for label in left if not matching(label, readers)}
    check_balance(result, names, new, by)


def check_balance(result: Partition, names: Sequence[str], new: set[str], by: Sequence[str]) -> None:
    """Place the new labels again, one at a time, and hold each choice against the rule."""
    size = {name: sum(label_of(member, by) not in new for member in result.groups[name]) for name in names}
    labelled = {reader for label, reader in result.assignment.items() if label not in new}
    members = Counter(label_of(member, by) for group in result.groups.values() for member in group)
    for label in sorted(new, key=lambda label: (-members[label], label)):
        empty = [name for name in names if name not in labelled]
        fewest = [name for name in names if size[name] == min(size.values())]
        assert result.assignment[label] == (empty or fewest)[0]
        labelled.add(result.assignment[label])
        size[result.assignment[label]] += members[label]


@calm
@given(DOMAINS, EXPLICIT, AUTOMATIC, BY, PREVIOUS)
def test_every_partition_keeps_the_rules(
    members: list[Domain], readers: list[Explicit], automatic: int, by: tuple[str, ...], previous: dict[str, str]
) -> None:
    check(partition(members, readers, automatic, by, previous), members, readers, automatic, by, previous)


@calm
@given(DOMAINS, EXPLICIT, AUTOMATIC, BY, PREVIOUS, st.randoms(use_true_random=False))
def test_the_order_of_the_domains_does_not_matter(
    members: list[Domain],
    readers: list[Explicit],
    automatic: int,
    by: tuple[str, ...],
    previous: dict[str, str],
    chance: random.Random,
) -> None:
    result = partition(members, readers, automatic, by, previous)
    shuffled, shuffled_previous = list(members), list(previous.items())
    chance.shuffle(shuffled)
    chance.shuffle(shuffled_previous)
    again = partition(iter(shuffled), readers, automatic, by, dict(shuffled_previous))
    assert again == result
    assert list(again.groups) == list(result.groups)


@calm
@given(DOMAINS, EXPLICIT, AUTOMATIC, BY, PREVIOUS)
def test_a_second_look_changes_nothing(
    members: list[Domain], readers: list[Explicit], automatic: int, by: tuple[str, ...], previous: dict[str, str]
) -> None:
    first = partition(members, readers, automatic, by, previous)
    assert partition(members, readers, automatic, by, first.assignment) == first


@calm
@given(DOMAINS, DOMAINS, EXPLICIT, AUTOMATIC, st.integers(0, 3), BY)
def test_a_domain_whose_label_stays_keeps_its_reader_whatever_the_others_do(
    before: list[Domain], after: list[Domain], readers: list[Explicit], count: int, more: int, by: tuple[str, ...]
) -> None:
    first = partition(before, readers, count, by, {})
    second = partition(after, readers, count + more, by, first.assignment)
    old, new = reader_of(first), reader_of(second)
    labels = {member.uuid: label_of(member, by) for member in before}
    added = {f"virt-{number}" for number in range(count, count + more)}
    for member in after:
        label = label_of(member, by)
        if labels.get(member.uuid) == label and label not in added:
            assert new[member.uuid] == old[member.uuid]


@calm
@given(DOMAINS, EXPLICIT, AUTOMATIC, BY, PREVIOUS)
def test_the_arguments_are_left_alone(
    members: list[Domain], readers: list[Explicit], automatic: int, by: tuple[str, ...], previous: dict[str, str]
) -> None:
    copies = list(members), list(readers), dict(previous)
    partition(members, readers, automatic, by, previous)
    assert (members, readers, previous) == copies


@calm
@given(DOMAINS, EXPLICIT, BY, st.integers(-1, 9))
def test_the_automatic_readers_are_enough_and_none_waits_for_a_label_without_need(
    members: list[Domain], readers: list[Explicit], by: tuple[str, ...], limit: int
) -> None:
    count = automatic_count(members, readers, by, limit)
    most = max(1, limit)
    assert 1 <= count <= most
    result = partition(members, readers, count, by, {})
    labels = set(result.assignment)
    for number in range(most):
        if f"virt-{number}" in labels:
            assert result.assignment[f"virt-{number}"] == str(number)
    if count < most:
        assert len(set(result.assignment.values())) == len(labels), "labels share a reader though more could be made"
    idle = {str(number) for number in range(count)} - set(result.assignment.values())
    highest = max((number for number in range(most) if f"virt-{number}" in labels), default=0)
    assert all(int(name) < highest for name in idle) or not labels
    shuffled = list(reversed(members))
    assert automatic_count(iter(shuffled), readers, by, limit) == count


# A host's life


class Host(RuleBasedStateMachine):
    """Domains start, stop and change; the plugin partitions again after each, as it does in a read."""

    running = Bundle("running")

    def __init__(self) -> None:
        super().__init__()
        self.domains: dict[str, Domain] = {}
        self.result = Partition({}, {})
        self.runs = 0

    @initialize(readers=EXPLICIT, automatic=st.integers(1, 3), by=BY)
    def configure(self, readers: list[Explicit], automatic: int, by: tuple[str, ...]) -> None:
        self.readers, self.automatic, self.by = readers, automatic, by
        self.partition_again(set())

    @rule(target=running, tag=LABELS, storage=STORAGES)
    def start(self, tag: str, storage: str) -> str:
        self.runs += 1
        uuid = f"{random.Random(self.runs).getrandbits(32):08x}"
        self.domains[uuid] = domain(uuid, tag, storage, id=self.runs)
        self.partition_again({uuid})
        return uuid

    @rule(uuid=consumes(running))
    def stop(self, uuid: str) -> None:
        del self.domains[uuid]
        self.partition_again(set())

    @rule(uuid=running, tag=LABELS, storage=STORAGES)
    def change(self, uuid: str, tag: str, storage: str) -> None:
        before = label_of(self.domains[uuid], self.by)
        self.domains[uuid] = domain(uuid, tag, storage, id=self.domains[uuid].id)
        self.partition_again({uuid} if label_of(self.domains[uuid], self.by) != before else set())

    @rule(uuid=running)
    def restart(self, uuid: str) -> None:
        self.runs += 1
        self.domains[uuid] = self.domains[uuid]._replace(id=self.runs)
        self.partition_again(set())

    @rule(more=st.integers(1, 3))
    def add_readers(self, more: int) -> None:
        added = {f"virt-{number}" for number in range(self.automatic, self.automatic + more)}
        self.automatic += more
        members = self.domains.values()
        self.partition_again({member.uuid for member in members if label_of(member, self.by) in added})

    @rule()
    def lose_the_list_and_get_it_back(self) -> None:
        # A list that comes back empty forgets every label: what follows is as after a start.
        self.result = partition([], self.readers, self.automatic, self.by, self.result.assignment)
        assert self.result.assignment == {}
        self.result = partition(self.domains.values(), self.readers, self.automatic, self.by, self.result.assignment)
        assert self.result == partition(self.domains.values(), self.readers, self.automatic, self.by, {})

    def partition_again(self, may_move: set[str]) -> None:
        before, previous = reader_of(self.result), self.result.assignment
        members = list(self.domains.values())
        self.result = partition(members, self.readers, self.automatic, self.by, previous)
        check(self.result, members, self.readers, self.automatic, self.by, previous)
        moved = {uuid for uuid, name in reader_of(self.result).items() if before.get(uuid, name) != name}
        assert moved <= may_move, "moved without need"

    @invariant()
    def records_are_the_newest(self) -> None:
        listed = {member.uuid: member for group in self.result.groups.values() for member in group}
        assert listed == self.domains


TestHost = Host.TestCase
TestHost.settings = settings(calm, max_examples=60, stateful_step_count=30)


def test_ten_thousand_domains_with_a_tag_each_take_no_time_worth_mentioning() -> None:
    members = [domain(f"{number:05}", f"tag-{number}") for number in range(10_000)]
    result = partition(members, [], 128, BOTH, {})
    assert {len(group) for group in result.groups.values()} == {78, 79}
    assert partition(members, [], 128, BOTH, result.assignment) == result
