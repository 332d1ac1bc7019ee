"""What a decision and an event cost by themselves: no broker, one thread.

In: a folder, which stays empty; the encoders of ``make setup``. Out: rows ``decision_ms``, ``decision_onnx_ms``, ``codec``. Keeps
nothing. Fails as its parts do.

``decision_ms`` is the median time from a request and its embedding's text to the plan with the propensities of 12 strategies and
the features, by a profile with heads, encoding the text included; the texts are several hundred different ones, and one thread
multiplies, as in every role. ``codec`` is the time that our encoding and decoding of every example of every event takes, records
made and checked, over that of fastavro alone on plain dictionaries of the same events, in the median of rounds in turn.
"""

import os
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from itertools import cycle, zip_longest
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import load_schema
from threadpoolctl import threadpool_limits

import schemas
from agents.deciding import spreading
from agents.deciding.content_types import parse_examples
from agents.deciding.governance import Floor
from agents.deciding.held import Held
from agents.deciding.learned import written
from agents.deciding.planning import Planner
from agents.encoding.encoder import Encoder
from agents.encoding.onnx_encoder import OnnxEncoder
from agents.encoding.static import StaticEncoder
from agents.router import EXAMPLES, build_planner
from analytics.fitting.rows import Rows
from analytics.fitting.scope import ScopeExperience
from analytics.fitting.starting import start_of
from schemas import EVENTS, Evidence, Plan, ProfileUpdated, Record, RequestReceived
from schemas.generate import snake
from streams.codec import Codec
from tests.benchmarks.running import deployment_in, environ_for, requests
from tests.benchmarks.table import Row, alone, beside

_FEWEST_TEXTS = 300


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure all three."""
    rounds = 300 if quick else 2_000
    ours, bare = _codec_us(rounds)
    with threadpool_limits(limits=1, user_api="blas"):  # as in every role (streams/worker.py)
        static = _decision_ms(folder / "static", StaticEncoder, rounds)
        onnx = _decision_ms(folder / "onnx", OnnxEncoder, rounds)
    return [
        alone("decision_ms", static, "ms", reach=0.3),
        alone("decision_onnx_ms", onnx, "ms", reach=1.5),
        beside("codec", ours, "us for an event", bare, reach=1.5),
    ]


def _decision_ms(folder: Path, build: Callable[[Path], Encoder], rounds: int) -> float:
    deployment = deployment_in(folder, "localhost:9")
    encoder = build(deployment.models_folder)
    planner, _ = build_planner(deployment, encoder, {**os.environ, **environ_for("http://localhost:9/v1")})
    codec, held = Codec(), Held()
    asked = [
        msgspec.structs.replace(event, message=text)
        for (_, raw), text in zip(requests(rounds, "plain", "p"), cycle(_texts()), strict=False)
        if isinstance(event := codec.decode(raw), RequestReceived)
    ]
    now_us = time.time_ns() // 1_000
    plans = [planner.plan(event, encoder.encode([event.message])[0], held, now_us).plan for event in asked]
    held.take_profile(_profile(planner, [plan.features for plan in plans], plans[0]))
    took: list[float] = []
    for event in asked:
        begun = time.perf_counter()
        planner.check(event)
        routed = planner.plan(event, encoder.encode([event.message])[0], held, now_us)
        took.append((time.perf_counter() - begun) * 1_000)
        if len(routed.plan.candidates) != 12:
            raise ValueError(f"{len(routed.plan.candidates)} strategies were eligible, not 12")
        if routed.plan.policy != spreading.NAME:
            raise ValueError(f"{routed.plan.policy} decided, not the heads")
    return median(took)


def _texts() -> list[str]:
    """Several hundred questions and orders of a sentence each, no two alike: nothing is measured that a cache of texts answers."""
    examples = parse_examples(EXAMPLES.read_text(encoding="utf-8"))
    texts = list(dict.fromkeys(text for of_type in zip_longest(*examples.values()) for text in of_type if text))
    if len(texts) < _FEWEST_TEXTS:
        raise ValueError(f"{len(texts)} texts are too few to measure a decision by")
    return texts


def _profile(planner: Planner, features: Sequence[tuple[float, ...]], plan: Plan) -> ProfileUpdated:
    """A profile with heads of the planner's catalogue, learned from rewards at random."""
    ids = planner.catalogue.ids
    chance, count = np.random.default_rng(1), len(features)
    rows = Rows.plain(
        np.array(features), chance.integers(0, len(ids), count), chance.random(count), np.full(count, 1e-6)
    )
    learned = ScopeExperience(start_of(planner.catalogue)).learn(
        rows,
        np.full(count, 1 / len(ids)),
        np.arange(count),
        encoder=plan.encoder,
        floor=Floor("relative", 0.95),
        exploration=0.05,
    )
    return ProfileUpdated(
        event_id="0" * 32,
        occurred_at_us=0,
        scope=plan.profile_scope,
        version=1,
        parent=0,
        learner="bench@1",
        beliefs=(),
        incumbents=(),
        evidence=Evidence(requests=count, rated=count, watermark={}),
        sentence="A profile to decide by.",
        heads=written(learned),
    )


def _codec_us(rounds: int) -> tuple[float, float]:
    """Microseconds for an event, encoded and decoded once: by us, by fastavro."""
    codec = Codec()
    folder = Path(schemas.__file__).parent
    events: list[Record] = []
    plain = []
    for name, kind in EVENTS.items():
        schema = parse_schema(load_schema(str(folder / f"{snake(name)}.avsc")))
        for path in sorted((folder / "examples" / snake(name)).glob("*.json")):
            event = msgspec.json.decode(path.read_bytes(), type=kind)
            events.append(event)
            plain.append((schema, msgspec.to_builtins(event, builtin_types=(bytes,))))

    def ours() -> None:
        for event in events:
            codec.decode(codec.encode(event))

    def bare() -> None:
        for schema, fields in plain:
            out = BytesIO()
            schemaless_writer(out, schema, fields)
            schemaless_reader(BytesIO(out.getvalue()), schema, None)

    took: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(max(20, rounds // 10)):
        for name, work in (("ours", ours), ("bare", bare)):
            begun = time.perf_counter()
            work()
            took[name].append((time.perf_counter() - begun) * 1e6 / len(events))
    return median(took["ours"]), median(took["bare"])
