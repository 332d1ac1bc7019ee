"""The prepared folder and both encoders, on the artefacts that `make setup` makes."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from agents.encoding import ArtefactsBroken, ArtefactsMissing
from agents.encoding.artefacts import MANIFEST_NAME, read_manifest
from agents.encoding.onnx_encoder import OnnxEncoder
from agents.encoding.prepare import LOWEST_COSINE, content_hash, is_fresh, prepare
from agents.encoding.samples import SAMPLE_SENTENCES
from agents.encoding.static import StaticEncoder

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("PENSTOCK_VAR", ROOT / "var")) / "models"


@pytest.fixture(scope="module")
def static() -> StaticEncoder:
    return StaticEncoder(MODELS)


@pytest.fixture(scope="module")
def minilm() -> OnnxEncoder:
    return OnnxEncoder(MODELS)


def test_a_folder_that_was_never_prepared_names_the_remedy(tmp_path):
    for encoder in (StaticEncoder, OnnxEncoder):
        with pytest.raises(ArtefactsMissing, match="make setup"):
            encoder(tmp_path)


def test_a_manifest_whose_files_are_gone_is_broken(tmp_path):
    (tmp_path / MANIFEST_NAME).write_bytes((MODELS / MANIFEST_NAME).read_bytes())
    with pytest.raises(ArtefactsBroken, match="make setup"):
        StaticEncoder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"\xff\xfe"])
def test_a_manifest_that_is_not_one_is_broken(tmp_path, content):
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    with pytest.raises(ArtefactsBroken):
        read_manifest(tmp_path)


def test_a_fresh_folder_is_left_alone():
    before = (MODELS / MANIFEST_NAME).stat().st_mtime_ns
    manifest, made = prepare(MODELS)
    assert not made
    assert manifest == read_manifest(MODELS)
    assert (MODELS / MANIFEST_NAME).stat().st_mtime_ns == before


def test_another_version_of_the_source_makes_the_folder_stale():
    manifest = read_manifest(MODELS)
    assert is_fresh(MODELS, content_hash(manifest.source.package_version))
    assert not is_fresh(MODELS, content_hash("0.0.0"))


def test_the_export_is_as_faithful_as_it_must_be():
    assert read_manifest(MODELS).onnx.lowest_cosine >= LOWEST_COSINE


def test_the_manifest_reads_back_as_it_was_written():
    manifest = read_manifest(MODELS)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=type(manifest)) == manifest


@pytest.mark.parametrize("which", ["static", "minilm"])
def test_rows_are_unit_vectors_and_empty_texts_are_zero(which, request):
    encoder = request.getfixturevalue(which)
    matrix = encoder.encode([*SAMPLE_SENTENCES, "", "  \n"])
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(SAMPLE_SENTENCES) + 2, encoder.dimensions)
    assert np.allclose(np.linalg.norm(matrix[:-2], axis=1), 1, atol=1e-5)
    assert not matrix[-2:].any()
    assert encoder.encode([]).shape == (0, encoder.dimensions)


@pytest.mark.parametrize("which", ["static", "minilm"])
def test_a_text_has_the_same_bytes_in_any_company(which, request):
    encoder = request.getfixturevalue(which)
    together = encoder.encode([*SAMPLE_SENTENCES, SAMPLE_SENTENCES[3]])
    alone = np.concatenate([encoder.encode([text]) for text in SAMPLE_SENTENCES])
    assert together[:-1].tobytes() == alone.tobytes()
    assert together[-1].tobytes() == alone[3].tobytes()


@pytest.mark.parametrize("which", ["static", "minilm"])
def test_meaning_is_nearer_than_a_shared_word(which, request):
    encoder = request.getfixturevalue(which)
    question, near, far = encoder.encode(
        ["How do I get my money back?", "Refunds are paid within a week.", "The back door is red."]
    )
    assert question @ near > question @ far


def test_a_text_beyond_the_limit_of_tokens_is_read_to_the_limit(minilm):
    long = "word " * 255
    assert minilm.encode([long])[0].tobytes() == minilm.encode([long + "another " * 500])[0].tobytes()


def test_encoding_imports_no_torch():
    program = (
        "import sys; from pathlib import Path;"
        "from agents.encoding.static import StaticEncoder;"
        "from agents.encoding.onnx_encoder import OnnxEncoder;"
        "import agents.model_server.server;"
        "p = Path(sys.argv[1]); StaticEncoder(p).encode(['a']); OnnxEncoder(p).encode(['a']);"
        "print([n for n in ('torch', 'transformers', 'sentence_transformers') if n in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(MODELS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"
