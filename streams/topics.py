"""The graph, declared once: every topic, its key, its events, who writes, who reads, how long it is kept.

Everything else is drawn from this: the topics that are created, what an outbox lets through, ``penstock topology``, the
picture in the README. Pure data; nothing can fail here but a wrong declaration, at import.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from schemas import (
    ChunkGenerated,
    DeadLettered,
    ExperimentOrdered,
    ExperimentStepped,
    FeedbackGiven,
    GenerationCompleted,
    GenerationFailed,
    LearningResumed,
    OverrideSet,
    ProfileUpdated,
    QualityFell,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseFailed,
    ResponseReady,
    ResumeOrdered,
    RewardComputed,
    RollbackOrdered,
    SchemaPublished,
    StageMeasured,
    StagePaused,
    StageRestarted,
    StageResumed,
)

Key = Literal["conversation", "scope", "subject", "stage", "fingerprint", "as was"]

STAGES = ("router", "generator", "evaluator", "analytics")
"""The roles that consume topics; each is a consumer group of its own."""
OUTSIDE = ("caller", "operator")
"""Who else writes and reads: applications, and people on the command line."""

MAX_EVENT_BYTES = 3 * 512 * 1024
"""A larger event is dead-lettered as oversized: 1.5 MiB."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""What the topics themselves let through, so that an oversized event still fits into the dead letters: 4 MiB."""
LETTER_BYTES = MAX_MESSAGE_BYTES + 64 * 1024
"""What the dead letters' topics let through, producers send and readers fetch: a whole message, and what is said of it."""
LONGEST_LETTER_KEY_BYTES = 4 * 1024
"""A longer key is in its dead letter, but not the letter's key too: it would not fit twice."""

_TEXT = timedelta(days=7)
_NUMBERS = timedelta(days=30)
_DEAD = timedelta(days=14)


@dataclass(frozen=True)
class Topic:
    """One topic. ``retention`` None keeps for ever; ``compacted`` keeps the newest of each key.

    ``on_demand``: no agent consumes it; who needs something of it reads it then.
    """

    name: str
    key: Key
    events: tuple[type[Record], ...]
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]
    retention: timedelta | None
    holds: str
    compacted: bool = False
    on_demand: bool = False

    @property
    def max_message_bytes(self) -> int:
        """The largest message that it lets through."""
        return LETTER_BYTES if DeadLettered in self.events else MAX_MESSAGE_BYTES

    @property
    def partitioned_by_conversation(self) -> bool:
        """Whether it must have as many partitions as the other conversation topics."""
        return self.key == "conversation"


def _dead_letters(role: str) -> Topic:
    return Topic(
        name=f"{role}-dlq",
        key="as was",
        events=(DeadLettered,),
        written_by=(role,),
        read_by=("operator",),
        retention=_DEAD,
        holds=f"messages that the {role} gave up on, byte for byte",
    )


_DECLARED = (
    Topic(
        "requests",
        "conversation",
        (RequestReceived,),
        ("caller", "operator"),
        ("router", "analytics"),
        _TEXT,
        "one thing that a caller wants answered",
    ),
    Topic(
        "routing",
        "conversation",
        (RequestRouted,),
        ("router",),
        ("generator", "analytics"),
        _TEXT,
        "the plan, with the request in it",
    ),
    Topic(
        "deferred",
        "conversation",
        (RequestRouted,),
        ("generator",),
        ("generator",),
        _TEXT,
        "plans that wait for a slow provider where they hold nobody up",
    ),
    Topic(
        "generation",
        "conversation",
        (GenerationCompleted, GenerationFailed),
        ("generator",),
        ("evaluator", "analytics"),
        _TEXT,
        "one event for each language-model call",
    ),
    Topic(
        "responses",
        "conversation",
        (ResponseReady, ResponseFailed),
        ("generator", "router"),
        ("caller", "evaluator", "analytics"),
        _TEXT,
        "the end of a request: answered, or failed with a code",
    ),
    Topic(
        "response-chunks",
        "conversation",
        (ChunkGenerated,),
        ("generator",),
        ("caller",),
        _TEXT,
        "tokens as they arrive, for those who asked to stream",
    ),
    Topic(
        "feedback",
        "conversation",
        (FeedbackGiven,),
        ("caller", "operator"),
        ("evaluator", "analytics"),
        _TEXT,
        "raw signals about answers",
    ),
    Topic(
        "rewards",
        "conversation",
        (RewardComputed,),
        ("evaluator",),
        ("analytics",),
        _NUMBERS,
        "the one reward of a request so far",
    ),
    Topic(
        "metrics",
        "stage",
        (StageMeasured, StagePaused, StageResumed, StageRestarted, QualityFell),
        (*STAGES, "operator"),
        ("analytics",),
        _NUMBERS,
        "operational measurements, what stages say of themselves, and falls of quality",
    ),
    Topic(
        "profile-updates",
        "scope",
        (ProfileUpdated,),
        ("analytics",),
        ("router",),
        None,
        "the newest profile of each scope",
        compacted=True,
    ),
    Topic(
        "profile-history",
        "scope",
        (ProfileUpdated,),
        ("analytics",),
        ("analytics", "operator"),
        None,
        "every profile there ever was",
    ),
    Topic(
        "controls",
        "subject",
        (OverrideSet, RollbackOrdered, LearningResumed, ResumeOrdered, ExperimentOrdered, ExperimentStepped),
        ("operator", "analytics"),
        ("router", "generator", "evaluator", "analytics"),
        None,
        "the operator's words, and the steps of experiments",
        compacted=True,
    ),
    Topic(
        "schemas",
        "fingerprint",
        (SchemaPublished,),
        (*OUTSIDE, *STAGES),
        (*OUTSIDE, *STAGES),
        None,
        "the schemas that events are written with, for readers of another release",
        compacted=True,
        on_demand=True,
    ),
    *(_dead_letters(role) for role in STAGES),
)

