"""The contrastive family (`nano`, `nano-biased`, `nano-conv`): three phases, one rise and fall of the learning rate each.

"lesson": the image tower names what it sees (`first_lesson`). "text": InfoNCE with the image tower locked, as in LiT
(arXiv:2111.07991). "both": InfoNCE for all weights, gently.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from builder.recipes import probes
from builder.recipes.first_lesson import FactorClassifier, factor_loss, labelled_batches
from builder.recipes.pairs import pair_batches
from clipkit.models.nano import NanoEncoder, build_nano, load_tokenizer
from clipkit.paths import cache_dir
from clipkit.pretrain import info_nce
from clipkit.pretrain.pairs import contrastive_loss
from clipkit.train import train
from clipkit.world import CATEGORIES, CLASS_TEMPLATES, REGISTERS, WorldSpec, caption_batch, classnames, sample_scenes

VOCABULARY = "nano_bpe.txt.gz"


def corpus(n: int = 20_000, seed: int = 7) -> list[str]:
    """Captions of every register and of both kinds of scene, to learn the vocabulary on."""
    scenes = sample_scenes(WorldSpec(styles=("flat", "sketch", "pixel", "pastel"), max_objects=4, same_category=0.3), n, seed)
    texts = [t for register in REGISTERS for t in caption_batch(scenes, register, seed=seed) if isinstance(t, str)]
    for factor, templates in CLASS_TEMPLATES.items():
        texts += [t.replace("{}", name) for name in classnames(factor) for t in templates] * 5
    return texts + list(CATEGORIES) * 20


def model_config(recipe, folder: Path) -> dict:
    """The open_clip-format model configuration of a recipe, with our preprocessing and, given a text tower, our tokenizer."""
    vision, text = recipe.settings["vision"], recipe.settings.get("text")
    settings = {
        "name": recipe.name,
        "embed_dim": recipe.settings["embed_dim"],
        "vision_cfg": dict(vision),
        "preprocess": {"size": vision["image_size"], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    }
    if text:
        length = text["context_length"]
        settings["text_cfg"] = {**text, "vocab_size": load_tokenizer(folder / VOCABULARY, length).vocab_size}
        settings["tokenizer"] = {"merges": VOCABULARY, "context_length": length}
    return settings


def make_clip(recipe, steps: int, device: str, tick, folder: Path) -> tuple[NanoEncoder, dict]:
    """Settings: "vision", "text", "embed_dim"; "worlds" and "lesson" (WorldSpec arguments, weight or share); "before" (phase to
    (steps, batch)), "joint_lr", "registers", "hard". A stopped run goes on after its last finished phase."""
    settings, told = model_config(recipe, folder), recipe.settings
    model = NanoEncoder(build_nano(settings).to(device), settings, folder)
    key = hashlib.sha256(repr((recipe, steps)).encode()).hexdigest()[:16]
    unfinished, log = cache_dir("pretrain") / f"{recipe.name}-{key}.pt", []
    if unfinished.exists():
        saved = torch.load(unfinished, weights_only=True)
        model.module.load_state_dict(saved["weights"])
        log = saved["log"]
    phases = {**told["before"], "both": (steps, recipe.batch)}
    for number, (kind, (n, batch)) in list(enumerate(phases.items()))[len(log) :]:
        history = train_phase(model, recipe, kind, n, batch, recipe.seed + 1000 * number, tick)
        log.append({"phase": kind, "steps": n, "batch": batch, **history.summary()})
        half = unfinished.with_suffix(".half")
        torch.save({"weights": model.module.state_dict(), "log": log}, half)
        half.replace(unfinished)
    percent = probes.card_numbers(model)
    unfinished.unlink()
    data = {
        "worlds": [{"spec": spec, "weight": weight} for spec, weight in told["worlds"]],
        "first_lesson": [{"spec": spec, "share": share} for spec, share in told["lesson"]],
        "registers": told["registers"],
        "hard_batches": told["hard"],
    }
    minutes, pictures = round(sum(row["minutes"] for row in log), 1), sum(row["steps"] * row["batch"] for row in log)
    training = {"phases": log, "pictures": pictures, "minutes": minutes}
    return model, {"data": data, "training": training, "percent": percent, "known_failures": probes.known_failures(percent)}


def train_phase(model, recipe, kind: str, steps: int, batch: int, seed: int, tick=None):
    """One phase ("lesson", "text" or "both") in place, on scenes of its own; returns the History."""
    told, loop = recipe.settings, dict(recipe.loop)
    module, loss = model.module, contrastive_loss(model, info_nce)
    if kind == "lesson":
        module, loss = FactorClassifier(model.module.visual, model.embed_dim).to(model.device), factor_loss
        batches = labelled_batches(model, [(WorldSpec(**spec), share) for spec, share in told["lesson"]], steps, batch, seed)
    else:
        specs = [(WorldSpec(**spec), weight) for spec, weight in told["worlds"]]
        batches = pair_batches(model, specs, told["registers"], batch, seed, hard=told["hard"])
    if kind == "both":
        loop |= {name: loop[name] and told["joint_lr"] * loop[name] for name in ("lr", "muon_lr")}
    model.module.visual.requires_grad_(kind != "text")
    history = train(module, batches, loss, steps, after_step=tick, **loop)
    model.module.visual.requires_grad_(True)
    return history
