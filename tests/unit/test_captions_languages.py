"""Captions in ten languages: gender, number and agreement worked by hand; tables complete; same facts everywhere."""

from __future__ import annotations

import re

import pytest

from clipkit.errors import ClipkitError
from clipkit.world.captions import caption, caption_batch
from clipkit.world.content_plan import Item, Message
from clipkit.world.languages import LANGUAGES, foreign_name, say_foreign, tables
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Object, Scene
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import BACKGROUNDS, CATEGORIES, COLOURS, SIZES, STYLES, TEXTURES

PHRASES = [
    ("de", (1, "apple", "red"), "ein roter Apfel"),
    ("de", (2, "apple", "red"), "zwei rote Äpfel"),
    ("de", (1, "cat", "black", "striped", "small"), "eine kleine gestreifte schwarze Katze"),
    ("de", (1, "car", "green", "", "large"), "ein großes grünes Auto"),
    ("de", (3, "flower", "pink"), "drei rosa Blumen"),
    ("de", (10, "cactus", "orange"), "zehn orangefarbene Kakteen"),
    ("de", (1, "heart", "pink"), "ein rosa Herz"),
    ("nl", (1, "airplane", "red"), "een rood vliegtuig"),
    ("nl", (2, "airplane", "red"), "twee rode vliegtuigen"),
    ("nl", (1, "apple", "yellow"), "een gele appel"),
    ("nl", (1, "leaf", "white", "", "small"), "een klein wit blad"),
    ("nl", (4, "umbrella", "purple"), "vier paarse paraplu's"),
    ("nl", (1, "heart", "", "striped"), "een gestreept hart"),
    ("fr", (1, "apple", "red"), "une pomme rouge"),
    ("fr", (2, "car", "white"), "deux voitures blanches"),
    ("fr", (1, "boat", "green", "", "small"), "un petit bateau vert"),
    ("fr", (3, "airplane", "brown"), "trois avions marron"),
    ("fr", (5, "star", "blue", "", "large"), "cinq grandes étoiles bleues"),
    ("fr", (1, "cross", "purple", "striped"), "une croix violette rayée"),
    ("fr", (2, "bird", "black"), "deux oiseaux noirs"),
    ("es", (1, "apple", "red"), "una manzana roja"),
    ("es", (2, "fish", "blue"), "dos peces azules"),
    ("es", (1, "umbrella", "yellow"), "un paraguas amarillo"),
    ("es", (3, "flower", "pink"), "tres flores rosa"),
    ("es", (1, "bus", "red", "", "large"), "un gran autobús rojo"),
    ("es", (4, "chair", "brown", "", "small"), "cuatro pequeñas sillas marrones"),
    ("it", (1, "apple", "red"), "una mela rossa"),
    ("it", (1, "watermelon", "green"), "un'anguria verde"),
    ("it", (1, "watermelon", "green", "", "small"), "una piccola anguria verde"),
    ("it", (2, "cat", "white"), "due gatti bianchi"),
    ("it", (3, "clock", "blue"), "tre orologi blu"),
    ("it", (2, "cup", "orange", "", "large"), "due grandi tazze arancioni"),
    ("pt", (1, "apple", "red"), "uma maçã vermelha"),
    ("pt", (2, "apple", "yellow"), "duas maçãs amarelas"),
    ("pt", (2, "cat", "black"), "dois gatos pretos"),
    ("pt", (3, "airplane", "blue"), "três aviões azuis"),
    ("pt", (5, "heart", "brown"), "cinco corações marrons"),
    ("pt", (1, "bird", "white", "striped", "small"), "um pequeno pássaro branco listrado"),
    ("ru", (1, "apple", "red"), "красное яблоко"),
    ("ru", (2, "apple", "green"), "два зелёных яблока"),
    ("ru", (2, "cat", "black"), "две чёрные кошки"),
    ("ru", (5, "cat", "black"), "пять чёрных кошек"),
    ("ru", (4, "chair", "blue"), "четыре синих стула"),
    ("ru", (7, "leaf", "yellow", "", "large"), "семь больших жёлтых листьев"),
    ("ru", (1, "car", "white", "dotted"), "белая машина в горошек"),
    ("zh", (1, "cat", "red"), "一只红色的猫"),
    ("zh", (2, "apple", "green"), "两个绿色的苹果"),
    ("zh", (3, "car"), "三辆汽车"),
    ("zh", (1, "cat", "black", "striped", "small"), "一只带条纹的黑色的小猫"),
    ("zh", (10, "leaf", "yellow"), "十片黄色的叶子"),
    ("ja", (1, "cat", "red"), "一匹の赤い猫"),
    ("ja", (3, "bird", "white"), "三羽の白い鳥"),
    ("ja", (2, "apple", "green"), "二個の緑のりんご"),
    ("ja", (1, "umbrella", "yellow", "", "large"), "一本の大きな黄色い傘"),
    ("ja", (4, "car", "blue"), "四台の青い車"),
]

