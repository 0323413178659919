"""Captioners: find planted attributes, ask about the class they are told, equal their parts, say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from clipkit.errors import ClipkitError
from clipkit.studies.caps_adapter_captioners import PHOTO_QUESTIONS, ProbeCaptioner, ReadoutCaptioner, photo_sentence

X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
WORDS = ["cat", "dog", "red", "blue", "snow", "sea"]
QUESTIONS = {"colour": {c: f"a {c} {{}}" for c in ("red", "blue")}, "place": {p: f"a {{}} in the {p}" for p in ("snow", "sea")}}


class Bag:
    """A text tower that counts words."""

    def text_features(self, texts):
        return torch.nn.functional.normalize(torch.tensor([[float(w in t.split()) for w in WORDS] for t in texts]), dim=1)


def picture(*words):
    return torch.nn.functional.normalize(torch.tensor([float(w in words) for w in WORDS]), dim=0)


@pytest.fixture
def captioner():
    return ReadoutCaptioner(Bag(), ["cat", "dog"], QUESTIONS, lambda name, read: f"a {read['colour']} {name}, {read['place']}")


def test_planted_attributes_are_read(captioner):
    pictures = torch.stack([picture("cat", "blue", "snow"), picture("dog", "red", "sea"), picture("red", "sea")])
    assert captioner(pictures, ["cat", "dog", "cat"]) == ["a blue cat, snow", "a red dog, sea", "a red cat, sea"]
    assert captioner(pictures[:1], ["cat"], "a photo of a {}") == ["a photo of a cat. a blue cat, snow"]
    assert captioner.read(pictures[:1], ["cat"]) == [{"colour": "blue", "place": "snow"}]


def test_equals_asking_one_by_one(captioner):
    pictures = torch.nn.functional.normalize(torch.randn(20, 6, generator=torch.Generator().manual_seed(0)), dim=1)
    names = ["cat", "dog"] * 10
    for f, name, read in zip(pictures, names, captioner.read(pictures, names), strict=True):
        for attribute, answers in QUESTIONS.items():
            cosines = Bag().text_features([t.replace("{}", name) for t in answers.values()]) @ f
            assert read[attribute] == list(answers)[int(cosines.argmax())]


def test_photo_questions_make_sentences():
    read = {attribute: next(iter(answers)) for attribute, answers in PHOTO_QUESTIONS.items()}
    assert photo_sentence("frog", read) == "a close-up photo of a red frog on grass."
    assert all(t.count("{}") == 1 for answers in PHOTO_QUESTIONS.values() for t in answers.values())


def test_probes_learn_what_the_corpus_shows_and_ignore_the_class():
    rng = np.random.default_rng(0)
    colour, place = rng.integers(2, size=200), rng.integers(3, size=200)
    x = torch.tensor(
        np.eye(2)[colour] @ rng.normal(size=(2, 6)) + np.eye(3)[place] @ rng.normal(size=(3, 6)) + 0.05 * rng.normal(size=(200, 6))
    )
    words = {"colour": [("red", "blue")[c] for c in colour], "place": [("snow", "sea", "city")[p] for p in place], "light": ["dim"] * 200}
    captioner = ProbeCaptioner(lambda name, read: f"{name}: {read['colour']}, {read['place']}, {read['light']}")
    captions = captioner.fit(x[:100], {a: w[:100] for a, w in words.items()})(x[100:], ["it"] * 100)
    assert captions == [f"it: {c}, {p}, dim" for c, p in zip(words["colour"][100:], words["place"][100:], strict=True)]
    assert captioner.attributes_ == ["colour", "place", "light"]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(x[:100].numpy(), words["place"][:100])
    assert [r["place"] for r in captioner.read(x, ["it"] * 200)] == model.predict(x.numpy()).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c(torch.randn(2, 6), ["cat"]), "2 pictures but 1"),
        (lambda c: c(torch.randn(1, 6), ["kat"]), "did you mean 'cat'"),
        (lambda c: c(torch.full((1, 6), float("nan")), ["cat"]), "NaN"),
        (lambda c: ProbeCaptioner(str, 0), "strength"),
        (lambda c: ProbeCaptioner(str).fit(X, {}), "at least one attribute"),
        (lambda c: ProbeCaptioner(str).fit(X, {"colour": ["red"]}), "3 pictures but 1 words"),
        (lambda c: ProbeCaptioner(str)(X, ["cat"] * 3), "not fitted"),
        (lambda c: ReadoutCaptioner(Bag(), [], QUESTIONS, str), "at least one class"),
        (lambda c: ReadoutCaptioner(Bag(), ["cat"], {"colour": {"red": "red"}}, str), "question 'colour'"),
    ],
)
def test_bad_input_is_said(captioner, call, message):
    with pytest.raises(ClipkitError, match=message):
        call(captioner)
