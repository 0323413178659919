"""Models behind one face: `load_model(name, pretrained, device, precision)` returns a `DualEncoder`.

Three kinds: the small models shipped in `data/models` (`nano` and its relatives), `lit` and `lite` for real photographs
from packaged weights, and every architecture of open_clip by name and tag.
"""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

import lazy_loader

from clipkit.errors import unknown
from clipkit.notices import notice

if TYPE_CHECKING:
    from clipkit.models.base import DualEncoder

# torch and open_clip load with the first model, not with the package
__getattr__, __dir__, _LAZY = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["DualEncoder"],
        "cards": ["load_card"],
        "nano": ["NanoEncoder", "build_nano", "load_tokenizer"],
    },
)
# What stands before a colon or a dash of a name -> module with `load(name, pretrained, device, precision)`. A record is tied
# to the loaders that its experiment names, not to all of them.
_LOADERS = {
    "nano": "nano",
    "lit": "lit",
    "lite": "lite",
    "features": "vectors",
    "e5": "e5",
    "hf": "hf_folder",
    "cast": "cast",
    "open_clip": "openclip",
}
__all__ = ["list_models", "load_model", *_LAZY]


def list_models(open_clip: bool = False) -> list[str]:
    """Names for `load_model`: the packaged models, and with `open_clip=True` all its architectures too."""
    from clipkit.models.nano import shipped_models

    names = [*shipped_models(), "lit", "lite"]
    if open_clip:
        from clipkit.compat import import_open_clip

        names += import_open_clip().list_models()
    return names


def load_model(name: str = "nano", pretrained: str | None = None, device: str = "auto", precision: str = "fp32") -> DualEncoder:
    """A model, ready to encode (evaluation mode, gradients on).

    `name`: a packaged model (see `list_models()`), an open_clip architecture, "hf:FOLDER" (what transformers' CLIPModel saved),
    "features:PATH" (a file of vectors), or "e5" (texts only).
    `pretrained`: nothing for packaged models; a tag, a checkpoint path or "random" for open_clip. `device`: "auto", "cpu", "cuda:0" …;
    `precision`: fp32, bf16 or fp16 (weights and arithmetic; features always come back as float32).
    What is assumed of weights that do not say it (activation, preprocessing) is in `notes` and said aloud.
    Raises ClipkitError for an unknown name, tag, device or precision, missing or damaged weights, or a hub out of reach.

    >>> load_model("nano").encode_text(...)  # doctest: +SKIP
    """
    from clipkit.models.nano import shipped_models

    shipped = shipped_models()
    module = _LOADERS.get(name.partition(":")[0]) or ("nano" if name in shipped or name.startswith("nano") else "openclip")
    if module == "nano" and name not in shipped and shipped and pretrained is None:
        raise unknown("model", name, list_models())
    if module == "openclip":
        _check_architecture(name)
    model = importlib.import_module(f"clipkit.models.{module}").load(name, pretrained, device, precision)
    for assumed in model.notes:
        notice(f"{model.name}: {assumed}")
    return model


def _check_architecture(name: str) -> None:
    from clipkit.compat import import_open_clip
    from clipkit.models.openclip import SCHEMES

    if not name.startswith(SCHEMES) and name.replace("/", "-") not in (known := import_open_clip().list_models()):
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
        raise unknown("model", name, [*list_models(), *near, f"any of open_clip's {len(known)} architectures"])
