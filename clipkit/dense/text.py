"""From words to labels: classifiers with several words a class, cosines, and label maps at picture size.

Letters: R words, C classes, B pictures, D joint dimensions, h × w the grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.dense.proxy import resize
from clipkit.errors import ClipkitError


class Segmented(NamedTuple):
    """labels (B, H, W) int64; probabilities (B, C, H, W), of which the labels are the largest or, under a threshold, class 0."""

    labels: Tensor
    probabilities: Tensor


@torch.no_grad()
def text_classifier(
    model, names: Sequence[str | Sequence[str]], templates: Sequence[str] | dict[int, Sequence[str]]
) -> tuple[Tensor, Tensor]:
    """Weights of words and the class of each: (R, D) unit vectors float32, and groups (R,) int64.

    Args:
        names: C classes; each a word, several words with "; " between them, or a list of words.
        templates: prompts with one {} each, or a mapping from class to its own prompts (key -1: all other classes).
            "a {}" becomes "an {}" before a vowel.
    Raises ClipkitError: no class, an empty name, a word in two classes, a template without {}.
    """
    from clipkit.world.prompts import fill

    words, groups = [], []
    for c, name in enumerate(names):
        mine = [w.strip() for w in name.split(";")] if isinstance(name, str) else list(name)
        if not mine or not all(mine):
            raise ClipkitError(f"class {c} has an empty name; give every class a word")
        words += mine
        groups += [c] * len(mine)
    if not words or len(set(words)) < len(words):
        raise ClipkitError("a dense classifier needs at least one class, and no word may stand in two")
    rows = []
    for word, c in zip(words, groups, strict=True):
        mine = templates if not isinstance(templates, dict) else templates.get(c, templates.get(-1))
        if not mine or any("{}" not in t for t in mine):
            raise ClipkitError(f"class {c} needs templates with a {{}} where the name goes, got {mine}")
        rows.append([fill(t, word) for t in mine])
    features = model.text_features([p for row in rows for p in row]).split([len(row) for row in rows])
    return F.normalize(torch.stack([f.mean(0) for f in features]), dim=-1), torch.tensor(groups)


def cosines(features: Tensor, text: Tensor) -> Tensor:
    """Cosine of every cell with every word: (B, D, h, w) and (R, D) to (B, R, h, w). The one place where cells are normalised.

    Raises ClipkitError when D differs or features hold NaN.
    """
    if features.ndim != 4 or text.ndim != 2 or features.shape[1] != text.shape[1]:
        raise ClipkitError(f"features {tuple(features.shape)} and text {tuple(text.shape)} do not match: want (B, D, h, w) and (R, D)")
    checks.finite(features, "dense features")
    return torch.einsum("bdhw,rd->brhw", F.normalize(features.float(), dim=1), F.normalize(text.float(), dim=1).to(features.device))


def group_max(scores: Tensor, groups: Tensor, n_classes: int | None = None) -> Tensor:
    """The best word of each class: (B, R, …) to (B, C, …). Raises ClipkitError for a class without a word."""
    n = int(groups.max()) + 1 if n_classes is None else n_classes
    members = [(groups == c).nonzero().flatten() for c in range(n)]
    empty = [c for c, rows in enumerate(members) if not len(rows)]
    if len(groups) != scores.shape[1] or empty:
        raise ClipkitError(f"{scores.shape[1]} rows of scores and {len(groups)} groups; classes without a word: {empty[:5]}")
    return torch.stack([scores[:, rows.to(scores.device)].amax(1) for rows in members], 1)


def segment(
    scores: Tensor,
    size: tuple[int, int],
    groups: Tensor | None = None,
    scale: float = 40.0,
    prob_thd: float = 0.0,
    background: float = 0.0,
) -> Segmented:
    """Labels at picture size from cosines (B, R, h, w): upsample (bilinear), softmax over words, best word of a class, largest class.

    Args:
        size: rows and columns of the label map. groups: (R,) class of each word; None: every word is a class.
        scale: factor of the cosines before the softmax; 40 in the code of SCLIP, ProxyCLIP and Trident, not CLIP's logit scale.
        prob_thd: pixels whose largest probability is below become class 0.
        background: added to the cosines of class 0's words before the softmax; 0 in the papers.
    Raises ClipkitError: scale not positive, a threshold outside 0..1.
    """
    checks.positive(scale=scale)
    checks.share(prob_thd=prob_thd)
    groups = torch.arange(scores.shape[1]) if groups is None else groups
    if background:
        scores = scores + background * (groups == 0).to(scores)[None, :, None, None]
    probabilities = group_max((scale * resize(scores, size)).softmax(1), groups)
    best, labels = probabilities.max(1)
    return Segmented(torch.where(best < prob_thd, 0, labels), probabilities)
