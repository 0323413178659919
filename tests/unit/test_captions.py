"""Captions: grammar by hand, truth against scenes, determinism, vocabulary, speed of failure."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipkit.errors import ClipkitError
from clipkit.world import captions as C
from clipkit.world.alt_text import alt_text, junk
from clipkit.world.caption_parser import check, fidelity, parse
from clipkit.world.content_plan import (
    HashRandom,
    Item,
    Message,
    SceneFacts,
    Thing,
    detailed_message,
    relation_between,
    seeds_of,
    short_message,
    states,
    truths,
)
from clipkit.world.english import say_detailed, say_short
from clipkit.world.pairs import differing_words, one_word, swap
from clipkit.world.prompts import CLASS_TEMPLATES, classnames, fill
from clipkit.world.regions import BACKGROUND_STUFF, dense_regions
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Object, Scene, Scenes, relations
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURLESS_STYLES, COLOURS, STUFF, STYLES
from clipkit.world.words import SYNONYM_PLURALS, SYNONYMS, noun_phrase

TRUE = ("name", "short", "detailed", "rewrite", "synonym", "hypernym", "negation")
FALSE = ("wrong_count", "swapped", "false_negation")


ONE_WORD = ("category", "colour", "texture", "size", "count", "relation", "background")
SWAPS = ("swap_colour", "swap_texture", "swap_count", "swap_relation")


def minimal_pairs(scenes, kind: str, seed: int = 0) -> list[tuple[str, str] | None]:
    """(true, false) captions of each scene (or of one); None where the kind is impossible."""
    base, own = (states(seeds_of(scenes), name, seed) for name in ("detailed", f"pair {kind}"))
    found = []
    for truth, b, o in zip(truths(scenes), base, own, strict=True):
        message = detailed_message(truth, HashRandom(b))
        found.append(one_word(truth, message, kind, HashRandom(o)) if kind in ONE_WORD else swap(truth, kind[5:], HashRandom(o)))
    return found


def world(seed: int, n: int = 40, **spec) -> Scenes:
    return sample_scenes(WorldSpec(**{"max_objects": 5, "styles": STYLES, "textured": 0.5, "same_category": 0.3} | spec), n, seed)


def scene(*objects: Object, background: str = "snow", style: str = "flat", seed: int = 0) -> Scene:
    return Scene(tuple(objects), background, style, seed)


def cat(colour: str = "red", **more) -> Object:
    return Object("cat", colour, **more)


# ---------------------------------------------------------------- grammar, worked by hand


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, "apple", "red"), "a red apple"),
        ((1, "apple"), "an apple"),
        ((1, "umbrella", "orange"), "an orange umbrella"),
        ((1, "eggplant"), "an eggplant"),
        ((1, "hexagon"), "a hexagon"),
        ((1, "cat", "red", "striped", "small"), "a small striped red cat"),
        ((2, "cherry", "red"), "two red cherries"),
        ((3, "cactus"), "three cacti"),
        ((4, "fish", "orange"), "four orange fish"),
        ((5, "leaf"), "five leaves"),
        ((6, "bus"), "six buses"),
        ((7, "butterfly"), "seven butterflies"),
        ((8, "fir"), "eight firs"),
        ((9, "key"), "nine keys"),
        ((10, "cross"), "ten crosses"),
        ((1, "grapes", "purple"), "a bunch of purple grapes"),
        ((2, "grapes", "purple", "", "small"), "two small bunches of purple grapes"),
        ((1, "corn"), "an ear of corn"),
        ((2, "broccoli", "green"), "two heads of green broccoli"),
        ((1, "lightning", "yellow"), "a yellow lightning bolt"),
    ],
)
def test_noun_phrases(arguments, expected):
    assert noun_phrase(*arguments) == expected


def test_short_frames():
    red, two = Item(1, "cat", "red"), Item(2, "apple", "red")
    assert say_short(Message([red], frame="photo")) == "a photo of a red cat"
    assert say_short(Message([two], background="snow")) == "two red apples in the snow"
    assert say_short(Message([two, red], background="beach", frame="there")) == "there are two red apples and a red cat on a beach"
    assert say_short(Message([red], background="sea", frame="background")) == "a red cat, sea background"
    assert say_short(Message([red], style="sketch", frame="style")) == "a pencil sketch of a red cat"
    assert say_short(Message([], background="night", frame="photo")) == "a photo of a night scene"
    assert say_short(Message([], background="city", frame="there")) == "there is nothing in a city"


def test_detailed_by_hand():
    small = Item(1, "cat", "red", "striped", "small")
    message = Message([small, Item(2, "apple", "green")], relation="left of", background="beach", style="sketch")
    assert say_detailed(message) == "a small striped red cat to the left of two green apples on a beach, pencil sketch"
    message = Message([small, Item(1, "cup"), Item(1, "key"), Item(3, "fir")], relation="above", background="night", style="flat")
    assert say_detailed(message) == "a small striped red cat above a cup, with a key and three firs, at night"
    assert say_detailed(Message([small], side="top", background="room", style="flat")) == "a small striped red cat at the top, in a room"
    assert say_detailed(Message([Item(5, "cat", mixed=True)], background="sea", style="flat")) == "five cats of different sizes in the sea"


def test_detailed_tells_unequal_twins_apart():
    pair = scene(cat(texture="striped", x=0.2), cat(x=0.8))
    assert C.caption(pair, "detailed") in (
        "a striped red cat to the left of a plain red cat in the snow",
        "a plain red cat to the right of a striped red cat in the snow",
    )


@pytest.mark.parametrize("style", sorted(COLOURLESS_STYLES))
@pytest.mark.parametrize("register", ["short", "detailed", "dense", "rewrite", "synonym", "hypernym", "negation", "wrong_count", "swapped"])
def test_no_colours_where_they_cannot_be_seen(style, register):
    words = {w for c in COLOURS for w in (c, *SYNONYMS[c])}
    for text in C.caption_batch(world(3, 60, styles=(style,)), register):
        assert not words & set(re.findall("[a-z]+", text)), text


@pytest.mark.parametrize("register", C.REGISTERS)
def test_empty_scene_speaks_of_the_background(register):
    for background in BACKGROUNDS:
        for seed in range(10):
            text = C.caption(scene(background=background, seed=seed), register, seed=seed)
            assert text
            if register in ("short", "detailed", "rewrite"):
                assert background in text
                assert not parse(text).items


# ---------------------------------------------------------------- truth


@given(st.integers(0, 10_000), st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_true_registers_are_true_and_false_ones_false(world_seed, seed):
    scenes = world(world_seed, 12, max_objects=7)
    truths = list(scenes)
    for register in TRUE:
        for s, text in zip(truths, C.caption_batch(scenes, register, seed), strict=True):
            assert check(s, text).ok, (text, check(s, text))
    for register in FALSE:
        for s, text in zip(truths, C.caption_batch(scenes, register, seed), strict=True):
            assert check(s, text).false, text
    for s, text in zip(truths, C.caption_batch(scenes, "dense", seed), strict=True):
        assert not check(s, text, exact=False).false, text


PLURAL = {"cactus": "cacti", "cherry": "cherries", "leaf": "leaves", "fish": "fish", "bus": "buses", "butterfly": "butterflies"} | {
    "cross": "crosses"
}
COUNTED = [c for c in CATEGORIES if c not in ("grapes", "corn", "broccoli", "lightning")]


def test_short_numbers_against_a_second_reader():
    """A reader that shares no code with the grammar: number, optional words, colour, noun by regular expression."""
    numbers = {"a": 1, "an": 1} | {w: n for n, w in enumerate(["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 2)}
    nouns = {c: c for c in COUNTED} | {PLURAL.get(c, c + "s"): c for c in COUNTED}
    pattern = re.compile(rf"\b({'|'.join(numbers)}) (?:(?:striped|dotted|checkered) )?({'|'.join(COLOURS)}) ({'|'.join(nouns)})\b")
    scenes, seen = world(11, 1500, max_objects=10, same_category=0.6, categories=tuple(COUNTED)), 0
    for s, text in zip(scenes, C.caption_batch(scenes, "short"), strict=True):
        for number, colour, noun in pattern.findall(text):
            seen += 1
            assert sum((o.colour, o.category) == (colour, nouns[noun]) for o in s.objects) == numbers[number], text
    assert seen > 700


def test_relations_agree_with_the_scene():
    for s in world(5, 300, min_objects=2, max_objects=4):
        stated = {(i, j): r for i, r, j in relations(s)}
        things = [Thing(o.category, o.colour, o.texture, o.size, o.x, o.y) for o in s.objects]
        for i in range(len(things)):
            for j in range(i + 1, len(things)):
                assert relation_between([things[i]], [things[j]]) == stated.get((i, j), "")


def test_detailed_mentions_every_object_and_the_place():
    scenes = world(6, 200, max_objects=4, same_category=0.0)
    for s, text in zip(scenes, C.caption_batch(scenes, "detailed"), strict=True):
        assert fidelity(s, text) == {"precision": 1.0, "recall": 1.0}, text
    other = C.caption_batch(scenes, "detailed")
    assert np.mean([fidelity(s, t)["precision"] for s, t in zip(scenes, other[1:] + other[:1], strict=True)]) < 0.2


def test_negation_denies_what_is_absent_and_hits_both_sides():
    scenes = world(8, 300)
    for s, text in zip(scenes, C.caption_batch(scenes, "negation"), strict=True):
        denied = [i for i in parse(text).items if i.denied]
        assert denied or " not " in text
        assert all(o.category != i.noun for i in denied for o in s.objects)
    patterns = {re.sub(r"^(a photo|a picture|an image)", "X", t).split()[1] for t in C.caption_batch(scenes, "negation")}
    assert len(patterns) > 4


def test_wrong_count_is_the_short_caption_with_one_number_changed():
    scenes = world(9, 200)
    for a, b in zip(C.caption_batch(scenes, "short"), C.caption_batch(scenes, "wrong_count"), strict=True):
        counts = [[i.count for i in parse(t).items] for t in (a, b)]
        assert sum(x != y for x, y in zip(*counts, strict=True)) == 1


# ---------------------------------------------------------------- minimal pairs


@pytest.mark.parametrize("kind", ONE_WORD + SWAPS)
def test_minimal_pairs(kind):
    scenes = world(10, 400, min_objects=2, styles=("flat", "blueprint"))
    found = [(s, p) for s, p in zip(scenes, minimal_pairs(scenes, kind), strict=True) if p]
    assert len(found) > 15
    for s, (true, false) in found:
        assert check(s, true).ok, true
        assert check(s, false).false, false
        if kind in ONE_WORD:
            assert differing_words(true, false) == 1
        elif kind != "swap_count":
            assert sorted(re.sub(r"\ban\b", "a", true).split()) == sorted(re.sub(r"\ban\b", "a", false).split())


def test_swap_by_hand():
    s = scene(cat("red", x=0.2), Object("dog", "blue", x=0.8))
    pairs = {minimal_pairs(s, "swap_colour", k)[0] for k in range(30)}
    assert ("a red cat and a blue dog", "a blue cat and a red dog") in pairs
    assert ("a red cat to the left of a blue dog", "a blue dog to the left of a red cat") in {
        minimal_pairs(s, "swap_relation", k)[0] for k in range(30)
    }
    assert minimal_pairs(scene(cat()), "swap_colour") == [None]


def test_swapped_colours_stay_false_when_both_colourings_are_there():
    four = scene(cat("red", x=0.2), cat("blue", x=0.4), Object("dog", "red", x=0.6), Object("dog", "blue", x=0.8))
    for k in range(20):
        pair = minimal_pairs(four, "swap_colour", k)[0]
        assert pair is None or check(four, pair[1]).false
        assert check(four, C.caption(four, "swapped", seed=k)).false


# ---------------------------------------------------------------- determinism, batches, vocabulary


def test_batch_equals_one_by_one_and_is_a_prefix():
    scenes = world(1, 30)
    for register in C.REGISTERS:
        batch = C.caption_batch(scenes, register, seed=4)
        assert batch == [C.caption(s, register, seed=4) for s in scenes]
        assert batch[:7] == C.caption_batch(scenes[:7], register, seed=4)
        assert batch == C.caption_batch(scenes, register, seed=4)


def test_seed_and_register_change_the_text():
    scenes = world(2, 200)
    assert C.caption_batch(scenes, "short", 0) != C.caption_batch(scenes, "short", 1)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global generator is left alone
    C.caption_batch(scenes, "alt_text")
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_golden_captions_are_the_same_on_every_machine():
    s = scene(cat("red", size="small", x=0.2, y=0.4), Object("apple", "green", x=0.8, y=0.5), background="beach", seed=7)
    assert {r: C.caption(s, r, seed=1) for r in ("short", "detailed", "hypernym")} == GOLDEN


GOLDEN = {
    "short": "a green apple and a red cat on a beach",
    "detailed": "a green apple to the right of a small red cat on a beach",
    "hypernym": "a picture of a red thing and a green thing on a beach",
}


def test_mixture_follows_its_weights():
    scenes = world(4, 3000, min_objects=1, max_objects=1)
    texts = C.caption_batch(scenes, {"name": 3, "detailed": 1}, seed=2)
    names = np.mean([t in CATEGORIES for t in texts])
    assert abs(names - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 3000)
    assert C.caption_batch(scenes, {"name": 0, "short": 2.0}) == C.caption_batch(scenes, "short")


def test_synonyms_occur_in_the_synonym_register_only():
    words = {w for many in SYNONYMS.values() for w in many}
    words |= {SYNONYM_PLURALS.get(w, w + "s") for w in words}
    plain = {w for c in (*CATEGORIES, *COLOURS) for w in (c, noun_phrase(2, c, lead="") if c in CATEGORIES else c)}
    assert not words & plain
    scenes = world(12, 1500)
    for register in C.REGISTERS:
        used = {w for t in C.caption_batch(scenes, register) for w in re.findall("[a-z]+", t.lower())}
        if register == "synonym":
            assert len(used & words) > 150 and not used & (set(CATEGORIES) | set(COLOURS) | set(BACKGROUNDS))
        else:
            assert not used & words, (register, used & words)
    assert all(len(v) >= 2 for v in SYNONYMS.values())


@pytest.mark.parametrize("register", C.REGISTERS)
def test_spacing_and_case(register):
    for text in C.caption_batch(world(13, 600), register):
        assert text == text.strip() and "  " not in text and " ," not in text
        if register != "alt_text":
            assert text == text.lower()


def test_rewrites_have_many_shapes_and_the_same_facts():
    one = [C.caption(scene(cat(x=0.5), seed=k), "rewrite") for k in range(400)]
    assert len(set(one)) == 8
    assert all({"red", "snow"} <= set(re.findall("[a-z]+", t)) and "cat" in t for t in one)


def test_alt_text_noise():
    truth = SceneFacts([Thing("cat", "red", "plain", "medium", 0.5, 0.5)], "snow", "flat")
    texts = {noise: [alt_text(truth, HashRandom(k), noise) for k in states(np.arange(2000), "t", 0)] for noise in (0.0, 0.3, 1.0)}
    names = {noise: np.mean(["cat" in t.lower() for t in many]) for noise, many in texts.items()}
    assert names[0.0] == 1.0 and names[1.0] == 0.0 and abs(names[0.3] - 0.7) < 0.06
    assert len(set(texts[0.0])) > 300
    assert any(t.endswith(".jpg") for t in texts[0.0]) and any(t.startswith("#") for t in texts[0.0])
    assert not any(re.search(rf"\b({'|'.join(CATEGORIES)})\b", junk(HashRandom(k)).lower()) for k in range(2000))


def test_noise_replaces_other_registers_by_junk():
    scenes = world(14, 1000, min_objects=1)
    plain, noisy = C.caption_batch(scenes, "detailed"), C.caption_batch(scenes, "detailed", noise=0.4)
    assert abs(np.mean([a != b for a, b in zip(plain, noisy, strict=True)]) - 0.4) < 0.07
    assert C.caption_batch(scenes, "detailed", noise=0.0) == plain


# ---------------------------------------------------------------- regions, prompts, failures


def test_dense_regions_match_scene_and_stuff():
    s = scene(cat(texture="striped", x=0.3, y=0.4, scale=0.2), Object("dog", "blue", x=0.7, y=0.6))
    stuff = np.zeros((10, 10), np.uint8)
    stuff[6:] = STUFF.index("snowfield")
    regions = dense_regions(s, stuff)
    assert [r.phrase for r in regions] == ["a striped red cat", "a blue dog", "sky", "snowfield"]
    np.testing.assert_allclose(regions[0].box, (0.2, 0.3, 0.4, 0.5), atol=1e-6)
    assert regions[3].box == (0.0, 0.6, 1.0, 1.0)


def test_dense_regions_of_a_rendered_scene_name_the_stuff_of_its_background():
    for background in BACKGROUNDS:
        names = [r.phrase for r in dense_regions(scene(background=background))]
        assert set(names) == set(BACKGROUND_STUFF[background])


def test_prompts():
    assert classnames("category") == list(CATEGORIES) and classnames("colour") == list(COLOURS)
    assert classnames("count")[0] == "a thing" and classnames("count")[9] == "ten things"
    assert len(classnames("superclass")) == 8 and len(classnames("style")) == len(STYLES)
    assert len(CLASS_TEMPLATES["category"]) == 12
    assert fill("a photo of a {}", "umbrella") == "a photo of an umbrella"
    assert fill("an image of the {}", "cat") == "an image of the cat"
    for factor, templates in CLASS_TEMPLATES.items():
        assert all(t.count("{}") == 1 for t in templates) and len(set(classnames(factor))) == len(classnames(factor))


def test_prompt_words_occur_in_captions():
    """A model trained on the usual registers has seen every word of every prompt."""
    scenes = world(15, 4000, max_objects=10)
    seen = {
        w
        for r in ("name", "short", "detailed", "rewrite", "hypernym")
        for t in C.caption_batch(scenes, r)
        for w in t.replace(",", "").split()
    }
    for factor, templates in CLASS_TEMPLATES.items():
        for template in templates:
            words = {w for name in classnames(factor) for w in fill(template, name).replace(",", "").split()}
            assert words <= seen, (factor, template, words - seen)


def test_bad_input():
    s = scene(cat())
    with pytest.raises(ClipkitError, match="did you mean 'short'"):
        C.caption(s, "shart")
    with pytest.raises(ClipkitError, match="caption language 'xx'"):
        C.caption(s, "short", language="xx")
    with pytest.raises(ClipkitError, match="English only"):
        C.caption(s, "rewrite", language="de")
    with pytest.raises(ClipkitError, match="register weights"):
        C.caption_batch(s, {"short": 0})
    with pytest.raises(ClipkitError, match="factor"):
        classnames("weight")


def test_short_message_keeps_to_three_kinds():
    truth = SceneFacts([Thing(c, "red", "plain", "medium", 0.5, 0.5) for c in CATEGORIES[:9]], "sea", "flat")
    assert {len(short_message(truth, HashRandom(k)).items) for k in states(np.arange(200), "t", 0)} == {1, 2, 3}
