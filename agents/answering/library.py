"""The library: what the generator searches, the operator's sources and the documents that a request carries.

In: folders by source name; then a request and a step. Out: the passages for the model, and how long finding them took.
Keeps an index for each combination of sources, read again in the background when files changed, looked at every 30 s at
most; and indexes of the requests' own documents by their content, one for each retrieval asked for, the newest up to
4 MiB of documents and 16,384 passages in all: what exceeds that alone is let go after its search. Fails with
``SourceUnreadable`` where a source's folder cannot be listed the first time (later the old index goes on answering, and
the reason is logged) and ``UnknownSource`` for a name that the settings do not have. A file that cannot be read is
logged with its reason and left out; what was read of it before stays.

Searching is a few milliseconds of CPU, so it happens in threads; the event loop stays free. A document's id is
``SOURCE/PATH``.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

import msgspec

from agents.answering import Document, Passage
from agents.answering.documents import SUFFIXES, SourceUnreadable, load_folder
from agents.answering.retrieval import KnowledgeBase
from agents.deciding.governance import Overrides
from agents.encoding.encoder import Encoder
from schemas import GivenDocument, RequestReceived, Step
from streams.logs import logger

LOOK_AGAIN_S = 30.0
OWN_BYTES_KEPT = 4 * 1024 * 1024
OWN_PASSAGES_KEPT = 16_384
THREADS = 4

T = TypeVar("T")
Sources = tuple[str, ...]
Signature = tuple[tuple[str, int, int], ...]
OwnKey = tuple[bytes, str, int | None]


class UnknownSource(LookupError):
    """A plan names a source that the settings do not have."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"source {name} is not in the settings")


@dataclass(frozen=True)
class Found:
    """Passages, the best first; ``retrieval_ms`` is the time of the search itself."""

    passages: tuple[Passage, ...]
    retrieval_ms: float


@dataclass
class _Own:
    """An index of a request's own documents; `passages` is 0 until it was made."""

    base: KnowledgeBase
    size_bytes: int
    passages: int = 0


@dataclass
class _Shelf:
    base: KnowledgeBase
    signature: Signature
    looked_at_us: int
    looking: asyncio.Task[None] | None = None


