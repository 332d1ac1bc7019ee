"""Whether a request can be read at all: its fields, their lengths, what its workflow's prompt needs.

Comes in: a request and its workflow. Goes out: nothing. Keeps nothing. Fails with ``Rejected``, which becomes ResponseFailed. Pure.
"""

from functools import lru_cache

import msgspec

from agents.deciding import policy
from agents.deciding.workflow import Workflow, prompt_variables
from schemas import RequestReceived
from streams.errors import Code, Rejected

MAX_MESSAGE_CHARACTERS = 65_536
MAX_DOCUMENTS_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 5 * 256 * 1024
"""A request with all its text; the plan that goes beside it in one event has the rest of MAX_EVENT_BYTES: 256 KiB."""
MAX_DEADLINE_MS = 3_600_000
"""An hour, as in the settings: for so long a request may hold a place in a generator."""
MAX_ID_CHARACTERS = 256
_ROLES = frozenset(("user", "assistant"))
MAX_NAME_CHARACTERS = 100
"""Of a name that nobody knows: what is quoted of it and compared with the known ones."""


def check_fields(request: RequestReceived, workflow: Workflow) -> None:
    """Raise ``Rejected`` where a field is missing, too long or not one of those there are."""
    wrong = None
    too_long = _first_too_long(request)
    if not request.request_id or not request.conversation_id:
        wrong = "request_id and conversation_id must not be empty"
    elif too_long:
        wrong = f"{too_long} has more than {MAX_ID_CHARACTERS} characters"
    elif request.priority is not None and request.priority not in policy.EXPONENTS:
        wrong = (
            f"priority is {request.priority[:MAX_NAME_CHARACTERS]!r}; it must be one of {', '.join(policy.EXPONENTS)}"
        )
    elif request.deadline_ms is not None and not 0 < request.deadline_ms <= MAX_DEADLINE_MS:
        wrong = f"deadline_ms is {request.deadline_ms}; it must be from 1 to {MAX_DEADLINE_MS}"
    elif not _ROLES.issuperset([turn.role for turn in request.history]):
        wrong = "history has a role that is neither user nor assistant"
    elif sum(len(document.text.encode()) for document in request.documents) > MAX_DOCUMENTS_BYTES:
        wrong = f"the documents have more than {MAX_DOCUMENTS_BYTES:,} bytes together"
    elif (size := len(msgspec.msgpack.encode(request))) > MAX_REQUEST_BYTES:
        wrong = f"it has {size:,} bytes in all; at most {MAX_REQUEST_BYTES:,} can be planned"
    else:
        missing = [name for name in _needed(workflow.node.prompt) if name not in request.variables]
        if missing:
            wrong = f"the workflow's prompt needs the variables {', '.join(missing)}"
    if wrong:
        raise Rejected(f"The request cannot be read: {wrong}.", code=Code.INVALID_REQUEST)


@lru_cache(maxsize=256)
def _needed(prompt: str) -> tuple[str, ...]:
    """The variables that a prompt needs beside the message; of prompts there are as many as workflows."""
    return tuple(name for name in prompt_variables(prompt) if name != "message")


def _first_too_long(request: RequestReceived) -> str | None:
    for part, text in (
        ("tenant", request.tenant),
        ("conversation_id", request.conversation_id),
        ("request_id", request.request_id),
    ):
        if len(text) > MAX_ID_CHARACTERS:
            return part
    for document in request.documents:
        for part, text in (("a document_id", document.document_id), ("a title", document.title)):
            if len(text) > MAX_ID_CHARACTERS:
                return part
    return None
