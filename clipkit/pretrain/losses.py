"""Contrastive losses on unit-norm features; the fast form beside the plain one it must equal.

`false_negatives` is the same in all of them: (B, B) bool, True where text j is not the partner of image i and yet as
right as it (an equal caption, say; see `equal_texts`). Such a pair is left out of the sums in both directions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.pretrain.hopfield import full, recall


def equal_texts(tokens: Tensor) -> Tensor:
    """(B, B) bool: which captions of a batch of tokens (B, L) are the same as another's; False on the diagonal.

    >>> equal_texts(torch.tensor([[1, 2], [1, 3], [1, 2]])).int().tolist()
    [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    """
    number = tokens.unique(dim=0, return_inverse=True)[1]
    return (number[:, None] == number) & ~torch.eye(len(tokens), dtype=torch.bool, device=tokens.device)


def info_nce(image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float, false_negatives: Tensor | None = None) -> Tensor:
    """Symmetric InfoNCE: each image must pick its own text among the batch, each text its own image.

    Args:
        image_features, text_features: (B, D), float, unit norm; row i of one belongs to row i of the other.
        logit_scale: inverse temperature, a positive number or 0-d tensor.
        false_negatives: (B, B) bool, see above; None for none.

    Returns: 0-d tensor, nats; log(B) for features that know nothing.

    Raises: ClipkitError when the shapes differ.

    Source: CLIP, arXiv:2103.00020, figure 3; the loss is the mean of both directions.
    """
    _pairs("info_nce", image_features, text_features, false_negatives)
    logits = logit_scale * image_features @ text_features.T  # (B, B)
    if false_negatives is not None:
        logits = logits.masked_fill(_other(false_negatives), -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def info_nce_reference(image_features: Tensor, text_features: Tensor, logit_scale: float) -> Tensor:
    """The same loss as the paper writes it, pair by pair: slow, for reading and for tests."""
    B = len(image_features)
    total = image_features.new_zeros(())
    for i in range(B):
        to_texts = torch.stack([logit_scale * image_features[i] @ text_features[j] for j in range(B)])
        to_images = torch.stack([logit_scale * text_features[i] @ image_features[j] for j in range(B)])
        total = total - torch.log(to_texts[i].exp() / to_texts.exp().sum())
        total = total - torch.log(to_images[i].exp() / to_images.exp().sum())
    return total / (2 * B)


def sigmoid_pairs(image_features: Tensor, text_features: Tensor, logit_scale: Tensor | float, bias: Tensor | float = 0.0) -> Tensor:
    """SigLIP's loss: is a picture of the batch a pair with a text of it, yes or no, each of the B² questions by itself.

    Args: features (B, D), unit norm; row i of one belongs to row i of the other. bias: added to the logits; learnt, as a rule.
    Returns: 0-d tensor, nats a picture; 2 log 2 · B / 2 for logits that are all 0.
    Raises: ClipkitError when the shapes differ.
    Source: SigLIP, arXiv:2303.15343, algorithm 1.
    """
    _pairs("sigmoid_pairs", image_features, text_features)
    logits = logit_scale * image_features @ text_features.T + bias
    sign = 2 * torch.eye(len(logits), device=logits.device) - 1
    return -F.logsigmoid(sign * logits).sum() / len(logits)


def leave_one_out(anchor: Tensor, other: Tensor, logit_scale: Tensor | float, false_negatives: Tensor | None = None) -> Tensor:
    """InfoLOOB in one direction, before the mean: for each anchor the log of the sum over its negatives, minus its own logit.

    Args: anchor, other: (B, D), unit norm; the others as for `info_nce`.
    Returns: (B,), nats; 0 without a gradient for an anchor that has no negative, because all the others are false ones.
    Raises: ClipkitError when the shapes differ, or no anchor has a negative.
    """
    _pairs("leave_one_out", anchor, other, false_negatives)
    logits = _logits(anchor, other, logit_scale)
    rest, alone = _rest(logits, false_negatives)
    return (rest - logits.diagonal()).masked_fill(alone, 0.0)


def info_loob(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    tau_scaled: bool = True,
    false_negatives: Tensor | None = None,
) -> Tensor:
    """InfoLOOB in both directions: InfoNCE whose denominators leave the positive out, so that they never saturate.

    Args:
        image_features, text_features, logit_scale, false_negatives: as for `info_nce`.
        tau_scaled: times the temperature 1 / logit_scale, as the released code has it.

    Returns: 0-d tensor, the *sum* of both directions, each a mean over its anchors. It may be negative, and once partners
    stand out it falls without end as the logit scale grows: compare runs by what they can do, never by this number.

    Raises: ClipkitError when the shapes differ or nothing is left to contrast with (a single pair).

    Source: CLOOB, arXiv:2110.11316, the InfoLOOB objective, and `infoLOOB_loss` of ml-jku/cloob: the sum of the directions
    and the factor follow the code. The code puts -1000 on the diagonal, we leave the positive out.
    """
    _pairs("info_loob", image_features, text_features, false_negatives)
    logits = _logits(image_features, text_features, logit_scale)
    total = _loob(logits, false_negatives) + _loob(logits.T, _turned(false_negatives))
    return total / logit_scale if tau_scaled else total


def cloob_loss(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    beta: Tensor | float = 8.0,
    tau_scaled: bool = True,
    false_negatives: Tensor | None = None,
    hide_self: bool = False,
) -> Tensor:
    """CLOOB: InfoLOOB between what the memory of the batch recalls for the images and for the texts.

    The images' memory recalls U for both, the texts' memory recalls V for both. Image anchors are judged by U, text
    anchors by V. Evaluation uses the features themselves, not what is recalled.

    Args:
        beta: inverse temperature of the memory. `hide_self`: see `clipkit.pretrain.hopfield.recall`.
        the others: as for `info_loob`. False negatives stay in the memory and leave the sums only.

    Returns: 0-d tensor, the sum of both directions.

    Source: CLOOB, arXiv:2110.11316, the CLOOB objective; `cloob` of ml-jku/cloob, with which it agrees.
    """
    _pairs("cloob_loss", image_features, text_features, false_negatives)
    u_x, u_y, v_x, v_y = recall(image_features, text_features, beta, hide_self)
    total = _loob(_logits(u_x, u_y, logit_scale), false_negatives)
    total = total + _loob(_logits(v_y, v_x, logit_scale), _turned(false_negatives))
    return total / logit_scale if tau_scaled else total


def memory_info_nce(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    beta: Tensor | float = 8.0,
    false_negatives: Tensor | None = None,
) -> Tensor:
    """InfoNCE on what the memory recalls: CLOOB's memory without its loss, the arm that the paper says saturates.

    Arguments as for `cloob_loss`. Returns: 0-d tensor, nats, the mean of both directions as in `info_nce`.
    """
    _pairs("memory_info_nce", image_features, text_features, false_negatives)
    u_x, u_y, v_x, v_y = recall(image_features, text_features, beta)
    image = positive_logs(u_x, u_y, logit_scale, false_negatives)
    return -0.5 * (image.mean() + positive_logs(v_y, v_x, logit_scale, _turned(false_negatives)).mean())


def decoupled_info_nce(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    sigma: float | None = 0.5,
    within: bool = False,
    false_negatives: Tensor | None = None,
) -> Tensor:
    """Decoupled contrastive loss between two modalities: the positive leaves the denominator, and easy positives weigh less.

    Args:
        sigma: width of the weighting 2 - B softmax(cosine of the pair / sigma), which has mean 1 over the batch and is
            smallest for the pairs that agree most; None for equal weights, which is InfoLOOB.
        within: take the other members of the anchor's own modality as negatives too, as the paper does for two views.
        the others: as for `info_nce`.

    Returns: 0-d tensor, nats, mean of both directions.

    Source: Yeh et al., arXiv:2110.06848 (DCL, and DCLW with a sigma); `DCL` and `DCLW` of
    raminnakhli/Decoupled-Contrastive-Learning, each in one direction and with `within`. As there the weights are not detached.
    """
    _pairs("decoupled_info_nce", image_features, text_features, false_negatives)
    checks.positive(sigma=sigma)
    x, y = full(image_features), full(text_features)
    own = (x * y).sum(1)  # (B,) cosine of each pair
    weight = 1.0 if sigma is None else 2 - len(own) * (own / sigma).softmax(0)
    logits, total = _logits(x, y, logit_scale), own.new_zeros(())
    for rows, anchor, same in ((logits, x, false_negatives), (logits.T, y, _turned(false_negatives))):
        rest, alone = _rest(rows, same)
        if within:
            rest = torch.logaddexp(rest, _rest(_logits(anchor, anchor, logit_scale), same)[0])
        total = total + 0.5 * _mean(rest - weight * logit_scale * own, alone)
    return total


def positive_logs(anchor: Tensor, other: Tensor, logit_scale: Tensor | float, false_negatives: Tensor | None = None) -> Tensor:
    """Log-probability with which each anchor picks its partner, (B,) nats: InfoNCE in one direction is minus its mean."""
    _pairs("positive_logs", anchor, other, false_negatives)
    logits = _logits(anchor, other, logit_scale)
    if false_negatives is not None:
        logits = logits.masked_fill(_other(false_negatives), -torch.inf)
    return logits.log_softmax(1).diagonal()


def _pairs(name: str, a: Tensor, b: Tensor, false_negatives: Tensor | None = None) -> None:
    if a.shape != b.shape or a.ndim != 2:
        raise ClipkitError(f"{name} wants two (B, D) tensors of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    if false_negatives is not None and (false_negatives.dtype != torch.bool or false_negatives.shape != (len(a), len(a))):
        raise ClipkitError(f"{name} wants false_negatives as ({len(a)}, {len(a)}) bool, got {tuple(false_negatives.shape)}")


def _logits(anchor: Tensor, other: Tensor, logit_scale: Tensor | float) -> Tensor:
    """(B, B), row: anchor; never in half precision, in which a large scale would overflow or round partners together."""
    with torch.autocast(anchor.device.type, enabled=False):
        return logit_scale * full(anchor) @ full(other).T


def _rest(logits: Tensor, false_negatives: Tensor | None) -> tuple[Tensor, Tensor]:
    """Log of the sum over each row's negatives (B,), and which rows have none (B,) bool; for these it is minus infinity."""
    out = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    out = out if false_negatives is None else out | false_negatives
    rest = logits.masked_fill(out, -torch.inf).logsumexp(1)
    alone = rest.isneginf()
    if alone.all():
        raise ClipkitError("no pair of this batch has a negative: give at least two pairs with different captions")
    return rest, alone


def _loob(logits: Tensor, false_negatives: Tensor | None) -> Tensor:
    """The mean over the rows that have a negative of log-sum-exp of the negatives minus the diagonal."""
    rest, alone = _rest(logits, false_negatives)
    return _mean(rest - logits.diagonal(), alone)


def _mean(terms: Tensor, alone: Tensor) -> Tensor:
    """Mean of the (B,) terms of the anchors that are not alone."""
    return terms.masked_fill(alone, 0.0).sum() / (~alone).sum()


def _other(mask: Tensor) -> Tensor:
    """The mask without its diagonal: a partner is never a false negative."""
    return mask & ~torch.eye(len(mask), dtype=torch.bool, device=mask.device)


def _turned(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.T
