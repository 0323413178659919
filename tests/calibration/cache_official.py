"""Runs the released code of Tip-Adapter, SuS-X and CapS-Adapter on small fixed features and stores what it says in cache.json.

    git clone https://github.com/gaopengcuhk/Tip-Adapter && git -C Tip-Adapter checkout d0e2d6f
    git clone https://github.com/vishaal27/SuS-X && git -C SuS-X checkout d7d4d37
    git clone https://github.com/WLuLi/CapS-Adapter && git -C CapS-Adapter checkout bb2182a
    python -m tests.calibration.cache_official Tip-Adapter SuS-X CapS-Adapter

The code is executed from the clones as it stands; its imports of a CLIP model and of data loaders are met by empty
stand-ins, moves to a GPU and to half precision do nothing, and tensors are made in double precision. Only numbers are kept.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import torch
from torch.nn import functional as F

from tests.calibration.official import features

VALUES = Path(__file__).with_name("cache.json")
ALPHA, BETA, EPOCHS = 1.7, 4.2, 3
SEARCH = {"search_scale": [7, 3], "search_step": [20, 10]}


def task() -> dict[str, torch.Tensor]:
    """Twelve keys of four classes, nine test and ten validation features in eight dimensions, text weights (4, 8)."""
    w = features(4, 8, 0.7)
    y, y_val, y_test = torch.arange(12) % 4, torch.arange(10) % 4, torch.arange(9) % 4

    def near(y, phase):
        return F.normalize(w.roll(1, 1)[y] + 0.8 * features(len(y), 8, phase), dim=1)

    return {"w": w, "x": near(y, 0.1), "y": y, "val": near(y_val, 0.4), "y_val": y_val, "test": near(y_test, 0.9), "y_test": y_test}


def module(clone: str, name: str, **stand_ins) -> types.ModuleType:
    """A file of the clone, executed; `stand_ins` are the modules it may import."""
    made = types.ModuleType(name)
    kept = {k: sys.modules.get(k) for k in stand_ins}
    sys.modules.update(stand_ins)
    try:
        exec(compile((Path(clone) / f"{name}.py").read_text(), name, "exec"), made.__dict__)
    finally:
        for k, v in kept.items():
            sys.modules.pop(k) if v is None else sys.modules.update({k: v})
    return made


def empty(name: str, **members) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__dict__.update(members)
    return made


class _Identity:
    dtype = torch.float64

    def encode_image(self, images):
        return images.clone()


class _Enough(Exception):
    """Raised to leave a search of millions of settings after its first ones."""


def searched_logits(script: types.ModuleType, calls: int, *arguments) -> list[list[list[float]]]:
    """Logits of the first `calls` settings of a script's `hparam_search`: what its accuracy function is given."""
    seen: list[list[list[float]]] = []

    def looking(logits, labels, topk=(1,)):
        seen.append(logits.tolist())
        if len(seen) == calls:
            raise _Enough
        return [0.0] * len(topk)

    script.accuracy = looking
    try:
        script.hparam_search(*arguments)
    except _Enough:
        return seen
    raise AssertionError("the search ended too soon")


def sus_x(clone: str) -> dict[str, object]:
    """Validation logits of Tip-X at the search's first setting: alpha 0.1, beta 1, gamma 0.1. Every tenth of 100 rows."""
    script = module(clone, "tipx", clip=empty("clip"), utils=empty("utils", utils=None))
    t, val = task(), features(100, 8, 0.2)
    p_keys, _, p_val = script.compute_image_text_distributions(0.5, t["x"].T, val, val, t["w"].T)
    kl = script.get_kl_divergence_sims(p_keys, p_val)
    labels, values = torch.arange(100) % 4, F.one_hot(t["y"], 4).double()
    logits = searched_logits(script, 1, val, labels, val, labels, t["x"].T, values, t["w"].T, kl, kl)[0]
    left = script.get_kl_divergence_sims(p_keys, torch.cat([p_val, p_val[:4]]))
    return {"divergence": kl[::10].tolist(), "logits": logits[::10], "rows_left_at_zero_of_104": int((left == 0).all(1).sum())}


