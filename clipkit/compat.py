"""Make torchvision importable beside a CPU build of torch.

The registries carry torchvision only with CUDA-linked operators; beside a CPU torch they do not
load, and `import torchvision` stops at the registration of fake kernels for two operators that do
not exist. Declaring their signatures is enough: nothing in this project calls them.
"""

from __future__ import annotations

import importlib.util

_MISSING_OPS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_library = None  # keeps the declarations alive for the life of the process


def ensure_torchvision() -> None:
    """Import torchvision, declaring its compiled operators first only when they cannot load."""
    global _library
    import sys

    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    import torch

    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # a half-imported package must not be found again
        _library = torch.library.Library("torchvision", "DEF")
        for signature in _MISSING_OPS:
            _library.define(signature)
        import torchvision  # noqa: F401


def import_open_clip():
    """open_clip, with torchvision made importable first."""
    ensure_torchvision()
    import open_clip

    return open_clip
