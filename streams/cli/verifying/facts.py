"""From messages to facts: a few numbers of each event, which is all that the checks need.

In: messages of the topics in ``READ``. Out: rows for the tables of ``store``; ids as 64-bit hashes, so that a row is small (at ten
million requests two of them are taken for one with a probability of 3 in a million). Keeps profile versions, and of the
faults that show in a single event the number and the first places. Fails with nothing: bytes that are no event are a fact, too.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from streams.cli.verifying.expected import Expected
from streams.cli.verifying.plans import faults_of
from streams.cli.verifying.profiles import Fault, Profiles
from streams.codec import Codec
from streams.errors import Code, Undecodable
from streams.following import Message
from streams.topics import STAGES, TOPICS

LETTERS = tuple(f"{role}-dlq" for role in STAGES)
READ = (
    "rewards",
    "feedback",
    "responses",
    "generation",
    "deferred",
    "routing",
    "requests",
    "profile-history",
    *LETTERS,
)
"""In the order in which their ends are looked up: effects before their causes, so that no effect is read without its cause.
Dead letters come last: they excuse what would else be missing."""

EXAMPLES = 3
_TIMES = ("occurred_at_us", "latency_ms")
Put = Callable[[str, tuple[Any, ...]], None]
"""Takes a table's name and a row."""


def number_of(*parts: str) -> int:
    """Hash strings to a signed 64-bit number; parts are length-prefixed, so ``("ab", "c")`` and ``("a", "bc")`` differ."""
    state = blake2b(digest_size=8)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(4, "little"))
        state.update(raw)
    return int.from_bytes(state.digest(), "little", signed=True)


def digest_of(fields: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> int:
    """Hash what an event says, as decoded: the same content in another version of its schema is the same."""
    said = {name: value for name, value in fields.items() if name not in without} if without else fields
    return int.from_bytes(blake2b(msgspec.msgpack.encode(said), digest_size=8).digest(), "little", signed=True)


def who_of(fields: Mapping[str, Any]) -> int:
    """Hash the identity of the request that an event is about."""
    return number_of(fields["tenant"], fields["conversation_id"], fields["request_id"])


class Facts:
    """Takes messages in and puts facts out."""

    def __init__(self, codec: Codec, expected: Expected, put: Put, *, profiles: Profiles) -> None:
        self._codec = codec
        self.expected = expected
        self._put = put
        self.profiles = profiles
        self.messages: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.examples: dict[str, list[Fault]] = {}
        self.unknown_configuration = 0
        self._takers: dict[str, Callable[[Message, dict[str, Any]], None]] = {
            "RequestReceived": self._request,
            "RequestRouted": self._plan,
            "GenerationCompleted": self._generation,
            "GenerationFailed": self._generation,
            "ResponseReady": self._response,
            "ResponseFailed": self._response,
            "FeedbackGiven": self._feedback,
            "RewardComputed": self._reward,
            "ProfileUpdated": self._profile,
            "DeadLettered": self._letter,
        }
        self._belongs = {topic: {event.__name__ for event in TOPICS[topic].events} for topic in READ}

    def take(self, message: Message) -> None:
        """Take in a message."""
        self.messages[message.topic] += 1
        try:
            name, fields = self._codec.decode_fields(message.value)
            if name not in self._belongs[message.topic]:
                raise Undecodable(f"{name} does not belong here.", code=Code.UNEXPECTED_EVENT)
        except Undecodable:
            self._put("garbage", (message.topic, message.partition, message.offset, message.at_ms or 0))
        else:
            self._takers[name](message, fields)

    def _base(self, message: Message, fields: Mapping[str, Any], digest: int) -> tuple[int, int, int, int, int, int]:
        at_ms = message.at_ms or 0
        return who_of(fields), number_of(fields["event_id"]), digest, at_ms, message.partition, message.offset

    def _request(self, message: Message, fields: dict[str, Any]) -> None:
        asked_us = min(fields["occurred_at_us"], (message.at_ms or 0) * 1_000)
        stated = self.expected.deadlines_ms.get(fields["workflow"], self.expected.deadline_ms)
        until_us = asked_us + (fields["deadline_ms"] or stated) * 1_000
        self._put("request", (*self._base(message, fields, digest_of(fields, without=_TIMES)), until_us))

    def _plan(self, message: Message, fields: dict[str, Any]) -> None:
        plan, request = fields["plan"], fields["request"]
        place = (message.topic, message.partition, message.offset)
        base = self._base(message, {**request, "event_id": fields["event_id"]}, 0)
        if message.topic == "deferred":
            self._put("deferred", base)
            return
        self._put("plan", (*base, plan["deadline_at_us"], request["occurred_at_us"] // 1_000))
        self.profiles.name(plan["profile_scope"], plan["profile_version"], place)
        self.unknown_configuration += plan["config_hash"] not in self.expected.explorations
        for check, detail in faults_of(fields, self.expected.explorations):
            self.fault(Fault(check, place, detail))

    def _generation(self, message: Message, fields: dict[str, Any]) -> None:
        self._put("generation", (*self._base(message, fields, digest_of(fields)), fields["cost_usd"]))

    def _response(self, message: Message, fields: dict[str, Any]) -> None:
        answered = "generation_id" in fields
        # A refusal is made again for a redelivered request: the same but for its time.
        digest = digest_of(fields) if answered else digest_of(fields, without=_TIMES)
        asked_ms = fields["occurred_at_us"] // 1_000 - int(fields["latency_ms"])
        generation = number_of(fields["generation_id"]) if answered else None
        given_up = not answered and fields["code"] == Code.INTERNAL_ERROR
        base = self._base(message, fields, digest)
        self._put("response", (*base, asked_ms, answered, given_up, fields["cost_usd"], generation))

    def _feedback(self, message: Message, fields: dict[str, Any]) -> None:
        self._put("feedback", self._base(message, fields, digest_of(fields, without=_TIMES)))

    def _reward(self, message: Message, fields: dict[str, Any]) -> None:
        self._put("reward", self._base(message, fields, digest_of(fields)))

    def _profile(self, message: Message, fields: dict[str, Any]) -> None:
        for fault in self.profiles.take(fields, digest_of(fields), (message.topic, message.partition, message.offset)):
            self.fault(fault)

    def _letter(self, _: Message, fields: dict[str, Any]) -> None:
        self._put("letter", (fields["stage"], fields["topic"], fields["partition"], fields["offset"]))

    def fault(self, fault: Fault, count: int = 1) -> None:
        """Count a fault, and keep the first of each kind."""
        self.faults[fault.check] += count
        kept = self.examples.setdefault(fault.check, [])
        if len(kept) < EXAMPLES:
            kept.append(fault)
