"""ComCLIP: the parts of a picture that a sentence names are added to the picture, before it is compared with the sentence.

Letters: P pairs of a picture and a sentence, K parts (subject, object, predicate), D dimensions.

Source: arXiv:2211.13854, section 3, and github.com/eric-ai-lab/ComCLIP. The paper reads sentences with a language model and finds
things with a detector; here both are given: `parse_triple` reads plain sentences, boxes come from whoever has them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.errors import ClipkitError

FILLERS = ("black", "mean", "blur", "crop")
WEIGHTS = ("ratio", "softmax", "uniform")
MARGIN = 0.15  # round a box that is cut out and enlarged, on each side, as a share of the box
_ARTICLES = "a|an|the|his|her|its|their|some|one|two|three|four|is|are"
_NO_RELATION = ("", "and", "with", ",")  # what stands between two things and says nothing about them


class Triple(NamedTuple):
    """What a sentence says of its first two things.

    subject, object: their classes, `object` "" where one thing is named. keys: the words of subject, object and predicate that
    are compared with their parts, "" where there are none. at: (start, end) of both nouns in the sentence.
    """

    subject: str
    object: str
    keys: tuple[str, str, str]
    at: tuple[tuple[int, int], ...]


def parse_triple(sentence: str, nouns: Mapping[str, str], attributes: Collection[str] = ()) -> Triple | None:
    """The first two things of different classes that a sentence names, and the words between them; None where it names none.

    Args: nouns: word or phrase, as written, in lower case -> class. attributes: words that may stand before a noun.

    >>> parse_triple("A red cat to the left of a dog.", {"cat": "cat", "dog": "dog"}, ("red",)).keys
    ('red cat', 'dog', 'to the left of')
    """
    low, any_of = sentence.lower(), lambda words: "|".join(map(re.escape, sorted(words, key=len, reverse=True))) or "(?!)"
    found: dict[str, re.Match] = {}
    for match in re.finditer(rf"(?<![\w-])((?:(?:{any_of(attributes)}) )*)({any_of(nouns)})(?![\w-])", low):
        found.setdefault(nouns[match[2]], match)
    if not found:
        return None
    classes, matches = [*list(found)[:2], ""], list(found.values())[:2]
    keys, between = [*(match[0] for match in matches), ""], low[matches[0].end() : matches[-1].start()]
    between = re.sub(rf"^(?:\W|(?:{_ARTICLES}) )+|(?:\W|\b(?:{_ARTICLES})(?= *$))+$", "", between)
    predicate = "" if between in _NO_RELATION else between
    return Triple(classes[0], classes[1], (keys[0], keys[1], predicate), tuple(match.span(2) for match in matches))


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """(height, width) bool: in any of the boxes (M, 4), x0 y0 x1 y1 in pixels; all where there is none, as in the paper."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ClipkitError(f"boxes are (M, 4), x0 y0 x1 y1 in pixels, got {tuple(boxes.shape)}")
    if not len(boxes):
        return torch.ones(height, width, dtype=torch.bool)
    x0, y0, x1, y1 = boxes.T[..., None]  # (M, 1) each
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    return ((y0 <= y) & (y < y1))[:, :, None].logical_and(((x0 <= x) & (x < x1))[:, None]).any(0)


