"""Questions about a scene, with the right answer. Yes and no are equally likely by construction."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from clipkit.errors import unknown
from clipkit.world.caption_negatives import absent_category
from clipkit.world.content_plan import HashRandom, SceneFacts, groups, related_pairs, seeds_of, short_message, states, truths
from clipkit.world.english import say_short
from clipkit.world.pairs import one_word, swap
from clipkit.world.propositions import entities, false_facts, plural, true_facts
from clipkit.world.taxonomy import BACKGROUNDS, COLOURS, SIZES, TEXTURES
from clipkit.world.words import NUMBERS, OPPOSITE, PLACES, RELATION_WORDS, noun_phrase

__all__ = ["QUESTION_KINDS", "Question", "batch_questions", "entities", "figure_question", "questions"]

QUESTION_KINDS: tuple[str, ...] = (
    "existence",
    "colour",
    "count",
    "relation",
    "background",
    "comparison",
    "attribute",
    "place",
    "statement",
    "figure",
)
YES_NO: frozenset[str] = frozenset({"existence", "relation", "comparison", "attribute", "place", "statement", "figure"})


@dataclass(frozen=True)
class Question:
    """A question about one picture. answer: "yes" or "no", a colour, a number word, or a background, by kind."""

    text: str
    answer: str
    kind: str


def figure_question(text: str) -> str:
    """The whole-text question of arXiv:2404.01291: P("yes") to it is the score of `text`."""
    return f'does this figure show "{text}"? please answer yes or no.'


def questions(scene, seed: int = 0, kinds: tuple[str, ...] = QUESTION_KINDS) -> list[Question]:
    """At most one question of each kind for a Scene (a kind that the scene does not allow is left out).

    Kinds: existence ("is there a cat?"), colour ("what colour is the cat?"), count ("how many apples are there?"),
    relation ("is the cat to the left of the dog?"), background ("where is this?"), comparison ("are there more cats
    than dogs?"), attribute ("is the cat striped?"), place ("is this in the snow?"), statement ("is it true that …?"),
    figure (`figure_question` of a short caption, or of one with a fact exchanged or replaced).

    Raises: ClipkitError for an unknown kind.
    """
    return batch_questions(scene, seed, kinds)[0]


def batch_questions(scenes, seed: int = 0, kinds: tuple[str, ...] = QUESTION_KINDS) -> list[list[Question]]:
    """`questions` of each of `scenes` (Scenes or one Scene); the same as one by one."""
    for kind in kinds:
        if kind not in QUESTION_KINDS:
            raise unknown("kind of question", kind, QUESTION_KINDS)
    columns = [states(seeds_of(scenes), f"question {kind}", seed) for kind in kinds]
    out: list[list[Question]] = []
    for row, truth in enumerate(truths(scenes)):
        found = []
        for kind, column in zip(kinds, columns, strict=True):
            asked = _ASK[kind](truth, HashRandom(column[row]))
            if asked:
                found.append(Question(*asked, kind))
        out.append(found)
    return out


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _single(truth: SceneFacts, draw: HashRandom) -> list:
    """The objects that are the only one of their category, shuffled: "the cat" then has one meaning."""
    return draw.shuffled(members[0] for members in groups(truth.things, False).values() if len(members) == 1)


def _the(category: str) -> str:
    return noun_phrase(1, category, lead="the")


def _existence(truth: SceneFacts, draw: HashRandom):
    yes = bool(draw(2)) if truth.things else False
    category = draw.pick(truth.things).category if yes else absent_category(truth, draw)
    return f"is there {noun_phrase(1, category)}?", _yes(yes)


def _colour(truth: SceneFacts, draw: HashRandom):
    found = _single(truth, draw)
    return (f"what colour is {_the(found[0].category)}?", found[0].colour) if found and truth.coloured else None


def _count(truth: SceneFacts, draw: HashRandom):
    found = list(groups(truth.things, False).items())
    if not found:
        return None
    (category, _), members = draw.pick(found)
    return f"how many {plural(category)} are there?", NUMBERS[len(members)]


def _relation(truth: SceneFacts, draw: HashRandom):
    found, yes = _single(truth, draw), draw(2)
    for a, relation, b in related_pairs(found):
        said = relation if yes else OPPOSITE[relation]
        return f"is {_the(a.category)} {RELATION_WORDS[said]} {_the(b.category)}?", _yes(yes)
    return None


def _background(truth: SceneFacts, draw: HashRandom):
    return "where is this?", truth.background


def _comparison(truth: SceneFacts, draw: HashRandom):
    counts = {category: len(members) for (category, _), members in groups(truth.things, False).items()}
    for a, b in combinations(draw.shuffled(counts), 2):
        if counts[a] != counts[b]:  # the order is random, so yes and no are equally likely
            return f"are there more {plural(a)} than {plural(b)}?", _yes(counts[a] > counts[b])
    return None


def _attribute(truth: SceneFacts, draw: HashRandom):
    found, yes, kind = _single(truth, draw), draw(2), draw(3)
    if not found:
        return None
    if kind == 0 and not truth.coloured:
        kind = 1
    thing = found[0]
    word, choices = ((thing.colour, tuple(COLOURS)), (thing.texture, TEXTURES), (thing.size, SIZES))[kind]
    said = word if yes else draw.pick([c for c in choices if c != word])
    return f"is {_the(thing.category)} {said}?", _yes(yes)


def _place(truth: SceneFacts, draw: HashRandom):
    yes = draw(2)
    said = truth.background if yes else draw.pick([b for b in BACKGROUNDS if b != truth.background])
    return f"is this {PLACES[said]}?", _yes(yes)


def _statement(truth: SceneFacts, draw: HashRandom):
    yes = draw(2)
    fact = draw.pick(true_facts(truth) if yes else false_facts(truth, draw))
    return f"is it true that {fact.text}?", _yes(yes)


def _figure(truth: SceneFacts, draw: HashRandom):
    # True and false texts come from the same two makers, so that the text alone does not tell the answer.
    yes, exchange = draw(2), draw(2)
    pair = swap(truth, draw.pick(("colour", "relation", "count", "texture")), draw) if exchange else None
    message = short_message(truth, draw)
    for kind in draw.shuffled(("category", "colour", "background")):
        pair = pair or one_word(truth, message, kind, draw, say_short)
    return (figure_question(pair[not yes]), _yes(yes)) if pair else None


_ASK = {
    "existence": _existence,
    "colour": _colour,
    "count": _count,
    "relation": _relation,
    "background": _background,
    "comparison": _comparison,
    "attribute": _attribute,
    "place": _place,
    "statement": _statement,
    "figure": _figure,
}
