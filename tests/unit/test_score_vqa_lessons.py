"""What the answerer learns: answers are right by the parser, yes and no are balanced, and nothing held out is ever seen or said."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import torch

from builder.recipes.vqa import lesson_batches
from builder.recipes.vqa_facts import caption_pair, conjunction
from builder.recipes.vqa_lessons import MIXES, lesson_questions, question_vocabulary
from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import split_words
from clipkit.score.lessons import WORDINGS, lesson_scenes
from clipkit.score.nano_vqa import ANSWERS
from clipkit.world.caption_parser import check, parse
from clipkit.world.content_plan import HashRandom, seeds_of, states, truths
from clipkit.world.taxonomy import CATEGORIES, COLOURS, HELD_OUT_PAIRS

N = 150
QUOTED = re.compile(r'"(.+)"')


def stated(text: str) -> list[str]:
    """The text in parts that the parser reads: clauses by themselves, "the cat is striped" as "a striped cat"."""
    clauses = re.split(r", and |, (?=the |there )| and (?=the |there )", text)
    return [re.sub(r"^the (.+) is ([a-z]+)$", r"a \2 \1", c) for c in clauses]


def false_parts(truth, text: str) -> int:
    return sum(len(check(truth, part).false) for part in stated(text))


def holds(truth, text: str) -> bool:
    return all(check(truth, part).ok for part in stated(text))


@pytest.fixture(scope="module")
def scenes():
    return lesson_scenes(N, 3)


@pytest.mark.parametrize("mix", MIXES)
def test_answers_to_quoted_texts_are_right(scenes, mix):
    known, seen = list(truths(scenes)), Counter()
    for asked in lesson_questions(scenes, mix, 1):
        quoted = QUOTED.search(asked.text)
        if quoted:
            assert holds(known[asked.picture], quoted[1]) == (asked.answer == "yes"), asked
            seen[asked.answer] += 1
    if mix == "open":
        assert not seen and {q.kind for q in lesson_questions(scenes, mix, 1)} == {"side", "count", "colour"}
    else:
        assert abs(seen["yes"] / sum(seen.values()) - 0.5) < 0.08 and sum(seen.values()) > N


def test_the_side_asked_for_is_right(scenes):
    known, seen = list(truths(scenes)), Counter()
    asked_in_all = [q for mix in ("open", "relation", "atomic") for q in lesson_questions(scenes, mix, 1)]
    for asked in asked_in_all:
        if asked.kind == "side":
            two, one = re.fullmatch(r"on which side of (the .+) is (the .+)\?", asked.text).groups()
            said = {"left": "to the left of", "right": "to the right of"}.get(asked.answer, asked.answer)
            assert check(known[asked.picture], f"{one} {said} {two}").ok, asked
            seen[asked.answer] += 1
    assert set(seen) == {"left", "right", "above", "below"} and min(seen.values()) > 0.1 * sum(seen.values())


def test_a_false_pair_of_facts_has_one_false_fact(scenes):
    wrong = Counter()
    for seed in range(4):
        for truth, state in zip(truths(scenes), states(seeds_of(scenes), "test", seed), strict=True):
            made = conjunction(truth, HashRandom(state))
            if made and not made[1]:
                wrong[false_parts(truth, made[0])] += 1
    assert set(wrong) == {1} or wrong[1] > 0.9 * sum(wrong.values()), wrong


def test_a_caption_pair_is_one_true_and_one_false_text(scenes):
    same_words = 0
    for truth, state in zip(truths(scenes), states(seeds_of(scenes), "test", 1), strict=True):
        pair = caption_pair(truth, HashRandom(state))
        if pair:
            assert holds(truth, pair[0]) and not holds(truth, pair[1]), pair
            same_words += sorted(pair[0].replace("an ", "a ").split()) == sorted(pair[1].replace("an ", "a ").split())
    assert same_words > N / 4


def test_held_out_pairs(scenes):
    held = set(HELD_OUT_PAIRS)
    assert len(held) == len(HELD_OUT_PAIRS) == 2 * len(CATEGORIES)
    assert Counter(c for c, _ in HELD_OUT_PAIRS).keys() == set(COLOURS) and set(Counter(n for _, n in HELD_OUT_PAIRS).values()) == {2}
    pairs = lambda s: {(t.colour, t.category) for truth in truths(s) for t in truth.things}  # noqa: E731
    assert not pairs(scenes) & held and pairs(lesson_scenes(40, 3, held_out=True)) <= held
    for mix in MIXES:
        for asked in lesson_questions(scenes, mix, 2):
            quoted = QUOTED.search(asked.text)
            if quoted:
                assert not {(i.colour, i.noun) for i in parse(quoted[1]).items} & held, asked


def test_lessons_repeat_and_stay_in_the_vocabulary(scenes):
    words = question_vocabulary()
    for mix in MIXES:
        first, second, other = (lesson_questions(scenes, mix, s) for s in (1, 1, 2))
        assert first == second and first != other
        assert not any(words.unk in words.ids(q.text) for q in first), mix
        assert {q.answer for q in first} <= set(ANSWERS)
    assert not any(words.unk in words.ids(w.format("a cat")) for w in WORDINGS)
    assert all(set(split_words(a)) <= set(words.words) for a in ("no cat", "two cats and three dogs"))
    with pytest.raises(ClipkitError, match="mix"):
        lesson_questions(scenes, "atoms", 1)


def test_the_atomic_mix_never_asks_for_two_facts(scenes):
    """Else the whole-text question would not be new to the answerer."""
    for asked in lesson_questions(scenes, "atomic", 1):
        quoted = QUOTED.search(asked.text)
        if quoted:
            assert " and " not in quoted[1] and ", " not in quoted[1], asked
            reading = parse(quoted[1])
            assert not (reading.relations and any(i.colour for i in reading.items)), asked


def test_batches(scenes):
    words = question_vocabulary()
    tokens = torch.randn(N, 4, 6)
    batches = list(lesson_batches(scenes, tokens, words, ANSWERS, [(("atomic",), 60)], 16, 1))
    again = list(lesson_batches(scenes, tokens, words, ANSWERS, [(("atomic",), 60)], 16, 1))
    assert len(batches) == 60 and all(torch.equal(x, y) for a, b in zip(batches, again, strict=True) for x, y in zip(a, b, strict=True))
    seen, said, offset, answer = batches[0]
    assert seen.shape == (16, 4, 6) and said.shape[0] == 16 and answer.max() < len(ANSWERS) and offset.shape == (16,)
    index = {tuple(t.flatten().tolist()): i for i, t in enumerate(tokens)}
    asked = [q for r in range(9) for q in lesson_questions(scenes, "atomic", 1000 + r)]
    right = {(q.picture, words.decode(words.encode([q.text]))[0], q.answer) for q in asked}
    for seen, said, _, answer in batches[:5]:
        for picture, text, a in zip(seen, words.decode(said), answer, strict=True):
            assert (index[tuple(picture.flatten().tolist())], text, ANSWERS[a]) in right
    with pytest.raises(ClipkitError, match="fewer than a batch"):
        next(lesson_batches(scenes[:3], tokens, words, ANSWERS, [(("conj",), 1)], 512, 1))
    assert np.unique(torch.cat([b[3] for b in batches])).size > 12
    two = list(lesson_batches(scenes, tokens, words, ANSWERS, [(("open",), 3), (("relation", "conj"), 4)], 16, 1))
    closed = [set(b[3].tolist()) <= {0, 1} for b in two]
    assert len(two) == 7 and not any(closed[:3])  # the open lesson first
    later = [bool(b[2].any()) for b in batches]
    assert 0 < sum(later) < len(later) / 2  # most questions start at the first place
