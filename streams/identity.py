"""Identities: the same cause always gives the same event id, the same request always the same draw.

In: the strings that caused an event. Out: 128-bit ids as 32 hexadecimal digits (BLAKE2b) and draws in [0, 1); the ids that an event
carries. Keeps nothing, cannot fail. Parts are length-prefixed before hashing, so ``("ab", "c")`` and ``("a", "bc")`` differ.
"""

from hashlib import blake2b

_DRAW_BITS = 53


def _digest(parts: tuple[str, ...], size: int) -> bytes:
    raws = [part.encode("utf-8", "surrogatepass") for part in parts]
    told = b"".join([piece for raw in raws for piece in (len(raw).to_bytes(8, "big"), raw)])
    return blake2b(told, digest_size=size).digest()


def event_id(event: str, *cause: str) -> str:
    """Give the id of the event of type ``event`` that ``cause`` led to: 32 hexadecimal digits."""
    return _digest((event, *cause), 16).hex()


def draw(tenant: str, conversation_id: str, request_id: str, purpose: str = "strategy") -> float:
    """Give the number in [0, 1) that decides for a request; uniform over requests, the same for a repeat."""
    whole = int.from_bytes(_digest((purpose, tenant, conversation_id, request_id), 8), "big")
    return (whole >> (64 - _DRAW_BITS)) / (1 << _DRAW_BITS)


def ids_of(event: object) -> dict[str, str]:
    """Give the ids by which an event and the request it is about are found again; nothing else of it."""
    owner = getattr(event, "request", event)
    found = {name: getattr(owner, name, None) for name in ("tenant", "conversation_id", "request_id")}
    found["event_id"] = getattr(event, "event_id", None)
    return {name: value for name, value in found.items() if isinstance(value, str)}
