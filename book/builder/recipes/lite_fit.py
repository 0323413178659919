"""How the map of `lite` is made, from words alone; no picture is looked at.

Each of ImageNet's classes c has a set of texts: its name in prompts, its WordNet gloss (both packaged, with
open_clip and timm), and, when given, descriptions. The map w(t) = Aᵀ k(e(t), B) is kernel ridge regression from
texts to the class they are about, with one support vector b_c a class:

    min_A  Σ_c Σ_t∈c u_t ‖ Aᵀ k(e_t, B) − (1_c − 1/K) ‖²  +  λ tr(Aᵀ k(B, B) A)

A new sentence, of a class that was never among them, then comes out as the mixture of classes it resembles.

Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eq. 8.14 (subset of regressors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.datasets.templates import NAMING as TEMPLATES
from clipkit.errors import ClipkitError
from clipkit.models.lite import SentenceMap, gaussian_kernel, resemblance

SOURCES = {"names": 1.0, "descriptions": 1.0, "glosses": 0.5, "glossed names": 0.5}  # total weight of a class's texts, by source


@dataclass(frozen=True)
class Texts:
    """Sentence vectors (T, 384, unit norm), the class of each, its weight u, and one support vector a class (C, 384)."""

    embeddings: Tensor
    classes: Tensor
    weights: Tensor
    support: Tensor

    def only(self, keep: Tensor) -> Texts:
        """The texts of the classes where `keep` (C,) is true; classes keep their numbers in `classes`."""
        rows = keep[self.classes]
        return Texts(self.embeddings[rows], self.classes[rows], self.weights[rows], self.support[keep])


def embed_texts(
    encode: Callable[[Sequence[str]], Tensor],
    names: Sequence[str],
    glosses: Sequence[str],
    descriptions: Sequence[Sequence[str]] | None = None,
) -> Texts:
    """Collect the texts of all classes. `encode` gives unit-norm sentence vectors (N, 384); lists are by class."""
    groups: dict[str, list[tuple[int, str]]] = {
        "names": [(c, t.format(n)) for c, n in enumerate(names) for t in TEMPLATES],
        "glosses": list(enumerate(glosses)),
        "glossed names": [(c, f"{n}: {g}") for c, (n, g) in enumerate(zip(names, glosses, strict=True))],
    }
    if descriptions is not None:
        if len(descriptions) != len(names) or not all(descriptions):
            raise ClipkitError(f"descriptions must hold at least one sentence for each of the {len(names)} classes, in their order")
        groups["descriptions"] = [(c, s) for c, sentences in enumerate(descriptions) for s in sentences]
    embeddings, classes, weights = [], [], []
    support = torch.zeros(len(names), 0)
    for source, pairs in groups.items():
        e, c = encode([s for _, s in pairs]), torch.tensor([c for c, _ in pairs])
        mean = F.normalize(torch.zeros(len(names), e.shape[1]).index_add_(0, c, e), dim=-1)
        support = SOURCES[source] * mean + (support if support.numel() else 0)
        embeddings.append(e)
        classes.append(c)
        weights.append(SOURCES[source] / torch.bincount(c, minlength=len(names)).float()[c])
    return Texts(torch.cat(embeddings), torch.cat(classes), torch.cat(weights), F.normalize(support, dim=-1))


def fit_map(texts: Texts, bandwidth: float = 0.2, ridge: float = 0.2) -> SentenceMap:
    """Fit the map from texts to the K classes that have any; output k is the k-th of them in their order."""
    present, index = torch.unique(texts.classes, return_inverse=True)
    n = len(present)
    if n != len(texts.support):
        raise ClipkitError(f"{n} classes have texts, but there are {len(texts.support)} support vectors; give one for each")
    k = gaussian_kernel(texts.embeddings, texts.support, bandwidth)  # (T, K)
    weighted = k * texts.weights[:, None]
    gram = (weighted.T @ k).double()
    by_class = torch.zeros(n, n).index_add_(0, index, weighted).double()  # row c: Σ_t∈c u_t k(e_t, B)
    right = by_class.T - by_class.mean(0)[:, None]  # times the centred indicators
    prior = gaussian_kernel(texts.support, texts.support, bandwidth).double()
    coefficients = torch.linalg.solve(gram + ridge * prior + 1e-4 * torch.eye(n, dtype=torch.float64), right)
    return SentenceMap(texts.support, coefficients, bandwidth)


def pooled(vectors: Tensor, groups: Tensor, n: int) -> Tensor:
    """Unit-norm mean of unit-norm features by group: (n, D); what a prompt-ensembled classifier is."""
    vectors = F.normalize(vectors, dim=-1)
    return F.normalize(torch.zeros(n, vectors.shape[1]).index_add_(0, groups, vectors), dim=-1)


def unseen_folds(
    texts: Texts, logits: Tensor, queries: Tensor, query_classes: Tensor, seed: int = 0, folds: int = 5, **fit
) -> Iterator[tuple[Tensor, Tensor]]:
    """Cosines and labels among classes the map has not seen, fold by fold: (n, n) and (n,), n = C / folds.

    A fold's classes are held out everywhere: no text of theirs fits the map, and their columns of the classifier
    are struck from the pictures' `logits` (C, C), one picture a class. `queries` (Q, 384) and `query_classes`
    (Q,): the sentences that describe each class, pooled by class after mapping.
    """
    c = len(logits)
    for held_out in torch.randperm(c, generator=torch.Generator().manual_seed(seed)).chunk(folds):
        keep = torch.ones(c, dtype=torch.bool)
        keep[held_out] = False
        fitted = fit_map(texts.only(keep), **fit)
        place = torch.full((c,), -1)
        place[held_out] = torch.arange(len(held_out))
        mine = place[query_classes] >= 0
        classifier = pooled(fitted(queries[mine]), place[query_classes[mine]], len(held_out))
        yield F.normalize(resemblance(logits[held_out][:, keep]), dim=-1) @ classifier.T, torch.arange(len(held_out))


def unseen_accuracy(
    texts: Texts, logits: Tensor, queries: Tensor, query_classes: Tensor, seeds: Sequence[int] = (0,), folds: int = 5, **fit
) -> float:
    """Accuracy in [0, 1] over all folds of all seeds; see `unseen_folds`."""
    hits = [
        (cosines.argmax(1) == labels).float()
        for seed in seeds
        for cosines, labels in unseen_folds(texts, logits, queries, query_classes, seed, folds, **fit)
    ]
    return float(torch.cat(hits).mean())
