"""The comparison of curated and uncurated pairs: one pool, many subsets, one training for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.pretrain.curation import count_matches, hash_sample, keep_probability, threshold_for_size, threshold_for_tail
from clipkit.pretrain.fixed_budget import THIRDS, balanced_rows, budget_clip, by_thirds, rarity_weights
from clipkit.pretrain.frozen_clip import TwoHeads, class_weights
from clipkit.pretrain.matching import SubstringMatcher

# Learning rate and weight decay of each arm: the best of (8, 16 thousandths) x (0.1, 4) and (16 thousandths, 8) at 32 passes over a
# quarter of 16,000 pairs, pool and test scenes of seed 1000. Sets of few pairs are learnt by heart and want the larger decay.
# The eighth, the half and the shorter trainings chose among three of these (SHORT: with 8 thousandths and 0.1 among them).
FEW, QUARTER, MANY, SHORT = (1.6e-2, 4.0), (8e-3, 4.0), (1.6e-2, 0.1), (8e-3, 0.1)
SETTINGS = {
    **dict.fromkeys(("raw", "matched_random", "inverse_frequency", "balanced", "balanced_eighth"), FEW),
    "balanced_quarter": QUARTER,
    **dict.fromkeys(("balanced_half", "matched_whole_pool", "online_balanced", "oracle"), MANY),
}
POWER = 0.25  # of inverse frequency: the best of 0.25, 0.5 and 1, drawn by weight or weighted in the loss, by the same rule


class CurationStudy:
    """A pool of captioned pictures with its matches and counts, subsets of it, and what a small CLIP learns from each.

    Args:
        pool: a `Crawl` that knows what its texts speak of and has pictures (`web_pool`). matcher: of the metadata.
        tower: a DualEncoder whose frozen image features are used. reader: one whose tokenizer is used.
        test: a Dataset with labels, classnames and templates, as many pictures of each class. seed: of all samples and trainings.

    Attributes:
        matches: list of N arrays of entry numbers. counts: (P,) uint64. found: (N,) bool, texts that matched anything.
        visual: (N,) bool, texts that speak of what their picture shows. frequency: (C,) such texts a class.
    """

    def __init__(self, pool, matcher: SubstringMatcher, tower, reader, test, seed: int):
        if pool.spoken is None or not pool.has_pictures:
            raise ClipkitError("the study needs a pool with pictures, of which the truth is known; take one from web_pool")
        if test.labels is None or pool.spoken.max() >= len(test.classnames):
            raise ClipkitError(f"the test pictures must be labelled with the classes the pool speaks of; {test.name} is not")
        self.pool, self.matcher, self.seed, self._tower, self._reader, self._test = pool, matcher, seed, tower, reader, test
        self.matches = matcher.match(pool.captions)
        self.counts = count_matches(self.matches, len(matcher.entries))
        self.found = np.array([len(ids) > 0 for ids in self.matches])
        self.visual = pool.spoken >= 0
        self.frequency = np.bincount(pool.spoken[self.visual], minlength=len(test.classnames))
        self._features = torch.full((len(pool.captions), tower.embed_dim), torch.nan)
        self._known = np.zeros(len(pool.captions), dtype=bool)

    # ---- subsets: ascending rows of the pool ----

    def threshold(self, size: float | None = None, share: float | None = None) -> float:
        """t for an expected size, as a share of the matched texts, or for a tail's share of the matches."""
        if (size is None) == (share is None):
            raise ClipkitError("choose t by size or by the tail's share, one of the two")
        if size is None:
            return threshold_for_tail(self.counts, share)
        return threshold_for_size(self.matches, self.counts, size * self.found.sum())

    def keep(self, t: float) -> np.ndarray:
        """(N,) keep probabilities at t."""
        return keep_probability(self.matches, self.counts, t)

    def curated(self, t: float) -> np.ndarray:
        """Rows that balancing at t keeps."""
        return np.flatnonzero(hash_sample(np.arange(len(self.found)), self.keep(t), self.seed))

    def some(self, rows: np.ndarray, n: int) -> np.ndarray:
        """n of the rows at random (all, where there are no more)."""
        return np.sort(np.random.default_rng([self.seed, len(rows)]).permutation(rows)[:n])

    def oracle(self, n: int) -> np.ndarray:
        """n rows whose texts speak of their pictures, as equally spread over the classes as the pool allows: needs the truth."""
        return balanced_rows(self.pool.spoken, n, self.seed)

    def visual_share(self, rows: np.ndarray) -> float:
        """Percentage of the rows whose text speaks of what the picture shows."""
        return 100 * float(self.visual[rows].mean())

    def scenes(self, rows: np.ndarray):
        """What the pictures of some rows show, to render them."""
        return self.pool._source[rows]

    # ---- training ----

    def arms(self, tail_share: float) -> dict[str, tuple[np.ndarray, Tensor | None]]:
        """Arm -> (rows, how often each is drawn, or None). All but the last four hold about a quarter of the matched texts."""
        matched = np.flatnonzero(self.found)
        n, even = max(1, round(len(matched) / 4)), self.threshold(share=tail_share)
        random = self.some(matched, n)
        return {
            "raw": (self.some(np.arange(len(self.found)), n), None),
            "matched_random": (random, None),
            "inverse_frequency": (random, rarity_weights([self.matches[i] for i in random], self.counts, POWER)),
            "balanced": (self.some(self.curated(even), n), None),
            "balanced_quarter": (self.curated(self.threshold(size=0.25)), None),
            "oracle": (self.oracle(min(n, int(self.visual.sum()))), None),
            "matched_whole_pool": (matched, None),
            "online_balanced": (matched, torch.tensor(self.keep(even)[matched])),
            "balanced_eighth": (self.curated(self.threshold(size=0.125)), None),
            "balanced_half": (self.curated(self.threshold(size=0.5)), None),
        }

    def compare(self, tail_share: float, epochs: int, batch: int = 256) -> dict[str, float]:
        """Accuracy of every arm after as many steps as make `epochs` passes over a quarter of the matched texts.

        Returns: "arm" (mean over the classes), "arm_head", "arm_middle", "arm_tail"; for the two arms of a quarter against the
        whole also "arm_4" and "arm_2", after a fourth and a half of the steps. "quarter_seen", "quarter_unseen", "whole_seen":
        what `recognised` says of pairs that a random quarter, and the whole pool, were trained on, and of others.
        """
        arms = self.arms(tail_share)
        steps = max(1, epochs * round(self.found.sum() / 4) // batch)
        runs = {arm: (arm, steps, SETTINGS[arm]) for arm in arms}
        runs |= {f"{arm}_{p}": (arm, max(1, steps // p), SHORT) for p in (4, 2) for arm in ("balanced_quarter", "matched_whole_pool")}
        out = {}
        for name, (arm, length, (lr, decay)) in runs.items():
            rows, draws = arms[arm]
            heads = self.train(rows, length, lr=lr, weight_decay=decay, draws=draws, batch=min(batch, len(rows)))
            row = by_thirds(self.per_class(heads), self.frequency)
            if name == "matched_random":
                out["quarter_seen"] = self.recognised(heads, rows)
                out["quarter_unseen"] = self.recognised(heads, self.some(np.setdiff1d(np.flatnonzero(self.found), rows), len(rows)))
            elif name == "matched_whole_pool":
                out["whole_seen"] = self.recognised(heads, self.some(rows, len(arms["matched_random"][0])))
            out |= {name: row["mean"]} | ({f"{name}_{third}": row[third] for third in THIRDS} if name in arms else {})
        return out

    def features(self, rows: np.ndarray) -> Tensor:
        """(R, F) frozen image features; each picture is drawn and encoded once, when first asked for."""
        rows = np.ascontiguousarray(rows)
        new = rows[~self._known[rows]]
        if len(new):
            self._features[new] = self.pool.pictures(self._tower, new).cpu()
            self._known[new] = True
        return self._features[rows]

    @cached_property
    def tokens(self) -> Tensor:
        """(N, L) tokens of the pool's texts, cut to the longest."""
        tokens = self._tokenize(self.pool.captions)
        return tokens[:, : int((tokens > 0).sum(1).max())]

    def _tokenize(self, texts: Sequence[str]) -> Tensor:
        return self._reader.tokenize(list(texts))

    @cached_property
    def _tested(self) -> tuple[Tensor, Tensor]:
        return self._tower.image_features(self._test.array).cpu(), torch.as_tensor(self._test.labels)

    def train(self, rows: np.ndarray, steps: int, **options) -> TwoHeads:
        """A small CLIP trained on these rows; the same initial weights for every subset. options: of `budget_clip`."""
        heads = TwoHeads(self._tower.embed_dim, self._reader.config["text_cfg"]["vocab_size"], self.seed, learnt=True)
        return budget_clip(self.features(rows), self.tokens[rows], heads, steps=steps, seed=self.seed, **options)

    def per_class(self, heads: TwoHeads) -> np.ndarray:
        """(C,) zero-shot accuracy of each class, percent, on the test pictures."""
        from clipkit.robust.per_class import class_accuracy

        features, labels = self._tested
        with torch.no_grad():
            classifier = class_weights(heads, self._tokenize, self._test.classnames, self._test.templates)
            return class_accuracy(heads.encode_image(features) @ classifier.T, labels)

    @torch.no_grad()
    def recognised(self, heads: TwoHeads, rows: np.ndarray, batch: int = 64) -> float:
        """Percentage of pictures that choose their own text among `batch`; equal texts count as right. High for seen pairs and low
        for unseen ones of the same kind: learnt by heart.
        """
        order, right = np.random.default_rng(self.seed).permutation(rows), []
        for start in range(0, max(1, len(order) - batch + 1), batch):
            part = order[start : start + batch]
            features, texts = heads(self.features(part), self.tokens[part])
            chosen = (features @ texts.T).argmax(1)
            right.append((self.tokens[part][chosen] == self.tokens[part]).all(1).float().mean().item())
        return 100 * float(np.mean(right))
