"""Runs the pseudolabelling of arXiv:2306.01669's released code on fixed inputs and stores its choices in pseudolabels.json.

    git clone https://github.com/BatsResearch/menghini-enhanceCLIPwithCLIP-code code && git -C code checkout 61c0584
    python -m tests.calibration.pseudolabels_official code

The code is executed from the clone as it stands. It wants a CLIP model and image files: it gets stand-ins, pictures of one
pixel whose red value is their number, and a model that looks up the logits of that number. Only numbers are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("pseudolabels.json")
FILE = "utils/clip_pseudolabels.py"
CASES = ((12, 3, 2, 4.0, 0.0), (30, 4, 5, 6.0, 0.7), (25, 6, 4, 8.0, 1.9), (8, 5, 3, 3.0, 2.5))  # pictures, classes, k, scale, phase


def logits(n: int, classes: int, scale: float, phase: float) -> torch.Tensor:
    return scale * features(n, classes, phase)


def choose(code: ModuleType, n: int, classes: int, k: int, scale: float, phase: float) -> list[list[int]]:
    """[rows, labels] in the order of their leaderboards."""
    from PIL import Image

    table = logits(n, classes, scale, phase)
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / f"{i:04d}.png") for i in range(n)]
        for i, path in enumerate(paths):
            Image.new("RGB", (1, 1), (i, 0, 0)).save(path)
        names = [f"class_{c}" for c in range(classes)]
        data = code.compute_pseudo_labels(
            k, "a ", SimpleNamespace(filepaths=list(paths), labels=None), names,
            lambda image: torch.tensor(np.asarray(image)).permute(2, 0, 1),
            lambda image, text: (table[int(image.flatten()[0])][None], None),
            {name: c for c, name in enumerate(names)}, "cpu", str(Path(folder) / "kept.pickle"),
        )  # fmt: skip
        return [[paths.index(path) for path in data.filepaths], [int(label) for label in data.labels]]


def main(clone: str) -> None:
    stand_ins = {"clip": {"tokenize": lambda texts: torch.zeros(len(texts), 1)}, "tqdm": {"tqdm": lambda rows: rows}}
    for name, contents in stand_ins.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__.update(contents)
    code = ModuleType("clip_pseudolabels")
    exec(compile((Path(clone) / FILE).read_text(), FILE, "exec"), code.__dict__)
    release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
    rows = {
        "leaderboards": {
            "repository": "BatsResearch/menghini-enhanceCLIPwithCLIP-code",
            "release": release,
            "call": f"compute_pseudo_labels of {FILE}; [rows, labels] for each of CASES",
            "value": [choose(code, *case) for case in CASES],
        }
    }
    VALUES.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
