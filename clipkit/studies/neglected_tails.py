"""The neglected tails: a text tower that has read a crawl's names, a judge of word sense taught on it, the page's own figures."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.features.crawls import Crawl
from clipkit.kept import kept
from clipkit.pretrain import ConceptFrequency, concept_frequency, info_nce, log_errors, plain_words
from clipkit.train import shuffled, train

STRENGTHS = (0.1, 1.0, 10.0, 100.0)


def learn_names(model, pictures: Tensor, captions: Sequence[str], steps: int, batch: int = 128):
    """A copy of a small DualEncoder whose text tower has read `captions` beside (N, D) features of their pictures.

    The image tower is frozen, as in LiT (arXiv:2111.07991), so picture features stay valid. The weights are kept on disk.
    Raises: ClipkitError for fewer pairs than a batch, or lengths that differ.
    """
    if len(pictures) != len(captions) or len(captions) < batch:
        raise ClipkitError(f"want as many captions as pictures and at least a batch of {batch}; got {len(captions)} and {len(pictures)}")
    learner = _copied(model)
    learner.module.load_state_dict(kept("names", train_text_tower, model, pictures, list(captions), steps, batch))
    return learner


def train_text_tower(model, pictures: Tensor, captions: list[str], steps: int, batch: int) -> dict[str, Tensor]:
    """Weights of a copy of `model` after contrastive training of its text tower against fixed picture features."""
    learner = _copied(model)
    learner.module.visual.requires_grad_(False)
    tokens = learner.tokenize(captions)
    tokens = tokens[:, : int((tokens != 0).sum(1).max())].to(learner.device)  # no longer than the longest caption
    pictures, rows = pictures.to(learner.device), shuffled(len(tokens), batch, torch.Generator().manual_seed(0), rest="drop")

    def loss(_module, some: Tensor) -> Tensor:
        return info_nce(pictures[some], learner.encode_text(tokens[some]), learner.logit_scale)

    train(learner.module, rows, loss, steps, lr=1e-3, weight_decay=0.05)
    return learner.module.state_dict()


def _copied(model):
    learner = copy.copy(model)
    learner.module, learner._fingerprint = copy.deepcopy(model.module), None
    return learner


class SenseJudge:
    """Does a caption with a name of a class mean the class? Logistic regression on the words around the name.

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


def sense_pairs(crawl: Crawl, found: ConceptFrequency, most: int | None = None, seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    """Every caption beside each class whose name it holds, and whether it speaks of that class: lessons for a judge.

    Args: found: frequencies in these captions. most: a random sample of so many pairs.
    Returns: captions, class names, (n,) bool. Raises: ClipkitError for a crawl without truth.
    """
    if crawl.spoken is None:
        raise ClipkitError("nobody knows what these captions speak of; label some, or use the world's")
    pairs = found.matched.tocoo()
    chosen = np.random.default_rng(seed).permutation(len(pairs.row))[:most]
    rows, classes = pairs.row[chosen], pairs.col[chosen]
    return [crawl.captions[n] for n in rows], [found.classnames[c] for c in classes], crawl.spoken[rows] == classes


def train_judge(lesson: Crawl, known: Mapping[str, Sequence[str]], spell, n: int, seed: int = 0) -> SenseJudge:
    """A judge that has learnt from n pairs of a crawl with truth. known: class -> names; spell: name -> spellings."""
    judge = SenseJudge({name: [form for word in words for form in spell(word)] for name, words in known.items()})
    return judge.fit(*sense_pairs(lesson, concept_frequency(lesson.captions, known, spell=spell), n, seed))


def show_mentions(mentions: np.ndarray, tail: np.ndarray, names: Sequence[str]) -> None:
    """Bars of the captions (C,) that mention each class, largest first, those of the tail (C,) black."""
    order = np.argsort(-mentions, kind="stable")
    alt = f"Captions that mention each class, from {mentions.max()} ({names[order[0]]}) down to {mentions.min()} ({names[order[-1]]})."
    with lab.figure(alt=alt, title="How often captions mention each class", size=(6.4, 3.2)) as axes:
        axes.bar(range(len(names)), mentions[order] + 0.5, color=np.where(tail[order], "black", "0.65"))
        axes.set(yscale="log", ylim=(0.5, None), ylabel="captions", xlabel="classes, by frequency; black: the tail", xticks=[])


def show_estimates(truth: np.ndarray, found: Mapping[str, ConceptFrequency]) -> None:
    """Estimated against true captions of each class (C,), a panel an estimate."""
    off = {arm: np.median(log_errors(counted.frequency, truth)) for arm, counted in found.items()}
    alt = "Estimated against true captions. Median error, nats: " + ", ".join(f"{lab.label(arm)} {e:.2f}" for arm, e in off.items())
    with lab.figure(alt=alt, title="Estimated against true frequency", size=(6.4, 3.2), columns=3, sharey=True) as panels:
        for axes, arm, head in zip(panels, found, ("one name", "all names", "with the judge"), strict=True):
            axes.plot([1, truth.max()], [1, truth.max()], color="0.6", linewidth=1.2)
            axes.scatter(truth + 0.5, found[arm].frequency + 0.5, color="black", s=12)
            axes.set(xscale="log", yscale="log", title=head, xlabel="true captions")
        panels[0].set(ylabel="estimated captions")
