"""Questions, atomic facts, graded texts and the reader that checks them."""

from __future__ import annotations

from collections import Counter

import pytest

from clipkit.errors import ClipkitError
from clipkit.world.caption_parser import check, fidelity, parse
from clipkit.world.content_plan import truths
from clipkit.world.propositions import entities, facts, graded, true_facts
from clipkit.world.question_answers import QUESTION_KINDS, YES_NO, Question, batch_questions, figure_question, questions
from clipkit.world.sample import sample_scenes
from clipkit.world.scene import Object, Scene
from clipkit.world.spec import WorldSpec
from clipkit.world.taxonomy import COLOURLESS_STYLES, COLOURS, STYLES
from clipkit.world.words import NUMBERS

ONE = Scene((Object("cat", "red", x=0.2, y=0.5, size="small", texture="striped"), Object("dog", "blue", x=0.8, y=0.5)), "snow", seed=3)


def world(seed=0, n=400, **spec):
    return sample_scenes(WorldSpec(**{"min_objects": 0, "max_objects": 4, "styles": STYLES, "same_category": 0.2} | spec), n, seed)


def ask(kind: str, scene=ONE, n: int = 60) -> set[tuple[str, str]]:
    return {(q.text, q.answer) for seed in range(n) for q in questions(scene, seed, (kind,))}


def test_questions_by_hand():
    assert {("is there a cat?", "yes"), ("is there a dog?", "yes")} <= ask("existence")
    assert ask("colour") == {("what colour is the cat?", "red"), ("what colour is the dog?", "blue")}
    assert ask("count") == {("how many cats are there?", "one"), ("how many dogs are there?", "one")}
    assert ask("relation") == {
        ("is the cat to the left of the dog?", "yes"),
        ("is the cat to the right of the dog?", "no"),
        ("is the dog to the right of the cat?", "yes"),
        ("is the dog to the left of the cat?", "no"),
    }
    assert ask("background") == {("where is this?", "snow")}
    assert ask("comparison") == set()
    assert {("is the cat striped?", "yes"), ("is the dog red?", "no")} <= ask("attribute", n=300)
    assert {("is this in the snow?", "yes"), ("is this at night?", "no")} <= ask("place", n=200)
    assert ("is it true that the cat is small?", "yes") in ask("statement", n=200)
    assert (figure_question("a red cat and a blue dog"), "yes") in ask("figure", n=300)


def test_comparison_by_hand():
    three = Scene((Object("corn", "red"), Object("corn", "red"), Object("key", "blue")), "sea")
    assert ask("comparison", three) == {("are there more ears of corn than keys?", "yes"), ("are there more keys than ears of corn?", "no")}


def test_answers_are_of_their_kind_and_balanced():
    rows = batch_questions(world(n=3000))
    counts = Counter((q.kind, q.answer) for row in rows for q in row if q.kind in YES_NO)
    for kind in YES_NO - {"comparison"}:
        yes, no = counts[kind, "yes"], counts[kind, "no"]
        bound = 0.5 if kind != "existence" else 0.375  # a quarter of these scenes or fewer is empty: nothing is there
        assert yes / (yes + no) > bound - 0.05 and abs(yes + no) > 500, kind
        assert yes / (yes + no) < 0.55, kind
    for row in rows:
        for q in row:
            allowed = {"colour": COLOURS, "count": NUMBERS[1:], "background": None}.get(q.kind, ("yes", "no"))
            assert allowed is None or q.answer in allowed
    assert {q.kind for row in rows for q in row} == set(QUESTION_KINDS)


def test_answers_are_true():
    scenes = world(1, 600)
    for scene, truth, row in zip(scenes, truths(scenes), batch_questions(scenes, seed=2), strict=True):
        counts = Counter(o.category for o in scene.objects)
        for q in row:
            if q.kind == "figure":
                text = q.text.split('"')[1]
                assert check(scene, text).ok == (q.answer == "yes"), text
            elif q.kind == "existence":
                noun = parse(q.text).items[0].noun
                assert (counts[noun] > 0) == (q.answer == "yes")
            elif q.kind == "count":
                assert counts[parse(q.text).items[0].noun] == NUMBERS.index(q.answer)
            elif q.kind == "colour":
                assert q.answer in {o.colour for o in scene.objects} and scene.style not in COLOURLESS_STYLES
            elif q.kind == "statement":
                stated = q.text.removeprefix("is it true that ").removesuffix("?")
                assert (stated in {f.text for f in true_facts(truth)}) == (q.answer == "yes")


