"""Which version of two a conversation is given: the same on every worker, for all of its requests, without any memory.

Comes in: an experiment's name, the tenant, the conversation, the share of the new version. Goes out: whether the conversation
gets the new one. Keeps nothing, cannot fail. Pure.

How it works. The conversation has a place in [0, 1) by a hash of the experiment's name and itself, and gets the new version where
its place is below the share. So a larger share keeps whoever had the new version already (sticky), another experiment divides the
conversations anew, and the place tells nothing about the draw that chooses a strategy.
"""

from streams.identity import draw


def place(experiment: str, tenant: str, conversation_id: str) -> float:
    """The conversation's place in [0, 1)."""
    return draw(tenant, conversation_id, "", purpose=f"experiment:{experiment}")


def gets_new(experiment: str, tenant: str, conversation_id: str, share: float) -> bool:
    """Whether the conversation gets the new version while this share of the conversations does."""
    return place(experiment, tenant, conversation_id) < share
