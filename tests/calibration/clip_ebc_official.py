"""Runs the losses and the forward pass of arXiv:2403.09281's released code on fixed inputs and stores the numbers in clip_ebc.json.

    git clone https://github.com/Yiming-M/CLIP-EBC && git -C CLIP-EBC checkout b52a594
    python -m tests.calibration.clip_ebc_official CLIP-EBC

The files of `losses`, `models/clip/utils.py` and `models/clip/model.py` are executed from the clone as they stand. The model gets stand-ins
for its towers: it sees the maps of a tower and the vectors of sentences, and does the rest. Only numbers and sentences are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import types
import warnings
from pathlib import Path

import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("clip_ebc.json")
BINS = [(0, 0), (1, 1), (2, 2), (3, float("inf"))]
ANCHORS = [0.0, 1.0, 2.0, 3.4]
SIDE, BLOCK = 8, 2  # pixels of a picture and of a block: 4 × 4 blocks
FAR = 4  # the same four times as large: farther than their floor of 1e-16 reaches
DOTS = [
    [[0.5, 0.5], [1.5, 1.5], [3.5, 0.5], [4.5, 4.5], [5.5, 4.5], [4.5, 5.5], [5.5, 5.5], [7.5, 7.5]],
    [[0.5, 7.5], [4.5, 2.5]],
]


def inputs() -> dict[str, torch.Tensor]:
    """Maps (2, 6, 4, 4) of a tower, four class vectors, logits (2, 4, 4, 4) and positive densities (2, 1, 4, 4)."""
    return {
        "maps": features(2 * 6, 16, 0.3).reshape(2, 6, 4, 4).float() * 3,
        "codes": features(4, 6, 0.8).float(),
        "logits": features(2 * 4, 16, 1.4).reshape(2, 4, 4, 4).float() * 6,
        "density": features(2, 16, 2.1).reshape(2, 1, 4, 4).float().abs() + 0.05,
    }


def pixel_map(dots: list, grow: int = 1) -> torch.Tensor:
    """(1, SIDE, SIDE), or larger: 1 at each dot's pixel, as the released data sets have it."""
    density = torch.zeros(1, grow * SIDE, grow * SIDE)
    for x, y in dots:
        density[0, int(grow * y), int(grow * x)] = 1
    return density


def package(name: str, clone: str, folder: str, *files: str, **contents: object) -> types.ModuleType:
    """Files of the clone as the modules of a package, whose other modules are stand-ins with the given contents."""
    root = types.ModuleType(name)
    root.__path__ = []
    sys.modules[name] = root
    for part, inside in contents.items():
        sys.modules[f"{name}.{part}"] = module = types.ModuleType(f"{name}.{part}")
        module.__dict__.update(inside)
        setattr(root, part, module)
    for file in files:
        sys.modules[f"{name}.{file}"] = module = types.ModuleType(f"{name}.{file}")
        module.__package__, module.__file__ = name, f"{folder}/{file}.py"
        exec(compile((Path(clone) / folder / f"{file}.py").read_text(), f"{folder}/{file}.py", "exec"), module.__dict__)
        setattr(root, file, module)
    return root


def losses(clone: str) -> dict:
    code, x, found = package("ebc_losses", clone, "losses", "utils", "bregman_pytorch", "dm_loss", "dace_loss"), inputs(), {}
    for name, kind, grow in (("mae", "mae", 1), ("dmcount", "dmcount", 1), ("far", "dmcount", FAR)):
        loss = code.dace_loss.DACELoss(BINS, grow * BLOCK, 1.0, kind, **({"input_size": grow * SIDE} if kind == "dmcount" else {}))
        logits, density = x["logits"].clone().requires_grad_(), x["density"].clone().requires_grad_()
        target = torch.stack([pixel_map(d, grow) for d in DOTS])
        value, parts = loss(logits, density, target, [grow * torch.tensor(d) for d in DOTS])
        value.sum().backward()
        found[name] = {"loss": float(value), "ce": float(parts["ce_loss"]), "gradient": density.grad[:, 0].tolist()}
    found["half_a_head"] = loss._bin_count(torch.tensor([[[[0.4, 1.0, 2.6]]]])).flatten().tolist()
    return found


def forward(clone: str) -> dict:
    """Sentences, logits and density: the model with towers that give what they are fed."""
    names = ("_init_weights", "make_resnet_layers", "Bottleneck", "BasicBlock")
    outer = types.ModuleType("ebc_models")
    outer.__path__ = []
    sys.modules["ebc_models"], sys.modules["ebc_models.utils"] = outer, types.ModuleType("ebc_models.utils")
    sys.modules["ebc_models.utils"].__dict__.update(dict.fromkeys(names))
    code, x = package("ebc_models.clip", clone, "models/clip", "utils", "model", _clip={}), inputs()
    made = types.SimpleNamespace(backbone="resnet50", reduction=8, encoder_reduction=8, training=True, text_features=x["codes"])
    made.image_encoder = made.image_decoder = made.projection = lambda maps: maps
    made.logit_scale, made.anchor_points = torch.tensor(1 / 0.07).log(), torch.tensor(ANCHORS).view(1, -1, 1, 1)
    logits, density = code.model.CLIP_EBC.forward(made, x["maps"])
    told = [code.utils.format_count(low if low == high else (low, high), "word") for low, high in BINS]
    return {"logits": logits.tolist(), "density": density[:, 0].tolist(), "sentences": told}


def main(clone: str) -> None:
    warnings.simplefilter("ignore")  # autocast of a GPU, on a processor
    release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
    provenance = {"repository": "Yiming-M/CLIP-EBC", "release": release}
    rows = {
        "losses": {
            **provenance,
            "call": "DACELoss of losses/dace_loss.py on inputs(), DOTS; half_a_head: its _bin_count",
            "value": losses(clone),
        },
        "forward": {**provenance, "call": "CLIP_EBC.forward of models/clip/model.py on inputs(), training", "value": forward(clone)},
    }
    VALUES.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
