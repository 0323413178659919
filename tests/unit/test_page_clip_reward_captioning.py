"""The page clip_reward_captioning: pictures with references, the best of many samples, the table of corruptions."""

import numpy as np
import pandas
import pytest
import torch

from clipkit import load_model
from clipkit.generate import CiderD, CLIPReward, GrammarHead, brief_vocabulary
from clipkit.generate.caption_model import load_captioner
from clipkit.lab.figures import new_figure
from clipkit.language.word_noise import CORRUPTION_KINDS
from clipkit.studies.clip_reward_captioning import (
    best_of,
    cider_reward,
    corruption_table,
    described_pictures,
    draw_paths,
    measure_captions,
    reward_by_rows,
    with_errors,
)
from clipkit.world import caption_batch

nano = load_model("nano", device="cpu")
shown = described_pictures(nano, "test", 24, 3)
everything = caption_batch(shown.scenes, "detailed", 1)


def test_pictures_of_a_seed_are_kept_and_splits_differ():
    assert described_pictures(nano, "test", 24, 3) is shown
    other = described_pictures(nano, "train", 24, 3)
    assert len(other.references) == 24 and other.references != shown.references
    torch.testing.assert_close(shown.features, shown.tokens[:, 0])
    torch.testing.assert_close(shown.features.norm(dim=1), torch.ones(24))


def test_captions_that_say_everything_truly_have_the_numbers_they_should():
    found = measure_captions(shown, everything, {"nano": (nano, shown.features)})
    assert found["grammar"] == found["said_object"] == found["right_colour"] == found["said_background"] == 100.0
    assert found["invented"] == 0.0 and found["recall_nano"] > 90 and found["recall_listener"] > 90 and found["words"] > 8
    assert all(len(with_errors(scene, text)) == 1 for scene, text in zip(shown.scenes, everything, strict=True))
    turned = measure_captions(shown, everything[1:] + everything[:1], {"nano": (nano, shown.features)})
    assert turned["recall_nano"] < 10 and turned["invented"] > 50


def test_what_is_wrong_is_named():
    assert with_errors(shown.scenes[0], "zebra zebra") == [("zebra zebra", None), ("not a sentence", False)]


def test_rewards_know_the_pictures_by_rows():
    rows = torch.tensor([3, 0, 3])
    texts = [everything[3], everything[0], "a cat"]
    assert cider_reward(shown)(rows, texts)["cider"].tolist() == pytest.approx(CiderD(shown.references, end=True)(texts, rows).tolist())
    reward = CLIPReward(nano)
    torch.testing.assert_close(reward_by_rows(reward, shown.features)(rows, texts)["clip"], reward(shown.features[rows], texts)["clip"])


def test_the_best_of_many_is_one_of_them_and_the_best():
    captioner, reward = load_captioner(device="cpu"), CLIPReward(nano)
    one, five = (reward(shown.features, best_of(captioner, shown, reward, n, seed=0))["clip"] for n in (1, 5))
    assert five.mean() > one.mean()
    sampled = captioner.write(shown.tokens, 5, how="sample", generator=torch.Generator().manual_seed(0))
    best = best_of(captioner, shown, reward, 5, seed=0)
    assert all(best[i] in sampled[5 * i : 5 * i + 5] for i in range(24))
    torch.testing.assert_close(five, reward(shown.features.repeat_interleave(5, 0), sampled)["clip"].view(24, 5).amax(1))


def test_the_table_of_corruptions():
    reward = CLIPReward(nano, grammar_head=GrammarHead(128))
    table = corruption_table(reward, [t for rows in shown.references for t in rows], brief_vocabulary().words, "a red cat in the snow")
    assert list(table.index) == ["real", *CORRUPTION_KINDS]
    assert table.loc["real", "still a sentence, %"] == 100 > table.loc["shuffle", "still a sentence, %"]
    assert table["grammar reward"].between(0, 1).all() and table["head right, %"].between(0, 100).all()


def test_a_path_for_each_reward_and_seed():
    points = [(arm, seed, step) for arm in "ab" for seed in (0, 2) for step in (0, 1)]
    rows = [(*point, measure, sum(point[1:])) for point in points for measure in ("grammar", "recall")]
    axes = new_figure().subplots()
    draw_paths(axes, pandas.DataFrame(rows, columns=["arm", "seed", "step", "measure", "value"]))
    assert [line.get_xdata().tolist() for line in axes.lines] == [[0, 1], [2, 3], [1, 2]] * 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"] and np.ptp(axes.lines[2].get_ydata()) == 1
