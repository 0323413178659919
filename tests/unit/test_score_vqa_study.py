"""The page's experiments: texts are as true as they say, errors are errors, twins start equal and are kept, rows count what they name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.recipes.vqa_lessons import WORDINGS, lesson_scenes, question_vocabulary
from clipkit.score.vqascore import VQAScore
from clipkit.score.winoground_tasks import quadruples
from clipkit.studies import vqascore as study
from clipkit.world import render
from clipkit.world.caption_parser import parse
from clipkit.world.content_plan import truths
from tests.unit.test_score_vqa_lessons import false_parts, holds, stated

TWO = {"min_objects": 2, "count_probs": None}


def known_by_picture(scenes):
    """Truth of each rendered picture, by its bytes."""
    return {image.tobytes(): truth for image, truth in zip(render(scenes).images, truths(scenes), strict=True)}


@pytest.mark.parametrize(("n_facts", "levels", "held_out"), [(1, None, False), (4, None, False), (4, None, True), (5, (2, 5), False)])
def test_texts_are_as_true_as_they_say(n_facts, levels, held_out):
    n, words = 12, question_vocabulary()
    data = study.partly_true(n, 3, n_facts, levels, held_out)
    known = known_by_picture(lesson_scenes(4 * n, 3, held_out=held_out, **TWO))
    for picture, text, share in zip(data.picture, data.texts, data.truth, strict=True):
        assert len(stated(text)) == n_facts
        assert false_parts(known[data.images[picture].tobytes()], text) == round((1 - share) * n_facts), (text, share)
        assert words.unk not in words.ids(text)
    steps = len(levels or range(n_facts + 1))
    assert len(data.images) == n and data.picture.tolist() == np.repeat(np.arange(n), steps).tolist() and (data.n_facts == n_facts).all()
    again = study.partly_true(n, 3, n_facts, levels, held_out)
    assert again.texts == data.texts and np.array_equal(again.images, data.images)


def test_levels_and_facts_that_cannot_be():
    for n_facts, levels, message in ((4, (5,), "0 to 4"), (0, None, "0 to 0"), (60, None, "fewer facts")):
        with pytest.raises(ClipkitError, match=message):
            study.partly_true(3, 0, n_facts, levels)


def test_an_error_makes_a_true_text_false():
    n, words = 80, question_vocabulary()
    images, found = study.error_pairs(n, 4)
    known = list(truths(lesson_scenes(n, 4, **TWO)))
    assert images.shape == (n, 32, 32, 3) and set(found) == set(study.ERRORS) and all(found.values())
    for kind, rows in found.items():
        for i, true, false in rows:
            assert holds(known[i], true) and not holds(known[i], false), (kind, true, false)
            assert words.unk not in [*words.ids(true), *words.ids(false)]
            if kind.startswith("swap"):
                assert sorted(true.replace("an ", "a ").split()) == sorted(false.replace("an ", "a ").split()) or kind == "swap_count"
            if kind == "negation":
                assert any(item.denied for item in parse(false).items)


class Knows:
    """A scorer that sees the truths: share of a text's parts that hold."""

    def pairs(self, seen, texts):
        return torch.tensor([1 - false_parts(truth, text) / len(stated(text)) for truth, text in zip(seen, texts, strict=True)])


class Seen:
    """Looks that hand out truths."""

    def __init__(self, known):
        self.known = known

    def of(self, scorer, rows=slice(None)):
        return self.known[rows] if isinstance(rows, slice) else [self.known[i] for i in torch.as_tensor(rows).tolist()]


def looking(**world):
    """A Looker of known scenes."""

    def look(images):
        return Seen([known[i.tobytes()] for i in images])

    known = {}
    for scenes in world["scenes"]:
        known |= known_by_picture(scenes)
    return look


