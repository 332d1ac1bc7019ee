"""One tree of errors, and the closed catalogue of codes that leave the process.

    PenstockError                  has a code, what went wrong, and what to do about it
    ├── Undecodable                bytes that are no event; goes to the dead letters at once, never retried
    │   └── UnknownSchema          written with a schema that is not known here; whoever can looks it up first
    ├── Undeliverable              an event that its stage must not handle (feedback for nobody); dead letters at once
    ├── Rejected                   a request that cannot be answered; becomes ResponseFailed
    ├── UndeclaredTopic            a stage published where the registry does not let it; a bug
    └── Unconfigured               something of the deployment is missing or wrong; the process stops

Every other exception in a stage is retried a bounded number of times and then dead-lettered as ``handler_failed``.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Every error code that a topic may carry. Stable: callers and operators match on them."""

    UNKNOWN_WORKFLOW = "unknown_workflow"
    UNKNOWN_STRATEGY = "unknown_strategy"
    EMPTY_MESSAGE = "empty_message"
    MESSAGE_TOO_LONG = "message_too_long"
    INVALID_REQUEST = "invalid_request"
    NO_ELIGIBLE_STRATEGY = "no_eligible_strategy"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_REJECTED = "provider_rejected"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    COST_CEILING_REACHED = "cost_ceiling_reached"
    INTERNAL_ERROR = "internal_error"

    NOT_AVRO = "not_avro"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID_EVENT = "invalid_event"
    UNEXPECTED_EVENT = "unexpected_event"
    OVERSIZED = "oversized"
    HANDLER_FAILED = "handler_failed"
    FEEDBACK_ORPHAN = "feedback_orphan"
    FEEDBACK_LATE = "feedback_late"
    FEEDBACK_OUT_OF_RANGE = "feedback_out_of_range"
    UNDECLARED_TOPIC = "undeclared_topic"
    UNCONFIGURED = "unconfigured"


@dataclass(frozen=True)
class Meaning:
    """What a code says to a person."""

    means: str
    remedy: str


RESPONSE_CODES: dict[Code, Meaning] = {
    Code.UNKNOWN_WORKFLOW: Meaning(
        "No workflow of that name is loaded.",
        "Use one of the names that `penstock workflow validate` lists.",
    ),
    Code.UNKNOWN_STRATEGY: Meaning(
        "The request demands a strategy that the catalogue does not have.",
        "Leave `strategy` out, or use an id of infra/strategies.yaml.",
    ),
    Code.EMPTY_MESSAGE: Meaning("The message has no text.", "Send a message with text."),
    Code.MESSAGE_TOO_LONG: Meaning(
        "The message is longer than 65,536 characters.",
        "Shorten it, or send long material as documents of at most 1 MiB together.",
    ),
    Code.INVALID_REQUEST: Meaning(
        "A field of the request has a value that is not allowed.",
        "Correct the field that the error names.",
    ),
    Code.NO_ELIGIBLE_STRATEGY: Meaning(
        "No strategy may answer this request.",
        "Look at the reasons in the error; loosen a pin, the sensitivity or an override.",
    ),
    Code.PROVIDER_UNAVAILABLE: Meaning(
        "No model provider in the plan could be reached.",
        "Send the request again under a new id; `penstock doctor` shows what is down.",
    ),
    Code.PROVIDER_REJECTED: Meaning(
        "The model provider refused the call.",
        "Check the key, the model's name and the length of the request.",
    ),
    Code.DEADLINE_EXCEEDED: Meaning(
        "The deadline passed before there was an answer.",
        "Send it again under a new id with a longer deadline.",
    ),
    Code.COST_CEILING_REACHED: Meaning(
        "The conversation has used up its cost ceiling.",
        "Raise cost_ceiling_usd, or begin a new conversation.",
    ),
    Code.INTERNAL_ERROR: Meaning(
        "A stage failed in a way it does not know.",
        "The event is in the dead letters with the cause: `penstock dlq list`.",
    ),
}
"""The codes of ``ResponseFailed``."""


class PenstockError(Exception):
    """The root: ``code``, ``what`` went wrong and a ``remedy``."""

    code: Code = Code.INTERNAL_ERROR

    def __init__(self, what: str, *, code: Code | None = None, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.code = code or self.code
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class Undecodable(PenstockError):
    """Bytes that are no event of ours."""

    code = Code.NOT_AVRO


class UnknownSchema(Undecodable):
    """An event in a schema that is not known here, or not yet: ``fingerprint`` names it on the topic ``schemas``."""

    code = Code.UNKNOWN_SCHEMA

    def __init__(self, fingerprint: bytes, why: str) -> None:
        super().__init__(f"Schema fingerprint {fingerprint.hex()} is not one of ours{why and ': '}{why}.")
        self.fingerprint = fingerprint


class Undeliverable(PenstockError):
    """An event that was understood and has no place to go."""

    code = Code.UNEXPECTED_EVENT


class Ended(Undeliverable):
    """An event about something that has ended. It tells of no fault of ours, so no limit on dead letters counts it."""


class Rejected(PenstockError):
    """A request that ends in ResponseFailed; the remedy comes from the catalogue unless given."""

    def __init__(self, what: str, *, code: Code, remedy: str = "") -> None:
        super().__init__(what, code=code, remedy=remedy or RESPONSE_CODES[code].remedy)


class UndeclaredTopic(PenstockError):
    """A stage published to a topic that the registry does not give it."""

    code = Code.UNDECLARED_TOPIC


class Unconfigured(PenstockError):
    """The deployment lacks something."""

    code = Code.UNCONFIGURED
