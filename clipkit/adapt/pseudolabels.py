"""Pseudolabels: which pictures a model may label for itself, and the rounds of learning from them.

Letters: N unlabelled pictures, C classes, K pictures taken a class, M pseudolabels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

RULES = ("argmax", "column", "greedy")
STRATEGIES = ("fpl", "ifpl", "grip")


def balanced_confident(probs: Tensor, k: int, rule: str = "argmax", classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """The K most confident pictures of each class: rows (M,) of `probs` and their pseudolabels (M,), class by class.

    >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    >>> [t.tolist() for t in balanced_confident(p, k=2)]
    [[0, 1, 3], [0, 0, 1]]

    Args:
        probs: (N, C), larger is surer; logits do as well when only ranks within a class matter.
        rule: "argmax": of the pictures whose best class is c, the K surest. A class that fewer pictures choose gets
            fewer, none if none does. "column": the K largest of each column, so every class has min(K, N), and a picture
            may stand under several labels. "greedy": what the paper's released code does (one pass in the order of the
            rows; a picture turned away by its class is offered to all others and may enter several; who comes first matters).
        classes: the labels that may be given (for classes never seen, say); None for all. The best class is the best of these.

    Equal values: the earlier row first ("greedy": the later). When "argmax" finds all pictures in one class, it falls back
    to "column": labels of one class teach nothing but to answer always the same.

    Raises ClipkitError: probs not (N, C) or with NaN, k below 1, an unknown rule, a class out of range or none.
    Source: arXiv:2306.01669, section 3; the greedy rule from its code, utils/clip_pseudolabels.py.
    """
    probs, classes = _checked(probs, classes)
    checks.at_least(1, k=k)
    checks.one_of("rule", rule, RULES)
    allowed = probs[:, classes]  # (N, A)
    if rule == "greedy":
        rows, columns = _greedy(allowed, k)
    else:
        best, column = allowed.max(1)
        if rule == "argmax" and (len(classes) == 1 or bool((column != column[0]).any())):
            order = best.argsort(descending=True, stable=True)
            order = order[column[order].argsort(stable=True)]  # class by class, in each the surest first
            counts = torch.bincount(column, minlength=len(classes))
            turn = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[column[order]]
            rows, columns = order[turn < k], column[order[turn < k]]
        else:
            ranked = allowed.T.argsort(dim=1, descending=True, stable=True)[:, :k]  # (A, K)
            rows, columns = ranked.reshape(-1), torch.arange(len(classes), device=probs.device).repeat_interleave(ranked.shape[1])
    return rows, classes[columns]


def _greedy(probs: Tensor, k: int) -> tuple[Tensor, Tensor]:
    boards: list[list[tuple[float, int]]] = [[] for _ in range(probs.shape[1])]

    def enter(row: int, c: int, p: float) -> bool:
        if len(boards[c]) < k:
            boards[c].append((p, row))  # not sorted yet: the entry at the end need not be the weakest
        elif boards[c][-1][0] < p:
            boards[c] = sorted([*boards[c], (p, row)], reverse=True)[:k]
        else:
            return False
        return True

    for row, p in enumerate(probs.tolist()):
        best = max(range(len(p)), key=p.__getitem__)
        if not enter(row, best, p[best]):
            for value, c in sorted(((p[c], c) for c in range(len(p)) if c != best), reverse=True):
                enter(row, c, value)
    rows = [row for board in boards for _, row in board]
    columns = [c for c, board in enumerate(boards) for _ in board]
    return torch.tensor(rows, device=probs.device), torch.tensor(columns, device=probs.device)


def confident(probs: Tensor, threshold: float, classes: Sequence[int] | None = None, at_least: int = 0) -> tuple[Tensor, Tensor]:
    """Ordinary pseudolabels: every picture whose best class has at least `threshold` probability; rows (M,), labels (M,).

    Strong classes get more labels than weak ones. When fewer than `at_least` pictures pass, the surest so many are taken.

    Raises ClipkitError: see `balanced_confident`; a threshold outside [0, 1].
    """
    probs, classes = _checked(probs, classes)
    checks.share(threshold=threshold)
    best, column = probs[:, classes].max(1)
    rows = (best >= threshold).nonzero().flatten()
    if len(rows) < at_least:
        rows = best.argsort(descending=True, stable=True)[:at_least].sort().values
    return rows, classes[column[rows]]


def schedule(strategy: str, n_unlabelled: int, n_classes: int, rounds: int = 10, k: int = 16) -> tuple[int, ...]:
    """How many pictures a class each round takes: the three strategies differ in nothing else.

    - "fpl" (few pseudolabels): K once. - "ifpl": K in every round, labelled anew by the last round's prompt.
    - "grip": K_i = ⌊i N / (R C)⌋, which ends with all N pictures if the classes are equally frequent.

    >>> schedule("grip", n_unlabelled=100, n_classes=4, rounds=5)
    (5, 10, 15, 20, 25)

    No K is below 1. Raises ClipkitError: an unknown strategy, a number below 1.
    Source: arXiv:2306.01669, section 3.2 (its code rounds N / R down first).
    """
    checks.one_of("strategy", strategy, STRATEGIES)
    checks.at_least(1, n_unlabelled=n_unlabelled, n_classes=n_classes, rounds=rounds, k=k)
    if strategy == "grip":
        return tuple(max(1, i * (n_unlabelled // rounds) // n_classes) for i in range(1, rounds + 1))
    return (k,) if strategy == "fpl" else (k,) * rounds


@dataclass(frozen=True, eq=False)
class Round:
    """What one round learned from: K, and rows (M,) of the unlabelled pictures with their pseudolabels (M,)."""

    k: int
    rows: Tensor
    labels: Tensor


def pseudolabel_rounds(
    fit: Callable,
    unlabelled: Tensor,
    probs: Tensor,
    ks: Sequence[int],
    labelled: tuple[Tensor, Tensor] | None = None,
    classes: Sequence[int] | None = None,
    select: Callable[[Tensor, int], tuple[Tensor, Tensor]] | None = None,
    gamma: float = 1.0,
    lam: float = 1.0,
) -> tuple[object, list[Round]]:
    """Label, learn, label anew: one round for each K in `ks` (see `schedule`). Returns the last learner and the rounds.

    A round minimises γ mean_L CE + λ mean_U CE, given to `fit` as one weight a picture: γ/|L| for labelled ones, λ/|U| for
    pseudolabels. The three settings of the paper: *semi-supervised*, some labels of every class; *transductive zero-shot*,
    labels of the seen classes, and `classes` = the unseen ones; *unsupervised*, `labelled` = None.

    Args:
        fit: fit(x, y, weights, round) -> a learner with `predict_logits`; whether it starts anew each time is its own affair.
        unlabelled: features (N, D), or pixels (N, 3, H, W): whatever `fit` takes. probs: (N, C), zero-shot.
        select: select(probs, k) -> rows and labels; by default `balanced_confident` over `classes`.

    A class that gets no pseudolabel and has no label is left out of that round's loss, and keeps its text.

    Raises ClipkitError: no K, shapes that do not match, a round with neither labels nor pseudolabels.
    Source: arXiv:2306.01669, eq. 1 and algorithms in its appendix. Its code weights the labelled term by |U|/|L| in single
    passes and by |L|/|U| in rounds; here both means weigh the same unless γ and λ say otherwise.
    """
    if not len(ks):
        raise ClipkitError("pseudolabel_rounds needs at least one round: ks=schedule(...)")
    if len(unlabelled) != len(probs):
        raise ClipkitError(f"{len(unlabelled)} unlabelled pictures and {len(probs)} rows of probabilities do not match")
    _, allowed = _checked(probs, classes)
    select = select or (lambda p, k: balanced_confident(p, k, classes=allowed))
    known = (unlabelled[:0], allowed[:0]) if labelled is None else labelled
    if labelled is not None:
        checks.support(known[0].flatten(1), known[1], None, probs.shape[1])
    rounds: list[Round] = []
    for i, k in enumerate(ks):
        rows, y = select(probs, k)
        if not len(rows) and not len(known[1]):
            raise ClipkitError("no picture was sure enough for a pseudolabel and there are no labels; lower the threshold")
        weights = torch.cat([torch.full((len(t),), w / max(1, len(t))) for t, w in ((known[1], gamma), (y, lam))])
        x = torch.cat([known[0].to(unlabelled), unlabelled[rows]])
        learner = fit(x, torch.cat([known[1].to(y), y]), weights.to(unlabelled.device), i)
        rounds.append(Round(k, rows, y))
        if i + 1 < len(ks):
            probs = learner.predict_logits(unlabelled).softmax(1)
    return learner, rounds


def balanced_assignment(logits: Tensor, shares: Tensor | None = None, n_iter: int = 500, tol: float = 1e-8) -> Tensor:
    """Posteriors (N, C) nearest to softmax(logits) whose columns have given shares: Sinkhorn's rule, nothing trained.

    The same assumption that GRIP's last rounds make (every class equally frequent), used directly.

    >>> balanced_assignment(torch.tensor([[2.0, 0.0], [1.0, 0.0]])).argmax(1).tolist()
    [0, 1]

    Args:
        logits: (N, C). shares: (C,), positive with sum 1; None for equal ones.
        n_iter, tol: stop when no column is off its share by more than `tol`, or after `n_iter` rescalings.

    Returns: (N, C) in the dtype of `logits`; rows sum to 1, columns to N times their share.
    Raises ClipkitError: NaN, shares that are not positive or do not sum to 1.
    Source: Cuturi, arXiv:1306.0895; for self-labelling Asano et al., arXiv:1911.05371.
    """
    log_p = checks.features(logits, "logits").double().log_softmax(1)
    n, c = log_p.shape
    shares = log_p.new_full((c,), 1 / c) if shares is None else shares.to(log_p)
    if shares.shape != (c,) or not (shares > 0).all() or abs(shares.sum().item() - 1) > 1e-4:
        raise ClipkitError(f"shares must be {c} positive numbers with sum 1")
    goal = shares.log() + torch.tensor(float(n)).log()
    for _ in range(n_iter):
        log_p = log_p + (goal - log_p.logsumexp(0))  # columns
        log_p = log_p - log_p.logsumexp(1, keepdim=True)  # rows
        if ((log_p.exp().sum(0) / n - shares).abs() < tol).all():
            break
    return log_p.exp().to(logits.dtype)


def _checked(probs: Tensor, classes: Sequence[int] | None) -> tuple[Tensor, Tensor]:
    probs = checks.features(probs, "probs")
    everything = torch.arange(probs.shape[1], device=probs.device)
    if classes is None:
        return probs, everything
    classes = torch.as_tensor(classes, device=probs.device).long().unique()
    if not len(classes) or classes.min() < 0 or classes.max() >= probs.shape[1]:
        raise ClipkitError(f"classes must be some of 0 … {probs.shape[1] - 1}, got {classes.tolist()}")
    return probs, classes
