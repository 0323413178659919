"""The experiments of the BARTScore page: metrics in all their variants, chosen on some documents and judged on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.language.factual_errors import corrupt_text, grade
from clipkit.language.scorers import Seq2SeqScorer
from clipkit.score.agreement import GroupCorrelations, group_correlations
from clipkit.score.bartscore import BARTScore, PromptedScorer
from clipkit.score.overlap import chrf, embedding_match, rouge
from clipkit.studies.bartscore_hypotheses import Judged
from clipkit.world.caption_parser import check

DIRECTIONS = {"source_to_text": "faithfulness", "reference_to_text": "precision", "text_to_reference": "recall", "both": "f1"}
Variants = dict[str, np.ndarray]


def directions(scorer, data: Judged, rows: np.ndarray | None = None, names: Sequence[str] = tuple(DIRECTIONS), **options) -> Variants:
    """BARTScore of the hypotheses in each direction of DIRECTIONS, (N,); NaN outside `rows` (N,) bool. `options`: of BARTScore."""
    rows = np.ones(len(data.texts), dtype=bool) if rows is None else rows
    pick = lambda values: [v for v, r in zip(values, rows, strict=True) if r]  # noqa: E731
    texts, sources, references = pick(data.texts), pick(data.source_of), pick(data.references_of)
    score, found = BARTScore(scorer, **options), {}
    if "source_to_text" in names:
        found["source_to_text"] = score.faithfulness(sources, texts)
    if "both" in names or "reference_to_text" in names:
        found["reference_to_text"] = score.precision(references, texts)
    if "both" in names or "text_to_reference" in names:
        found["text_to_reference"] = score.recall(references, texts)
    if "both" in names:
        found["both"] = (found["reference_to_text"] + found["text_to_reference"]) / 2
    out = {}
    for name in names:
        out[name] = np.full(len(rows), np.nan)
        out[name][rows] = found[name]
    return out


def overlap_variants(data: Judged, models: Mapping[str, Seq2SeqScorer]) -> dict[str, Variants]:
    """ROUGE, chrF and matched embeddings in all their variants: {"rouge": {"rouge1_f references": (N,), …}, …}.

    Each is given the references, and the source in their place; embeddings come from the encoder of each of `models`.
    """
    found: dict[str, Variants] = {"rouge": {}, "chrf": chrf_variants(data), "embedding_f1": {}}
    given = {"references": data.references_of, "source": [[s] for s in data.source_of]}
    for name, against in given.items():
        found["rouge"] |= {f"{k} {name}": v for k, v in rouge(against, data.texts).items()}
        for who, model in models.items():
            matched = embedding_match(model.embed, against, data.texts)
            found["embedding_f1"] |= {f"{k} {name}, {who}": v for k, v in matched.items()}
    return found


def chrf_variants(data: Judged) -> Variants:
    """chrF and chrF++ against the references and against the source."""
    given = {"references": data.references_of, "source": [[s] for s in data.source_of]}
    return {f"chrf{'+' * n} {name}": chrf(against, data.texts, n) for name, against in given.items() for n in (0, 2)}


def cosine_variants(embed: Callable[[list[str]], object], data: Judged) -> Variants:
    """Cosine of whole texts by `embed` (texts to unit rows (N, D)): with the mean reference, and with the source."""
    vectors = {}
    for name, texts in (("text", data.texts), ("source", data.sources), ("reference", [r for row in data.references for r in row])):
        vectors[name] = np.asarray(embed(texts), dtype=np.float64)
    mean = vectors["reference"].reshape(len(data.sources), -1, vectors["reference"].shape[1]).mean(1)
    sides = {"references": mean, "source": vectors["source"]}
    return {name: (vectors["text"] * side[data.document]).sum(1) for name, side in sides.items()}


def within(values: np.ndarray, truth: np.ndarray, data: Judged, documents: np.ndarray) -> GroupCorrelations:
    """Spearman's correlation inside each of the chosen documents (D,) bool."""
    rows = data.part(documents)
    return group_correlations(truth[rows], values[rows], data.document[rows])


def choose(variants: Mapping[str, np.ndarray], truth: np.ndarray, data: Judged, documents: np.ndarray) -> str:
    """The variant with the highest mean correlation inside the chosen documents; the first of equals."""
    if not variants:
        raise ClipkitError("there is no variant to choose from")
    means = {name: within(values, truth, data, documents).mean for name, values in variants.items()}
    return max(means, key=lambda name: (not np.isnan(means[name]), means[name]))


def compare(
    families: Mapping[str, Variants], truth: np.ndarray, data: Judged, kept: np.ndarray, axes: Sequence[str] = ()
) -> dict[str, float]:
    """Each family by the variant that is best on the `kept` documents (D,) bool, judged on the others.

    Returns {family: correlation with `truth`, "family|axis": with one of `axes` (see `Judged.axis`),
    "picked|family|variant": 1 for the chosen one, 0 for the others}.
    """
    row: dict[str, float] = {}
    for family, variants in families.items():
        best = choose(variants, truth, data, kept)
        row[family] = within(variants[best], truth, data, ~kept).mean
        row |= {f"{family}|{axis}": within(variants[best], data.axis(axis), data, ~kept).mean for axis in axes}
        row |= {f"picked|{family}|{name}": float(name == best) for name in variants}
    return row


