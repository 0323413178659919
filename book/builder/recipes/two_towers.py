"""`nano-negclip`: two towers over what the question answerers see, tuned on captions with words exchanged."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from builder.recipes.regions import learn_regions
from builder.recipes.vqa import HELD_OUT_SEED, PICTURES, lesson_pictures
from builder.recipes.vqa_facts import caption_pair
from builder.recipes.vqa_lessons import question_vocabulary
from clipkit.models import load_model
from clipkit.score.clipscore import CLIPScore
from clipkit.score.two_towers import TwoTowers, hard_negative_loss
from clipkit.score.winoground_tasks import quadruples, winoground
from clipkit.train import train
from clipkit.world.content_plan import HashRandom, seeds_of, states, truths


def caption_pair_batches(scenes, tokens: Tensor, vocabulary, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For ever: picture tokens (B, M, D), true captions and captions with words exchanged, (B, L) each; new ones every round."""
    rng, known = np.random.default_rng(seed), list(truths(scenes))
    for round_ in count():
        draws = states(seeds_of(scenes), "two towers", 1000 * seed + round_)
        order = rng.permutation(len(known))
        for at in range(0, len(order) - batch + 1, batch):
            rows = [(i, caption_pair(known[i], HashRandom(draws[i]))) for i in order[at : at + batch]]
            rows = [(i, pair) for i, pair in rows if pair]
            true, false = (vocabulary.encode([pair[k] for _, pair in rows]) for k in (0, 1))
            yield tokens[torch.tensor([i for i, _ in rows])], true, false


def tower_loss(module: TwoTowers, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """`hard_negative_loss` of one batch of `caption_pair_batches`."""
    seen, true, false = (x.to(module.device) for x in batch)
    scale = module.log_scale.exp().clamp(max=100)
    return hard_negative_loss(module.encode_image(seen), module.encode_text(true), module.encode_text(false), scale)


def make_two_towers(recipe, steps: int, device: str, tick, folder: Path) -> tuple[TwoTowers, dict]:
    """Settings: those of `TwoTowers`, and "pictures", "regions" (steps of the first lesson)."""
    settings = dict(recipe.settings)
    pictures, regions = settings.pop("pictures", PICTURES), settings.pop("regions")
    model = load_model("nano", device=device)
    scenes, tokens, labels = lesson_pictures(model, pictures, 1_000 + recipe.seed)
    torch.manual_seed(recipe.seed)
    module = TwoTowers(question_vocabulary(), tokens.shape[2], tokens.shape[1], **settings).to(device)
    learn_regions(module, tokens, labels, regions, seed=recipe.seed)
    batches = caption_pair_batches(scenes, tokens, module.vocabulary, recipe.batch, recipe.seed)
    history = train(module, batches, tower_loss, steps, after_step=tick, **recipe.loop)
    data = {"pictures": pictures, "pairs": steps * recipe.batch, "region_steps": regions, "mixes": ["caption"]}
    module.model = model
    return module, {"data": data, "training": history.summary(), "percent": tower_numbers(module)}


def tower_numbers(module: TwoTowers, n: int = 100) -> dict[str, float]:
    """Percent of swapped tasks solved (group) by kind, n of each, with known and with held-out pairs of colour and thing."""
    numbers = {}
    for name, held in (("seen", False), ("held_out", True)):
        tasks = quadruples(n, HELD_OUT_SEED, held)
        right = winoground(tasks.scores(CLIPScore(module, clip=False)))
        numbers |= {f"group_{kind}_{name}": round(right.percent(tasks.kind == kind)["group"], 1) for kind in np.unique(tasks.kind)}
    return numbers
