"""Topic ``generation``: one language-model call and its result."""

from schemas.record import Part, Record


class UsedPassage(Part, frozen=True, kw_only=True):
    """A passage that the model was given."""

    passage_id: str
    """Its id in the index."""
    text: str
    """Its text."""


class GenerationCompleted(Record, frozen=True, kw_only=True):
    """A model answered."""

    tenant: str
    """Who asks and pays."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request."""
    routing_id: str
    """Event id of the plan that was carried out."""
    step: int
    """Index of the plan's step, 0 for the chosen strategy."""
    tries: int
    """How many calls the provider needed, 1 or more."""
    strategy: str
    """The strategy's id."""
    model: str
    """The model's name."""
    provider: str
    """The provider's name."""
    question: str
    """What was asked, the prompt filled in."""
    passages: tuple[UsedPassage, ...] = ()
    """What the model was given to answer from."""
    text: str
    """What it answered."""
    finish_reason: str
    """The provider's reason to stop."""
    input_tokens: int
    """Tokens of the prompt, as the provider counted."""
    output_tokens: int
    """Tokens of the answer, as the provider counted."""
    cpu_seconds: float | None = None
    """CPU time of the call where the provider states it (the embedded models)."""
    cost_usd: float
    """Price of the call, in US dollars."""
    usage_estimated: bool = False
    """True where the provider did not state the usage that the price rests on, and it was estimated."""
    retrieval_ms: float
    """Time to find the passages, in milliseconds."""
    latency_ms: float
    """Time of the call with its retries, in milliseconds."""
