"""Teaching a text tower new names: contrastive training against fixed image features, the image tower left alone."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence

import torch
from torch import Tensor

from clipkit import paths
from clipkit.errors import ClipkitError
from clipkit.pretrain.losses import info_nce
from clipkit.train import train


def learn_names(
    model, pictures: Tensor, captions: Sequence[str], steps: int, batch: int = 128, lr: float = 1e-3, seed: int = 0, keep: bool = True
):
    """A copy of a small DualEncoder whose text tower has read `captions` beside (N, D) features of their pictures.

    The image tower is frozen, as in LiT (arXiv:2111.07991), so picture features stay valid. The weights are kept in
    the cache, by content of model, pictures, captions and settings.

    Raises: ClipkitError for fewer pairs than a batch, or lengths that differ.
    """
    if len(pictures) != len(captions) or len(captions) < batch:
        raise ClipkitError(f"want as many captions as pictures and at least a batch of {batch}; got {len(captions)} and {len(pictures)}")
    pupil = copy.copy(model)
    pupil.module, pupil._fingerprint = copy.deepcopy(model.module), None
    content = hashlib.sha256(pictures.cpu().numpy().tobytes()).hexdigest()
    key = json.dumps([1, model.fingerprint, content, list(captions), steps, batch, lr, seed])
    path = paths.cache_dir("pretrain") / f"names-{hashlib.sha256(key.encode()).hexdigest()[:24]}.pt" if keep else None
    if path is not None and path.is_file():
        pupil.module.load_state_dict(torch.load(path, weights_only=True))
        return pupil
    frozen = [p for p in pupil.module.visual.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    tokens = pupil.tokenize(list(captions))
    tokens = tokens[:, : int((tokens != 0).sum(1).max())].to(pupil.device)  # no longer than the longest caption
    train(pupil.module, _batches(pictures.to(pupil.device), tokens, batch, seed), _loss(pupil), steps, lr=lr, weight_decay=0.05)
    for p in frozen:
        p.requires_grad_(True)
    if path is not None:
        half = path.with_suffix(".half")
        torch.save(pupil.module.state_dict(), half)
        half.replace(path)
    return pupil


def _loss(model):
    def loss(_module, pair: tuple[Tensor, Tensor]) -> Tensor:
        return info_nce(pair[0], model.encode_text(pair[1]), model.logit_scale)

    return loss


def _batches(pictures: Tensor, tokens: Tensor, batch: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    while True:
        for rows in torch.randperm(len(tokens), generator=generator).split(batch):
            if len(rows) == batch:
                yield pictures[rows], tokens[rows]
