"""clipkit: the techniques of CLIP research as functions of tensors, and the lab that tests their claims.

Rooms: `models`, `datasets`, `world`, `features`, `zeroshot`, `pretrain`, `robust`, `lab`, `press`.
Importing the package costs nothing: torch and open_clip are imported where they are used.
"""

from __future__ import annotations

__version__ = "0.1.0"

from clipkit.errors import ClipkitError, MissingExtra

__all__ = ["ClipkitError", "MissingExtra", "__version__", "load_dataset", "load_model"]


def __getattr__(name: str):  # the two doors, opened on first use
    if name == "load_model":
        from clipkit.models import load_model

        return load_model
    if name == "load_dataset":
        from clipkit.datasets import load_dataset

        return load_dataset
    raise AttributeError(f"module 'clipkit' has no attribute {name!r}")
