"""Whether a request can be read at all: its fields, their lengths, what its workflow's prompt needs.

Comes in: a request and its workflow. Goes out: nothing. Keeps nothing. Fails with ``Rejected``, which becomes ResponseFailed. Pure.
"""

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
    elif any(turn.role not in ("user", "assistant") for turn in request.history):
        wrong = "history has a role that is neither user nor assistant"
    elif sum(len(document.text.encode()) for document in request.documents) > MAX_DOCUMENTS_BYTES:
        wrong = f"the documents have more than {MAX_DOCUMENTS_BYTES:,} bytes together"
    elif (size := len(msgspec.msgpack.encode(request))) > MAX_REQUEST_BYTES:
        wrong = f"it has {size:,} bytes in all; at most {MAX_REQUEST_BYTES:,} can be planned"
    else:
        needed = [name for name in prompt_variables(workflow.node.prompt) if name != "message"]
        missing = [name for name in needed if name not in request.variables]
        if missing:
            wrong = f"the workflow's prompt needs the variables {', '.join(missing)}"
    if wrong:
        raise Rejected(f"The request cannot be read: {wrong}.", code=Code.INVALID_REQUEST)


def _first_too_long(request: RequestReceived) -> str | None:
    ids = (("tenant", request.tenant), ("conversation_id", request.conversation_id), ("request_id", request.request_id))
    documents = (
        (part, text)
        for d in request.documents
        for part, text in (("a document_id", d.document_id), ("a title", d.title))
    )
    return next((part for part, text in (*ids, *documents) if len(text) > MAX_ID_CHARACTERS), None)
