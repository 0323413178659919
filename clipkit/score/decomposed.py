"""Divide and conquer: split a text into small questions, ask each, and average (TIFA, DSG).

The split here is exact: the world's own grammar is read back. Published systems let a language model do it, with its mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.score.nano_vqa import ANSWERS
from clipkit.score.protocol import PairScorer
from clipkit.world.caption_parser import parse
from clipkit.world.propositions import plural
from clipkit.world.taxonomy import CATEGORIES
from clipkit.world.words import NUMBERS, PLACES, RELATION_WORDS, noun_phrase


class SubQuestion(NamedTuple):
    """One small question; parents: numbers of the questions that must be answered as expected before this one makes sense."""

    text: str
    expected: str = "yes"
    parents: tuple[int, ...] = ()


_CLAUSE = re.compile(r", and |, (?=the |there )")
_IS = re.compile(r"^the (.+) is (.+)$")
_PLACE_OF = {phrase: place for place, phrase in PLACES.items()}
_RELATION_OF = {words: relation for relation, words in RELATION_WORDS.items()}


def decompose(text: str, opened: bool = False) -> list[SubQuestion]:
    """The questions a text is made of, things first: a relation or a colour has its things' existence as parents.

    Args:
        opened: ask "what colour is the cat?", "how many cats are there?", "where is this?" and compare the answer, as TIFA does;
            else everything is a question to be answered with yes, as in DSG.

    Raises: ClipkitError for a text of which nothing can be read.

    >>> [q.text for q in decompose("a red cat to the left of a dog")]
    ['is there a cat?', 'is there a dog?', 'is the cat red?', 'is the cat to the left of the dog?']
    """
    found = _Questions(opened)
    clauses = _CLAUSE.split(text.lower().strip())
    if all(c.startswith(("there is ", "there are ", "the ")) and (" is " in c or c.startswith("there")) for c in clauses):
        for clause in clauses:
            _statement(found, clause)
    else:
        _phrases(found, text)
    out = found.ordered()
    if not out:
        raise ClipkitError(f"nothing can be read in {text!r}; the grammar of the world knows its own captions only")
    return out


class _Questions:
    """Collects questions; things come first in the end, and parents are found by category."""

    def __init__(self, opened: bool):
        self.opened, self.things, self.rest = opened, {}, []

    def thing(self, category: str, count: int | None = 1) -> None:
        if count in (None, 1):
            self.things.setdefault(category, (f"is there {noun_phrase(1, category)}?", "yes"))
        elif self.opened:
            self.things[category] = (f"how many {plural(category)} are there?", NUMBERS[count])
        else:
            self.things[category] = (f"is it true that there are {noun_phrase(count, category)}?", "yes")

    def about(self, text: str, expected: str = "yes", parents: Sequence[str] = ()) -> None:
        if (text, expected, tuple(parents)) not in self.rest:
            self.rest.append((text, expected, tuple(parents)))

    def colour(self, category: str, colour: str, count: int = 1) -> None:
        name = noun_phrase(1, category, lead="the")
        if self.opened and count == 1:
            self.about(f"what colour is {name}?", colour, [category])
        elif count == 1:
            self.about(f"is {name} {colour}?", "yes", [category])
        else:
            self.about(_shows(noun_phrase(count, category, colour)), "yes", [category])

    def place(self, place: str) -> None:
        self.about(*(("where is this?", place) if self.opened else (f"is this {PLACES[place]}?", "yes")))

    def ordered(self) -> list[SubQuestion]:
        names = list(self.things)
        out = [SubQuestion(text, expected) for text, expected in self.things.values()]
        return out + [SubQuestion(t, e, tuple(names.index(p) for p in parents)) for t, e, parents in self.rest]


def _shows(text: str) -> str:
    return f'does the picture match "{text}"?'


def _statement(found: _Questions, clause: str) -> None:
    """ "there is a cat", "there are two cats", "the cat is red", "the cat is above the dog", "the scene is in the snow"."""
    if clause.startswith("there "):
        for item in parse(clause).items:
            found.thing(item.noun, item.count)
        return
    match = _IS.match(clause)
    if not match:
        return
    subject, said = match.groups()
    if subject == "scene":
        if said in _PLACE_OF:
            found.place(_PLACE_OF[said])
        return
    one = parse(f"the {subject}").items[0].noun
    found.thing(one)
    for words, relation in _RELATION_OF.items():
        if said.startswith(f"{words} "):
            two = parse(said).items[0].noun
            found.thing(two)
            found.about(_related(one, relation, two), "yes", [one, two])
            return
    if parse(f"a {said} {one}").items[0].colour:
        found.colour(one, said)
    else:
        found.about(f"is {noun_phrase(1, one, lead='the')} {said}?", "yes", [one])


def _related(one: str, relation: str, two: str) -> str:
    return f"is {noun_phrase(1, one, lead='the')} {RELATION_WORDS[relation]} {noun_phrase(1, two, lead='the')}?"


def _phrases(found: _Questions, text: str) -> None:
    reading = parse(text)
    items = [i for i in reading.items if i.noun in CATEGORIES and not i.denied]
    for item in items:
        found.thing(item.noun, item.count)
    for item in items:
        if item.colour:
            found.colour(item.noun, item.colour, item.count or 1)
        for word in (item.texture, item.size):
            if word and (item.count or 1) == 1:
                found.about(f"is {noun_phrase(1, item.noun, lead='the')} {word}?", "yes", [item.noun])
    for i, relation, j in reading.relations:
        one, two = reading.items[i].noun, reading.items[j].noun
        found.about(_related(one, relation, two), "yes", [one, two])
    for place in reading.places:
        found.place(place)


class DecomposedScore(PairScorer):
    """Share of a text's small questions that are answered as expected.

    Args:
        vqa: an Answerer. questions: text to SubQuestions; `decompose` by default.
        dependencies: a question counts as wrong where a parent was answered otherwise than expected (DSG); False: each for itself (TIFA).
        soft: mean of the expected answers' probabilities in place of right or wrong; a parent then multiplies.

    Source: arXiv:2303.11897 (TIFA), arXiv:2310.18235 (DSG).
    """

    def __init__(self, vqa, questions: Callable[[str], list[SubQuestion]] = decompose, dependencies: bool = True, soft: bool = False):
        self.vqa, self.questions, self.dependencies, self.soft = vqa, questions, dependencies, soft

    def see(self, images: Any) -> Any:
        return self.vqa.see(images)

    def _pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        asked = {text: self.questions(text) for text in dict.fromkeys(texts)}
        empty = next((text for text, found in asked.items() if not found), None)
        if empty is not None:
            raise ClipkitError(f"there is no question for {empty!r}; give a `questions` that finds one")
        rows = [(i, q) for i, text in enumerate(texts) for q in asked[text]]
        chosen = seen[torch.tensor([i for i, _ in rows])] if isinstance(seen, Tensor) else [seen[i] for i, _ in rows]
        value = iter(self._values(chosen, [q for _, q in rows]).tolist())
        out = []
        for text in texts:
            found = asked[text]
            given = [next(value) for _ in found]
            if self.dependencies:
                given = [v * min((given[p] for p in q.parents), default=1.0) for v, q in zip(given, found, strict=True)]
            out.append(sum(given) / len(given))
        return torch.tensor(out)

    def _values(self, seen: Any, questions: Sequence[SubQuestion]) -> Tensor:
        """How right each answer is, (K,): 0 or 1, or the probability of the expected one."""
        texts, out = [q.text for q in questions], torch.zeros(len(questions))
        for closed in (True, False):
            rows = [i for i, q in enumerate(questions) if (q.expected in ("yes", "no")) == closed]
            if not rows:
                continue
            part = seen[torch.tensor(rows)] if isinstance(seen, Tensor) else [seen[i] for i in rows]
            expected = sorted({questions[i].expected for i in rows})
            options = ["yes", "no"] if closed else sorted(set(expected) | set(ANSWERS[2:]))
            found = self.vqa.logprobs(part, [texts[i] for i in rows], options)
            at = torch.tensor([options.index(questions[i].expected) for i in rows])
            right = found.gather(1, at[:, None])[:, 0].exp() if self.soft else (found.argmax(1) == at).float()
            out[torch.tensor(rows)] = right
        return out
