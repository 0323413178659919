"""The page vqascore: texts are as true as they say, errors are errors, scorers look at what they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from builder.recipes.vqa_lessons import question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.lab.figures import new_figure
from clipkit.score import CLIPScore, TwoTowers, VQAScore, quadruples
from clipkit.score.lessons import lesson_scenes
from clipkit.studies import vqascore as study
from clipkit.world import render
from clipkit.world.caption_parser import parse
from clipkit.world.content_plan import truths
from tests.unit.test_score_vqa_lessons import false_parts, holds, stated

TWO = {"min_objects": 2, "count_probs": None}


def truth_by_picture(scenes):
    """Truth of each rendered picture, by its bytes."""
    return {image.tobytes(): truth for image, truth in zip(render(scenes).images, truths(scenes), strict=True)}


@pytest.mark.parametrize(("n_facts", "levels"), [(1, None), (4, None), (5, (2, 5))])
def test_texts_are_as_true_as_they_say(n_facts, levels):
    n, words = 12, question_vocabulary()
    data = study.graded_texts(n, 3, n_facts, levels)
    known = truth_by_picture(lesson_scenes(4 * n, 3, **TWO))
    for picture, text, share in zip(data.picture, data.texts, data.truth, strict=True):
        assert len(stated(text)) == n_facts
        assert false_parts(known[data.images[picture].tobytes()], text) == round((1 - share) * n_facts), (text, share)
        assert words.unk not in words.ids(text)
    steps = len(levels or range(n_facts + 1))
    assert len(data.images) == n and data.picture.tolist() == np.repeat(np.arange(n), steps).tolist()
    again = study.graded_texts(n, 3, n_facts, levels)
    assert again.texts == data.texts and np.array_equal(again.images, data.images)


def test_levels_and_facts_that_cannot_be():
    for n_facts, levels, message in ((4, (5,), "0 to 4"), (0, None, "0 to 0"), (60, None, "fewer facts")):
        with pytest.raises(ClipkitError, match=message):
            study.graded_texts(3, 0, n_facts, levels)


def test_an_error_makes_a_true_text_false():
    n, words = 80, question_vocabulary()
    images, pairs = study.error_pairs(n, 4)
    known = list(truths(lesson_scenes(n, 4, **TWO)))
    assert images.shape == (n, 32, 32, 3) and set(pairs) == set(study.ERRORS)
    for kind, columns in pairs.items():
        for i, true, false in zip(*columns, strict=True):
            assert holds(known[i], true) and not holds(known[i], false), (kind, true, false)
            assert words.unk not in [*words.ids(true), *words.ids(false)]
            if kind.startswith("swap"):
                assert sorted(true.replace("an ", "a ").split()) == sorted(false.replace("an ", "a ").split()) or kind == "swap_count"
            if kind == "negation":
                assert any(item.denied for item in parse(false).items)


def test_too_few_pictures_for_an_error():
    with pytest.raises(ClipkitError, match="use more pictures"):
        study.error_pairs(1, 4)


def test_agreement_of_scores_with_the_truth():
    data = study.graded_texts(10, 3)
    share = np.array([1 - false_parts(t, text) / 4 for t, text in zip(_truths_of(data), data.texts, strict=True)])
    for values, sign in ((share, 1), (-data.truth, -1)):
        found = study.agreement(data, values)
        assert found["tau"] == pytest.approx(sign) and found["within"] == pytest.approx(sign)
    found = study.agreement(data, share)
    assert found["accuracy"] == pytest.approx(100) and found["accuracy_own_eps"] == pytest.approx(100)
    flat = study.agreement(data, np.zeros(50))
    assert flat["tau"] == flat["within"] == 0
    assert flat["accuracy_own_eps"] == pytest.approx(100 * 9 / 49)  # 5 levels x 10 texts: 5·45 of 1225 pairs are tied in truth


def _truths_of(data):
    known = truth_by_picture(lesson_scenes(40, 3, **TWO))
    return [known[data.images[i].tobytes()] for i in data.picture]


class Knows:
    """A scorer of tokens (N, M, D) and features (N, E) by their first number."""

    def pairs(self, seen, texts):
        return seen.flatten(1)[:, 0] + torch.tensor([float(len(t)) for t in texts])


class Vectors:
    def text_features(self, texts):
        return torch.tensor([[1.0, float(len(t))] for t in texts])


def test_each_scorer_looks_at_what_it_reads():
    seen = study.EncodedImages(torch.rand(5, 4, 3), torch.rand(5, 2))
    rows = torch.tensor([3, 0, 3])
    assert torch.equal(seen[rows].tokens, seen.tokens[rows]) and torch.equal(seen[rows].features, seen.features[rows])
    towers = TwoTowers(question_vocabulary(), picture_width=3, picture_length=4, width=16, layers=1, heads=2, embed_dim=8)
    assert seen.of(CLIPScore(Vectors())) is seen.features
    assert seen.of(CLIPScore(towers)) is seen.of(VQAScore(Reads())) is seen.of(Knows()) is seen.tokens
    texts = ["a", "bb", "ccc"]
    values = study.pair_scores(Knows(), seen[rows], texts)
    assert values.dtype == np.float64 and values == pytest.approx(seen.tokens[rows, 0, 0].numpy() + [1, 2, 3])


def test_swapped_tasks_of_any_scorer():
    tasks = quadruples(2, 2, kinds=("colours",))
    seen = study.EncodedImages(torch.arange(4.0)[:, None, None].expand(4, 4, 3), torch.rand(4, 2))
    lengths = torch.tensor([len(t) for t in tasks.texts], dtype=torch.float32).view(2, 1, 2)
    tables = tasks.scores(Knows(), seen.of(Knows()))
    torch.testing.assert_close(tables, torch.arange(4.0).view(2, 2, 1) + lengths)


class Reads:
    """An answerer whose P(yes) depends on the question's length and the picture's mean."""

    def see(self, images):
        return torch.from_numpy(np.asarray(images, dtype=np.float32).mean((1, 2)))[:, None]  # (M, 1, 3)

    def logprobs(self, seen, questions, answers):
        yes = torch.tensor([len(q) / 1000 for q in questions]) + seen[:, 0, 0] / 1000
        return torch.stack([yes if a == "yes" else 1 - yes for a in answers], 1).log()


def test_what_looks_at_nothing():
    answerer, texts = Reads(), ["a cat", "a dog and a cat"]
    seen = answerer.see(render(lesson_scenes(2, 3)).images)
    want = VQAScore(answerer).pairs(torch.full((2, 1, 3), 128.0), texts)
    torch.testing.assert_close(study.BlankScore(answerer).pairs(seen, texts), want)
    assert study.TextScore(lambda texts: [-len(t.split()) for t in texts]).pairs(None, texts).tolist() == [-2, -5]


def test_a_violin_for_each_level():
    axes = new_figure((6, 3)).subplots(1, 2)
    truth = np.repeat([0.0, 0.5, 1.0], 10)
    values = {"one": truth + 0.1 * np.arange(30), "two_words": np.arange(30.0)}
    study.draw_violins(axes, values, truth, {"one": 1, "two_words": 0.9})
    assert axes[0].get_title() == "one, 1.00" and axes[1].get_title() == "two words, 0.90"
    assert [len(axis.get_xticks()) for axis in axes] == [3, 3]
