"""Training a "no" tower on features that are computed once: those of pictures and captions, and those of its own frozen layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.robust.clipn import NoTextTower, clipn_loss
from clipkit.train import shuffled, train

LIMIT = 2**31  # bytes that may be kept; beyond, the frozen layers are computed in every step


class CaptionedPictures(Protocol):
    """N pictures with captions: `images` and `texts` (N, D), unit norm, of the frozen model.

    `match`: of some rows (B,), (B, B) bool: [i, j] True where caption j is true of picture i.
    """

    images: Tensor
    texts: Tensor
    captions: Sequence[str]
    match: Callable[[Tensor], Tensor]


def train_no_tower(
    tower: NoTextTower,
    pairs: CaptionedPictures,
    scale: float,
    steps: int,
    batch: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
    masked: bool = True,
) -> list[dict[str, float]]:
    """Train a "no" tower in place; a row for every step: the parts of the loss, and the towers' distance.

    Args: scale: the model's logit scale, frozen. masked: leave captions that are true of a picture out of its denials.
    Raises ClipkitError: fewer pairs than a batch.
    Source: arXiv:2308.12213; weight decay 0.2 and a cosine without warm-up are the released code's.
    """
    if len(pairs.images) < batch:
        raise ClipkitError(f"{len(pairs.images)} pairs do not fill a batch of {batch}; give more pairs or a smaller batch")
    device, inputs, rows = tower.prompts.device, tower.inputs(pairs.captions), []
    images, texts = pairs.images.to(device), pairs.texts.to(device)
    batches = shuffled(len(images), batch, torch.Generator().manual_seed(seed), rest="drop")

    def loss(module: NoTextTower, chosen: Tensor) -> Tensor:
        recall(chosen)
        match = pairs.match(chosen).to(device) if masked else None
        parts = clipn_loss(images[chosen], texts[chosen], module(inputs[chosen]), scale, match)
        rows.append({"step": len(rows) + 1, **{name: float(part.detach()) for name, part in parts.items()}})
        return parts["total"]

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with frozen_layers_kept(tower, inputs) as recall:
            train(tower, batches, loss, steps, lr=lr, warmup=1, weight_decay=0.2)
    return [{**row, "distance": 2 - row["tso"]} for row in rows]


def first_trained(tower: NoTextTower) -> tuple[nn.ModuleList, int] | None:
    """The tower's list of layers and the place of the first one that is trained; None if something before it is trained too."""
    names = [name for name, parameter in tower.network.named_parameters() if parameter.requires_grad]
    for path, layers in tower.network.named_modules():
        if isinstance(layers, nn.ModuleList) and names and all(name.startswith(f"{path}.") for name in names):
            first = min(int(name[len(path) + 1 :].split(".")[0]) for name in names)
            return (layers, first) if first and not len(tower.prompts) else None
    return None


@contextmanager
def frozen_layers_kept(tower: NoTextTower, tokens: Tensor, batch: int = 128) -> Iterator[Callable[[Tensor], None]]:
    """While this is open, the frozen layers of a tower do not compute: they give back what they made of `tokens` (N, L) before.

    The same numbers up to rounding, for a fraction of the time. Towers with prompts or with trained word vectors have no
    such layers and are left alone, and so are data too large to keep.

    Yields: a function that must be told the rows (B,) of the texts before each forward pass.
    """
    found = first_trained(tower)
    kept = None if found is None else _outputs(tower, tokens, *found, batch)
    if kept is None:
        yield lambda rows: None
        return
    layers, first = found
    told: list[Tensor] = []

    def recall(x: Tensor, *_args, **_kwargs) -> Tensor:
        return kept[told[-1]][:, : x.shape[1]]

    def skip(x: Tensor, *_args, **_kwargs) -> Tensor:
        return x

    def tell(rows: Tensor) -> None:
        told[:] = [rows]

    for k in range(first):
        layers[k].forward = recall if k == first - 1 else skip
    try:
        yield tell
    finally:
        for k in range(first):
            del layers[k].forward


@torch.no_grad()
def _outputs(tower: NoTextTower, tokens: Tensor, layers: nn.ModuleList, first: int, batch: int) -> Tensor | None:
    """What layer `first` is given for each text: (N, L, W), or None where that is too much or not one row a text."""
    seen: list[Tensor] = []
    hook = layers[first].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        for part in tokens.split(batch):
            tower(part)
            if seen[-1].ndim != 3 or len(seen[-1]) != len(part) or sum(x.numel() * x.element_size() for x in seen) > LIMIT:
                return None
    finally:
        hook.remove()
    length = max(x.shape[1] for x in seen)
    return torch.cat([F.pad(x, (0, 0, 0, length - x.shape[1])) for x in seen])
