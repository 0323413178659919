"""The loss of a contrastive training, as `clipkit.train.train` wants it."""

from __future__ import annotations

import torch
from torch import Tensor


def contrastive_loss(model, objective):
    """The loss of a contrastive run: `objective(image_features, text_features, logit_scale)` on one batch."""

    def loss(_module: torch.nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        pixels, tokens = (t.to(model.device) for t in batch)
        return objective(model.encode_image(pixels), model.encode_text(tokens), model.logit_scale)

    return loss
