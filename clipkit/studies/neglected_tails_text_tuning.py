"""Teaching a text tower new names: contrastive training against fixed image features, the image tower left alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.kept import kept
from clipkit.pretrain.losses import info_nce
from clipkit.train import shuffled, train


def learn_names(model, pictures: Tensor, captions: Sequence[str], steps: int, batch: int = 128, lr: float = 1e-3, seed: int = 0):
    """A copy of a small DualEncoder whose text tower has read `captions` beside (N, D) features of their pictures.

    The image tower is frozen, as in LiT (arXiv:2111.07991), so picture features stay valid. The weights are kept in
    the cache, by content of model, pictures, captions, settings and code.

    Raises: ClipkitError for fewer pairs than a batch, or lengths that differ.
    """
    if len(pictures) != len(captions) or len(captions) < batch:
        raise ClipkitError(f"want as many captions as pictures and at least a batch of {batch}; got {len(captions)} and {len(pictures)}")
    pupil = _copied(model)
    pupil.module.load_state_dict(kept("names", _learnt, model, pictures, list(captions), steps, batch, lr, seed))
    return pupil


def _learnt(model, pictures: Tensor, captions: list[str], steps: int, batch: int, lr: float, seed: int) -> dict[str, Tensor]:
    """The weights of the copy after training."""
    pupil = _copied(model)
    pupil.module.visual.requires_grad_(False)
    tokens = pupil.tokenize(captions)
    tokens = tokens[:, : int((tokens != 0).sum(1).max())].to(pupil.device)  # no longer than the longest caption
    train(pupil.module, _batches(pictures.to(pupil.device), tokens, batch, seed), _loss(pupil), steps, lr=lr, weight_decay=0.05)
    return pupil.module.state_dict()


def _copied(model):
    pupil = copy.copy(model)
    pupil.module, pupil._fingerprint = copy.deepcopy(model.module), None
    return pupil


def _loss(model):
    def loss(_module, pair: tuple[Tensor, Tensor]) -> Tensor:
        return info_nce(pair[0], model.encode_text(pair[1]), model.logit_scale)

    return loss


def _batches(pictures: Tensor, tokens: Tensor, batch: int, seed: int):
    for rows in shuffled(len(tokens), batch, torch.Generator().manual_seed(seed), "drop"):
        yield pictures[rows], tokens[rows]
