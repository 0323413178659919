"""What the small question answerer learns: pictures of one to four things, and questions with answers, by mix.

"open": which side, how many, what colour; no yes or no. "relation": sides, open and by yes or no. "atomic": every question is
about one thing, one pair of things in one relation, or the place. "conj": two such facts at once;
in a false text exactly one of the two is false, and never are two words exchanged. "caption": whole captions, the false ones
made by exchange; for the matching model and the two towers that are compared with the answerer, not for the answerer.

Some (colour, category) pairs occur neither in these pictures nor in these texts: HELD_OUT_PAIRS.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from clipkit.errors import unknown
from clipkit.language.vocabulary import WordVocabulary
from clipkit.recipes.vqa_facts import atomic, conjunction, names_held_out, one_caption, relation, which_side
from clipkit.world.content_plan import HashRandom, seeds_of, states, truths
from clipkit.world.propositions import plural
from clipkit.world.question_answers import QUESTION_KINDS, batch_questions, figure_question
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, HELD_OUT_PAIRS, TEXTURES
from clipkit.world.words import NUMBERS

LESSON_WORLD = {
    "min_objects": 1, "max_objects": 4, "count_probs": (0.25, 0.4, 0.2, 0.15), "same_category": 0.08, "held_out": HELD_OUT_PAIRS,
}  # fmt: skip
MIXES = ("open", "relation", "atomic", "conj", "caption")
_YES_OR_NO = {"relation": relation, "atomic": atomic, "conj": conjunction, "caption": one_caption}  # four a picture
_SIDES = {"open": 4, "relation": 2, "atomic": 2}  # questions a picture
_KINDS = {"open": ("colour", "count"), "atomic": tuple(k for k in QUESTION_KINDS if k != "figure")}  # questions of `clipkit.world`
# Ways to ask whether a text is true of the picture. The last three are never asked in a lesson.
WORDINGS: tuple[str, ...] = (
    figure_question("{}"),
    'does the picture match "{}"?',
    'is "{}" true of this picture?',
    'does this picture show "{}"?',
    'please answer yes or no. does the figure match "{}"?',
    '"{}": is it true of this figure?',
)
ASKED = 3  # so many of WORDINGS occur in the lessons


class Asked(NamedTuple):
    """A question about picture number `picture`, its answer, and what kind it is."""

    picture: int
    text: str
    answer: str
    kind: str


def lesson_scenes(n: int, seed: int, held_out: bool = False, **world) -> Scenes:
    """n scenes of LESSON_WORLD, in a third of them the second thing like the first, so that numbers vary within a scene.

    held_out: only pairs of HELD_OUT_PAIRS, which the lessons never show. `world`: changes to the WorldSpec.
    """
    scenes = sample_scenes(WorldSpec(**{**LESSON_WORLD, "only_held_out": held_out, **world}), n, seed)
    twins = (np.random.default_rng([seed, 77]).random(n) < 0.33) & (scenes.count >= 2)
    changed = {name: getattr(scenes, name).copy() for name in ("category", "colour", "texture")}
    for values in changed.values():
        values[twins, 1] = values[twins, 0]
    return scenes.replace(**changed)


def lesson_questions(scenes: Scenes, mix: str, seed: int) -> list[Asked]:
    """Questions about each of `scenes`, several a picture; the same arguments give the same ones.

    Raises: ClipkitError for an unknown mix.
    """
    if mix not in MIXES:
        raise unknown("mix of questions", mix, MIXES)
    out: list[Asked] = []
    for i, (truth, state) in enumerate(zip(truths(scenes), states(seeds_of(scenes), f"lesson {mix}", seed), strict=True)):
        draw = HashRandom(state)
        for _ in range(4 if mix in _YES_OR_NO else 0):
            made = _YES_OR_NO[mix](truth, draw)
            if made:
                wording = WORDINGS[0 if draw(2) else draw(ASKED)]
                out.append(Asked(i, wording.format(made[0]), "yes" if made[1] else "no", mix))
        sides = [which_side(truth, draw) for _ in range(_SIDES.get(mix, 0))]
        out += [Asked(i, text, answer, "side") for text, answer in filter(None, sides)]
    if mix in _KINDS:
        for i, asked in enumerate(batch_questions(scenes, seed, _KINDS[mix])):
            out += [Asked(i, q.text, q.answer, q.kind) for q in asked if not names_held_out(q.text)]
    return out


@cache
def question_vocabulary() -> WordVocabulary:
    """Every word of the lessons' questions, in alphabetical order."""
    scenes = lesson_scenes(600, 1)
    texts = [q.text for mix in MIXES for q in lesson_questions(scenes, mix, 1)]
    texts += [w.format("") for w in WORDINGS] + [plural(c) for c in CATEGORIES] + [*CATEGORIES, *NUMBERS, *COLOURS, *TEXTURES]
    texts += ["on which side of the cat is the dog?"]
    texts += [f"no not without any but or picture photo {b}" for b in BACKGROUNDS]
    return WordVocabulary.from_texts(texts)
