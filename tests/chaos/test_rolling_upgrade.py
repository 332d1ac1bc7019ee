"""Fault: a rolling upgrade to a release whose events have a field more, and back, role after role, under 100 requests a second.

Callers first and then down the stream: old readers meet new events at every hop. Then back, callers first again: the releases stand
beside each other as in an upgrade up the stream, and the older one finds in its tables what the newer one kept. Invariant: nothing
is lost, answered twice or paid twice, and nothing is dead-lettered. Bound: each role works again within 12 s.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from streams.codec import Codec
from streams.topics import STAGES
from tests.chaos_parts.reading import SCHEMAS_BY_MARK, known_schemas
from tests.chaos_parts.releases import FIELD, LaterCodec, Releases
from tests.chaos_parts.world import World, now_us

WITHIN_S = 12.0
LAST = 100
"""So many responses at the end are of the older release again, but for what is sent once more."""


def publish_schema(world: World, codec: LaterCodec) -> None:
    """What the later release's client does when it opens."""
    settings: dict[str, Any] = {"bootstrap.servers": world.node.bootstrap_servers, "log_level": 0}
    producer = Producer(settings)
    told = codec.published()
    producer.produce(world.deployment.topic("schemas"), key=told.fingerprint.encode(), value=codec.encode(told))
    assert producer.flush(20) == 0


def restarted(world: World, role: str) -> float:
    """Stop a role as a deploy does, and wait for another in its place; how long nothing came, in seconds."""
    told = world.pids(role)
    moment = world.kill(*told, by=signal.SIGTERM)
    world.await_others_in_place_of(told)
    world.await_flow()
    return world.recovery_s(moment, now_us())


@pytest.mark.chaos
@pytest.mark.timeout(400)
def test_two_releases_serve_side_by_side_until_the_last_role_is_upgraded_and_while_all_go_back(
    tmp_path: Path, own_world: Callable[..., World], seed: int, conclude: Any
) -> None:
    releases = Releases(tmp_path)
    SCHEMAS_BY_MARK.update(known_schemas(releases.later / "schemas"))
    with own_world(command=releases.command, operations={"orphan_wait_s": 600}) as world:
        load = world.load("rolling", seed)
        load.start()
        world.await_flow()
        later = LaterCodec(releases)
        publish_schema(world, later)
        recovery_s = 0.0
        for codec, changed in ((later, releases.upgrade), (Codec(), releases.go_back)):
            load.write_with(codec)
            world.await_flow()
            for role in STAGES:
                changed(role)
                recovery_s = max(recovery_s, restarted(world, role))
        verdict = world.verdict(load)
        letters = [entry.fields for role in STAGES for entry in world.reader.entries[f"{role}-dlq"]]
        assert not letters, letters[:3]
        newer = [FIELD in entry.fields for entry in world.reader.entries["responses"]]
        assert any(newer)
        assert not all(newer[-LAST:])
        conclude("rolling_upgrade", world, verdict, recovery_s=recovery_s, within_s=WITHIN_S)
