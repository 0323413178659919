"""Contrastive pretraining: a rival that predicts a caption's words, a monitor of a training, the page's three pictures.

The rival is that of CLIP's figure 2: each word by itself, no text tower, no negatives. Words are tokens here.

Sources: Joulin et al., arXiv:1511.02251 (softmax over the words of a caption); CLIP, arXiv:2103.00020, section 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import lab
from clipkit.errors import ClipkitError, unknown
from clipkit.features.samples import own_pictures
from clipkit.metrics import percent_right
from clipkit.models import load_model
from clipkit.pretrain import alignment, info_nce, modality_gap, uniformity
from clipkit.zeroshot import zeroshot_weights

if TYPE_CHECKING:
    import pandas

KINDS = ("softmax", "sigmoid")
FINISHED = ("picture_to_text", "text_to_picture", "own_scale", "best_scale", "cone_of_pictures", "cone_of_texts", "gap_before", "gap_kept")


def bag(tokens: Tensor, vocabulary: int) -> Tensor:
    """(B, V) float32 of 0 and 1: which of the V tokens stand in each caption (B, L) int64; order and number are lost.

    >>> bag(torch.tensor([[2, 1, 2, 0]]), 4).tolist()
    [[1.0, 1.0, 1.0, 0.0]]
    """
    return torch.zeros(len(tokens), vocabulary, device=tokens.device).scatter_(1, tokens, 1.0)


def telling_words(tokens: Tensor, vocabulary: int, rarest: float = 0.002, commonest: float = 0.2) -> Tensor:
    """(V,) bool: tokens whose share of the captions (N, L) lies between `rarest` and `commonest`.

    "a" and "of" stand in nearly every caption and tell nothing about its picture; the padding (token 0) and the marks
    of begin and end (the last two tokens) are never kept.

    Raises: ClipkitError when no token is left.
    """
    share = bag(tokens, vocabulary).mean(0)
    keep = (share >= rarest) & (share <= commonest)
    keep[0] = False
    keep[-2:] = False
    if not keep.any():
        raise ClipkitError("every token is too rare or too common; widen `rarest` and `commonest`, or give more captions")
    return keep


def bag_of_words_loss(logits: Tensor, present: Tensor, kind: str = "softmax") -> Tensor:
    """How badly (B, K) logits predict which of K words are `present` (B, K), 0 or 1. Returns a 0-d tensor, nats.

    "softmax": cross-entropy against a target that spreads 1 evenly over a caption's words, mean over the captions that
    have one (0 when none has). "sigmoid": each word is a yes or no of its own, summed over words, mean over captions.

    Raises: ClipkitError for another kind, or for shapes that differ.
    """
    if logits.shape != present.shape:
        raise ClipkitError(f"logits {tuple(logits.shape)} and words {tuple(present.shape)} must have one shape (B, K)")
    if kind == "softmax":
        words = present.sum(1, keepdim=True)
        crossed = -(present / words.clamp_min(1) * logits.log_softmax(1)).sum()
        return crossed / (words > 0).sum().clamp_min(1)
    if kind == "sigmoid":
        return F.binary_cross_entropy_with_logits(logits, present, reduction="sum") / len(logits)
    raise unknown("kind of loss", kind, KINDS)


class WordPredictor(nn.Module):
    """An image tower (pixels to (B, D)) and one linear score for each of the kept words.

    Args: tower; width: D; keep: (V,) bool, from `telling_words`.
    """

    def __init__(self, tower: nn.Module, width: int, keep: Tensor):
        super().__init__()
        self.tower = tower
        self.head = nn.Linear(width, int(keep.sum()))
        self.register_buffer("keep", keep)

    @classmethod
    def of(cls, model, captions: Sequence[str], seed: int) -> WordPredictor:
        """A predictor on the image tower of a DualEncoder (shared, not copied), for the telling words of `captions`.

        `seed` draws the last layer. Raises: ClipkitError when no word is telling.
        """
        tokens = model.tokenize(list(captions))
        vocabulary = model.config["text_cfg"]["vocab_size"]
        torch.manual_seed(seed)
        return cls(model.module.visual, model.embed_dim, telling_words(tokens, vocabulary)).to(model.device)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, K) logits, K the number of kept words, in the order of their tokens."""
        return self.head(self.tower(pixels)).float()

    def loss(self, batch: tuple[Tensor, Tensor], kind: str = "softmax") -> Tensor:
        """The objective on one (pixels, tokens (B, L)) batch, for `clipkit.train`."""
        pixels, tokens = batch
        return bag_of_words_loss(self(pixels), bag(tokens, len(self.keep))[:, self.keep], kind)

    def class_scores(self, pixels: Tensor, names: Tensor, by: str = "logit") -> Tensor:
        """Zero-shot scores (B, C) from the words of the class names.

        Args:
            pixels: (B, 3, S, S). names: (C, L) tokens of the class names; a name of several words gets their mean.
            by: "logit": the score of the word; "cosine": the angle between the picture's feature and the word's row of
                the last layer, which forgets how frequent the word was in training.

        Raises: ClipkitError for another `by`, or when a name has no kept word.
        """
        words = bag(names, len(self.keep))[:, self.keep]  # (C, K)
        if (words.sum(1) == 0).any():
            raise ClipkitError("a class name has no word that was kept for training; give more captions or lower `rarest`")
        words = words / words.sum(1, keepdim=True)
        if by == "logit":
            return self(pixels) @ words.T
        if by == "cosine":
            directions = F.normalize(words @ F.normalize(self.head.weight, dim=1), dim=1)  # (C, D)
            return F.normalize(self.tower(pixels), dim=1) @ directions.T
        raise unknown("way to score", by, ("logit", "cosine"))


