"""Fault: a rolling upgrade to a release whose events have a field more, a role after the other, under 100 requests a second.

In both orders: callers first and then down the stream (old readers meet new events at every hop), and up the stream with the
callers last. Invariant: nothing is lost, answered twice or paid twice, and nothing is dead-lettered. Bound: each role works again
within 12 s.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.topics import STAGES
from tests.chaos_parts.reading import SCHEMAS_BY_MARK, known_schemas
from tests.chaos_parts.releases import FIELD, LaterCodec, Releases
from tests.chaos_parts.world import World, now_us
from tests.waiting import eventually

WITHIN_S = 12.0
DOWN = ("caller", *STAGES)
ORDERS = {"rolling_upgrade_down": DOWN, "rolling_upgrade_up": tuple(reversed(DOWN))}


def publish_schema(world: World, codec: LaterCodec) -> None:
    """What the later release's client does when it opens."""
    settings: dict[str, Any] = {"bootstrap.servers": world.node.bootstrap_servers, "log_level": 0}
    producer = Producer(settings)
    told = codec.published()
    producer.produce(world.deployment.topic("schemas"), key=told.fingerprint.encode(), value=codec.encode(told))
    assert producer.flush(20) == 0


def upgrade(world: World, releases: Releases, role: str) -> float:
    """Stop a role as a deploy does, and wait for the later release in its place; how long nothing came, in seconds."""
    releases.upgrade(role)
    told = world.pids(role)
    moment = world.kill(*told, by=signal.SIGTERM)
    eventually(lambda: not set(told) & set(world.pids()), WITHIN_S, describe=f"the end of the {role}")
    world.fault()  # until here it may have begun a call that it did not end
    world.await_others_in_place_of(told)
    world.await_flow()
    return world.recovery_s(moment, now_us())


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ORDERS)
def test_two_releases_serve_side_by_side_until_the_last_role_is_upgraded(
    name: str, tmp_path: Path, own_world: Callable[..., World], seed: int, conclude: Any
) -> None:
    releases = Releases(tmp_path)
    SCHEMAS_BY_MARK.update(known_schemas(releases.later / "schemas"))
    with own_world(command=releases.command, operations={"orphan_wait_s": 600}) as world:
        load = world.load(name, seed)
        load.start()
        world.await_flow()
        recovery_s = 0.0
        for role in ORDERS[name]:
            if role == "caller":
                codec = LaterCodec(releases)
                publish_schema(world, codec)
                load.write_with(codec)
                world.await_flow()
            else:
                recovery_s = max(recovery_s, upgrade(world, releases, role))
        verdict = world.verdict(load)
        letters = [entry.fields for role in STAGES for entry in world.reader.entries[f"{role}-dlq"]]
        assert not letters, letters[:3]
        newer = [entry for entry in world.reader.entries["responses"] if FIELD in entry.fields]
        assert newer
        conclude(name, world, verdict, recovery_s=recovery_s, within_s=WITHIN_S)