def test_questions_are_deterministic_and_batch_equals_single():
    scenes = world(3, 40)
    assert batch_questions(scenes, 5) == [questions(s, 5) for s in scenes]
    assert batch_questions(scenes, 5) != batch_questions(scenes, 6)
    assert isinstance(batch_questions(scenes)[0][0], Question)
    with pytest.raises(ClipkitError, match="kind of question"):
        questions(ONE, kinds=("colours",))


def test_text_alone_does_not_answer_figure_questions():
    """The words of true and of false figure questions are drawn alike: no word gives more than a slight edge."""
    rows = [q for row in batch_questions(world(4, 4000, min_objects=2, styles=("flat",)), kinds=("figure",)) for q in row]
    share = Counter(), Counter()
    for q in rows:
        for word in set(q.text.split()):
            share[q.answer == "yes"][word] += 1
    for word in set(share[0]) | set(share[1]):
        n = share[0][word] + share[1][word]
        if n > 200:
            assert abs(share[1][word] / n - 0.5) < 0.13, word


# ---------------------------------------------------------------- facts


def test_facts_by_hand():
    assert [f.text for f in facts(ONE)] == [
        "there is a cat",
        "the cat is red",
        "the cat is striped",
        "the cat is small",
        "there is a dog",
        "the dog is blue",
        "the dog is plain",
        "the dog is medium",
        "the cat is to the left of the dog",
        "the scene is in the snow",
    ]
    two = Scene((Object("corn", "red"), Object("corn", "blue")), "night", "blueprint")
    assert [f.text for f in facts(two)] == ["there are two ears of corn", "the scene is at night"]


def test_graded_states_what_it_promises():
    for scene in world(5, 60, min_objects=2):
        true = {f.text for f in facts(scene)}
        text = graded(scene, 2, 1, seed=1)
        assert sum(f.holds for f in text.facts) == 2 and text.score == pytest.approx(2 / 3)
        assert all((f.text in true) == f.holds for f in text.facts)
        assert all(f.text in text.text for f in text.facts)
    assert graded(ONE, 3, 0) == graded(ONE, 3, 0)
    assert {graded(ONE, 1, 0, seed=s).text for s in range(40)} > {graded(ONE, 1, 0).text}
    with pytest.raises(ClipkitError, match="statements to choose from"):
        graded(ONE, 99, 0)
    with pytest.raises(ClipkitError, match="at least one"):
        graded(ONE, 0, 0)


def test_entities_by_hand():
    assert entities(Scene((Object("cat", "red"), Object("key", "blue"), Object("cat", "pink")), "snow")) == ["cat", "key", "snow"]
    assert entities(Scene((), "sea")) == ["sea"]


# ---------------------------------------------------------------- the reader


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        ("a red cat in the snow", 2, 0),
        ("a blue cat in the snow", 1, 1),
        ("two cats", 0, 1),
        ("a crimson kitten", 1, 0),
        ("an animal", 0, 1),  # there are two
        ("two animals", 1, 0),
        ("a red cat to the left of a blue dog", 3, 0),
        ("a red cat to the right of a blue dog", 2, 1),
        ("a photo with no bird", 1, 0),
        ("a photo without a cat", 0, 1),
        ("a cat that is not blue", 1, 0),
        ("a cat that is not red", 0, 1),
        ("a small striped red cat on the left, in the snow", 3, 0),
        ("the dog in the snow is blue", 2, 0),
        ("the dog in the snow is red", 1, 1),
        ("red cat stock photo", 1, 0),
        ("nothing to see", 0, 1),
        ("click here for details", 0, 0),
        ("a red catalogue", 0, 0),  # words, not pieces of words
    ],
)
def test_check_by_hand(text, true, false):
    found = check(ONE, text)
    assert (len(found.true), len(found.false)) == (true, false), found
    assert found.ok == (true > 0 and not false)


def test_exactness():
    three = Scene(tuple(Object("cat", "red", x=0.2 * k) for k in range(3)))
    assert not check(three, "a red cat").ok and check(three, "a red cat", exact=False).ok
    assert check(three, "three red cats").ok and not check(three, "four red cats", exact=False).ok


def test_fidelity_by_hand():
    assert fidelity(ONE, "a red cat in the snow") == {"precision": 1.0, "recall": 3 / 5}
    assert fidelity(ONE, "a green bus in the sea") == {"precision": 0.0, "recall": 0.0}
    assert fidelity(ONE, "a red cat and a red dog") == {"precision": 0.5, "recall": 2 / 5}
