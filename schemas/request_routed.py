"""Topic ``routing``: the plan for a request, and the request in it, so that nobody has to join."""

from schemas.record import Part, Record
from schemas.request_received import RequestReceived, Sensitivity


class Step(Part, frozen=True, kw_only=True):
    """One complete way to answer, resolved: what the generator does, without looking anything up but the model's address."""

    strategy: str
    """The strategy's id in the catalogue."""
    agent: str
    """``direct``."""
    tier: str
    """Model tier: simple, balanced or premium."""
    model: str
    """The model's name at its provider."""
    provider: str
    """The provider's name in the catalogue."""
    retrieval: str
    """entity_based, hierarchical, conversation_turn or semantic."""
    top_k: int
    """How many passages are given to the model."""
    graph: bool
    """Whether linked passages are looked up in the entity graph."""
    sources: tuple[str, ...] = ()
    """Names of the knowledge sources that are searched."""
    tools: tuple[str, ...] = ()
    """Names of the tools offered."""
    max_chunk_size: int | None = None
    """Largest passage in characters; null means the retrieval strategy's own."""
    refinement: str = "none"
    """How the answer is refined."""
    prompt_version: str
    """Which wording of the prompt is used."""


class Candidate(Part, frozen=True, kw_only=True):
    """An eligible strategy with all that the policy knew of it."""

    strategy: str
    """The strategy's id."""
    probability: float
    """The exact probability with which it would have been chosen, in [0, 1]; they sum to 1."""
    quality: float
    """Expected reward, in [0, 1]."""
    quality_lower: float
    """Lower confidence bound of the expected reward, as it is held against the floor."""
    cost_usd: float
    """Expected cost of an answer, in US dollars."""
    latency_ms: float
    """Expected time to answer, in milliseconds."""
    requests: int = 0
    """How many rewarded requests these numbers rest on; 0 means the built-in prior."""


class Exclusion(Part, frozen=True, kw_only=True):
    """A strategy that was not eligible, and why."""

    strategy: str
    """The strategy's id."""
    reason: str
    """A sentence fragment: ``may not see personal data``."""


class Plan(Part, frozen=True, kw_only=True):
    """The decision for one request with its evidence."""

    steps: tuple[Step, ...]
    """The chosen strategy first, then the alternatives in the order in which they are tried."""
    propensity: float
    """The probability with which the chosen strategy was chosen."""
    draw: float
    """The number in [0, 1) that chose, a function of the request's identity."""
    candidates: tuple[Candidate, ...]
    """Every eligible strategy."""
    exclusions: tuple[Exclusion, ...] = ()
    """Every other strategy of the catalogue."""
    policy: str
    """Name and version of the policy, ``floor-softmax@1``."""
    profile_scope: str
    """The scope whose profile was used."""
    profile_version: int
    """Its version; 0 means nothing was learned yet."""
    config_hash: str
    """Hash of the workflow, the catalogue and the settings in force."""
    content_type: str
    """transactional, informational, support, general, or the user's own."""
    content_type_confidence: float
    """In [0, 1]."""
    complexity: int
    """1 to 10."""
    features: tuple[float, ...]
    """The feature vector: what a later policy needs to decide again, without the text."""
    encoder: str
    """Name and version of the encoder."""
    feature_set: str
    """Version of the feature set."""
    pinned: tuple[str, ...] = ()
    """The parts that the user stated."""
    decided: tuple[str, ...] = ()
    """The parts that the system chose."""
    overrides: tuple[str, ...] = ()
    """Emergency overrides in force."""
    experiment: str = ""
    """Name of the experiment that the request is in; nothing where it is in none."""
    branch: str = ""
    """``new`` or ``old``: the version of the experiment that decided; the probabilities are those of this branch."""
    branch_share: float = 0.0
    """Probability with which a conversation gets the new version."""
    quality_floor: float
    """The floor in force as an absolute reward, in [0, 1]."""
    floor_met: bool
    """False where no eligible strategy was known to meet the floor, and the best one answers."""
    sensitivity_in_force: Sensitivity | None = None
    """The level that limited the eligible: the stated one, or personal where such data was found; null in older plans."""
    personal: tuple[str, ...] = ()
    """The kinds of personal data that were found in the text, and never the text; empty where none was, or none was looked for."""
    cost_ceiling_usd: float
    """Most that the conversation may cost, in US dollars."""
    fallback: bool = True
    """Whether the alternatives may be tried."""
    asked_at_us: int | None = None
    """When the request was asked, by the broker's clock where the caller's may be wrong; null in plans of the first release."""
    deadline_at_us: int
    """When the answer is no longer wanted, in microseconds since 1970-01-01 UTC."""
    prompt: str
    """The workflow's prompt template."""
    max_answer_characters: int | None = None
    """Longest answer; null means no limit."""
    reasoning: str
    """A sentence with numbers: why this strategy."""


class RequestRouted(Record, frozen=True, kw_only=True):
    """The router decided how a request is answered."""

    request: RequestReceived
    """The request itself."""
    plan: Plan
    """The decision."""
