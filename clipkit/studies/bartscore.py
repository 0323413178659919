"""The BARTScore page: texts of known quality, metrics in all their variants, prompts, faults, and a writer's liking for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from clipkit import lab
from clipkit.datasets.rated_texts import RatedTexts
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.language.corpora import documents
from clipkit.language.factual_errors import FALSE, Graded, corrupt_text, grade
from clipkit.language.scorers import Seq2SeqScorer
from clipkit.metrics import percent
from clipkit.score.agreement import GroupCorrelations, group_correlations
from clipkit.score.bartscore import BARTScore, PromptedScorer
from clipkit.score.overlap import chrf, embedding_match, rouge
from clipkit.world import caption_batch
from clipkit.world.caption_parser import check
from clipkit.world.content_plan import HashRandom, SceneFacts, seeds_of, states, truths
from clipkit.world.pairs import differing_words

DIRECTIONS = ("source_to_text", "reference_to_text", "text_to_reference", "both")
OMISSIONS = ("dropped_object", "dropped_colour")
DAMAGE = ("shuffled", "repeated", "lost_articles", "truncated")
AXES = ("precision", "recall", "fluency")
Variants = dict[str, np.ndarray]  # name -> a score for each hypothesis, (N,)


class Rated(NamedTuple):
    """What people think of a text."""

    rating: float


@dataclass
class JudgedTexts:
    """D documents (sources, references, truths of their scenes) with N hypotheses (texts, graded; document: (N,) its number)."""

    sources: list[str]
    references: list[list[str]]
    texts: list[str]
    graded: list[Graded] | list[Rated]
    document: np.ndarray
    truths: list[SceneFacts]

    def axis(self, name: str) -> np.ndarray:
        """True values (N,): "precision", "recall", "fluency", "f1" or "quality"."""
        return np.array([getattr(g, name) for g in self.graded])

    source_of = property(lambda self: [self.sources[d] for d in self.document], doc="The source of each hypothesis.")
    references_of = property(lambda self: [self.references[d] for d in self.document], doc="The references of each hypothesis.")

    def rows(self, chosen: np.ndarray) -> np.ndarray:
        """Which hypotheses (N,) bool belong to the chosen documents (D,) bool."""
        return np.asarray(chosen)[self.document]

    def select(self, chosen: np.ndarray) -> JudgedTexts:
        """The chosen documents (D,) bool alone."""
        kept, rows = np.flatnonzero(chosen), np.flatnonzero(self.rows(chosen))
        sources, references, scenes = ([column[d] for d in kept] for column in (self.sources, self.references, self.truths))
        texts, graded = ([column[i] for i in rows] for column in (self.texts, self.graded))
        return JudgedTexts(sources, references, texts, graded, np.searchsorted(kept, self.document[rows]), scenes)


def make_judged_texts(n: int, seed: int, hypotheses: int = 8, references: int = 2, reworded: int = 2) -> JudgedTexts:
    """n documents of the world. reworded: how many of five hypotheses, on average, are told in other words than the references."""
    scenes = documents(n, seed)
    known = list(truths(scenes))
    captions = [caption_batch(scenes, "short", seed=seed + 7919 * (k + 1)) for k in range(references + hypotheses)]
    by_document, draws = list(zip(*captions, strict=True)), [HashRandom(state) for state in states(seeds_of(scenes), "hypotheses", seed)]
    graded = [_hypothesis(text, known[d], draws[d], reworded) for d in range(n) for text in by_document[d][references:]]
    shown, owner = [list(row[:references]) for row in by_document], np.repeat(np.arange(n), hypotheses)
    return JudgedTexts(caption_batch(scenes, "dense", seed=seed), shown, [g.text for g in graded], graded, owner, known)


def _hypothesis(text: str, truth: SceneFacts, draw: HashRandom, reworded: int) -> Graded:
    """False facts in two of five, an omission in two of five, other words in `reworded` of five, damaged wording in half of them."""
    for often, kinds, shares in ((2, FALSE, (0.1, 0.6)), (2, OMISSIONS, (0.1, 0.6)), (reworded, ("paraphrase",), (1.0,))):
        if draw(5) < often:
            changed = corrupt_text(text, draw.pick(kinds), truth, draw.pick(shares), draw)
            text = changed.text if changed else text
    damaged = None if draw(2) else corrupt_text(text, draw.pick(DAMAGE), truth, draw.pick((0.15, 0.3, 0.5)), draw)
    return damaged or grade(truth, text)


def read_rated_texts(name: str, seed: int, n: int) -> JudgedTexts:
    """At most n of the seed's own documents of a table "text:PATH" (`clipkit.datasets.rated_texts`)."""
    documents = RatedTexts(name).documents
    own = [documents[i] for i in dealt(len(documents), seed)[:n]]
    rows, owner = [row for d in own for row in d.rated], np.repeat(np.arange(len(own)), [len(d.rated) for d in own])
    texts, rated = [text for text, _ in rows], [Rated(value) for _, value in rows]
    return JudgedTexts([d.source for d in own], [d.references for d in own], texts, rated, owner, [None] * len(own))


