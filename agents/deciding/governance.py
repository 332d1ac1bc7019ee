"""The levels of the settings: defaults, environment, workflow, and the emergency overrides.

Comes in: what each level states (a ``GovernanceFile``, a workflow's own settings, the overrides
from the controls topic). Goes out: ``Effective``, the value of every key and the level it came
from, for the explanation. Keeps nothing. Fails with ``UnknownEnvironmentError``; a value
that is out of range is refused when the file is validated. Pure.

The more specific level wins: built in < defaults < environments.<name> < workflow < overrides.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from agents.deciding.mistakes import Stated, nearest_names, refused
from agents.deciding.service_levels import ServiceLevels
from streams.limit import Limit

EnvironmentName = Literal["production", "conservative", "experimental"]
ENVIRONMENTS: tuple[str, ...] = get_args(EnvironmentName)
FLOOR_EXPECTED = "a number from 0 to 1, or {relative: a number from 0 to 1}"


@dataclass(frozen=True)
class Floor:
    """The lowest quality that is good enough, in [0, 1].

    ``absolute``: a reward. ``relative``: a share of the best strategy's expected reward.
    """

    kind: Literal["absolute", "relative"]
    value: float

    def threshold(self, best_quality: float) -> float:
        """The reward in [0, 1] that a strategy must reach where the best one reaches this."""
        return self.value if self.kind == "absolute" else self.value * best_quality


def read_floor(content: Any) -> Any:
    """A floor from ``0.8``, ``{absolute: 0.8}`` or ``{relative: 0.95}``."""
    if content is None or isinstance(content, Floor):
        return content
    kind: Literal["absolute", "relative"] = "absolute"
    value = content
    if isinstance(content, dict) and len(content) == 1:
        if "relative" in content:
            kind, value = "relative", content["relative"]
        elif "absolute" in content:
            value = content["absolute"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise refused(FLOOR_EXPECTED)
    return Floor(kind, float(value))


class StatedSettings(Stated):
    """What one level states; a key that it leaves out (None) is the level's below."""

    auto_optimization: StrictBool | None = Field(default=None, description="true or false")
    learning_enabled: StrictBool | None = Field(default=None, description="true or false")
    cost_ceiling_usd: Annotated[float, Field(strict=True, ge=0, le=10_000)] | None = Field(
        default=None, description="an amount in USD for a conversation, from 0 to 10000"
    )
    quality_floor: Annotated[Floor | None, BeforeValidator(read_floor)] = Field(
        default=None, description=FLOOR_EXPECTED
    )
    exploration: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        default=None, description="a number from 0 to 1"
    )
    fallback_to_simple: StrictBool | None = Field(default=None, description="true or false")
    deadline_ms: Annotated[StrictInt, Field(ge=1, le=3_600_000)] | None = Field(
        default=None, description="whole milliseconds from 1 to 3600000"
    )
    detect_personal_data: StrictBool | None = Field(default=None, description="true or false")


@dataclass(frozen=True)
class Settings:
    """The settings in force for one request; the defaults here are the built-in ones."""

    auto_optimization: bool = True
    learning_enabled: bool = True
    cost_ceiling_usd: float = 0.10
    quality_floor: Floor = Floor("absolute", 0.80)
    exploration: float = 0.05
    fallback_to_simple: bool = True
    deadline_ms: int = 30_000
    detect_personal_data: bool = True


@dataclass(frozen=True)
class Overrides:
    """The emergency switches; ``max_chunk_size`` is in characters, None leaves it alone."""

    force_simple_agents: bool = False
    disable_graph_queries: bool = False
    max_chunk_size: int | None = None

    def __post_init__(self) -> None:
        if self.max_chunk_size is not None and self.max_chunk_size < 1:
            raise ValueError(f"max_chunk_size is {self.max_chunk_size}; it must be at least 1")

    @property
    def active(self) -> tuple[str, ...]:
        """The names of the switches that are on."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return tuple(name for name, value in named if value is not None and value is not False)


@dataclass(frozen=True)
class Environment:
    """An environment and what it states."""

    name: str = "production"
    stated: StatedSettings = field(default_factory=StatedSettings)


@dataclass(frozen=True)
class Effective:
    """The settings and overrides in force, and for every key the level it came from.

    ``origins`` holds each key of ``Settings`` with ``built in``, ``defaults``,
    ``environments.<name>`` or ``workflow``; and each key of ``Overrides`` that is on, with
    ``overrides``.
    """

    settings: Settings
    overrides: Overrides
    origins: Mapping[str, str]


class UnknownEnvironmentError(ValueError):
    """There is no such environment. ``name``: what was asked for; ``nearest``: similar ones."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = nearest_names(name, ENVIRONMENTS)
        hint = f"; did you mean {self.nearest[0]}?" if self.nearest else ""
        super().__init__(f"unknown environment {name!r}; known: {', '.join(ENVIRONMENTS)}{hint}")


