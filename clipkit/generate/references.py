"""References as people write them: the salient thing is named, what could be added mostly is not."""

from __future__ import annotations

from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import WordVocabulary
from clipkit.world.content_plan import HashRandom, Item, SceneFacts, groups, relation_between, seeds_of, states, truths
from clipkit.world.english import phrase
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES
from clipkit.world.words import MEASURES, NUMBERS, PLACES, PLURALS, RELATION_WORDS, SCENES, SINGULARS, join

COLOUR, PLACE, RELATED = 5, 10, 4  # one reference in so many tells colours; the place; how its two things lie
NAMED = (1, 1, 1, 1, 1, 2, 2, 2, 3, 3)  # how many kinds of things a reference names, each entry equally often


def brief(truth: SceneFacts, draw: HashRandom) -> str:
    """One reference: the largest things first, at most three kinds."""
    n, with_colour, with_place, related = NAMED[draw(len(NAMED))], draw(COLOUR) == 0, draw(PLACE) == 0, draw(RELATED) == 0
    if not truth.things:
        return SCENES[truth.background]
    things = sorted(truth.things, key=lambda t: -SIZES.index(t.size))
    found = groups(things, with_colour and truth.coloured)
    items = [Item(len(members), category, colour, members=tuple(members)) for (category, colour), members in found.items()][:n]
    relation = relation_between(items[0].members, items[1].members) if related and len(items) == 2 else ""
    text = f"{phrase(items[0])} {RELATION_WORDS[relation]} {phrase(items[1])}" if relation else join(map(phrase, items))
    return f"{text} {PLACES[truth.background]}" if with_place else text


def brief_references(scenes, k: int = 5, seed: int = 0) -> list[list[str]]:
    """k references for each scene. Half name one kind of thing; one in five tells colours, one in ten the place.

    Every reference is true and depends on (scene, seed, its number) only. Raises ClipkitError for k below 1.
    """
    if k < 1:
        raise ClipkitError(f"a scene needs at least one reference, got k={k}")
    streams = [states(seeds_of(scenes), f"brief/{i}", seed) for i in range(k)]
    return [[brief(truth, HashRandom(row[n])) for row in streams] for n, truth in enumerate(truths(scenes))]


def full_captions(scenes) -> list[str]:
    """For each scene all that a reference could tell of things, colours and place, at once: true, and longer than any reference."""
    told = []
    for truth in truths(scenes):
        items = [
            phrase(Item(len(same), c, colour, members=tuple(same))) for (c, colour), same in groups(truth.things, truth.coloured).items()
        ]
        told.append(f"{join(items)} {PLACES[truth.background]}" if items else SCENES[truth.background])
    return told


def brief_vocabulary() -> WordVocabulary:
    """Every word that `brief` can say, in alphabetical order."""
    texts = [*SINGULARS.values(), *PLURALS.values(), *COLOURS, *BACKGROUNDS, *PLACES.values(), *SCENES.values(), *RELATION_WORDS.values()]
    texts += [f"{one} of {many}" for one, many in MEASURES.values()] + [*NUMBERS[2:], *CATEGORIES, "a an and ,"]
    return WordVocabulary.from_texts(texts)
