"""Runs the released code of REAL-Linear on small fixed inputs and stores what it says, with where it came from.

    python -m tests.calibration.official_real CHECKOUT   # a clone of shubhamprshr27/NeglectedTailsVLM; writes real.json anew

Training loop, head, schedule and mixing are the released ones. What they import and do not need here (models, data sets,
validation) is stood in for, and the base class of their schedule gets back an argument that newer torch has dropped.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import types
from pathlib import Path

import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("real.json")
CLASSES, D, STEPS, SCALE_LOG = 4, 6, 120, 4.60517
ALPHAS = (0.5, 1.0)


def inputs() -> dict[str, torch.Tensor]:
    """Image features (N, D) with labels, prompt features (T, D) with labels, zero-shot weights (C, D); float64."""
    return {
        "images": features(12, D, 0.4), "labels": torch.arange(12) % CLASSES,
        "texts": features(8, D, 1.7), "text_labels": torch.arange(8) // 2,
        "weights": features(CLASSES, D, 0.9),
    }  # fmt: skip


def _schedules() -> None:
    """Newer torch knows no `verbose`."""
    base = torch.optim.lr_scheduler.LRScheduler

    class WithVerbose(base):
        def __init__(self, optimizer, last_epoch=-1, verbose=False):
            super().__init__(optimizer, last_epoch)

    torch.optim.lr_scheduler._LRScheduler = WithVerbose


def released(checkout: str):
    _schedules()
    sys.path.insert(0, checkout)
    stand_ins = {
        "utils.extras": {"get_engine": None, "OPENCLIP_MODEL_DIC": {}},
        "utils.features": {},
        "utils.datasets": {},
        "utils.datasets.tensor_dataset": {"TensorDataset": None, "TextTensorDataset": None},
        "testing": {"validate": lambda *_, **__: (0.0, None)},
    }
    utils = types.ModuleType("utils")
    utils.__path__ = [str(Path(checkout) / "utils")]
    sys.modules["utils"] = utils
    for name, content in stand_ins.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(content)
    utils.features = sys.modules["utils.features"]
    return importlib.import_module("clip_cross_modal"), importlib.import_module("utils.optimizers")


def main(checkout: str) -> None:
    given = inputs()
    code, optimizers = released(checkout)
    heads = {}
    for alpha in ALPHAS:
        head = code.MyLinear(weights=given["weights"], bias=False).double()
        head.update_weights(given["weights"])
        optimizer = optimizers.get_optimizer(head.parameters(), optim_type="AdamW", lr=1e-4, wd=0.01)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(STEPS))
        scheduler = optimizers.get_warmup_scheduler(optimizer=optimizer, scheduler=cosine, warmup_iter=50, warmup_lr=1e-5)
        _, best, _ = code.cross_modal_train(
            types.SimpleNamespace(eval=lambda: None), head, optimizer, scheduler, None,
            [(given["texts"], given["text_labels"])], [(given["images"], given["labels"])], None, None,
            device="cpu", logit_scale=SCALE_LOG, zero_shot_weights=given["weights"], max_iters=STEPS, wise_ft_alpha=alpha,
        )  # fmt: skip
        heads[str(alpha)] = best.linear.weight.data.double().tolist()
    commit = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    rows = {
        "repository": "shubhamprshr27/NeglectedTailsVLM",
        "commit": commit,
        "call": f"clip_cross_modal.cross_modal_train, {STEPS} iterations on one batch of images and one of prompts",
        "heads": heads,
    }
    VALUES.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
