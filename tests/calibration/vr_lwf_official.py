"""Runs the replay losses and texts of ZSCL's port of VR-LwF on small fixed inputs; stores what they say in vr_lwf.json.

    git clone https://github.com/Thunderbeee/ZSCL && git -C ZSCL checkout b96e714
    python -m tests.calibration.vr_lwf_official ZSCL

The file of helpers is executed from the clone as it stands; its package's data sets and tokenizer, which these functions do not
ask for anything but the vocabulary, are empty modules. Only numbers are kept.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("vr_lwf.json")
CASES = ((2, 5, 4, 14.3, 2.0), (6, 3, 8, 100.0, 2.0), (9, 17, 12, 18.5, 1.0))  # pictures, texts, dimensions, scale, temperature
VOCABULARY = 24  # ids, of which the last two are the marks of start and end


def four(n: int, v: int, d: int) -> tuple[torch.Tensor, ...]:
    """Pictures and texts of student and teacher, (n, d), (v, d), (n, d), (v, d) float64, unit norm."""
    return features(n, d, 0.2), features(v, d, 1.4), features(n, d, 0.5), features(v, d, 1.9)


def towers(phase: float) -> torch.nn.Module:
    """A module with a few weights by formula."""
    module = torch.nn.Linear(3, 4).double()
    with torch.no_grad():
        module.weight.copy_(features(4, 3, phase))
        module.bias.copy_(features(1, 4, phase)[0])
    return module


def helpers(clone: str) -> ModuleType:
    encoder = {**{str(i): i for i in range(VOCABULARY - 2)}, "<start_of_text>": VOCABULARY - 2, "<end_of_text>": VOCABULARY - 1}
    for name in ("clip", "clip.clip", "src", "src.datasets", "src.templates", "src.utils", "src.models"):
        sys.modules[name] = ModuleType(name)
    sys.modules["clip.clip"]._tokenizer = sys.modules["clip"]._tokenizer = SimpleNamespace(encoder=encoder)
    sys.modules["clip"].clip = sys.modules["clip.clip"]
    for name in ("datasets", "templates", "utils"):
        setattr(sys.modules["src"], name, sys.modules[f"src.{name}"])
    spec = importlib.util.spec_from_file_location("src.models.helpers", f"{clone}/mtil/src/models/helpers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def losses(module: ModuleType) -> list[dict[str, float]]:
    found = []
    for n, v, d, scale, temperature in CASES:
        image_s, text_s, image_t, text_t = four(n, v, d)
        student, teacher, frozen = scale * image_s @ text_s.T, scale * image_t @ text_t.T, scale * image_s @ text_t.T
        both = module.distillation(teacher, frozen, temperature) + module.distillation(teacher.t(), frozen.t(), temperature)
        found.append({"image": module.distillation(teacher, student, temperature).item(), "both_frozen": both.item()})
    return found


def texts(module: ModuleType) -> dict:
    torch.manual_seed(0)
    drawn = module.virtual_vocab(length=4, n_class=200)
    marks = int((drawn[:, 1:5] >= VOCABULARY - 2).any(1).sum())
    return {"shape": list(drawn.shape), "first": drawn[0].tolist(), "with_marks": marks}


def main(clone: str) -> None:
    module = helpers(clone)
    release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
    found = {
        "losses": ("distillation of mtil/src/models/helpers.py for each of CASES; both_frozen as finetune.py adds them", losses(module)),
        "l2": ("l2_loss of mtil/src/models/helpers.py", module.l2_loss(towers(0.1), towers(0.9)).item()),
        "texts": ("virtual_vocab of mtil/src/models/helpers.py, 200 texts of 4 tokens", texts(module)),
    }
    about = {"repository": "Thunderbeee/ZSCL", "release": release}
    VALUES.write_text(json.dumps({name: {**about, "call": call, "value": value} for name, (call, value) in found.items()}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
