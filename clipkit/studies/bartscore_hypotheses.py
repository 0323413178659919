"""Texts to be judged: documents, references, and hypotheses of known precision, recall and fluency.

A document is the dense description of a scene, its references are short captions, and its hypotheses are other short captions,
told again in other words or spoilt in facts, coverage and fluency, each independently of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clipkit.language.corpora import documents
from clipkit.language.factual_errors import FALSE, Graded, corrupt_text, grade
from clipkit.world import caption_batch
from clipkit.world.content_plan import Draw, Truth, seeds_of, states, truths

OMISSIONS = ("dropped_object", "dropped_colour")
DAMAGE = ("shuffled", "repeated", "lost_articles", "truncated")
AXES = ("precision", "recall", "fluency")


@dataclass
class Judged:
    """D documents with K hypotheses each, row after row (N = D · K).

    sources, references: of each of the D documents; texts, graded: of each hypothesis; document: (N,) its document's number;
    truths: the D scenes.
    """

    sources: list[str]
    references: list[list[str]]
    texts: list[str]
    graded: list[Graded]
    document: np.ndarray
    truths: list[Truth]

    def axis(self, name: str) -> np.ndarray:
        """True values (N,): "precision", "recall", "fluency", "f1" or "quality"."""
        return np.array([getattr(g, name) for g in self.graded])

    @property
    def source_of(self) -> list[str]:
        """The source of each hypothesis."""
        return [self.sources[d] for d in self.document]

    @property
    def references_of(self) -> list[list[str]]:
        """The references of each hypothesis."""
        return [self.references[d] for d in self.document]

    def part(self, chosen: np.ndarray) -> np.ndarray:
        """Which hypotheses (N,) bool belong to the chosen documents (D,) bool."""
        return np.asarray(chosen)[self.document]


def judged_texts(n: int, seed: int, hypotheses: int = 8, references: int = 2, reworded: int = 2) -> Judged:
    """n documents of the world with their references and hypotheses. Same arguments, same texts.

    Args: reworded: how many of five hypotheses, on average, are told in other words; 0 keeps the wording of the references.
    """
    scenes = documents(n, seed)
    known = list(truths(scenes))
    sources = caption_batch(scenes, "dense", seed=seed)
    columns = [caption_batch(scenes, "short", seed=seed + 7919 * (k + 1)) for k in range(references + hypotheses)]
    draws = [Draw(s) for s in states(seeds_of(scenes), "hypotheses", seed)]
    texts, graded = [], []
    for d in range(n):
        for column in columns[references:]:
            item = _hypothesis(column[d], known[d], draws[d], reworded)
            texts.append(item.text)
            graded.append(item)
    told = [[column[d] for column in columns[:references]] for d in range(n)]
    return Judged(sources, told, texts, graded, np.repeat(np.arange(n), hypotheses), known)


def _hypothesis(text: str, truth: Truth, draw: Draw, reworded: int) -> Graded:
    """False facts in two of five, an omission in two of five, other words in `reworded` of five, damaged wording in half of them."""

    def maybe(text: str, kinds: tuple[str, ...], shares: tuple[float, ...]) -> str:
        found = corrupt_text(text, draw.pick(kinds), truth, draw.pick(shares), draw)
        return found.text if found else text

    if draw(5) < 2:
        text = maybe(text, FALSE, (0.1, 0.6))
    if draw(5) < 2:
        text = maybe(text, OMISSIONS, (0.1, 0.6))
    if draw(5) < reworded:
        text = maybe(text, ("paraphrase",), (1.0,))
    if draw(2):
        return grade(truth, text)
    kind = draw.pick(DAMAGE)
    spoilt = corrupt_text(text, kind, truth, draw.pick((0.15, 0.3, 0.5)), draw)
    return spoilt or grade(truth, text)
