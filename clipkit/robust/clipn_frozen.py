"""A "no" tower whose last layers alone are trained: what the layers below make of a text is computed once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit.robust.clipn import NoTextTower

LIMIT = 2**31  # bytes that may be kept; beyond, the frozen layers are computed in every step


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
