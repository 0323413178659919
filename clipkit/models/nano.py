"""Small models that live in the repository: open_clip's own modules, our own vocabulary, a card each.

A shipped model is three files in `data/models`: `<name>.safetensors` (weights), `<name>.json` (configuration)
and `<name>.card.json` (how it was made, what it can and cannot do). The configuration is open_clip's
(`embed_dim`, `vision_cfg`, `text_cfg`) with two keys of ours:

    "tokenizer":  {"merges": "nano_bpe.txt.gz", "context_length": 32}
    "preprocess": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}

Without `text_cfg` it is a vision tower alone (self-supervised); its `encode_text` raises. Such a tower may also be our
own small convolutional one: `"vision_cfg": {"image_size": 32, "widths": [32, 64, 128], "strides": [2, 2]}`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipkit.compat import import_open_clip
from clipkit.devices import resolve_device
from clipkit.errors import ClipkitError, unknown
from clipkit.models import towers
from clipkit.models.base import PRECISIONS
from clipkit.models.checkpoint import load_weights, uses_quick_gelu
from clipkit.models.inputs import as_texts
from clipkit.models.pixels import normalise, resize_crop
from clipkit.paths import shipped, shipped_files

OPEN_CLIP_KEYS = ("embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale", "init_logit_bias")


class VisionOnly(nn.Module):
    """An image tower by itself, for self-supervised models: open_clip's, or a `SmallConv` where `widths` and `strides` are given."""

    def __init__(self, embed_dim: int, vision_cfg: dict, quick_gelu: bool = False):
        super().__init__()
        from open_clip.model import _build_vision_tower

        from clipkit.models.smallconv import SmallConv

        if "widths" in vision_cfg:
            self.visual = SmallConv(embed_dim, vision_cfg["widths"], vision_cfg["strides"])
        else:
            self.visual = _build_vision_tower(embed_dim, vision_cfg, quick_gelu)

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self.visual(pixels)

    forward = encode_image


def load_tokenizer(path: str | Path, context_length: int):
    """open_clip's SimpleTokenizer on a merges file; ClipkitError when the file is missing or damaged."""
    from clipkit.compat import import_open_clip

    try:
        return import_open_clip().SimpleTokenizer(bpe_path=str(path), context_length=context_length)
    except (OSError, EOFError, UnicodeDecodeError, ValueError) as error:
        raise ClipkitError(f"the vocabulary {path} is missing or damaged; restore it from the repository") from error


def build_nano(config: dict) -> nn.Module:
    """The torch module of a configuration, with fresh weights: open_clip's CLIP, or `VisionOnly` without text.

    Raises ClipkitError when a key is missing or open_clip refuses a value.
    """
    for key in ("embed_dim", "vision_cfg", "preprocess"):
        if key not in config:
            raise ClipkitError(f"a model configuration needs the key {key!r}; it has: {', '.join(config)}")
    open_clip = import_open_clip()
    wanted = {k: deepcopy(v) for k, v in config.items() if k in OPEN_CLIP_KEYS and v is not None}
    try:
        if "text_cfg" not in wanted:
            return VisionOnly(wanted["embed_dim"], wanted["vision_cfg"], wanted.get("quick_gelu", False))
        custom = open_clip.model.CustomTextCLIP if config.get("custom_text") else open_clip.model.CLIP
        return custom(**wanted)
    except (TypeError, ValueError, AssertionError, RuntimeError, AttributeError) as error:
        raise ClipkitError(f"open_clip cannot build this configuration: {error}") from error


