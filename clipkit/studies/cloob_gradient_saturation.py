"""Is a contrastive loss saturated? How sure it is of the positives, and how much gradient is left for the features."""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit.pretrain.hopfield import recall
from clipkit.pretrain.losses import leave_one_out, positive_logs


def identity_error(image_features: Tensor, text_features: Tensor, logit_scale: float) -> float:
    """Relative error of "InfoNCE's gradient is (1 - p) times that of InfoLOOB", for every anchor of a batch.

    For anchor i with probability p_i of its positive, both losses are differentiated by automatic differentiation with
    respect to all features; the worst anchor's ||grad NCE_i - (1 - p_i) grad LOOB_i|| / ||grad NCE_i|| is returned.

    Args: image_features, text_features (B, D), B at least 2; float64 for an error near 1e-15. Where p is 1 to the last digit,
        1 - p has no digit left, and the error says so.
    Raises: ClipkitError when the shapes differ or there is no negative.
    """
    x, y = (t.detach().clone().requires_grad_() for t in (image_features, text_features))
    nce, loob = -positive_logs(x, y, logit_scale), leave_one_out(x, y, logit_scale)
    p = (-nce).exp().detach()
    worst = 0.0
    for i in range(len(x)):
        left = torch.cat([g.flatten() for g in torch.autograd.grad(nce[i], (x, y), retain_graph=True)])
        right = torch.cat([g.flatten() for g in torch.autograd.grad(loob[i], (x, y), retain_graph=True)])
        worst = max(worst, float((left - (1 - p[i]) * right).norm() / left.norm()))
    return worst


def saturation(
    image_features: Tensor,
    text_features: Tensor,
    logit_scale: Tensor | float,
    beta: Tensor | float | None = None,
    false_negatives: Tensor | None = None,
) -> dict[str, float]:
    """How sure a batch is of its positives, and the gradients that InfoNCE and InfoLOOB would send to its features.

    Args:
        beta: of the memory of the batch; None for no memory, the features as they are.
        the others: as for `clipkit.pretrain.info_nce`.

    Returns:
        positive: mean probability of the positive, over anchors and both directions, 0 to 1;
        gradient_nce, gradient_loob: norm of the gradient with respect to all 2 B features, through the memory if there is
        one. Both losses are taken in nats and as the mean of both directions, so that the two norms can be compared.

    Raises: ClipkitError when the shapes differ or there is no negative.
    """
    with torch.enable_grad():
        x, y = (t.detach().clone().requires_grad_() for t in (image_features, text_features))
        u_x, u_y, v_x, v_y = (x, y, x, y) if beta is None else recall(x, y, beta)
        other = None if false_negatives is None else false_negatives.T
        scale = torch.as_tensor(logit_scale).detach()
        logs = torch.cat([positive_logs(u_x, u_y, scale, false_negatives), positive_logs(v_y, v_x, scale, other)])
        terms = torch.cat([leave_one_out(u_x, u_y, scale, false_negatives), leave_one_out(v_y, v_x, scale, other)])
        norms = {}
        for name, loss in (("nce", -logs.mean()), ("loob", terms.mean())):
            grads = torch.autograd.grad(loss, (x, y), retain_graph=True)
            norms[f"gradient_{name}"] = float(torch.cat([g.flatten() for g in grads]).norm())
    return {"positive": float(logs.detach().exp().mean()), **norms}
