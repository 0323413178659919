"""Runs the released losses, "no" tower, scores and metrics of CLIPN on small fixed inputs; stores what they say in clipn.json.

    git clone https://github.com/xmed-lab/CLIPN && git -C CLIPN checkout e465074
    python -m tests.calibration.clipn_official CLIPN

The code is executed from the clone as it stands. The loss has its "no" logits only where several processes are gathered, so it is
told of two, and its gathering is replaced by the identity; moves to a GPU do nothing. Only numbers are kept.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from clipkit.compat import ensure_torchvision
from tests.calibration.official import features

VALUES = Path(__file__).with_name("clipn.json")
CASES = ((2, 5, 14.3), (6, 8, 100.0), (17, 12, 18.5))  # pairs, dimensions, logit scale
TOWER = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 8, "layers": 1, "width": 16, "patch_size": 4, "head_width": 8},
    "text_cfg": {"context_length": 9, "vocab_size": 23, "width": 16, "heads": 2, "layers": 2},
}


def triple(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(n, d) float64 images, texts that agree in part, and "no" texts that differ a little from the texts."""
    x = features(n, d, 0.2)
    y = F.normalize(x + 0.8 * features(n, d, 1.4), dim=1)
    return x, y, F.normalize(y + 0.7 * features(n, d, 2.9), dim=1)


def two_sides() -> tuple[np.ndarray, np.ndarray]:
    """Scores of 40 known and 30 unknown pictures that overlap."""
    return features(40, 3, 0.3)[:, 0].numpy() + 0.4, features(30, 3, 1.1)[:, 0].numpy()


def tokens() -> torch.Tensor:
    """(4, 9) int64: words, then the end-of-text token, which has the highest id, then zeros."""
    rows = [[20, 3, 7, 22], [20, 1, 22], [20, 5, 4, 3, 2, 9, 22], [20, 8, 8, 11, 22]]
    return torch.tensor([row + [0] * (9 - len(row)) for row in rows])


def filled(name: str, shape: torch.Size) -> torch.Tensor:
    """Weights by formula: a sine table that depends on the parameter's name (without its "no") and shape."""
    name = name.replace("_no", "")
    table = torch.sin(torch.arange(shape.numel(), dtype=torch.float64) * 1.7 + sum(map(ord, name)) % 97 / 10).reshape(shape)
    return 1 + 0.1 * table if name.endswith(("ln_1.weight", "ln_2.weight", "ln_final.weight")) else 0.3 * table


def prompts() -> torch.Tensor:
    """(16, 9, 16) float64: one vector for each prompt and position."""
    return 0.2 * torch.sin(torch.arange(16 * 9 * 16, dtype=torch.float64) * 0.37).reshape(16, 9, 16)


def losses(module) -> list[dict[str, float]]:
    module.gather_features = lambda images, texts, no_texts, *_: (images, texts, no_texts)
    loss = module.ClipLoss(world_size=2)
    found = [loss(*triple(n, d), torch.tensor(s, dtype=torch.float64)) for n, d, s in CASES]
    return [{name: part.item() for name, part in zip(("yes", "no", "tso"), parts, strict=True)} for parts in found]


def tower(module) -> dict[str, list]:
    """The "no" features of four texts: after training, and in training with the options that were drawn."""
    model = module.CLIP(**TOWER).double()
    model.attn_mask = model.attn_mask.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(prompts() if name == "prompt_no" else filled(name, parameter.shape))
        after = F.normalize(model.eval().encode_text(tokens(), "no"), dim=1)
        np.random.seed(3)  # noqa: NPY002
        drawn = np.random.randint(0, 17, 4)  # noqa: NPY002
        np.random.seed(3)  # noqa: NPY002
        during = F.normalize(model.train().encode_text(tokens(), "no"), dim=1)
    return {"after": after.tolist(), "during": during.tolist(), "options": drawn.tolist()}


def scores(infer, classification) -> list[dict[str, list[float]]]:
    """What the evaluation script gives each picture of CASES, at its scale of 100."""
    infer.tqdm, torch.Tensor.cuda = lambda x: x, lambda self: self
    names = {"MSP": "msp", "MaxLogit": "max_logit", "Energy": "energy", "CTW": "ctw", "ATD": "atd"}
    found = []
    for n, d, _ in CASES:
        kept: list[list[float]] = []
        infer.cal_auc_fpr = lambda known, unknown, kept=kept: (kept.append(np.ravel(known).tolist()), 0)
        pictures, yes, no = triple(n, d)
        batches = [(pictures, torch.arange(n))]
        _, rows = infer.cal_all_metric(batches, classification.ViT_Classifier(torch.nn.Identity(), yes, no), 0, {"unknown": batches})
        found.append({names[row[1]]: values for row, values in zip(rows, kept, strict=True)})
    return found


def main(clone: str) -> None:
    ensure_torchvision()
    sys.path.insert(0, f"{clone}/src")
    infer, classification = importlib.import_module("zero_shot_infer"), importlib.import_module("classification")
    loss, model = importlib.import_module("open_clip.loss"), importlib.import_module("open_clip.model")
    metrics = list(infer.cal_auc_fpr(*two_sides()))
    release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
    found = {
        "losses": ("ClipLoss of src/open_clip/loss.py for each of CASES", losses(loss)),
        "tower": ("CLIP.encode_text(tokens, 'no') of src/open_clip/model.py, brought to unit norm", tower(model)),
        "metrics": ("cal_auc_fpr of src/zero_shot_infer.py: AUROC, FPR at 95 % recall", metrics),
        "scores": ("cal_all_metric of src/zero_shot_infer.py with its ViT_Classifier, for each of CASES", scores(infer, classification)),
    }
    about = {"repository": "xmed-lab/CLIPN", "release": release}
    VALUES.write_text(json.dumps({name: {**about, "call": call, "value": value} for name, (call, value) in found.items()}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
