"""The error family: what can go wrong between virt2 and the systems it talks to.

The door through which a foreign exception comes translates it into one of these. So the rest of virt2 tells what
happened by class and by field, never by a foreign code.
"""


class Error(Exception):
    """Base of everything virt2 raises on purpose."""


class Disconnected(Error):
    """There is no usable connection to libvirt: it could not be made, or it was lost during a call."""


class DomainGone(Error):
    """The domain, or the device that was asked about, is not there any more. This race is expected and no fault."""


class DomainBusy(Error):
    """libvirt gave up waiting for the domain's job: somebody else holds its monitor."""


class AgentSilent(Error):
    """The guest's agent is not there, or it did not answer in time."""


class Unsupported(Error):
    """What was asked is unknown to this libvirt, driver or guest, and asking again will not help."""


class Refused(Unsupported):
    """libvirt calls the call invalid for the domain as it is now. At first that may pass, as just after its start."""


class Missing(Unsupported):
    """The call does not exist: this libvirt, its driver or its binding has it for no domain."""


class CallFailed(Error):
    """libvirt answered a call with an error that has no class of its own here.

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
        accepted: what would have been accepted, in words.
    """

    def __init__(self, key: str, value: object, accepted: str) -> None:
        super().__init__(f"{key} {value!r} is not usable: accepted is {accepted}")
        self.key = key
        self.value = value
        self.accepted = accepted


class AdminUnavailable(Error):
    """libvirtd's limits are not known.

    Attributes:
        reason: why, in words for the operator.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
