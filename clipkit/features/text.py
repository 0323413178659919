"""Text features, kept by content like image features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import torch
from safetensors.torch import load_file
from torch import Tensor

from clipkit import paths
from clipkit.datasets.templates import fill_templates
from clipkit.errors import ClipkitError
from clipkit.features.store import FORMAT, key_of, log
from clipkit.kept import find_tensors, write_tensors
from clipkit.models.inputs import as_texts


def text_features(model, texts: Sequence[str], batch: int = 256, cache: bool = True) -> Tensor:
    """Unit-norm features (N, D) float32 of N texts, on the CPU; a second call with the same weights and texts reads them.

    Raises ClipkitError when a feature is NaN or infinite (naming the first text), or for one string in place of a list.
    """
    if isinstance(texts, str):
        raise ClipkitError(f"text_features takes a list of texts; write [{texts!r}] for one")
    texts = as_texts(texts)
    content = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    key = key_of({"format": FORMAT, "model": model.fingerprint, "embed_dim": model.embed_dim, "texts": content})
    folder = None
    if cache and texts:
        try:
            folder = paths.cache_dir("text_features")
            found = find_tensors(folder, key, key)
            if found is not None:
                return load_file(found)["text"]
        except OSError as error:
            log.warning("the cache of text features cannot be read (%s)", error)
    features = model.text_features(texts, batch=batch).float().cpu()
    wrong = torch.nonzero(~torch.isfinite(features).all(dim=1)).flatten()
    if len(wrong):
        raise ClipkitError(f"{model.name} gives NaN or infinite features for the text {texts[int(wrong[0])]!r}; check the weights")
    if folder is not None:
        try:
            write_tensors(folder, key, {"text": features}, {"key": key})
        except OSError as error:
            log.warning("text features cannot be written to %s (%s); set CLIPKIT_CACHE to another folder", folder, error.strerror or error)
    return features


def pool_features(model, classnames: Sequence[str], templates: Sequence[str]) -> Tensor:
    """Features (P, C, D) of each of P templates filled with each of C class names, kept on disk like all text features.

    Raises ClipkitError for bad names or templates (see `clipkit.datasets.fill_templates`).
    """
    rows = fill_templates(classnames, templates)
    features = text_features(model, [prompt for row in rows for prompt in row])
    return features.view(len(classnames), len(templates), -1).transpose(0, 1).contiguous()
