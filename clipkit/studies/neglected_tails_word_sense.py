"""Judges of word sense: does a caption that holds a class's name speak of the class, or of something else?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.pretrain.phrases import plain_words

STRENGTHS = (0.1, 1.0, 10.0, 100.0)


class SenseJudge:
    """Logistic regression on the words around the name, learnt from a few labelled captions.

    Every spelling of the class's names is replaced by one mark, so that what is learnt ("stock photo of _", "_ conference
    call") serves all classes; the name itself enters as a word of its own. The strength of the regularisation is chosen
    by cross-validation on the labelled captions. It stands in for the language model of the paper, with an error that can
    be measured.

    Args: names: class name -> all spellings of its names.

    >>> judge = SenseJudge({"cat": ["cat"], "key": ["key", "keys"]})
    >>> texts = ["a red cat", "a red key", "cat scan", "key facts", "a blue cat", "a blue key", "cat flu", "key of d"]
    >>> judge = judge.fit(texts, ["cat", "key"] * 4, [1, 1, 0, 0, 1, 1, 0, 0])
    >>> judge(["a red cat", "key facts in key of d"], "key").tolist()
    [True, False]
    """

    def __init__(self, names: Mapping[str, Sequence[str]]):
        if not names:
            raise ClipkitError("a judge needs the names of at least one class")
        spaced = {c: "|".join(re.escape(plain_words(n)) for n in sorted(rows, key=len, reverse=True)) for c, rows in names.items()}
        self._pattern = {c: re.compile(pattern) for c, pattern in spaced.items()}

    def _masked(self, caption: str, classname: str) -> str:
        if classname not in self._pattern:
            raise ClipkitError(f"the judge knows no names of class {classname!r}; give them when making it")
        text = plain_words(caption)
        held = self._pattern[classname].search(text)
        name = held.group().strip().replace(" ", "") if held else "none"
        return f"{self._pattern[classname].sub(' zzname ', text)} zzis{name}"

    def fit(self, captions: Sequence[str], classnames: Sequence[str], meant: Sequence[bool]) -> SenseJudge:
        """Learn from captions, the class whose name each holds, and whether that class is meant.

        Raises: ClipkitError for lengths that differ or captions of one kind only.
        """
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GridSearchCV
        from sklearn.pipeline import make_pipeline

        meant = np.asarray(meant, dtype=bool)
        if not len(captions) == len(classnames) == len(meant):
            raise ClipkitError(f"{len(captions)} captions, {len(classnames)} class names and {len(meant)} labels: give one of each")
        fewest = int(min(meant.sum(), (~meant).sum()))
        if fewest < 2:
            raise ClipkitError("the judge needs labelled captions of both kinds, two of each at least; label more")
        texts = [self._masked(*pair) for pair in zip(captions, classnames, strict=True)]
        model = make_pipeline(CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"\S+"), LogisticRegression(max_iter=500))
        search = GridSearchCV(model, {"logisticregression__C": STRENGTHS}, cv=min(3, fewest), scoring="balanced_accuracy")
        self._model = search.fit(texts, meant).best_estimator_
        return self

    def __call__(self, captions: Sequence[str], classname: str) -> np.ndarray:
        """(N,) bool: the class is meant."""
        return self.pairs(captions, [classname] * len(captions))

    def pairs(self, captions: Sequence[str], classnames: Sequence[str]) -> np.ndarray:
        """(N,) bool: the class of each pair is meant."""
        if not hasattr(self, "_model"):
            raise ClipkitError("this judge has learnt nothing yet: call fit(captions, classnames, meant) first")
        texts = [self._masked(*pair) for pair in zip(captions, classnames, strict=True)]
        return self._model.predict(texts).astype(bool) if texts else np.zeros(0, dtype=bool)


def balanced_accuracy(guess: Sequence[bool], truth: Sequence[bool]) -> float:
    """Mean of the shares of right answers on the two kinds, percent; 50 is guessing."""
    guess, truth = np.asarray(guess, dtype=bool), np.asarray(truth, dtype=bool)
    if guess.shape != truth.shape or truth.all() or not truth.any():
        raise ClipkitError("balanced accuracy needs one answer for each label, and labels of both kinds")
    return 50 * float(guess[truth].mean() + (~guess[~truth]).mean())
