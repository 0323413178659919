"""How often a concept occurs in captions: by name, by all its names, and with other meanings taken off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.pretrain.phrases import PhraseCounter

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Judge = Callable[[Sequence[str], str], np.ndarray]  # captions, class name -> (N,) bool: is the class meant?


@dataclass(frozen=True, eq=False)
class ConceptFrequency:
    """Frequencies of C classes in N captions.

    Attributes:
        classnames: C.
        counts: C mappings name -> captions that hold it (in any of its spellings).
        matched: (N, C) bool, sparse: caption n holds a name of class c.
        union: (C,) captions that hold any name, each once. relevance: (C,) share of them in which the class is meant.
    """

    classnames: list[str]
    counts: list[dict[str, int]]
    matched: csr_array
    union: np.ndarray
    relevance: np.ndarray

    @property
    def frequency(self) -> np.ndarray:
        """(C,) estimate: relevance times union."""
        return self.relevance * self.union

    def frequent_names(self) -> list[str]:
        """The name of each class that most captions hold, the first of equals (REAL-Prompt)."""
        return [max(names, key=names.get) for names in self.counts]


def concept_frequency(
    captions: Sequence[str],
    synonyms: Mapping[str, Sequence[str]],
    judge: Judge | None = None,
    sample: int = 1000,
    seed: int = 0,
    spell: Callable[[str], Sequence[str]] = lambda name: [name],
) -> ConceptFrequency:
    """Count the captions that speak of each class.

    Args:
        captions: N texts. synonyms: class name -> all its names, its own included if it is to count.
        judge: says of captions whether they mean the class; asked about a random sample of a class's matches. None: all are meant.
        sample: most captions of one class that the judge is asked about.
        spell: name -> its spellings, the plural for instance; a caption with any of them holds the name.

    Raises: ClipkitError for no captions, a class without names, or a judge whose answer has the wrong length.

    Source: arXiv:2401.12425, section 3.1. Its code stops asking once 200 captions were judged relevant, which favours high
    relevance a little; here the size of the sample is fixed.
    """
    captions = list(captions)
    if not captions or not synonyms:
        raise ClipkitError("counting concepts needs at least one caption and one class with its names")
    for classname, names in synonyms.items():
        if isinstance(names, str) or not len(names):
            raise ClipkitError(f"class {classname!r} has no names to look for; give a list of at least one")
    if sample < 1:
        raise ClipkitError(f"sample = {sample}: the judge must be asked about at least one caption")
    owner = [(c, name) for c, names in enumerate(synonyms.values()) for name in dict.fromkeys(names)]
    phrases = [(o, phrase) for o, (_, name) in enumerate(owner) for phrase in dict.fromkeys(spell(name))]
    found = PhraseCounter([phrase for _, phrase in phrases]).matches(captions)  # (N, P)
    by_name = _merged(found, [o for o, _ in phrases], len(owner))
    matched = _merged(by_name, [c for c, _ in owner], len(synonyms))
    totals, union = np.asarray(by_name.sum(0)).ravel(), np.asarray(matched.sum(0)).ravel().astype(np.int64)
    counts: list[dict[str, int]] = [{} for _ in synonyms]
    for (c, name), total in zip(owner, totals, strict=True):
        counts[c][name] = int(total)
    relevance = np.ones(len(synonyms))
    if judge is not None:
        rng, columns = np.random.default_rng(seed), matched.tocsc()
        for c, classname in enumerate(synonyms):
            rows = columns.indices[columns.indptr[c] : columns.indptr[c + 1]]
            if len(rows):
                rows = rng.choice(rows, min(sample, len(rows)), replace=False)
                answer = np.asarray(judge([captions[i] for i in rows], classname), dtype=bool)
                if answer.shape != (len(rows),):
                    raise ClipkitError(f"the judge was asked about {len(rows)} captions and gave an answer of shape {answer.shape}")
                relevance[c] = answer.mean()
    return ConceptFrequency(list(synonyms), counts, matched, union, relevance)


def judged_matches(captions: Sequence[str], found: ConceptFrequency, judge: Judge | None) -> np.ndarray:
    """(N, C) bool: caption n holds a name of class c, and the judge says that the class is meant. Every match is asked about."""
    meant = found.matched.toarray()
    for c, classname in enumerate(found.classnames if judge is not None else ()):
        rows = np.flatnonzero(meant[:, c])
        meant[rows, c] = judge([captions[i] for i in rows], classname)
    return meant


def tail_classes(frequency: np.ndarray, share: float = 0.2) -> np.ndarray:
    """(C,) bool: the share of classes with the lowest frequency, at least one; of equals the first.

    >>> tail_classes(np.array([5.0, 1.0, 9.0, 7.0, 8.0])).tolist()
    [False, True, False, False, False]
    """
    frequency = np.asarray(frequency, dtype=float)
    if not 0 < share <= 1 or frequency.ndim != 1 or not len(frequency):
        raise ClipkitError(f"want (C,) frequencies and a share in (0, 1], got shape {frequency.shape} and {share}")
    tail = np.zeros(len(frequency), dtype=bool)
    tail[np.argsort(frequency, kind="stable")[: max(1, round(share * len(frequency)))]] = True
    return tail


def log_errors(estimate: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(C,) |ln((estimate + 1/2) / (truth + 1/2))|, nats: 0.69 is a factor of two. The half keeps a count of zero finite."""
    estimate, truth = np.asarray(estimate, dtype=float), np.asarray(truth, dtype=float)
    if estimate.shape != truth.shape or (estimate < 0).any() or (truth < 0).any():
        raise ClipkitError(f"want two rows of counts of one length, none negative; got {estimate.shape} and {truth.shape}")
    return np.abs(np.log((estimate + 0.5) / (truth + 0.5)))


def _merged(matches: csr_array, group: Sequence[int], n: int) -> csr_array:
    """(N, n) bool from (N, P): columns of one group joined by "or"."""
    from scipy.sparse import csr_array

    belongs = csr_array((np.ones(len(group), dtype=np.int64), (np.arange(len(group)), np.asarray(group))), shape=(len(group), n))
    return (matches.astype(np.int64) @ belongs).astype(bool)
