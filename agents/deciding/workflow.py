"""A workflow: what the user states, and what is left to the system.

Comes in: the content of a workflow's YAML. Goes out: a frozen ``Workflow``, its ``Pins`` (what was
stated, and is obeyed) and a ``config_hash`` that is equal exactly where the meaning is equal. Keeps
nothing. Fails with pydantic's ValidationError, all mistakes in one, which ``agents.loading`` turns
into lines and columns; ``check_workflow`` returns what only the catalogue and the sources can tell.
Pure.

Everywhere, ``auto``, an empty value and a missing key are the same.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from agents.deciding.catalogue import Catalogue, Retrieval, Strategy, Tier
from agents.deciding.governance import StatedSettings
from agents.deciding.mistakes import AUTO, Complaint, Path, Stated, refused

AgentName = Literal["direct"]
Priority = Literal["balanced", "quality_over_speed", "speed_over_quality", "cost_over_quality"]

LATER_AGENTS = ("reasoning", "code", "tools")
REGISTERED_TOOLS: frozenset[str] = frozenset()
NODE_PATH: Path = ("workflow", "nodes", 0)
MAX_PROMPT_CHARACTERS = 65_536

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_VERSION = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$"


def _existing_agent(value: Any) -> Any:
    if isinstance(value, str) and value in LATER_AGENTS:
        reason = f"agent {value} does not exist yet in this version; use auto or direct"
        raise refused("auto or direct", valid=("direct", AUTO), reason=reason)
    return value


def _registered_tools(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if not fnmatch.filter(REGISTERED_TOOLS, name)]
    if unknown:
        listed = ", ".join(repr(name) for name in unknown)
        known = ", ".join(sorted(REGISTERED_TOOLS)) or "none"
        reason = f"no tool matches {listed}; registered: {known}; use auto or []"
        raise refused("auto or []", valid=REGISTERED_TOOLS, reason=reason)
    return names


def _closed_prompt(prompt: str) -> str:
    if "{{" in _VARIABLE.sub("", prompt):
        raise refused("every {{ closed as {{name}}")
    if "message" not in prompt_variables(prompt):
        raise refused("a text that contains {{message}}")
    return prompt


def _one_node(nodes: "tuple[Node, ...]") -> "tuple[Node, ...]":
    if len(nodes) != 1:
        reason = f"this version runs exactly one node in a workflow; found {len(nodes)}"
        raise refused("a list of exactly one node", reason=reason)
    return nodes


def prompt_variables(prompt: str) -> tuple[str, ...]:
    """The names of the variables in a template, in order, each once."""
    return tuple(dict.fromkeys(_VARIABLE.findall(prompt)))


class ContextPins(Stated):
    """What the user states about the context; each missing key is the system's."""

    sources: tuple[StrictStr, ...] | None = Field(default=None, description="auto or a list of sources")
    strategy: Retrieval | None = Field(
        default=None, description="auto, entity_based, hierarchical, conversation_turn or semantic"
    )
    top_k: Annotated[StrictInt, Field(ge=1, le=50)] | None = Field(
        default=None, description="auto or a whole number from 1 to 50"
    )
    graph: StrictBool | None = Field(default=None, description="auto, true or false")
    max_chunk_size: Annotated[StrictInt, Field(ge=50, le=100_000)] | None = Field(
        default=None, description="auto or a whole number of characters from 50 to 100000"
    )


class Preferences(Stated):
    """What matters more to the user, and how long an answer may be, in characters."""

    priority: Priority = Field(
        default="balanced",
        description="balanced, quality_over_speed, speed_over_quality or cost_over_quality",
    )
    max_answer_characters: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="a whole number of characters from 1 to 1000000"
    )


class Node(Stated):
    """One step of a workflow."""

    literal_keys = frozenset({"id"})

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = Field(
        description="a name of small letters, digits, _ and -, at most 64"
    )
    agent: Annotated[AgentName | None, BeforeValidator(_existing_agent)] = Field(
        default=None, description="auto or direct"
    )
    model: Tier | None = Field(default=None, description="auto, simple, balanced or premium")
    context: ContextPins = Field(
        default_factory=ContextPins,
        description="auto or a mapping of sources, strategy, top_k, graph, max_chunk_size",
    )
    tools: Annotated[tuple[StrictStr, ...], AfterValidator(_registered_tools)] | None = Field(
        default=None, description="auto or a list of names and globs"
    )
    prompt: Annotated[str, Field(max_length=MAX_PROMPT_CHARACTERS), AfterValidator(_closed_prompt)] = Field(
        default="{{message}}", description="a text of at most 65536 characters with {{message}}"
    )
    preferences: Preferences = Field(
        default_factory=Preferences,
        description="auto or a mapping of priority and max_answer_characters",
    )


