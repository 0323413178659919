"""NanoVQA and its picture tokens: a forward pass written out, what each mask hides, invariants, checkpoints, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit import load_model
from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.parts import save_part
from clipkit.score.eyes import patch_tokens
from clipkit.score.nano_vqa import MASKS, NanoVQA, load_vqa

WORDS = WordVocabulary(["is", "there", "a", "red", "cat", "dog", "what", "colour", "the"])
ASKED = ["is there a cat", "what colour is the dog", "cat", "is the red cat a dog"]


def small(mask="bidirectional", layers=2):
    torch.manual_seed(0)
    made = NanoVQA(WORDS, ["yes", "no", "red"], picture_width=6, picture_length=16, width=16, layers=layers, heads=2, length=12, mask=mask)
    for some in (made.places, made.positions, made.eyes.words.weight):
        torch.nn.init.normal_(some)
    torch.nn.init.normal_(made.look_up.context.weight, std=0.1)
    return made.double().eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(4, 16, 6, generator=torch.Generator().manual_seed(1))


def looked_up(net, patches, ids):
    """What each word finds, one word and one patch at a time: by itself, and by itself with the two words before it."""
    look, scale, out = net.look_up, net.eyes.log_scale.exp(), []
    words = [net.eyes.words.weight[w] for w in ids]
    unit = lambda v: v / v.norm()  # noqa: E731
    alone = []  # what each word finds by itself
    for w in words:
        weight = torch.stack([scale * unit(w) @ unit(p) for p in patches]).softmax(0)
        alone.append(unit(sum(a * unit(p) for a, p in zip(weight, patches, strict=True))))
    grid = [((i % 4) * 2 / 3 - 1, (i // 4) * 2 / 3 - 1) for i in range(16)]  # a 4 x 4 grid from -1 to 1, x first
    for i in range(len(words)):
        phrase = words[i] + look.context.bias
        for back in range(min(3, i + 1)):
            phrase = phrase + look.context.weight[:, :, 2 - back] @ words[i - back]
        found, facts = [], []
        for query in (words[i], phrase):
            likeness = torch.stack([scale * unit(query) @ unit(p) for p in patches])
            weight = likeness.softmax(0)
            found.append(sum(w * unit(p) * 4 for w, p in zip(weight, patches, strict=True)))  # 4: the root of the width
            centre = [sum(w * at[k] for w, at in zip(weight, grid, strict=True)) for k in (0, 1)]
            spread = [sum(w * (at[k] - centre[k]) ** 2 for w, at in zip(weight, grid, strict=True)).sqrt() for k in (0, 1)]
            strength, extent = likeness.exp().sum().log() - scale, -(weight**2).sum().log() / 4
            facts += [strength, extent, *centre, *spread]
        facts += [2 * unit(words[i]) @ alone[j] if 0 <= j < len(words) else torch.zeros(()).double() for j in range(i - 3, i + 4)]
        out.append(look.take(torch.cat(found)) + look.tell(torch.stack(facts)))
    return out


def by_hand(net, picture, ids):
    """One pair, no padding, one query and one head at a time."""
    patches = net.eyes.project(picture.double())
    cells = [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    x = [patches[cell].mean(0) + at for cell, at in zip(cells, net.places, strict=True)]
    found = looked_up(net, patches, ids)
    x += [net.eyes.words.weight[w] + net.positions[i] + f for i, (w, f) in enumerate(zip(ids, found, strict=True))]  # 1: root of 16, over 4
    x = torch.stack([*x, net.ask])
    n = len(cells) + len(ids) + 1
    for block in net.encoder.blocks:
        h, attend = block.norm_self(x), block.attend_self
        q, (k, v) = attend.query(h), attend.key_value(h).chunk(2, -1)
        mixed = torch.zeros_like(h)
        for head in (slice(0, 8), slice(8, 16)):
            for i in range(n):
                sees = [j for j in range(n) if {"bidirectional": True, "causal": j <= i}[net.mask]]
                weight = torch.stack([q[i, head] @ k[j, head] / 8**0.5 for j in sees]).softmax(0)
                mixed[i, head] = weight @ v[sees, head]
        x = x + attend.out(mixed)
        x = x + block.mlp(block.norm_mlp(x))
    return net.head(net.encoder.norm(x[-1])).log_softmax(-1)


@pytest.mark.parametrize("mask", MASKS)
def test_the_forward_pass_written_out(pictures, mask):
    net = small(mask)
    with torch.no_grad():
        want = torch.stack([by_hand(net, p, [WORDS.bos, *WORDS.ids(q), WORDS.eos]) for p, q in zip(pictures, ASKED, strict=True)])
    torch.testing.assert_close(net.logprobs(pictures, ASKED).double(), want, atol=1e-5, rtol=1e-5)
    assert torch.allclose(want.exp().sum(1), torch.ones(4, dtype=torch.double))


@pytest.mark.parametrize("mask", MASKS)
def test_do_the_pictures_see_the_question(pictures, mask):
    net, kept = small(mask), []
    handle = net.encoder.blocks[-1].register_forward_hook(lambda _, args, out: kept.append(out[0][:, : len(net.places)]))
    net.logprobs(pictures[:1], ["is there a cat"])
    net.logprobs(pictures[:1], ["is there a dog"])
    handle.remove()
    assert torch.equal(*kept) == (mask != "bidirectional")


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_batches_order_and_padding_change_nothing(pictures, batch):
    net = small()
    want = torch.cat([net.logprobs(pictures[i : i + 1], ASKED[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(net.logprobs(pictures, ASKED, batch=batch), want)
    torch.testing.assert_close(net.logprobs(pictures.flip(0), ASKED[::-1], batch=batch), want.flip(0))
    torch.testing.assert_close(net.logprobs(pictures, ["cat"], batch=batch), net.logprobs(pictures, ["cat"] * 4))
    assert net.answer(pictures, ASKED) == [net.answers[i] for i in want.argmax(1)]
    assert net.logprobs(pictures[:0], []).shape == (0, 3)


def test_the_offset_moves_a_question_in_the_table_of_places(pictures):
    net = small()
    tokens = net.encode(["cat"]).expand(4, -1)
    zero, two = torch.zeros(4, dtype=torch.long), torch.full((4,), 2)
    assert torch.equal(net(pictures, tokens), net(pictures, tokens, zero))
    moved = net(pictures, tokens, two)
    with torch.no_grad():
        net.positions.copy_(net.positions.roll(-2, 0))
    torch.testing.assert_close(net(pictures, tokens), moved)
    torch.testing.assert_close(net(pictures, tokens, zero + net.length), net(pictures, tokens))


def test_a_checkpoint_comes_back(pictures, tmp_path):
    net = small("causal").float()
    path = save_part(net, {"note": "a test"}, tmp_path, "tiny")
    back = load_vqa(str(path), "cpu")
    assert back.settings == net.settings and back.answers == net.answers and back.name == "tiny" and back.fingerprint
    torch.testing.assert_close(back.logprobs(pictures, ASKED), net.logprobs(pictures, ASKED), atol=2e-2, rtol=2e-2)
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    for name in ("missing", "broken"):
        with pytest.raises(ClipkitError, match="clipkit pretrain"):
            load_vqa(name, folder=tmp_path)


def test_patch_tokens_are_the_blocks_outputs_side_by_side():
    model = load_model("nano", device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    got = patch_tokens(model, images, (1, 3), batch=2)
    visual = model.module.visual
    with torch.no_grad():
        x = visual.conv1(next(iter(model._batches(images, 8)))).flatten(2).transpose(1, 2)
        x = visual.ln_pre(torch.cat([visual.class_embedding.expand(3, 1, -1), x], 1) + visual.positional_embedding)
        kept = []
        for k, block in enumerate(visual.transformer.resblocks[:3], start=1):
            x = block(x)
            if k in (1, 3):
                y = x[:, -64:]
                kept.append((y - y.mean(-1, keepdim=True)) / (y.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt())
    torch.testing.assert_close(got.float(), torch.cat(kept, -1), atol=2e-3, rtol=2e-3)
    assert got.dtype == torch.float16 and got.shape == (3, 64, 2 * 128)
    assert patch_tokens(model, images[:0]).shape == (0, 64, 256)
    with pytest.raises(ClipkitError, match="layers 1 to 4"):
        patch_tokens(model, images, (5,))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda n, p: NanoVQA(WORDS, ["yes"], mask="none"), "unknown mask"),
        (lambda n, p: NanoVQA(WORDS, ["yes", "yes"]), "distinct answers"),
        (lambda n, p: NanoVQA(WORDS, ["yes"], picture_length=9), "even side"),
        (lambda n, p: n.logprobs(p, ["cat"] * 3), "3 questions about 4 pictures"),
        (lambda n, p: n.logprobs(p, ["cat " * 20]), "reads 12; shorten"),
        (lambda n, p: n.logprobs(p[:, :3], ["cat"]), "patch_tokens"),
        (lambda n, p: n.logprobs(torch.full_like(p, float("nan")), ["cat"]), "NaN"),
        (lambda n, p: n(p, torch.zeros(4, 2)), "integer tokens"),
    ],
)
def test_refused(pictures, act, message):
    with pytest.raises(ClipkitError, match=message):
        act(small(), pictures)
