"""Continual training: what is replayed, what it holds, that the teacher is a copy; what is retained, and equal progress."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from clipkit import load_dataset, load_model
from clipkit.adapt import (
    L2SP,
    Budget,
    Lesson,
    Replay,
    Suite,
    WholeTowers,
    continual_finetune,
    frontier_at,
    interpolated,
    random_token_texts,
    retention,
    retention_report,
    tuned,
)
from clipkit.adapt.continual import similarity_distillation
from clipkit.errors import ClipkitError


class Two(nn.Module):
    """Two linear towers of vectors."""

    def __init__(self, d: int = 6, seed: int = 0):
        super().__init__()
        dice = torch.Generator().manual_seed(seed)
        self.image, self.text = (nn.Parameter(torch.randn(d, d, generator=dice)) for _ in range(2))
        self.register_buffer("logit_scale", torch.tensor(10.0))

    def encode_image(self, x):
        return F.normalize(x @ self.image, dim=1)

    def encode_text(self, x):
        return F.normalize(x @ self.text, dim=1)


def vectors(n: int, seed: int, d: int = 6) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


LESSON = Lesson(vectors(40, 1), torch.arange(40) % 4, vectors(4, 2))
SHORT = Budget(30, 16, 0.03)


def change(before: nn.Module, after: nn.Module) -> float:
    return sum((p - q).square().sum().item() for p, q in zip(before.parameters(), after.parameters(), strict=True))


@given(st.integers(3, 40), st.integers(1, 5), st.integers(0, 10_000))
def test_random_texts_have_no_mark_among_their_words(ids, length, seed):
    blank = torch.tensor([ids, ids + 1, 0, 0, 0, 0, 0, 0])
    found = random_token_texts(blank, ids + 2, 50, length, torch.Generator().manual_seed(seed), special=[1])
    assert found.shape == (50, 8) and (found[:, 0] == ids).all() and (found[:, length + 2 :] == 0).all()
    assert torch.equal(found.argmax(1), torch.full((50,), length + 1))  # where CLIP pools: the first end
    assert not torch.isin(found[:, 1 : length + 1], torch.tensor([0, 1, ids, ids + 1])).any()


def test_random_texts_draw_every_allowed_token_about_equally_often():
    drawn = random_token_texts(torch.tensor([8, 9, 0, 0, 0, 0]), torch.tensor([3, 5, 9]), 4000, 2)[:, 1:3]
    assert set(drawn.unique().tolist()) == {3, 5} and abs((drawn == 3).float().mean() - 0.5) < 0.03


def test_random_texts_refuse():
    blank = torch.tensor([8, 9, 0, 0])
    for given_, said in (((blank, 10, 5, 3), "do not fit"), ((blank, torch.tensor([8, 9]), 5, 1), "no token"),
                         ((torch.tensor([8, 9, 9, 9]), 10, 5, 2), "empty text")):  # fmt: skip
        with pytest.raises(ClipkitError, match=said):
            random_token_texts(*given_)


@pytest.mark.parametrize("direction", ["image", "text", "both"])
def test_distillation_by_its_definition(direction):
    f, f0 = (F.normalize(vectors(5, s), dim=1) for s in (1, 2))
    u, u0 = (F.normalize(vectors(3, s), dim=1) for s in (3, 4))
    expected = 0.0
    for i in range(5):
        p, q = ((7 / 2 * x[i] @ w.T).softmax(0) for x, w in ((f, u), (f0, u0)))
        expected -= 4 * (q * p.log()).sum() / 5 * (direction != "text")
    for v in range(3):
        p, q = ((7 / 2 * w[v] @ x.T).softmax(0) for x, w in ((f, u), (f0, u0)))
        expected -= 4 * (q * p.log()).sum() / 3 * (direction != "image")
    torch.testing.assert_close(similarity_distillation(f, u, f0, u0, 7.0, 2.0, direction), torch.as_tensor(expected))


def test_distillation_is_least_and_flat_where_student_and_teacher_agree():
    f0, u = F.normalize(vectors(5, 1), dim=1), F.normalize(vectors(8, 3), dim=1)
    f = f0.clone().requires_grad_(True)
    same = similarity_distillation(f, u, f0, u, 7.0)
    same.backward()
    assert f.grad.abs().max() < 1e-6
    other = F.normalize(vectors(5, 9), dim=1)
    assert similarity_distillation(other, u, f0, u, 7.0) > same
    with pytest.raises(ClipkitError, match="direction"):
        similarity_distillation(f, u, f0, u, 7.0, direction="sideways")


def test_the_teacher_is_a_copy():
    """Sharing numbers with the student would make the replay term vanish: what a `.data` assignment does, and a copy does not."""
    seen = {}

    class Watched(Replay):
        def penalty(self, teacher, lesson, generator):
            seen["teacher"], seen["was"] = teacher, copy.deepcopy(teacher.state_dict())
            return super().penalty(teacher, lesson, generator)

    start = Two()
    [student] = continual_finetune(start, [LESSON], Watched(1.0, vectors(9, 5)), SHORT)
    storage = lambda module: {p.data_ptr() for p in module.parameters()}  # noqa: E731
    assert not storage(student) & storage(seen["teacher"]) and not storage(student) & storage(start)
    for name, value in seen["teacher"].state_dict().items():
        assert torch.equal(value, seen["was"][name])
    assert change(start, student) > 1e-3 and change(start, Two()) == 0
    aliased = Two()
    for p, q in zip(aliased.parameters(), student.parameters(), strict=True):
        p.data = q.data  # the mistake: the teacher then is the student
    assert storage(aliased) == storage(student)


def test_the_replay_term_acts():
    start, texts = Two(), vectors(20, 5)
    term = Replay(1.0, texts).penalty(start, LESSON, torch.Generator())
    rows = torch.arange(40)

    def left(student):
        return term(student, student.encode_image(LESSON.images), rows).item()

    free, held = (continual_finetune(start, [LESSON], keep, SHORT)[0] for keep in (None, Replay(30.0, texts)))
    assert left(start) < left(held) < left(free)
    same = continual_finetune(start, [LESSON], Replay(0.0, texts), SHORT)[0]
    assert change(free, same) < 1e-9  # λ = 0 is plain fine-tuning


def test_which_towers_the_replay_term_reaches():
    start, rows = Two(), torch.arange(8)
    for keep, reaches in ((Replay(1.0, vectors(9, 5)), True), (Replay(1.0, vectors(9, 5), student_text=False), False),
                          (Replay(1.0, directions=F.normalize(vectors(9, 5), dim=1)), False)):  # fmt: skip
        student = Two(seed=3)
        keep.penalty(start, LESSON, torch.Generator())(student, student.encode_image(LESSON.images[rows]), rows).backward()
        assert student.image.grad.abs().max() > 0 and (student.text.grad is not None) == reaches
    with pytest.raises(ClipkitError, match="one of the two"):
        Replay(1.0).penalty(start, LESSON, torch.Generator())


def test_the_pull_to_the_start():
    start, other = Two(), Two(seed=1)
    assert L2SP(3.0).penalty(start, LESSON, torch.Generator())(other).item() == pytest.approx(3 * change(start, other), rel=1e-5)
    free, held = (continual_finetune(start, [LESSON], keep, SHORT)[0] for keep in (None, L2SP(10.0)))
    assert change(start, held) < 0.1 * change(start, free)


def test_sessions_go_on_where_the_last_one_ended():
    start, other = Two(), Lesson(vectors(40, 11), LESSON.labels, vectors(4, 12))
    first, second = continual_finetune(start, [LESSON, other], None, SHORT)
    assert change(first, continual_finetune(start, [LESSON], None, SHORT)[0]) == 0
    assert change(second, continual_finetune(first, [other], None, SHORT)[0]) == 0
    keep = Replay(5.0, vectors(20, 5))
    previous, initial = (continual_finetune(start, [LESSON, other], keep, SHORT, teacher)[1] for teacher in ("previous", "initial"))
    assert change(previous, initial) > 1e-4
    steps = []
    continual_finetune(start, [LESSON], None, SHORT, after_step=lambda step, student: steps.append(step))
    assert steps == list(range(30))
    with pytest.raises(ClipkitError, match="teacher"):
        continual_finetune(start, [LESSON], None, SHORT, "next")


def test_interpolation_runs_from_the_start_to_the_end():
    a, b = Two(), Two(seed=1)
    assert change(a, interpolated(a, b, 0.0)) == 0 and change(b, interpolated(a, b, 1.0)) == 0
    torch.testing.assert_close(interpolated(a, b, 0.25).image, 0.75 * a.image + 0.25 * b.image)


def test_retention():
    eye = Two()
    with torch.no_grad():
        eye.image.copy_(torch.eye(6)), eye.text.copy_(torch.eye(6))
    x = torch.eye(6)
    suites = {"names": Suite(x, x, torch.tensor([0, 1, 2, 3, 5, 4])), "pairs": Suite(x, x.roll(1, 0)), "own": Suite(x, x)}
    found = retention(eye, suites)
    assert found["names"] == pytest.approx(400 / 6) and found["pairs"] == 0 and found["own"] == 100
    table = retention_report(eye, Two(), suites)
    assert list(table.columns) == ["before", "after", "change"] and table.before["own"] == 100
    assert ((table.after - table.before - table.change).abs() < 1e-12).all()


def test_equal_progress_by_hand():
    new, old = [90.0, 80.0, 40.0], [50.0, 60.0, 96.0]
    assert frontier_at(new, old, 80.0) == 60 and frontier_at(new, old, 60.0) == pytest.approx(78) and frontier_at(new, old, 40) == 96
    assert frontier_at([90, 70, 80, 40], [50, 52, 70, 96], 75.0) == pytest.approx(70 + 26 / 8)  # the best of three places
    assert frontier_at([80, 80], [50, 60], 80) == 60
    with pytest.raises(ClipkitError, match="no point"):
        frontier_at(new, old, 95.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=6), st.floats(0, 1))
def test_more_settings_of_a_knob_never_leave_the_range(inner, share):
    way = [(90.0, 20.0), *inner, (30.0, 80.0)]
    target = 30 + 60 * share
    found = frontier_at([a for a, _ in way], [b for _, b in way], target)
    assert min(b for _, b in way) - 1e-9 <= found <= max(b for _, b in way) + 1e-9


@pytest.fixture(scope="module")
def nano():
    return load_model("nano").freeze()


@pytest.mark.parametrize("tune", ["heads", "layers", "last", "all"])
def test_what_is_tuned_starts_as_the_model(nano, tune):
    data, part = load_dataset("world", "test", n=6, seed=1), tuned(nano, tune)
    said = [row[0] for row in data.captions]
    with torch.no_grad():
        x, w = part.towers.encode_image(part.images(data)), part.towers.encode_text(part.texts(nano.tokenize(said)))
    torch.testing.assert_close(x, nano.image_features(data.images), atol=1e-5, rtol=0)
    torch.testing.assert_close(w, nano.text_features(said), atol=1e-5, rtol=0)
    assert part.towers.logit_scale.item() == pytest.approx(nano.logit_scale.item(), rel=1e-6)
    before = nano.fingerprint
    lesson = Lesson(part.images(data), torch.arange(6), part.prompts([f"thing {i}" for i in range(6)], "a {}"))
    [student] = continual_finetune(part.towers, [lesson], Replay(1.0, part.texts(nano.tokenize(said))), Budget(2, 4))
    assert nano.fingerprint == before
    for (name, was), now in zip(part.towers.named_parameters(), student.parameters(), strict=True):  # nano itself is frozen
        skipped = "logit_scale" in name or "token_embedding" in name or (tune == "last" and not was.requires_grad)
        assert skipped or not torch.equal(was, now), name
    assert student.logit_scale.item() == part.towers.logit_scale.item()


def test_whole_towers_stay_in_evaluation_mode(nano):
    assert not any(part.training for part in WholeTowers(nano).train().modules())


def test_models_without_two_open_towers_are_refused():
    with pytest.raises(ClipkitError, match="no ViT"):
        tuned(load_model("nano-conv"), "last")
