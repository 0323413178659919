"""A linear CLIP that sees a true and a spurious cue: when does the spurious one overrule the true one? Exact, and by simulation.

A class y = ±1 shows itself in z_inv ~ N(y, s_inv²), its background in z_spu ~ N(μ a, s_spu²), where a = y with probability p.
Pictures and texts are x = D z + noise with orthonormal columns D. Source: arXiv:2403.11497, section 6; the closed form is ours.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from clipkit import checks


def linear_clip_direction(p, mu, s_inv, s_spu) -> tuple[np.ndarray, np.ndarray]:
    """Weights (w_inv, w_spu) of the cues in the linear CLIP's decision sign(w · z): Cov(z) (1, (2p − 1) μ). Arguments broadcast.

    The paper's loss, −⟨W_Iᵀ W_T, Ĉ⟩ + (ρ/2) ‖W_Iᵀ W_T‖² with Ĉ the covariance of pictures and texts, is least at W_Iᵀ W_T = Ĉ / ρ.
    """
    p, mu, s_inv, s_spu = np.broadcast_arrays(*(np.asarray(v, float) for v in (p, mu, s_inv, s_spu)))
    tie = (2 * p - 1) * mu  # E[z_spu | y = 1], and Cov(z_inv, z_spu)
    return 1 + s_inv**2 + tie**2, tie * (1 + mu**2 + s_spu**2)


def linear_counter_error(p, mu, s_inv, s_spu, noise=0.0) -> np.ndarray:
    """Error of the linear CLIP on the counter group, where a = −y: Φ(−(w_inv − μ w_spu) / |w · s|).

    Args: p in 0..1, mu, s_inv, s_spu as above, noise: deviation of a picture's noise in each direction. They broadcast.

    >>> round(float(linear_counter_error(0.9, 1.0, 0.5, 0.3)), 3)
    0.419
    """
    w_inv, w_spu = linear_clip_direction(p, mu, s_inv, s_spu)
    spread = np.sqrt(w_inv**2 * (np.square(s_inv) + np.square(noise)) + w_spu**2 * (np.square(s_spu) + np.square(noise)))
    return norm.cdf(-(w_inv - np.asarray(mu) * w_spu) / spread)


def simulate_linear_clip(p: float, mu: float, s_inv: float, s_spu: float, n: int = 2000, noise: float = 0.0, seed: int = 0) -> float:
    """The same error of a linear CLIP fitted to n ≥ 2 pairs of pictures (n, 8) and texts (n, 6), on n new pictures. Raises ClipkitError."""
    checks.share(p=p)
    checks.at_least(2, n=n)
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    d_image, d_text = (torch.linalg.qr(normal(d, 2))[0] for d in (8, 6))  # orthonormal columns

    def cues(y: Tensor, a: Tensor) -> Tensor:
        return torch.stack([y + s_inv * normal(n), mu * a + s_spu * normal(n)], 1)

    y, other = (torch.randint(2, (n,), generator=generator).double() * 2 - 1 for _ in range(2))
    a = torch.where(torch.rand(n, generator=generator) < p, y, -y)
    z = cues(y, a)
    images, texts = z @ d_image.T + noise * normal(n, 8), z @ d_text.T + noise * normal(n, 6)
    covariance = (images - images.mean(0)).T @ (texts - texts.mean(0)) / (n - 1)  # (8, 6), the minimiser up to a factor
    prompt = texts[y > 0].mean(0) - texts[y < 0].mean(0)
    new = cues(other, -other) @ d_image.T + noise * normal(n, 8)
    return float((torch.sign(new @ covariance @ prompt) != other).double().mean())
