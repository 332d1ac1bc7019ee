"""Identities: the same cause always gives the same event id, the same request always the same draw.

In: the strings that caused an event. Out: 128-bit ids as 32 hexadecimal digits (BLAKE2b) and draws in [0, 1). Keeps nothing,
cannot fail. Parts are length-prefixed before hashing, so ``("ab", "c")`` and ``("a", "bc")`` differ.
"""

from hashlib import blake2b

_DRAW_BITS = 53


def _digest(parts: tuple[str, ...], size: int) -> bytes:
    state = blake2b(digest_size=size)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(8, "big"))
        state.update(raw)
    return state.digest()


def event_id(event: str, *cause: str) -> str:
    """Give the id of the event of type ``event`` that ``cause`` led to: 32 hexadecimal digits."""
    return _digest((event, *cause), 16).hex()


def draw(tenant: str, conversation_id: str, request_id: str, purpose: str = "strategy") -> float:
    """Give the number in [0, 1) that decides for a request; uniform over requests, the same for a repeat."""
    whole = int.from_bytes(_digest((purpose, tenant, conversation_id, request_id), 8), "big")
    return (whole >> (64 - _DRAW_BITS)) / (1 << _DRAW_BITS)
