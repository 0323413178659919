"""BART's lesson without labels: spoil a text, and ask for the text as it was."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import MASK


def infill(words: Sequence[int], rng: np.random.Generator, rate: float = 0.3, mean: float = 3.0, mask: int = MASK) -> list[int]:
    """Text infilling: spans of Poisson(`mean`) words become one `<mask>` each, until `rate` of the words are gone.

    A span of length 0 puts a `<mask>` where nothing is missing. `words`: the tokens of a text, without `<bos>` and `<eos>`.
    Raises ClipkitError for a rate outside 0..1.

    Source: arXiv:1910.13461, section 2.2.
    """
    if not 0 <= rate <= 1 or mean <= 0:
        raise ClipkitError(f"rate lies in 0..1 and mean is positive, got {rate} and {mean}")
    n = len(words)
    left = int(np.ceil(rate * n)) if rate else 0
    gone, starts, inserts = np.zeros(n, dtype=bool), set(), []
    while left > 0:
        span = min(int(rng.poisson(mean)), left)
        at = int(rng.integers(0, n - span + 1))
        if span == 0:
            inserts.append(at)
            left -= 1  # so that the loop ends; the word stays
            continue
        left -= span - int(gone[at : at + span].sum())
        starts.add(at)
        gone[at : at + span] = True
    out: list[int] = []
    for i in range(n + 1):
        out += [mask] * inserts.count(i)
        if i == n:
            break
        if not gone[i]:
            out.append(words[i])
        elif i in starts and (i == 0 or not gone[i - 1]) or i == 0 or not gone[i - 1]:
            out.append(mask)
    return out


def permute(words: Sequence[int], rng: np.random.Generator, separators: Sequence[int]) -> list[int]:
    """Sentence permutation: the parts between `separators` in random order; the separators stay where they are in the row."""
    parts: list[list[int]] = [[]]
    marks = []
    for w in words:
        if w in separators:
            marks.append(w)
            parts.append([])
        else:
            parts[-1].append(w)
    order = rng.permutation(len(parts))
    out = []
    for i, p in enumerate(order):
        out += parts[p]
        if i < len(marks):
            out.append(marks[i])
    return out
