"""The "no" tower, its losses and its training: pair by pair, at the start, by gradient; what a decision means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from clipkit import load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.robust import NoTextTower, clipn_loss, clipn_scores, train_no_tower
from clipkit.robust.clipn_training import first_trained


def unit(n: int, d: int = 6, seed: int = 0, dtype=torch.float64) -> torch.Tensor:
    return normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=1).to(dtype)


@pytest.fixture(scope="module")
def nano():
    return load_model("nano").freeze()


class Captioned:
    """n pictures of the world with a caption each; the same caption fits."""

    def __init__(self, model, n: int, seed: int = 0):
        data = load_dataset("world", "train", n=n, seed=seed)
        self.captions = [row[0] for row in data.captions]
        self.images, self.texts = model.image_features(data.images), model.text_features(self.captions)

    def match(self, rows):
        said = [self.captions[i] for i in rows.tolist()]
        return torch.tensor([[a == b for b in said] for a in said])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [2, 7])
def test_the_loss_pair_by_pair(n, dtype):
    f, g, h = (unit(n, seed=s, dtype=dtype) for s in range(3))
    match = torch.eye(n, dtype=torch.bool)
    if n > 2:
        match[0, 3] = True
    yes = no = torch.zeros((), dtype=dtype)
    denied = 0
    for i in range(n):
        for j in range(n):
            pair = torch.softmax(10 * torch.stack([f[i] @ g[j], f[i] @ h[j]]), 0)
            if i == j:
                yes = yes - pair[0].log() / n
            elif not match[i, j]:
                no, denied = no - pair[1].log(), denied + 1
    tso = torch.stack([2 - torch.sqrt((a - b).square().sum() + 1e-4) for a, b in zip(g, h, strict=True)]).mean()
    found = clipn_loss(f, g, h, 10.0, match if n > 2 else None)
    for name, expected in {"yes": yes, "no": no / denied, "tso": tso, "total": (yes + no / denied + tso) / 2}.items():
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-5)


def test_equal_towers_know_nothing_and_have_a_slope():
    f, g = unit(5), unit(5, seed=1)
    h = g.clone().requires_grad_()
    found = clipn_loss(f, g, h, 10.0)
    assert found["yes"].item() == pytest.approx(np.log(2)) and found["no"].item() == pytest.approx(np.log(2))
    assert found["tso"].item() == pytest.approx(1.99)
    found["total"].backward()
    assert torch.isfinite(h.grad).all() and h.grad.norm() > 0
    assert torch.autograd.gradcheck(lambda z: clipn_loss(f, g, normalize(z, dim=1), 10.0)["total"], unit(5, seed=2).requires_grad_())


def test_scores_class_by_class():
    x, w, v = unit(9), unit(4, seed=1), unit(4, seed=2)
    found = clipn_scores(x, w, v, 8.0)
    for i, row in enumerate(x):
        p = torch.softmax(8 * w @ row, 0)
        q = torch.stack([torch.softmax(8 * torch.stack([a @ row, b @ row]), 0)[0] for a, b in zip(w, v, strict=True)])
        torch.testing.assert_close(found.competing_to_win[i], q[p.argmax()])
        torch.testing.assert_close(found.agreeing_to_differ[i], (p * q).sum())
        assert bool(found.reject_competing[i]) == bool(v[p.argmax()] @ row > w[p.argmax()] @ row)
        assert bool(found.reject_agreeing[i]) == bool(1 - (p * q).sum() > (p * q).max())


def test_with_one_class_both_scores_agree_and_scale_moves_no_decision_of_the_winner():
    x, w, v = unit(9), unit(4, seed=1), unit(4, seed=2)
    one = clipn_scores(x, w[:1], v[:1], 8.0)
    torch.testing.assert_close(one.competing_to_win, one.agreeing_to_differ)
    assert torch.equal(clipn_scores(x, w, v, 1.0).reject_competing, clipn_scores(x, w, v, 50.0).reject_competing)


def test_a_new_tower_says_no_as_the_model_says_yes_and_leaves_the_model_alone(nano):
    before, texts = nano.fingerprint, ["a red cat", "a photo of two boats at night"]
    tower = NoTextTower(nano, 4)
    torch.testing.assert_close(tower.text_features(texts), nano.text_features(texts))
    assert {n for n, p in tower.named_parameters() if p.requires_grad} >= {
        "prompts",
        "network.text_projection",
        "network.token_embedding.weight",
    }
    assert not any("visual" in n for n, _ in tower.named_parameters())
    pairs = Captioned(nano, 64, seed=3)
    rows = train_no_tower(tower, pairs, 18.0, steps=3, batch=32)
    assert rows[0]["yes"] == pytest.approx(np.log(2), abs=1e-4) and rows[-1]["distance"] > rows[0]["distance"] and len(rows) == 3
    assert nano.fingerprint == before and not torch.allclose(tower.text_features(texts), nano.text_features(texts))
    assert tower.prompts.abs().sum() > 0


def test_any_open_clip_model_has_a_no_tower():
    model = load_model("ViT-S-32-alt", "random")
    tower = NoTextTower(model, 2)
    torch.testing.assert_close(tower.text_features(["a cat"]), model.text_features(["a cat"]), rtol=1e-4, atol=1e-5)
    tower.train()
    tower(tower.inputs(["a cat", "a dog"])).sum().backward()
    assert tower.prompts.grad is not None


def test_prompts_are_drawn_in_training_and_averaged_afterwards(nano):
    tower = NoTextTower(nano, 2)
    with torch.no_grad():
        tower.prompts += torch.tensor([0.5, -0.5])[:, None, None] * unit(1, tower.prompts.shape[2], dtype=torch.float32)
    tokens = tower.inputs(["a red cat"] * 30)
    tower.train()
    assert len(tower(tokens).detach().round(decimals=4).unique(dim=0)) == 3  # two prompts and their mean
    tower.eval()
    torch.testing.assert_close(tower(tokens[:1]), NoTextTower(nano, 0)(tokens[:1]))  # the mean is zero


def test_only_the_named_parts_are_trained(nano):
    tower = NoTextTower(nano, 0, ("ln_final", "text_projection"))
    train_no_tower(tower, Captioned(nano, 32, seed=0), 18.0, steps=1, batch=16)
    before, after = nano.module.state_dict(), tower.network.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"ln_final.weight", "ln_final.bias", "text_projection"}


def test_frozen_layers_are_computed_once_and_change_nothing(nano):
    pairs, results = Captioned(nano, 48, seed=0), []
    last = f"transformer.resblocks.{len(nano.module.transformer.resblocks) - 1}"
    for limit in (2**31, 0):  # kept, and too large to keep
        tower, calls = NoTextTower(nano, 0, (last,)), []
        frozen = tower.network.transformer.resblocks[0]
        frozen.ln_1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("clipkit.robust.clipn_training.LIMIT", limit)
            rows = train_no_tower(tower, pairs, 18.0, steps=5, batch=16)
        results.append((tower.text_features(["a red cat", "two boats"]), rows[-1]["total"], len(calls)))
        assert "forward" not in vars(frozen)
    (kept, loss, once), (plain, as_before, every_step) = results
    assert torch.allclose(kept, plain, atol=1e-5) and loss == pytest.approx(as_before, abs=1e-4) and once < every_step


def test_what_counts_as_frozen_layers(nano):
    assert first_trained(NoTextTower(nano, 0)) is None  # all is trained
    assert first_trained(NoTextTower(nano, 2, ("transformer.resblocks.1",))) is None  # prompts come before the layers
    assert first_trained(NoTextTower(nano, 0, ("transformer.resblocks.1", "token_embedding"))) is None
    assert first_trained(NoTextTower(nano, 0, ("transformer.resblocks.0",))) is None  # nothing is below
    assert first_trained(NoTextTower(nano, 0, ("transformer.resblocks.1",)))[1] == 1


@pytest.mark.parametrize("masked", [True, False])
def test_each_step_is_the_loss_of_its_batch(nano, masked):
    pairs = Captioned(nano, 40)
    tower = NoTextTower(nano, 0)
    [row] = train_no_tower(tower, pairs, 18.0, steps=1, batch=40, masked=masked)
    match = pairs.match(torch.arange(40)) if masked else None
    expected = clipn_loss(pairs.images, pairs.texts, pairs.texts, 18.0, match)  # the copy starts as the original
    assert {name: row[name] for name in expected} == pytest.approx({k: float(v) for k, v in expected.items()}, abs=1e-4)
    assert row["step"] == 1 and row["distance"] == 2 - row["tso"]


def test_the_same_seed_trains_the_same_tower(nano):
    pairs, texts = Captioned(nano, 64), []
    for seed in (0, 0, 1):
        tower = NoTextTower(nano, 1)
        train_no_tower(tower, pairs, 18.0, steps=2, batch=16, seed=seed)
        texts.append(tower.text_features(["a cat"]))
    assert torch.equal(texts[0], texts[1]) and not torch.allclose(texts[0], texts[2])


def test_bad_input(nano):
    f, g, h = (unit(3, seed=s) for s in range(3))
    with pytest.raises(ClipkitError, match="must be of one shape"):
        clipn_loss(f, g[:2], h, 10.0)
    with pytest.raises(ClipkitError, match="True on the diagonal"):
        clipn_loss(f, g, h, 10.0, torch.zeros(3, 3, dtype=torch.bool))
    with pytest.raises(ClipkitError, match="nothing can be denied"):
        clipn_loss(f, g, h, 10.0, torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ClipkitError, match="yes and no weights"):
        clipn_scores(f, g, h[:2], 10.0)
    with pytest.raises(ClipkitError, match="n_prompts must be at least 0"):
        NoTextTower(nano, -1)
    pairs = Captioned(nano, 8, seed=0)
    with pytest.raises(ClipkitError, match="do not fill a batch"):
        train_no_tower(NoTextTower(nano, 0), pairs, 18.0, 1, batch=16)
