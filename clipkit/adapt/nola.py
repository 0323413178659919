"""NoLA: text names the surest pictures, a head on self-supervised features learns from them, and teaches CLIP's image tower.

Letters: N unlabelled pictures, C classes, D and E the widths of CLIP's and the other network's features.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.adapt.visual_prompts import VisualPrompts
from clipkit.datasets import fill_templates
from clipkit.errors import ClipkitError
from clipkit.heads import Head
from clipkit.train import minimise, shuffled
from clipkit.zeroshot import DescriptionPool, described_prompts


def confident_count(n: int, n_classes: int, share: float = 0.2, least: int = 16) -> int:
    """Pictures a class that stage 1 takes: max(least, floor(share N / C)).

    >>> confident_count(1000, 10), confident_count(100, 10)
    (20, 16)

    Source: arXiv:2411.19346, section 3; the code's `find_k`.
    """
    checks.at_least(1, n=n, n_classes=n_classes)
    checks.positive(share=share)
    checks.share(share=share)
    return max(least, math.floor(n / n_classes * share))


def select_confident(probs: Tensor, k: int, choices: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """The k surest pictures of each class among those that choose it: rows, labels and confidences, each (M,).

    A class that nobody chooses first takes those that choose it second, then third (up to `choices`). A picture taken by
    two classes stays with the first of them. A class that nobody has among the choices gets no picture.

    >>> p = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    >>> [t.tolist() for t in select_confident(p, k=1)][:2]  # nobody chooses class 1; its surest second choice is row 1
    [[0, 1, 2], [0, 1, 2]]

    Args: probs: (N, C). Equal values: the earlier row first.
    Raises ClipkitError: probs not (N, C) or with NaN; k or choices below 1.
    Source: arXiv:2411.19346, section 3; the order and the fallback from its code (there a class without any picture stops
    the run, and the confidence of a second choice is that of the picture's first).
    """
    probs = checks.features(probs, "probs")
    checks.at_least(1, k=k, choices=choices)
    best, column = probs.topk(min(choices, probs.shape[1]), dim=1)  # (N, choices)
    rows: list[int] = []
    labels: list[int] = []
    values: list[float] = []
    taken: set[int] = set()
    for c in range(probs.shape[1]):
        for turn in range(column.shape[1]):
            found = (column[:, turn] == c).nonzero().flatten()
            if len(found):
                break
        order = best[found, turn].argsort(descending=True, stable=True)[:k]
        for row in found[order].tolist():
            if row not in taken:
                taken.add(row)
                rows.append(row)
                labels.append(c)
                values.append(probs[row, c].item())
    to = probs.device
    return torch.tensor(rows, device=to), torch.tensor(labels, device=to), torch.tensor(values, dtype=probs.dtype, device=to)


@torch.no_grad()
def description_embedding(model, pool: DescriptionPool, templates: Sequence[str], described: str = "a photo of a {}, {}") -> Tensor:
    """Class weights (C, D): the normalised mean of the unit features of all a class's prompts, templates and descriptions alike.

    Source: arXiv:2411.19346, section 3 ("class description embedding").
    """
    filled = fill_templates(pool.classnames, templates)
    texts = [plain + rows for plain, rows in zip(filled, described_prompts(pool, described), strict=True)]
    features = model.text_features([text for rows in texts for text in rows]).split([len(rows) for rows in texts])
    return F.normalize(torch.stack([part.mean(0) for part in features]), dim=-1)


class FeatureLabeller(Head):
    """A small network on frozen features of any kind: E → hidden → ReLU → C, learnt from pseudolabels.

    Attributes (fitted): net_, mean_, scale_.
    Source: arXiv:2411.19346, section 3 (Adam, 50 epochs, batches of 32). The code feeds DINO's features as they are; ours are
    first brought to mean 0 and variance 1, since unit vectors would start a thousandth as large.
    """

    def __init__(self, hidden: int = 256, epochs: int = 50, batch: int = 32, lr: float = 1e-3, seed: int = 0):
        self.hidden, self.epochs, self.batch, self.lr, self.seed = hidden, epochs, batch, lr, seed

    def fit(self, features: Tensor, labels: Tensor, n_classes: int) -> FeatureLabeller:
        """Features (M, E), labels (M,) in 0 … C - 1. Raises ClipkitError: shapes, NaN, a label out of range."""
        x, y, _, n_classes = checks.support(features, labels, n_classes=n_classes)
        x = x.float()
        self.mean_, self.scale_ = x.mean(0), x.std(0, correction=0).clamp_min(1e-6)
        x = (x - self.mean_) / self.scale_
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.manual_seed(self.seed)
            net = nn.Sequential(nn.Linear(x.shape[1], self.hidden), nn.ReLU(), nn.Linear(self.hidden, n_classes)).to(x)
            minimise(
                lambda rows: F.cross_entropy(net(x[rows]), y[rows]), list(net.parameters()), self.epochs * -(-len(x) // self.batch),
                self.lr, shuffled(len(x), self.batch), torch.optim.Adam, lambda step: 1.0,
            )  # fmt: skip
        self.net_ = net.requires_grad_(False)
        return self

    @torch.no_grad()
    def predict_logits(self, features: Tensor) -> Tensor:
        """(M, E) to (M, C). Raises ClipkitError before `fit` or for another width."""
        x = checks.fitted(self, "mean_", features)
        return self.net_((x - self.mean_) / self.scale_)


def named_clusters(features: Tensor, probs: Tensor, n_clusters: int | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """The training-free rival: k-means on the features, each cluster named by the mean of its pictures' zero-shot probabilities.

    Args: features (N, E); probs (N, C); n_clusters: C when None.
    Returns: centres (K, E) and names (K, C); a picture gets the names' row of its nearest centre.
    Raises ClipkitError: shapes that do not match, NaN, more clusters than pictures.
    """
    from sklearn.cluster import KMeans

    features, probs = checks.features(features), checks.features(probs, "probs")
    n_clusters = probs.shape[1] if n_clusters is None else n_clusters
    if len(features) != len(probs) or not 1 <= n_clusters <= len(features):
        raise ClipkitError(f"{len(features)} features, {len(probs)} rows of probabilities and {n_clusters} clusters do not go together")
    found = KMeans(n_clusters, n_init=4, random_state=seed).fit(features.cpu().numpy())
    member = F.one_hot(torch.as_tensor(found.labels_).long(), n_clusters).to(probs)  # (N, K)
    return torch.as_tensor(found.cluster_centers_).to(features), (member.T @ probs) / member.sum(0)[:, None].clamp_min(1)


class TunedTower(VisualPrompts):
    """CLIP's image tower as a student: learned tokens, its LayerNorms and the classifier learn; all else is fixed.

    Works on a copy: the model it is given stays as it is. Untrained, without tokens, it is zero-shot with `text_weights`.

    Args:
        model: a DualEncoder with a ViT. text_weights: (C, D), the classifier's start. n: tokens before the first block.
        norms, head: whether LayerNorms and classifier learn. normalise: unit features times the logit scale, as in
            zero-shot; False: raw features, as in the released code, where the softmax starts nearly flat.
        start: pixels to start the tokens from (see `VisualPrompts`).

    Attributes (fitted): losses_.
    Source: arXiv:2411.19346, section 3. Its code inserts the tokens behind the pre-norm, ours pass it.
    """

    def __init__(
        self, model, text_weights: Tensor, n: int = 8, norms: bool = True, head: bool = True, normalise: bool = True,
        seed: int = 0, start: Tensor | None = None,
    ):  # fmt: skip
        w = checks.features(text_weights, "text weights", model.embed_dim).detach()
        model = copy.copy(model)
        model.module = copy.deepcopy(model.module).requires_grad_(False)
        super().__init__(model, n, seed=seed, start=start)
        self.normalise, self.scale = normalise, float(model.logit_scale) if normalise else 1.0
        self.weight = w.to(self.prompts).clone().requires_grad_(head)
        tower = model.module.visual
        self.norms = [p for m in tower.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()] if norms else []
        for p in self.norms:
            p.requires_grad_(True)

    def _held(self):
        return nullcontext()  # the constructor has fixed all but the LayerNorms

    def parameters(self) -> list[Tensor]:
        """What learns."""
        return [p for p in (self.prompts, self.weight) if p.requires_grad and p.numel()] + self.norms

    def logits(self, pixels: Tensor) -> Tensor:
        """(B, C) of pixels (B, 3, H, W); gradients flow to `parameters()`."""
        x = self.image_features(pixels) if self.normalise else self._raw(pixels)
        return self.scale * x @ self.weight.T

    def _raw(self, pixels: Tensor) -> Tensor:
        kept = []
        handle = self.model.module.visual.register_forward_hook(lambda module, args, out: kept.append(out))
        try:
            self.image_features(pixels)
        finally:
            handle.remove()
        return (kept[0][0] if isinstance(kept[0], tuple) else kept[0]).float()

    def fit(
        self,
        pixels: Tensor,
        labels: Tensor,
        steps: int = 100,
        lr: float = 4e-3,
        batch: int = 128,
        smoothing: float = 0.1,
        weight_decay: float = 0.01,
        warmup: int = 5,
        strong: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        after_step: Callable[[int, TunedTower], None] | None = None,
        seed: int = 0,
    ) -> TunedTower:
        """Cross-entropy with label smoothing on strong views of pixels (N, 3, H, W) with labels (N,) of a teacher; AdamW, constant rate.

        Args: strong: (pixels, generator) -> pixels; None for the pictures as they are. after_step: called with (step, self).
        Raises ClipkitError: shapes, a label out of range, nothing to learn.
        """
        y = checks.labels(labels, len(pixels), len(self.weight)).to(self.weight.device)
        learn, n = self.parameters(), len(y)
        if not learn or steps < 1:
            raise ClipkitError("nothing to learn: give at least one step, and tokens (n), norms or head")
        decay = [p for p in learn if p.ndim > 1]
        groups = [{"params": decay, "weight_decay": weight_decay}, {"params": [p for p in learn if p.ndim < 2], "weight_decay": 0.0}]
        generator = torch.Generator().manual_seed(seed)

        def loss(rows: Tensor | slice) -> Tensor:
            view = pixels[rows] if strong is None else strong(pixels[rows], generator)
            return F.cross_entropy(self.logits(view), y[rows], label_smoothing=smoothing)

        losses = minimise(
            loss, groups, steps, lr, None if batch >= n else shuffled(n, batch, torch.Generator().manual_seed(seed), "carry"),
            torch.optim.AdamW, lambda step: min(1.0, (step + 1) / (warmup + 1)), after_step and (lambda step: after_step(step, self)),
        )  # fmt: skip
        self.losses_ = losses.tolist()
        return self

    @torch.no_grad()
    def predict_logits(self, pixels: Tensor, batch: int = 256) -> Tensor:
        """(M, C) logits of pixels (M, 3, H, W)."""
        return torch.cat([self.logits(pixels[i : i + batch]) for i in range(0, len(pixels), batch)])
