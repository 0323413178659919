"""Runs pieces of NoLA's released code on fixed inputs and stores what they say in nola.json.

    git clone https://github.com/fazliimam/NoLA && git -C NoLA checkout ffd99ac
    python -m tests.calibration.nola_official NoLA

The functions are taken from the clone's files as they stand, one by one, because the files import what they do not need here.
Only numbers are kept.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from tests.calibration.official import features

VALUES = Path(__file__).with_name("nola.json")
CASES = ((60, 4, 5, 6.0, 0.0), (40, 6, 3, 8.0, 0.7), (30, 8, 2, 9.0, 1.9))  # pictures, classes, k, scale, phase
COUNTS = ((50_000, 10), (100, 10), (4096, 48), (3, 2), (81, 1))
SMOOTHED = ((5, 4, 0.3), (1, 1, 0.1), (3, 7, 2.2))  # pictures, classes, phase


def probs(n: int, classes: int, scale: float, phase: float) -> torch.Tensor:
    """Probabilities in which nobody's first choice is class 1, so that the fallback is needed."""
    table = scale * features(n, classes, phase)
    others = table.index_fill(1, torch.tensor([1]), -torch.inf).max(1).values
    table[:, 1] = table[:, 1].minimum(others - 0.2)
    return table.softmax(1)


def piece(clone: str, file: str, name: str, **known):
    """A function or class of the clone, with the names it uses."""
    found = next(node for node in ast.parse(source(clone, file)).body if getattr(node, "name", None) == name)
    space = {"torch": torch, "nn": nn, "F": F, **known}
    exec(compile(ast.Module([found], []), file, "exec"), space)
    return space[name]


def source(clone: str, file: str) -> str:
    return subprocess.check_output(["git", "-C", clone, "show", f"HEAD:{file}"], text=True)


def main(clone: str) -> None:
    import pandas as pd

    choose = piece(clone, "utils/model_utils.py", "top_k_indices_per_class2", pd=pd)
    count = piece(clone, "utils/utils.py", "find_k")
    helpers = {name: piece(clone, "utils/utils.py", name) for name in ("reduce_loss", "linear_combination")}
    smoothed = piece(clone, "utils/utils.py", "LabelSmoothingCrossEntropy", **helpers)()
    chosen = []
    for n, classes, k, scale, phase in CASES:
        table = {"total_emb": probs(n, classes, scale, phase), "idxs": torch.arange(n), "labels": torch.arange(n) % classes}
        with contextlib.redirect_stdout(io.StringIO()):
            rows, confidence, labels = choose(table, k)
        chosen.append([rows.tolist(), labels.tolist(), confidence.tolist()])
    release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
    losses = [smoothed(6 * features(n, c, phase), torch.arange(n) % c).item() for n, c, phase in SMOOTHED]
    values = {
        "selection": ("top_k_indices_per_class2 of utils/model_utils.py; [rows, labels, confidences] for each of CASES", chosen),
        "count": ("find_k of utils/utils.py for each of COUNTS", [count(*c) for c in COUNTS]),
        "smoothing": ("LabelSmoothingCrossEntropy of utils/utils.py for each of SMOOTHED", losses),
    }
    out = {key: {"repository": "fazliimam/NoLA", "release": release, "call": call, "value": value} for key, (call, value) in values.items()}
    VALUES.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
