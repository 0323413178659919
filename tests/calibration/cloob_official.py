"""Runs the released losses of CLOOB and of the decoupled contrastive loss on small fixed features; stores what they say in cloob.json.

    git clone https://github.com/ml-jku/cloob && git -C cloob checkout 357adda
    git clone https://github.com/ml-jku/hopfield-layers && git -C hopfield-layers checkout f56f929
    git clone https://github.com/raminnakhli/Decoupled-Contrastive-Learning && git -C Decoupled-Contrastive-Learning checkout 0b9b76d
    python -m tests.calibration.cloob_official cloob hopfield-layers Decoupled-Contrastive-Learning

The code is executed from the clones as it stands, in double precision; the Hopfield layer is made with the arguments of CLOOB's
training script. Only numbers are kept.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import torch

from tests.calibration.cache_official import module
from tests.calibration.official import features

VALUES = Path(__file__).with_name("cloob.json")
CASES = ((2, 5, 14.3, 14.3), (9, 6, 30.0, 8.0), (16, 12, 100.0, 2.0))  # pairs, dimensions, inverse temperature, beta
STATIC = ("state_pattern_as_static", "pattern_projection_as_static", "stored_pattern_as_static", "disable_out_projection")
NORMS = ("hopfield_space", "pattern_projection", "state_pattern", "stored_pattern")


def pairs(n: int, d: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, d) float64 images and texts that agree in part."""
    x = features(n, d, 0.2)
    y = x + 0.8 * features(n, d, 1.4)
    return x, y / y.norm(dim=1, keepdim=True)


def layer(clone: str, d: int, beta: float):
    """The released Hopfield layer as CLOOB's train.py makes it: nothing is learnt, nothing is normalised."""
    sys.path.insert(0, clone)
    try:
        Hopfield = importlib.import_module("hflayers").Hopfield
    finally:
        sys.path.remove(clone)
    off = {f"normalize_{name}{suffix}": False for name in NORMS for suffix in ("", "_affine")}
    return Hopfield(input_size=d, scaling=beta, num_heads=1, dropout=False, **off, **dict.fromkeys(STATIC, True)).double().eval()


def main(cloob: str, hopfield: str, decoupled: str) -> None:
    methods, dcl = module(f"{cloob}/src/training", "methods"), module(f"{decoupled}/loss", "dcl")
    found: dict[str, list] = {"cloob": [], "info_loob": [], "retrieval": [], "dcl": [], "dclw": []}
    for n, d, scale, beta in CASES:
        x, y = pairs(n, d)
        memory, own = layer(hopfield, d, beta), torch.eye(n) > 0.5
        found["cloob"].append(methods.cloob(x, y, torch.tensor(scale, dtype=torch.float64), memory).item())
        found["info_loob"].append(
            [methods.infoLOOB_loss(*p, own, torch.tensor(scale, dtype=torch.float64)).item() for p in ((x, y), (y, x))]
        )
        found["retrieval"].append([rows.tolist() for rows in methods.hopfield_retrieval(x, y, memory)])
        for name, loss in (("dcl", dcl.DCL(1 / scale)), ("dclw", dcl.DCLW(0.5, 1 / scale))):
            found[name].append([loss(*p).item() for p in ((x, y), (y, x))])
    calls = {
        "cloob": (cloob, "ml-jku/cloob", "cloob of src/training/methods.py, with the layer of hflayers"),
        "info_loob": (cloob, "ml-jku/cloob", "infoLOOB_loss of src/training/methods.py, images then texts as anchors"),
        "retrieval": (hopfield, "ml-jku/hopfield-layers", "hopfield_retrieval of CLOOB's methods.py: U_x, V_y, U_y, V_x"),
        "dcl": (decoupled, "raminnakhli/Decoupled-Contrastive-Learning", "DCL of loss/dcl.py, images then texts as anchors"),
        "dclw": (decoupled, "raminnakhli/Decoupled-Contrastive-Learning", "DCLW of loss/dcl.py, sigma 0.5, images then texts as anchors"),
    }
    out = {}
    for name, (clone, repository, call) in calls.items():
        release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
        out[name] = {"repository": repository, "release": release, "call": f"{call}; for each of CASES", "value": found[name]}
    VALUES.write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
