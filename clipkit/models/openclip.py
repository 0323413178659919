"""Any open_clip architecture: published tags, local checkpoint files, or random weights when asked for by name.

Architecture, weights, activation and preprocessing are pinned together: a tag that was trained with
QuickGELU gets it whatever the architecture's name says, and a local file whose origin is known to need
it is refused under an architecture without it.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clipkit.compat import import_open_clip
from clipkit.devices import resolve_device
from clipkit.errors import ClipkitError, unknown
from clipkit.models.base import PRECISIONS
from clipkit.models.checkpoint import load_weights, uses_quick_gelu
from clipkit.models.hub import hub_guard
from clipkit.models.inputs import as_picture, as_texts
from clipkit.models.towers import TowersEncoder

SCHEMES = ("hf-hub:", "local-dir:")


class OpenClipEncoder(TowersEncoder):
    """A model of open_clip behind the common face."""

    def __init__(self, module, architecture: str, pretrained: str, transform: Any, notes: Sequence[str] = ()):
        super().__init__(module, architecture, pretrained, notes=notes)
        self.architecture = architecture
        self._transform = transform
        self._cfg = dict(module.visual.preprocess_cfg)
        size, self.mean, self.std = (self._cfg[name] for name in ("size", "mean", "std"))
        self.image_size = int(size if isinstance(size, int) else size[0])
        self.embed_dim = (
            int(module.text_projection.shape[-1]) if torch.is_tensor(getattr(module, "text_projection", None)) else _embed_dim(module)
        )
        self.context_length = int(module.context_length)
        self._tokenizer = None

    def tokenize(self, texts: Sequence[str] | str) -> Tensor:
        if self._tokenizer is None:
            with hub_guard(
                f"the tokenizer of {self.architecture} is not on this machine",
                "Download it once where there is a network (load the model and tokenize a text), or use nano or lite",
            ):
                self._tokenizer = import_open_clip().get_tokenizer(self.architecture, context_length=self.context_length)
        texts = as_texts(texts)
        return self._tokenizer(texts) if texts else torch.empty(0, self.context_length, dtype=torch.int64)

    def preprocess(self, image: Any) -> Tensor:
        return self._transform(as_picture(image))

    @property
    def preprocessing(self) -> dict:
        cfg = {k: list(v) if isinstance(v, tuple) else v for k, v in self._cfg.items()}
        # the activation is no weight, yet changes every feature
        return {**cfg, "architecture": self.architecture, "quick_gelu": uses_quick_gelu(self.module), "context_length": self.context_length}


def _embed_dim(module) -> int:
    visual, text = module.visual, getattr(module, "text", None)
    for owner in (text, visual):
        dim = getattr(owner, "output_dim", None)
        if isinstance(dim, int):
            return dim
    raise ClipkitError(f"cannot tell the joint dimension of a {type(module).__name__}; use another architecture")


def load(name: str, pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> OpenClipEncoder:
    """An open_clip model.

    `name`: an architecture (`ViT-B-32`), `hf-hub:org/repo` or `local-dir:/folder` (these two bring their own weights).
    `pretrained`: a tag, the path of a checkpoint file, or "random". `precision`: fp32, bf16 or fp16.
    Raises ClipkitError for an unknown architecture or tag, no choice of weights, a hub out of reach, a damaged or
    unfitting checkpoint, and for weights known to need another activation.
    """
    open_clip = import_open_clip()
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    where = resolve_device(device)
    if name.startswith(SCHEMES):
        return _load_scheme(open_clip, name, where, precision)
    architecture = name.replace("/", "-")
    if open_clip.get_model_config(architecture) is None:
        near = difflib.get_close_matches(architecture, open_clip.list_models(), n=3, cutoff=0.3)
        raise unknown("open_clip architecture", name, near or open_clip.list_models())
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    listed = f"tags of {architecture}: {', '.join(tags) or 'none'}"
    if pretrained is None:
        raise ClipkitError(
            f"{architecture} needs weights: pretrained=TAG, the path of a checkpoint file, or 'random' for untrained weights; {listed}"
        )
    if pretrained == "random":
        return _build(open_clip, architecture, "random", where, precision)
    tag = open_clip.pretrained.get_pretrained_cfg(architecture, pretrained)
    if tag:
        return _load_tag(open_clip, architecture, pretrained, tag, where, precision)
    path = Path(pretrained).expanduser()
    if path.is_file():
        return _load_file(open_clip, architecture, path, where, precision)
    if path.suffix or path.is_absolute() or len(path.parts) > 1:
        raise ClipkitError(f"no checkpoint file at {pretrained!r}; give the path of a .pt, .bin or .safetensors file; {listed}")
    raise unknown(f"tag of {architecture}", pretrained, [*tags, "random"])


def _create(open_clip, name: str, device, precision: str, **options):
    with warnings.catch_warnings():  # activation mismatches are settled here, not warned of
        warnings.filterwarnings("ignore", message="QuickGELU mismatch")
        module, _, transform = open_clip.create_model_and_transforms(name, device=device, precision=precision, **options)
    return module, transform


def _ways_out(name: str) -> str:
    return (
        "Ways out: load it once where there is a network and copy the cache; download the checkpoint there and pass its path as "
        f"pretrained='/path/to/{name}.safetensors'; pretrained='random' for untrained weights; or the packaged models nano and lite"
    )


def _build(open_clip, architecture: str, pretrained: str, device, precision: str, notes=(), **options) -> OpenClipEncoder:
    """The architecture with untrained weights (a Hugging Face text tower needs its configuration from the hub)."""
    with hub_guard(f"{architecture} cannot be built", _ways_out(architecture)):
        module, transform = _create(open_clip, architecture, device, precision, pretrained_text=False, **options)
    return OpenClipEncoder(module, architecture, pretrained, transform, notes)


def _load_tag(open_clip, architecture: str, pretrained: str, tag: dict, device, precision: str) -> OpenClipEncoder:
    quick = bool(tag.get("quick_gelu", False))
    named_quick = bool(open_clip.get_model_config(architecture).get("quick_gelu", False))
    notes = [f"weights {pretrained} were trained with QuickGELU, so {architecture} is built with it"] if quick and not named_quick else []
    what = f"weights {pretrained!r} of {architecture} are not on this machine and cannot be downloaded"
    with hub_guard(what, _ways_out(f"{architecture}-{pretrained}")):
        module, transform = _create(open_clip, architecture, device, precision, pretrained=pretrained, force_quick_gelu=quick)
    return OpenClipEncoder(module, architecture, pretrained, transform, notes)


def _load_scheme(open_clip, name: str, device, precision: str) -> OpenClipEncoder:
    with hub_guard(f"{name} cannot be loaded", _ways_out(name.split("/")[-1])):
        # create_model alone can insist on weights; the transform follows from what it returns
        module = open_clip.create_model(name, device=device, precision=precision, require_pretrained=True)
    cfg = open_clip.transform.PreprocessCfg(**module.visual.preprocess_cfg)
    return OpenClipEncoder(module, name, "own", open_clip.transform.image_transform_v2(cfg, is_train=False))


def _load_file(open_clip, architecture: str, path: Path, device, precision: str) -> OpenClipEncoder:
    from clipkit.models.checkpoint import file_preprocessing, is_torchscript, needs_quick_gelu

    named_quick = bool(open_clip.get_model_config(architecture).get("quick_gelu", False))
    script = is_torchscript(path)  # OpenAI's own files are TorchScript archives, trained with QuickGELU
    if needs_quick_gelu(path) and not script and not named_quick:
        raise ClipkitError(
            f"{path.name} comes from weights trained with QuickGELU (its path says so), {architecture} has GELU: features would be "
            f"silently wrong; use {architecture}-quickgelu, or rename the file if it is something else"
        )
    overrides, note = file_preprocessing(open_clip, architecture, path)
    activation = f"activation {'QuickGELU' if script or named_quick else 'GELU'}, from the {'file' if script else 'architecture'}"
    if not script and not named_quick and open_clip.get_model_config(f"{architecture}-quickgelu") is not None:
        activation += f"; if {path.name} was fine-tuned from weights trained with QuickGELU (OpenAI's are), use {architecture}-quickgelu"
    notes = [note, activation]
    encoder = _build(open_clip, architecture, str(path), device, precision, notes, force_quick_gelu=script, **overrides)
    encoder.notes += load_weights(encoder.module, path, architecture)
    return encoder
