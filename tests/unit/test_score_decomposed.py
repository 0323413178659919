"""Divide and conquer: questions of known texts, DSG and TIFA by hand, and an answerer who knows the truth."""

from __future__ import annotations

import doctest
import re

import pytest
import torch

from builder.recipes.vqa_lessons import question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.score import decomposed
from clipkit.score.decomposed import DecomposedScore, SubQuestion, decompose
from clipkit.score.lessons import lesson_scenes
from clipkit.score.nano_vqa import ANSWERS
from clipkit.world.caption_parser import check
from clipkit.world.content_plan import truths
from clipkit.world.propositions import graded, true_facts


def test_examples_in_docstrings():
    found = doctest.testmod(decomposed)
    assert found.attempted > 0 and found.failed == 0


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("a cat", [("is there a cat?", ())]),
        ("a red cat in the snow", [("is there a cat?", ()), ("is the cat red?", (0,)), ("is this in the snow?", ())]),
        (
            "the cat is red, and there are two dogs",
            [("is there a cat?", ()), ("is it true that there are two dogs?", ()), ("is the cat red?", (0,))],
        ),
        (
            "the cat is above the dog, the dog is striped, and the scene is in the snow",
            [
                ("is there a cat?", ()),
                ("is there a dog?", ()),
                ("is the cat above the dog?", (0, 1)),
                ("is the dog striped?", (1,)),
                ("is this in the snow?", ()),
            ],
        ),
    ],
)
def test_questions_of_a_text(text, want):
    assert [(q.text, q.parents) for q in decompose(text)] == want


def test_open_questions():
    found = [(q.text, q.expected) for q in decompose("a red cat and two dogs in the snow", opened=True)]
    want = [("is there a cat?", "yes"), ("how many dogs are there?", "two"), ("what colour is the cat?", "red"), ("where is this?", "snow")]
    assert found == want
    with pytest.raises(ClipkitError, match="nothing can be read"):
        decompose("lorem ipsum")


class Book:
    """Answers by a dict from questions to P(yes), whatever the picture."""

    def __init__(self, yes):
        self.yes = yes

    def see(self, images):
        return list(images)

    def logprobs(self, seen, questions, answers):
        p = torch.tensor([[self.yes[q], 1 - self.yes[q]] for q in questions])
        return p.clamp(min=1e-9).log() if list(answers) == ["yes", "no"] else None


def test_a_false_parent_takes_its_children_along():
    book = Book({"is there a cat?": 0.2, "is there a dog?": 0.9, "is the cat red?": 0.8, "is the cat above the dog?": 0.7})
    text = "a red cat above a dog"
    assert DecomposedScore(book, dependencies=False).pairs([0], [text]).tolist() == pytest.approx([3 / 4])  # all but the cat
    assert DecomposedScore(book).pairs([0], [text]).tolist() == pytest.approx([1 / 4])  # the dog alone
    soft = (0.2 + 0.9 + 0.2 * 0.8 + 0.2 * 0.7) / 4
    assert DecomposedScore(book, soft=True).pairs([0], [text]).tolist() == pytest.approx([soft])
    assert DecomposedScore(book, soft=True, dependencies=False).pairs([0], [text]).tolist() == pytest.approx([2.6 / 4])


def test_own_questions():
    ask = lambda text: [SubQuestion("is it so?"), SubQuestion("is it not?", "no", (0,))]  # noqa: E731
    for yes, want in ((0.0, 1.0), (1.0, 0.5)):
        assert DecomposedScore(Book({"is it so?": 1.0, "is it not?": yes}), ask)([0, 1], ["x", "y"]).tolist() == [[want, want]] * 2
    with pytest.raises(ClipkitError, match="no question"):
        DecomposedScore(Book({}), lambda text: []).pairs([0], ["x"])


class Knows:
    """An answerer that reads the question back and looks at the scene; it answers in certainty."""

    def see(self, images):
        return list(images)

    def logprobs(self, seen, questions, answers):
        out = torch.full((len(questions), len(answers)), -50.0)
        for row, (truth, q) in enumerate(zip(seen, questions, strict=True)):
            out[row, list(answers).index(self._answer(truth, q))] = 0.0
        return out

    def _answer(self, truth, q):
        for pattern, said in (
            (r"is there (.+)\?", "{}"),
            (r"is it true that (.+)\?", "{}"),
            (r"is (the .+?) ((?:to the |above|below|left|right).+)\?", "{} {}"),
            (r"is this (.+)\?", "a picture {}"),
            (r"is the (.+) (\S+)\?", "a {1} {0}"),
            (r'does the picture match "(.+)"\?', "{}"),
        ):
            found = re.fullmatch(pattern, q)
            if found:
                return "yes" if check(truth, said.format(*found.groups())).ok else "no"
        raise AssertionError(q)


@pytest.mark.parametrize("dependencies", [True, False])
def test_with_a_perfect_answerer_true_texts_have_one_and_others_less(dependencies):
    scenes = lesson_scenes(60, 5, min_objects=2, count_probs=None)
    words, score = question_vocabulary(), DecomposedScore(Knows(), dependencies=dependencies)
    known, texts, shares = [], [], []
    for i, truth in enumerate(truths(scenes)):
        for wrong in range(5 if len(true_facts(truth)) >= 5 else 0):
            text = graded(scenes[i], 4 - wrong, wrong, seed=1)
            known.append(truth)
            texts.append(text.text)
            shares.append(text.score)
    got = score.pairs(known, texts)
    assert ((got == 1) == (torch.tensor(shares) == 1)).all()
    assert torch.corrcoef(torch.stack([got, torch.tensor(shares)]))[0, 1] > 0.8
    assert not any(words.unk in words.ids(q.text) for t in texts for opened in (True, False) for q in decompose(t, opened))
    assert {q.expected for t in texts for q in decompose(t, True)} <= set(ANSWERS)
