"""How the map of `lite` is made, from words and a classifier alone; no picture is looked at.

For each of ImageNet's classes c there is a row W_c of Lite0's classifier and a set of texts: its name in
prompts, its WordNet gloss (both packaged with open_clip and timm), and, when given, descriptions. The map
w(t) = Aᵀ k(e(t), B) is kernel ridge regression from texts to rows with one support vector b_c a class:

    min_A  Σ_c Σ_t∈c u_t ‖ Aᵀ k(e_t, B) − y_c ‖²  +  λ tr(Aᵀ k(B, B) A)

    y_c: centred W_c in its leading principal directions V; the spectrum s of W is shared between both towers,
         s^p in all, so that a few dominant directions do not decide every comparison.

Source of the idea: predicting classifiers from text, Elhoseiny et al., ICCV 2013; the regression is
Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), eq. 8.14 (subset of regressors).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.models.lite import SentenceMap, kernel

TEMPLATES = (
    "{}",
    "a photo of a {}.",
    "a {}",
    "a picture of the {}.",
    "a close-up photo of a {}.",
    "this is a {}.",
    "{} in the wild or in use",
    "a blurry low resolution photo of a {}.",
)
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


def imagenet_names() -> list[str]:
    """The 1,000 class names packaged with open_clip, in the classifier's order."""
    from clipkit.compat import import_open_clip

    return list(import_open_clip().IMAGENET_CLASSNAMES)


def imagenet_glosses() -> list[str]:
    """The WordNet gloss of each class, packaged with timm."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    return [info.label_name_to_description(label, detailed=True).split(": ", 1)[-1] for label in info.label_names()]


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


def fit_map(texts: Texts, rows: Tensor, dims: int = 448, bandwidth: float = 0.2, ridge: float = 0.2, power: float = 1.0) -> SentenceMap:
    """Fit the map from texts to classifier rows.

    `rows` (C, 1280): the classifier weights of the classes, in the order of `texts.support`; for a subset of
    classes give `texts.only(keep)` and all C rows' subset. `power` p: exponent of the spectrum (1 keeps it).
    Returns a SentenceMap with D = min(dims, C − 1) dimensions.
    """
    present = torch.unique(texts.classes)
    if len(present) != len(rows) or len(rows) != len(texts.support):
        raise ClipkitError(f"{len(present)} classes have texts, but there are {len(rows)} rows; give one row for each class with texts")
    index = torch.zeros(int(present.max()) + 1, dtype=torch.int64)
    index[present] = torch.arange(len(present))
    u, s, v = torch.linalg.svd((rows - rows.mean(0)).double(), full_matrices=False)
    d = min(dims, len(rows) - 1)
    sign = torch.sign(v[:d].gather(1, v[:d].abs().argmax(1, keepdim=True)))  # fixes the sign of each direction
    targets, v, s = u[:, :d] * sign.T, v[:d] * sign, s[:d] / s[0]
    k = kernel(texts.embeddings, texts.support, bandwidth)
    weighted = k * texts.weights[:, None]
    gram = (weighted.T @ k).double()
    right = (weighted.T @ targets.float()[index[texts.classes]]).double()
    prior = kernel(texts.support, texts.support, bandwidth).double()
    solution = torch.linalg.solve(gram + ridge * prior + 1e-4 * torch.eye(len(gram), dtype=torch.float64), right)
    # x·w = (V x)·(s · u-coordinates): the spectrum goes to the texts, what flattens it to the pictures
    return SentenceMap(texts.support, solution * s, v * s[:, None] ** (power - 1), bandwidth)


def pooled(vectors: Tensor, groups: Tensor, n: int) -> Tensor:
    """Unit-norm mean of unit-norm features by group: (n, D); what a prompt-ensembled classifier is."""
    vectors = F.normalize(vectors, dim=-1)
    return F.normalize(torch.zeros(n, vectors.shape[1]).index_add_(0, groups, vectors), dim=-1)


def unseen_accuracy(
    texts: Texts, rows: Tensor, images: Tensor, queries: Tensor, query_classes: Tensor, seeds: Sequence[int] = (0,), folds: int = 5, **fit
) -> float:
    """Accuracy among unseen classes: a fifth of the classes is held out of the map, their pictures are named among them.

    `images` (C, 1280): one pooled feature a class; `queries` (Q, 384) and `query_classes` (Q,): the sentences that
    describe the classes, pooled by class after mapping. Mean over folds and seeds, in [0, 1].
    """
    c = len(rows)
    hits = []
    for seed in seeds:
        order = torch.randperm(c, generator=torch.Generator().manual_seed(seed))
        for held_out in order.chunk(folds):
            keep = torch.ones(c, dtype=torch.bool)
            keep[held_out] = False
            fitted = fit_map(texts.only(keep), rows[keep], **fit)
            place = torch.full((c,), -1)
            place[held_out] = torch.arange(len(held_out))
            mine = place[query_classes] >= 0
            classifier = pooled(fitted.text(queries[mine]), place[query_classes[mine]], len(held_out))
            logits = F.normalize(fitted.image(images[held_out]), dim=-1) @ classifier.T
            hits.append((logits.argmax(1) == torch.arange(len(held_out))).float())
    return float(torch.cat(hits).mean())


def save_map(fitted: SentenceMap, path: str | Path, logit_scale: float) -> Path:
    """Write the map as float16 safetensors with its bandwidth and logit scale."""
    from safetensors.torch import save_file

    tensors = {k: getattr(fitted, k).half().contiguous() for k in ("support", "coefficients", "projection")}
    save_file(tensors, path, metadata={"bandwidth": str(fitted.bandwidth), "logit_scale": str(logit_scale)})
    return Path(path)
