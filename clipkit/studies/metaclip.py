"""Curated against uncurated pairs: a small web with its metadata list, subsets of it, and one small CLIP for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pyarrow
import torch
from pyarrow import parquet
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.features.crawls import Crawl
from clipkit.metrics import percent
from clipkit.pretrain.curation import count_matches, gini, hash_sample, keep_probability, threshold_for_size, threshold_for_tail
from clipkit.pretrain.fixed_budget import balanced_rows, budget_clip, by_thirds, rarity_weights
from clipkit.pretrain.frozen_clip import ProjectionHeads, VectorHeads, class_weights, tokenize_each
from clipkit.pretrain.matching import SubstringMatcher
from clipkit.pretrain.metadata import NUMBERS, bound_pairs, frequent_words, metadata_list
from clipkit.robust.per_class import class_accuracy
from clipkit.world import (
    BACKGROUNDS,
    COLOURS,
    HYPERNYMS,
    LANGUAGES,
    NAMES,
    SIZES,
    TEXTURES,
    WorldSpec,
    caption_batch,
    crawl,
    render,
    sample_scenes,
)

NAME_SHARES = (0.7, 0.2, 0.1)  # how often a category goes by its own name and by its two synonyms
CLEAN = ("detailed", "rewrite", "synonym", "hypernym")  # registers of the text that stands for an encyclopaedia

# Learning rate and weight decay of each arm: the best of (4, 8 thousandths) x (decay 1 or 4, 0.5 or 2) and (16 thousandths, 1) at
# four passes over a quarter of 24,000 pairs, pool and test scenes of seed 1000. The quarter and the whole pool, which C4 compares,
# chose among (4, 8 thousandths) x (0.1, 4 or 2) at 32,000 pairs of that seed.
SETTINGS = dict.fromkeys(("matched_random", "balanced", "oracle", "matched_whole_pool"), (8e-3, 2.0))
SETTINGS |= {"raw": (4e-3, 1.0), "inverse_frequency": (1.6e-2, 1.0), "balanced_quarter": (4e-3, 4.0), "online_balanced": (4e-3, 4.0)}
# The same for more passes by larger batches, chosen at 32 passes over a quarter of 16,000 pairs, 256 a batch.
LONG = {"matched_random": (1.6e-2, 4.0), "balanced_quarter": (8e-3, 4.0), "matched_whole_pool": (1.6e-2, 0.1)}
POWER = 0.25  # of inverse frequency: the best of 0.25, 0.5 and 1, drawn by weight or weighted in the loss, at those 32 passes


def make_web_pool(n: int, seed: int, zipf: float = 1.2, junk: float = 0.3, other: float = 0.1) -> Crawl:
    """n pictures of one object each, with one text found beside each, and what the text speaks of.

    Args:
        zipf: exponent of the categories' frequencies. junk: share of texts that say nothing of any picture.
        other: share in which a category's name means something else ("press conference"), or that speak of something unseen.

    Raises: ClipkitError for n below 1, or shares that are none.
    """
    if n < 1:
        raise ClipkitError(f"a pool needs at least one text, got n = {n}")
    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=1, zipf=zipf), n, seed)
    usage = {category: dict(zip(names, NAME_SHARES, strict=True)) for category, names in NAMES.items()}
    texts = crawl(scenes, usage, seed, other=other, noise=junk)
    return Crawl(texts.captions, texts.spoken, scenes)


def make_metadata(n: int = 3000, seed: int = 2**31, least: int = 20, pmi: float = 6.0) -> list[str]:
    """A metadata list for the world, from the same kinds of sources as the paper's.

    A lexicon (names, synonyms and kinds of things, colours, places: WordNet's part), words and bound pairs of words of n clean
    sentences about other scenes (Wikipedia's part), the numbers 0 to 99, and names in nine other languages, which no text
    of the pool holds unless by chance: most of the paper's entries match little or nothing either.

    Args: n: clean sentences of each of four registers. seed: of their scenes. least: times a word occurs. pmi: bits of a pair.
    """
    scenes = sample_scenes(WorldSpec(), n, seed)
    clean = [text for register in CLEAN for text in caption_batch(scenes, register, seed=seed)]
    lexicon = [*(name for names in NAMES.values() for name in names), *HYPERNYMS.values(), *COLOURS, *BACKGROUNDS, *TEXTURES, *SIZES]
    foreign = [name for language in LANGUAGES if language != "en" for name in caption_batch(scenes[:400], "name", seed, language)]
    return metadata_list(lexicon, frequent_words(clean, least), bound_pairs(clean, pmi, least), NUMBERS, sorted(set(foreign)))


class CurationStudy:
    """A pool of captioned pictures with its matches and counts, subsets of it (ascending rows), and what a small CLIP learns from each.

    Args:
        pool: a `Crawl` with pictures, one that knows what its texts speak of (`make_web_pool`) or a real one. matcher: of the metadata.
        tower: a DualEncoder whose frozen image features are used. reader: one whose tokenizer is used.
        test: a Dataset with labels, classnames and templates, as many pictures of each class. seed: of all samples and trainings.
        features: (N, F) of the tower; None: made when asked for. Of a real pool they are needed, and texts are the tower's vectors.

    Attributes:
        matches: list of N arrays of entry numbers. counts: (P,) uint64. matched: (N,) bool, texts that matched anything.
        visual: (N,) bool, texts that speak of what their picture shows; None where nobody knows. frequency: (C,) such texts a class.
    """

    def __init__(self, pool: Crawl, matcher: SubstringMatcher, tower, reader, test, seed: int, features: Tensor | None = None):
        if not pool.has_pictures or (pool.spoken is None and features is None):
            raise ClipkitError("the study needs a pool with pictures, and their features where the truth is not known")
        if test.labels is None or (pool.spoken is not None and pool.spoken.max() >= len(test.classnames)):
            raise ClipkitError(f"the test pictures must be labelled with the classes the pool speaks of; {test.name} is not")
        self.pool, self.matcher, self.seed, self._tower, self.test = pool, matcher, seed, tower, test
        self.matches = matcher.match(pool.captions)
        self.counts = count_matches(self.matches, len(matcher.entries))
        self.matched = np.array([len(ids) > 0 for ids in self.matches])
        self._vocabulary = None if features is not None else reader.config["text_cfg"]["vocab_size"]
        self._tokenize = cache(lambda texts: tokenize_each(reader.tokenize if self._vocabulary else tower.text_features, texts))
        self.visual = None if pool.spoken is None else pool.spoken >= 0
        self.frequency = None if self.visual is None else np.bincount(pool.spoken[self.visual], minlength=len(test.classnames))
        self._known, self._test_features = np.full(len(pool.captions), features is not None), None
        self._features = torch.full((len(pool.captions), tower.embed_dim), torch.nan) if features is None else features

    def threshold(self, size: float | None = None, share: float | None = None) -> float:
        """t for an expected size, as a share of the matched texts, or for a tail's share of the matches."""
        if (size is None) == (share is None):
            raise ClipkitError("choose t by size or by the tail's share, one of the two")
        if size is None:
            return threshold_for_tail(self.counts, share)
        return threshold_for_size(self.matches, self.counts, size * self.matched.sum())

    def keep_probability(self, t: float) -> np.ndarray:
        """(N,) at t."""
        return keep_probability(self.matches, self.counts, t)

    def balance(self, t: float) -> np.ndarray:
        """Rows that balancing at t keeps."""
        return np.flatnonzero(hash_sample(np.arange(len(self.matched)), self.keep_probability(t), self.seed))

    def sample(self, rows: np.ndarray, n: int) -> np.ndarray:
        """n of the rows at random (all, where there are no more)."""
        return np.sort(np.random.default_rng([self.seed, len(rows)]).permutation(rows)[:n])

    def subsets(self, tail_share: float) -> dict[str, tuple[np.ndarray, Tensor | None]]:
        """Arm -> (rows, how often each is drawn, or None). All but those of the whole pool hold about a quarter of the matched texts.

        "oracle": rows whose texts speak of their pictures, as equally spread over the classes as the pool allows, where that is known.
        """
        matched = np.flatnonzero(self.matched)
        n, even = max(1, round(len(matched) / 4)), self.threshold(share=tail_share)
        random = self.sample(matched, n)
        arms = {
            "raw": (self.sample(np.arange(len(self.matched)), n), None),
            "matched_random": (random, None),
            "inverse_frequency": (random, rarity_weights([self.matches[i] for i in random], self.counts, POWER)),
            "balanced": (self.sample(self.balance(even), n), None),
            "balanced_quarter": (self.balance(self.threshold(size=0.25)), None),
            "matched_whole_pool": (matched, None),
            "online_balanced": (matched, torch.tensor(self.keep_probability(even)[matched])),
        }
        if self.visual is not None:
            arms["oracle"] = (balanced_rows(self.pool.spoken, min(n, int(self.visual.sum())), self.seed), None)
        return arms

    def match_frequent_words(self, least: int) -> np.ndarray:
        """Rows that match once the metadata also hold every word that occurs `least` times in the pool."""
        wide = SubstringMatcher(metadata_list(self.matcher.entries, frequent_words(self.pool.captions, least)))
        return np.flatnonzero([bool(wide.found(text)) for text in self.pool.captions])

    def visual_share(self, rows: np.ndarray) -> float:
        """Percentage of the rows whose text speaks of what the picture shows."""
        return percent(self.visual[rows])

    def features(self, rows: np.ndarray) -> Tensor:
        """(R, F) frozen image features; each picture is drawn and encoded once, when first asked for."""
        rows = np.ascontiguousarray(rows)
        if len(new := rows[~self._known[rows]]):
            self._features[new] = self.pool.pictures(self._tower, new).cpu()
            self._known[new] = True
        return self._features[rows]

    @cached_property
    def tokens(self) -> Tensor:
        """(N, L) tokens of the pool's texts, cut to the longest, or their vectors (N, D)."""
        tokens = self._tokenize(tuple(self.pool.captions))
        return tokens[:, : int((tokens > 0).sum(1).max())] if self._vocabulary else tokens

    def train(
        self, rows: np.ndarray, steps: int, setting: tuple[float, float], batch: int = 256, draws: Tensor | None = None
    ) -> ProjectionHeads:
        """A small CLIP trained on these rows; the same initial weights for every subset.

        Args: setting: learning rate and weight decay. batch: smaller where there are fewer rows. draws: see `budget_clip`.
        """
        kind, texts = (ProjectionHeads, self._vocabulary) if self._vocabulary else (VectorHeads, self.tokens.shape[1])
        heads = kind(self._tower.embed_dim, texts, self.seed, learnt=True)
        options = {"steps": steps, "lr": setting[0], "weight_decay": setting[1], "batch": min(batch, len(rows)), "draws": draws}
        return budget_clip(self.features(rows), self.tokens[rows], heads, seed=self.seed, **options)

    @torch.no_grad()
    def evaluate(self, heads: ProjectionHeads) -> dict[str, float]:
        """Zero-shot accuracy in percent: "mean" over the classes, and over their thirds by frequency, "head", "middle" and "tail"."""
        classifier = class_weights(heads, lambda texts: self._tokenize(tuple(texts)), self.test.classnames, self.test.templates)
        if self._test_features is None:
            self._test_features = self._tower.image_features(self.test.images, 64).cpu()
        found = class_accuracy(heads.encode_image(self._test_features) @ classifier.T, torch.as_tensor(self.test.labels))
        return {"mean": float(np.nanmean(found))} if self.frequency is None else by_thirds(found, self.frequency)

    @torch.no_grad()
    def retrieve_own_text(self, heads: ProjectionHeads, rows: np.ndarray, batch: int = 64) -> float:
        """Percentage of pictures that choose their own text among `batch`; equal texts count as right."""
        order, right = np.random.default_rng(self.seed).permutation(rows), []
        for start in range(0, max(1, len(order) - batch + 1), batch):
            part = order[start : start + batch]
            features, texts = heads(self.features(part), self.tokens[part])
            chosen = (features @ texts.T).argmax(1)
            right.append((self.tokens[part][chosen] == self.tokens[part]).all(1).float().mean().item())
        return 100 * float(np.mean(right))


def write_shards(folder: str, captions: Sequence[str], n: int) -> list[Path]:
    """The captions with their numbers as uid, in n parquet files."""
    files = [Path(folder) / f"{i}.parquet" for i in range(n)]
    for rows, file in zip(np.array_split(np.arange(len(captions)), n), files, strict=True):
        parquet.write_table(pyarrow.table({"uid": rows, "text": [captions[i] for i in rows]}), file)
    return files


def measure_rate(search: Callable[[str], object], texts: Sequence[str]) -> float:
    """Thousand texts that `search` takes in a second of processor time."""
    start = time.process_time()
    for text in texts:
        search(text)
    return 1e-3 * len(texts) / (time.process_time() - start)


def draw_cumulative_matches(counts: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> None:
    """Matches so far against entries, rarest first: a line for each set. Args: counts (P,) and number of pairs of each set."""
    from clipkit import lab

    said = "; ".join(f"{name}: {c.sum()} matches, Gini {gini(c):.2f}" for name, c in counts.items())
    title = "Most matches belong to few entries, until t cuts them"
    with lab.figure(alt=f"Cumulative matches, rarest entry first. {said}", title=title) as axes:
        for (name, c), line in zip(counts.items(), ("-", "--", ":"), strict=True):
            axes.plot(np.cumsum(np.sort(c)), line, color="black")
            axes.annotate(f" {name}:\n {sizes[name]:,} pairs", (len(c), c.sum()), va="center", fontsize=11)
        axes.set(xlabel="entries, rarest first", ylabel="matches so far", xlim=(0, 1.42 * len(c)))


def show_pairs(study: CurationStudy, keep: np.ndarray) -> None:
    """Pictures, texts and keep probabilities (N,): two each of no match, a match about nothing, a frequent and a rare thing."""
    from clipkit import lab

    good = study.visual & study.matched
    kinds = (~study.matched, study.matched & ~study.visual, good & (keep < 0.5), good & (keep == 1))
    rows = np.concatenate([np.flatnonzero(kind)[:2] for kind in kinds])
    said = [f"{study.pool.captions[n]}: {keep[n]:.2f}" for n in rows]
    lab.image_grid(render(study.pool._source[rows], size=64).images, said, columns=4, title="A small web, and what balancing makes of it")
