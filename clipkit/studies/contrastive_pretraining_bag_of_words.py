"""Learning pictures from the words of their captions, each word by itself: no text tower and no negatives.

The rival that CLIP's figure 2 measures contrastive learning against. Words are tokens here; the shipped vocabulary has
one for nearly every word of the world.

Sources: Joulin et al., arXiv:1511.02251 (softmax over the words of a caption); CLIP, arXiv:2103.00020, section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.errors import ClipkitError, unknown

KINDS = ("softmax", "sigmoid")


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
