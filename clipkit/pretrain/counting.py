"""Teaching two towers to count: the loss against captions whose number is wrong, a tuning with it, what is counted then.

Letters in shapes: B pairs of a batch, D joint dimensions, M false captions a picture, K numbers a caption may state (here nine).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.language.caption_numbers import COUNTS
from clipkit.pretrain.losses import info_nce
from clipkit.train import shuffled, train


def false_caption_loss(
    images: Tensor, texts: Tensor, false: Tensor, scale: Tensor | float | None = None, weight: Tensor | None = None
) -> Tensor:
    """−log of the probability with which a picture prefers its caption to false ones, mean over the pictures. 0-d, nats.

    For captions that are false in whatever: a number here, an attribute, a negation, the order of words.

    Args:
        images, texts: (B, D) unit norm. false: (B, M, D), M captions that are wrong of each picture.
        scale: of the cosines. None as the equation is printed, without one: then the loss cannot leave
            [log(1 + M e^−2), log(1 + M e^2)]. CLIP's other logits have the model's scale.
        weight: (B,) not negative, of the terms; the sum is divided by B.

    Raises ClipkitError for shapes that do not fit. Source: arXiv:2302.12066, eq. 2, M = 1; all at once, M = 8: CountCLIP's "Lcount+".
    """
    if images.shape != texts.shape or false.ndim != 3 or (false.shape[0], false.shape[2]) != tuple(images.shape):
        raise ClipkitError(f"want (B, D), (B, D) and (B, M, D); got {tuple(images.shape)}, {tuple(texts.shape)}, {tuple(false.shape)}")
    if weight is not None and weight.shape != images.shape[:1]:
        raise ClipkitError(f"one weight a picture: {tuple(weight.shape)} for {len(images)}")
    cosines = torch.cat([texts[:, None], false], 1) @ images[..., None]  # (B, 1 + M, 1)
    logits = (1.0 if scale is None else scale) * cosines[..., 0]
    each = F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64), reduction="none")
    return (each if weight is None else weight * each).mean()


def balancing_weights(stated: Tensor, rule: str) -> Tensor:
    """(N,) weights of pairs that state number `stated` (N,): "norm", 1 − n_c / n, or "modal", n_modal / n_c. Source: CountCLIP."""
    checks.one_of("rule of balance", rule, ("norm", "modal"))
    n = torch.bincount(stated).float()
    return (1 - n / len(stated) if rule == "norm" else n.max() / n)[stated]


@dataclass(frozen=True, eq=False)
class CountingPairs:
    """Pictures whose captions state a number, as two towers take them.

    images (N, ...); texts (T, ...): all captions, each once; captions (N, K) int64: rows of `texts` that state two, three, ... ten
    of picture i; stated, shown (N,) int64: which of the K the caption states, and which is true.
    """

    images: Tensor
    texts: Tensor
    captions: Tensor
    stated: Tensor
    shown: Tensor

    def rows(self, rows: Tensor) -> CountingPairs:
        return CountingPairs(self.images[rows], self.texts, self.captions[rows], self.stated[rows], self.shown[rows])

    def spoilt(self, share: float, seed: int) -> CountingPairs:
        """With probability `share` a caption states another number than there is."""
        dice = torch.Generator().manual_seed(seed)
        other = torch.randint(1, self.captions.shape[1], self.shown.shape, generator=dice)
        wrong = torch.rand(len(self.shown), generator=dice) < share
        stated = torch.where(wrong, (self.shown + other) % self.captions.shape[1], self.shown)
        return CountingPairs(self.images, self.texts, self.captions, stated, self.shown)


@dataclass(frozen=True, eq=False)
class OtherPairs:
    """Ordinary pairs: what the towers take of N pictures and of their N captions."""

    images: Tensor
    texts: Tensor


@dataclass(frozen=True)
class CountRecipe:
    """How towers are tuned: L_CLIP on `batch` pairs, `counting` of which state a number, plus λ times the loss against false ones.

    weight: λ, 0 for L_CLIP on the same pairs alone. wrong: how many false numbers, "one" at random or "all". scaled: with the
    model's logit scale. tower: "both", "image" or "text". balance: a rule of `balancing_weights` for λ. even: draw every stated
    number equally often, else the pairs as they come. steps, lr: of AdamW without decay.
    """

    weight: float = 1.0
    wrong: str = "one"
    scaled: bool = True
    tower: str = "both"
    balance: str | None = None
    even: bool = False
    steps: int = 120
    batch: int = 128
    counting: int = 32
    lr: float = 1e-3
    seed: int = 0


def tune_to_count(towers: nn.Module, pairs: CountingPairs, others: OtherPairs, recipe: CountRecipe) -> nn.Module:
    """A copy of two towers (`encode_image`, `encode_text`, `logit_scale`), tuned; the temperature stays.

    Raises ClipkitError: an unknown `wrong`, `tower` or `balance`; a batch that has no room for ordinary pairs.
    """
    checks.one_of("number of false captions", recipe.wrong, ("one", "all"))
    checks.one_of("tower", recipe.tower, ("both", "image", "text"))
    checks.at_least(0, weight=recipe.weight)
    if not 0 < recipe.counting < recipe.batch:
        raise ClipkitError(f"a batch of {recipe.batch} with {recipe.counting} that state a number: give it some of both")
    student, scale, K = copy.deepcopy(towers), towers.logit_scale.detach(), pairs.captions.shape[1]
    for name, parameter in student.named_parameters():
        of = "image" if name.startswith("pictures") or "visual" in name else "text"
        parameter.requires_grad_(parameter.requires_grad and recipe.tower in ("both", of))
    weights = balancing_weights(pairs.stated, recipe.balance) if recipe.balance else torch.ones(len(pairs.stated))
    dice, every = torch.Generator().manual_seed(recipe.seed), torch.arange(1, K)

    def loss(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        mine, rest = batch
        images = module.encode_image(torch.cat([pairs.images[mine], others.images[rest]]))
        shift = every.expand(len(mine), -1) if recipe.wrong == "all" else torch.randint(1, K, (len(mine), 1), generator=dice)
        own = pairs.stated[mine, None]
        asked = pairs.captions[mine].gather(1, torch.cat([own, (own + shift) % K], 1))  # (B, 1 + M), the stated one first
        asked = asked if recipe.weight else asked[:, :1]
        different, place = asked.unique(return_inverse=True)
        texts = module.encode_text(pairs.texts[different])[place]  # (B, 1 + M, D)
        value = info_nce(images, torch.cat([texts[:, 0], module.encode_text(others.texts[rest])]), scale)
        if recipe.weight:
            how = (scale if recipe.scaled else None), weights[mine].to(images)
            value = value + recipe.weight * false_caption_loss(images[: len(mine)], texts[:, 0], texts[:, 1:], *how)
        return value

    train(student, _batches(pairs, len(others.images), recipe), loss, recipe.steps, lr=recipe.lr, weight_decay=0.0)
    return student


def _batches(pairs: CountingPairs, others: int, recipe: CountRecipe):  # rows of counting pairs and of ordinary ones, for ever
    one, two = (torch.Generator().manual_seed(seed) for seed in (recipe.seed, recipe.seed + 1))
    n, rest = len(pairs.stated), shuffled(others, min(recipe.batch - recipe.counting, others), two, rest="drop")
    order = shuffled(n, min(recipe.counting, n), one, rest="carry")
    chance = 1 / torch.bincount(pairs.stated).float()[pairs.stated]
    while True:
        yield torch.multinomial(chance, recipe.counting, replacement=True, generator=one) if recipe.even else next(order), next(rest)


@torch.no_grad()
def count_scores(towers: nn.Module, pairs: CountingPairs, batch: int = 256) -> Tensor:
    """(N, K) cosines of each picture with its K captions, which differ in the number alone."""
    used = pairs.captions.unique()
    texts = torch.cat([towers.encode_text(part) for part in pairs.texts[used].split(batch)])
    images = torch.cat([towers.encode_image(part) for part in pairs.images.split(batch)])
    return (texts[torch.searchsorted(used, pairs.captions)] @ images[..., None])[..., 0]


def evaluate_counting(guesses: Tensor, shown: Tensor, n: int = len(COUNTS)) -> dict:
    """How well numbers are told: guesses and truth, (N,) int64 below n, or scores (N, n) for guesses.

    Returns: "accuracy", percent, the mean of "per_count" (n,), percent right of each number (NaN of one that is never shown), so
    that every number weighs the same; "mad", the mean absolute error, over the same; "confusion" (n, n), pictures, rows the truth.
    """
    guesses = guesses.argmax(1) if guesses.ndim == 2 else guesses
    confusion = torch.bincount(shown * n + guesses, minlength=n * n).view(n, n).double()
    share = confusion / confusion.sum(1, keepdim=True)  # NaN in the row of a number that is not shown
    off = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    per_count, mad = (100 * share.diagonal()).numpy(), float(np.nanmean((share * off).sum(1)))
    return {"accuracy": float(np.nanmean(per_count)), "mad": mad, "per_count": per_count, "confusion": confusion.numpy()}
