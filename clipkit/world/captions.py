"""Captions of a scene at several registers, all from the same truth.

Every text depends on (scene, register, seed, language) only. English is all lower case but for alt-text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clipkit.errors import ClipkitError, unknown
from clipkit.world import caption_negatives as foils
from clipkit.world import pairs
from clipkit.world.alt_text import alt_text, junk
from clipkit.world.content_plan import (
    HashRandom,
    Item,
    Message,
    SceneFacts,
    detailed_message,
    full_items,
    seeds_of,
    short_message,
    states,
    truths,
)
from clipkit.world.english import be, phrase, say_detailed, say_short
from clipkit.world.languages import LANGUAGES, foreign_name, say_foreign
from clipkit.world.regions import dense_text
from clipkit.world.taxonomy import HYPERNYMS
from clipkit.world.words import PLACES, SCENES, SYNONYM_PLACES, SYNONYMS, hypernym_phrase, join, noun_phrase, synonym_phrase

Speaker = Callable[[SceneFacts, HashRandom], str]


def _name(truth: SceneFacts, draw: HashRandom) -> str:
    return draw.pick(truth.things).category if truth.things else truth.background


def _short(truth: SceneFacts, draw: HashRandom) -> str:
    return say_short(short_message(truth, draw))


def _detailed(truth: SceneFacts, draw: HashRandom) -> str:
    return say_detailed(detailed_message(truth, draw))


def _rewrite(truth: SceneFacts, draw: HashRandom) -> str:
    """The same facts in other sentences: patterns that put place, things and colour in different order."""
    place, background = PLACES[truth.background], truth.background
    if not truth.things:
        scene = SCENES[background]
        return draw.pick((f"nothing can be seen {place}", f"this picture shows {scene}", f"a {background} scene with nothing in it"))
    items = draw.shuffled(full_items(truth))[:4]
    first, pattern = items[0], draw(9)
    if len(items) == 1 and pattern < 3 and first.colour:
        bare = first._replace(colour="", mixed=False)
        if pattern == 0:
            return f"{noun_phrase(bare.count, bare.category, '', bare.texture, bare.size, lead='the')} {place} {be(first)} {first.colour}"
        tail = {1: f"and it is {first.colour}", 2: f"both {first.colour}"}.get(first.count, f"all {first.colour}")
        return f"{phrase(bare)} {place}, {tail}"
    things = join([_pair(i) if draw(3) == 0 else phrase(i) for i in items])
    return (
        f"{place} there {be(first)} {things}",
        f"you can see {things} {place}",
        f"this picture shows {things} {place}",
        f"a {background} scene with {things}",
        f"here {be(first)} {things}, shown {place}",
        f"look, {things} {place}",
        f"against a {background} background {be(first)} {things}",
        f"{things}: that is what we see {place}",
        f"the {background} background is behind {things}",
    )[pattern]


def _pair(item: Item) -> str:
    if item.count != 2 or item.mixed:
        return phrase(item)
    return "a pair of " + noun_phrase(2, item.category, item.colour, item.texture, item.size, lead="")


def _synonym(truth: SceneFacts, draw: HashRandom) -> str:
    """A short caption in words that no other register uses: "a photo of a crimson kitten in the ocean"."""
    message = short_message(truth, draw)
    place = SYNONYM_PLACES[truth.background].format(draw.pick(SYNONYMS[truth.background]))
    if not message.items:
        return f"nothing {place}"
    phrases = []
    for item in message.items:
        adjectives = " ".join(draw.pick(SYNONYMS[word]) for word in (item.texture, item.colour) if word)
        phrases.append(synonym_phrase(item.count, draw.pick(SYNONYMS[item.category]), adjectives))
    body = f"{join(phrases)} {place}" if message.background else join(phrases)
    return draw.pick(("", "", "a photo of ", "a picture of ")) + body


def _hypernym(truth: SceneFacts, draw: HashRandom) -> str:
    """Things by the name of their kind: "a red animal in the snow"; sometimes one or two steps higher: "two living things"."""
    frame, place, level, with_colour = draw(4), draw(8) < 5, draw(8), draw(4) > 0
    if not truth.things:
        return f"nothing {PLACES[truth.background]}"
    found: dict[tuple[str, str], int] = {}
    for t in truth.things:
        kind = HYPERNYMS[t.category]
        if level > 4:
            kind = HYPERNYMS[kind] if level == 5 else "thing"
        key = (kind, t.colour if with_colour and truth.coloured else "")
        found[key] = found.get(key, 0) + 1
    counts = draw.shuffled(found.items())[:3]
    body = join(hypernym_phrase(n, kind, colour) for (kind, colour), n in counts)
    if place:
        body = f"{body} {PLACES[truth.background]}"
    return ("", "a photo of ", "a picture of ", f"there {'is' if counts[0][1] == 1 else 'are'} ")[frame] + body


def _wrong_count(truth: SceneFacts, draw: HashRandom) -> str:
    message = short_message(truth, draw)
    if not message.items:  # nothing to miscount: two things that are not there
        return f"{noun_phrase(2, foils.absent_category(truth, draw))} {PLACES[truth.background]}"
    return say_short(foils.wrong_count(message, draw))


_ENGLISH: dict[str, Speaker] = {
    "name": _name,
    "short": _short,
    "detailed": _detailed,
    "dense": dense_text,
    "alt_text": alt_text,
    "rewrite": _rewrite,
    "synonym": _synonym,
    "hypernym": _hypernym,
    "negation": foils.negation,
    "false_negation": foils.false_negation,
    "wrong_count": _wrong_count,
    "swapped": pairs.swapped,
}
REGISTERS: tuple[str, ...] = tuple(_ENGLISH)
# Registers of every language, and what makes the message of each.
_MESSAGES: dict[str, Callable[[SceneFacts, HashRandom], Message]] = {"short": short_message, "detailed": detailed_message}
# wrong_count is the short caption of the same seed with one number changed, so it draws the same facts.
_STREAM = {"wrong_count": "short"}
_MASK = 0x5851F42D4C957F2D


def _speaker(register: str, language: str, noise: float | None) -> Speaker:
    if register not in _ENGLISH:
        raise unknown("caption register", register, REGISTERS)
    if language not in LANGUAGES:
        raise unknown("caption language", language, LANGUAGES)
    if language == "en":
        speak = _ENGLISH[register]
        if noise is None:
            return speak
        if register == "alt_text":
            return lambda truth, draw: alt_text(truth, draw, noise)
        return lambda truth, draw: _maybe_junk(speak, truth, draw, noise)
    if register == "name":
        return lambda truth, draw: foreign_name(_name(truth, draw), language)
    if register not in _MESSAGES:
        raise ClipkitError(
            f"the {register!r} register exists in English only; in language {language!r} use one of: name, {', '.join(_MESSAGES)}"
        )
    return lambda truth, draw: say_foreign(_MESSAGES[register](truth, draw), language, register == "detailed")


def _maybe_junk(speak: Speaker, truth: SceneFacts, draw: HashRandom, noise: float) -> str:
    coin = HashRandom(draw.state ^ _MASK)  # a stream of its own: captions that stay are the ones that no noise gives
    return junk(coin) if coin(1000) < 1000 * noise else speak(truth, draw)


def caption_batch(
    scenes, register: str | Mapping[str, float] = "short", seed: int = 0, language: str = "en", noise: float | None = None
) -> list[str]:
    """One caption for each of `scenes`.

    Args:
        scenes: Scenes (N of them) or a single Scene.
        register: one of REGISTERS, or register -> probability (each scene draws its own; weights need not sum to 1).
        seed: another seed gives other wordings and another choice of facts.
        language: one of LANGUAGES; the same seed says the same facts in each. Other than English: name, short, detailed.
        noise: probability that the text has nothing to do with the picture (English). Default: 0.3 for alt_text, else 0.

    Returns: N texts.
    Raises: ClipkitError for an unknown register or language, and for weights that are negative or all zero.
    """
    seeds = seeds_of(scenes)
    if isinstance(register, str):
        speak = _speaker(register, language, noise)
        streams = states(seeds, _STREAM.get(register, register), seed)
        return [speak(truth, HashRandom(state)) for truth, state in zip(truths(scenes), streams, strict=True)]
    names, total = list(register), float(sum(register.values()))
    if total <= 0 or min(register.values()) < 0:
        raise ClipkitError(f"register weights must be non-negative and not all zero, got {dict(register)}")
    speakers = [_speaker(name, language, noise) for name in names]
    columns = [states(seeds, _STREAM.get(name, name), seed) for name in names]
    texts = []
    for row, (truth, state) in enumerate(zip(truths(scenes), states(seeds, "which register", seed), strict=True)):
        left, chosen = state / 2.0**64 * total, 0
        while chosen < len(names) - 1 and left >= register[names[chosen]]:
            left -= register[names[chosen]]
            chosen += 1
        texts.append(speakers[chosen](truth, HashRandom(columns[chosen][row])))
    return texts


def caption(scene, register: str = "short", seed: int = 0, language: str = "en", noise: float | None = None) -> str:
    """The caption of one Scene; the same text as `caption_batch` gives it. Arguments and errors as there."""
    return caption_batch(scene, register, seed, language, noise)[0]