def pair_features(model, dataset) -> tuple[Tensor, Tensor]:
    """(N, D) features of the pictures and (N, D) of their first captions, unit norm, on the CPU.

    Raises: ClipkitError when the data set has no captions.
    """
    if dataset.captions is None:
        raise ClipkitError(f"pairs need captions, and {dataset.name} has none; take a data set with captions, such as world or photos")
    different, place = np.unique([captions[0] for captions in dataset.captions], return_inverse=True)
    return model.image_features(dataset.images), model.text_features(different.tolist())[torch.from_numpy(place)]


def measure_pairs(model, dataset) -> dict:
    """Zero-shot accuracy (percent, among the data set's own names, all templates) and geometry of its pairs.

    Returns: accuracy, gap, alignment, uniformity (mean of the two clouds'), and `features`, the pair of (N, D) tensors.
    Raises: ClipkitError without captions or labels.
    """
    if dataset.labels is None:
        raise ClipkitError(f"zero-shot accuracy needs labels, and {dataset.name} has none here")
    v, t = pair_features(model, dataset)
    logits = v @ zeroshot_weights(model, dataset.classnames, dataset.templates).cpu().T
    return {
        "accuracy": percent_right(logits, dataset.labels),
        "gap": modality_gap(v, t).item(),
        "alignment": alignment(v, t).item(),
        "uniformity": (uniformity(v).item() + uniformity(t).item()) / 2,
        "features": (v, t),
    }


def measure_finished(v: Tensor, t: Tensor, scale: float, untrained: str | None, seed: int) -> dict[str, float]:
    """`FINISHED` of pairs (N, D) from elsewhere, accuracies in percent; the last two where `untrained` names them as before training."""
    best, own = min((scale * by for by in torch.logspace(-1, 1, 41).tolist()), key=lambda s: info_nce(v, t, s).item()), torch.arange(len(v))
    values = [percent_right(v @ t.T, own), percent_right(t @ v.T, own), scale, best]
    values += [1 - torch.pdist(x).square().mean().item() / 2 for x in (v, t)]
    if untrained:
        before = modality_gap(*pair_features(load_model(untrained), own_pictures(untrained, "test", len(v), seed))).item()
        values += [before, modality_gap(v, t).item() / before]
    return dict(zip(FINISHED, values, strict=False))


