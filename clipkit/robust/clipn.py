"""CLIPN: a second text tower that says "no", its losses, and the scores of yes against no.

Letters: B pairs, L tokens, D joint dimensions, N pictures, C known classes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.models.inputs import as_texts

TSO_EPSILON = 1e-4  # the towers start equal, and the square root has no finite slope at 0


class NoTextTower(nn.Module):
    """A trainable copy of a model's text tower, with prompts that are *added* to the word embeddings.

    The copy starts as the model's own tower and the prompts start at zero, so at first "no" says what "yes" says.
    In training each text draws one of n + 1 options, the n prompts and their mean; afterwards the mean is used.

    Args:
        model: a DualEncoder with a text tower; it is copied, not changed.
        n_prompts: number of prompts; 0 for none.
        train: names of the parameters to train, as prefixes; None for all of the copied text tower.

    Source: arXiv:2308.12213; `NoCLIP` of xmed-lab/CLIPN at e465074: 16 prompts that are added, each with a vector for
    every position, where the paper has learnt words in front. We follow the code.
    """

    def __init__(self, model, n_prompts: int = 16, train: Sequence[str] | None = None):
        super().__init__()
        checks.at_least(0, n_prompts=n_prompts)
        visual = {id(part): None for name in ("visual", "classifier") if (part := getattr(model.module, name, None)) is not None}
        self.model = copy.deepcopy(model, visual)  # the picture tower stays out
        self.network = self.model.module
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name not in ("logit_scale", "logit_bias") and (train is None or name.startswith(tuple(train))))
        with torch.no_grad():
            one = self.model.token_embeddings(self.model.tokenize(["a"]).to(model.device))  # (1, L, W)
        self.prompts = nn.Parameter(torch.zeros(n_prompts, *one.shape[1:], device=model.device))

    def inputs(self, texts: Sequence[str]) -> Tensor:
        """Tokens (N, L) int64 of texts, on the tower's device."""
        return self.model.tokenize(list(texts)).to(self.prompts.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (N, L) to unit-norm "no" features (N, D)."""
        words = self.model.token_embeddings(tokens)  # (N, L, W)
        if len(self.prompts):
            mean = self.prompts.mean(0, keepdim=True)
            if self.training:
                options = torch.cat([self.prompts, mean])  # (n + 1, L, W)
                words = words + options[torch.randint(len(options), (len(tokens),), device=tokens.device)]
            else:
                words = words + mean
        return self.model.encode_token_embeddings(words, tokens)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """Unit-norm features (N, D) on the CPU: the face of a model, so that `zeroshot_weights` makes "no" weights of it."""
        self.eval()
        texts = as_texts(texts)
        return torch.cat([self(self.inputs(texts[i : i + batch])).cpu() for i in range(0, len(texts), batch)])


def clipn_loss(
    image_features: Tensor, text_features: Tensor, no_features: Tensor, scale: Tensor | float, match: Tensor | None = None
) -> dict[str, Tensor]:
    """The losses of the "no" tower: yes to one's own text, no to the others', and the two towers far apart.

    With p_yes the share of "yes" in the softmax of s f·g and s f·g_no:

        yes = −mean over matching pairs of log p_yes,   no = −mean over the others of log(1 − p_yes),
        tso = mean of 2 − ‖g − g_no‖,                   total = (yes + no + tso) / 2.

    Args:
        image_features, text_features, no_features: (B, D), unit norm. scale: the model's logit scale.
        match: (B, B) bool, [i, j] True where text j is true of picture i; None: only its own is.

    Returns: 0-d tensors "yes", "no", "tso", "total".
    Raises ClipkitError: shapes that do not fit, a row of `match` without its own text, nothing that does not match.
    Source: arXiv:2308.12213, eqs. 3–7; the factor of `total` and the epsilon are the code's. `match` is ours: with captions
    as short as these, "others" are often true.
    """
    n = len(image_features)
    checks.same_shape(image_features, text_features, no_features, what="image, text and no features (B, D)")
    own = torch.eye(n, dtype=torch.bool, device=image_features.device)
    match = own if match is None else match
    if match.shape != (n, n) or match.dtype != torch.bool or not match.diagonal().all():
        raise ClipkitError(f"match must be ({n}, {n}) bool and True on the diagonal; got {match.dtype} {tuple(match.shape)}")
    if match.all():
        raise ClipkitError("every text is true of every picture of this batch, so nothing can be denied; use longer captions")
    difference = scale * image_features @ (text_features - no_features).T  # (B, B), the logit of "yes"
    yes = F.softplus(-difference).diagonal().mean()
    no = F.softplus(difference)[~match].mean()
    tso = (2 - (2 - 2 * (text_features * no_features).sum(1) + TSO_EPSILON).clamp_min(0).sqrt()).mean()
    return {"yes": yes, "no": no, "tso": tso, "total": 0.5 * (yes + no + tso)}


class YesNo(NamedTuple):
    """Scores (N,) in 0..1, larger for known, and the decisions (N,) bool of the rules without a threshold."""

    competing_to_win: Tensor
    agreeing_to_differ: Tensor
    reject_competing: Tensor
    reject_agreeing: Tensor


def clipn_scores(features: Tensor, yes_weights: Tensor, no_weights: Tensor, scale: Tensor | float) -> YesNo:
    """Yes against no, for the winning class and for all classes together.

    With p the softmax over the classes' "yes" logits and q_c the share of "yes" for class c: competing to win scores q of
    the likeliest class and rejects below one half; agreeing to differ scores the sum of p_c q_c, calls what is missing to 1
    an unknown class, and rejects when that is larger than every p_c q_c.

    Args: features (N, D), yes_weights and no_weights (C, D), unit norm.
    Raises ClipkitError: shapes that do not fit, NaN.
    Source: arXiv:2308.12213, section 3.4; the released code takes 100 for `scale`, whatever the checkpoint.
    """
    from clipkit.robust.ood import class_cosines

    checks.same_shape(yes_weights, no_weights, what="yes and no weights")
    yes, no = scale * class_cosines(features, yes_weights), scale * class_cosines(features, no_weights)
    p, q = yes.softmax(1), (yes - no).sigmoid()
    winner = q.gather(1, p.argmax(1, keepdim=True))[:, 0]
    together = (p * q).sum(1)
    return YesNo(winner, together, winner < 0.5, 1 - together > (p * q).amax(1))
