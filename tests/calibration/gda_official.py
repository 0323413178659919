"""Runs the released code of arXiv:2402.04087 on small fixed features and stores the logits it computes in gda.json.

    git clone https://github.com/mrflogs/ICLR24 && git -C ICLR24 checkout 560fe21
    python -m tests.calibration.gda_official ICLR24

The code is executed from the clone as it stands; its imports of a CLIP model and of data loaders are met by empty
stand-ins, moves to a GPU do nothing, and for the run in float64 `.float()` gives float64. Only numbers are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

from tests.calibration.cache_official import empty, module
from tests.calibration.official import features

VALUES = Path(__file__).with_name("gda.json")
D = 512  # what the base-to-new code is written for
SHOTS, CLASSES, NEW, TESTED = 20, 4, 3, 5


def task(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Eighty features of four classes, text weights of four old and three new classes, rows to be judged."""
    text = features(CLASSES + NEW, D, 0.7)

    def near(y, phase):
        return F.normalize(0.8 * text.roll(1, 1)[y] + features(len(y), D, phase), dim=1)

    y, tested = torch.arange(SHOTS * CLASSES) % CLASSES, torch.arange(TESTED)
    made = {"x": near(y, 0.1), "test": near(tested % CLASSES, 0.4), "new": near(CLASSES + tested % NEW, 0.9)}
    made |= {"w": text[:CLASSES], "w_new": text[CLASSES:]}
    return {**{name: rows.to(dtype) for name, rows in made.items()}, "y": y, "y_test": tested % CLASSES, "y_new": tested % NEW}


class _Identity:
    def encode_image(self, images):
        return images.clone()


def run(clone: str, file: str, dtype: torch.dtype) -> list[list[list[float]]]:
    """Logits of every call of their accuracy function: seven alphas on validation rows, then test (and new) rows."""
    kept, default = torch.Tensor.float, torch.get_default_dtype()
    torch.Tensor.cuda = lambda self, *_: self
    if dtype == torch.float64:
        torch.Tensor.float = torch.Tensor.double
    torch.set_default_dtype(dtype)
    try:
        transforms = empty("transforms", InterpolationMode=empty("mode", BICUBIC=None))
        for name in ("Compose", "RandomResizedCrop", "RandomHorizontalFlip", "ToTensor", "Normalize"):
            setattr(transforms, name, lambda *_, **__: None)
        main = module(
            clone,
            file,
            clip=empty("clip"),
            utils=empty("utils"),
            **{"clip.simple_tokenizer": empty("clip.simple_tokenizer", SimpleTokenizer=lambda: None)},
            **{"datasets": empty("datasets", build_dataset=None), "datasets.imagenet": empty("datasets.imagenet", ImageNet=None)},
            **{"datasets.utils": empty("datasets.utils", build_data_loader=None)},
            **{"torchvision": empty("torchvision", transforms=transforms), "torchvision.transforms": transforms},
        )
        t, seen = task(dtype), []

        def accuracy(logits, labels):
            seen.append(logits.tolist())
            return (logits.argmax(1) == labels).double().mean().item()

        rows = {"val_features": t["test"], "val_labels": t["y_test"], "test_features": t["test"], "test_labels": t["y_test"]}
        rows |= {"test_features_new": t["new"], "test_labels_new": t["y_new"]}
        main.__dict__.update(rows, cls_acc=accuracy, tqdm=lambda loader: loader)
        weights = [t["w"].T] if file == "main_few_shots" else [t["w"].T, t["w_new"].T]
        main.run({"augment_epoch": 1, "seed": 1}, [(t["x"], t["y"])], *weights, _Identity())
    finally:
        torch.Tensor.float = kept
        torch.set_default_dtype(default)
    return seen


def main(clone: str) -> None:
    commit = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    about = {"repository": "mrflogs/ICLR24", "release": commit}
    rows = {}
    for file in ("main_few_shots", "main_base2new"):
        for dtype in (torch.float32, torch.float64):
            name = f"{file}_{str(dtype).removeprefix('torch.')}"
            rows[name] = {**about, "call": f"run() of {file}.py, logits it gives to cls_acc", "value": run(clone, file, dtype)}
    VALUES.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
