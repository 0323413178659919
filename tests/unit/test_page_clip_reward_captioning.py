"""The page clip_reward_captioning: pictures with references, the best of many samples, the table of corruptions."""

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from clipkit import ClipkitError, load_model
from clipkit.dealing import deal_among
from clipkit.generate import CaptionDecoder, CiderD, CLIPReward, GrammarHead, brief_vocabulary, grammar_accuracy
from clipkit.generate.caption_model import load_captioner
from clipkit.lab.figures import new_figure
from clipkit.language.word_noise import CORRUPTION_KINDS
from clipkit.studies.clip_reward_captioning import (
    best_of,
    captioned_photographs,
    cider_reward,
    corruption_table,
    described_pictures,
    draw_paths,
    learn_captions,
    learn_grammar,
    look_at,
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures of the world as a folder of captioned pictures: four captions each, with capitals and marks."""
    path = tmp_path_factory.mktemp("captioned")
    drawn = described_pictures(nano, "train", 40, 5)
    rows = ["image,caption,split"]
    for i, (image, references) in enumerate(zip(drawn.images, drawn.references, strict=True)):
        Image.fromarray(image).save(path / f"{i}.png")
        rows += [f'{i}.png,"{text.capitalize()}.",{"test" if i % 4 == 0 else "train"}' for text in references[:4]]
    (path / "captions.csv").write_text("\n".join(rows), encoding="utf-8")
    return f"folder:{path}"


def test_photographs_have_references_in_place_of_scenes(folder):
    deal_among([0, 1])
    hands = [captioned_photographs(nano, folder, "test", 5, seed) for seed in (0, 1)]
    deal_among([])
    assert [len(hand.references) for hand in hands] == [5, 5] and hands[0].scenes is None
    assert hands[0].tokens.shape == (5, 1, 128)
    assert not set(hands[0].images.paths) & set(hands[1].images.paths)  # no two seeds are graded on one picture
    torch.testing.assert_close(look_at(nano, hands[0]), hands[0].features)
    for text in (t for row in hands[0].references for t in row):
        assert text == text.lower() and "." not in text
    found = measure_captions(hands[0], [row[0] for row in hands[0].references], {"nano": (nano, hands[0].features)})
    assert found["recall_listener"] == found["right_word"] == 100 > found["said_word"] > 0 and "invented" not in found
    strangers = measure_captions(hands[0], ["zebra zebra"] * 5, {})
    assert strangers["right_word"] == strangers["said_word"] == 0 and strangers["recall_listener"] == pytest.approx(20)


def test_a_captioner_and_a_grammar_head_from_nothing(folder):
    train = captioned_photographs(nano, folder, "train", 30)
    writer = learn_captions(train, "cpu", 60, rare=2)
    again = learn_captions(train, "cpu", 60, rare=2)
    words = writer.vocabulary
    tokens = words.encode([row[0] for row in train.references])
    blank = CaptionDecoder(words, 128, 1, width=128, length=writer.length)
    with torch.no_grad():
        assert writer.loss(train.tokens, tokens) < 0.6 * blank.loss(train.tokens, tokens)
        torch.testing.assert_close(writer.loss(train.tokens, tokens), again.loss(train.tokens, tokens))
    with pytest.raises(ClipkitError, match="more captioned pictures"):
        learn_captions(train, "cpu", 1, rare=10_000)
    told = [text for row in train.references for text in row]
    grammar = learn_grammar(nano, told, words.words, 200)
    right = grammar_accuracy(grammar, told, words.words)
    assert (right.pop("real") + np.mean(list(right.values()))) / 2 > 0.65  # 0.5 for any head that does not listen
    plain = CLIPReward(nano)(train.features, told[: len(train.features)])["clip"]
    torch.testing.assert_close(grammar(train.features, told[: len(train.features)])["clip"], plain)
