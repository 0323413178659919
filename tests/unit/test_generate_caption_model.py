"""The captioner: picture tokens, words with and without a cache, batches of references, and that it learns what it is shown."""

import numpy as np
import pytest
import torch

from clipkit import ClipkitError, load_model
from clipkit.generate import (
    CaptionDecoder,
    brief_references,
    brief_vocabulary,
    load_captioner,
    load_grammar,
    picture_tokens,
    reference_batches,
    train_captioner,
)
from clipkit.generate.caption_model import CAPTION_WORLD
from clipkit.language import WordVocabulary
from clipkit.world import WorldSpec, render, sample_scenes

nano = load_model("nano", device="cpu")
scenes = sample_scenes(WorldSpec(**CAPTION_WORLD), 24, 5)
images = render(scenes).images
tokens = picture_tokens(nano, images)


def small(**options):
    torch.manual_seed(0)
    return CaptionDecoder(brief_vocabulary(), **{"width": 32, "layers": 1, "heads": 2, **options})


def test_picture_tokens_are_the_pictures_feature_and_averaged_dense_features():
    assert tokens.shape == (24, 17, 128)
    torch.testing.assert_close(tokens[:, 0], nano.image_features(images), atol=1e-5, rtol=0)
    dense = nano.dense_features(nano.preprocess_batch(images))  # (24, 8, 8, 128)
    torch.testing.assert_close(tokens[:, 1 + 4 * 1 + 2], dense[:, 2:4, 4:6].mean((1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(picture_tokens(nano, images, batch=7), tokens, atol=1e-5, rtol=0)
    assert picture_tokens(nano, images, grid=8).shape == (24, 65, 128)
    with pytest.raises(ClipkitError, match="grid of 9"):
        picture_tokens(nano, images, grid=9)


def test_a_tower_of_convolutions_has_tokens_too():
    conv = load_model("nano-conv", device="cpu")
    found = picture_tokens(conv, render(scenes[:3], size=64).images, grid=2)
    torch.testing.assert_close(found[:, 0], conv.image_features(render(scenes[:3], size=64).images), atol=1e-5, rtol=0)


def test_probabilities_are_those_of_the_scores_and_the_start_is_free():
    model, words = small(), brief_vocabulary().encode(["a cat", "two red cats in the snow"])
    with torch.no_grad():
        found, scores = model.logprobs(tokens[:2], words), model.logits(tokens[:2], words[:, :-1]).log_softmax(-1)
    assert (found[:, 0] == 0).all() and (found[0, 4:] == 0).all()
    assert found[1, 3].item() == pytest.approx(scores[1, 2, words[1, 3]].item(), abs=1e-6)
    assert model.loss(tokens[:2], words).item() == pytest.approx(-found.sum().item() / 10, abs=1e-5)


def test_samples_of_one_picture_stand_together_and_a_generator_decides():
    model = small()
    model.places.data[:] = 0
    seeded = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    said = model.sample(tokens[:3], 4, how="sample", generator=seeded())
    assert said.shape[0] == 12 and (said[:, 0] == brief_vocabulary().bos).all()
    assert torch.equal(said, model.sample(tokens[:3], 4, how="sample", generator=seeded()))
    greedy = model.write(tokens[:3], 2)
    assert greedy[0] == greedy[1] and len(greedy) == 6 and model.write(tokens[:3], batch=2) == greedy[::2]


def test_a_copy_is_another_one():
    model = small()
    other = model.copy()
    other.places.data += 1
    assert not torch.equal(model.places, other.places) and model.vocabulary == other.vocabulary


def test_every_picture_comes_once_a_round_with_one_of_its_own_references():
    vocabulary = WordVocabulary(["zero", "one", "two", "also"])
    pictures = torch.arange(3.0)[:, None, None]
    rows = list(reference_batches(pictures, [["zero", "zero also"], ["one"], ["two"]], vocabulary, 3, 20, seed=1))
    said = []
    for shown, words in rows:
        assert sorted(shown.flatten().tolist()) == [0, 1, 2]
        texts = vocabulary.decode(words)
        assert [t.split()[0] for t in texts] == [("zero", "one", "two")[int(i)] for i in shown.flatten()]
        said += texts
    assert {"zero", "zero also"} <= set(said)
    with pytest.raises(ClipkitError, match="references for 2"):
        next(reference_batches(pictures, [["a"], ["b"]], vocabulary, 3, 1, 0))


def test_it_learns_by_heart():
    references = brief_references(scenes[:8], 1)
    model = small()
    train_captioner(model, tokens[:8], references, 150, batch=8, lr=5e-3)
    said = model.write(tokens[:8])
    assert np.mean([s == r[0] for s, r in zip(said, references, strict=True)]) > 0.8


@pytest.mark.parametrize(
    "wrong", [tokens[:2, :, :64], tokens[0], torch.full((1, 17, 128), float("nan")), torch.ones(1, 18, 128), torch.ones(1, 0, 128)]
)
def test_wrong_picture_tokens_are_refused(wrong):
    with pytest.raises(ClipkitError):
        small().write(wrong)


def test_the_shipped_captioner_names_what_is_there():
    from clipkit.generate import attribute_prf, chair, grammatical_rate

    captioner = load_captioner(device="cpu")
    shown = sample_scenes(WorldSpec(**CAPTION_WORLD), 128, 77)
    said = captioner.write(picture_tokens(nano, render(shown).images))
    found = attribute_prf(shown, said)
    assert grammatical_rate(said) > 0.9 and chair(shown, said).per_mention < 0.2
    assert found["object"].recall > 0.3 and found["background"].recall < 0.3  # it says what references say: little
    assert captioner.fingerprint and captioner.name == "nano-captioner"


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    for load in (load_captioner, lambda name: load_grammar(nano, name)):
        with pytest.raises(ClipkitError, match="clipkit pretrain"):
            load(str(tmp_path / "none.safetensors"))
    with pytest.raises(ClipkitError, match="holds no captioner"):
        load_captioner("nano")
