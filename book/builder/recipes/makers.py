"""The one function that follows a recipe, and the table of makers: `python -m builder pretrain NAME` makes a checkpoint and its card."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from builder.recipes.bpe import save_bpe, train_bpe
from builder.recipes.captioner import make_captioner, make_grammar
from builder.recipes.contrastive import VOCABULARY, corpus, make_clip
from builder.recipes.language import make_seq2seq
from builder.recipes.lit import make_lit
from builder.recipes.regional import make_regional
from builder.recipes.segmenter import make_segmenter
from builder.recipes.shapes import make_dino
from builder.recipes.two_towers import make_two_towers
from builder.recipes.vqa import make_vqa
from clipkit import __version__
from clipkit.errors import ClipkitError, unknown
from clipkit.models.nano import NanoEncoder
from clipkit.models.parts import save_part
from clipkit.paths import data_dir, writable
from clipkit.pretrain.recipes import RECIPES, Recipe

# A maker: (recipe, steps, device, tick, folder) -> (module, numbers). `tick` is told (step, module, loss) after every step;
# `folder` holds what a recipe starts from. The module has a `header` (see `models.parts`) or is a NanoEncoder; of the
# numbers "data" and "training" (minutes, last loss, settings of its own) stand on every card, then "percent" and others.
MAKERS: dict[str, Callable[..., tuple]] = {
    "clip": make_clip,
    "dino": make_dino,
    "regional": make_regional,
    "segmenter": make_segmenter,
    "captioner": make_captioner,
    "grammar": make_grammar,
    "vqa": make_vqa,
    "two_towers": make_two_towers,
    "seq2seq": make_seq2seq,
    "lit": make_lit,
}


def make(
    recipe: str | Recipe, folder: str | Path | None = None, steps: int | None = None, device: str = "cpu", progress: bool = True
) -> dict:
    """Follow a recipe: train, probe, save checkpoint and card in `folder` (default data/models). Returns the card.

    Args: recipe: one, or a name of RECIPES. steps: fewer or more than the recipe's. Raises ClipkitError for an unknown name.
    """
    recipe = _named(recipe) if isinstance(recipe, str) else recipe
    steps, folder = steps or recipe.steps, Path(folder or data_dir() / "models")
    torch.manual_seed(recipe.seed)
    with _progress(recipe, steps, progress) as tick:
        module, numbers = MAKERS[recipe.kind](recipe, steps, device, tick, folder)
    card = card_of(recipe, steps, device, module, numbers)
    if isinstance(module, NanoEncoder):
        save_nano(module.module, module.config, card, folder, half=True)
    else:
        save_part(module, card, folder, recipe.name)
    return card


def card_of(recipe: Recipe, steps: int, device: str, module, numbers: dict) -> dict:
    """What a card says: recipe, data, training, size, what was measured, versions. `module`, `numbers`: of a maker."""
    numbers = dict(numbers)
    training = {"steps": steps, "batch": recipe.batch, **numbers.pop("training"), **recipe.loop}
    weights = module.module if isinstance(module, NanoEncoder) else module
    return {
        "name": recipe.name,
        "note": recipe.note,
        "kind": recipe.kind,
        "data": numbers.pop("data"),
        "training": {**training, "seed": recipe.seed, "threads": torch.get_num_threads(), "device": str(device)},
        "parameters": sum(p.numel() for p in weights.parameters()),
        **numbers,
        "versions": {"clipkit": __version__, "torch": torch.__version__.split("+")[0], "python": platform.python_version()},
    }


def save_nano(module: nn.Module, config: dict, card: dict, folder: str | Path, name: str | None = None, half: bool = False) -> Path:
    """Write weights, configuration and card; `half` stores float16 (half the size). Returns the weights' path.

    The name is `name` or `config["name"]`. A merges file given as a path elsewhere is copied beside the weights.
    """
    from safetensors.torch import save_file

    name = name or config.get("name")
    if not name:
        raise ClipkitError("save_nano needs a name: name=… or config['name']")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {**deepcopy(config), "name": name}
    if "text_cfg" in config:
        merges = Path(config["tokenizer"]["merges"])
        if merges.is_absolute() or merges.is_file():
            if merges.resolve() != (folder / merges.name).resolve():
                shutil.copyfile(merges, folder / merges.name)
            config["tokenizer"]["merges"] = merges.name
        if not (folder / merges.name).is_file():
            raise ClipkitError(f"the vocabulary {merges.name} is not in {folder}; restore it from the repository")
    state = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    path = folder / f"{name}.safetensors"
    save_file(state, path)
    (folder / f"{name}.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.card.json").write_text(json.dumps({"name": name, **card}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _named(name: str) -> Recipe:
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


@contextmanager
def _progress(recipe: Recipe, steps: int, shown: bool) -> Iterator[Callable]:
    total = steps + sum(n for n, _ in recipe.settings.get("before", {}).values())
    with tqdm(total=total, desc=recipe.name, mininterval=5, disable=not shown) as bar:
        yield lambda step, module, value: (bar.set_postfix(loss=f"{value:.3f}", refresh=False), bar.update())


def main(names: Iterable, steps: int | None = None, folder: str | None = None, threads: int | None = None, data: str = "") -> list[dict]:
    """`python -m builder pretrain NAME …`; makes the vocabulary first when there is none. `data`: of recipes that need a folder."""
    recipes = [replace(r := _named(name), settings=r.settings | ({"data": data} if data else {})) for name in names]
    if steps is not None and steps < 50:
        raise ClipkitError(f"{steps} steps teach nothing and the schedule needs 50 at least")
    torch.set_num_threads(threads or os.cpu_count() or 1)
    target = writable(Path(folder) if folder else data_dir() / "models")
    if not (target / VOCABULARY).exists():
        save_bpe(train_bpe(corpus(), 2000), target / VOCABULARY)
    return [make(recipe, target, steps) for recipe in recipes]
