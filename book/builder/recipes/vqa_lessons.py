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

from builder.recipes.vqa_facts import atomic, conjunction, names_held_out, one_caption, relation, which_side
from clipkit.errors import unknown
from clipkit.language.vocabulary import WordVocabulary
from clipkit.score.lessons import ASKED, WORDINGS, lesson_scenes
from clipkit.world.content_plan import HashRandom, seeds_of, states, truths
from clipkit.world.propositions import plural
from clipkit.world.question_answers import QUESTION_KINDS, batch_questions
from clipkit.world.scene import Scenes
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, TEXTURES
from clipkit.world.words import NUMBERS

MIXES = ("open", "relation", "atomic", "conj", "caption")
_YES_OR_NO = {"relation": relation, "atomic": atomic, "conj": conjunction, "caption": one_caption}  # four a picture
_SIDES = {"open": 4, "relation": 2, "atomic": 2}  # questions a picture
_KINDS = {"open": ("colour", "count"), "atomic": tuple(k for k in QUESTION_KINDS if k != "figure")}  # questions of `clipkit.world`


class Asked(NamedTuple):
    """A question about picture number `picture`, its answer, and what kind it is."""

    picture: int
    text: str
    answer: str
    kind: str


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
