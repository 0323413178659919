"""The experiments of the BARTScore page, with scorers whose opinions are known: choice, split, prompts, style, sensitivity."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from clipkit.datasets.rated_texts import RatedTexts
from clipkit.errors import ClipkitError
from clipkit.score.overlap import chrf, rouge
from clipkit.studies.bartscore import (
    DIRECTIONS,
    JudgedTexts,
    choose_variant,
    correlate_within,
    draw_false_word,
    make_judged_texts,
    measure_fault_costs,
    measure_style_bias,
    read_rated_texts,
    score_best_prompt,
    score_cosine,
    score_directions,
    score_overlap,
    write_own_and_other,
)
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
    return make_judged_texts(24, 7)


@pytest.fixture(scope="module")
def kept():
    return np.arange(24) < 8


def test_an_oracle_agrees_fully_and_a_constant_not_at_all(data, kept):
    quality = data.axis("quality")
    assert correlate_within(quality, quality, data, ~kept).mean == pytest.approx(1)
    assert correlate_within(np.ones(len(quality)), quality, data, ~kept).dropped == 16


def test_choice_never_sees_the_documents_that_judge(data, kept):
    quality, rng = data.axis("quality"), np.random.default_rng(0)
    noise = rng.normal(size=len(quality))
    early, late = (np.where(data.rows(part), quality, noise) for part in (kept, ~kept))  # each good on one part only
    variants = {"early": early, "late": late}
    assert choose_variant(variants, quality, data, kept) == "early"
    assert correlate_within(early, quality, data, kept).mean == pytest.approx(1)
    assert abs(correlate_within(early, quality, data, ~kept).mean) < 0.35
    with pytest.raises(ClipkitError, match="no variant"):
        choose_variant({}, quality, data, kept)


def test_directions(data):
    oracle = Oracle(data)
    found = score_directions(oracle, data)
    assert tuple(found) == DIRECTIONS and all(v.shape == (192,) for v in found.values())
    np.testing.assert_allclose(found["source_to_text"], data.axis("quality"))
    np.testing.assert_allclose(found["both"], (found["reference_to_text"] + found["text_to_reference"]) / 2)
    calls = oracle.calls
    assert list(score_directions(oracle, data, ["source_to_text"])) == ["source_to_text"] and oracle.calls == calls + 192


def test_some_documents_alone(data, kept):
    some = data.select(~kept)
    assert some.sources == data.sources[8:] and some.references == data.references[8:] and some.truths == data.truths[8:]
    assert some.texts == data.texts[64:] and some.graded == data.graded[64:]
    assert some.document.tolist() == (data.document[64:] - 8).tolist()
    np.testing.assert_array_equal(score_directions(Oracle(data), some)["both"], score_directions(Oracle(data), data)["both"][64:])


def test_options_reach_the_scorer(data, kept):
    class Lengthy(Oracle):  # the sum knows the length only, special tokens carry all of the noise
        def logprob(self, src, tgt, norm="mean", skip_special=False):
            if norm == "sum":
                return -torch.tensor([float(len(t.split())) for t in tgt], dtype=torch.float64)
            return super().logprob(src, tgt) if skip_special else torch.tensor([float(zlib.crc32(t.encode()) % 97) for t in tgt])

    def judge(direction, **options):
        values = score_directions(Lengthy(data), data, [direction], **options)[direction]
        return correlate_within(values, data.axis("quality"), data, kept).mean

    assert judge("source_to_text", skip_special=True) == pytest.approx(1) and abs(judge("source_to_text")) < 0.5
    lengths = -np.array([len(t.split()) for t in data.texts], dtype=float)
    assert judge("source_to_text", norm="sum") == pytest.approx(correlate_within(lengths, data.axis("quality"), data, kept).mean)
    assert np.isnan(judge("text_to_reference"))  # this scorer sees the reference only: the same for all texts of a document


def test_prompts_are_chosen_on_kept_documents_and_the_rest_is_scored_once(data, kept):
    oracle = Oracle(data, noise=1.0)
    name, values = score_best_prompt(oracle, ["badly", "well"], "source_to_text", data, kept)
    assert name == "decoder: well"
    np.testing.assert_allclose(values, data.axis("quality"))
    assert oracle.calls == 64 * 2 * 2 + 128  # two prompts on two sides, kept documents; the chosen one on the others


def test_overlap_and_score_cosine(data):
    one_direction_a_word = lambda texts: (torch.ones(len(texts), 2, 3), torch.ones(len(texts), 2, dtype=torch.bool))  # noqa: E731
    model = type("Model", (), {"embed": staticmethod(one_direction_a_word)})
    found = score_overlap(data, {"writer": model})
    assert {name: len(v) for name, v in found.items()} == {"rouge": 18, "chrf": 4, "embedding_f1": 6}
    np.testing.assert_allclose(found["chrf"]["chrf++ source"], chrf([[s] for s in data.source_of], data.texts, 2))
    np.testing.assert_allclose(found["rouge"]["rouge1_r references"], rouge(data.references_of, data.texts, ["rouge1"])["rouge1_r"])
    np.testing.assert_allclose(found["embedding_f1"]["embedding_f source, writer"], 1, atol=1e-6)
    known = {t: i for i, t in enumerate(sorted({*data.texts, *data.sources, *(r for row in data.references for r in row)}))}
    cosine = score_cosine(lambda texts: torch.eye(len(known))[[known[t] for t in texts]], data)
    same = [np.mean([t == r for r in data.references[d]]) for t, d in zip(data.texts, data.document, strict=True)]
    np.testing.assert_allclose(cosine["references"], same, atol=1e-6)


def test_own_words_and_other_words(data):
    sources, texts = write_own_and_other(Oracle(data), data, ("wrong_colour", "wrong_category"))
    assert len(sources) == len(texts["own_true"]) > 3 and set(texts) == {"own_true", "own_false", "other_true", "other_false"}
    for s, own, false, other in zip(sources, texts["own_true"], texts["own_false"], texts["other_true"], strict=True):
        assert own == data.references[data.sources.index(s)][0]
        assert len({own, false, other}) == 3

    class Liar(Oracle):
        def write(self, texts, beams=4):
            return ["ten purple cats in the sea"] * len(texts)

    assert (
        write_own_and_other(Liar(data), data, ("wrong_colour",))[0] == [] and measure_style_bias(Liar(data), data, ("wrong_colour",)) == {}
    )


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
    found, honest = (measure_style_bias(w, data, ("wrong_colour", "wrong_category")) for w in (vain, fair))
    assert found["pairs"] == honest["pairs"] > 3
    assert honest["own_false_preferred"] == honest["same_words"] == honest["other_words"] == 0
    assert found["own_false_preferred"] > 20 and found["same_words"] == 0 and found["by_information"] == 0


def test_sensitivity_of_a_perfect_metric_is_that_of_quality(data):
    seen = {}

    def length(sources, references, texts):
        seen["references"] = references
        return -np.array([len(t.split()) for t in texts], dtype=float)

    kinds = ("padding", "dropped_object", "wrong_colour")
    found = measure_fault_costs({"length": length}, data, kinds).T
    assert tuple(found) == kinds and list(found.index) == ["quality", "length", "texts"] and (found.loc["texts"] > 15).all()
    assert found["padding"]["quality"] == pytest.approx(0) and found["padding"]["length"] > 0.5
    assert found["dropped_object"]["length"] < 0 < found["dropped_object"]["quality"]
    assert found["wrong_colour"]["length"] == pytest.approx(0, abs=0.1) and found["wrong_colour"]["quality"] > 0.5
    assert all(len(r) == 1 for r in seen["references"])  # the good text is never its own reference


def test_a_fault_that_is_never_possible_costs_nothing_that_is_known():
    one = make_judged_texts(1, 7)
    one.references[0][0] = "a cat"  # has no place, and one thing
    found = measure_fault_costs({"words": lambda s, r, h: [len(t.split()) for t in h]}, one, ["wrong_place", "padding"])
    assert found.loc["wrong_place"].isna().all() and found["texts"]["padding"] == 1


def test_texts_to_be_judged():
    data = make_judged_texts(60, 5, hypotheses=6, references=3)
    assert isinstance(data, JudgedTexts) and len(data.texts) == len(data.graded) == len(data.document) == 360
    assert len(data.sources) == 60 and all(len(r) == 3 for r in data.references)
    assert data.texts == make_judged_texts(60, 5, 6, 3).texts and data.texts != make_judged_texts(60, 6, 6, 3).texts
    for source, references, truth in zip(data.sources, data.references, data.truths, strict=True):
        assert check(truth, source).ok and all(check(truth, r).ok for r in references)
    for axis in ("precision", "recall", "fluency"):
        values = data.axis(axis)
        assert values.min() >= 0 and values.max() == 1 and values.std() > 0.1
    assert abs(np.corrcoef(data.axis("precision"), data.axis("fluency"))[0, 1]) < 0.25
    assert data.source_of[7] == data.sources[1] and data.rows(np.arange(60) == 1).sum() == 6


def test_the_false_word_is_drawn_beside_the_true_one(data, monkeypatch):
    alts = []
    monkeypatch.setattr("clipkit.lab.figures.show", lambda drawing, alt: alts.append(alt))

    class Speller:  # minus the length of each word
        def tokens(self, sources, texts):
            return [[(word, -float(len(word))) for word in text.split()] for text in texts]

    found = draw_false_word(Speller(), data)
    assert found["false_word"] != found["true_word"] and found["shown_source"] in data.sources
    assert found["false_value"] == -len(found["false_word"]) and found["true_value"] == -len(found["true_word"])
    assert any(found["true_word"] in references[0].split() for references in data.references)
    assert repr(found["false_word"]) in alts[0]


def test_own_texts_and_their_ratings(tmp_path):
    table = tmp_path / "rated.csv"
    table.write_text("document,source,reference,reference_2,text,rating\na,s,r,q,one,1\na,s,r,q,two,0\nb,,r,,three,0.5\nc,s,,,four,3\n")
    name = f"text:{table}"
    first, second, third = RatedTexts(name).documents
    assert first == ("s", ["r", "q"], [("one", 1.0), ("two", 0.0)]) and second.source == "r" and third.references == ["s"]
    data = read_rated_texts(name, 0, 9)
    assert data.texts == ["one", "two", "three", "four"] and data.document.tolist() == [0, 0, 1, 2]
    assert data.axis("rating").tolist() == [1, 0, 0.5, 3] and data.references_of[1] == ["r", "q"]
    for content, message in (
        ("text,rating\na,1\n", "neither source nor reference"),
        ("text,source,rating\na,b,good\n", "line 2: the rating 'good' is no number"),
        ("text,source\na,b\n", "no column 'rating'"),
    ):
        table.write_text(content)
        with pytest.raises(ClipkitError, match=message):
            RatedTexts(name)
    with pytest.raises(ClipkitError, match="is no table of texts"):
        RatedTexts("text:nowhere.csv")


def test_where_each_document_has_one_text_all_are_ranked_together():
    truth = np.array([0.0, 1, 2, 3])
    one = JudgedTexts(["s"] * 4, [["r"]] * 4, list("abcd"), [], np.arange(4), [None] * 4)
    assert correlate_within(truth**2, truth, one, np.ones(4, dtype=bool)).mean == pytest.approx(1)
    assert correlate_within(-truth, truth, one, np.array([True, True, False, True])).mean == pytest.approx(-1)
