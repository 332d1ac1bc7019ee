"""The environment under which roles call a model server of the tests' own, as they would a hosted one."""

from __future__ import annotations

PRICE = "1/1"
"""US dollars for a million tokens, in and out."""


def hosted_at(base_url: str, *, price: str = PRICE) -> dict[str, str]:
    """The variables that make a server at this address the provider of every tier; no proxy stands in between."""
    return {
        "PENSTOCK_PROVIDER": "openai",
        "OPENAI_API_KEY": "a test's",
        "OPENAI_BASE_URL": base_url,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **{f"PENSTOCK_PRICE_{tier}": price for tier in ("SIMPLE", "BALANCED", "PREMIUM")},
    }
