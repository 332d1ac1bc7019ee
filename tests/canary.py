"""The roles with a text in everything they take in, and in everything that fails: run as a program, so that logging is configured.

    python -m tests.canary TEXT

Writes the logs of all of it to standard error, at the level debug. `tests/unit/test_canary.py` looks for the text in them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sys
import threading
import warnings
from typing import Any

from msgspec.structs import replace

from agents.answering.provider import CallFailed
from schemas import FeedbackGiven, GenerationCompleted, GivenDocument, Record, RequestReceived, Turn
from streams.codec import Codec
from streams.delivery import Delivery, Origin
from streams.errors import Code, Rejected
from streams.logs import configure, logger
from streams.outbox import Outbox
from tests import evaluator_desk, router_desk
from tests.deciding_parts import request
from tests.event_examples import example
from tests.generator_parts import Models, Time, World, answer, routed

CODEC = Codec()


async def no_time(_: float) -> None:
    """Pauses take none."""


def asked(text: str) -> dict[str, Any]:
    return {
        "message": text,
        "history": (Turn(role="user", text=text),),
        "documents": (GivenDocument(document_id="d-1", title=text, text=text),),
        "variables": {"name": text},
    }


def carry(role: str, topic: str, event: Record, handle: Any, outbox: Outbox) -> None:
    delivery = Delivery(role, CODEC, outbox, pause=no_time)
    asyncio.run(delivery.take_in(Origin(topic, 0, 1, b"c1", CODEC.encode(event)), handle))


def through_the_router(text: str) -> None:
    desk = router_desk.Desk()
    delivery = Delivery("router", CODEC, desk.router._outbox, pause=no_time)
    for value in (text.encode(), CODEC.encode(request(**asked(text)))[:-9], CODEC.encode(example("ResponseReady"))):
        asyncio.run(delivery.take_in(Origin("requests", 0, 2, text.encode(), value), desk.router.handle))

    def encode(_: str) -> Any:
        raise UnicodeDecodeError("utf-8", text.encode(), 0, 1, text)

    received: RequestReceived = request(**asked(text))
    carry("router", "requests", received, desk.router.handle, desk.router._outbox)
    desk.router._encode = encode
    carry("router", "requests", received, desk.router.handle, desk.router._outbox)


def through_the_generator(text: str) -> None:
    fails = CallFailed("busy", f"HTTP 500: {text}")
    for behaviour in ([answer(text=text)], [CallFailed("rejected", text)], [fails] * 3):
        world = World(Models(Time(), simple=behaviour, balanced=behaviour, premium=behaviour))
        carry("generator", "routing", routed("simple", request=asked(text)), world.generator.handle, world.outbox)

    async def search(*_: Any) -> Any:
        raise ValueError(text)

    world = World(Models(Time(), simple=[answer()]))
    world.generator._means = dataclasses.replace(world.generator._means, search=search)
    carry("generator", "routing", routed("simple", request=asked(text)), world.generator.handle, world.outbox)


def through_the_evaluator(text: str) -> None:
    desk = evaluator_desk.Desk()
    generation, feedback = example("GenerationCompleted"), example("FeedbackGiven")
    assert isinstance(generation, GenerationCompleted)
    assert isinstance(feedback, FeedbackGiven)
    said = replace(generation, question=text, text=text)

    class Quoting:
        def encode(self, texts: Any) -> Any:
            raise KeyError(*texts)

    desk.evaluator._encoder = Quoting()  # type: ignore[assignment]
    asyncio.run(desk.take(said, replace(feedback, comment=text)))


def through_libraries(text: str) -> None:
    logging.getLogger("aiokafka").error(
        "cannot send %s to %s after %d tries: %r", text, "requests-v1", 3, KeyError(text)
    )
    logging.getLogger("mode").critical("Crashed reason=%(why)r", {"why": ValueError(text)})
    logging.getLogger("faust").error("failed\n%s", text)
    try:
        raise RuntimeError(text) from ValueError(text)
    except RuntimeError:
        logging.getLogger("faust").exception("a stage crashed")
        logger(role="router").error("handler_failed", exc_info=True, message=text, text=text)
    warnings.warn(text, stacklevel=1)

    async def forget() -> None:
        async def fail() -> None:
            raise RuntimeError(text)

        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    asyncio.run(forget())

    def end() -> None:
        raise Rejected("A sentence of ours.", code=Code.INTERNAL_ERROR) from KeyError(text)

    thread = threading.Thread(target=end)
    thread.start()
    thread.join()


def main(text: str) -> None:
    configure("DEBUG")
    through_the_router(text)
    through_the_generator(text)
    through_the_evaluator(text)
    through_libraries(text)
    raise ValueError(text)


if __name__ == "__main__":
    main(sys.argv[1])
