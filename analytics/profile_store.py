"""Profiles and operator's orders in the private file: what the learner must not lose between two steps.

In: profiles and orders of a batch, and profiles that the learner returned. Out: what is still to be published, and
the orders not answered yet. Kept in the tables ``profile``, ``pending_control`` and ``held_scope``; every function
but ``mark_published`` runs inside the caller's transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from analytics.intake import Order, PastProfile
from schemas import ProfileUpdated, Record, RollbackOrdered
from streams.codec import Codec


@dataclass(frozen=True, slots=True)
class UnpublishedProfile:
    """A profile on its way to Kafka, byte for byte."""

    scope: str
    version: int
    payload: bytes


def take_orders(connection: duckdb.DuckDBPyConnection, orders: Iterable[Order]) -> None:
    """Keep orders for the learner's next step, and hold or release their scopes."""
    for order in orders:
        connection.execute(
            "INSERT INTO pending_control VALUES (?, ?, ?)",
            [order.message.partition, order.message.offset, order.message.value],
        )
        event = order.event
        scope: str = event.scope  # type: ignore[attr-defined]
        to_version = event.to_version if isinstance(event, RollbackOrdered) else None
        hold_or_release(connection, scope, to_version, event.occurred_at_us)


def hold_or_release(
    connection: duckdb.DuckDBPyConnection, scope: str, to_version: int | None, occurred_at_us: int
) -> None:
    """Hold a scope at a version, or, with None, let it learn again."""
    connection.execute("DELETE FROM held_scope WHERE scope = ?", [scope])
    if to_version is not None:
        connection.execute("INSERT INTO held_scope VALUES (?, ?, ?)", [scope, to_version, occurred_at_us])


def pending_orders(connection: duckdb.DuckDBPyConnection, codec: Codec) -> list[Record]:
    """List the orders that no step has answered, in log order."""
    rows = connection.execute("SELECT payload FROM pending_control ORDER BY partition, log_offset").fetchall()
    return [codec.decode(payload) for (payload,) in rows]


def forget_orders(connection: duckdb.DuckDBPyConnection) -> None:
    """Forget the pending orders: the step in this transaction answered them."""
    connection.execute("DELETE FROM pending_control")


def take_past_profiles(connection: duckdb.DuckDBPyConnection, profiles: Iterable[PastProfile]) -> None:
    """Note profiles that the history holds; a version that is known already stays and counts as published."""
    for profile in profiles:
        connection.execute(
            """
            INSERT INTO profile VALUES (?, ?, ?, ?, true, ?, ?)
            ON CONFLICT DO NOTHING
            """,
            [
                profile.scope,
                profile.version,
                profile.parent,
                profile.event_id,
                profile.payload,
                profile.created_at_us,
            ],
        )


def insert_profiles(connection: duckdb.DuckDBPyConnection, profiles: Iterable[ProfileUpdated], codec: Codec) -> int:
    """Insert new profiles as not published; how many. A version that exists is a ``duckdb.ConstraintException``."""
    count = 0
    for profile in profiles:
        connection.execute(
            "INSERT INTO profile VALUES (?, ?, ?, ?, false, ?, ?)",
            [
                profile.scope,
                profile.version,
                profile.parent,
                profile.event_id,
                codec.encode(profile),
                profile.occurred_at_us,
            ],
        )
        count += 1
    return count


def unpublished_profiles(connection: duckdb.DuckDBPyConnection) -> list[UnpublishedProfile]:
    """List what is to be published, by scope and version."""
    rows = connection.execute(
        "SELECT scope, version, payload FROM profile WHERE NOT published ORDER BY scope, version"
    ).fetchall()
    return [UnpublishedProfile(*row) for row in rows]


def mark_published(connection: duckdb.DuckDBPyConnection, profile: UnpublishedProfile) -> None:
    """Note that both topics have confirmed a profile."""
    connection.execute(
        "UPDATE profile SET published = true WHERE scope = ? AND version = ?",
        [profile.scope, profile.version],
    )
