"""Atomic statements about a scene, each true or false, and texts of which a known share is true."""

from __future__ import annotations

from typing import NamedTuple

from clipkit.errors import ClipkitError
from clipkit.world.caption_negatives import absent_category
from clipkit.world.content_plan import HashRandom, SceneFacts, groups, related_pairs, seeds_of, states, truths
from clipkit.world.taxonomy import BACKGROUNDS, COLOURS, SIZES, TEXTURES
from clipkit.world.words import NUMBERS, OPPOSITE, PLACES, PLURALS, RELATION_WORDS, noun_phrase

FACT_KINDS: tuple[str, ...] = ("existence", "count", "colour", "texture", "size", "relation", "background")


class Fact(NamedTuple):
    """One statement: text ("the cat is red"), kind (one of FACT_KINDS), and whether it holds in the scene it was made for."""

    text: str
    kind: str
    holds: bool = True


class GradedText(NamedTuple):
    """A text that states several facts; score = share of them that hold."""

    text: str
    facts: tuple[Fact, ...]

    @property
    def score(self) -> float:
        return sum(f.holds for f in self.facts) / len(self.facts)


def _there(n: int, category: str) -> str:
    return f"there {'is' if n == 1 else 'are'} {noun_phrase(n, category)}"


def true_facts(truth: SceneFacts) -> list[Fact]:
    """Every atomic fact of a scene, in the order of its objects; adjectives only of the one object of a category."""
    found, kinds = [], groups(truth.things, False)
    for (category, _), members in kinds.items():
        found.append(Fact(_there(len(members), category), "existence" if len(members) == 1 else "count"))
        if len(members) == 1:
            (thing,) = members
            words = [("texture", thing.texture), ("size", thing.size)]
            if truth.coloured:
                words.insert(0, ("colour", thing.colour))
            found += [Fact(f"{noun_phrase(1, category, lead='the')} is {word}", kind) for kind, word in words]
    single = [members[0] for members in kinds.values() if len(members) == 1]
    found += [Fact(_related(a.category, relation, b.category), "relation") for a, relation, b in related_pairs(single)]
    found.append(Fact(f"the scene is {PLACES[truth.background]}", "background"))
    return found


def _related(one: str, relation: str, two: str) -> str:
    return f"{noun_phrase(1, one, lead='the')} is {RELATION_WORDS[relation]} {noun_phrase(1, two, lead='the')}"


def false_facts(truth: SceneFacts, draw: HashRandom) -> list[Fact]:
    """As many statements as `true_facts`, each the true one made wrong in one word (an absent category for existence)."""
    found, kinds = [], groups(truth.things, False)
    for (category, _), members in kinds.items():
        if len(members) == 1:
            (thing,) = members
            found.append(Fact(_there(1, absent_category(truth, draw)), "existence", False))
            words = [("texture", thing.texture, TEXTURES), ("size", thing.size, SIZES)]
            if truth.coloured:
                words.insert(0, ("colour", thing.colour, tuple(COLOURS)))
            for kind, word, choices in words:
                wrong = draw.pick([c for c in choices if c != word])
                found.append(Fact(f"{noun_phrase(1, category, lead='the')} is {wrong}", kind, False))
        else:
            wrong = draw.pick([n for n in range(2, len(NUMBERS)) if n != len(members)])
            found.append(Fact(_there(wrong, category), "count", False))
    single = [members[0] for members in kinds.values() if len(members) == 1]
    found += [Fact(_related(a.category, OPPOSITE[it], b.category), "relation", False) for a, it, b in related_pairs(single)]
    elsewhere = draw.pick([b for b in BACKGROUNDS if b != truth.background])
    return [*found, Fact(f"the scene is {PLACES[elsewhere]}", "background", False)]


def facts(scene) -> list[Fact]:
    """Every atomic fact of a Scene that a caption could state. For `visual_fact_checker`.

    >>> from clipkit.world.scene import Object, Scene
    >>> [f.text for f in facts(Scene((Object("cat", "red"),), "snow"))]
    ['there is a cat', 'the cat is red', 'the cat is plain', 'the cat is medium', 'the scene is in the snow']
    """
    return true_facts(next(truths(scene)))


def graded(scene, n_true: int, n_false: int, seed: int = 0) -> GradedText:
    """A text that states `n_true` facts of a Scene and `n_false` statements that do not hold, in random order. For `genai_bench`.

    Raises: ClipkitError when the scene has too few facts, or nothing is asked for.
    """
    truth = next(truths(scene))
    draw = HashRandom(states(seeds_of(scene), f"graded {n_true} {n_false}", seed)[0])
    right, wrong = draw.shuffled(true_facts(truth)), draw.shuffled(false_facts(truth, draw))
    if min(n_true, n_false) < 0 or n_true + n_false < 1 or n_true > len(right) or n_false > len(wrong):
        raise ClipkitError(
            f"this scene has {len(right)} true and {len(wrong)} false statements to choose from; "
            f"asked for {n_true} and {n_false} (at least one in all)"
        )
    chosen = tuple(draw.shuffled(right[:n_true] + wrong[:n_false]))
    texts = [f.text for f in chosen]
    return GradedText(texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])}, and {texts[-1]}", chosen)


def entities(scene) -> list[str]:
    """What a scene holds, by name: its categories in order of first appearance, then the background.

    >>> from clipkit.world.scene import Object, Scene
    >>> entities(Scene((Object("cat", "red"), Object("key", "blue"), Object("cat", "pink")), "snow"))
    ['cat', 'key', 'snow']
    """
    truth = next(truths(scene))
    return [*dict.fromkeys(t.category for t in truth.things), truth.background]


def plural(category: str) -> str:
    """ "cats", "ears of corn": the noun of a question about a number."""
    return noun_phrase(2, category, lead="") if category in ("grapes", "corn", "broccoli") else PLURALS[category]
