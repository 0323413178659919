"""Runs the released code of DisCLIP on small fixed inputs and stores what it says, with where it came from.

    python -m tests.calibration.official_disclip CHECKOUT   # a clone of CompVis/DisCLIP; writes disclip.json anew

The released functions are called as they are; what they import and do not need here (CLIP, torchmetrics' progress) is
stood in for. They hold masks in half precision, so inputs are chosen without near ties.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("disclip.json")
CLASSES, SHOTS, POOL, IMAGES, D, K, M = 6, 3, 5, 9, 5, 3, 2
WEIGHTS = "[0.0, 0.5, 2.0, 8.0]"


def inputs() -> dict[str, torch.Tensor]:
    """Support (C n, D) sorted by class, captions (C, D), descriptions (P, D), images (N, D), labels (N,)."""
    return {
        "support": features(CLASSES * SHOTS, D, 0.1),
        "captions": features(CLASSES, D, 0.9),
        "descriptions": features(POOL, D, 2.0),
        "images": features(IMAGES, D, 1.3),
        "labels": torch.arange(IMAGES) % CLASSES,
    }


class _Accuracy:
    """Counts right answers; keeps the guesses, which is all that is compared."""

    guesses: list[list[int]] = []

    def __init__(self, **_):
        pass

    def to(self, _):
        return self

    def __call__(self, guess, labels):
        guess = guess.argmax(1) if guess.ndim == 2 else guess
        _Accuracy.guesses.append(guess.tolist())

    def compute(self):
        return torch.tensor(0.0)


def released(checkout: Path):
    for name, content in (
        ("utils", {"save_eval_data": lambda *_: None}),
        ("torchmetrics", {"Accuracy": _Accuracy}),
        ("tqdm", {"tqdm": lambda x, **_: x}),
    ):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(content)
    spec = importlib.util.spec_from_file_location("released_disclip", checkout / "method.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(checkout: str) -> None:
    given, code = inputs(), released(Path(checkout))
    params = {
        "k_ambiguous_imagewise_classes": K, "m_relevant_descriptions": M, "n_reference_samples": SHOTS,
        "calculation_device": "cpu", "cls_weight_range": WEIGHTS,
    }  # fmt: skip
    near = code.get_top_k_ambiguous_classes_0s_per_image(given["images"], given["labels"], given["captions"], params)
    masks = code.get_selection_masks_from_vlm_feedback_imagewise(
        given["support"], given["labels"], given["descriptions"], near, torch.arange(CLASSES), params
    )
    picked = [[[p for p in range(POOL) if row[CLASSES + p] > 0] for row in image] for image in masks]
    filled = masks.double()
    for image, row, chosen in ((i, j, c) for i, rows in enumerate(picked) for j, c in enumerate(rows)):
        if not chosen:  # main.py's fallback to the class's own list; here every class owns the first M
            filled[image, row, CLASSES : CLASSES + M] = 1
    _Accuracy.guesses.clear()
    code.eval_cls_ful_des_plus_cls_less_des_imagewise(
        given["captions"], given["descriptions"], filled, given["images"], given["labels"], params, list(map(str, range(CLASSES))), "", near
    )
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    rows = {
        "repository": "CompVis/DisCLIP",
        "commit": commit,
        "call": "method.py: top-k classes, selection masks (image-wise), classname-free evaluation at four caption weights",
        "neighbours": near.tolist(),
        "selected": picked,
        "guesses": _Accuracy.guesses[: len(json.loads(WEIGHTS))],
    }
    VALUES.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
