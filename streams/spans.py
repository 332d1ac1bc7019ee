"""The closed catalogue of traces: what a span may be of, and what it may say. Ids, names and numbers, never a text.

In: nothing. Out: ``SPANS`` and ``ATTRIBUTES``, whose types the checker holds every caller to. Keeps nothing. Cannot fail. Names are
OpenTelemetry's where it has one (its conventions for messaging, and those for generative AI, which are still in development).
"""

from collections.abc import Mapping
from typing import Final, Literal

Operation = Literal["send", "process", "plan", "chat", "retrieval", "evaluate", "ingest"]
Kind = Literal["internal", "producer", "consumer", "client"]
Value = str | bool | int | float | tuple[str, ...]
Attribute = Literal[
    "messaging.system",
    "messaging.operation.name",
    "messaging.operation.type",
    "messaging.destination.name",
    "messaging.destination.partition.id",
    "messaging.kafka.offset",
    "messaging.batch.message_count",
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.conversation.id",
    "error.type",
    "penstock.tenant",
    "penstock.request_id",
    "penstock.workflow",
    "penstock.strategy",
    "penstock.step",
    "penstock.try",
    "penstock.attempt",
    "penstock.repeat",
    "penstock.cost_usd",
    "penstock.passages",
    "penstock.profile_version",
]

SPANS: Final[dict[Operation, str]] = {
    "send": "an event is published and confirmed by the broker; named with its topic",
    "process": "a stage handles an event, all attempts together; named with its topic",
    "plan": "the router decides how a request is answered",
    "retrieval": "passages are searched for a step of a plan",
    "chat": "one try at a model; named with the model",
    "evaluate": "an answer is scored",
    "ingest": "analytics stores a batch; linked with the requests in it",
}
"""Every operation that a span may be of, and what it covers."""

ATTRIBUTES: Final[dict[Attribute, str]] = {
    "messaging.system": "always kafka",
    "messaging.operation.name": "send or process",
    "messaging.operation.type": "send or process",
    "messaging.destination.name": "the topic, without the deployment's prefix",
    "messaging.destination.partition.id": "the partition of the message handled",
    "messaging.kafka.offset": "the offset of the message handled: the same again is a second delivery",
    "messaging.batch.message_count": "events in a batch",
    "gen_ai.operation.name": "chat or retrieval",
    "gen_ai.provider.name": "the provider, by its name in the catalogue",
    "gen_ai.request.model": "the model asked for",
    "gen_ai.request.stream": "the answer was asked for in pieces",
    "gen_ai.response.finish_reasons": "why the model stopped",
    "gen_ai.usage.input_tokens": "tokens of the prompt",
    "gen_ai.usage.output_tokens": "tokens of the answer",
    "gen_ai.conversation.id": "the conversation",
    "error.type": "an error code of ours, or the type of an exception",
    "penstock.tenant": "the tenant",
    "penstock.request_id": "the request",
    "penstock.workflow": "the workflow",
    "penstock.strategy": "the strategy chosen, or of the step",
    "penstock.step": "the step of the plan, from 0",
    "penstock.try": "the try of the step, from 1",
    "penstock.attempt": "the attempt to handle an event, from 1",
    "penstock.repeat": "the event was recognised as a repeat",
    "penstock.cost_usd": "what a call cost, in US dollars",
    "penstock.passages": "passages found",
    "penstock.profile_version": "the version of the profile decided from",
}
"""Every attribute that a span may carry, and what it says."""

Attributes = Mapping[Attribute, Value]
