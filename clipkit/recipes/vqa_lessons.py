"""What the small question answerer learns: pictures of one to four things, and questions with answers, by mix.

"open": which side, how many, what colour; no yes or no. "relation": sides, open and by yes or no. "atomic": every question is
about one thing, one pair of things in one relation, or the place. "conj": two such facts at once;
in a false text exactly one of the two is false, and never are two words exchanged. "caption": whole captions, the false ones
made by exchange; for the matching model and the two towers that are compared with the answerer, not for the answerer.

Some (colour, category) pairs occur neither in these pictures nor in these texts: `HELD_OUT`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

from clipkit.errors import unknown
from clipkit.language.vocabulary import WordVocabulary, split_words
from clipkit.world.caption_negatives import absent_category
from clipkit.world.content_plan import Draw, Truth, groups, relation_between, seeds_of, states, truths
from clipkit.world.pairs import swap
from clipkit.world.propositions import false_facts, plural, true_facts
from clipkit.world.question_answers import QUESTION_KINDS, batch_questions, figure_question
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Scenes
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, TEXTURES
from clipkit.world.words import NUMBERS, OPPOSITE, PLACES, RELATION_WORDS, noun_phrase

SIDES = ("left", "right", "above", "below")
MIXES = ("open", "relation", "atomic", "conj", "caption")
# Categories of one class (of five) lack the same two colours: a red and a blue thing can exchange colours and both stay unseen.
HELD_OUT: tuple[tuple[str, str], ...] = tuple(
    (colour, category) for j, category in enumerate(CATEGORIES) for i, colour in enumerate(COLOURS) if (i + 3 * j) % 5 == 0
)
_HELD = frozenset(HELD_OUT)
LESSON_WORLD = {"min_objects": 1, "max_objects": 4, "count_probs": (0.25, 0.4, 0.2, 0.15), "same_category": 0.08, "held_out": HELD_OUT}
# Ways to ask whether a text is true of the picture. The last three are never asked in a lesson.
_SINGULAR = {word: c for c in CATEGORIES for word in (c, plural(c).split()[0], plural(c))}
WORDINGS: tuple[str, ...] = (
    figure_question("{}"),
    'does the picture match "{}"?',
    'is "{}" true of this picture?',
    'does this picture show "{}"?',
    'please answer yes or no. does the figure match "{}"?',
    '"{}": is it true of this figure?',
)
ASKED = 3  # so many of WORDINGS occur in the lessons
ANSWERS: tuple[str, ...] = ("yes", "no", *COLOURS, *NUMBERS[1:], *BACKGROUNDS, *SIDES)


class Asked(NamedTuple):
    """A question about picture number `picture`, its answer, and what kind it is."""

    picture: int
    text: str
    answer: str
    kind: str


def lesson_scenes(n: int, seed: int, held_out: bool = False, **world) -> Scenes:
    """n scenes of LESSON_WORLD, in a third of them the second thing like the first, so that numbers vary within a scene.

    held_out: only the (colour, category) pairs of HELD_OUT, which the lessons never show. `world`: changes to the WorldSpec.
    """
    scenes = sample_scenes(WorldSpec(**{**LESSON_WORLD, "only_held_out": held_out, **world}), n, seed)
    twins = (np.random.default_rng([seed, 77]).random(n) < 0.33) & (scenes.count >= 2)
    changed = {}
    for name in ("category", "colour", "texture"):
        values = getattr(scenes, name).copy()
        values[twins, 1] = values[twins, 0]
        changed[name] = values
    for name, values in changed.items():
        setattr(scenes, name, values)
    return scenes


def lesson_questions(scenes: Scenes, mix: str, seed: int) -> list[Asked]:
    """Questions about each of `scenes`, several a picture; the same arguments give the same ones.

    Raises: ClipkitError for an unknown mix.
    """
    if mix not in MIXES:
        raise unknown("mix of questions", mix, MIXES)
    draws = states(seeds_of(scenes), f"lesson {mix}", seed)
    known = list(truths(scenes))
    out: list[Asked] = []
    for i, (truth, state) in enumerate(zip(known, draws, strict=True)):
        draw = Draw(state)
        for _ in range(4 if mix in _MAKERS else 0):
            made = _MAKERS[mix](truth, draw)
            if made:
                out.append(Asked(i, WORDINGS[_wording(draw)].format(made[0]), "yes" if made[1] else "no", mix))
        side = [which_side(truth, draw) for _ in range(_SIDES.get(mix, 0))]
        out += [Asked(i, text, answer, "side") for text, answer in filter(None, side)]
    if mix in _KINDS:
        for i, asked in enumerate(batch_questions(scenes, seed, _KINDS[mix])):
            out += [Asked(i, q.text, q.answer, q.kind) for q in asked if not _mentions_held_out(q.text)]
    return out


def _wording(draw: Draw) -> int:
    return 0 if draw(2) else draw(ASKED)


def _mentions_held_out(text: str) -> bool:
    words = split_words(text)
    colours = [w for w in words if w in COLOURS]
    return bool(colours) and any((c, n) in _HELD for c in colours for n in _named(text))


# One fact ------------------------------------------------------------------------------------


class Phrase(NamedTuple):
    """Words for one fact; subject: the category it speaks of ("" for the place)."""

    text: str
    holds: bool
    subject: str


def atomic(truth: Truth, draw: Draw) -> tuple[str, bool] | None:
    """One fact as a phrase ("a red cat") or a statement ("the cat is red"), true or false with equal chance."""
    yes = bool(draw(2))
    if draw(5) < 2:
        found = true_facts(truth) if yes else false_facts(truth, draw)
        found = [f for f in found if not _mentions_held_out(f.text)]
        kinds = sorted({f.kind for f in found})
        fact = draw.pick([f for f in found if f.kind == draw.pick(kinds)] or found)
        return fact.text, fact.holds
    made = _phrase(truth, draw, yes)
    return (made.text, made.holds) if made else None


def _phrase(truth: Truth, draw: Draw, yes: bool, without: str = "") -> Phrase | None:
    """A phrase about one thing, one number, one relation or the place; about no category that the text `without` names."""
    kinds = groups(truth.things, False)
    options = draw.shuffled(("existence", "count", "texture", "place") + 2 * ("colour",) + 4 * ("relation",))
    for option in options:
        made = _PHRASES[option](truth, kinds, draw, yes)
        if made and not (_named(made.text) & _named(without)):
            return made
    return None


def _named(text: str) -> set[str]:
    """Categories that a text names, singular or plural."""
    return {category for word in split_words(text) if (category := _singular(word))}


def _existence(truth: Truth, kinds: dict, draw: Draw, yes: bool) -> Phrase | None:
    single = [c for (c, _), members in kinds.items() if len(members) == 1]
    if not single:
        return None
    category = draw.pick(single) if yes else absent_category(truth, draw)
    return Phrase(noun_phrase(1, category), yes, category)


def _count(truth: Truth, kinds: dict, draw: Draw, yes: bool) -> Phrase | None:
    (category, _), members = draw.pick(list(kinds.items()))
    n = len(members)
    wrong = draw.pick([k for k in range(1, 5) if k != n])
    return Phrase(noun_phrase(n if yes else wrong, category), yes, category)


def _alike(members) -> bool:
    return len({m.colour for m in members}) == 1


def _colour(truth: Truth, kinds: dict, draw: Draw, yes: bool) -> Phrase | None:
    found = [(c, members) for (c, _), members in kinds.items() if _alike(members)]
    if not found:
        return None
    category, members = draw.pick(found)
    colour = members[0].colour
    if not yes:
        allowed = [c for c in COLOURS if c != colour and (c, category) not in _HELD]
        there = [c for c in allowed if any(t.colour == c for t in truth.things)]
        colour = draw.pick(there if there and draw(2) else allowed)
    return Phrase(noun_phrase(len(members), category, colour), yes, category)


def _texture(truth: Truth, kinds: dict, draw: Draw, yes: bool) -> Phrase | None:
    found = [(c, members[0]) for (c, _), members in kinds.items() if len(members) == 1 and (not yes or members[0].texture != "plain")]
    if not found:
        return None
    category, thing = draw.pick(found)
    texture = thing.texture if yes else draw.pick([t for t in TEXTURES[1:] if t != thing.texture])
    return Phrase(noun_phrase(1, category, texture=texture), yes, category)


def _pair(kinds: dict, draw: Draw):
    single = draw.shuffled(members[0] for members in kinds.values() if len(members) == 1)
    for i, a in enumerate(single):
        for b in single[i + 1 :]:
            relation = relation_between([a], [b])
            if relation:
                return a, relation, b
    return None


def _relation(truth: Truth, kinds: dict, draw: Draw, yes: bool) -> Phrase | None:
    found = _pair(kinds, draw)
    if not found:
        return None
    a, relation, b = found
    said = RELATION_WORDS[relation if yes else OPPOSITE[relation]]
    return Phrase(f"{noun_phrase(1, a.category)} {said} {noun_phrase(1, b.category)}", yes, a.category)


def _place(truth: Truth, kinds: dict, draw: Draw, yes: bool) -> Phrase | None:
    place = truth.background if yes else draw.pick([b for b in BACKGROUNDS if b != truth.background])
    return Phrase(f"a picture {PLACES[place]}", yes, "")


_PHRASES = {"existence": _existence, "count": _count, "colour": _colour, "texture": _texture, "relation": _relation, "place": _place}


def which_side(truth: Truth, draw: Draw) -> tuple[str, str] | None:
    """On which side of one thing is the other? An open question teaches relations; yes and no alone hardly do."""
    found = _pair(groups(truth.things, False), draw)
    if not found:
        return None
    a, relation, b = found
    one, two = (noun_phrase(1, t.category, lead="the") for t in (a, b))
    return f"on which side of {two} is {one}?", relation.removesuffix(" of")


# Two facts -----------------------------------------------------------------------------------


def conjunction(truth: Truth, draw: Draw) -> tuple[str, bool] | None:
    """Two facts in one text; false: exactly one of them. Colours with a relation, two phrases, or two statements."""
    yes, first = bool(draw(2)), bool(draw(2))  # first: whether the first fact is the false one
    one, two = yes or not first, yes or first
    kinds = groups(truth.things, False)
    form = draw(4)
    found = _pair(kinds, draw) if form == 0 else None
    if found:
        a, relation, b = found
        colours = [a.colour, b.colour]
        if not one:
            at = draw(2)
            thing = (a, b)[at]
            colours[at] = draw.pick([c for c in COLOURS if c != thing.colour and (c, thing.category) not in _HELD])
        said = RELATION_WORDS[relation if two else OPPOSITE[relation]]
        return f"{noun_phrase(1, a.category, colours[0])} {said} {noun_phrase(1, b.category, colours[1])}", yes
    if form == 1:
        facts = [true_facts(truth) if holds else false_facts(truth, draw) for holds in (one, two)]
        a, b = (draw.pick([f for f in part if not _mentions_held_out(f.text)]) for part in facts)
        return (f"{a.text}, and {b.text}", yes) if a.text != b.text else None
    a = _phrase(truth, draw, one)
    b = _phrase(truth, draw, two, without=a.text) if a and a.subject else None
    if not a or not b:
        return None
    if b.subject == "":
        return f"{a.text} {b.text.removeprefix('a picture ')}", yes
    return f"{a.text} and {b.text}", yes


# Whole captions ------------------------------------------------------------------------------


def caption(truth: Truth, draw: Draw) -> tuple[str, bool] | None:
    """A caption of two kinds of things, or the same with colours, numbers, textures or sides exchanged."""
    yes = bool(draw(2))
    pair = caption_pair(truth, draw)
    return (pair[not yes], yes) if pair else None


def caption_pair(truth: Truth, draw: Draw) -> tuple[str, str] | None:
    """(true, false) by exchange; where nothing can be exchanged, two facts of which one is made false. No held-out pair of words."""
    for what in draw.shuffled(("colour", "colour", "relation", "relation", "count", "texture")):
        pair = swap(truth, what, draw)
        if pair and not any(_held_phrase(text) for text in pair):
            return pair
    for _ in range(4):
        made = [conjunction(truth, draw) for _ in range(4)]
        true, false = [m[0] for m in made if m and m[1]], [m[0] for m in made if m and not m[1]]
        if true and false:
            return true[0], false[0]
    return None


def _held_phrase(text: str) -> bool:
    words = split_words(text)
    return any(w in COLOURS and (w, n) in _HELD for w, following in zip(words, words[1:], strict=False) for n in (_singular(following),))


def _singular(word: str) -> str:
    return _SINGULAR.get(word, "")


def relation(truth: Truth, draw: Draw) -> tuple[str, bool] | None:
    """Two things and on which side of the other the one is, true or false with equal chance."""
    made = _relation(truth, groups(truth.things, False), draw, bool(draw(2)))
    return (made.text, made.holds) if made else None


_MAKERS = {"relation": relation, "atomic": atomic, "conj": conjunction, "caption": caption}  # of yes-or-no questions, four a picture
_SIDES = {"open": 4, "relation": 2, "atomic": 2}  # questions a picture
_KINDS = {"open": ("colour", "count"), "atomic": tuple(k for k in QUESTION_KINDS if k != "figure")}  # questions of `clipkit.world`


@cache
def question_vocabulary() -> WordVocabulary:
    """Every word of the lessons' questions, in alphabetical order."""
    scenes = lesson_scenes(600, 1)
    texts = [q.text for mix in MIXES for q in lesson_questions(scenes, mix, 1)]
    texts += [w.format("") for w in WORDINGS] + [plural(c) for c in CATEGORIES] + [*CATEGORIES, *NUMBERS, *COLOURS, *TEXTURES]
    texts += ["on which side of the cat is the dog?"]
    texts += [f"no not without any but or picture photo {b}" for b in BACKGROUNDS]
    return WordVocabulary.from_texts(texts)
