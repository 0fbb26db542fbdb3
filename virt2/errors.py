"""The error family: what can go wrong between virt2 and the systems it talks to.

Foreign exceptions are translated into these at the door they came through, so that the rest of virt2 can say
what happened by class and by field, never by a foreign code.
"""


class Error(Exception):
    """Base of everything virt2 raises on purpose."""


class Disconnected(Error):
    """There is no usable connection to libvirt: it could not be made, or it was lost during a call."""


class DomainGone(Error):
    """The domain (or the device asked for) is not there any more: an expected race, not a fault."""


class DomainBusy(Error):
    """libvirt gave up waiting for the domain's job: somebody else holds its monitor."""


class AgentSilent(Error):
    """The guest's agent is not there, or did not answer in time."""


class Unsupported(Error):
    """What was asked is unknown to this libvirt, driver or guest; asking again will not help."""


class Refused(Unsupported):
    """libvirt calls it invalid for this domain as it is now; the first time that may pass, as just after its start."""


class Missing(Unsupported):
    """The call is not there at all: this libvirt, its driver or its binding has it for no domain."""


class CallFailed(Error):
    """libvirt answered a call with an error that has no branch of its own here.

    Attributes:
        code: libvirt's error number.
    """

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class BadSetting(Error):
    """A configured value that cannot be accepted.

    Attributes:
        key: the option as the operator wrote it.
        value: the value as collectd handed it over.
        accepted: in words, what would have been accepted.
    """

    def __init__(self, key: str, value: object, accepted: str) -> None:
        super().__init__(f"{key} {value!r} is not usable: accepted is {accepted}")
        self.key = key
        self.value = value
        self.accepted = accepted


class AdminUnavailable(Error):
    """The limits cannot be had.

    Attributes:
        reason: why, in words for the operator.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