def score_directions(scorer, data: JudgedTexts, names: Sequence[str] = DIRECTIONS, **options) -> Variants:
    """BARTScore of the hypotheses in each direction, (N,) each. `options`: of BARTScore."""
    score, found = BARTScore(scorer, **options), {}
    if "source_to_text" in names:
        found["source_to_text"] = score.faithfulness(data.source_of, data.texts)
    if {"both", "reference_to_text"} & set(names):
        found["reference_to_text"] = score.precision(data.references_of, data.texts)
    if {"both", "text_to_reference"} & set(names):
        found["text_to_reference"] = score.recall(data.references_of, data.texts)
    if "both" in names:
        found["both"] = (found["reference_to_text"] + found["text_to_reference"]) / 2
    return {name: found[name] for name in names}


def score_overlap(data: JudgedTexts, models: Mapping[str, Seq2SeqScorer]) -> dict[str, Variants]:
    """ROUGE, chrF and embeddings matched by each of `models`, given references or source: {"rouge": {"rouge1_f references": (N,), …}}."""
    found: dict[str, Variants] = {"rouge": {}, "chrf": {}, "embedding_f1": {}}
    for name, against in {"references": data.references_of, "source": [[s] for s in data.source_of]}.items():
        found["rouge"] |= {f"{k} {name}": v for k, v in rouge(against, data.texts).items()}
        found["chrf"] |= {f"chrf{'+' * n} {name}": chrf(against, data.texts, n) for n in (0, 2)}
        for who, model in models.items():
            matched = embedding_match(model.embed, against, data.texts)
            found["embedding_f1"] |= {f"{k} {name}, {who}": v for k, v in matched.items()}
    return found


def score_cosine(embed: Callable[[list[str]], object], data: JudgedTexts) -> Variants:
    """Cosine of whole texts by `embed` (texts to unit rows (N, D)): with the mean reference, and with the source."""
    columns = data.texts, data.sources, [r for row in data.references for r in row]
    texts, sources, references = (np.asarray(embed(column), dtype=np.float64) for column in columns)
    ends = np.cumsum([len(row) for row in data.references])[:-1]
    sides = {"references": np.stack([rows.mean(0) for rows in np.split(references, ends)]), "source": sources}
    return {name: (texts * side[data.document]).sum(1) for name, side in sides.items()}


def correlate_within(values: np.ndarray, truth: np.ndarray, data: JudgedTexts, documents: np.ndarray) -> GroupCorrelations:
    """Spearman's correlation inside each of the chosen documents (D,) bool; over all of them where each has one text."""
    rows = data.rows(documents)
    groups = data.document[rows]
    return group_correlations(truth[rows], values[rows], groups if len(set(groups)) < len(groups) else groups * 0)


def choose_variant(variants: Mapping[str, np.ndarray], truth: np.ndarray, data: JudgedTexts, documents: np.ndarray) -> str:
    """The variant with the highest mean correlation inside the chosen documents; the first of equals."""
    if not variants:
        raise ClipkitError("there is no variant to choose from")
    means = {name: correlate_within(values, truth, data, documents).mean for name, values in variants.items()}
    return max(means, key=lambda name: (not np.isnan(means[name]), means[name]))


def score_best_prompt(scorer, prompts: Sequence[str], way: str, data: JudgedTexts, chosen_on: np.ndarray) -> tuple[str, np.ndarray]:
    """The best prompt, or mean of all prompts, on either side, for quality on the documents `chosen_on` (D,) bool: name and scores (N,).

    way: one of DIRECTIONS. Other documents see no other prompt.
    """
    kept, others, found = data.select(chosen_on), data.select(~chosen_on), {}

    def score(texts: JudgedTexts, given: Sequence[str], side: str) -> np.ndarray:
        return score_directions(PromptedScorer(scorer, given, side), texts, [way])[way]

    for side in ("encoder", "decoder"):
        each = {f"{side}: {p}": score(kept, [p], side) for p in prompts}
        found |= each | {f"{side}: mean of all": np.mean(list(each.values()), axis=0)}
    best = choose_variant(found, kept.axis("quality"), kept, np.ones(len(kept.sources), dtype=bool))
    side, name = best.split(": ", 1)
    values, rows = np.empty(len(data.texts)), data.rows(chosen_on)
    values[rows], values[~rows] = found[best], score(others, prompts if name == "mean of all" else [name], side)
    return best, values


