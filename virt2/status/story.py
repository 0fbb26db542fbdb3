"""The story of one domain: who reads it and why, what is asked of it, what it waits for, and what to do. It is pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from virt2.errors import Error
from virt2.model.domain import Domain
from virt2.readers.sampling import ASK_OUTSIDE, LOOK
from virt2.status.answers import BLOCKED, METADATA, NONE, Answered, CallRow, DomainRow, Explain, Since, Wait
from virt2.status.building import (
    call_rows,
    domain_row,
    inactive_row,
    maybe_since,
    monitor_calls,
    since,
    storage_rows,
    suspended_storage,
)
from virt2.status.snapshot import Facts, Snapshot
from virt2.text.printable import encodable, quoted
from virt2.workers.job import AGENT, SERVER

NEAREST = 3
"""The most names that are suggested."""
SIMILAR = 0.6
"""How similar a name must be to be suggested (difflib's ratio)."""
LONGEST_COMPARED = 256
"""Characters of a name that are compared. libvirt's names are no longer."""
NAMED = 5
"""The most other domains that a sentence names."""

LIBVIRTD_AWAY = (
    "See whether libvirtd runs (systemctl status libvirtd, or virtqemud where there is one daemon for each driver), and"
    " start it. Guests go on without it."
)
LIBVIRTD_SILENT = (
    "Look at libvirtd itself: it is frozen, overloaded, or its host is. virsh list hangs as well then. Restart libvirtd"
    " if that lasts. Guests go on without it."
)
NO_WORKERS = (
    "Find out who holds libvirtd's workers (virt-admin srv-threadpool-info libvirtd, virt2 limits), and raise"
    " max_workers in libvirtd's configuration. If fewer were started than it may have, raise min_workers to the same"
    " number, because libvirtd does not always start them."
)
SHORT_OF_SLOTS = (
    "Give libvirtd more workers (max_workers) or raise Workers, and give the storage of stuck domains a reader of its"
    " own (an <Instance> block)."
)


class UnknownDomain(Error):
    """Nobody knows a domain of that name or UUID. The text is a sentence with the nearest names.

    Attributes:
        wanted: what was asked for.
        nearest: the names that come nearest, the nearest first.
    """

    def __init__(self, wanted: str, nearest: tuple[str, ...], known: int) -> None:
        self.wanted, self.nearest = wanted, nearest
        names = ", ".join(quoted(name, LONGEST_COMPARED) for name in nearest)
        hint = f"; the nearest names are {names}" if len(nearest) > 1 else f"; the nearest name is {names}"
        super().__init__(
            f"none of the {known} domains that virt2 knows has the name or UUID {quoted(wanted, LONGEST_COMPARED)}"
            + (hint if nearest else "")
            + "; the option Domain may leave it out"
        )


class _Cause(NamedTuple):
    """What blocks a monitor."""

    waits_for: str
    next_step: str


_CAUSES = {
    "process stopped": _Cause(
        "its QEMU, whose process is stopped (state T)",
        "Find out who stopped its QEMU (a debugger, a script, kill -STOP). kill -CONT with its process id lets it go"
        " on.",
    ),
    "process in uninterruptible sleep": _Cause(
        "its QEMU, whose process waits inside the kernel (state D)",
        "Look at the storage of the domain, and at dmesg: a process in state D waits for a disk or a file server, and"
        " goes on when that answers.",
    ),
    "lock held": _Cause(
        "the lock of the domain, which libvirtd itself holds",
        "libvirtd works on this domain, for example it starts it or plugs a disk in, and the storage does not answer."
        " Look at the storage. virsh hangs for this domain as well.",
    ),
    "job of another client": _Cause(
        "a job that another client has begun, such as a migration, a backup or a snapshot",
        "See how the job gets on: virsh domjobinfo {uuid}. Nothing needs to be done while it does.",
    ),
    "by another client": _Cause(
        "another client of libvirtd, which is in its monitor",
        "Find out whose call it is: virt-admin client-list libvirtd. If that call has no answer either, its QEMU does"
        " not answer anybody; look at its process, its log and its storage.",
    ),
    "held by another client outside the monitor": _Cause(
        "another client, which holds the domain while it waits for the guest",
        "See whether a device is being removed that the guest does not let go of. It ends when the guest does.",
    ),
}
"""By the words with which a monitor is called blocked (see `virt2.readers.gate`): what it waits for, and what to do."""
_OUR_CALL = _Cause(
    "its QEMU, to answer {cause}",
    "Look at its QEMU, which does not answer: its process, its log, and its storage. virt2 makes no second call.",
)
_CUT_OFF = _Cause(
    "libvirtd, to be done with {cause}",
    "Nothing needs to be done: it is over when libvirtd is done with the call, or is restarted.",
)
_OTHER_CLIENT = ", by another client"
_CUT_OFF_WORDS = ", cut off with its connection"


def explain(snapshot: Snapshot, wanted: str) -> Explain:
    """Tell the story of one domain, given its name or UUID.

    Raises:
        UnknownDomain: there is no such domain.
    """
    domain = _find(snapshot, wanted)
    if isinstance(domain, Domain):
        return _of_active(snapshot, domain)
    return _of_inactive(snapshot, domain)


def _find(snapshot: Snapshot, wanted: str) -> Domain | DomainRow:
    """The active domain of that name or UUID, or the row of an inactive one; names go before UUIDs."""
    running = {domain.uuid for domain in snapshot.domains}
    statuses = () if snapshot.statuses is None else snapshot.statuses.domains
    idle = [status for status in statuses if not status.active and status.uuid not in running]
    # Whoever asks has seen the name as an answer has it.
    name, uuid = encodable(wanted), wanted.lower()
    by_name = (domain for domain in snapshot.domains if encodable(domain.name) == name)
    by_uuid = (domain for domain in snapshot.domains if domain.uuid.lower() == uuid)
    found = next(by_name, None) or next(by_uuid, None)
    if found is not None:
        return found
    for status in idle:
        if encodable(status.name) == name or status.uuid.lower() == uuid:
            return inactive_row(status)
    names = [domain.name for domain in snapshot.domains] + [status.name for status in idle]
    raise UnknownDomain(wanted, nearest(wanted, names), len(names))


def nearest(wanted: str, names: Sequence[str]) -> tuple[str, ...]:
    """Give the names that come nearest to one that is not there, the nearest first."""
    # It takes memory, and hardly anybody ever needs it.
    import difflib

    short = wanted[:LONGEST_COMPARED].lower()
    compared = {name[:LONGEST_COMPARED].lower(): name for name in sorted(names, reverse=True)}
    containing = [name for text, name in sorted(compared.items()) if short in text]
    close = [compared[text] for text in difflib.get_close_matches(short, compared, n=NEAREST, cutoff=SIMILAR)]
    return tuple(dict.fromkeys((*close, *containing)))[:NEAREST]


def _of_inactive(snapshot: Snapshot, row: DomainRow) -> Explain:
    asked = None if snapshot.statuses is None else maybe_since(snapshot.moment, snapshot.statuses.asked)
    when = "" if asked is None else f" That was read {_ago(asked)}."
    return {
        "domain": row,
        "identity": None,
        "reader_reason": "No reader has it, because it is not active.",
        "tag_reason": "Tags are read of active domains only.",
        "disks": [],
        "interfaces": [],
        "calls": [],
        "answers": [],
        "waits_for": None,
        "sentences": [f"Domain {row['name']} is not active: {row['state']}.{when}"],
        "next_steps": [],
    }


def _of_active(snapshot: Snapshot, domain: Domain) -> Explain:
    facts = snapshot.facts.get(domain.uuid)
    row = domain_row(snapshot, domain, monitor_calls(snapshot))
    calls = call_rows(snapshot, [call for call in snapshot.calls if call.uuid == domain.uuid])
    identity = snapshot.identities.get(domain.uuid)
    answers = _answers(snapshot, facts)
    waits_for, next_steps = _wait(snapshot, domain, row, calls)
    reader_reason, tag_reason = _reader_reason(snapshot, row), _tag_reason(snapshot, domain, row)
    return {
        "domain": row,
        "identity": None if identity is None else {"host": identity.host, "plugin_instance": identity.plugin_instance},
        "reader_reason": reader_reason,
        "tag_reason": tag_reason,
        "disks": [
            {
                "target": disk.target,
                "label": disk.label or disk.target,
                "source": disk.source,
                "storage": disk.storage,
                "reported": disk.reported,
            }
            for disk in domain.description.disks
        ],
        "interfaces": [nic.target for nic in domain.description.nics],
        "calls": calls,
        "answers": answers,
        "waits_for": waits_for,
        "sentences": [
            _who(row),
            tag_reason,
            reader_reason,
            _lies_on(snapshot, domain),
            _monitor_sentence(snapshot, row, facts),
            *(_call_sentence(call) for call in calls),
            *_answered_sentences(row, facts, answers),
            _wait_sentence(waits_for),
        ],
        "next_steps": next_steps,
    }


def _answers(snapshot: Snapshot, facts: Facts | None) -> list[Answered]:
    newest = [] if facts is None else sorted(facts.newest.items(), key=lambda each: (-each[1], each[0]))
    return [{"call": call, "device": device, "asked": since(snapshot.moment, when)} for (call, device), when in newest]


def _who(row: DomainRow) -> str:
    number = "" if row["id"] is None else f", libvirt's number {row['id']}"
    return f"Domain {row['name']} (UUID {row['uuid']}{number}) is {row['state'] or 'active, its state is not known'}."


def _tag_reason(snapshot: Snapshot, domain: Domain, row: DomainRow) -> str:
    namespace, element = snapshot.about.tag_place
    place = f"the element {element} of {namespace} in its metadata"
    if row["tag_source"] == METADATA:
        return f"Its tag is {row['tag']}, from {place}."
    if "tag" not in snapshot.about.partition_by:
        lack = "PartitionBy leaves tags out"
    elif not domain.description.complete:
        lack = "its description could not be read, so its tag is not known"
    else:
        lack = f"it has no tag in {place}"
    if row["tag_source"] == NONE:
        return f"It has nothing that places it: {lack}, and no storage domain of its first disk stands in for one."
    return f"The storage domain of its first disk, {row['tag']}, stands in for its tag, because {lack}."


def _reader_reason(snapshot: Snapshot, row: DomainRow) -> str:
    reader, tag = row["reader"], row["tag"]
    if reader is None:
        return "No reader has it yet: the next read gives it to one."
    if not tag:
        return f"Reader {reader} has it, because that one has every domain that nothing places."
    if reader in snapshot.about.explicit:
        entries = ", ".join(snapshot.about.explicit[reader])
        return f'Reader {reader} has it, because <Instance "{reader}"> has a Tag that matches {tag} ({entries}).'
    if tag == f"virt-{reader}":
        return f"Reader {reader} has it, because its tag {tag} names that reader."
    return (
        f"Reader {reader} has it, because that automatic reader was given all domains with {tag}, and keeps them for as"
        " long as there is one."
    )


def _lies_on(snapshot: Snapshot, domain: Domain) -> str:
    names = domain.description.storage
    if not names:
        return "No storage domain of it is known."
    rows = {row["name"]: row for row in storage_rows(snapshot)}
    told = []
    for name in names:
        row = rows[name]
        stuck = f", {len(row['stuck'])} of them stuck" if row["stuck"] else ""
        late = ", and a call that touches it does not come back" if row["suspended"] else ""
        told.append(f"{name} ({row['domains']} domain{'' if row['domains'] == 1 else 's'}{stuck}{late})")
    return f"It lies on {'; '.join(told)}."


def _monitor_sentence(snapshot: Snapshot, row: DomainRow, facts: Facts | None) -> str:
    monitor = row["monitor"]
    answered = None if facts is None else maybe_since(snapshot.moment, facts.answered)
    last = "" if answered is None else f" It last answered what was asked {_ago(answered)}."
    if monitor["state"] == BLOCKED and monitor["since"] is not None:
        return f"Its monitor has been blocked for {_seconds(monitor['since'])}: {monitor['cause']}.{last}"
    if monitor["cause"]:
        return f"How its monitor is cannot be told, because {monitor['cause']}.{last}"
    return f"Its monitor answers.{last}"


def _call_sentence(call: CallRow) -> str:
    if call["cut_off"]:
        return (
            f"The call {call['call']} was cut off with its connection {_ago(call['since'])}; libvirtd may still be in"
            " it, so its slot stays charged."
        )
    return f"The call {call['call'] or 'of a job that begins'} has been in flight for {_seconds(call['since'])}."


def _answered_sentences(row: DomainRow, facts: Facts | None, answers: Sequence[Answered]) -> list[str]:
    told = []
    if answers:
        newest = answers[0]
        device = f" of {newest['device']}" if newest["device"] else ""
        told.append(f"The newest value is that of {newest['call']}{device}, taken {_ago(newest['asked'])}.")
    if facts is not None and facts.complete is None:
        told.append(f"It has never answered everything; it was first seen {row['sample_age'] or 0.0:.0f} s ago.")
    elif row["sample_age"] is not None:
        told.append(f"It last answered everything in a read that began {row['sample_age']:.0f} s ago.")
    if row["skipped"]:
        told.append("The last read left its monitor out.")
    return told


def _wait_sentence(wait: Wait | None) -> str:
    if wait is None:
        return "It waits for nothing."
    if wait["since"] is None:
        return f"It waits for {wait['what']}."
    return f"It has waited {_seconds(wait['since'])} for {wait['what']}."


def _wait(
    snapshot: Snapshot, domain: Domain, row: DomainRow, calls: Sequence[CallRow]
) -> tuple[Wait | None, list[str]]:
    """What a domain waits for, by the first of these cases that holds, and what to do."""
    server, moment = snapshot.server, snapshot.moment
    if server.link is not None and not server.link.up:
        reason = f"libvirt, which cannot be reached: {server.link.reason}"
        return {"what": reason, "since": since(moment, server.link.since)}, [LIBVIRTD_AWAY]
    monitor = row["monitor"]
    # Where nobody was answered since, that a domain was not says nothing of the domain.
    blocked = 0.0 if monitor["since"] is None else monitor["since"]["seconds"]
    if server.silent and blocked <= moment.since(server.answered_at):
        hung = moment.monotonic - server.hung_for
        return {"what": "libvirtd, which answers nobody", "since": since(moment, hung)}, [LIBVIRTD_SILENT]
    if monitor["state"] == BLOCKED:
        cause, words = _cause(monitor["cause"])
        next_step = cause.next_step.replace("{uuid}", domain.uuid)
        what = cause.waits_for.replace("{cause}", words)
        return {"what": what, "since": monitor["since"]}, [*_suspects(snapshot, domain), next_step]
    stuck = [call for call in calls if call["stuck"] and not call["cut_off"]]
    if server.out_of_workers:
        begun = stuck[0]["since"] if stuck else None
        return {"what": "a worker of libvirtd, which has none left", "since": begun}, [NO_WORKERS]
    for call in stuck:
        steps = _suspects(snapshot, domain) if call["storage"] else []
        return {"what": _whom(call), "since": call["since"]}, steps
    for call in calls:
        if call["cut_off"]:
            return {"what": _CUT_OFF.waits_for.replace("{cause}", call["call"]), "since": call["since"]}, [
                _CUT_OFF.next_step
            ]
    if row["reader"] is None:
        return {"what": "the next read, which gives it to a reader", "since": None}, []
    if row["skipped"]:
        return {"what": f"a slot of reader {row['reader']}, whose last read had none for it", "since": None}, [
            SHORT_OF_SLOTS
        ]
    suspended = sorted(suspended_storage(snapshot) & set(domain.description.storage))
    if suspended and snapshot.about.touches_storage:
        return {
            "what": f"storage domain {suspended[0]} with its sizes, and with nothing else",
            "since": None,
        }, _suspects(snapshot, domain)
    return None, []


def _whom(call: CallRow) -> str:
    """Who has not answered a call that is in flight."""
    if call["call"] == LOOK:
        return "the kernel, which is asked for its process"
    if call["call"] == ASK_OUTSIDE:
        return "a program that libvirtd asks for its interfaces (ovs-vsctl)"
    whom = {AGENT: "its guest's agent", SERVER: "libvirtd"}.get(call["kind"], "its QEMU")
    return f"{whom}, to answer {call['call'] or 'a call'}"


def _cause(words: str) -> tuple[_Cause, str]:
    """What blocks a monitor, by the words with which it is called blocked."""
    if words in _CAUSES:
        return _CAUSES[words], words
    if words.endswith(_CUT_OFF_WORDS):
        return _CUT_OFF, words[: -len(_CUT_OFF_WORDS)]
    if words.endswith(_OTHER_CLIENT):
        return _CAUSES["by another client"], words
    if " " in words and "libvirt" in words:
        # These words say themselves what to do.
        return _Cause("libvirtd", f"{words[0].upper()}{words[1:]}."), words
    return _OUR_CALL, words


def _suspects(snapshot: Snapshot, domain: Domain) -> list[str]:
    """Say which storage domains of a domain may be the cause, and who else is stuck there."""
    told = []
    for row in storage_rows(snapshot):
        if row["suspected"] and row["name"] in domain.description.storage:
            others = [name for name in row["stuck"] if name != domain.name]
            more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
            also = f", where these are stuck as well: {', '.join(others[:NAMED])}{more}" if others else ""
            told.append(f"Look at storage domain {row['name']} first{also}.")
    return told


def _seconds(moment: Since) -> str:
    return f"{moment['seconds']:.0f} s" if moment["seconds"] >= 1 else f"{moment['seconds']:.1f} s"


def _ago(moment: Since) -> str:
    return f"{_seconds(moment)} ago"
