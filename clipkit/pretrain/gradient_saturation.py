"""Is a contrastive loss saturated? How sure it is of the positives, and how much gradient is left for the features.

With p the probability of an anchor's positive, the gradient of InfoNCE is 1 - p times that of InfoLOOB, which leaves the
positive out of the denominator: it vanishes as the pair is told apart, and that of InfoLOOB does not.
Source: CLOOB, arXiv:2110.11316, the comparison of the two losses' gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clipkit.pretrain.hopfield import recall
from clipkit.pretrain.losses import leave_one_out, positive_logs


def identity_error(image_features: Tensor, text_features: Tensor, logit_scale: float) -> float:
    """Relative error of "InfoNCE's gradient is (1 - p) times that of InfoLOOB", for the worst anchor of a batch.

    For anchor i with probability p_i of its positive: ||grad NCE_i - (1 - p_i) grad LOOB_i|| / ||grad NCE_i||, by automatic
    differentiation with respect to all features.

    Args: image_features, text_features (B, D), B at least 2; float64 for an error near 1e-15. Where p is 1 to the last digit,
        1 - p has no digit left, and the error says so.
    Raises: ClipkitError when the shapes differ or there is no negative.
    """
    x, y = (t.detach().clone().requires_grad_() for t in (image_features, text_features))
    nce, loob = -positive_logs(x, y, logit_scale), leave_one_out(x, y, logit_scale)
    p, worst = (-nce).exp().detach(), 0.0
    for i in range(len(x)):
        left, right = (torch.cat(torch.autograd.grad(terms[i], (x, y), retain_graph=True)) for terms in (nce, loob))
        worst = max(worst, float((left - (1 - p[i]) * right).norm() / left.norm()))
    return worst


def saturation(
    x: Tensor, y: Tensor, logit_scale: Tensor | float, beta: float | None = None, same: Tensor | None = None
) -> dict[str, float]:
    """How sure a batch is of its positives, and the gradients that InfoNCE and InfoLOOB would send to its features.

    Args: x, y: image and text features (B, D). beta: of the memory of the batch; None for none. same: false negatives (B, B).

    Returns:
        positive: mean probability of the positive, over anchors and both directions, 0 to 1;
        gradient_nce, gradient_loob: norm of the gradient with respect to all 2 B features, through the memory if there is
        one. Both losses are taken in nats and as the mean of both directions, so that the two norms can be compared.

    Raises: ClipkitError when the shapes differ or there is no negative.
    """
    with torch.enable_grad():
        x, y = (t.detach().clone().requires_grad_() for t in (x, y))
        u_x, u_y, v_x, v_y = (x, y, x, y) if beta is None else recall(x, y, beta)
        sides = ((u_x, u_y, same), (v_y, v_x, None if same is None else same.T))
        scale = torch.as_tensor(logit_scale).detach()
        logs, terms = (torch.cat([f(a, b, scale, mask) for a, b, mask in sides]) for f in (positive_logs, leave_one_out))
        norms = {}
        for name, loss in (("nce", -logs.mean()), ("loob", terms.mean())):
            norms[f"gradient_{name}"] = float(torch.cat(torch.autograd.grad(loss, (x, y), retain_graph=True)).norm())
    return {"positive": float(logs.detach().exp().mean()), **norms}