SENTENCES = [
    ("de", Message([Item(2, "apple", "red")], background="snow"), False, "zwei rote Äpfel im Schnee"),
    (
        "de",
        Message([Item(1, "cat"), Item(1, "dog")], background="night", frame="there"),
        False,
        "hier sind eine Katze und ein Hund bei Nacht",
    ),
    ("fr", Message([Item(1, "apple", "red")], background="snow"), False, "une pomme rouge dans la neige"),
    (
        "fr",
        Message([Item(1, "star"), Item(2, "apple", "red")], background="beach", frame="photo"),
        False,
        "une photo d'une étoile et de deux pommes rouges sur une plage",
    ),
    ("fr", Message([], background="desert", frame="photo"), False, "une photo du désert"),
    ("it", Message([Item(1, "cat"), Item(1, "key")], background="sea", frame="there"), False, "ci sono un gatto e una chiave nel mare"),
    ("it", Message([], background="night", frame="photo"), False, "una foto della notte"),
    ("es", Message([], background="sea", frame="picture"), False, "una foto del mar"),
    ("pt", Message([], background="snow", frame="image"), False, "uma foto da neve"),
    ("nl", Message([Item(1, "fish", "orange")], background="night", frame="photo"), False, "een foto van een oranje vis 's nachts"),
    ("ru", Message([Item(1, "boat", "blue")], background="sea", frame="photo"), False, "на фото синяя лодка в море"),
    ("zh", Message([Item(1, "cat", "red")], background="snow", frame="there"), False, "雪地里有一只红色的猫"),
    ("ja", Message([Item(1, "cat", "red")], background="snow", frame="photo"), False, "雪の中の一匹の赤い猫の写真"),
    (
        "de",
        Message([Item(1, "cat"), Item(1, "dog"), Item(2, "cup")], relation="right of", background="city", style="sketch"),
        True,
        "rechts eine Katze, links ein Hund, dazu zwei Tassen, in einer Stadt, Bleistiftzeichnung",
    ),
    (
        "fr",
        Message([Item(1, "cat"), Item(1, "key")], relation="above", background="room", style="flat"),
        True,
        "en haut un chat, en bas une clé, dans une pièce",
    ),
    (
        "zh",
        Message([Item(1, "cat"), Item(1, "dog")], relation="left of", background="beach", style="flat"),
        True,
        "沙滩上，左边是一只猫，右边是一只狗",
    ),
    (
        "ru",
        Message([Item(5, "cat", mixed=True)], background="meadow", style="flat"),
        True,
        "пять кошек разного размера на лугу",
    ),
    (
        "ja",
        Message([Item(1, "cat", size="small")], side="left", background="room", style="pixel"),
        True,
        "部屋の一匹の小さな猫、左側、ピクセルアート",
    ),
]