def cut_out(image: Tensor, mask: Tensor, filler: str = "black") -> Tensor:
    """A picture (3, H, W) of which the part under mask (H, W) bool is left, as (3, H, W) of the same type.

    Args: filler: what the rest becomes. "black", as in the paper (whose code loses black pixels of the part too); "mean", the
        picture's mean colour; "blur"; or "crop": the box round the part, with a margin, enlarged to the whole frame.

    A mask that is all True, or empty, gives the picture itself. Raises: ClipkitError for an unknown filler, shapes that do not fit.
    """
    checks.one_of("filler", filler, FILLERS)
    if image.ndim != 3 or mask.shape != image.shape[1:]:
        raise ClipkitError(f"want a picture (3, H, W) and a mask (H, W), got {tuple(image.shape)} and {tuple(mask.shape)}")
    if mask.all() or not mask.any():
        return image
    pixels, (height, width) = image.float(), mask.shape
    if filler == "crop":
        (y0, y1), (x0, x1) = ((int(line[0]), int(line[-1]) + 1) for line in (mask.any(d).nonzero().flatten() for d in (1, 0)))
        my, mx = round(MARGIN * (y1 - y0)), round(MARGIN * (x1 - x0))
        part = pixels[:, max(y0 - my, 0) : y1 + my, max(x0 - mx, 0) : x1 + mx]
        out = F.interpolate(part[None], (height, width), mode="bilinear", antialias=True)[0]
    elif filler in ("black", "mean"):
        out = torch.where(mask, pixels, pixels.mean((1, 2), keepdim=True) if filler == "mean" else 0)
    else:
        r = max(1, min(height, width) // 8)
        soft = F.avg_pool2d(F.pad(pixels[None], (r,) * 4, mode="replicate"), 2 * r + 1, 1)[0]
        out = torch.where(mask, pixels, soft)
    return out.to(image.dtype) if image.is_floating_point() else out.round().clamp(0, 255).to(image.dtype)


def part_weights(similar: Tensor, present: Tensor | None = None, how: str = "ratio", temperature: float = 0.01) -> Tensor:
    """Weights (P, K) of the parts, each row of sum one, from similarities s (P, K) of parts with their words.

    Args: present: (P, K) bool, which parts there are. how: "ratio", s / sum s, as in the paper; "softmax" of s / temperature; "uniform".

    "ratio" takes a similarity below 0 for 0, and a row without any above 0 gets uniform weights: the released code divides as it
    is, so that a negative sum turns every weight's sign. Raises: ClipkitError for an unknown way, a row without a part.
    """
    checks.one_of("way to weigh", how, WEIGHTS)
    present = torch.ones_like(similar, dtype=torch.bool) if present is None else present
    if similar.ndim != 2 or present.shape != similar.shape or not present.any(1).all():
        raise ClipkitError(f"want similarities (P, K) and present (P, K) with a part in every row, got {tuple(similar.shape)}")
    if how == "softmax":
        return (similar / temperature).masked_fill(~present, -torch.inf).softmax(1)
    held = similar.clamp(min=0) * present
    flat = (held.sum(1, keepdim=True) <= 0) | (how == "uniform")
    held = torch.where(flat, present.to(similar), held)
    return held / held.sum(1, keepdim=True)


def add_parts(pictures: Tensor, parts: Tensor, weights: Tensor) -> Tensor:
    """The composed picture, v + sum_k w_k v_k (P, D), of pictures (P, D), parts (P, K, D) and weights (P, K)."""
    return pictures + (weights[..., None] * parts).sum(1)


def comclip_score(
    texts: Tensor,
    pictures: Tensor,
    parts: Tensor,
    keys: Tensor,
    present: Tensor | None = None,
    weights: str = "ratio",
    normalise: bool = True,
) -> Tensor:
    """Cosine (P,) of each sentence with its picture and the weighted parts of it.

    Args: texts, pictures: features (P, D). parts: of the cut-out pictures, keys: of the words they stand for, both (P, K, D).
        present, weights: see `part_weights`. normalise: to unit length first, as the paper's code for Winoground does; its code for
        ComVG and Flickr30k does not, and there long vectors count for more.

    Raises: ClipkitError for shapes that do not fit, NaN. Source: arXiv:2211.13854, section 3.
    """
    if parts.ndim != 3 or keys.shape != parts.shape or not texts.shape == pictures.shape == (len(parts), parts.shape[2]):
        shapes = ", ".join(str(tuple(x.shape)) for x in (texts, pictures, parts, keys))
        raise ClipkitError(f"want texts and pictures (P, D), parts and keys (P, K, D), got {shapes}")
    for x, what in ((texts, "texts"), (pictures, "pictures"), (parts.flatten(1), "parts"), (keys.flatten(1), "keys")):
        checks.finite(x, what)
    if normalise:
        texts, pictures, parts, keys = (F.normalize(x, dim=-1) for x in (texts, pictures, parts, keys))
    w = part_weights((keys * parts).sum(-1), present, weights)
    return F.cosine_similarity(texts, add_parts(pictures, parts, w))
