"""The CLIP that trains while a page runs: shapes, same start for every arm, same pairs for every batch size, it learns."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch

from clipkit.datasets import load_dataset
from clipkit.errors import ClipkitError
from clipkit.pretrain import info_nce
from clipkit.pretrain.pairs import contrastive_loss
from clipkit.pretrain.tiny_clip import CONTEXT, EMBED_DIM, caption_batches, small_clip
from clipkit.train import train


@pytest.fixture(scope="module")
def scenes():
    return load_dataset("world", "train", n=32, seed=0, captions=("short",))


def test_features_are_unit_norm_and_captions_fit(scenes):
    model = small_clip(0)
    texts = [captions[0] for captions in scenes.captions]
    v, t = model.image_features(scenes.images), model.text_features(texts)
    assert v.shape == t.shape == (32, EMBED_DIM)
    assert torch.allclose(torch.cat([v, t]).norm(dim=1), torch.ones(64), atol=1e-5)
    tokens = model.tokenize(texts)
    assert tokens.shape[1] == CONTEXT
    assert bool((tokens == tokens.max()).any(1).all()), "every caption keeps its end mark"


def test_the_seed_alone_decides_the_start():
    torch.manual_seed(123)
    first = torch.rand(1)
    torch.manual_seed(123)
    one, other, fixed = small_clip(3), small_clip(4), small_clip(3, logit_scale=10)
    assert torch.rand(1) == first, "the caller's random numbers are left alone"
    same = [
        torch.equal(a, b) for (n, a), b in zip(one.module.named_parameters(), fixed.module.parameters(), strict=True) if n != "logit_scale"
    ]
    assert all(same)
    assert not torch.equal(one.module.visual[0].weight, other.module.visual[0].weight)


def test_logit_scale_is_learnt_or_stays(scenes):
    ends = []
    for scale in (None, 10.0):
        model = small_clip(0, scale)
        start = model.logit_scale.item()
        train(model.module, caption_batches(model, scenes, 16, 0), contrastive_loss(model, info_nce), 3)
        ends.append(abs(model.logit_scale.item() - start))
        assert start == pytest.approx(1 / 0.07 if scale is None else scale, rel=1e-5)
    assert ends[0] > 0
    assert ends[1] == 0


def test_two_batch_sizes_see_the_same_pairs_in_the_same_order(scenes):
    model = small_clip(0)
    large = torch.cat([tokens for _, tokens in islice(caption_batches(model, scenes, 16, 7), 6)])
    small = torch.cat([tokens for _, tokens in islice(caption_batches(model, scenes, 4, 7), 24)])
    assert torch.equal(large, small)
    assert not torch.equal(large[:32], large[32:64]), "each pass has its own order"
    rows = [sorted(map(tuple, part.tolist())) for part in (large[:32], large[32:64])]
    assert rows[0] == rows[1], "each pass shows every pair once"


def test_pictures_keep_their_captions(scenes):
    model = small_clip(0)
    pixels, tokens = next(caption_batches(model, scenes, 8, 1))
    known = model.preprocess_batch(scenes.array)
    for picture, caption in zip(pixels, tokens, strict=True):
        match = (known == picture).flatten(1).all(1).nonzero()[0, 0].item()
        assert torch.equal(model.tokenize([scenes.captions[match][0]])[0], caption)


def test_it_learns_a_handful_of_pairs(scenes):
    model = small_clip(0)
    history = train(model.module, caption_batches(model, scenes, 32, 0), contrastive_loss(model, info_nce), 40, lr=2e-3)
    assert history.loss[-1] < 0.5 * history.loss[0]


def test_clear_errors(scenes):
    model = small_clip(0)
    with pytest.raises(ClipkitError, match="positive"):
        small_clip(0, logit_scale=0)
    with pytest.raises(ClipkitError, match="do not fill"):
        next(caption_batches(model, scenes, 64, 0))
    with pytest.raises(ClipkitError, match="needs captions"):
        next(caption_batches(model, replace(scenes, captions=None), 8, 0))