@pytest.mark.parametrize(("language", "item", "expected"), PHRASES)
def test_phrases_by_hand(language, item, expected):
    assert say_foreign(Message([Item(*item)]), language, detailed=False) == expected


@pytest.mark.parametrize(("language", "message", "detailed", "expected"), SENTENCES)
def test_sentences_by_hand(language, message, detailed, expected):
    assert say_foreign(message, language, detailed) == expected


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_tables_are_complete_and_unambiguous(language):
    t = tables(language)
    assert list(t.nouns) == list(CATEGORIES) and list(t.adjectives) == [*COLOURS, *TEXTURES, *SIZES] and list(t.places) == list(BACKGROUNDS)
    forms = {"ru": 4, "zh": 2, "ja": 2}.get(language, 3)
    assert all(len(entry) == forms for entry in t.nouns.values())
    assert len({foreign_name(c, language) for c in CATEGORIES}) == len(CATEGORIES)
    assert len({e[0] for e in t.adjectives.values()}) == len(t.adjectives) and len(set(t.places.values())) == len(BACKGROUNDS)
    if language in ("fr", "es", "it", "pt"):
        assert {e[0] for e in t.nouns.values()} == {"m", "f"} and {len(e) for e in t.adjectives.values()} <= {1, 2, 4}


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_every_phrase_can_be_said_and_numbers_differ(language):
    for category in CATEGORIES:
        said = [say_foreign(Message([Item(n, category, "red", "striped", "small")]), language, False) for n in range(1, 11)]
        assert len(set(said)) == 10 and not any("  " in s or "+" in s or "_" in s for s in said)


def test_articles_agree_with_gender_in_every_language():
    articles = {
        "de": {"m": "ein ", "f": "eine ", "n": "ein "},
        "fr": {"m": "un ", "f": "une "},
        "es": {"m": "un ", "f": "una "},
        "pt": {"m": "um ", "f": "uma "},
        "it": {"m": "un ", "f": "una "},
    }
    for language, by_gender in articles.items():
        for category, (gender, *_) in tables(language).nouns.items():
            text = say_foreign(Message([Item(1, category, size="small")]), language, False)
            assert text.startswith(by_gender[gender]), text


def test_same_seed_says_the_same_facts_in_every_language():
    scenes = sample_scenes(WorldSpec(max_objects=3, textured=0.5), 200, 0)
    red = {
        "en": r"\bred\b",
        "de": r"\brot",
        "fr": "rouge",
        "es": r"\broj",
        "it": "ross",
        "pt": "vermelh",
        "nl": r"\brode?\b|\brood\b",
        "ru": "красн",
    }
    red |= {"zh": "红色", "ja": "赤い"}
    for register in ("short", "detailed"):
        says = {lang: [bool(re.search(word, t)) for t in caption_batch(scenes, register, language=lang)] for lang, word in red.items()}
        for language in LANGUAGES:
            assert says[language] == says["en"], language


@pytest.mark.parametrize("language", LANGUAGES)
def test_batches_are_clean_and_distinct(language):
    scenes = sample_scenes(WorldSpec(min_objects=0, max_objects=4, styles=STYLES, textured=0.5), 400, 1)
    for register in ("name", "short", "detailed"):
        texts = caption_batch(scenes, register, language=language)
        assert texts == caption_batch(scenes, register, language=language)
        assert all(t and t == t.strip() and "  " not in t and "_" not in t and "+" not in t for t in texts)
    assert len(set(texts)) > 330  # detailed


def test_languages_do_not_mix():
    scenes = sample_scenes(WorldSpec(), 300, 2)
    for language in ("zh", "ja", "ru"):
        text = "".join(caption_batch(scenes, "detailed", language=language))
        assert not re.search("[A-Za-z]", text)


def test_bad_input():
    scene = Scene((Object("cat", "red"),))
    with pytest.raises(ClipkitError, match="language"):
        caption(scene, "short", language="klingon")
