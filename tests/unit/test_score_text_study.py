"""The experiments of the BARTScore page, with scorers whose opinions are known: choice, split, prompts, style, sensitivity."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.score.overlap import rouge
from clipkit.studies.bartscore import (
    DIRECTIONS,
    ablations,
    choose,
    compare,
    cosine_variants,
    directions,
    overlap_variants,
    own_and_other,
    prompted,
    sensitivity,
    style_bias,
    within,
)
from clipkit.studies.bartscore_hypotheses import judged_texts
from clipkit.world.caption_parser import check


class Oracle:
    """Knows the truth of each hypothesis, and writes the first reference of a document; a prompt word spoils or mends it."""

    def __init__(self, data, noise=0.0):
        self.data, self.noise = data, noise
        self.value = dict(zip(data.texts, data.axis("quality"), strict=True))
        self.calls = 0

    def logprob(self, src, tgt, norm="mean", skip_special=False):
        self.calls += len(tgt)
        out = []
        for t in tgt:
            bare = t.removeprefix("well, ").removeprefix("badly, ")
            value = self.value.get(bare, 0.5)
            out.append(
                -value
                if t.startswith("badly")
                else value
                if t.startswith("well")
                else self.noise * (zlib.crc32(bare.encode()) % 97) + value
            )
        return torch.tensor(out, dtype=torch.float64)

    def write(self, texts, beams=4):
        return [self.data.references[self.data.sources.index(t)][0] for t in texts]


@pytest.fixture(scope="module")
def data():
    return judged_texts(24, 7)


@pytest.fixture(scope="module")
def kept():
    return np.arange(24) < 8


def test_an_oracle_agrees_fully_and_a_constant_not_at_all(data, kept):
    quality = data.axis("quality")
    assert within(quality, quality, data, ~kept).mean == pytest.approx(1)
    assert within(np.ones(len(quality)), quality, data, ~kept).dropped == 16


def test_choice_never_sees_the_documents_that_judge(data, kept):
    quality, rng = data.axis("quality"), np.random.default_rng(0)
    noise = rng.normal(size=len(quality))
    early, late = (np.where(data.part(part), quality, noise) for part in (kept, ~kept))  # each good on one part only
    variants = {"early": early, "late": late}
    assert choose(variants, quality, data, kept) == "early"
    row = compare({"family": variants, "oracle": {"only": quality}}, quality, data, kept, ["fluency"])
    assert row["oracle|fluency"] == pytest.approx(within(quality, data.axis("fluency"), data, ~kept).mean)
    assert row["oracle"] == pytest.approx(1) and abs(row["family"]) < 0.35
    assert row["picked|family|early"] == 1 and row["picked|family|late"] == 0
    with pytest.raises(ClipkitError, match="no variant"):
        choose({}, quality, data, kept)


def test_directions_and_rows(data, kept):
    oracle = Oracle(data)
    found = directions(oracle, data)
    assert list(found) == list(DIRECTIONS) and all(v.shape == (192,) for v in found.values())
    np.testing.assert_allclose(found["source_to_text"], data.axis("quality"))
    np.testing.assert_allclose(found["both"], (found["reference_to_text"] + found["text_to_reference"]) / 2)
    some = directions(oracle, data, data.part(kept), ["both"])["both"]
    assert np.isnan(some[~data.part(kept)]).all()
    np.testing.assert_allclose(some[data.part(kept)], found["both"][data.part(kept)])


def test_ablations_change_one_detail(data, kept):
    class Lengthy(Oracle):  # the sum knows the length only, special tokens carry all of the noise
        def logprob(self, src, tgt, norm="mean", skip_special=False):
            if norm == "sum":
                return -torch.tensor([float(len(t.split())) for t in tgt], dtype=torch.float64)
            return super().logprob(src, tgt) if skip_special else torch.tensor([float(zlib.crc32(t.encode()) % 97) for t in tgt])

    found = ablations(Lengthy(data), data, kept, directions(Lengthy(data), data))
    assert found["without_special"] == pytest.approx(1) and abs(found["mean"]) < 0.5
    lengths = -np.array([len(t.split()) for t in data.texts], dtype=float)
    assert found["sum"] == pytest.approx(within(lengths, data.axis("quality"), data, kept).mean)
    assert np.isnan(found["all_references"])  # this scorer sees the reference only: the same for all texts of a document


def test_prompts_are_chosen_on_kept_documents_and_the_rest_is_scored_once(data, kept):
    oracle = Oracle(data, noise=1.0)
    name, values = prompted(oracle, ["badly", "well"], "source_to_text", data.axis("quality"), data, kept)
    assert name == "decoder: well"
    np.testing.assert_allclose(values, data.axis("quality"))
    assert oracle.calls == 64 * 2 * 2 + 128  # two prompts on two sides, kept documents; the chosen one on the others


def test_overlap_and_cosine_variants(data):
    one_direction_a_word = lambda texts: (torch.ones(len(texts), 2, 3), torch.ones(len(texts), 2, dtype=torch.bool))  # noqa: E731
    model = type("Model", (), {"embed": staticmethod(one_direction_a_word)})
    found = overlap_variants(data, {"writer": model})
    assert {name: len(v) for name, v in found.items()} == {"rouge": 18, "chrf": 4, "embedding_f1": 6}
    np.testing.assert_allclose(found["rouge"]["rouge1_r references"], rouge(data.references_of, data.texts, ["rouge1"])["rouge1_r"])
    np.testing.assert_allclose(found["embedding_f1"]["embedding_f source, writer"], 1, atol=1e-6)
    known = {t: i for i, t in enumerate(sorted({*data.texts, *data.sources, *(r for row in data.references for r in row)}))}
    cosine = cosine_variants(lambda texts: torch.eye(len(known))[[known[t] for t in texts]], data)
    same = [np.mean([t == r for r in data.references[d]]) for t, d in zip(data.texts, data.document, strict=True)]
    np.testing.assert_allclose(cosine["references"], same, atol=1e-6)


def test_own_words_and_other_words(data):
    sources, texts = own_and_other(Oracle(data), data, ("wrong_colour", "wrong_category"))
    assert len(sources) == len(texts["own_true"]) > 3 and set(texts) == {"own_true", "own_false", "other_true", "other_false"}
    for s, own, false, other in zip(sources, texts["own_true"], texts["own_false"], texts["other_true"], strict=True):
        assert own == data.references[data.sources.index(s)][0]
        assert len({own, false, other}) == 3

    class Liar(Oracle):
        def write(self, texts, beams=4):
            return ["ten purple cats in the sea"] * len(texts)

    assert own_and_other(Liar(data), data, ("wrong_colour",))[0] == [] and style_bias(Liar(data), data, ("wrong_colour",)) == {}


def test_style_bias_of_a_writer_that_loves_its_own_words_and_of_one_that_loves_truth(data):
    class Vain(Oracle):  # five for a frame of its own, one for the truth; without a source it knows the frame only
        def logprob(self, src, tgt, norm="mean", skip_special=False):
            own = torch.tensor([5.0 * (t.split()[0] in {r[0].split()[0] for r in self.data.references}) for t in tgt], dtype=torch.float64)
            true = [0.0] * len(tgt) if src is None else [self.true(s, t) for s, t in zip(src, tgt, strict=True)]
            return self.vanity * own + torch.tensor(true, dtype=torch.float64)

        def true(self, source, text):
            return check(self.data.truths[self.data.sources.index(source)], text).precision

    vain, fair = Vain(data), Vain(data)
    vain.vanity, fair.vanity = 1.0, 0.0
    found, honest = (style_bias(w, data, ("wrong_colour", "wrong_category")) for w in (vain, fair))
    assert found["pairs"] == honest["pairs"] > 3
    assert honest["own_false_preferred"] == honest["same_words"] == honest["other_words"] == 0
    assert found["own_false_preferred"] > 20 and found["same_words"] == 0 and found["by_information"] == 0


def test_sensitivity_of_a_perfect_metric_is_that_of_quality(data):
    seen = {}

    def length(sources, references, texts):
        seen["references"] = references
        return -np.array([len(t.split()) for t in texts], dtype=float)

    found = sensitivity({"length": length}, data, ("padding", "dropped_object", "wrong_colour"))
    assert found["padding"]["quality"] == pytest.approx(0) and found["padding"]["length"] > 0.5
    assert found["dropped_object"]["length"] < 0 < found["dropped_object"]["quality"]
    assert found["wrong_colour"]["length"] == pytest.approx(0, abs=0.1) and found["wrong_colour"]["quality"] > 0.5
    assert all(len(r) == 1 for r in seen["references"])  # the good text is never its own reference
