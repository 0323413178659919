"""The page nola: neighbours by hand, its arms on planted features."""

import pytest
import torch
from torch.nn import functional as F

from clipkit import load_model
from clipkit.adapt import TunedTower
from clipkit.errors import ClipkitError
from clipkit.registry.scores import Scores
from clipkit.studies.nola import draw_stages, fit_with_checks, neighbours, table_by_task, train_labellers


def test_neighbours_by_hand():
    x = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.3], [0.0, 1.0]]), dim=1)
    near, share = neighbours(x, torch.tensor([0, 0, 1, 1]), k=2)
    assert near[0].tolist() == [1, 2] and share.tolist() == [0.5, 0.5, 0.0, 0.5]
    with pytest.raises(ClipkitError, match="at least 5"):
        neighbours(x, torch.zeros(4), k=4)


def test_the_better_features_make_the_better_labels():
    g = torch.Generator().manual_seed(0)
    y = torch.arange(120) % 4
    planted = lambda noise: torch.eye(4).repeat(1, 2)[y] + noise * torch.randn(120, 8, generator=g)  # noqa: E731
    good, bad = planted(0.2), planted(2.0)
    probs = (2 * (torch.eye(4)[y] + 0.4 * torch.randn(120, 4, generator=g))).softmax(1)  # text is right on most of the surest
    tests, pools = train_labellers(probs[:80], (bad[:80], bad[80:]), (good[:80], good[80:]), truth=y[:80], least=5, epochs=30)
    right = {arm: (logits.argmax(1) == y[80:]).float().mean().item() for arm, logits in tests.items()}
    assert set(right) == {"clip_head", "dino_head", "clip_truth", "dino_truth", "named_clusters"}
    assert right["dino_head"] > right["clip_head"] + 0.1 and right["dino_truth"] > 0.9
    assert right["named_clusters"] > 0.9 and pools["dino_head"].shape == (80, 4)


def test_a_student_is_checked_on_the_way_and_at_the_end():
    clip = load_model("nano", device="cpu")
    student = TunedTower(clip, F.normalize(torch.randn(2, clip.embed_dim), dim=1), n=1)
    x, y = torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 0, 1])
    seen = fit_with_checks(student, 2, lambda tower: (tower is student,), pixels=x, labels=y, steps=3, batch=2)
    assert seen == [(True,), (True,)] and len(student.losses_) == 3


def test_stages_and_table_take_the_rows_that_are_there(capsys):
    scores = Scores([0, 1])
    for task, shift in (("category", 0.0), ("sketch", 10.0)):
        scores.add("single_prompt", [50.0 + shift, 60.0 + shift], task=task, on="test")
        scores.add("dino_head", [70.0, 80.0], task=task, on="unlabelled")
    scores.add("nola", [90.0, 92.0])
    means = draw_stages(scores, "category", scores)
    assert means.to_dict() == {"one prompt": 55.0, "student (stage 3)": 91.0} and "one prompt 55.0 %" in capsys.readouterr().out
    text = table_by_task(scores).text
    assert "labels by the labeller" in text and "65.0" in text and "templates" not in text
