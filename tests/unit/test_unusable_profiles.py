"""A profile by which nothing can be decided is refused, and the router goes on with the one that it holds."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import msgspec
import numpy as np
import pytest

from agents.deciding.choosing import believed_of, by_heads
from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.governance import Floor
from agents.deciding.held import Held, Profile
from agents.deciding.learned import Unusable
from agents.deciding.prior import Estimate
from schemas import ProfileUpdated
from streams.codec import HEADER_BYTES, Codec
from streams.compacted import CompactedReader
from streams.delivery import Origin
from streams.errors import Code, Undecodable
from tests.chaos_parts.mutating import Mutating
from tests.deciding_parts import heads
from tests.event_examples import example

CODEC = Codec()
MUTATED = 3_000
SEED = 1
FLOOR = Floor(kind="relative", value=0.95)


def profile(**changes: Any) -> ProfileUpdated:
    event = example("ProfileUpdated")
    assert isinstance(event, ProfileUpdated)
    stated = msgspec.structs.replace(heads(), **changes)
    return msgspec.structs.replace(event, version=1, beliefs=(), heads=stated)


def floats(*numbers: float) -> bytes:
    return np.array(numbers, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"base": b"\x00"},
        {"base": floats(0.5)},
        {"base": floats(math.nan, 0, 0.5, 0)},
        {"cost": floats(*[1e30] * 54)},
        {"cost": floats(*[1e4] * 54)},
        {"strategies": ("one", "one")},
        {"strategies": ()},
        {"requests": (1,)},
        {"linear": -1},
        {"linear": EMBEDDED + 1},
        {"lens_offset": b""},
        {"radius": math.nan},
        {"cost_noise": -1.0},
        {"latency_noise": math.inf},
    ],
    ids="-".join,
)
def test_heads_that_cannot_be_used_are_refused(changes):
    assert Profile.of(profile()).heads is not None
    held = Held()
    with pytest.raises(Unusable):
        held.take_profile(profile(**changes))
    assert held.profile(profile().scope).version == 0


def test_a_belief_that_is_no_number_is_refused():
    whole = example("ProfileUpdated")
    assert isinstance(whole, ProfileUpdated)
    spoilt = msgspec.structs.replace(whole.beliefs[0], quality=math.nan)
    with pytest.raises(Unusable, match="no number"):
        Profile.of(msgspec.structs.replace(whole, beliefs=(spoilt,)))


def test_whatever_became_of_its_bytes_a_profile_decides_or_is_refused():
    counts = {"decided": 0, "refused": 0}
    features = np.linspace(-1, 1, PLAIN + EMBEDDED)
    for raw in Mutating(SEED, [CODEC.encode(profile())], header_bytes=HEADER_BYTES).messages(MUTATED):
        try:
            event = CODEC.decode(raw)
            assert isinstance(event, ProfileUpdated)
            held = Profile.of(event)
        except (Undecodable, Unusable):
            counts["refused"] += 1
            continue
        if held.heads is None:
            continue
        before = {name: Estimate(0.5, 0.1, 0.1, 0.001, 10.0, 1) for name in held.heads.heads.strategies}
        believed = believed_of(held.heads, features, before, FLOOR)
        choice = by_heads(believed, believed.estimates, floor=FLOOR, priority="balanced", exploration=0.05)
        assert math.isclose(math.fsum(choice.decision.probabilities.values()), 1.0)
        counts["decided"] += 1
    assert min(counts.values()) > MUTATED / 10, counts


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Undecodable("no profile", code=Code.INVALID_EVENT), Code.INVALID_EVENT),
        (ZeroDivisionError(), Code.HANDLER_FAILED),
    ],
)
def test_what_cannot_be_applied_goes_to_the_dead_letters_and_the_reader_goes_on(error, code):
    refused: list[tuple[Origin, Code]] = []

    def apply(event: Any) -> None:
        raise error

    async def refuse(origin: Origin, error: Undecodable) -> None:
        refused.append((origin, error.code))

    reader = CompactedReader(
        "profile-updates",
        name_on_broker="profile-updates",
        bootstrap_servers="localhost:1",
        codec=CODEC,
        apply=apply,
        refuse=refuse,
    )

    async def taken() -> None:
        refusal = await reader._take(0, 7, b"key", CODEC.encode(profile()))
        assert refusal is not None
        await refusal

    asyncio.run(taken())
    assert [(origin.offset, stated) for origin, stated in refused] == [(7, code)]