def write_own_and_other(writer, data: JudgedTexts, kinds: Sequence[str], seed: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    """What the writer wrote for each document, with and without a false fact (of `kinds` in turn), in its own words and in others.

    P sources and {"own_true", "own_false", "other_true", "other_false"} with P texts each: where its text is true and can be changed so.
    """
    rows: list[tuple[str, ...]] = []
    for number, (source, text, truth) in enumerate(zip(data.sources, writer.write(data.sources), data.truths, strict=True)):
        if not check(truth, text).ok:
            continue
        other, kind = corrupt_text(text, "paraphrase", truth, 1.0, seed), kinds[number % len(kinds)]
        false = corrupt_text(text, kind, truth, 0.01, seed)
        other_false = corrupt_text(other.text, kind, truth, 0.01, seed) if other else None
        if false and other_false and false.precision < 1 and other.precision == 1 and other_false.precision < 1:
            rows.append((source, text, false.text, other.text, other_false.text))
    sources, *texts = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    return sources, dict(zip(("own_true", "own_false", "other_true", "other_false"), texts, strict=True))


def measure_style_bias(writer: Seq2SeqScorer, data: JudgedTexts, kinds: Sequence[str], seed: int = 0) -> dict[str, float]:
    """How often, in percent, the writer scores a false text above a true one (source → text); {} where no document qualifies.
    "own_false_preferred": its own words with a false fact against the true facts in other words. "same_words" and "other_words":
    both in its own words, and both in others. "by_information": the first question with the language model's share subtracted.
    "pairs": how many documents were asked.
    """
    sources, texts = write_own_and_other(writer, data, kinds, seed)
    if not sources:
        return {}
    given = {name: writer.logprob(sources, column) for name, column in texts.items()}
    gained = {name: given[name] - writer.logprob(None, column) for name, column in texts.items()}
    asked = {
        "own_false_preferred": given["own_false"] > given["other_true"],
        "other_words": given["other_false"] > given["other_true"],
        "same_words": given["own_false"] > given["own_true"],
        "by_information": gained["own_false"] > gained["other_true"],
    }
    return {name: percent(answer) for name, answer in asked.items()} | {"pairs": float(len(sources))}


def measure_fault_costs(metrics: Mapping[str, Callable], data: JudgedTexts, kinds: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Mean drop from a good text (a document's first reference, judged against the others) to the same text spoilt in one way, in
    standard deviations of good and spoilt texts together.

    Args: metrics: name -> (sources, lists of references, texts) -> (M,).
    Returns: kinds × ("quality", the metrics, "texts": how many could be spoilt so); NaN for a kind that was never possible.
    """
    first = [(d, data.references[d][0], truth) for d, truth in enumerate(data.truths)]
    rows = [(d, "good", grade(truth, text)) for d, text, truth in first]
    rows += [(d, kind, corrupt_text(text, kind, truth, 0.34, seed)) for kind in kinds for d, text, truth in first]
    table = pd.DataFrame([(d, kind, g.text, g.quality) for d, kind, g in rows if g], columns=["document", "kind", "text", "quality"])
    sources, references = [data.sources[d] for d in table.document], [data.references[d][1:] for d in table.document]
    for name, metric in metrics.items():
        table[name] = np.asarray(metric(sources, references, list(table.text)))
    names, spoilt = ["quality", *metrics], table[table.kind != "good"]
    good = table[table.kind == "good"].set_index("document").loc[spoilt.document, names]
    by_kind = ((good.to_numpy() - spoilt[names]) / table[names].std(ddof=0)).groupby(spoilt.kind)
    return by_kind.mean().assign(texts=by_kind.size()).reindex(kinds)


def draw_false_word(writer: Seq2SeqScorer, data: JudgedTexts, seed: int = 0) -> dict[str, str | float]:
    """Log-probabilities of a caption's words, one of them made false, beside the true caption's. Returns: both words and values, source."""
    captions = zip(data.sources, (references[0] for references in data.references), data.truths, strict=True)
    spoilt = ((source, good, corrupt_text(good, "wrong_colour", truth, 0.1, seed)) for source, good, truth in captions)
    one = ((s, g, b.text) for s, g, b in spoilt if b and differing_words(g, b.text) == 1 and set(b.text.split()) - set(g.split()))
    source, good, bad = next(one)
    true, false = writer.tokens([source] * 2, [good, bad])
    wrong = [word not in dict(true) for word, _ in false]
    (word, value), (right, other) = next(((f, t) for f, t, w in zip(false, true, wrong, strict=False) if w), (false[0], true[0]))
    alt = f"Log-probability of each word of a caption. The false word {word!r} has {value:.1f}, the true one {other:.1f}."
    with lab.figure(alt=alt, title=f"One false word, {word}, stands out", size=(6.4, 5.0)) as axes:
        colours = ["#D55E00" if w else "#8FB8DE" for w in wrong]
        axes.barh(range(len(false)), [v for _, v in false], color=colours, hatch=None, edgecolor="black", linewidth=0.4)
        axes.plot([v for _, v in true], range(len(true)), "o", color="black", markerfacecolor="white", label="in the true caption")
        axes.set_yticks(range(len(false)), [f"{b} (true: {right})" if w else b for (b, _), w in zip(false, wrong, strict=True)])
        axes.invert_yaxis()
        axes.set(xlabel="log-probability of the word", xlim=(None, 0.2))
        axes.legend(loc="lower left")
    return {"false_word": word, "true_word": right, "false_value": value, "true_value": other, "shown_source": source}
