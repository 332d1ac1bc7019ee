"""The library: what the generator searches, the operator's sources and the documents that a request carries.

In: folders by source name; then a request and a step. Out: the passages for the model, and how long finding them took.
Keeps an index for each combination of sources, read again in the background when files changed, looked at every 30 s at
most; and small indexes of the requests' own documents by their content. Fails with ``SourceUnreadable`` where a source
cannot be read the first time (later the old index goes on answering, and the reason is logged) and ``UnknownSource``
for a name that the settings do not have.

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
OWN_INDEXES_KEPT = 32
THREADS = 4

T = TypeVar("T")
Sources = tuple[str, ...]
Signature = tuple[tuple[str, int, int], ...]


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
        self._own: OrderedDict[bytes, KnowledgeBase] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="library")
        self._log = logger(part="library")

    async def search(self, request: RequestReceived, question: str, step: Step, overrides: Overrides) -> Found:
        """The passages for a step: the sources' and the request's own documents', in turn, the request's first."""
        bases = [self._given(request.documents)] if request.documents else []
        if step.sources:
            bases.append(await self._shelf(tuple(sorted(set(step.sources)))))
        history = [{"role": turn.role, "content": turn.text} for turn in request.history]
        graph = step.graph and not overrides.disable_graph_queries
        sizes = [size for size in (step.max_chunk_size, overrides.max_chunk_size) if size is not None]
        size = min(sizes, default=None)
        most = step.top_k + ((step.top_k + 1) // 2 if graph else 0)

        def look_up() -> Found:
            begun_us = self._clock()
            each = [base.search(question, history, step.retrieval, step.top_k, graph, size) for base in bases]
            in_turn = [p for p in chain.from_iterable(zip_longest(*each)) if p is not None]
            return Found(tuple(in_turn[:most]), (self._clock() - begun_us) / 1_000)

        return await self._in_thread(look_up)

    async def warm(self) -> None:
        """Read every source now. Raises SourceUnreadable."""
        for name in self._folders:
            await self._shelf((name,))

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _given(self, documents: Sequence[GivenDocument]) -> KnowledgeBase:
        name = hashlib.sha256(msgspec.msgpack.encode(documents)).digest()
        base = self._own.pop(name, None)
        if base is None:
            given = [
                Document(document_id=d.document_id, title=d.title or d.document_id, text=d.text) for d in documents
            ]
            base = KnowledgeBase(given, self._encoder)
        self._own[name] = base
        while len(self._own) > OWN_INDEXES_KEPT:
            self._own.popitem(last=False)
        return base

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
                shelf.base = await self._in_thread(lambda: self._read(sources))
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
        return tuple(sorted((str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stated))

    def _read(self, sources: Sources) -> KnowledgeBase:
        documents = [
            msgspec.structs.replace(document, document_id=f"{name}/{document.document_id}")
            for name in sources
            for document in load_folder(self._folder(name))
        ]
        base = KnowledgeBase(documents, self._encoder)
        base.warm()
        return base

    def _folder(self, name: str) -> Path:
        folder = self._folders.get(name)
        if folder is None:
            raise UnknownSource(name)
        return folder

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
