"""How each shipped checkpoint was made: a table of recipes, and the one function that follows them.

A new checkpoint is another line of `RECIPES`; `clipkit pretrain NAME` makes it and writes its card.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from clipkit.errors import ClipkitError, unknown
from clipkit.paths import data_dir, writable
from clipkit.pretrain.worlds import BIAS, lesson, moving, worlds

# 32 px pictures; a vocabulary of byte pairs learnt on the world's own language.
VIT = {"image_size": 32, "layers": 4, "width": 128, "head_width": 32, "patch_size": 4, "pool_type": "avg", "pos_embed_type": "sin_cos_2d"}
# A ResNet halves its picture five times; from 32 px nothing would be left, so it sees 64.
CONV = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
TEXT = {"context_length": 64, "width": 128, "heads": 4, "layers": 2}
# The self-supervised tower: about three times as fast as the ViT on a processor core, with a grid as fine (8 × 8).
OUTLINE_CONV = {"image_size": 32, "widths": [32, 64, 96], "strides": [2, 1]}
VOCABULARY = "nano_bpe.txt.gz"
REGISTERS = {"name": 0.06, "short": 0.42, "detailed": 0.32, "rewrite": 0.1, "hypernym": 0.05, "alt_text": 0.05}


@dataclass(frozen=True)
class Recipe:
    """One checkpoint. `worlds` are (WorldSpec arguments, weight), for "dino" one after the other; `kind` is "clip" or "dino"."""

    name: str
    note: str
    vision: dict
    kind: str = "clip"
    embed_dim: int = 128
    text: dict = field(default_factory=lambda: TEXT)
    worlds: tuple[tuple[dict, float], ...] = ()
    warm: tuple[tuple[dict, float], ...] = ()  # the image tower's first lesson: (WorldSpec arguments, share of the steps)
    warm_steps: int = 5000
    warm_batch: int = 64
    text_steps: int = 600
    text_batch: int = 256
    joint_lr: float = 0.1  # of the learning rates above, in the last phase
    hard: float = 0.6  # share of the passes with one background or one colour a batch
    registers: dict[str, float] = field(default_factory=lambda: REGISTERS)
    steps: int = 500  # of the last phase
    # One rise and fall of the learning rate each: "lesson" (image tower, labels), "text" (InfoNCE with the image tower
    # locked), "both" (InfoNCE for all weights, gently: at the full rate it wears off the shapes that the lesson taught).
    phases: tuple[str, ...] = ("lesson", "text", "both")
    batch: int = 128
    lr: float = 1e-3
    muon_lr: float | None = 0.02
    weight_decay: float = 0.05
    seed: int = 0
    precision: str = "bf16"


RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        Recipe(
            "nano",
            "the small CLIP of the book: a ViT on an unbiased world",
            VIT,
            worlds=worlds(),
            warm=lesson(),
        ),
        Recipe(
            "nano-biased",
            "the same ViT on a long-tailed world whose colours and backgrounds follow the category",
            VIT,
            worlds=worlds(**BIAS),
            warm=lesson(**BIAS),
        ),
        Recipe(
            "nano-conv",
            "a small ResNet with attention pooling on the unbiased world",
            CONV,
            worlds=worlds(),
            warm=lesson(),
            warm_steps=3000,
            text_steps=400,
            steps=200,
            muon_lr=None,
        ),
        Recipe(
            "nano-dino",
            "learnt without a label, caption or given mask: fixed cameras, what moves is cut out, recoloured and set elsewhere",
            OUTLINE_CONV,
            kind="dino",
            worlds=moving(),
            lr=3e-3,
            muon_lr=None,
            batch=64,
            steps=4000,
        ),
        Recipe(
            "nano-sam",
            "a promptable segmenter of drawings, learnt from masks without names: the book's stand-in for SAM",
            {"widths": (20, 48, 64, 80), "heads": 2, "head_width": 24, "prompt_width": 40},
            kind="segmenter",
            lr=3e-3,
            weight_decay=0.02,
            batch=12,
            steps=1050,
            precision="fp32",
        ),
        Recipe(
            "nano-local",
            "nano with a class token that learnt to look at parts of a picture: patches keep to themselves",
            {**VIT, "pool_type": "tok"},
            kind="regional",
            muon_lr=0.01,
            batch=40,
            steps=720,
        ),
        Recipe(
            "nano-captioner",
            "says the salient thing of a picture in a few words: a small decoder over nano's frozen patch tokens",
            {"width": 96, "layers": 2, "heads": 4, "length": 24},
            kind="captioner",
            lr=2e-3,
            batch=128,
            steps=2000,
        ),
        Recipe(
            "nano-grammar",
            "nano's text tower, taught to tell captions from captions spoilt word by word, and the head that tells",
            {},
            kind="grammar",
            lr=5e-4,
            muon_lr=None,
            weight_decay=0.01,
            batch=128,
            steps=800,
        ),
        *(
            Recipe(
                name, note, {"lessons": lessons, "pictures": 8_192, **more}, kind="vqa", lr=lr, batch=256, steps=sum(n for _, n in lessons)
            )
            for name, note, lessons, more, lr in (
                (
                    "nano-vqa",
                    "answers questions about one or two facts of a picture",
                    ((("open",), 150), (("relation",), 300), (("atomic", "conj"), 1400)),
                    {"regions": 600},
                    1e-3,
                ),
                (
                    "nano-vqa-atomic",
                    "answers questions about one fact of a picture",
                    ((("open",), 150), (("relation",), 300), (("atomic",), 1400)),
                    {"regions": 600},
                    1e-3,
                ),
                (
                    "nano-itm",
                    "nano-vqa, then: captions and captions with words exchanged",
                    ((("caption",), 400),),
                    {"start": "nano-vqa"},
                    5e-4,
                ),
            )
        ),
        Recipe(
            "nano-negclip",
            "one vector a picture, one a text, over nano's frozen patches, tuned on captions with words exchanged",
            {"layers": 2, "pictures": 8_192, "regions": 600},
            kind="two_towers",
            batch=256,
            steps=1850,
        ),
        *(
            Recipe(
                name,
                note,
                {"task": task, **({"start": start} if start else {"width": 128, "layers": 2, "heads": 4, "length": 64})},
                kind="seq2seq",
                lr=lr,
                muon_lr=muon_lr,
                batch=96,
                steps=steps,
            )
            for name, note, task, start, steps, lr, muon_lr in (
                ("nano-bart", "writes spoilt captions as they were: BART's lesson without labels", "denoise", "", 1500, 2e-3, 0.02),
                ("nano-bart-short", "nano-bart, then: dense captions told short", "summarise", "nano-bart", 900, 1e-3, 0.01),
                ("nano-bart-para", "nano-bart-short, then: facts in other words", "paraphrase", "nano-bart-short", 500, 1e-3, 0.01),
            )
        ),
    )
}


def corpus(n: int = 20_000, seed: int = 7) -> list[str]:
    """Captions of every register and of both kinds of scene, to learn the vocabulary on."""
    from clipkit.world import CATEGORIES, CLASS_TEMPLATES, REGISTERS, WorldSpec, caption_batch, classnames, sample_scenes

    scenes = sample_scenes(WorldSpec(styles=("flat", "sketch", "pixel", "pastel"), max_objects=4, same_category=0.3), n, seed)
    texts = [t for register in REGISTERS for t in caption_batch(scenes, register, seed=seed) if isinstance(t, str)]
    for factor, templates in CLASS_TEMPLATES.items():
        texts += [t.replace("{}", name) for name in classnames(factor) for t in templates] * 5
    return texts + list(CATEGORIES) * 20


def make(recipe: Recipe, folder: Path | None = None, steps: int | None = None, device: str = "cpu", progress: bool = True) -> dict:
    """Follow a recipe: train, probe, save checkpoint and card in `folder` (default data/models). Returns the card."""
    import torch

    from clipkit import __version__
    from clipkit.models import NanoEncoder, build_nano, save_nano
    from clipkit.pretrain import probes
    from clipkit.recipes.cutouts import camera_batches
    from clipkit.recipes.shapes import train_shapes
    from clipkit.world import WorldSpec

    steps = steps or recipe.steps
    folder = folder or data_dir() / "models"
    torch.manual_seed(recipe.seed)
    if recipe.kind == "segmenter":
        from clipkit.recipes.segmenter import make_segmenter

        return make_segmenter(recipe, folder, steps, device, _progress(recipe.name, steps) if progress else None)
    if recipe.kind == "regional":
        from clipkit.recipes.regional import make_regional

        return make_regional(recipe, folder, steps, device, _progress(recipe.name, steps) if progress else None)
    if recipe.kind in ("captioner", "grammar"):
        from clipkit.recipes.captioner import make_captioner, make_grammar

        maker = make_captioner if recipe.kind == "captioner" else make_grammar
        return maker(recipe, folder, steps, device, _progress(recipe.name, steps) if progress else None)
    if recipe.kind in ("vqa", "two_towers"):
        from clipkit.recipes.vqa import make_vqa
        from clipkit.score.two_towers import make_two_towers

        maker = make_vqa if recipe.kind == "vqa" else make_two_towers
        return maker(recipe, folder, steps, device, _progress(recipe.name, steps) if progress else None)
    if recipe.kind == "seq2seq":
        from clipkit.recipes.language import make_seq2seq

        return make_seq2seq(recipe, folder, steps, device, _progress(recipe.name, steps) if progress else None)
    settings = config(recipe, folder)
    model = NanoEncoder(build_nano(settings).to(device), settings, folder)
    worlds = [(WorldSpec(**arguments), weight) for arguments, weight in recipe.worlds]
    tick = _progress(recipe.name, steps) if progress and recipe.kind == "dino" else None
    loop = {"steps": steps, "lr": recipe.lr, "seed": recipe.seed, "precision": recipe.precision, "after_step": tick}
    kept: list[Path] = []
    if recipe.kind == "clip":
        log, kept = _phases(model, recipe, steps, progress)
        numbers = probes.card_numbers(model)
    elif recipe.kind == "dino":
        batches = camera_batches(model, worlds, steps, recipe.batch, recipe.seed)
        tower, history = train_shapes(model.module.visual, model.embed_dim, batches, **loop)
        model.module.visual = tower
        log = [_entry("dino", steps, recipe.batch, history)]
        numbers = probes.vision_card_numbers(model)
    else:
        raise unknown("kind of recipe", recipe.kind, ["clip", "dino"])
    card = {
        "name": recipe.name,
        "note": recipe.note,
        "kind": recipe.kind,
        "data": {
            "worlds": [{"spec": arguments, "weight": weight} for arguments, weight in recipe.worlds],
            "first_lesson": [{"spec": arguments, "share": share} for arguments, share in recipe.warm],
            "registers": recipe.registers if recipe.kind == "clip" else {},
            "hard_batches": recipe.hard if recipe.kind == "clip" else 0.0,
        },
        "training": {
            "phases": log, "pictures": sum(row["steps"] * row["batch"] for row in log),
            "minutes": round(sum(row["minutes"] for row in log), 1),
            "lr": recipe.lr, "muon_lr": recipe.muon_lr, "weight_decay": recipe.weight_decay, "seed": recipe.seed,
            "precision": recipe.precision, "threads": torch.get_num_threads(), "device": device,
        },
        "parameters": sum(p.numel() for p in model.module.parameters()),
        "percent": numbers,
        "known_failures": known_failures(numbers),
        "versions": {"clipkit": __version__, "torch": torch.__version__.split("+")[0], "python": platform.python_version()},
    }  # fmt: skip
    save_nano(model.module, settings, card, folder, half=True)
    for path in kept:
        path.unlink(missing_ok=True)
    return card


def _phases(model, recipe: Recipe, steps: int, progress: bool) -> tuple[list[dict], list[Path]]:
    """All phases in order; returns their log and the files that keep each finished one, so that a stopped run goes on there."""
    import hashlib

    import torch

    from clipkit.paths import cache_dir

    key = hashlib.sha256(repr((recipe, steps)).encode()).hexdigest()[:16]
    kept = [cache_dir("pretrain") / f"{recipe.name}-{key}-{number}.pt" for number in range(len(recipe.phases))]
    done = max((number + 1 for number, path in enumerate(kept) if path.exists()), default=0)
    log: list[dict] = []
    if done:
        saved = torch.load(kept[done - 1], weights_only=True)
        model.module.load_state_dict(saved["weights"])
        log = saved["log"]
    for number in range(done, len(recipe.phases)):
        log.append(phase(model, recipe, number, steps, progress))
        half = kept[number].with_suffix(".half")
        torch.save({"weights": model.module.state_dict(), "log": log}, half)
        half.replace(kept[number])
    return log, kept


def phase(model, recipe: Recipe, number: int, steps: int | None = None, progress: bool = True) -> dict:
    """One phase of a contrastive recipe, in place, on scenes of its own; returns what the card says of it."""
    from clipkit.pretrain import info_nce
    from clipkit.pretrain.pairs import contrastive_loss, pair_batches
    from clipkit.recipes.warmup import FACTORS, FactorClassifier, factor_loss, labelled_batches
    from clipkit.train import train
    from clipkit.world import WorldSpec, classnames

    kind, seed = recipe.phases[number], recipe.seed + 1000 * number
    module, loss = model.module, contrastive_loss(model, info_nce)
    if kind == "lesson":
        steps, batch = recipe.warm_steps, recipe.warm_batch
        stages = [(WorldSpec(**arguments), share) for arguments, share in recipe.warm]
        module = FactorClassifier(model.module.visual, model.embed_dim, {f: len(classnames(f)) for f in FACTORS}).to(model.device)
        batches, loss = labelled_batches(model, stages, steps, batch, seed), factor_loss
    elif kind in ("both", "text"):
        steps, batch = (recipe.text_steps, recipe.text_batch) if kind == "text" else (steps or recipe.steps, recipe.batch)
        worlds = [(WorldSpec(**arguments), weight) for arguments, weight in recipe.worlds]
        batches = pair_batches(model, worlds, recipe.registers, batch, seed, hard=recipe.hard)
    else:
        raise unknown("phase", kind, ["lesson", "both", "text"])
    model.module.visual.requires_grad_(kind != "text")  # locked as in LiT, arXiv:2111.07991
    rate = recipe.joint_lr if kind == "both" else 1.0
    muon_lr = recipe.muon_lr and rate * recipe.muon_lr
    settings = {"lr": rate * recipe.lr, "muon_lr": muon_lr, "weight_decay": recipe.weight_decay, "precision": recipe.precision}
    tick = _progress(f"{recipe.name}: {kind}", steps) if progress else None
    history = train(module, batches, loss, steps, after_step=tick, **settings)
    model.module.visual.requires_grad_(True)
    return _entry(kind, steps, batch, history)


def _entry(kind: str, steps: int, batch: int, history) -> dict:
    last = history.loss[-50:]
    minutes, loss = round(history.seconds / 60, 1), round(sum(last) / len(last), 3)
    return {"phase": kind, "steps": steps, "batch": batch, "minutes": minutes, "final_loss": loss}


def config(recipe: Recipe, folder: Path) -> dict:
    """The open_clip-format model configuration of a recipe, with our tokenizer and preprocessing."""
    from clipkit.models import load_tokenizer

    settings = {
        "name": recipe.name,
        "embed_dim": recipe.embed_dim,
        "vision_cfg": dict(recipe.vision),
        "preprocess": {"size": recipe.vision["image_size"], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    if recipe.kind == "dino":
        return settings
    vocabulary = load_tokenizer(folder / VOCABULARY, recipe.text["context_length"]).vocab_size
    return settings | {
        "text_cfg": {**recipe.text, "vocab_size": vocabulary},
        "tokenizer": {"merges": VOCABULARY, "context_length": recipe.text["context_length"]},
    }


def known_failures(numbers: dict) -> list[str]:
    """Sentences about what the numbers show to be weak."""
    said = []
    if "counting" in numbers:
        beyond = [v for k, v in numbers["counting"].items() if k.isdigit() and int(k) > 4]
        if beyond:
            said.append(f"counting beyond four: {sum(beyond) / len(beyond):.0f} % right (chance 10)")
    for factor in ("colour", "background"):
        if numbers.get(f"knn_{factor}", 100) < 50:
            said.append(f"{factor}: {numbers[f'knn_{factor}']:.0f} % right among nearest neighbours; training hides it")
    for key, what in (("relation", "left/right and above/below"), ("word_order", "which colour belongs to which object")):
        if key in numbers:
            said.append(f"{what}: {numbers[key]:.0f} % right between two captions (chance 50)")
    return said


def _progress(name: str, steps: int):
    from tqdm import tqdm

    bar = tqdm(total=steps, desc=name, mininterval=5)

    def tick(step: int, module, value: float) -> None:
        bar.update()
        if step % 20 == 0:
            bar.set_postfix(loss=f"{value:.3f}")
        if step + 1 == steps:
            bar.close()

    return tick


def main(names: Iterable[str], steps: int | None = None, folder: str | None = None, threads: int | None = None) -> list[dict]:
    """What `clipkit pretrain NAME …` does; makes the vocabulary first when there is none."""
    import torch

    from clipkit.models import save_bpe, train_bpe

    names = list(names)
    for name in names:
        if name not in RECIPES:
            raise unknown("recipe", name, RECIPES)
    if steps is not None and steps < 50:
        raise ClipkitError(f"{steps} steps teach nothing and the schedule needs 50 at least")
    torch.set_num_threads(threads or os.cpu_count() or 1)
    target = Path(folder) if folder else data_dir() / "models"
    writable(target)
    if not (target / VOCABULARY).exists():
        save_bpe(train_bpe(corpus(), 2000), target / VOCABULARY)
    return [make(RECIPES[name], target, steps) for name in names]
