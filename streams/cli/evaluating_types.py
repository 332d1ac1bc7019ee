"""``penstock evaluate --content-types``: how good the code that serves is, on files of real utterances.

In: files, the prepared encoders, the examples and weights of the content types. Out: a table, or JSON in a file. Keeps vectors in
the var folder, by encoder and texts, so that a second run is quick. Fails with status 2 where a file is not what it should be.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.cli.printing import ON_THE_SCREEN, USAGE, Failure, note, say, show_table, write
from streams.cli.vectors import kept

if TYPE_CHECKING:
    from agents.encoding.encoder import Encoder
    from analytics.evaluating.content_types import Found, Report
    from streams.deployment import Deployment


def evaluate_content_types(
    deployment: "Deployment",
    file: Path,
    train: Path | None,
    seeds: int,
    json_file: Path | None,
    weights_file: Path | None,
) -> None:
    """Measure the content type on a file; ``Failure`` where that cannot be measured."""
    from analytics.evaluating.content_types import NotMeasurable

    try:
        _content_types(deployment, file, train, seeds, json_file, weights_file)
    except NotMeasurable as error:
        raise Failure(
            f"{error.problem}.", remedy=f"{error.remedy[:1].upper()}{error.remedy[1:]}.", status=USAGE
        ) from error


def _content_types(
    deployment: "Deployment",
    file: Path,
    train: Path | None,
    seeds: int,
    json_file: Path | None,
    weights_file: Path | None,
) -> None:
    from agents.deciding.content_types import parse_examples
    from agents.deciding.content_weights import parse_weights, written
    from agents.encoding.onnx_encoder import OnnxEncoder
    from agents.encoding.static import StaticEncoder
    from agents.router import EXAMPLES, WEIGHTS
    from analytics.evaluating.content_types import Encoding, learned, measure, read_utterances

    tested, taught = read_utterances(file), None if train is None else read_utterances(train)
    examples = parse_examples(EXAMPLES.read_text(encoding="utf-8"))
    both = (OnnxEncoder(deployment.models_folder), StaticEncoder(deployment.models_folder))
    encodings = [Encoding(encoder.name, _Remembered(encoder, deployment).encode) for encoder in both]
    if weights_file is not None:
        write(weights_file, written([learned(encoding, tested, examples) for encoding in encodings]))
        note(f"{weights_file} is written.")
    shipped = parse_weights(WEIGHTS.read_text(encoding="utf-8"))
    report = measure(tested, examples, encodings, train=taught, shipped=shipped, seeds=seeds)
    if json_file is not None:
        import msgspec

        write(json_file, msgspec.json.format(msgspec.json.encode(report)).decode())
    if json_file != ON_THE_SCREEN:
        _show(report)


class _Remembered:
    """An encoder that reads a file of texts once."""

    def __init__(self, encoder: "Encoder", deployment: "Deployment") -> None:
        self._encoder = encoder
        self._deployment = deployment

    def encode(self, texts: Sequence[str]) -> Any:
        """As the encoder's."""
        of = (self._encoder.name, self._encoder.version)
        return kept(self._deployment, of, texts, lambda: self._encoder.encode(texts))


def _show(report: "Report") -> None:
    from agents.deciding.content_types import BUILT_IN_TYPES

    counted = ", ".join(f"{name} {number}" for name, number in report.types.items())
    say(f"{report.utterances} utterances of {report.intents} intents ({counted}), learned from {report.learned_from}.")
    names = sorted(report.types, key=lambda name: (name not in BUILT_IN_TYPES, name))
    rows = [
        _row(encoder, what, found, names)
        for encoder, measured in report.encoders.items()
        for what, found in (
            ("unseen intents", measured.unseen_intents),
            ("nearest examples taken away", measured.nearest_taken_away),
            ("examples only", measured.examples_only),
            ("as shipped", measured.as_shipped),
        )
        if found is not None
    ]
    rows += [_row("-", "keyword rules", report.keywords, names), _row("-", "largest type", report.majority, names)]
    show_table(["encoder", "measured", "accuracy", "balanced", *names], rows)


def _row(encoder: str, what: str, found: "Found", names: Sequence[str]) -> list[str]:
    return [
        encoder,
        what,
        f"{found.accuracy:.3f} (sd {found.accuracy_sd:.3f})",
        f"{found.balanced_accuracy:.3f} (sd {found.balanced_accuracy_sd:.3f})",
        *(f"{found.by_type[name]:.2f}" if name in found.by_type else "-" for name in names),
    ]
