"""The question answerers (`nano-vqa` and others): pictures looked at once, questions drawn anew, one training loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from builder.recipes.regions import learn_regions, region_accuracy, region_labels
from builder.recipes.vqa_lessons import lesson_questions, question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.kept import kept
from clipkit.models import load_model
from clipkit.score.eyes import patch_tokens
from clipkit.score.lessons import LESSON_WORLD, lesson_scenes
from clipkit.score.nano_vqa import ANSWERS, NanoVQA, load_vqa
from clipkit.train import train
from clipkit.world import render
from clipkit.world.taxonomy import HELD_OUT_PAIRS

LATER = 0.15  # share of the batches whose questions start at a place drawn at random
CHUNK = 1024  # pictures whose questions are mixed
PICTURES = 8_192  # to learn from
HELD_OUT_SEED = 90_001  # scenes the cards are measured on
Lessons = Sequence[tuple[Sequence[str], int]]  # (mixes of questions, batches of them), one after the other


def lesson_pictures(model, n: int, seed: int, **world) -> tuple:
    """Scenes (n) of `lesson_scenes`, their patch tokens (n, M, D) and region labels (n, M, 3); many of them are kept."""
    scenes = lesson_scenes(n, seed, **world)
    if n < 2 * CHUNK:
        return scenes, *_looked_at(model, scenes)
    tokens, labels = kept("patches", _looked_at_in_chunks, model, n, seed, world)
    return scenes, tokens.clone(), labels.clone()  # read once; a mapped file is slow to pick rows from


def _looked_at_in_chunks(model, n: int, seed: int, world: dict) -> tuple[Tensor, Tensor]:
    scenes = lesson_scenes(n, seed, **world)
    parts = [_looked_at(model, scenes[i : i + CHUNK]) for i in range(0, n, CHUNK)]
    return tuple(torch.cat(some) for some in zip(*parts, strict=True))


def _looked_at(model, scenes) -> tuple[Tensor, Tensor]:
    drawn = render(scenes, masks=True)
    tokens = patch_tokens(model, drawn.images)
    return tokens, region_labels(scenes, drawn.instances, round(tokens.shape[1] ** 0.5))


def lesson_batches(
    scenes, tokens: Tensor, vocabulary, answers: Sequence[str], lessons: Lessons, batch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Batches of all lessons: picture tokens (B, M, D), words (B, L), where each question starts (B,), answers (B,).

    Questions of a lesson's mixes about a chunk of pictures are shuffled together; each round over the pictures draws new ones.
    """
    rng, index = np.random.default_rng(seed), {a: i for i, a in enumerate(answers)}

    def endless(mixes: Sequence[str], first: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        for round_ in count(first):
            for start in range(0, len(scenes), CHUNK):
                part = scenes[start : start + CHUNK]
                asked = [q for mix in mixes for q in lesson_questions(part, mix, 1000 * seed + round_) if q.answer in index]
                asked = [asked[i] for i in rng.permutation(len(asked))]
                if len(asked) < batch:
                    hint = f"fewer than a batch of {batch}; use more pictures"
                    raise ClipkitError(f"{len(part)} pictures give {len(asked)} questions, {hint}")
                for rows in _alike(asked, batch, rng):
                    words = vocabulary.encode([q.text for q in rows])
                    # Now and then the question starts later, so that the places of long texts are learnt too; always, it hides the order.
                    offset = torch.from_numpy(rng.integers(0, 64, len(rows)) * (rng.random() < LATER))
                    seen = tokens[start + torch.tensor([q.picture for q in rows])]
                    yield seen, words, offset, torch.tensor([index[q.answer] for q in rows])

    for number, (mixes, steps) in enumerate(lessons):
        yield from islice(endless(mixes, 100 * number), steps)


def _alike(asked: list, batch: int, rng: np.random.Generator) -> Iterator[list]:
    """Batches of questions of like length, two of each kind, in random order: less padding, and no order to be learnt."""
    for at in range(0, len(asked) - batch + 1, 2 * batch):
        block = sorted(asked[at : at + 2 * batch], key=lambda q: len(q.text))
        for k in rng.permutation(len(block) // batch):
            yield block[k * batch : (k + 1) * batch]


def answer_loss(module: NanoVQA, batch: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Cross-entropy of the right answer."""
    pictures, words, offset, answer = (x.to(module.device) for x in batch)
    return F.cross_entropy(module(pictures, words, offset).float(), answer)


def make_vqa(recipe, steps: int, device: str, tick, folder: Path) -> tuple[NanoVQA, dict]:
    """Settings: those of `NanoVQA`, and "lessons" (together they get `steps` batches, in these proportions), "pictures", "regions"
    (steps of the first lesson) or "start" (a checkpoint to go on from)."""
    settings = dict(recipe.settings)
    pictures, start, regions = (settings.pop(k, default) for k, default in (("pictures", PICTURES), ("start", None), ("regions", None)))
    lessons, model = shortened(settings.pop("lessons"), steps), load_model("nano", device=device)
    scenes, tokens, labels = lesson_pictures(model, pictures, 1_000 + recipe.seed)
    if start:
        module = load_vqa(start, device, folder)
    else:
        torch.manual_seed(recipe.seed)
        module = NanoVQA(question_vocabulary(), ANSWERS, tokens.shape[2], tokens.shape[1], **settings).to(device)
        learn_regions(module, tokens, labels, regions, seed=recipe.seed)
    batches = lesson_batches(scenes, tokens, module.vocabulary, module.answers, lessons, recipe.batch, recipe.seed + (17 if start else 0))
    history = train(module, batches, answer_loss, steps, after_step=tick, **recipe.loop)
    data = {"world": {k: v for k, v in LESSON_WORLD.items() if k != "held_out"}, "held_out_pairs": len(HELD_OUT_PAIRS)}
    data |= {"pictures": pictures, "lessons": [[list(mixes), n] for mixes, n in lessons], "questions": steps * recipe.batch}
    data |= {"region_steps": regions, "starts_from": start, "words": len(module.vocabulary)}
    return module, {"data": data, "training": history.summary(), "percent": accuracy_numbers(module, model)}


def shortened(lessons: Lessons, steps: int) -> list[tuple[tuple[str, ...], int]]:
    """The lessons in the same proportions, so that together they have `steps` batches."""
    ends = np.rint(np.cumsum([n for _, n in lessons]) * steps / sum(n for _, n in lessons)).astype(int)
    return [(tuple(mixes), int(n)) for (mixes, _), n in zip(lessons, np.diff(ends, prepend=0), strict=True)]


def accuracy_by_kind(module: NanoVQA, tokens: Tensor, asked: Sequence) -> dict[str, float]:
    """Percent of right answers to questions (Asked) about pictures (tokens (N, M, D)), by kind."""
    given = module.answer(tokens[[q.picture for q in asked]], [q.text for q in asked])
    right: dict[str, list[bool]] = {}
    for q, answer in zip(asked, given, strict=True):
        right.setdefault(q.kind, []).append(q.answer == answer)
    return {kind: 100 * float(np.mean(values)) for kind, values in right.items()}


def accuracy_numbers(module: NanoVQA, model, n: int = 500) -> dict[str, float]:
    """Percent of right answers by kind of question, in new pictures of known and of held-out (colour, category) pairs."""
    found = {}
    for name, held in (("seen", False), ("held_out", True)):
        scenes, tokens, labels = lesson_pictures(model, n, HELD_OUT_SEED, held_out=held)
        found |= {f"patch_{what}_{name}": round(value, 1) for what, value in region_accuracy(module, tokens, labels).items()}
        for mix in ("atomic", "relation", "conj", "caption"):
            asked = lesson_questions(scenes, mix, 1)
            found |= {f"{kind}_{name}": round(value, 1) for kind, value in accuracy_by_kind(module, tokens, asked).items()}
    return found