def test_rows_of_a_scorer_who_knows():
    data = study.partly_true(10, 3)
    look = looking(scenes=[lesson_scenes(40, 3, **TWO)])
    flat = np.zeros(len(data.texts))
    row = study.partly_row(study.partly_scores({"knows": Knows()}, data, look(data.images)) | {"flat": flat, "against": -data.truth}, data)
    for what in ("tau", "within"):
        assert row[f"{what}_knows"] == pytest.approx(1) and row[f"{what}_against"] == pytest.approx(-1) and row[f"{what}_flat"] == 0
    assert row["accuracy_knows"] == pytest.approx(100) and row["accuracy_own_eps_knows"] == pytest.approx(100)
    assert row["accuracy_own_eps_flat"] == pytest.approx(100 * 9 / 49)  # 5 levels x 10 texts: 5·45 of 1225 pairs are tied in truth
    long = study.by_length({"knows": Knows()}, 6, 3, looking(scenes=[lesson_scenes(24, 3 + 31 * k, **TWO) for k in (1, 4)]), (1, 4))
    assert long == {"at_1|knows": 100.0, "at_4|knows": 100.0}
    row = study.error_row({"knows": Knows()}, 60, 5, looking(scenes=[lesson_scenes(60, 5, **TWO)]))
    assert set(row.values()) == {100.0} and len(row) == len(study.ERRORS)


class Reads:
    """An answerer whose P(yes) depends on the question's length alone; pictures are their mean."""

    def see(self, images):
        return torch.from_numpy(np.asarray(images, dtype=np.float32).mean((1, 2)))[:, None]  # (M, 1, 3)

    def logprobs(self, seen, questions, answers):
        yes = torch.tensor([len(q) / 1000 for q in questions]) + seen[:, 0, 0] / 1000
        return torch.stack([yes if a == "yes" else 1 - yes for a in answers], 1).log()


def test_wordings_and_blank_pictures():
    data, answerer = study.partly_true(6, 3), Reads()
    looks = study.Looks(answerer.see(data.images), torch.zeros(6, 2))
    row = study.wording_row(answerer, data, looks)
    taus = [row[f"tau_wording|{k}|prob"] for k in range(len(WORDINGS))]
    assert row["tau_best_wording"] == max(taus) and row["tau_worst_wording"] == min(taus)
    seen, texts = answerer.see(data.images), data.texts[::5]
    blank = study.BlankScore(answerer).pairs(seen, texts)
    want = VQAScore(answerer).pairs(torch.full((6, 1, 3), 128.0), texts)
    torch.testing.assert_close(blank, want)
    assert study.LengthScore().pairs(None, ["a", "a b c"]).tolist() == [-1, -3]
    assert torch.equal(study.RandomScore(4).pairs(None, texts), study.RandomScore(4).pairs(None, texts))


def test_group_rows():
    tasks = quadruples(4, 2, kinds=("colours", "roles"))

    class Own:
        def see(self, images):
            return torch.arange(len(images))

        def pairs(self, seen, texts):
            return torch.tensor([float(tasks.texts[i] == t) - (i < 8) * 2 * (i % 2) for i, t in zip(seen.tolist(), texts, strict=True)])

    looks = study.Looks(torch.arange(16), torch.zeros(16, 2))
    row = study.group_row({"own": Own()}, tasks, looks)
    assert row["group_own|roles"] == 100 and row["group_own|colours"] == 0 and row["text_own"] == 100 and row["image_own"] == 50


def test_twins_start_equal_and_wait_in_the_cache(tmp_path, monkeypatch):
    from clipkit import load_model

    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))
    model, words = load_model("nano", device="cpu"), question_vocabulary()
    fresh = {m: study.twin(model, words, m, 1, 0, 40, 32, keep=False).state_dict() for m in ("bidirectional", "causal")}
    assert all(torch.equal(a, b) for a, b in zip(fresh["bidirectional"].values(), fresh["causal"].values(), strict=True))
    first = study.twin(model, words, "causal", 1, 2, 40, 32)
    assert len(list(tmp_path.rglob("vqa-twin-*"))) == 1 and first.mask == "causal"
    monkeypatch.setattr(study, "lesson_pictures", None)  # nothing is trained again
    again = study.twin(model, words, "causal", 1, 2, 40, 32)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    with pytest.raises(TypeError):
        study.twin(model, words, "bidirectional", 1, 2, 40, 32)
