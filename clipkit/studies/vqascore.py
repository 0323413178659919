"""The page vqascore: texts that are true in part, kinds of error, rivals that see nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.metrics import kendall
from clipkit.score import CLIPScore, TwoTowers, VQAScore, group_correlations, pairwise_accuracy
from clipkit.score.lessons import lesson_scenes
from clipkit.world import BACKGROUNDS, COLOURS, render
from clipkit.world.caption_negatives import absent_category
from clipkit.world.content_plan import HashRandom, groups, relation_between, seeds_of, states, truths
from clipkit.world.pairs import swap
from clipkit.world.propositions import false_facts, true_facts
from clipkit.world.words import OPPOSITE, PLACES, RELATION_WORDS, noun_phrase

# Three facts are what the smallest scene has besides sizes; sizes are left out because "medium" is a matter of taste.
FACTS = ("existence", "count", "colour", "texture", "relation", "background")
ERRORS = ("category", "colour", "count", "background", "relation", "swap_colour", "swap_count", "swap_relation", "negation")


@dataclass(frozen=True)
class EncodedImages:
    """N pictures, encoded once for all scorers.

    tokens: (N, M, D), patches for answerers and for towers over them. features: (N, E) of a whole CLIP, for its CLIPScore.
    """

    tokens: Tensor
    features: Tensor

    def __getitem__(self, rows) -> EncodedImages:
        return EncodedImages(self.tokens[rows], self.features[rows])

    def of(self, scorer: Any) -> Any:
        """What this scorer takes as seen."""
        return self.features if isinstance(scorer, CLIPScore) and not isinstance(scorer.model, TwoTowers) else self.tokens


def pair_scores(scorer: Any, seen: EncodedImages, texts: Sequence[str]) -> np.ndarray:
    """(K,) float64: picture i of `seen` with text i."""
    return scorer.pairs(seen.of(scorer), texts).double().numpy()


class BlankScore(VQAScore):
    """VQAScore of an evenly grey picture in place of the real one: what the text alone is worth to the answerer."""

    def _pairs(self, seen: Tensor, texts: Sequence[str]) -> Tensor:
        grey = self.vqa.see(np.full((1, 32, 32, 3), 128, np.uint8))  # (1, M, D)
        return super()._pairs(grey.expand(len(seen), -1, -1), texts)


class TextScore:
    """A score by a function of the texts alone: what can be had without looking."""

    def __init__(self, function: Callable[[Sequence[str]], Any]):
        self.function = function

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        return torch.as_tensor(self.function(texts), dtype=torch.float32)


class GradedTexts(NamedTuple):
    """K texts about N pictures. images: (N, S, S, 3) uint8. picture: (K,) its number. truth: (K,) share of the statements that hold."""

    images: np.ndarray
    picture: np.ndarray
    texts: list[str]
    truth: np.ndarray


def graded_texts(n: int, seed: int, n_facts: int = 4, levels: Sequence[int] | None = None) -> GradedTexts:
    """n pictures, and for each of them texts of `n_facts` statements, of which 0, 1, … or all hold (`levels`: which numbers of true ones).

    A false statement is the true one made wrong in one word, so no text contradicts itself. The same statements for all texts of a picture.

    Raises: ClipkitError for levels outside 0 … n_facts, or facts that no picture has.
    """
    levels = range(n_facts + 1) if levels is None else levels
    if not all(0 <= k <= n_facts for k in levels) or n_facts < 1:
        raise ClipkitError(f"of {n_facts} statements 0 to {n_facts} can be true, not {list(levels)}")
    scenes = lesson_scenes(4 * n, seed, min_objects=2, count_probs=None)
    rows, picture, texts, truth = [], [], [], []
    for i, (known, state) in enumerate(zip(truths(scenes), states(seeds_of(scenes), f"partly true {n_facts}", seed), strict=True)):
        draw = HashRandom(state)
        pairs = [p for p in zip(true_facts(known), false_facts(known, draw), strict=True) if p[0].kind in FACTS]
        if len(pairs) < n_facts or len(rows) == n:
            continue
        chosen, order = draw.shuffled(pairs)[:n_facts], draw.shuffled(range(n_facts))
        for level in levels:
            *head, last = [pair[order[at] >= level].text for at, pair in enumerate(chosen)]
            texts.append(f"{', '.join(head)}, and {last}" if head else last)
            picture.append(len(rows))
            truth.append(level / n_facts)
        rows.append(i)
    if len(rows) < n:
        raise ClipkitError(f"only {len(rows)} of {n} pictures have {n_facts} facts; ask for fewer facts")
    return GradedTexts(render(scenes[np.array(rows)]).images, np.array(picture), texts, np.array(truth))


def agreement(data: GradedTexts, values: np.ndarray) -> dict[str, float]:
    """How well scores (K,) follow the truth.

    Returns: tau (τ_b over all pairs of texts; a constant score agrees with nothing: 0), within (its mean inside a picture), and percent
    of pairs ordered rightly: accuracy, the width ε of a tie fitted on the even pictures and judged on the odd ones, and
    accuracy_own_eps, fitted on what it is judged on.
    """
    even = data.picture % 2 == 0
    inside = group_correlations(data.truth, values, data.picture, how="kendall").mean
    own, fitted = pairwise_accuracy(data.truth, values), pairwise_accuracy(data.truth[even], values[even]).eps
    odd = pairwise_accuracy(data.truth[~even], values[~even], eps=fitted)
    found = {"tau": np.nan_to_num(kendall(data.truth, values)), "within": np.nan_to_num(inside)}
    return found | {"accuracy": 100 * odd.accuracy, "accuracy_own_eps": 100 * own.accuracy}


def error_pairs(n: int, seed: int) -> tuple[np.ndarray, dict[str, tuple[list[int], list[str], list[str]]]]:
    """n pictures and, by kind of error, numbers of pictures, true texts, false texts: one word replaced, two exchanged, or a denial.

    The texts speak of two things of the picture, or of one thing and the place.
    Raises: ClipkitError where no picture allows some kind of error.
    """
    scenes = lesson_scenes(n, seed, min_objects=2, count_probs=None)
    found: dict[str, list[tuple[int, str, str]]] = {kind: [] for kind in ERRORS}
    for i, (truth, state) in enumerate(zip(truths(scenes), states(seeds_of(scenes), "error pair", seed), strict=True)):
        for kind, pair in _errors(truth, HashRandom(state)):
            found[kind].append((i, *pair))
    missing = [kind for kind, rows in found.items() if not rows]
    if missing:
        raise ClipkitError(f"none of {n} pictures allows an error of kind {missing[0]}; use more pictures")
    return render(scenes).images, {kind: tuple(map(list, zip(*rows, strict=True))) for kind, rows in found.items()}


def _errors(truth, draw: HashRandom):
    """(kind, (true text, false text)) of a picture, as many kinds as it allows."""
    kinds = draw.shuffled(groups(truth.things, False).values())
    single, several = [m[0] for m in kinds if len(m) == 1], [m for m in kinds if len(m) > 1]
    for what in ("colour", "count", "relation"):
        pair = swap(truth, what, draw)
        if pair:
            yield f"swap_{what}", pair
    if several and single:
        n, category, rest = len(several[0]), several[0][0].category, noun_phrase(1, single[0].category)
        counts = n, draw.pick([k for k in range(2, 5) if k != n])
        yield "count", [f"{noun_phrase(k, category)} and {rest}" for k in counts]
    if len(single) < 2:
        return
    a, b = single[:2]
    first, absent = noun_phrase(1, a.category, a.colour), absent_category(truth, draw)
    colour = draw.pick([c for c in COLOURS if all(t.colour != c for t in truth.things)])
    place = draw.pick([p for p in BACKGROUNDS if p != truth.background])
    yield "category", [f"{first} and {noun_phrase(1, c, b.colour)}" for c in (b.category, absent)]
    yield "colour", [f"{first} and {noun_phrase(1, b.category, c)}" for c in (b.colour, colour)]
    yield "background", [f"{first} {PLACES[p]}" for p in (truth.background, place)]
    yield "negation", [f"{first} but {noun_phrase(1, c, lead='no')}" for c in (absent, b.category)]
    relation = relation_between([a], [b])
    if relation:
        one, two = noun_phrase(1, a.category), noun_phrase(1, b.category)
        yield "relation", [f"{one} {RELATION_WORDS[r]} {two}" for r in (relation, OPPOSITE[relation])]


def draw_violins(axes: Sequence, scores: Mapping[str, np.ndarray], truth: np.ndarray, taus: Mapping[str, float]) -> None:
    """One panel a score: its values (K,) as a violin at each level of the truth (K,), with median and quartiles; τ beside the name."""
    import seaborn

    level = np.unique(truth, return_inverse=True)[1]
    for axis, (name, values) in zip(axes, scores.items(), strict=True):
        options = {"color": lab.look(name).colour, "alpha": 0.5, "inner": "quart", "cut": 0, "density_norm": "width"}
        seaborn.violinplot(x=level, y=values, ax=axis, **options)
        axis.set_title(f"{lab.label(name)}, {taus[name]:.2f}", fontsize=9)
        axis.set(xlabel="true statements", ylabel="score" if axis is axes[0] else "")