def caps_adapter(clone: str) -> dict[str, object]:
    """The same of M-Adapter, at delta 0, 0.5 and 1 (alpha 0.1, beta 1, gamma 0.1); ten rows."""
    script = module(clone, "madapter", clip=empty("clip"), utils=empty("utils", utils=None))
    t, captions = task(), features(12, 8, 2.3)
    p_keys, p_val = (script.compute_image_text_distributions(0.5, x, t["w"].T, 1000) for x in (t["x"], t["val"]))
    kl = script.get_kl_divergence_sims(p_keys, p_val)
    values = F.one_hot(t["y"], 4).double()
    arguments = (t["val"], t["y_val"], t["val"], t["y_val"], t["x"].T, captions.T, values, t["w"].T, kl, kl)
    logits = searched_logits(script, 550, *arguments)  # eleven deltas, fifty gammas each
    return {"divergence": kl.tolist(), "logits": {"0.0": logits[0], "0.5": logits[250], "1.0": logits[500]}}


def tip_adapter(clone: str) -> dict[str, object]:
    tools = module(clone, "utils", clip=empty("clip"))
    main = module(
        clone,
        "main",
        clip=empty("clip"),
        utils=tools,
        datasets=empty("datasets", build_dataset=None),
        **{"datasets.utils": empty("datasets.utils", build_data_loader=None)},
        **{"torchvision": empty("torchvision", transforms=None), "torchvision.transforms": empty("torchvision.transforms")},
    )
    t = task()
    values = F.one_hot(t["y"], 4).double()
    seen: dict[str, object] = {}

    # Logits at fixed alpha and beta: what the accuracy function is given.
    def looking(logits, labels, topk=1):
        seen.setdefault("logits", []).append(logits.detach().tolist())
        return accuracy(logits, labels, topk)

    def accuracy(logits, labels, topk=1):  # theirs asks today's NumPy for something it refuses (float of a one-element array)
        return 100 * (logits.argmax(1) == labels).double().mean().item()

    tools.cls_acc = accuracy
    config = {"init_beta": BETA, "init_alpha": ALPHA, "search_hp": True, **SEARCH}
    main.cls_acc = looking
    arguments = (t["x"].T.clone(), values, t["val"], t["y_val"], t["test"], t["y_test"], t["w"].T)
    main.run_tip_adapter(config, *arguments)
    zero_shot, tip = seen["logits"][:2]
    beta, alpha = tools.search_hp(config, t["x"].T, values, t["val"], t["y_val"], t["w"].T)

    # Tip-Adapter-F: an accuracy that only rises makes the released loop keep its last epoch.
    rising = iter(range(1, 1000))
    main.cls_acc = tools.cls_acc = lambda *_, **__: float(next(rising))
    with tempfile.TemporaryDirectory() as folder:
        config |= {"lr": 0.01, "train_epoch": EPOCHS, "cache_dir": folder, "shots": 3, "search_hp": True}
        main.run_tip_adapter_F(config, *arguments, _Identity(), [(t["x"], t["y"])])
        keys = torch.load(f"{folder}/best_F_3shots.pt", weights_only=True)
    return {
        "zero_shot": zero_shot,
        "tip": tip,
        "searched": {"alpha": alpha, "beta": beta},
        "finetuned_keys": keys.detach().tolist(),
    }


CALLS = {
    "tip_adapter": ("gaopengcuhk/Tip-Adapter", "run_tip_adapter, search_hp, run_tip_adapter_F", tip_adapter),
    "sus_x": ("vishaal27/SuS-X", "compute_image_text_distributions, get_kl_divergence_sims, hparam_search of tipx.py", sus_x),
    "caps_adapter": (
        "WLuLi/CapS-Adapter", "compute_image_text_distributions, get_kl_divergence_sims, hparam_search of madapter.py", caps_adapter,
    ),
}  # fmt: skip


def main() -> None:
    torch.Tensor.cuda = torch.nn.Module.cuda = torch.Tensor.half = lambda self, *_: self
    torch.set_default_dtype(torch.float64)
    rows = {}
    for (name, (repository, call, function)), clone in zip(CALLS.items(), sys.argv[1:], strict=True):
        commit = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        rows[name] = {"repository": repository, "commit": commit, "call": call, "value": function(clone)}
    VALUES.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
