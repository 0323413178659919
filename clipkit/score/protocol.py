"""What every score of pictures and texts looks like, so that a table of metrics is a dict from names to scorers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from clipkit.errors import ClipkitError


@runtime_checkable
class Scorer(Protocol):
    """How well each picture fits each text; higher is better. Scales differ from scorer to scorer."""

    def see(self, images: Any) -> Any:
        """What the scorer keeps of pictures: something that can be indexed by a list of numbers. Made once, used for many texts."""

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        """(K,) float32: picture i with text i. `seen`: of `see`, or pictures."""

    def __call__(self, seen: Any, texts: Sequence[str]) -> Tensor:
        """(M, N) float32: every picture with every text."""


class PairScorer(ABC):
    """A scorer that looks at one pair at a time: a subclass brings `see` and `_pairs`, and gets the rest.

    `seen_dims`: number of dimensions of what `see` returns, by which it is told from pictures (uint8, four dimensions).
    """

    seen_dims = 3

    @abstractmethod
    def see(self, images: Any) -> Tensor:
        """What is kept of pictures, as for `Scorer`."""

    @abstractmethod
    def _pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        """(K,) scores of as many seen pictures and texts, at least one of each."""

    def _seen(self, images: Any) -> Any:
        known = isinstance(images, Tensor) and images.ndim == self.seen_dims
        return images if known else self.see(images)

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        """(K,): picture i with text i. Raises ClipkitError where there are not as many texts as pictures."""
        texts = checked_texts(texts)
        seen = self._seen(seen)
        if len(seen) != len(texts):
            raise ClipkitError(f"{len(seen)} pictures and {len(texts)} texts are no pairs; give as many of each, or call the scorer")
        return self._pairs(seen, texts) if texts else torch.empty(0)

    def __call__(self, seen: Any, texts: Sequence[str]) -> Tensor:
        """(M, N): every picture with every text."""
        texts = checked_texts(texts)
        seen = self._seen(seen)
        m, n = len(seen), len(texts)
        if not m or not n:
            return torch.empty(m, n)
        rows = torch.arange(m).repeat_interleave(n)
        chosen = seen[rows] if isinstance(seen, Tensor) else [seen[i] for i in rows.tolist()]
        return self._pairs(chosen, texts * m).view(m, n)


def checked_texts(texts: Sequence[str]) -> list[str]:
    """The texts as a list; ClipkitError for one string, or for something in it that is none."""
    if isinstance(texts, str) or not all(isinstance(t, str) for t in texts):
        raise ClipkitError('texts come as a list of strings, such as ["a red cat"]')
    return list(texts)