TOPICS: dict[str, Topic] = {topic.name: topic for topic in _DECLARED}
"""Every topic by name, in the order in which a request meets them."""


@dataclass(frozen=True)
class Table:
    """What a role keeps by conversation, in RocksDB and in a changelog topic that Faust names.

    ``retention`` None: an entry stays until it is removed.
    """

    role: str
    name: str
    retention: timedelta | None
    holds: str

    @property
    def max_message_bytes(self) -> int:
        """The largest entry that its changelog lets through."""
        return MAX_MESSAGE_BYTES

    @property
    def partitioned_by_conversation(self) -> bool:
        """Always: a table has as many partitions as the topics that it is written from."""
        return True

    @property
    def changelog(self) -> str:
        """The changelog topic's name, without the deployment's prefix."""
        return f"penstock-{self.role}-{self.name}-changelog"


ENDED = Table("generator", "ended", _TEXT, "how finished requests ended, and what conversations cost")
ANSWERED = Table("evaluator", "answered", _NUMBERS, "what feedback needs to know of a request")
WAITING = Table("evaluator", "waiting", None, "answers that wait for a rating, feedback that waits for its request")
TABLES = (ENDED, ANSWERED, WAITING)
"""Every table. Their changelogs are created with the topics: a worker that has to create its own sees it too late."""


def may_write(role: str, topic: str) -> bool:
    """Say whether the registry lets ``role`` publish to ``topic``."""
    return topic in TOPICS and role in TOPICS[topic].written_by


def read_by(role: str) -> tuple[Topic, ...]:
    """List the topics that ``role`` consumes."""
    return tuple(topic for topic in TOPICS.values() if role in topic.read_by and not topic.on_demand)


def events_of(role: str) -> tuple[type[Record], ...]:
    """List the events that ``role`` may write, each once."""
    found = (event for topic in TOPICS.values() if role in topic.written_by for event in topic.events)
    return tuple(dict.fromkeys(found))


def key_of(topic: str, event: Record) -> bytes:
    """Give the Kafka key of ``event`` on ``topic``; ``TypeError`` when the event does not belong there."""
    declared = TOPICS[topic]
    if not isinstance(event, declared.events):
        msg = f"{type(event).__name__} does not belong on {topic}"
        raise TypeError(msg)
    key: str
    match declared.key:
        case "conversation":
            owner = event.request if isinstance(event, RequestRouted) else event
            key = owner.conversation_id  # type: ignore[attr-defined]
        case "scope":
            key = event.scope  # type: ignore[attr-defined]
        case "subject":
            key = event.subject  # type: ignore[attr-defined]
        case "stage":
            key = event.stage  # type: ignore[attr-defined]
        case "fingerprint":
            key = event.fingerprint  # type: ignore[attr-defined]
        case "as was":
            raw: bytes | None = event.key  # type: ignore[attr-defined]
            return raw if raw is not None and len(raw) <= LONGEST_LETTER_KEY_BYTES else b""
    return key.encode("utf-8", "surrogatepass")