class TrainingMonitor:
    """Give it to `train` as `after_step`: it measures `dataset` before the first step and `times` times on the way.

    Args: steps: of the whole training; the last measurement is after the last of them, and with times=1 the only one.
    batch: pairs a step.

    Attributes: loss (one number a step); measured (list of `measure_pairs`' dictionaries, with `pairs` seen so far).
    """

    def __init__(self, model, dataset, steps: int, batch: int, times: int = 8):
        if not 1 <= times <= steps:
            raise ClipkitError(f"a training of {steps} steps can be measured 1 to {steps} times, not {times}")
        self.model, self.dataset, self.batch = model, dataset, batch
        self.when = {round(steps * (i + 1) / times) for i in range(times)}
        self.loss: list[float] = []
        self.measured: list[dict] = []
        if times > 1:
            self._measure()

    def _measure(self) -> None:
        self.measured.append({"pairs": len(self.loss) * self.batch, **measure_pairs(self.model, self.dataset)})

    def __call__(self, step: int, module: nn.Module, value: float) -> None:
        self.loss.append(value)
        if step + 1 in self.when:
            training = module.training
            module.eval()
            self._measure()
            module.train(training)

    @property
    def table(self) -> pandas.DataFrame:
        """A row a measurement: pairs, accuracy, gap, alignment, uniformity."""
        import pandas

        return pandas.DataFrame([{name: value for name, value in row.items() if name != "features"} for row in self.measured])


def show_learning(monitor: TrainingMonitor, ignorance: float, chance: float) -> None:
    """The loss of every step beside `ignorance`, log B, and zero-shot accuracy beside `chance`, percent."""
    table, end = monitor.table, len(monitor.loss) * monitor.batch
    alt = f"Left: the loss falls from {monitor.loss[0]:.2f} to {np.mean(monitor.loss[-8:]):.2f}; log B is {ignorance:.2f}. "
    alt += f"Right: zero-shot accuracy goes from {table.accuracy.iloc[0]:.0f} to {table.accuracy.iloc[-1]:.0f} %; chance is {chance:.0f} %."
    with lab.figure(alt=alt, title="The loss falls, and names begin to work", columns=2) as (left, right):
        left.plot(monitor.batch * (1 + np.arange(len(monitor.loss))), monitor.loss, color="black", linewidth=1.2)
        right.plot(table.pairs, table.accuracy, color="black", marker="o")
        for axes, level, name in ((left, ignorance, "log B"), (right, chance, "chance")):
            axes.axhline(level, color="0.4", linestyle=":")
            axes.annotate(name, (end, level), ha="right", va="bottom", color="0.3")
            axes.set(xlabel="pairs seen", xticks=[0, end // 2, end])
        left.set(ylabel="InfoNCE, nats", ylim=(0, None))
        right.set(ylabel="zero-shot accuracy, %", ylim=(0, 100))


def show_cosines(before: Tensor, after: Tensor) -> None:
    """Cosines (n, n) of n pictures, the rows, with their n captions, before and after training."""
    hits = [int((cosines.argmax(1) == torch.arange(len(cosines))).sum()) for cosines in (before, after)]
    alt = f"Two tables of the cosines of {len(before)} pictures with their captions. Before training {hits[0]}, "
    alt += f"after it {hits[1]} pictures are most similar to their own caption, which lies on the diagonal."
    with lab.figure(alt=alt, title="Cosines before and after training", columns=2) as both:
        for axes, cosines, when in zip(both, (before, after), ("before", "after"), strict=True):
            axes.imshow(cosines, cmap="cividis")
            axes.set(xlabel="caption", ylabel="picture", xticks=[], yticks=[])
            axes.set_title(f"{when}: {cosines.min():.2f} to {cosines.max():.2f}".replace("-", "−"), fontsize=11)


def show_clouds(clouds: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Two panels, by title: pictures and texts, both (N, D), in the two directions in which they vary most together."""
    panels = {f"{name}: gap {modality_gap(v, t):.2f}": (v[:300], t[:300]) for name, (v, t) in clouds.items()}
    alt = "Two panels, each with a cloud of pictures and a cloud of texts in two dimensions. " + "; ".join(panels)
    with lab.figure(alt=alt, title="Pictures and texts in one space", columns=2, size=(6.4, 3.7)) as both:
        for axes, (title, pair) in zip(both, panels.items(), strict=True):
            plane = torch.linalg.svd(torch.cat(pair) - torch.cat(pair).mean(0), full_matrices=False)[2][:2].T  # (D, 2)
            for cloud, mark, colour, kind in zip(pair, "ox", ("black", "#D55E00"), ("pictures", "texts"), strict=True):
                axes.plot(*(cloud @ plane).T, mark, color=colour, markersize=3, label=kind)
            axes.set_title(title, fontsize=11.5)
            axes.set(xticks=[], yticks=[])
        both[0].legend(markerscale=2)
