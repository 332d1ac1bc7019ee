"""``penstock evaluate``: what the learner and the policy that serve reach on a file of outcomes.

In: files of outcomes, a mode. Out: a table, the figures as JSON, plots. Keeps the features of the prompts under the var folder, by
a hash of the texts and the encoder. Status 2 where a file or an option is wrong.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import ON_THE_SCREEN, USAGE, Failure, note, say, show_table, write
from streams.cli.surroundings import surroundings
from streams.cli.vectors import kept

if TYPE_CHECKING:
    from analytics.evaluating.outcome_file import Outcomes
    from analytics.evaluating.task import Task
    from streams.deployment import Deployment

MODES = ("online", "offline", "shift", "ope")
_TRAINED = 0.7
_COST_WEIGHT = 0.1
_EXPLORATION = 0.05


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    ctx: typer.Context,
    outcomes: Annotated[
        Path | None, typer.Option(help="A Parquet or CSV file of outcomes (docs/evaluating.md).")
    ] = None,
    content_types: Annotated[
        Path | None,
        typer.Option(
            help="Measure the content type on this file (Parquet, CSV or JSON lines: text, intent, content_type)."
        ),
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Learn from this file instead of a part of the other.")] = None,
    mode: Annotated[str, typer.Option(help="online, offline, shift or ope.")] = "offline",
    quality_target: Annotated[
        float, typer.Option(min=0, max=1, help="The floor, as a share of the best strategy's quality.")
    ] = 0.95,
    cost_weight: Annotated[
        float | None, typer.Option(min=0, help="What the mean cost of the best strategy is worth in quality.")
    ] = None,
    exploration: Annotated[float, typer.Option(min=0, max=1, help="The share spread evenly, e.")] = _EXPLORATION,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many splits or orders.")] = 5,
    limit: Annotated[int | None, typer.Option(min=100, help="At most so many prompts of each file.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="OUT", help="Write the figures as JSON; - prints them.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the plots into this folder, as SVG.")] = None,
    write_weights: Annotated[
        Path | None,
        typer.Option(help="Learn the weights of the content types from the whole file and write them here."),
    ] = None,
) -> None:
    """Measure the learner and the policy on outcomes that are known, or the content type on intents that it has not seen.

    Example: penstock evaluate --outcomes outcomes.parquet --mode offline --json figures.json
    """
    if content_types is not None:
        from streams.cli.evaluating_types import evaluate_content_types

        evaluate_content_types(surroundings(ctx).deployment(), content_types, train, seeds, json, write_weights)
        return
    if outcomes is None:
        raise Failure(
            "There is nothing to evaluate.", remedy="Give --outcomes FILE or --content-types FILE.", status=USAGE
        )
    from analytics.evaluating.measuring import Asked, measure

    if mode not in MODES:
        raise Failure(f"There is no mode {mode!r}.", remedy=f"It is one of {', '.join(MODES)}.", status=USAGE)
    if mode == "shift" and train is None:
        raise Failure("Mode shift needs --train: where to learn before the stream.", status=USAGE)
    deployment = surroundings(ctx).deployment()
    read, learned = _read(outcomes, train, limit)
    asked = Asked(
        mode=mode,
        floor=quality_target,
        cost_weight=cost_weight if cost_weight is not None or mode not in ("online", "ope") else _COST_WEIGHT,
        exploration=exploration,
        seeds=seeds,
        trained_share=_TRAINED,
    )
    told, pictures = measure(asked, _task(deployment, read), _task(deployment, learned) if learned else None)
    if json != ON_THE_SCREEN:
        _show(told)
    if json is not None:
        write(json, _as_json({"outcomes": outcomes.name, "train": train.name if train else None, **told}))
    if plot is not None:
        plot.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            write(plot / name, picture)
        note(f"Plots: {', '.join(sorted(pictures))} in {plot}")


def _read(outcomes: Path, train: Path | None, limit: int | None) -> "tuple[Outcomes, Outcomes | None]":
    from analytics.evaluating.outcome_file import BadOutcomes, read_outcomes

    try:
        read = read_outcomes(outcomes, limit=limit)
        learned = read_outcomes(train, limit=limit) if train else None
    except BadOutcomes as error:
        raise Failure(f"{error.path}: {error.problem}.", remedy=f"{error.remedy}.", status=USAGE) from error
    if learned is not None and learned.strategies != read.strategies:
        raise Failure(
            f"{train} has the strategies {', '.join(learned.strategies)}; {outcomes} has {', '.join(read.strategies)}.",
            remedy="Both must have the same.",
            status=USAGE,
        )
    return read, learned


def _task(deployment: "Deployment", read: "Outcomes") -> "Task":
    from analytics.evaluating.task import Task

    return Task(read.strategies, features_of(deployment, read.prompts), read.quality, read.cost_usd)


def features_of(deployment: "Deployment", prompts: tuple[str, ...]) -> Any:
    """The feature vectors of texts, shape (n, features), from the cache where it has them all."""
    import numpy as np

    from agents.deciding.complexity import complexity_of
    from agents.deciding.content_types import ContentTypes, parse_examples
    from agents.deciding.content_weights import parse_weights
    from agents.deciding.features import FEATURE_SET, feature_vector
    from agents.encoding.static import StaticEncoder
    from agents.router import EXAMPLES, WEIGHTS

    encoder = StaticEncoder(deployment.models_folder)
    weights = parse_weights(WEIGHTS.read_text(encoding="utf-8")).get(encoder.name)
    types = ContentTypes.build(parse_examples(EXAMPLES.read_text(encoding="utf-8")), encoder.encode, weights)

    def read() -> Any:
        return np.stack(
            [
                feature_vector(
                    text,
                    vector,
                    complexity=complexity_of(text).level,
                    type_scores=types.classify(text, vector).scores,
                )
                for text, vector in zip(prompts, encoder.encode(prompts), strict=True)
            ]
        )

    return kept(deployment, (encoder.name, encoder.version, f"features {FEATURE_SET}", types.version), prompts, read)


def _show(told: dict[str, Any]) -> None:
    rows = [
        [name, f"{value:.4f}", f"{told['sd'][name]:.4f}"]
        for name, value in told.items()
        if isinstance(value, float) and name in told["sd"]
    ]
    show_table(("figure", "mean", "sd"), rows)
    for name in ("best_fixed", "oracle"):
        if name in told:
            say(
                f"{name}: "
                + ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in told[name].items())
            )
    say(f"{told['prompts']:,} prompts, {told['strategies']} strategies, {told['seeds']} seeds, {told['seconds']:.0f} s")


def _as_json(told: dict[str, Any]) -> str:
    import json

    return json.dumps(told, indent=2, allow_nan=False)
