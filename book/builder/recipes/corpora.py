"""What `nano-bart` learns from: the world's texts, dense-to-short pairs (a summary), and paraphrases.

A scene is told at several registers (`clipkit.world.captions`); two tellings of one scene are a pair. Same arguments, same texts.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from clipkit.errors import unknown
from clipkit.language.corpora import documents
from clipkit.language.vocabulary import WordVocabulary
from clipkit.world import WorldSpec, caption_batch, sample_scenes
from clipkit.world.content_plan import HashRandom, seeds_of, short_message, states, truths
from clipkit.world.english import say_short

TASKS = ("denoise", "summarise", "paraphrase")
# What the lesson without labels reads: every way of telling but web noise.
READS = {"dense": 0.3, "short": 0.25, "detailed": 0.15, "rewrite": 0.15, "synonym": 0.05, "hypernym": 0.05, "negation": 0.05}
_FRAMES = ("bare", "photo", "picture", "image", "there", "drawing", "background")


@cache
def caption_vocabulary() -> WordVocabulary:
    """Every word of the world's English, but for web noise."""
    scenes = sample_scenes(WorldSpec(min_objects=0, max_objects=5, same_category=0.4), 6000, seed=11)
    registers = ("dense", "short", "detailed", "rewrite", "synonym", "hypernym", "negation", "wrong_count")
    return WordVocabulary.from_texts(t for r in registers for t in caption_batch(scenes, r, seed=11))


def reworded(scenes, seed: int = 0) -> tuple[list[str], list[str]]:
    """Two wordings of the same facts of each scene: another frame, the things in another order."""
    first, second = [], []
    for truth, state in zip(truths(scenes), states(seeds_of(scenes), "reworded", seed), strict=True):
        draw = HashRandom(state)
        message = short_message(truth, draw)
        frames = draw.shuffled(f for f in _FRAMES if f != "background" or message.background)
        first.append(say_short(message._replace(frame=frames[0])))
        second.append(say_short(message._replace(frame=frames[1], items=draw.shuffled(message.items))))
    return first, second


def caption_pairs(task: str, n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """n sources and n targets.

    Args:
        task: "denoise": source and target are the same text (spoil the source yourself, see `noising`); "summarise": a dense
            description and a short caption; "paraphrase": the same facts in other words, half of them short, half in full.

    Raises: ClipkitError for an unknown task.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    scenes = documents(n, seed)
    if task == "denoise":
        texts = caption_batch(scenes, READS, seed=seed)
        return texts, texts
    if task == "summarise":
        return caption_batch(scenes, "dense", seed=seed), caption_batch(scenes, "short", seed=seed)
    short = reworded(scenes, seed)
    full = caption_batch(scenes, "detailed", seed=seed), caption_batch(scenes, "rewrite", seed=seed)
    rng = np.random.default_rng(seed)
    kind, flip = rng.random(n) < 0.5, rng.random(n) < 0.5
    pairs = [(short if k else full)[:: -1 if f else 1] for k, f in zip(kind, flip, strict=True)]
    return [a[i] for i, (a, _) in enumerate(pairs)], [b[i] for i, (_, b) in enumerate(pairs)]
