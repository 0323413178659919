"""Metadata lists made from a clean text, as MetaCLIP's are from Wikipedia: frequent words, pairs of words that belong together."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.pretrain.matching import spaced

NUMBERS = tuple(map(str, range(100)))


def frequent_words(texts: Iterable[str], least: int) -> list[str]:
    """Words that occur at least `least` times in all, sorted; single punctuation marks are no words. Case counts.

    >>> frequent_words(["a cat, a dog", "a Cat"], 2)
    ['a']

    Raises: ClipkitError for least below 1. Source: arXiv:2309.16671, section 3.1 (English Wikipedia, least = 100).
    """
    if least < 1:
        raise ClipkitError(f"a word must occur at least once, got least = {least}")
    return sorted(word for word, n in _words(texts).items() if n >= least)


def bound_pairs(texts: Iterable[str], pmi: float, least: int = 1) -> list[str]:
    """Pairs of neighbouring words "a b" whose pointwise mutual information reaches `pmi` bits, sorted.

    PMI = log2(n_ab n / (n_a n_b)), n the number of words. It is at most log2(n), so the paper's 30 cannot be reached by a small
    text. A pair seen fewer than `least` times is left out: the PMI of two rare words says little.

    >>> bound_pairs(["new york is big", "new york is far", "is it far"], 2.0, least=2)
    ['new york']

    Raises: ClipkitError for texts without a word.
    Source: arXiv:2309.16671, section 3.1; `wiki_bigrams` of facebookresearch/MetaCLIP, which uses NLTK's PMI, as here.
    """
    texts = list(texts)
    single, double = _words(texts), Counter()
    for text in texts:
        double.update((a, b) for a, b in pairwise(spaced(text).split()) if a in single and b in single)
    total = sum(single.values())
    if not total:
        raise ClipkitError("these texts hold no word; give some clean text to take pairs of words from")
    bits = {ab: np.log2(n * total / (single[ab[0]] * single[ab[1]])) for ab, n in double.items() if n >= least}
    return sorted(f"{a} {b}" for (a, b), value in bits.items() if value >= pmi)


def metadata_list(*sources: Iterable[str]) -> list[str]:
    """The entries of all sources in their order, each once; blank ones and single punctuation marks are dropped.

    Raises: ClipkitError when none is left.
    """
    entries = list(dict.fromkeys(entry for source in sources for entry in source if entry.strip() and entry not in string.punctuation))
    if not entries:
        raise ClipkitError("no metadata entry is left; give at least one source with a word in it")
    return entries


def _words(texts: Iterable[str]) -> Counter:
    found: Counter = Counter()
    for text in texts:
        found.update(word for word in spaced(text).split() if word not in string.punctuation)
    return found


def make_word_list(least: int = 3, pmi: float = 6.0) -> list[str]:
    """A metadata list for texts of this world: ImageNet's names, frequent words and bound pairs of their glosses, numbers.

    Each with a capital too, as titles have it. Args: least: times a word occurs. pmi: bits of a pair.
    """
    from clipkit.datasets.classnames import imagenet_glosses, imagenet_names

    glosses = imagenet_glosses()
    plain = metadata_list(imagenet_names(), frequent_words(glosses, least), bound_pairs(glosses, pmi, least), NUMBERS)
    return metadata_list(plain, [entry[:1].upper() + entry[1:] for entry in plain])
