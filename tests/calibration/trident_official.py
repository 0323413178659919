"""Runs the released code of arXiv:2411.09219 on a tiny tower with fixed weights and stores what it computes in trident.json.

    git clone https://github.com/YuHengsss/Trident && git -C Trident checkout a93b346
    python -m tests.calibration.trident_official Trident

Three files of the clone are executed as they stand: its copy of open_clip's transformer, in which the method lives, PAMR, and
(for its rule of windows) nothing else: `trident.py` itself imports mmsegmentation and a GPU. Only numbers are kept.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import torch

from tests.calibration.cache_official import module
from tests.calibration.official import features

VALUES = Path(__file__).with_name("trident.json")
SIDE, PATCH, WIDTH, HEADS, DIM, GUIDE = 16, 4, 8, 2, 6, 5  # window, patch, tower width, heads, joint space, guide's channels
HIGH, WIDE, STRIDE = 24, 32, 8  # picture, step of the windows: 2 × 3 windows of 4 × 4 patches
CELLS = (5, 7)  # grid of the encoder that sees the whole picture
COS_FACS = (0.0, 1.2, 3.0)


def weights(tower: torch.nn.Module) -> None:
    """Fill every parameter of a tower by a formula of its name's place and its shape."""
    for k, (name, p) in enumerate(sorted(tower.named_parameters())):
        table = features(p.numel(), 3, 0.37 * k)[:, 0].reshape(p.shape)
        p.data = table * (0.6 if p.ndim > 1 else 0.2) + (1.0 if p.ndim == 1 and name.endswith("weight") else 0.0)


def inputs() -> dict[str, torch.Tensor]:
    """A picture (1, 3, 24, 32), guide features of its six windows, and the global encoder's attention and values."""
    n, table = CELLS[0] * CELLS[1], features(HIGH * WIDE, 4, 0.2)
    values = features(HEADS * n, 4, 0.5).reshape(1, HEADS, *CELLS, 4) + 0.1
    return {
        "picture": table[:, :3].T.reshape(1, 3, HIGH, WIDE) * 2,
        "guide": features(6 * GUIDE, 16, 1.1).reshape(6, GUIDE, 4, 4) + 0.15,
        "fine_guide": features(6 * GUIDE, 64, 1.3).reshape(6, GUIDE, 8, 8) + 0.15,
        "attention": (3 * features(HEADS * n, n, 0.9)).softmax(-1).reshape(1, HEADS, n, n),
        "values": values,
    }


def official(clone: str) -> types.ModuleType:
    """The clone's open_clip/transformer.py under another name, with the two small files it imports."""
    from clipkit.compat import import_open_clip

    import_open_clip()  # makes torchvision importable where its compiled part is missing
    folder = Path(clone) / "open_clip"
    package = types.ModuleType("trident_open_clip")
    package.__path__ = [str(folder)]
    sys.modules["trident_open_clip"] = package
    spec = importlib.util.spec_from_file_location("trident_open_clip.transformer", folder / "transformer.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def places() -> list[torch.Tensor]:
    """Windows as `get_windowed_imgs` lays them, in patches."""
    rows, columns = range(0, HIGH - SIDE + 1, STRIDE), range(0, WIDE - SIDE + 1, STRIDE)
    return [torch.tensor([y // PATCH, x // PATCH, (y + SIDE) // PATCH, (x + SIDE) // PATCH]) for y in rows for x in columns]


def run(clone: str) -> dict[str, list]:
    code, t = official(clone), inputs()
    tower = code.VisionTransformer(SIDE, PATCH, WIDTH, 3, HEADS, 2.0, output_dim=DIM, act_layer=torch.nn.GELU).double().eval()
    weights(tower)
    crops = torch.cat([t["picture"][:, :, y0 * PATCH : y1 * PATCH, x0 * PATCH : x1 * PATCH] for y0, x0, y1, x1 in places()])
    out: dict[str, list] = {}
    for name in ("guide", "fine_guide"):
        size = tuple(t[name].shape[-2:])
        common = {"dst_coords": places(), "win_sizes": (2, 3), "dst_vh": HIGH // PATCH, "dst_vw": WIDE // PATCH, "vfm_token_size": size}
        common |= {"sam_attn": t["attention"], "sam_v": t["values"]}
        for cos_fac in COS_FACS:
            with torch.no_grad():
                out[f"forward_{name}_{cos_fac}"] = tower(crops, t[name], 1.2, 3.0, cos_fac=cos_fac, **common)[0].tolist()
    for lift in (True, False):
        for cos_fac in (-2.0, *COS_FACS):
            found = code.VisionTransformer.get_sam_sim(t["values"], t["attention"], cos_fac, 1, lift)
            out[f"affinity_{cos_fac}_{lift}"] = found[0, 0].tolist()
    pamr = module(clone, "pamr").PAMR(3, [1, 2])
    picture, maps = t["picture"].float(), features(2 * HIGH, WIDE, 0.8).reshape(1, 2, HIGH, WIDE).float() + 0.5
    with torch.no_grad():
        out["pamr"] = pamr(picture, maps)[0].tolist()
    return out


def main(clone: str) -> None:
    commit = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    calls = {"forward": "VisionTransformer.forward", "affinity": "VisionTransformer.get_sam_sim", "pamr": "PAMR.forward"}
    rows = {
        name: {"repository": "YuHengsss/Trident", "release": commit, "call": calls[name.split("_")[0]], "value": value}
        for name, value in run(clone).items()
    }
    VALUES.write_text(json.dumps(rows, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
