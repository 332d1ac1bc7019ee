"""How a question becomes a prompt: documents, passages, ranking, graph lookups, messages.

In: documents and a question. Out: the passages worth reading and the messages for a model. Kept:
indexes in memory, in `retrieval.KnowledgeBase`. Fails: each module says how. Only `documents` and
`provider` touch the world outside.
"""

import msgspec


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One text of a source. `document_id` is unique within a knowledge base."""

    document_id: str
    title: str
    text: str


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document, as a model gets it. `heading` is the path of headings, ` > ` between.

    `passage_id` is the document's id, `#`, and what is unique within the document.
    """

    passage_id: str
    document_id: str
    title: str
    heading: str
    text: str
