"""Two towers: the loss written out, features whatever the batch, captions with their negatives, a checkpoint, and what is refused."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from builder.recipes.two_towers import caption_pair_batches
from builder.recipes.vqa_lessons import question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.score.clipscore import CLIPScore
from clipkit.score.lessons import lesson_scenes
from clipkit.score.two_towers import TwoTowers, hard_negative_loss, load_two_towers

TEXTS = ["a red cat", "two dogs and a blue key in the snow", "a cat"]


def small():
    torch.manual_seed(0)
    return TwoTowers(question_vocabulary(), picture_width=6, picture_length=16, width=16, layers=1, heads=2, embed_dim=8, length=20).eval()


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_loss_written_out(n):
    i, t, f, scale = unit(n, 5), unit(n, 5, seed=1), unit(n, 5, seed=2), 9.0
    total = 0.0
    for k in range(n):
        e = math.exp
        right = e(scale * float(i[k] @ t[k]))
        total -= math.log(right / sum(e(scale * float(i[k] @ x)) for x in [*t, *f])) / (2 * n)
        total -= math.log(right / sum(e(scale * float(x @ t[k])) for x in i)) / (2 * n)
    assert hard_negative_loss(i, t, f, torch.tensor(scale)).item() == pytest.approx(total)


def test_negatives_push_their_own_picture_away():
    i, t, f = (x.requires_grad_() for x in (unit(3, 5), unit(3, 5, seed=1), unit(3, 5, seed=2)))
    hard_negative_loss(i, t, f, torch.tensor(5.0)).backward()
    assert ((f.grad * i.detach()).sum(1) > 0).all()  # a step against the gradient lowers the cosine with its picture
    with pytest.raises(ClipkitError, match="one text and one negative"):
        hard_negative_loss(i, t, f[:2], torch.tensor(5.0))


def test_features():
    net, tokens = small(), torch.randn(5, 16, 6)
    images, texts = net.image_features(tokens), net.text_features(TEXTS)
    assert images.shape == (5, 8) and texts.shape == (3, 8)
    torch.testing.assert_close(images.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(net.image_features(tokens, batch=2), images)
    torch.testing.assert_close(torch.cat([net.text_features([t]) for t in TEXTS]), texts)  # padding changes nothing
    torch.testing.assert_close(CLIPScore(net, clip=False)(images, TEXTS), 2.5 * images @ texts.T)
    assert not torch.allclose(net.text_features(["a red cat and a blue dog"]), net.text_features(["a blue cat and a red dog"]))
    assert net.text_features([]).shape == (0, 8) and net.image_features(tokens[:0]).shape == (0, 8)


def test_captions_come_with_their_own_negatives():
    scenes, tokens, words = lesson_scenes(60, 3), torch.randn(60, 16, 6), question_vocabulary()
    a, b = (list(islice(caption_pair_batches(scenes, tokens, words, 16, 1), 9)) for _ in range(2))
    assert len(a) == 9 and all(torch.equal(x, y) for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True))
    for seen, true, false in a:
        assert len(seen) == len(true) == len(false) and not (true == words.unk).any() and not (false == words.unk).any()
        assert all(x != y for x, y in zip(words.decode(true), words.decode(false), strict=True))
    assert len({t for _, true, _ in a for t in words.decode(true)}) > 60  # new captions every round


def test_refused(tmp_path):
    net = small()
    for act, message in (
        (lambda: net.image_features(torch.randn(2, 3, 6)), "patch_tokens"),
        (lambda: net.image_features([1]), "set `model`"),
        (lambda: net.text_features(["cat " * 30]), "shorten"),
        (lambda: load_two_towers(None, folder=tmp_path), "clipkit pretrain nano-negclip"),
    ):
        with pytest.raises(ClipkitError, match=message):
            act()