class Steps(Stated):
    """The nodes of a workflow: exactly one in this version."""

    nodes: Annotated[tuple[Node, ...], AfterValidator(_one_node)] = Field(description="a list of exactly one node")


@dataclass(frozen=True)
class Pins:
    """What the user stated and learning never overrules; None is the system's to decide.

    ``max_chunk_size`` is in characters. Empty ``sources`` or ``tools`` mean "none of them".
    """

    agent: str | None = None
    tier: str | None = None
    retrieval: str | None = None
    top_k: int | None = None
    graph: bool | None = None
    sources: tuple[str, ...] | None = None
    tools: tuple[str, ...] | None = None
    max_chunk_size: int | None = None

    @property
    def pinned_parts(self) -> tuple[str, ...]:
        """The names of the parts that the user stated."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is not None)

    @property
    def decided_parts(self) -> tuple[str, ...]:
        """The names of the parts that are the system's."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) is None)


TypeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Example = Annotated[str, Field(min_length=1, max_length=4_000)]
Examples = Annotated[tuple[Example, ...], Field(min_length=3)]


class Workflow(Stated):
    """A whole workflow file."""

    literal_keys = frozenset({"name", "version", "description"})

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")] = Field(
        description="a name of small letters, digits, _ and -, at most 64"
    )
    version: Annotated[str, Field(pattern=_VERSION)] = Field(description="a version such as 1.0.0")
    description: StrictStr | None = Field(default=None, description="a text")
    settings: StatedSettings = Field(default_factory=StatedSettings, description="auto or a mapping of settings")
    content_types: dict[TypeName, Examples] = Field(
        default_factory=dict,
        description="names of content types, each with a list of at least 3 examples",
    )
    workflow: Steps = Field(description="a mapping with nodes")

    @property
    def node(self) -> Node:
        """The only node."""
        return self.workflow.nodes[0]

    @property
    def pins(self) -> Pins:
        """What the user stated."""
        node, context = self.node, self.node.context
        return Pins(
            agent=node.agent,
            tier=node.model,
            retrieval=context.strategy,
            top_k=context.top_k,
            graph=context.graph,
            sources=context.sources,
            tools=node.tools,
            max_chunk_size=context.max_chunk_size,
        )

    @property
    def pinned_parts(self) -> tuple[str, ...]:
        """The names of the parts that the user stated."""
        return self.pins.pinned_parts

    @property
    def decided_parts(self) -> tuple[str, ...]:
        """The names of the parts that are the system's."""
        return self.pins.decided_parts

    @property
    def config_hash(self) -> str:
        """16 hexadecimal digits of SHA-256 over the content with its keys in order."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def serves(strategy: Strategy, pins: Pins) -> bool:
    """Whether the strategy obeys the pins that cannot be laid over it: agent, tier, retrieval.

    ``top_k``, ``graph``, ``sources`` and ``max_chunk_size`` modify any strategy instead.
    """
    wanted = (
        (pins.agent, strategy.agent),
        (pins.tier, strategy.tier),
        (pins.retrieval, strategy.retrieval),
    )
    return all(pinned in (None, offered) for pinned, offered in wanted)


def check_workflow(
    workflow: Workflow, catalogue: Catalogue | None, sources: Collection[str] | None
) -> tuple[Complaint, ...]:
    """What is wrong with a valid workflow given this catalogue and these sources (None: skip)."""
    complaints = []
    pins = workflow.pins
    if catalogue is not None and not any(serves(each, pins) for each in catalogue.strategies):
        complaints.append(_unserved(pins, catalogue))
    for index, name in enumerate(pins.sources or ()):
        if sources is not None and name not in sources:
            path = (*NODE_PATH, "context", "sources", index)
            known = tuple(sorted(sources))
            expected = f"a known source ({', '.join(known) or 'there are none'})"
            complaints.append(Complaint(path, name, expected, known))
    return tuple(complaints)


def _unserved(pins: Pins, catalogue: Catalogue) -> Complaint:
    stated = {"agent": pins.agent, "model": pins.tier, "context.strategy": pins.retrieval}
    pinned = {key: value for key, value in stated.items() if value is not None}
    listed = ", ".join(f"{key} {value}" for key, value in pinned.items()) or "no pins"
    key = next(reversed(pinned), "")
    path = (*NODE_PATH, *key.split(".")) if key else NODE_PATH
    return Complaint(
        path,
        pinned.get(key, AUTO),
        "a combination that a strategy of the catalogue can serve",
        reason=f"no strategy of the catalogue serves {listed} together; "
        f"it has {', '.join(catalogue.ids) or 'no strategies'}",
    )
