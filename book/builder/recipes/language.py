"""The recipes of `nano-bart`: three lessons one after the other, each a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from builder.recipes.corpora import TASKS, caption_pairs, caption_vocabulary
from builder.recipes.noising import infill, permute
from clipkit.language.corpora import documents
from clipkit.language.seq2seq import Seq2Seq, load_seq2seq
from clipkit.language.vocabulary import WordVocabulary
from clipkit.train import train
from clipkit.world import caption_batch
from clipkit.world.caption_parser import check
from clipkit.world.content_plan import truths

CHUNK = 64  # batches drawn at once, so that texts of like length can stand in one batch
ALONE = 0.15  # share of the batches without a source, so that the decoder is a language model too
HELD_OUT = 90_001  # seed of the scenes the cards are measured on


def source_target_batches(vocabulary: WordVocabulary, task: str, batch: int, seed: int, length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """For ever: source and target tokens, (B, S) and (B, L); scenes never come twice. Tasks as in `caption_pairs`."""
    rng = np.random.default_rng(seed)
    separators = {vocabulary.id(mark) for mark in ";,"}
    for chunk in count(1):
        sources, targets = caption_pairs(task, batch * CHUNK, seed=1_000 * seed + chunk)
        ids = [vocabulary.ids(t) for t in sources]
        if task == "denoise":
            ids = [infill(permute(row, rng, separators) if rng.random() < 0.5 else row, rng) for row in ids]
        goal = [vocabulary.ids(t) for t in targets]
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]) + len(goal[i]), i))
        for start in rng.permutation(CHUNK) * batch:
            rows = order[start : start + batch]
            yield _padded(vocabulary, [ids[i] for i in rows], length), _padded(vocabulary, [goal[i] for i in rows], length)


def _padded(vocabulary: WordVocabulary, rows: list[list[int]], length: int) -> Tensor:
    tokens = torch.full((len(rows), min(length, max(map(len, rows)) + 2)), vocabulary.pad)
    for i, row in enumerate(rows):
        row = [vocabulary.bos, *row[: tokens.shape[1] - 2], vocabulary.eos]
        tokens[i, : len(row)] = torch.tensor(row)
    return tokens


def make_seq2seq(recipe, steps: int, device: str, tick, folder: Path) -> tuple[Seq2Seq, dict]:
    """Settings: "task", and "start" (a checkpoint to go on from) or those of `Seq2Seq`."""
    settings = dict(recipe.settings)
    task, start = settings.pop("task"), settings.pop("start", None)
    module = load_seq2seq(start, device, folder) if start else Seq2Seq(caption_vocabulary(), **settings).to(device)
    batches = source_target_batches(module.vocabulary, task, recipe.batch, recipe.seed, module.length)
    rng = np.random.default_rng(recipe.seed)
    batches = ((a.to(device) if rng.random() >= ALONE else None, b.to(device)) for a, b in batches)
    history = train(module, batches, lambda net, batch: net.loss(*batch), steps, after_step=tick, **recipe.loop)
    data = {"task": task, "starts_from": start, "pairs": steps * recipe.batch, "no_source": ALONE, "words": len(module.vocabulary)}
    return module, {"data": data, "training": history.summary(), **held_out(module)}


@torch.no_grad()
def held_out(module: Seq2Seq, n: int = 256) -> dict:
    """ "nats": loss a word on each task's held-out pairs; "percent": texts written for dense ones in which all statements are true."""
    words, numbers = module.vocabulary, {}
    for task in TASKS:
        sources, targets = caption_pairs(task, n, HELD_OUT)
        if task == "denoise":
            sources = [words.decode([infill(words.ids(t), np.random.default_rng(i))])[0] for i, t in enumerate(sources)]
        numbers[task] = round(float(module.loss(module.tokens(sources), module.tokens(targets))), 3)
    scenes = documents(n // 2, HELD_OUT)
    written = module.write(caption_batch(scenes, "dense", seed=HELD_OUT))
    true = [check(truth, text).ok for truth, text in zip(truths(scenes), written, strict=True)]
    return {"nats": numbers, "percent": {"written_true": round(100 * float(np.mean(true)), 1)}}