class Library:
    """Searches sources and given documents."""

    def __init__(self, folders: Mapping[str, Path], encoder: Encoder, *, clock: Callable[[], int]) -> None:
        """``folders`` by source name; ``clock`` gives microseconds since 1970."""
        self._folders = dict(folders)
        self._encoder = encoder
        self._clock = clock
        self._shelves: dict[Sources, _Shelf] = {}
        self._opening: dict[Sources, asyncio.Task[_Shelf]] = {}
        self._own: OrderedDict[OwnKey, _Own] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="library")
        self._log = logger(part="library")

    async def search(self, request: RequestReceived, question: str, step: Step, overrides: Overrides) -> Found:
        """The passages for a step: the sources' and the request's own documents', in turn, the request's first."""
        sizes = [size for size in (step.max_chunk_size, overrides.max_chunk_size) if size is not None]
        size = min(sizes, default=None)
        own = self._given(request.documents, step.retrieval, size) if request.documents else None
        bases = [own.base] if own else []
        if step.sources:
            bases.append(await self._shelf(tuple(sorted(set(step.sources)))))
        if not bases:
            return Found((), 0.0)  # without a thread's way there and back
        history = [{"role": turn.role, "content": turn.text} for turn in request.history]
        graph = step.graph and not overrides.disable_graph_queries
        most = step.top_k + ((step.top_k + 1) // 2 if graph else 0)

        def look_up() -> Found:
            begun_us = self._clock()
            each = [base.search(question, history, step.retrieval, step.top_k, graph, size) for base in bases]
            in_turn = [p for p in chain.from_iterable(zip_longest(*each)) if p is not None]
            return Found(tuple(in_turn[:most]), (self._clock() - begun_us) / 1_000)

        found = await self._in_thread(look_up)
        if own:
            own.passages = own.base.passages
            self._let_go()
        return found

    @property
    def own_kept(self) -> tuple[int, int, int]:
        """How many indexes of requests' documents are kept, their documents' bytes and their passages."""
        kept = self._own.values()
        return len(kept), sum(own.size_bytes for own in kept), sum(own.passages for own in kept)

    async def warm(self) -> None:
        """Read every source now, without the files that cannot be read. Raises SourceUnreadable."""
        for name in self._folders:
            await self._shelf((name,))

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _given(self, documents: Sequence[GivenDocument], retrieval: str, size: int | None) -> _Own:
        packed = msgspec.msgpack.encode(documents)
        key = (hashlib.sha256(packed).digest(), retrieval, size)
        own = self._own.pop(key, None)
        if own is None:
            given = [
                Document(document_id=d.document_id, title=d.title or d.document_id, text=d.text) for d in documents
            ]
            own = _Own(KnowledgeBase(given, self._encoder), len(packed))
        self._own[key] = own
        self._let_go()
        return own

    def _let_go(self) -> None:
        """Keep what fits, the newest first; what does not fit even alone is not kept at all."""
        left_bytes, left_passages = OWN_BYTES_KEPT, OWN_PASSAGES_KEPT
        for key, own in reversed(tuple(self._own.items())):
            if own.size_bytes > left_bytes or own.passages > left_passages:
                del self._own[key]
            else:
                left_bytes -= own.size_bytes
                left_passages -= own.passages

    async def _shelf(self, sources: Sources) -> KnowledgeBase:
        shelf = self._shelves.get(sources)
        if shelf is None:
            opening = self._opening.get(sources)
            if opening is None:
                opening = self._opening[sources] = asyncio.create_task(self._open(sources))
                opening.add_done_callback(lambda _: self._opening.pop(sources, None))
            return (await asyncio.shield(opening)).base
        due = self._clock() - shelf.looked_at_us >= LOOK_AGAIN_S * 1e6
        if due and (shelf.looking is None or shelf.looking.done()):
            shelf.looked_at_us = self._clock()
            shelf.looking = asyncio.create_task(self._look_again(sources, shelf))
        return shelf.base

    async def _open(self, sources: Sources) -> _Shelf:
        signature, base = await self._in_thread(lambda: (self._signature(sources), self._read(sources)))
        shelf = self._shelves[sources] = _Shelf(base, signature, self._clock())
        return shelf

    async def _look_again(self, sources: Sources, shelf: _Shelf) -> None:
        try:
            signature = await self._in_thread(lambda: self._signature(sources))
            if signature != shelf.signature:
                shelf.base = await self._in_thread(lambda: self._read(sources, shelf.base.documents))
                shelf.signature = signature
                self._log.info("source_read_again", sources=sources, files=len(signature))
        except (SourceUnreadable, OSError) as error:
            self._log.error("source_unreadable", sources=sources, error=str(error))

    def _signature(self, sources: Sources) -> Signature:
        files = (
            file
            for name in sources
            for file in self._folder(name).rglob("*")
            if file.suffix.lower() in SUFFIXES and file.is_file()
        )
        stated = ((file, file.stat()) for file in files)
        return tuple(
            sorted((str(file), max(stat.st_mtime_ns, stat.st_ctime_ns), stat.st_size) for file, stat in stated)
        )

    def _read(self, sources: Sources, before: Sequence[Document] = ()) -> KnowledgeBase:
        known = {document.document_id: document for document in before}
        documents: list[Document] = []
        for name in sources:
            loaded = load_folder(self._folder(name))
            documents.extend(
                msgspec.structs.replace(document, document_id=f"{name}/{document.document_id}")
                for document in loaded.documents
            )
            for unread in loaded.unread:
                earlier = known.get(f"{name}/{unread.document_id}")
                if earlier:
                    documents.append(earlier)
                self._log.error(
                    "file_unreadable",
                    source=name,
                    file=unread.document_id,
                    reason=unread.reason,
                    kept_as_read_before=earlier is not None,
                )
            self._log.info("source_read", source=name, files=len(loaded.documents), unreadable=len(loaded.unread))
        base = KnowledgeBase(sorted(documents, key=lambda document: document.document_id), self._encoder)
        base.warm()
        return base

    def _folder(self, name: str) -> Path:
        folder = self._folders.get(name)
        if folder is None:
            raise UnknownSource(name)
        return folder

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
