"""Runs the released code of zero-shot prompt ensembling and of PerceptionCLIP on fixed features; stores what it says.

    git clone https://github.com/google/uncertainty-baselines
    git clone https://github.com/umd-huang-lab/perceptionCLIP
    python -m tests.calibration.zeroshot_official uncertainty-baselines perceptionCLIP

The first is a notebook on JAX: its cells `get_logits`, `agg_logits`, `get_weights` and `mad_method` are executed as they
stand, with NumPy in the place of `jax.numpy`. The second is executed as it stands but for its imports of data sets and
models, which are met by empty stand-ins. Only numbers are kept.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import scipy.special
import scipy.stats
import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("zeroshot.json")
PROMPTS, CLASSES, IMAGES, PRETRAIN, DIMS, SCALE = 9, 5, 14, 11, 6, 20.0
CONTEXTS, TAUS = 3, (0.5, 1.0, 3.0)
FACTORS = {"place": {"other": [""], "snow": ["in the snow", "snow"]}, "size": {"small": ["small", "tiny"], "any": [""]}}
CELLS = ("get_logits", "agg_logits", "get_weights", "mad_method")


def pool_task() -> dict[str, torch.Tensor]:
    """Float64 features: z (14, 6), r (11, 6), t (9, 5, 6); prompts differ in how much they share and how far they spread."""
    t = features(PROMPTS * CLASSES, DIMS, 0.5).view(PROMPTS, CLASSES, DIMS)
    common = features(PROMPTS, DIMS, 2.0)[:, None]
    t = t * torch.linspace(0.3, 1.5, PROMPTS, dtype=torch.float64)[:, None, None] + common
    return {
        "z": features(IMAGES, DIMS, 0.0) + 0.3 * features(1, DIMS, 0.9),
        "r": features(PRETRAIN, DIMS, 1.3) + 0.4 * features(1, DIMS, 2.2),
        "t": t / t.norm(dim=-1, keepdim=True),
    }


def context_task() -> dict[str, torch.Tensor]:
    """Logits (14, 5, 3) with class and (14, 3) without, float64; labels and groups."""
    x, w = features(IMAGES, DIMS, 0.2), features(CLASSES * CONTEXTS, DIMS, 1.1)
    return {
        "logits": SCALE / 2 * (x @ w.T).view(IMAGES, CLASSES, CONTEXTS),
        "context": SCALE / 2 * x @ features(CONTEXTS, DIMS, 0.8).T,
        "labels": (x @ w.T).view(IMAGES, CLASSES, CONTEXTS)[:, :, 1].argmax(1),  # so that some are right
        "groups": torch.arange(IMAGES) % 2,
    }


def notebook_cells(path: Path) -> dict[str, object]:
    """The functions of the named cells, executed with NumPy for jax.numpy."""
    numpy = types.SimpleNamespace(**{k: getattr(np, k) for k in ("dot", "ones", "newaxis", "mean", "max", "round")})
    jax = types.SimpleNamespace(
        jit=lambda function=None, **_: function if function else lambda f: f,
        vmap=lambda function, in_axes, out_axes: lambda x, ys: np.stack([function(x, y) for y in ys], axis=out_axes),
        nn=types.SimpleNamespace(softmax=scipy.special.softmax),
    )
    space: dict[str, object] = {"jax": jax, "jnp": numpy, "np": np, "functools": functools, "stats": scipy.stats}
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        if any(source.startswith(f"#@title {name}") for name in CELLS):
            exec(compile(source, str(path), "exec"), space)
    return space


def ensembling(clone: str) -> dict[str, object]:
    notebook = "Zero_shot_prompt_ensembling_for_text_image_models_results.ipynb"
    space = notebook_cells(Path(clone) / "experimental" / "multimodal" / notebook)
    task = {name: tensor.numpy() for name, tensor in pool_task().items()}
    logits, random = (space["get_logits"](SCALE * task["t"], task[name]) for name in ("z", "r"))
    scores = {}
    for mode in ("both", "pretrain", "test", "none"):
        scores[mode] = space["get_weights"](logits, random, mode)[0, :, 0]
    softmax = scipy.special.softmax(scores["both"])
    return {
        "scores": {mode: values.tolist() for mode, values in scores.items()},
        "per_image": space["get_weights"](logits, random, "both", False)[..., 0].tolist(),
        "tenth": space["get_weights"](logits, random, "both", True, 0.1)[0, :, 0].tolist(),
        "kept": {str(tau): space["mad_method"](scores["both"], tau).tolist() for tau in (-0.5, 0.5, 2.0)},
        "equal": space["agg_logits"](logits).tolist(),
        "weighted": space["agg_logits"](logits, softmax[None, :, None]).tolist(),
    }


def module(path: Path, **stand_ins) -> types.ModuleType:
    """A file of a clone, executed; `stand_ins` are the modules it may import (dots are written as __)."""
    made = types.ModuleType(path.stem)
    names = {name.replace("__", "."): value for name, value in stand_ins.items()}
    kept = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        exec(compile(path.read_text(), str(path), "exec"), made.__dict__)
    finally:
        for name, value in kept.items():
            sys.modules.pop(name) if value is None else sys.modules.update({name: value})
    return made


def empty(name: str, **members) -> types.ModuleType:
    made = types.ModuleType(name)
    made.__dict__.update(members)
    return made


class _Head:
    def __init__(self, logits: torch.Tensor):
        self.logits = logits

    def eval(self):
        return self


def conditioning(clone: str) -> dict[str, object]:
    folder = Path(clone) / "src" / "zero_shot_inference"
    source, clip = empty("src", __path__=[]), empty("clip", __path__=[], clip=empty("clip.clip"))
    head = {"src": source, "src__models": empty("src.models"), "src__models__modeling": empty("modeling", ClassificationHead=None)}
    tools = module(folder / "utils.py", clip=clip, clip__clip=clip.clip, **head)
    models = empty("src.models", __path__=[], utils=empty("utils", get_logits=lambda x, model, head: head.logits))
    two = module(
        folder / "perceptionclip_two_step.py",
        src=source,
        src__datasets=empty("src.datasets"),
        src__datasets__common=empty("common", get_dataloader=lambda data, **_: data, maybe_dictionarize=lambda batch: batch),
        src__templates=empty("src.templates"),
        src__models=models,
        src__models__modeling=empty("modeling", CLIPEncoder=None),
        src__zero_shot_inference=empty("src.zero_shot_inference"),
        src__zero_shot_inference__utils=tools,
    )
    task, seen = context_task(), []
    batch = [{"images": torch.zeros(IMAGES), "labels": task["labels"], "metadata": task["groups"]}]
    flat, free = _Head(task["logits"].reshape(IMAGES, -1)), _Head(task["context"])
    argmax = torch.Tensor.argmax

    def looking(self, *args, **kwargs):  # the probabilities are what the released loop takes the largest of
        seen.append(self.clone())
        return argmax(self, *args, **kwargs)

    found: dict[str, object] = {}
    for mode, name in ((0, "with_class"), (1, "without_class")):
        for tau in TAUS:
            args = argparse.Namespace(
                eval_trainset=False, device="cpu", eval_group=True, num_attrs=2, num_labels=CLASSES,
                infer_mode=mode, temperature=tau, num_factor_value=CONTEXTS,
            )  # fmt: skip
            torch.Tensor.argmax = looking
            try:
                average, worst, groups = two.classify(flat, flat, batch, args, free)
            finally:
                torch.Tensor.argmax = argmax
            found[f"{name}_{tau}"] = {"probabilities": seen.pop().tolist(), "average": average, "worst": worst, "groups": groups}
    composed = tools.compose_template([lambda c: f"a photo of a {c}"], tools.generate_composite_factors(FACTORS))
    found["composed"] = [[template("cat") for template in row] for row in composed]
    return found


def main() -> None:
    rows = {}
    for name, repository, call, clone, run in (
        ("prompt_ensembling", "google/uncertainty-baselines", ", ".join(CELLS), sys.argv[1], ensembling),
        ("perceptionclip", "umd-huang-lab/perceptionCLIP", "classify, group_accuracy, compose_template", sys.argv[2], conditioning),
    ):
        commit = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        rows[name] = {"repository": repository, "commit": commit, "call": call, "value": run(clone)}
    VALUES.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
