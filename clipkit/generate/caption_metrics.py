"""What captions say, held against the truth: precision and recall of each kind of statement, invented objects, repetition.

The truth is a scene's; what a caption says is read by `clipkit.world.parse`, which passes over what it cannot place, so a list
of words is given the same credit as a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.generate.cider import CiderD
from clipkit.language.vocabulary import split_words
from clipkit.world.caption_parser import Reading, ancestors, matching, parse
from clipkit.world.content_plan import SceneFacts, groups, relation_between, truths

SLOTS = ("object", "colour", "count", "background", "relation")


class Prf(NamedTuple):
    """Precision, recall and their harmonic mean, 0 to 1."""

    precision: float
    recall: float
    f1: float


class Chair(NamedTuple):
    """Invented objects: `per_mention`, their share of all objects mentioned (CHAIR_i); `per_caption`, the share of captions with one."""

    per_mention: float
    per_caption: float


def _pairs(truths_: Sequence[SceneFacts], texts: Sequence[str]) -> Iterable[tuple[SceneFacts, Reading]]:
    if len(truths_) != len(texts):
        raise ClipkitError(f"{len(texts)} captions but {len(truths_)} scenes: give one caption for each")
    return zip(truths_, map(parse, texts), strict=True)


def _truths(scenes) -> list[SceneFacts]:
    return list(scenes) if isinstance(scenes, list) else list(truths(scenes))


def statements(truth: SceneFacts, reading: Reading) -> dict[str, tuple[int, int, int, int]]:
    """For each slot (right, said, found, there): statements that are true, statements made, facts that were told, facts there are.

    object: a noun that some object has (a hypernym is right, but tells no fact). colour: a noun with its colour. count: a number
    or an article, right if exactly so many objects fit. background. relation: one of two kinds of objects to each other, said in
    either order. Facts are counted once however often they are said.
    """
    items = [i for i in reading.items if not i.denied]
    fits = [matching(truth, item) for item in items]
    by_noun = [[t for t in truth.things if i.noun in ancestors(t.category)] for i in items]
    kinds, coloured = groups(truth.things, False), groups(truth.things) if truth.coloured else {}
    tinted = [(i, fit) for i, fit in zip(items, fits, strict=True) if i.colour]
    told_kinds = {i.noun for i in items} & {c for c, _ in kinds}
    told_colours = {(i.noun, i.colour) for i, fit in tinted if fit} & set(coloured)
    counted = [(i, fit) for i, fit in zip(items, fits, strict=True) if i.count is not None]
    told_counts = {(i.noun, i.colour) for i, fit in counted if len(fit) == i.count}
    names = [c for c, _ in kinds]
    related = {(a, b): relation_between(kinds[a, ""], kinds[b, ""]) for n, a in enumerate(names) for b in names[n + 1 :]}
    related = {pair: relation for pair, relation in related.items() if relation}
    everything = [matching(truth, i) for i in reading.items]
    right_relations, told_relations = 0, set()
    for first, relation, second in reading.relations:
        if everything[first] and everything[second] and relation_between(everything[first], everything[second]) == relation:
            right_relations += 1
            ends = reading.items[first].noun, reading.items[second].noun
            told_relations |= {ends, ends[::-1]} & set(related)
    return {
        "object": (sum(map(bool, by_noun)), len(items), len(told_kinds), len(kinds)),
        "colour": (sum(bool(fit) for _, fit in tinted), len(tinted), len(told_colours), len(coloured)),
        "count": (
            sum(len(fit) == i.count for i, fit in counted), len(counted), len({c for c, _ in told_counts} & set(names)), len(kinds),
        ),
        "background": (reading.places.count(truth.background), len(reading.places), int(truth.background in reading.places), 1),
        "relation": (right_relations, len(reading.relations), len(told_relations), len(related)),
    }  # fmt: skip


def attribute_prf(scenes, texts: Sequence[str]) -> dict[str, Prf]:
    """Precision, recall and F1 of each slot over all captions together (every statement and every fact weighs the same).

    Args:
        scenes: Scenes, or a list of SceneFacts. texts: one caption for each.

    A slot about which nothing is said has precision 0; one without a fact (relations in scenes of one object), recall 0.
    Raises: ClipkitError for another number of captions.
    """
    total = {slot: np.zeros(4) for slot in SLOTS}
    for truth, reading in _pairs(_truths(scenes), texts):
        for slot, counts in statements(truth, reading).items():
            total[slot] += counts
    return {slot: _prf(*counts) for slot, counts in total.items()}


def _prf(right: float, said: float, found: float, there: float) -> Prf:
    precision, recall = right / said if said else 0.0, found / there if there else 0.0
    return Prf(float(precision), float(recall), float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0)


def chair(scenes, texts: Sequence[str]) -> Chair:
    """How often captions name objects that are not there. Arguments and errors as in `attribute_prf`.

    Source: arXiv:1809.02156 (CHAIR), with the scene's truth in place of COCO's labels.
    """
    invented, mentioned, wrong = 0, 0, 0
    for truth, reading in _pairs(_truths(scenes), texts):
        there = {a for t in truth.things for a in ancestors(t.category)}
        items = [i for i in reading.items if not i.denied]
        false = sum(i.noun not in there for i in items)
        invented, mentioned, wrong = invented + false, mentioned + len(items), wrong + bool(false)
    return Chair(invented / max(1, mentioned), wrong / max(1, len(texts)))


def ngram_repetition(texts: Sequence[str], longest: int = 3) -> float:
    """Share of the n-grams, one to `longest` words, that their caption said already; articles, "and" and commas not counted alone.

    >>> ngram_repetition(["a cat and a dog"]), ngram_repetition(["a red red cat"])
    (0.0, 0.125)
    """
    repeated = total = 0
    for text in texts:
        words = split_words(text)
        for n in range(1, longest + 1):
            grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
            grams = [g for g in grams if not set(g) <= _GLUE]
            repeated, total = repeated + len(grams) - len(set(grams)), total + len(grams)
    return repeated / max(1, total)


_GLUE = {"a", "an", "the", "and", ",", "of", "in", "on", "to"}


def retrieval_recall(text_features, image_features, k: int = 1) -> float:
    """Share of texts (N, D) whose own picture, the same row of (N, D), is among the k nearest pictures by cosine; ties are shared out.

    Raises: ClipkitError for another number of texts than pictures, NaN, or k below 1.
    """
    text_features, image_features = checks.features(text_features, "text features"), checks.features(image_features, "image features")
    checks.same_shape(text_features, image_features, what="features of texts and of their pictures")
    checks.at_least(1, k=k)
    return _shared_recall((text_features @ image_features.T).cpu().numpy(), k)


def _shared_recall(scores: np.ndarray, k: int) -> float:
    """Expected recall at k when ties are broken by lot; scores (N texts, N pictures)."""
    own = scores.diagonal()[:, None]
    above, equal = (scores > own).sum(1), (scores == own).sum(1)
    return float(np.clip((k - above) / equal, 0, 1).mean())


def listener_scores(scenes, texts: Sequence[str]) -> np.ndarray:
    """(N, M) float64: how many different statements of text i hold in scene j, minus how many do not.

    A listener who sees every scene as it is and believes every word: nothing is gained by saying a thing twice, and no
    model's taste enters. Counted are nouns, nouns with their colour, places and relations; numbers are not.

    Args:
        scenes: M Scenes, or a list of SceneFacts. texts: N of them; N and M may differ.
    """
    truths_ = _truths(scenes)
    m = len(truths_)
    has: dict[tuple, np.ndarray] = {}
    for j, truth in enumerate(truths_):
        kinds = groups(truth.things, False)
        facts: set[tuple] = {("place", truth.background)}
        facts |= {("noun", a) for c, _ in kinds for a in ancestors(c)}
        if truth.coloured:
            facts |= {("colour", a, t.colour) for t in truth.things for a in ancestors(t.category)}
        for a, first in kinds.items():
            facts |= {("relation", a[0], relation_between(first, second), b[0]) for b, second in kinds.items() if a != b}
        for fact in facts:
            has.setdefault(fact, np.zeros(m, bool))[j] = True
    nowhere = np.zeros(m, bool)
    scores = np.zeros((len(texts), m))
    for i, reading in enumerate(map(parse, texts)):
        said: set[tuple] = {("place", p) for p in reading.places}
        for item in reading.items:
            if not item.denied:
                said |= {("noun", item.noun)} | ({("colour", item.noun, item.colour)} if item.colour else set())
        said |= {("relation", reading.items[a].noun, r, reading.items[b].noun) for a, r, b in reading.relations}
        for fact in said:
            scores[i] += np.where(has.get(fact, nowhere), 1.0, -1.0)
    return scores


def listener_recall(scenes, texts: Sequence[str], k: int = 1) -> float:
    """Share of captions from which `listener_scores` finds the caption's own scene among the k best; ties are shared out."""
    scores = listener_scores(scenes, texts)
    if scores.shape[0] != scores.shape[1]:
        raise ClipkitError(f"{len(texts)} captions but {scores.shape[1]} scenes: give one caption for each")
    return _shared_recall(scores, k)


def reference_recall(references: Sequence[Sequence[str]], texts: Sequence[str], k: int = 1) -> float:
    """`listener_recall` where no scene is known: the listener has read what people said of each picture, and goes by CIDEr-D."""
    n = len(texts)
    scores = CiderD(references)([text for text in texts for _ in range(n)], np.tile(np.arange(n), n))
    return _shared_recall(scores.reshape(n, n), k)
