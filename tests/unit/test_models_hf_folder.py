"""Hugging Face folders as models: the same features as transformers gives, and one sentence for what does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from clipkit import ClipkitError, load_model
from clipkit.compat import ensure_torchvision

ensure_torchvision()  # transformers imports it
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small CLIPModel with random weights, saved as its owner would."""
    torch.manual_seed(0)
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "eos_token_id": 49407}
    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "image_size": 32,
        "patch_size": 8,
    }
    model = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)).eval()
    for parameter in model.parameters():  # biases start at zero, which would hide one that is lost
        parameter.data += 0.05 * torch.randn_like(parameter)
    folder = tmp_path_factory.mktemp("hub") / "mine"
    model.save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32, image_mean=[0.4, 0.5, 0.6]).save_pretrained(folder)
    return folder, model


def test_features_equal_those_of_transformers(saved):
    folder, model = saved
    clip = load_model(f"hf:{folder}", device="cpu")
    pixels, tokens = torch.randn(3, 3, 32, 32), clip.tokenize(["a red cat", "two dogs, asleep"])
    with torch.no_grad():
        image = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
        text = model.text_projection(model.text_model(input_ids=tokens).pooler_output)
        torch.testing.assert_close(clip.encode_image(pixels), torch.nn.functional.normalize(image, dim=-1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(clip.encode_text(tokens), torch.nn.functional.normalize(text, dim=-1), rtol=1e-4, atol=1e-5)
        assert clip.dense_features(pixels).shape == (3, 4, 4, 24)
    assert float(clip.logit_scale.detach()) == pytest.approx(float(model.logit_scale.detach().exp()))


def test_preprocessing_is_the_folders_own(saved):
    folder, _ = saved
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    theirs = transformers.CLIPImageProcessor.from_pretrained(folder)(picture, return_tensors="pt")["pixel_values"][0]
    clip = load_model(f"hf:{folder}", device="cpu")
    torch.testing.assert_close(clip.preprocess(picture), theirs, rtol=0, atol=1e-4)
    assert clip.notes == ["preprocessing from preprocessor_config.json"]


def test_the_fingerprint_is_of_the_weights_not_of_the_place(saved, tmp_path):
    folder, model = saved
    model.save_pretrained(tmp_path / "copy")
    (tmp_path / "copy" / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
    there, here = load_model(f"hf:{tmp_path / 'copy'}", device="cpu"), load_model(f"hf:{folder}", device="cpu")
    assert there.fingerprint == here.fingerprint != load_model(f"cast:bf16:hf:{folder}", device="cpu").fingerprint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(model_type="bert"), "holds a 'bert' model"),
        (lambda c: c["text_config"].update(vocab_size=100), "100 tokens"),
        (lambda c: c["vision_config"].update(hidden_act="relu"), "activation quick_gelu and relu"),
        (lambda c: c["text_config"].update(num_hidden_layers=3), "weights and config.json do not fit"),
    ],
)
def test_what_does_not_fit_is_one_sentence(saved, tmp_path, change, message):
    folder, _ = saved
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ClipkitError, match=message):
        load_model(f"hf:{tmp_path}", device="cpu")


def test_a_folder_without_its_files(tmp_path):
    with pytest.raises(ClipkitError, match="config.json cannot be read"):
        load_model(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": {}, "vision_config": {}}))
    (tmp_path / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(ClipkitError, match="missing or damaged"):
        load_model(f"hf:{tmp_path}")


def test_precision_by_name():
    clip = load_model("cast:bf16:nano", device="cpu")
    assert clip.dtype == torch.bfloat16 and clip.name == "nano"
    full = load_model("nano", device="cpu").text_features(["a red cat"])
    torch.testing.assert_close(clip.text_features(["a red cat"]), full, atol=0.03, rtol=0)
    with pytest.raises(ClipkitError, match="unknown precision 'half'"):
        load_model("cast:half:nano", device="cpu")
