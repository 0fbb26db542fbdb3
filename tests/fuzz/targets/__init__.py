"""The kinds of inputs, by their names. Those that take longest for an input come first."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets.admin_protocol import AdminProtocol
from tests.fuzz.targets.agent_replies import AgentReplies
from tests.fuzz.targets.configuration import Configuration
from tests.fuzz.targets.domain_xml import DomainXml
from tests.fuzz.targets.identities import Identities
from tests.fuzz.targets.operator_texts import OperatorTexts
from tests.fuzz.targets.proc_files import ProcFiles
from tests.fuzz.targets.statistics import Statistics
from tests.fuzz.targets.status_questions import StatusQuestions

TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        DomainXml,
        Configuration,
        ProcFiles,
        Identities,
        Statistics,
        OperatorTexts,
        AgentReplies,
        AdminProtocol,
        StatusQuestions,
    )
}