def resolve(
    defaults: StatedSettings,
    environment: Environment,
    workflow_settings: StatedSettings,
    overrides: Overrides,
) -> Effective:
    """Lay the levels over each other, key by key."""
    levels = (
        ("defaults", defaults),
        (f"environments.{environment.name}", environment.stated),
        ("workflow", workflow_settings),
    )
    built_in = Settings()
    values: dict[str, Any] = {each.name: getattr(built_in, each.name) for each in fields(Settings)}
    origins = dict.fromkeys(values, "built in")
    for level, stated in levels:
        for key in values:
            value = getattr(stated, key)
            if value is not None:
                values[key], origins[key] = value, level
    origins.update(dict.fromkeys(overrides.active, "overrides"))
    return Effective(Settings(**values), overrides, origins)


class Source(Stated):
    """Where documents are: a folder of .md and .txt files, relative to the project's root."""

    literal_keys = frozenset({"path"})

    path: Annotated[str, Field(min_length=1)] = Field(description="a folder of .md and .txt files")


Seconds = Annotated[float, Field(strict=True, ge=0, le=2_592_000)]
SECONDS = "seconds, from 0 to 2592000 (30 days)"
HALF_MONTH = "seconds, from 0 to 1296000 (15 days: twice as long is what the broker keeps of it)"
WEEK = "seconds, from 0 to 604800 (7 days: as long as the broker keeps texts)"


class DeadLetters(Stated):
    """How many events of a topic a stage may dead-letter within a window before it pauses (streams/limit.py)."""

    most: Annotated[StrictInt, Field(ge=0, le=1_000_000_000)] = Field(
        default=100, description="a whole number from 0 to 1000000000"
    )
    share: Annotated[float, Field(strict=True, ge=0, le=1)] = Field(default=0.2, description="a number from 0 to 1")
    window_s: Annotated[float, Field(strict=True, ge=1, le=86_400)] = Field(
        default=60.0, description="seconds, from 1 to 86400"
    )

    @property
    def limit(self) -> Limit:
        """As the stages take it."""
        return Limit(most=self.most, share=self.share, window_s=self.window_s)


class Operations(Stated):
    """How long the stages wait and keep, in seconds, how many partitions new topics get, and when a stage pauses."""

    rating_wait_s: Seconds = Field(default=10.0, description=SECONDS)
    feedback_window_s: Annotated[float, Field(strict=True, ge=0, le=1_296_000)] = Field(
        default=86_400.0, description=HALF_MONTH
    )
    orphan_wait_s: Seconds = Field(default=30.0, description=SECONDS)
    finished_window_s: Annotated[float, Field(strict=True, ge=0, le=604_800)] = Field(
        default=86_400.0, description=WEEK
    )
    partitions: Annotated[StrictInt, Field(ge=1, le=1024)] = Field(
        default=8, description="a whole number from 1 to 1024"
    )
    dead_letters: DeadLetters = Field(default_factory=DeadLetters, description="a mapping of most, share and window_s")
    slo: ServiceLevels = Field(default_factory=ServiceLevels, description="a mapping of service levels")


SourceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]


class GovernanceFile(Stated):
    """infra/penstock.yaml: the settings' levels, the operation and the sources."""

    defaults: StatedSettings = Field(default_factory=StatedSettings, description="a mapping of settings")
    environments: dict[EnvironmentName, StatedSettings] = Field(
        default_factory=dict, description="production, conservative or experimental: settings"
    )
    operations: Operations = Field(default_factory=Operations, description="a mapping of waits")
    sources: dict[SourceName, Source] = Field(
        default_factory=dict,
        description="names (small letters, digits, _ and -) of sources, each {path: folder}",
    )

    def environment(self, name: str) -> Environment:
        """The environment of this name, empty if the file leaves it out.

        Raises UnknownEnvironmentError.
        """
        for known in get_args(EnvironmentName):
            if known == name:
                return Environment(name, self.environments.get(known, StatedSettings()))
        raise UnknownEnvironmentError(name)

    def effective(self, environment: str, workflow_settings: StatedSettings, overrides: Overrides) -> Effective:
        """``resolve`` with this file's levels. Raises UnknownEnvironmentError."""
        return resolve(self.defaults, self.environment(environment), workflow_settings, overrides)
