"""The prepared models folder: what is in it, and how it is opened.

In: a folder. Out: its manifest, with paths checked. Kept: nothing. Fails, as a tree:

    EncodingError
    ├── ArtefactsMissing   the folder was never prepared; run `make setup`
    └── ArtefactsBroken    the manifest or a file it names is damaged; run `make setup`
"""

from pathlib import Path

import msgspec

MANIFEST_NAME = "manifest.json"


class EncodingError(Exception):
    """Anything that keeps an encoder from being made."""


class ArtefactsMissing(EncodingError):
    """The models folder holds no prepared encoders."""

    def __init__(self, models_dir: Path) -> None:
        self.models_dir = models_dir
        super().__init__(
            f"no prepared encoders in {models_dir}. Run `make setup`, "
            f"or `python -m agents.encoding.prepare --out {models_dir}`."
        )


class ArtefactsBroken(EncodingError):
    """The models folder is there and cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}. Delete this folder and run `make setup`.")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where the vectors come from."""

    package: str
    package_version: str


class StaticArtefact(msgspec.Struct, frozen=True, kw_only=True):
    """The static table: vectors.npy is float16 of shape (vocabulary, dimensions), a row for each token id."""

    name: str
    version: str
    dimensions: int
    method: str
    vectors: str
    tokenizer: str
    bytes: int


class OnnxArtefact(msgspec.Struct, frozen=True, kw_only=True):
    """The exported transformer; the cosines compare it with sentence-transformers on the sample sentences."""

    name: str
    version: str
    dimensions: int
    precision: str
    model: str
    tokenizer: str
    bytes: int
    lowest_cosine: float
    mean_cosine: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a prepared folder says of itself; `content_hash` covers the source's version and all settings."""

    content_hash: str
    source: Source
    static: StaticArtefact
    onnx: OnnxArtefact


def read_manifest(models_dir: Path) -> Manifest:
    """Open `models_dir`; every file that the manifest names exists with the size it states.

    Raises ArtefactsMissing without a manifest, ArtefactsBroken where it or a file is damaged.
    """
    path = models_dir / MANIFEST_NAME
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ArtefactsMissing(models_dir) from None
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.DecodeError as error:
        raise ArtefactsBroken(path, f"is not a manifest ({error})") from error
    sizes = (
        (manifest.static.vectors, manifest.static.bytes),
        (manifest.static.tokenizer, None),
        (manifest.onnx.model, manifest.onnx.bytes),
        (manifest.onnx.tokenizer, None),
    )
    for name, expected_bytes in sizes:
        file = models_dir / name
        if not file.is_file():
            raise ArtefactsBroken(file, "is missing although the manifest names it")
        if expected_bytes is not None and file.stat().st_size != expected_bytes:
            raise ArtefactsBroken(file, f"has {file.stat().st_size} bytes instead of {expected_bytes}")
    return manifest
