"""Shipped sequence-to-sequence models: weights in float16 and, in the same file's header, settings and vocabulary; a card beside it."""

from __future__ import annotations

from pathlib import Path

from clipkit.language.seq2seq import Seq2Seq
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.parts import load_part, save_part


def save_seq2seq(module: Seq2Seq, card: dict, folder: str | Path, name: str) -> Path:
    """Write `<name>.safetensors` and `<name>.card.json` in `folder`; returns the first's path."""
    return save_part(module, {"seq2seq": module.settings, "words": module.vocabulary.words}, card, folder, name)


def load_seq2seq(name: str = "nano-bart", device: str = "auto", folder: str | Path | None = None) -> Seq2Seq:
    """A shipped model (nano-bart, nano-bart-short, nano-bart-para), or one saved at the path `name`; float32, in evaluation.

    Its `name` and `fingerprint` (of the file's bytes) are set. Raises ClipkitError when the file is missing or holds something else.
    """
    return load_part("seq2seq", lambda header: Seq2Seq(WordVocabulary(header["words"]), **header["seq2seq"]), name, device, folder)
