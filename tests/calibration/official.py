"""Runs official code on small fixed inputs and stores what it says, with where it came from.

    python -m tests.calibration.official            # writes tests/calibration/values.json anew

Inputs are formulas, not random draws, so that they are the same on every machine and in every version.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
from pathlib import Path

import numpy as np
import torch

VALUES = Path(__file__).with_name("values.json")
TEMPLATES = ["a photo of a {}.", "a drawing of the {}.", "{}"]
CLASSNAMES = ["cat", "red car", "umbrella"]


def features(n: int, d: int, phase: float) -> torch.Tensor:
    """(n, d) float64 unit-norm rows of a quasi-random sine table."""
    i, j = torch.meshgrid(torch.arange(n, dtype=torch.float64), torch.arange(d, dtype=torch.float64), indexing="ij")
    table = torch.sin(12.9898 * (i + 1) + 78.233 * (j + 1) * (1 + 0.01 * i) + phase)
    return table / table.norm(dim=1, keepdim=True)


def text_table(texts: list[str]) -> torch.Tensor:
    """Stand-in text tower: unit-norm (N, 7) features from the letters of each text."""
    rows = [[math.sin(sum((k + 1) * (p + 2) * ord(c) for p, c in enumerate(t)) * 0.001) for k in range(7)] for t in texts]
    table = torch.tensor(rows, dtype=torch.float64)
    return table / table.norm(dim=1, keepdim=True)


class _Tower(torch.nn.Module):
    def encode_text(self, texts, normalize=False):
        return text_table(texts)


class _Texts(list):
    def to(self, *_):
        return self


def open_clip_loss() -> list[float]:
    from clipkit.compat import import_open_clip

    loss = import_open_clip().ClipLoss()
    return [
        loss(features(n, 6, 0.0), features(n, 6, 1.0), torch.tensor(s, dtype=torch.float64)).item()
        for n, s in ((1, 5.0), (4, 1.0), (9, 30.0))
    ]


def open_clip_zeroshot() -> list[list[float]]:
    from clipkit.compat import import_open_clip

    weights = import_open_clip().build_zero_shot_classifier(
        _Tower(), _Texts, CLASSNAMES, [lambda c, t=t: t.format(c) for t in TEMPLATES], num_classes_per_batch=2
    )
    return weights.T.tolist()


def sklearn_log_loss() -> float:
    from sklearn.metrics import log_loss

    logits = 4 * features(12, 5, 0.3).numpy()
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return float(log_loss([k % 5 for k in range(12)], p, labels=range(5)))


def sklearn_calibration_curve() -> list[list[float]]:
    from sklearn.calibration import calibration_curve

    p = (0.5 + 0.499 * features(40, 1, 0.2).cumsum(0).sin().numpy()[:, 0] ** 2).clip(0.5, 1)
    correct = [(7 * k) % 3 > 0 for k in range(40)]
    accuracy, confidence = calibration_curve(correct, p, n_bins=10)
    return [accuracy.tolist(), confidence.tolist()]


CALLS = {
    "open_clip_loss": ("mlfoundations/open_clip", "open_clip_torch", "open_clip.ClipLoss()(image, text, scale)", open_clip_loss),
    "open_clip_zeroshot": (
        "mlfoundations/open_clip", "open_clip_torch", "open_clip.build_zero_shot_classifier(…)", open_clip_zeroshot,
    ),
    "sklearn_log_loss": ("scikit-learn/scikit-learn", "scikit-learn", "sklearn.metrics.log_loss(y, p)", sklearn_log_loss),
    "sklearn_calibration_curve": (
        "scikit-learn/scikit-learn", "scikit-learn", "sklearn.calibration.calibration_curve(correct, p, n_bins=10)",
        sklearn_calibration_curve,
    ),
}  # fmt: skip


def main() -> None:
    rows = {
        name: {"repository": repository, "release": importlib.metadata.version(package), "call": call, "value": function()}
        for name, (repository, package, call, function) in CALLS.items()
    }
    VALUES.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
