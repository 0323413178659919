"""The small shipped models: building, saving, loading, and what every DualEncoder promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from builder.recipes.bpe import save_bpe, train_bpe
from builder.recipes.makers import save_nano
from clipkit.errors import ClipkitError
from clipkit.models import NanoEncoder, build_nano, list_models, load_card, load_model
from clipkit.models.nano import load_nano, shipped_models
from clipkit.models.pixels import normalise, resize_crop
from clipkit.paths import ROOT

CORPUS = ["a red cat on the left of a blue dog", "two green umbrellas", "no watermelon here"] * 5


def tiny_config(folder, **vision) -> dict:
    merges = train_bpe(CORPUS, 40)
    save_bpe(merges, folder / "tiny_bpe.txt.gz")
    return {
        "name": "nano-tiny",
        "embed_dim": 24,
        "vision_cfg": {"image_size": 16, "layers": 2, "width": 32, "head_width": 16, "patch_size": 4} | vision,
        "text_cfg": {"context_length": 20, "vocab_size": 512 + len(merges) + 2, "width": 32, "heads": 2, "layers": 2},
        "tokenizer": {"merges": "tiny_bpe.txt.gz", "context_length": 20},
        "preprocess": {"size": 16, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]},
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    config = tiny_config(folder)
    save_nano(build_nano(config), config, {"steps": 0}, folder)
    return folder


@pytest.fixture(scope="module")
def model(folder) -> NanoEncoder:
    return load_nano("nano-tiny", device="cpu", folder=folder)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)


def test_round_trip_keeps_weights_card_and_fingerprint(folder, model):
    again = load_nano("nano-tiny", device="cpu", folder=folder)
    assert again.fingerprint == model.fingerprint and len(model.fingerprint) == 64
    assert model.card == {"name": "nano-tiny", "steps": 0}
    assert (model.embed_dim, model.image_size, model.context_length, model.pretrained) == (24, 16, 20, "shipped")
    other = load_nano("nano-tiny", "random", "cpu", folder=folder)
    assert other.fingerprint != model.fingerprint and other.card == {}


def test_load_model_finds_it_in_the_data_folder(folder, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(folder.parent))
    (folder.parent / "models").is_dir() or (folder.parent / "models").symlink_to(folder)
    assert list_models() == sorted([*shipped_models(ROOT / "data" / "models"), "nano-tiny"]) + ["lit", "lite"]  # beside the shipped ones
    assert load_model("nano-tiny").name == "nano-tiny"
    assert load_card("nano-tiny")["steps"] == 0
    with pytest.raises(ClipkitError, match="did you mean 'nano-tiny'"):
        load_model("nano-tidy")
    with pytest.raises(ClipkitError, match="unknown model card"):
        load_card("nano-none")


def test_fingerprint_changes_when_weights_change_in_place(folder):
    model = load_nano("nano-tiny", device="cpu", folder=folder)
    before = model.fingerprint
    with torch.no_grad():
        model.module.visual.proj.add_(1e-3)
    assert model.fingerprint != before


def test_fingerprint_depends_on_preprocessing(model, folder):
    other = load_nano("nano-tiny", device="cpu", folder=folder)
    other.mean = (0.1, 0.1, 0.1)
    assert other.fingerprint != model.fingerprint


def test_features_are_unit_norm_float32_and_independent_of_the_batch(model, pictures):
    whole = model.image_features(pictures)
    assert whole.shape == (7, 24) and whole.dtype == torch.float32
    torch.testing.assert_close(whole.norm(dim=-1), torch.ones(7))
    torch.testing.assert_close(whole, model.image_features(pictures, batch=2), rtol=0, atol=1e-6)
    torch.testing.assert_close(whole, model.image_features([Image.fromarray(p) for p in pictures], batch=3), rtol=0, atol=1e-6)
    texts = ["a red cat", "two green umbrellas on the left of a blue dog", "", "世界 cat"]
    whole = model.text_features(texts)
    torch.testing.assert_close(whole.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(whole, model.text_features(texts, batch=1), rtol=0, atol=1e-6)
    assert model.text_features([]).shape == (0, 24) and model.image_features(pictures[:0]).shape == (0, 24)


def test_encoders_equal_open_clips_own_forward(model, pictures):
    pixels, tokens = model.preprocess_batch(pictures), model.tokenize(["a red cat", "two umbrellas here and there"])
    image, text, scale = model.module(pixels, tokens)
    torch.testing.assert_close(model.encode_image(pixels), image)
    torch.testing.assert_close(model.encode_text(tokens), text, rtol=0, atol=1e-6)
    torch.testing.assert_close(model.logit_scale, scale)
    assert model.logit_scale.ndim == 0 and abs(float(model.logit_scale.detach()) - 1 / 0.07) < 1e-3


def test_token_embeddings_round_trip_and_gradients_flow(model):
    tokens = model.tokenize(["a red cat", "two green umbrellas on the left"])
    embeddings = model.token_embeddings(tokens).detach().requires_grad_()
    assert embeddings.shape == (2, 20, 32)
    features = model.encode_token_embeddings(embeddings, tokens)
    torch.testing.assert_close(features, model.encode_text(tokens), rtol=0, atol=1e-5)
    features[:, 0].sum().backward()
    assert embeddings.grad.abs().sum() > 0
    with pytest.raises(ClipkitError, match="do not fit tokens"):
        model.encode_token_embeddings(embeddings[:, :5], tokens)


def test_gradients_reach_the_pixels_and_freeze_stops_at_the_weights(folder, pictures):
    model = load_nano("nano-tiny", device="cpu", folder=folder).freeze()
    pixels = model.preprocess_batch(pictures).requires_grad_()
    model.encode_image(pixels)[:, 0].sum().backward()
    assert pixels.grad.abs().sum() > 0 and all(p.grad is None for p in model.module.parameters())


def test_attention_maps_are_those_the_tower_used(model, pictures):
    pixels = model.preprocess_batch(pictures)
    maps = model.attention(pixels)
    assert [m.shape for m in maps] == [(7, 2, 17, 17)] * 2
    torch.testing.assert_close(maps[0].sum(-1), torch.ones(7, 2, 17))
    # torch's own attention module, asked for its weights, on the same input
    visual = model.module.visual
    x = visual._embeds(pixels)
    block = visual.transformer.resblocks[0]
    y = block.ln_1(x)
    expected = block.attn(y, y, y, need_weights=True, average_attn_weights=False)[1]
    torch.testing.assert_close(maps[0], expected, rtol=1e-4, atol=1e-6)


def test_dense_features_follow_the_value_path(model, pictures):
    pixels = model.preprocess_batch(pictures)
    dense = model.dense_features(pixels)
    assert dense.shape == (7, 4, 4, 24)
    torch.testing.assert_close(dense.norm(dim=-1), torch.ones(7, 4, 4))
    # independent: let the last layer attend with the identity in place of its attention maps
    visual = model.module.visual
    x, block = visual._embeds(pixels), visual.transformer.resblocks[1]
    x = visual.transformer.resblocks[0](x)
    attn = block.attn
    weight, bias = attn.in_proj_weight[64:], attn.in_proj_bias[64:]
    x = x + attn.out_proj(block.ln_1(x) @ weight.T + bias)
    x = x + block.mlp(block.ln_2(x))
    expected = F.normalize(visual.ln_post(x[:, 1:]) @ visual.proj, dim=-1)
    torch.testing.assert_close(dense.reshape(7, 16, 24), expected, rtol=1e-4, atol=1e-5)


def test_preprocess_one_by_one_equals_the_batch(model, pictures):
    batch = model.preprocess_batch(pictures)
    singles = torch.stack([model.preprocess(Image.fromarray(p)) for p in pictures])
    assert torch.equal(batch, singles)
    expected = (pictures[0, 3, 5].astype(np.float64) / 255 - model.mean) / model.std
    np.testing.assert_allclose(batch[0, :, 3, 5], expected, rtol=1e-5, atol=1e-6)
    large = pictures.repeat(2, 1).repeat(2, 2)  # each pixel doubled: box averaging gives the picture back
    assert torch.equal(model.preprocess_batch(large), batch)
    assert model.preprocess_batch(pictures[:, :10, :8]).shape == (7, 3, 16, 16)
    assert model.preprocess(Image.new("L", (40, 23))).shape == (3, 16, 16)


def test_resize_crop_takes_the_centre():
    image = np.zeros((8, 24, 3), np.uint8)
    image[:, 8:16] = 255
    assert (resize_crop(Image.fromarray(image), 8) == 255).all()
    assert float(normalise(np.zeros((1, 1, 1, 3), np.uint8), (0.5,) * 3, (0.5,) * 3)[0, 0, 0, 0]) == -1


@pytest.mark.parametrize(
    "bad, message",
    [
        (torch.zeros(2, 3, 17, 16), "16 × 16 pixels, got 17 × 16"),
        (torch.zeros(2, 1, 16, 16), "float tensor"),
        (torch.zeros(3, 16, 16), "float tensor"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), "float tensor"),
        (torch.full((2, 3, 16, 16), float("nan")), "NaN"),
    ],
)
def test_wrong_pixels_are_refused(model, bad, message):
    for call in (model.encode_image, model.dense_features, model.attention):
        with pytest.raises(ClipkitError, match=message):
            call(bad)


def test_wrong_tokens_and_arrays_are_refused(model, pictures):
    with pytest.raises(ClipkitError, match="integer tensor"):
        model.encode_text(["a red cat"])
    with pytest.raises(ClipkitError, match="tokens are 30 long"):
        model.encode_text(torch.ones(2, 30, dtype=torch.int64))
    with pytest.raises(ClipkitError, match="uint8 array"):
        model.preprocess_batch(pictures.astype(np.float32))


def test_conv_tower(tmp_path):
    config = tiny_config(tmp_path, layers=[1, 1, 1, 1], width=8, head_width=16, image_size=64)
    config["preprocess"]["size"] = 64
    save_nano(build_nano(config), config, {}, tmp_path, name="nano-c")
    model = load_nano("nano-c", device="cpu", folder=tmp_path)
    pixels = torch.randn(2, 3, 64, 64)
    assert model.dense_features(pixels).shape == (2, 2, 2, 24)
    # of a map without variation every cell must give the pooled feature, positions aside
    with torch.no_grad():
        model.module.visual.attnpool.positional_embedding.zero_()
        cells = model.dense_features(torch.zeros(1, 3, 64, 64))
    assert cells.shape == (1, 2, 2, 24)
    with pytest.raises(ClipkitError, match="no attention layers"):
        model.attention(pixels)


def test_vision_only_tower(tmp_path):
    config = {k: v for k, v in tiny_config(tmp_path).items() if k not in ("text_cfg", "tokenizer")}
    save_nano(build_nano(config), config, {}, tmp_path, name="nano-dino")
    model = load_nano("nano-dino", device="cpu", folder=tmp_path)
    pixels = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.encode_image(pixels).norm(dim=-1), torch.ones(2))
    assert model.dense_features(pixels).shape == (2, 4, 4, 24)
    assert len(model.attention(pixels)) == 2 and float(model.logit_scale) == 1
    for call in (
        lambda: model.tokenize(["a"]),
        lambda: model.text_features(["a"]),
        lambda: model.encode_text(torch.ones(1, 4, dtype=torch.int64)),
    ):
        with pytest.raises(ClipkitError, match="without a text tower"):
            call()


def test_half_precision_on_disk_and_in_memory(folder, model, pictures, tmp_path):
    config = tiny_config(tmp_path)
    path = save_nano(model.module, config, {}, tmp_path, name="nano-half", half=True)
    assert path.stat().st_size < 0.6 * (folder / "nano-tiny.safetensors").stat().st_size
    for precision in ("fp32", "bf16"):
        half = load_nano("nano-half", device="cpu", precision=precision, folder=tmp_path)
        features = half.image_features(pictures)
        assert features.dtype == torch.float32 and (features * model.image_features(pictures)).sum(-1).min() > 0.99


def test_damaged_and_missing_files(folder, tmp_path):
    for file in folder.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "nano-tiny.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ClipkitError, match="not a readable checkpoint .*truncated"):
        load_nano("nano-tiny", folder=tmp_path)
    weights.unlink()
    with pytest.raises(ClipkitError, match="weights .* are missing"):
        load_nano("nano-tiny", folder=tmp_path)
    with pytest.raises(ClipkitError, match="no checkpoint file at"):
        load_nano("nano-tiny", str(tmp_path / "none.safetensors"), folder=tmp_path)
    with pytest.raises(ClipkitError, match="make pretrain NAME=nano-huge"):
        load_nano("nano-huge", folder=tmp_path)
    (tmp_path / "tiny_bpe.txt.gz").write_bytes(b"nonsense")
    with pytest.raises(ClipkitError, match="vocabulary .* missing or damaged"):
        load_nano("nano-tiny", "random", folder=tmp_path)
    (tmp_path / "nano-tiny.json").write_text("{")
    with pytest.raises(ClipkitError, match="not a valid model configuration"):
        load_nano("nano-tiny", folder=tmp_path)


def test_weights_of_another_shape_are_refused(folder, tmp_path):
    config = tiny_config(tmp_path, width=48)
    save_nano(build_nano(config), config, {}, tmp_path, name="nano-wide")
    (tmp_path / "nano-wide.json").unlink()
    with pytest.raises(ClipkitError, match="does not fit nano-tiny .*of another shape"):
        load_nano("nano-tiny", str(tmp_path / "nano-wide.safetensors"), folder=folder)


def test_bad_configurations(tmp_path):
    config = tiny_config(tmp_path)
    with pytest.raises(ClipkitError, match="needs the key 'vision_cfg'"):
        build_nano({"embed_dim": 3, "preprocess": {}})
    with pytest.raises(ClipkitError, match="open_clip cannot build"):
        build_nano(config | {"vision_cfg": {"depth": 3}})
    with pytest.raises(ClipkitError, match="needs a name"):
        save_nano(build_nano(config), {k: v for k, v in config.items() if k != "name"}, {}, tmp_path)
    with pytest.raises(ClipkitError, match="is not in"):
        save_nano(build_nano(config), config | {"tokenizer": {"merges": "gone.gz"}}, {}, tmp_path)
    config["text_cfg"]["vocab_size"] = 30
    with pytest.raises(ClipkitError, match="do not belong together"):
        NanoEncoder(build_nano(config), config, tmp_path)
    with pytest.raises(ClipkitError, match="unknown precision 'int3'"):
        load_nano("nano-tiny", precision="int3", folder=tmp_path)
    with pytest.raises(ClipkitError, match="device 'abacus' cannot be used"):
        save_nano(build_nano(c := tiny_config(tmp_path)), c, {}, tmp_path)
        load_nano("nano-tiny", device="abacus", folder=tmp_path)


def test_card_and_config_are_plain_json(folder):
    assert json.loads((folder / "nano-tiny.json").read_text())["tokenizer"]["merges"] == "tiny_bpe.txt.gz"
    assert json.loads((folder / "nano-tiny.card.json").read_text())["name"] == "nano-tiny"
