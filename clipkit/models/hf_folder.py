"""`hf:FOLDER`: a CLIP as Hugging Face's transformers save it (config.json, model.safetensors), as a model of open_clip.

Layer by layer the two are the same network under other names; transformers keeps queries, keys and values apart.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from torch import Tensor

from clipkit.compat import import_open_clip
from clipkit.devices import resolve_device
from clipkit.errors import ClipkitError, unknown
from clipkit.models.base import PRECISIONS
from clipkit.models.openclip import OpenClipEncoder

VOCABULARY = 49408  # of CLIP's own byte-pair encoding, whose last entry ends a text
_RENAMED = (
    (r"^vision_model\.", "visual."),
    (r"^text_model\.", ""),
    (r"embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"embeddings\.(class_embedding$|token_embedding)", r"\1"),
    (r"embeddings\.patch_embedding", "conv1"),
    (r"pre_layrnorm", "ln_pre"),
    (r"post_layernorm", "ln_post"),
    (r"final_layer_norm", "ln_final"),
    (r"encoder\.layers\.", "transformer.resblocks."),
    (r"self_attn\.", "attn."),
    (r"layer_norm([12])\.", r"ln_\1."),
    (r"mlp\.fc1", "mlp.c_fc"),
    (r"mlp\.fc2", "mlp.c_proj"),
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^text_projection\.weight$", "text_projection"),
)


class _FolderEncoder(OpenClipEncoder):
    def __init__(self, module, name: str, transform, notes: list[str]):
        super().__init__(module, "CLIPModel", "own", transform, notes)
        self.name = name
        self._tokenizer = import_open_clip().SimpleTokenizer(context_length=self.context_length)


def load(name: str, pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> OpenClipEncoder:
    """The model in the folder behind "hf:".

    Raises ClipkitError: no such folder or file in it, another kind of model, tokenizer or activation, weights that do not fit.
    """
    open_clip = import_open_clip()
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    folder = Path(name.partition(":")[2]).expanduser()
    config = _json(folder / "config.json")
    if config.get("model_type") != "clip" or not {"text_config", "vision_config"} <= set(config):
        raise ClipkitError(f"{name} holds a {config.get('model_type')!r} model; only CLIPModel (text_config and vision_config) is read")
    text, vision = config["text_config"], config["vision_config"]
    vocabulary, act = text.get("vocab_size", VOCABULARY), {text.get("hidden_act", "quick_gelu"), vision.get("hidden_act", "quick_gelu")}
    if vocabulary != VOCABULARY or act not in ({"quick_gelu"}, {"gelu"}):
        what = f"{vocabulary} tokens, activation {' and '.join(sorted(act))}"
        raise ClipkitError(f"{name}: only CLIP's own tokenizer ({VOCABULARY} tokens) and quick_gelu or gelu are read, not {what}")
    prepared = folder / "preprocessor_config.json"
    image = _json(prepared) if prepared.is_file() else {}
    notes = [f"preprocessing {'from preprocessor_config.json' if image else 'is OpenAI’s: there is no preprocessor_config.json'}"]
    width = vision.get("hidden_size", 768)
    module = open_clip.CLIP(
        config.get("projection_dim", 512),
        open_clip.CLIPVisionCfg(
            layers=vision.get("num_hidden_layers", 12), width=width, head_width=width // vision.get("num_attention_heads", 12),
            mlp_ratio=vision.get("intermediate_size", 3072) / width, patch_size=vision.get("patch_size", 32),
            image_size=vision.get("image_size", 224),
        ),
        open_clip.CLIPTextCfg(
            context_length=text.get("max_position_embeddings", 77), width=text.get("hidden_size", 512),
            heads=text.get("num_attention_heads", 8), layers=text.get("num_hidden_layers", 12),
            mlp_ratio=text.get("intermediate_size", 2048) / text.get("hidden_size", 512),
        ),
        quick_gelu=act == {"quick_gelu"},
    )  # fmt: skip
    try:
        module.load_state_dict(_state(folder / "model.safetensors"))
    except RuntimeError as error:
        raise ClipkitError(f"{name}: weights and config.json do not fit ({' '.join(str(error).split())[:160]} …); save both anew") from None
    cfg = open_clip.transform.PreprocessCfg(
        size=vision.get("image_size", 224),
        mean=tuple(image.get("image_mean", open_clip.OPENAI_DATASET_MEAN)),
        std=tuple(image.get("image_std", open_clip.OPENAI_DATASET_STD)),
        interpolation={2: "bilinear", 3: "bicubic"}.get(image.get("resample", 3), "bicubic"),
    )
    module.visual.preprocess_cfg = vars(cfg)
    module = module.to(resolve_device(device), PRECISIONS[precision])
    return _FolderEncoder(module, name, open_clip.transform.image_transform_v2(cfg, is_train=False), notes)


def _json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no JSON"
        raise ClipkitError(f"{path} cannot be read ({why}); give the folder that save_pretrained of a CLIPModel wrote") from error


def _state(path: Path) -> dict[str, Tensor]:
    """The weights under open_clip's names."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ClipkitError(f"{path} is missing or damaged; save the model with save_pretrained(folder), safetensors in one file") from error
    state: dict[str, Tensor] = {}
    for key, value in found.items():
        for pattern, new in _RENAMED:
            key = re.sub(pattern, new, key)
        if not key.endswith("position_ids"):
            state[key] = value.T if key in ("visual.proj", "text_projection") else value
    for key in [key for key in state if ".attn.q_proj." in key]:
        parts = [state.pop(key.replace(".q_proj.", f".{letter}_proj."), torch.empty(0)) for letter in "qkv"]
        state[key.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return state
