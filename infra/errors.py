"""What can go wrong between Penstock and the machine it runs on.

    InfraError
    ├── BrokerUnavailable     a broker's address was given, and nothing answers there
    ├── BrokerDidNotStart     the broker was started and was not ready in time; has its log's end
    ├── BrokerInUse           another living process runs the broker of this name
    ├── PortTaken             the port that was asked for belongs to somebody else
    └── RequirementMissing    Java, Maven, or the broker's artefacts are not there

Each has `remedy`, the reader's next step, which the command line prints below the message.
"""

from __future__ import annotations


class InfraError(Exception):
    """A fault of the machine or the broker; `remedy` is one sentence that says what to do."""

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}"


class BrokerUnavailable(InfraError):
    """Nothing answers at the address that was given."""

    def __init__(self, bootstrap_servers: str, *, waited_s: float, reason: str) -> None:
        super().__init__(
            f"no Kafka answers at {bootstrap_servers} within {waited_s:g} s: {reason}",
            remedy="Correct PENSTOCK_BOOTSTRAP_SERVERS, or unset it: Penstock then starts one.",
        )
        self.bootstrap_servers = bootstrap_servers
        self.waited_s = waited_s
        self.reason = reason


class BrokerDidNotStart(InfraError):
    """The broker ended, or was not ready in time; `log_tail` is the end of its log."""

    def __init__(self, reason: str, *, log_tail: str) -> None:
        super().__init__(
            f"the broker did not start: {reason}\n{log_tail}".rstrip(),
            remedy="`penstock doctor` names what is missing or taken on this machine.",
        )
        self.reason = reason
        self.log_tail = log_tail


class BrokerInUse(InfraError):
    """The broker of this name runs already, and its owner is alive."""

    def __init__(self, name: str, *, owner_pid: int, bootstrap_servers: str) -> None:
        super().__init__(
            f"process {owner_pid} runs the broker {name!r} already, at {bootstrap_servers}",
            remedy="Stop it with `penstock down` (or `make down`).",
        )
        self.name = name
        self.owner_pid = owner_pid
        self.bootstrap_servers = bootstrap_servers


class PortTaken(InfraError):
    """The port that was asked for is in use."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"port {port} is in use by another program",
            remedy="Stop that program, or let Penstock choose a free port by asking for none.",
        )
        self.port = port


class RequirementMissing(InfraError):
    """Something that a broker on this machine needs is not installed."""

    def __init__(self, what: str, *, remedy: str) -> None:
        super().__init__(f"{what} is missing", remedy=remedy)
        self.what = what
