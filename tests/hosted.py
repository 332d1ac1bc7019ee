"""What the tests' own model servers share: the environment under which roles call them, and an answer in OpenAI's protocol."""

from __future__ import annotations

from typing import Any

PRICE = "1/1"
"""US dollars for a million tokens, in and out."""
TOKENS = 10
"""What every question and every answer has."""


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


def completion(model: str, text: str) -> dict[str, Any]:
    """A whole answer to a chat call."""
    return {
        "id": "chat",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": TOKENS, "completion_tokens": TOKENS, "total_tokens": 2 * TOKENS},
    }