class NanoEncoder(towers.TowersEncoder):
    """A shipped model (or any module of `build_nano`) behind the common face."""

    def __init__(
        self, module: nn.Module, config: dict, folder: str | Path | None = None, pretrained: str = "shipped", card: dict | None = None
    ):
        super().__init__(module, config.get("name", "nano"), pretrained, card)
        self.config = config
        self.embed_dim = int(config["embed_dim"])
        pre = config["preprocess"]
        self.image_size, self.mean, self.std = int(pre["size"]), tuple(pre["mean"]), tuple(pre["std"])
        self.has_text = "text_cfg" in config
        self.context_length, self._tokenizer, self._merges_hash = 0, None, ""
        if self.has_text:
            self.context_length = int(config["text_cfg"].get("context_length", 77))
            merges = Path(folder or "") / config["tokenizer"]["merges"]
            if folder is None or not merges.is_file():
                merges = shipped("models", config["tokenizer"]["merges"])
            self._tokenizer = load_tokenizer(merges, int(config["tokenizer"].get("context_length", self.context_length)))
            self._merges_hash = hashlib.sha256(merges.read_bytes()).hexdigest()
            vocabulary = config["text_cfg"].get("vocab_size")
            if vocabulary is not None and self._tokenizer.vocab_size > vocabulary:
                sizes = f"{merges.name} has {self._tokenizer.vocab_size} tokens, the text tower {vocabulary}"
                raise ClipkitError(f"{self.name}: {sizes}; they do not belong together")

    @property
    def logit_scale(self) -> Tensor:
        return super().logit_scale if self.has_text else torch.ones((), device=self.device)

    def _dense(self, pixels: Tensor) -> Tensor:
        vit = type(self.module.visual).__name__ == "VisionTransformer"
        # without a text space to stay in, a self-supervised ViT is used for its patch tokens as they are
        return towers.patch_map(self.module.visual, pixels) if vit and not self.has_text else super()._dense(pixels)

    def _checked_tokens(self, tokens: Tensor) -> Tensor:
        self._needs_text()
        return super()._checked_tokens(tokens)

    def _needs_text(self) -> None:
        if not self.has_text:
            raise ClipkitError(f"{self.name} is a self-supervised image model without a text tower; use nano for image and text")

    def tokenize(self, texts: Sequence[str] | str) -> Tensor:
        self._needs_text()
        return self._tokenizer(as_texts(texts))

    def preprocess(self, image: Any) -> Tensor:
        return normalise(resize_crop(image, self.image_size)[None], self.mean, self.std)[0]

    @property
    def preprocessing(self) -> dict:
        pre = {"size": self.image_size, "mean": list(self.mean), "std": list(self.std), "resize": "shorter side, centre crop"}
        return {**pre, "merges": self._merges_hash, "context_length": self.context_length, "quick_gelu": uses_quick_gelu(self.module)}


def shipped_models(folder: str | Path | None = None) -> list[str]:
    """Names of the models whose weights and configuration lie in `folder`, by default the shipped ones."""
    weights = Path(folder).glob("*.safetensors") if folder else shipped_files("models", "*.safetensors")
    return sorted(path.stem for path in weights if path.with_suffix(".json").is_file())


def load_nano(
    name: str, pretrained: str | None = None, device: str = "auto", precision: str = "fp32", folder: str | Path | None = None
) -> NanoEncoder:
    """A shipped model. `pretrained`: None (shipped weights), "random", or the path of other weights.

    Weights elsewhere bring their own configuration when `<stem>.json` lies beside them.
    """
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    folder = Path(folder) if folder else shipped("models", f"{name}.json").parent
    weights = folder / f"{name}.safetensors"
    if pretrained not in (None, "random", "shipped"):
        weights = Path(pretrained).expanduser()
        if not weights.is_file():
            raise ClipkitError(
                f"no checkpoint file at {pretrained!r}; give a .safetensors path, 'random', or nothing for the shipped weights"
            )
    beside = weights.with_suffix(".json")
    source = beside if beside.is_file() else folder / f"{name}.json"
    try:
        config = json.loads(source.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise ValueError("not a table")
    except FileNotFoundError as error:
        raise ClipkitError(
            f"{name} is not in {folder} (its configuration {name}.json is missing); in the repository: make pretrain NAME={name}"
        ) from error
    except ValueError as error:
        raise ClipkitError(f"{source} is not a valid model configuration; restore it from the repository") from error
    module = build_nano(config)
    if pretrained != "random":
        if not weights.is_file():
            raise ClipkitError(f"the weights {weights} are missing; restore them from the repository, or there: make pretrain NAME={name}")
        load_weights(module, weights, name)
    module.to(resolve_device(device), PRECISIONS[precision])
    card_file = source.with_suffix(".card.json")
    card = json.loads(card_file.read_text(encoding="utf-8")) if card_file.is_file() and pretrained != "random" else None
    return NanoEncoder(module, {**config, "name": name}, source.parent, pretrained or "shipped", card)


load = load_nano