def ablations(scorer, data: Judged, documents: np.ndarray, usual: Variants) -> dict[str, float]:
    """Correlation with quality on the chosen documents (D,) bool when one detail of the score is changed.

    Source → text: "mean" over tokens, "sum", mean "without_special" tokens. Text → reference: "all_references", or "one_reference".
    `usual`: what `directions` gave for this scorer.
    """
    quality, score = data.axis("quality"), BARTScore(scorer)
    first = [r[:1] for r in data.references_of]
    found = {
        "mean": usual["source_to_text"],
        "sum": BARTScore(scorer, norm="sum").faithfulness(data.source_of, data.texts),
        "without_special": BARTScore(scorer, skip_special=True).faithfulness(data.source_of, data.texts),
        "all_references": usual["text_to_reference"],
        "one_reference": score.recall(first, data.texts),
    }
    return {name: within(values, quality, data, documents).mean for name, values in found.items()}


def prompted(
    scorer, prompts: Sequence[str], direction: str, truth: np.ndarray, data: Judged, chosen_on: np.ndarray
) -> tuple[str, np.ndarray]:
    """The best prompt, or mean of all prompts, on either side, by the documents `chosen_on`; its name, and its scores of all texts."""
    rows, found = data.part(chosen_on), {}
    for side in ("encoder", "decoder"):
        each = {p: directions(PromptedScorer(scorer, [p], side), data, rows, [direction])[direction] for p in prompts}
        found |= {f"{side}: {p}": v for p, v in each.items()}
        found[f"{side}: mean of all"] = np.mean(list(each.values()), axis=0)
    best = choose(found, truth, data, chosen_on)
    side, name = best.split(": ", 1)
    rest = directions(PromptedScorer(scorer, prompts if name == "mean of all" else [name], side), data, ~rows, [direction])[direction]
    return best, np.where(rows, found[best], rest)


def own_and_other(writer: Seq2SeqScorer, data: Judged, kinds: Sequence[str], seed: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    """What the writer wrote for each document, with and without a false fact, in its own words and in other words.

    Only documents whose own text is true, names the place, and can be told otherwise and falsified.

    Args: kinds: of false facts, taken in turn.
    Returns: P sources, and {"own_true", "own_false", "other_true", "other_false"} with P texts each; P may be 0.
    """
    written = writer.write(data.sources)
    rows: list[tuple[str, str, str, str, str]] = []
    for number, (source, text, truth) in enumerate(zip(data.sources, written, data.truths, strict=True)):
        if not check(truth, text).ok:
            continue
        other = corrupt_text(text, "paraphrase", truth, 1.0, seed)
        kind = kinds[number % len(kinds)]
        false = corrupt_text(text, kind, truth, 0.01, seed)
        other_false = corrupt_text(other.text, kind, truth, 0.01, seed) if other else None
        if other_false and false and false.precision < 1 and other.precision == 1 and other_false.precision < 1:
            rows.append((source, text, false.text, other.text, other_false.text))
    sources, *texts = map(list, zip(*rows, strict=True)) if rows else ([], [], [], [], [])
    return sources, dict(zip(("own_true", "own_false", "other_true", "other_false"), texts, strict=True))


def style_bias(writer: Seq2SeqScorer, data: Judged, kinds: Sequence[str], seed: int = 0) -> dict[str, float]:
    """How often, in percent, the writer scores a false text above a true one (source → text); {} where no document qualifies.

    "own_false_preferred": its own words with a false fact against the true facts in other words. "same_words" and "other_words":
    both in its own words, and both in others. "by_information": the first question with the language model's share subtracted.
    "pairs": how many documents were asked.
    """
    sources, texts = own_and_other(writer, data, kinds, seed)
    if not sources:
        return {}
    told = {name: writer.logprob(sources, column) for name, column in texts.items()}
    news = {name: told[name] - writer.logprob(None, column) for name, column in texts.items()}
    asked = {
        "own_false_preferred": told["own_false"] > told["other_true"],
        "other_words": told["other_false"] > told["other_true"],
        "same_words": told["own_false"] > told["own_true"],
        "by_information": news["own_false"] > news["other_true"],
    }
    return {name: 100 * answer.double().mean().item() for name, answer in asked.items()} | {"pairs": float(len(sources))}


def sensitivity(
    metrics: Mapping[str, Callable[[list[str], list[list[str]], list[str]], np.ndarray]], data: Judged, kinds: Sequence[str], seed: int = 0
) -> dict[str, dict[str, float]]:
    """Mean drop from a good text to the same text spoilt in one way, in standard deviations of good and spoilt texts together.

    The good text of a document is its first reference (true by construction), judged against the other ones.
    Returns {kind: {"quality": …, metric: …, "texts": how many could be spoilt so}}.
    """
    good, owner, spoilt = [], [], {kind: {} for kind in kinds}
    for d, (references, truth) in enumerate(zip(data.references, data.truths, strict=True)):
        for kind in kinds:
            found = corrupt_text(references[0], kind, truth, 0.34, seed)
            if found is not None:
                spoilt[kind][d] = found
        good.append(references[0])
        owner.append(d)
    graded = [grade(t, g) for t, g in zip(data.truths, good, strict=True)]
    texts = good + [f.text for kind in kinds for f in spoilt[kind].values()]
    owners = owner + [d for kind in kinds for d in spoilt[kind]]
    sources, references = [data.sources[d] for d in owners], [data.references[d][1:] for d in owners]
    values = {name: np.asarray(metric(sources, references, texts)) for name, metric in metrics.items()}
    values["quality"] = np.array([g.quality for g in graded] + [f.quality for kind in kinds for f in spoilt[kind].values()])
    out: dict[str, dict[str, float]] = {}
    start = len(good)
    for kind in kinds:
        own = list(spoilt[kind])
        stop = start + len(own)
        out[kind] = {n: float((v[own] - v[start:stop]).mean() / v.std()) if own else float("nan") for n, v in values.items()}
        out[kind]["texts"] = len(own)
        start = stop
    return out
