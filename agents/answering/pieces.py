"""Pieces of an answer, put together so that a streamed answer costs at most about twenty events a second.

In: pieces as a model sends them. Out: ``ChunkGenerated`` events, numbered from 0 within a step. Keeps the text since
the last event. Fails with nothing: a broker that takes no piece ends the streaming of this request, because its
terminal response repeats the whole text, and an exception here would make the provider be asked, and paid, again.
"""

from collections.abc import Awaitable, Callable

from schemas import ChunkGenerated, RequestRouted
from streams.identity import event_id
from streams.logs import described, logger

INTERVAL_US = 50_000


class Pieces:
    """The pieces of one request's answer."""

    def __init__(
        self,
        routed: RequestRouted,
        publish: Callable[[ChunkGenerated], Awaitable[None]],
        clock: Callable[[], int],
    ) -> None:
        """``clock`` gives microseconds since 1970."""
        self._routed = routed
        self._publish = publish
        self._clock = clock
        self._step = -1
        self._index = 0
        self._text = ""
        self._published_at_us = 0
        self._given_up = False

    def may_stream(self, step: int) -> bool:
        """Whether pieces of this step may be published: no piece of it, or of a later step, was yet.

        A try after a broken stream would give other pieces under the same numbers.
        """
        return not self._given_up and step > self._step

    async def take(self, step: int, text: str) -> None:
        """Take a piece of a step's answer."""
        if step != self._step:
            self._step, self._index, self._text = step, 0, ""
            self._published_at_us = 0
        self._text += text
        if self._clock() - self._published_at_us >= INTERVAL_US:
            await self.flush()

    async def flush(self) -> None:
        """Publish what is left."""
        if not self._text or self._given_up:
            return
        now_us = self._clock()
        request = self._routed.request
        chunk = ChunkGenerated(
            event_id=event_id("Chunk", self._routed.event_id, str(self._step), str(self._index)),
            occurred_at_us=now_us,
            tenant=request.tenant,
            conversation_id=request.conversation_id,
            request_id=request.request_id,
            step=self._step,
            index=self._index,
            text=self._text,
        )
        self._text, self._index, self._published_at_us = "", self._index + 1, now_us
        try:
            await self._publish(chunk)
        except Exception as error:  # noqa: BLE001 - see the module: the answer must not be paid twice for a lost piece
            self._given_up = True
            logger(part="pieces").warning("streaming_ended", request_id=request.request_id, error=described(error))
