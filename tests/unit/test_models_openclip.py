"""open_clip models by name, tag and file: parity with open_clip itself, pinning, and one message for each failure."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from clipkit.compat import import_open_clip
from clipkit.errors import ClipkitError
from clipkit.models import hub, list_models, load_model
from clipkit.notices import forget, notices

open_clip = import_open_clip()

VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
CONFIGS = {
    "tiny-vit": {"embed_dim": 12, "vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-vit-quickgelu": {"embed_dim": 12, "quick_gelu": True, "vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-vit-64": {"embed_dim": 12, "vision_cfg": VIT | {"image_size": 64}, "text_cfg": TEXT},
    "tiny-custom": {
        "embed_dim": 12,
        "custom_text": True,
        "init_logit_bias": -10,
        "vision_cfg": VIT | {"qk_norm": True, "scale_attn_inner": True, "scale_heads": True, "scale_attn": True, "pool_type": "avg"},
        "text_cfg": TEXT | {"no_causal_mask": True, "pool_type": "last", "proj_bias": True},
    },
    "tiny-resnet": {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16},
        "text_cfg": TEXT,
    },
    "tiny-timm-vit": {
        "embed_dim": 64,
        "custom_text": True,
        "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": TEXT,
    },
    "tiny-timm-conv": {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 64, "timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear"},
        "text_cfg": TEXT,
    },
    "tiny-coca": {
        "embed_dim": 12,
        "vision_cfg": VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "attn_pooler_queries": 4, "output_tokens": True},
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": {"context_length": 16, "width": 12, "heads": 2, "layers": 1},
        "custom_text": True,
    },
}


@pytest.fixture(scope="module", autouse=True)
def registered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    for name, config in CONFIGS.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    yield
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in CONFIGS:
        open_clip.factory._MODEL_CONFIGS.pop(name, None)


def tiny(name: str):
    torch.manual_seed(0)
    return load_model(name, "random", device="cpu")


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-custom", "tiny-resnet", "tiny-coca"])
def test_equals_open_clip(name):
    model = tiny(name)
    pixels = torch.randn(3, 3, model.image_size, model.image_size)
    tokens = model.tokenize(["a cat", "two dogs in the snow", "x " * 50])
    assert tokens.shape == (3, model.context_length)
    with torch.no_grad():
        image = model.module.encode_image(pixels)
        text = model.module.encode_text(tokens)
    image, text = (z[0] if isinstance(z, tuple) else z for z in (image, text))
    torch.testing.assert_close(model.encode_image(pixels), F.normalize(image, dim=-1), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_text(tokens), F.normalize(text, dim=-1), rtol=0, atol=1e-6)
    assert model.encode_image(pixels).shape == (3, model.embed_dim)


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-custom", "tiny-coca", "tiny-timm-vit"])
def test_text_from_embeddings(name):
    model = tiny(name).freeze()
    tokens = model.tokenize(["a cat", "two dogs in the snow"])
    embeddings = model.token_embeddings(tokens).clone().requires_grad_()
    features = model.encode_token_embeddings(embeddings, tokens)
    torch.testing.assert_close(features, model.encode_text(tokens), rtol=0, atol=1e-5)
    features[:, 0].sum().backward()
    assert embeddings.grad.abs().sum() > 0
    assert not model.module.training and not model.module.__dict__.get("_forward_hooks")


@pytest.mark.parametrize(
    "name, grid", [("tiny-vit", 4), ("tiny-custom", 4), ("tiny-resnet", 2), ("tiny-timm-vit", 10), ("tiny-timm-conv", 2)]
)
def test_dense_features(name, grid):
    model = tiny(name)
    pixels = torch.randn(2, 3, model.image_size, model.image_size, requires_grad=True)
    dense = model.dense_features(pixels)
    assert dense.shape == (2, grid, grid, model.embed_dim)
    torch.testing.assert_close(dense.norm(dim=-1), torch.ones(2, grid, grid))
    dense[..., 0].sum().backward()
    assert pixels.grad.abs().sum() > 0


def test_dense_cells_of_an_averaging_trunk_average_to_the_image():
    model = tiny("tiny-timm-conv")
    trunk = model.module.visual.trunk
    trunk.head.norm = torch.nn.Identity()  # without the norm the head is linear, so pooling and projection commute
    pixels = torch.randn(2, 3, 64, 64)
    raw = model._dense(pixels).mean((1, 2))
    torch.testing.assert_close(raw, model.module.encode_image(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny-custom", "tiny-timm-vit"])
def test_attention_reproduces_the_layer(name):
    model = tiny(name)
    pixels = torch.randn(2, 3, model.image_size, model.image_size)
    maps = model.attention(pixels)
    for m in maps:
        torch.testing.assert_close(m.sum(-1), torch.ones_like(m.sum(-1)))
    visual = model.module.visual
    if name == "tiny-timm-vit":
        attn, taken = visual.trunk.blocks[0].attn, {}
        handle = attn.register_forward_hook(lambda m, args, out: taken.update(x=args[0], out=out))
        visual(pixels)
        handle.remove()
        v = attn.qkv(taken["x"]).chunk(3, -1)[2].reshape(2, -1, attn.num_heads, attn.head_dim).transpose(1, 2)
        out = attn.proj((maps[0] @ v).transpose(1, 2).reshape(taken["x"].shape))
        torch.testing.assert_close(out, taken["out"], rtol=1e-4, atol=1e-5)
    else:
        assert maps[0].shape == (2, 2, 17, 17)


@pytest.mark.parametrize("name", ["tiny-resnet", "tiny-timm-conv"])
def test_no_attention_without_transformer(name):
    with pytest.raises(ClipkitError, match="no attention layers"):
        tiny(name).attention(torch.zeros(1, 3, 64, 64))


def test_coca_has_no_dense_features():
    with pytest.raises(ClipkitError, match="learned queries"):
        tiny("tiny-coca").dense_features(torch.zeros(1, 3, 32, 32))


def test_preprocess_equals_open_clips_transform():
    model = tiny("tiny-vit")
    rng = np.random.default_rng(0)
    _, _, transform = open_clip.create_model_and_transforms("tiny-vit")
    for shape in ((4, 32, 32, 3), (2, 50, 41, 3)):
        pictures = rng.integers(0, 256, shape, dtype=np.uint8)
        expected = torch.stack([transform(Image.fromarray(p)) for p in pictures])
        torch.testing.assert_close(model.preprocess_batch(pictures), expected, rtol=0, atol=1e-6)
    features = model.image_features(pictures)
    torch.testing.assert_close(features, model.image_features(pictures, batch=1), rtol=0, atol=1e-6)


def save(model, path):
    torch.save(model.module.state_dict(), path)
    return str(path)


def test_local_file_round_trip_and_notes(tmp_path):
    model = tiny("tiny-vit")
    again = load_model("tiny-vit", save(model, tmp_path / "mine.pt"), device="cpu")
    assert again.fingerprint == model.fingerprint and again.pretrained.endswith("mine.pt")
    assert "default" in again.notes[0] and "GELU, from the architecture" in again.notes[1]
    from safetensors.torch import save_file

    save_file(dict(model.module.state_dict()), tmp_path / "mine.safetensors")
    assert load_model("tiny-vit", str(tmp_path / "mine.safetensors")).fingerprint == model.fingerprint
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.module.state_dict().items()}}, tmp_path / "trainer.pt")
    assert load_model("tiny-vit", str(tmp_path / "trainer.pt")).fingerprint == model.fingerprint


def compiled(state, *prefixes):
    return {"".join(prefixes) + key: value for key, value in state.items()}


WRAPPINGS = {
    "compiled": lambda s: {"state_dict": compiled(s, "_orig_mod.")},
    "one compiled tower": lambda s: {k.replace("visual.", "visual._orig_mod."): v for k, v in s.items()},
    "lightning": lambda s: {"epoch": 1, "state_dict": compiled(s, "model.")},
    "lightning, compiled": lambda s: {"state_dict": compiled(s, "model.", "_orig_mod.")},
    "data parallel, compiled": lambda s: compiled(s, "module.", "_orig_mod."),
    "under 'model'": lambda s: {"model": s, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}},
    "under 'model_state_dict'": lambda s: {"model_state_dict": compiled(s, "module.")},
    "two deep": lambda s: {"checkpoint": {"model": s}},
    "a prefix of one's own": lambda s: compiled(s, "my_clip."),
    "with a loss": lambda s: {"state_dict": compiled(s, "model.") | {"criterion.weight": torch.zeros(3)}},
    "with an average": lambda s: {"model": s, "ema": {k: v + 1 for k, v in s.items()}},
    "with a teacher": lambda s: compiled(s, "model.") | compiled({k: v + 1 for k, v in s.items()}, "teacher."),
}


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-custom"])
@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_what_trainers_wrap_around_the_weights_is_taken_off(tmp_path, wrapping, name):
    model = tiny(name)
    torch.save(WRAPPINGS[wrapping](model.module.state_dict()), tmp_path / "c.pt")
    again = load_model(name, str(tmp_path / "c.pt"), device="cpu")
    assert again.fingerprint == model.fingerprint
    left_out = [note for note in again.notes if "left out" in note or "not those under" in note]
    assert len(left_out) == wrapping.startswith("with"), again.notes


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda s: {"epoch": 3, "args": {"lr": 0.1}}, "holds no weights .keys epoch, args"),
        (lambda s: [1, 2], "holds no weights .a list"),
        (lambda s: {"online": s, "target": s}, "several models .online, target"),
        (lambda s: compiled(s, "student.") | compiled(s, "teacher."), "several models .student., teacher."),
    ],
)
def test_what_cannot_be_unwrapped_says_why(tmp_path, content, words):
    torch.save(content(tiny("tiny-vit").module.state_dict()), tmp_path / "c.pt")
    with pytest.raises(ClipkitError, match=words):
        load_model("tiny-vit", str(tmp_path / "c.pt"))


def test_what_was_assumed_of_a_checkpoint_is_said_aloud(tmp_path):
    forget()
    path = save(tiny("tiny-vit"), tmp_path / "epoch_5.pt")
    model = load_model("tiny-vit", path, device="cpu")
    assert all(f"tiny-vit: {note}" in notices() for note in model.notes) and len(model.notes) == 2
    assert "activation GELU, from the architecture; if epoch_5.pt was fine-tuned" in notices()[1]
    forget()
    load_model("tiny-vit-quickgelu", path, device="cpu")
    assert notices()[1] == "tiny-vit-quickgelu: activation QuickGELU, from the architecture"


def test_preprocessing_beside_the_file_wins(tmp_path):
    path = save(tiny("tiny-vit"), tmp_path / "mine.pt")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}))
    model = load_model("tiny-vit", path, device="cpu")
    assert "beside the checkpoint" in model.notes[0]
    assert float(model.preprocess(Image.new("RGB", (32, 32)))[0, 0, 0]) == -1
    (tmp_path / "open_clip_config.json").write_text("[")
    with pytest.raises(ClipkitError, match="not a valid open_clip configuration"):
        load_model("tiny-vit", path)


def test_activation_is_part_of_the_fingerprint_and_of_the_refusal(tmp_path):
    plain, quick = tiny("tiny-vit"), tiny("tiny-vit-quickgelu")
    quick.module.load_state_dict(plain.module.state_dict())
    assert plain.fingerprint != quick.fingerprint
    path = save(plain, tmp_path / "vit_tiny.metaclip_400m.pt")
    with pytest.raises(ClipkitError, match="use tiny-vit-quickgelu"):
        load_model("tiny-vit", path)
    assert load_model("tiny-vit-quickgelu", path).fingerprint != plain.fingerprint


def test_a_tag_trained_with_quickgelu_gets_it(tmp_path, monkeypatch):
    path = save(tiny("tiny-vit-quickgelu"), tmp_path / "weights.pt")
    tags = {"published": {"file": path, "quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (1, 1, 1)}}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, "tiny-vit", tags)
    model = load_model("tiny-vit", "published", device="cpu")
    assert model.preprocessing["quick_gelu"] and model.preprocessing["mean"] == [0.1, 0.2, 0.3]
    assert "QuickGELU" in model.notes[0]
    # the same file by its path: preprocessing from what the published tags agree on
    local = load_model("tiny-vit-quickgelu", path, device="cpu")
    assert "default" in local.notes[0]
    assert "published weights of tiny-vit agree" in load_model("tiny-vit", path, device="cpu").notes[0]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_torchscript_archives_are_read_with_quickgelu(tmp_path):
    quick = tiny("tiny-vit-quickgelu")

    class Holder(torch.nn.Module):  # an archive with the same state dict is all that is read
        def __init__(self, module):
            super().__init__()
            for name, child in module.named_children():
                setattr(self, name, child)
            for name, parameter in module.named_parameters(recurse=False):
                self.register_parameter(name, parameter)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    torch.jit.script(Holder(quick.module)).save(str(tmp_path / "ViT.pt"))
    model = load_model("tiny-vit", str(tmp_path / "ViT.pt"), device="cpu")
    assert model.preprocessing["quick_gelu"] and "QuickGELU, from the file" in model.notes[1]
    pixels = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.encode_image(pixels), quick.encode_image(pixels))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_truncated_checkpoint(tmp_path, suffix):
    from safetensors.torch import save_file

    state = tiny("tiny-vit").module.state_dict()
    path = tmp_path / f"w.{suffix}"
    save_file(dict(state), path) if suffix == "safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ClipkitError, match="not a readable checkpoint .*truncated"):
        load_model("tiny-vit", str(path))
    path.write_bytes(b"")
    with pytest.raises(ClipkitError, match="checkpoint"):
        load_model("tiny-vit", str(path))


def test_checkpoint_with_code_is_not_run(tmp_path):
    torch.save({"state_dict": CONFIGS, "code": np.random.default_rng}, tmp_path / "w.pt")
    with pytest.raises(ClipkitError, match="more than tensors"):
        load_model("tiny-vit", str(tmp_path / "w.pt"))


def test_checkpoint_of_another_architecture(tmp_path):
    path = save(tiny("tiny-resnet"), tmp_path / "w.pt")
    with pytest.raises(ClipkitError, match="does not fit tiny-vit .*missing"):
        load_model("tiny-vit", path)
    path = save(tiny("tiny-vit"), tmp_path / "small.pt")
    with pytest.raises(ClipkitError, match="visual.positional_embedding .* instead of"):  # never interpolated behind one's back
        load_model("tiny-vit-64", path)


def test_unknown_names():
    with pytest.raises(ClipkitError, match="unknown model 'ViT-B32'; did you mean 'ViT-B-32'"):
        load_model("ViT-B32")
    with pytest.raises(ClipkitError, match="unknown tag of ViT-B-32 'laion2b'.*laion2b_s34b_b79k"):
        load_model("ViT-B-32", "laion2b")
    with pytest.raises(ClipkitError, match="needs weights: .*'random'.*laion2b_s34b_b79k"):
        load_model("ViT-B-32")
    with pytest.raises(ClipkitError, match="no checkpoint file at '/nowhere/w.pt'"):
        load_model("ViT-B-32", "/nowhere/w.pt")
    with pytest.raises(ClipkitError, match="unknown precision"):
        load_model("tiny-vit", "random", precision="fp8")
    assert "ViT-B-32" in list_models(open_clip=True)


@pytest.mark.parametrize("name, tag", [("ViT-B-32", "laion2b_s34b_b79k"), ("hf-hub:someone/something", None)])
def test_hub_out_of_reach_is_one_quick_message(no_network, monkeypatch, tmp_path, name, tag):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(ClipkitError, match="hub cannot be reached.*pretrained='/path/to/.*'random'.*nano and lite"):
        load_model(name, tag, device="cpu")


def test_tokenizer_out_of_reach(no_network):
    model = tiny("tiny-vit")
    open_clip.factory._MODEL_CONFIGS["tiny-vit"]["text_cfg"]["hf_tokenizer_name"] = "nobody/none"
    try:
        with pytest.raises(ClipkitError, match="tokenizer of tiny-vit is not on this machine"):
            model.tokenize(["a"])
    finally:
        del open_clip.factory._MODEL_CONFIGS["tiny-vit"]["text_cfg"]["hf_tokenizer_name"]


def test_hub_guard_restores_and_wraps(monkeypatch):
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    monkeypatch.setattr(hub, "hub_reachable", lambda: True)
    with pytest.raises(ClipkitError, match="it broke: 404 not found. Do this"), hub.hub_guard("it broke", "Do this"):
        raise ValueError("404 not found")
    with pytest.raises(ClipkitError, match="^inner$"), hub.hub_guard("it broke", "Do this"):
        raise ClipkitError("inner")
    assert before == constants.HF_HUB_OFFLINE


def test_hub_reachable_looks_at_the_proxy(no_network, monkeypatch):
    assert not hub.hub_reachable()
    seen = []

    class Connection:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

    monkeypatch.setattr(socket, "create_connection", lambda address, timeout: seen.append(address) or Connection())
    monkeypatch.setenv("https_proxy", "http://proxy.local:3128")
    assert hub.hub_reachable() and seen == [("proxy.local", 3128)]


def test_local_dir_scheme(tmp_path):
    model = tiny("tiny-vit")
    save(model, tmp_path / "open_clip_pytorch_model.bin")
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": CONFIGS["tiny-vit"], "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}})
    )
    loaded = load_model(f"local-dir:{tmp_path}", device="cpu")
    pixels = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(loaded.encode_image(pixels), model.encode_image(pixels))
    assert loaded.preprocessing["mean"] == [0.5] * 3
    (tmp_path / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(ClipkitError, match="cannot be loaded"):
        load_model(f"local-dir:{tmp_path}", device="cpu")


def test_half_precision():
    model = load_model("tiny-vit", "random", device="cpu", precision="bf16")
    features = model.encode_image(torch.randn(2, 3, 32, 32))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2))
    assert model.text_features(["a cat"]).dtype == torch.float32
