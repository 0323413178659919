"""Other attention for the last blocks of a vision transformer: what every training-free dense method changes.

A block is x <- x + Attn(LN1 x), x <- x + MLP(LN2 x). The methods differ in three choices only: which matrix mixes the
tokens, whether the residual x is kept, and whether the MLP follows.

Letters: B pictures, T tokens (the class token first, then N patches), H heads, d width of a head, W = H d.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit import checks
from clipkit.errors import ClipkitError

KINDS = ("qk", "identity", "qq", "kk", "vv", "qq+kk", "near", "proxy")


@dataclass(frozen=True)
class Mode:
    """What the last `last_n` blocks do.

    Attributes:
        kind: the matrix. "qk" softmax(q kᵀ/√d), the model's own; "identity"; "qq", "kk", "vv" softmax(z zᵀ/√d); "qq+kk" their sum,
            whose rows add up to 2; "near" softmax(k kᵀ/√d + ω) with ω a bump around each patch; "proxy" a matrix from elsewhere.
        residual, mlp: whether x + … is kept, and whether the MLP follows.
        dual_path: blocks run as they are on one path, a second path adds up what the other attention makes of that path's tokens.
    """

    kind: str
    residual: bool = False
    mlp: bool = False
    last_n: int = 1
    dual_path: bool = False

    def __post_init__(self):
        checks.one_of("kind of attention", self.kind, KINDS)
        if self.last_n < 1:
            raise ClipkitError(f"last_n counts blocks from the end and must be at least 1, got {self.last_n}")


# Named methods. Where a paper and its public code differ, this is the code.
MODES: dict[str, Mode] = {
    "vanilla": Mode("qk", residual=True, mlp=True),
    "maskclip": Mode("identity"),  # arXiv:2112.01071
    "maskclip_residual": Mode("identity", residual=True, mlp=True),  # as some ports have it
    "sclip": Mode("qq+kk", residual=True, mlp=True),  # arXiv:2312.01597; the sum is not halved
    "clearclip": Mode("qq"),  # arXiv:2407.12442
    "naclip": Mode("near"),  # arXiv:2404.08181
    "qq": Mode("qq"),
    "kk": Mode("kk"),
    "vv": Mode("vv"),
    "surgery": Mode("vv", residual=True, last_n=6, dual_path=True),  # arXiv:2304.05653
    "proxy": Mode("proxy"),  # ProxyCLIP, arXiv:2408.04883
}


def mode_of(mode: str | Mode) -> Mode:
    """A `Mode` by name, or itself. Raises ClipkitError for an unknown name."""
    if isinstance(mode, Mode):
        return mode
    checks.one_of("dense mode", mode, MODES)
    return MODES[mode]


def heads_of(attn: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | float]:
    """q, k, v (B, H, T, d) of tokens x (B, T, W) that went through LN1, and the factor of q kᵀ.

    Knows torch's MultiheadAttention and open_clip's own Attention (query–key norm, scaled cosine). Raises ClipkitError for others.
    """
    if getattr(attn, "in_proj_weight", None) is None:
        raise ClipkitError(f"attention of type {type(attn).__name__} is not understood here; use an open_clip ViT")
    b, t, _ = x.shape
    q, k, v = (
        z.reshape(b, t, attn.num_heads, -1).transpose(1, 2) for z in F.linear(x, attn.in_proj_weight, attn.in_proj_bias).chunk(3, -1)
    )
    if getattr(attn, "logit_scale", None) is not None:  # scaled cosine attention
        return F.normalize(q, dim=-1), F.normalize(k, dim=-1), v, attn.logit_scale.clamp(max=attn.logit_scale_max).exp()
    q, k = getattr(attn, "ln_q", nn.Identity())(q), getattr(attn, "ln_k", nn.Identity())(k)
    return q, k, v, q.shape[-1] ** -0.5


def merge_heads(attn: nn.Module, mixed: Tensor) -> Tensor:
    """W_o of mixed values: (B, H, T, d) to (B, T, W), with whatever open_clip's variants put in between."""
    if getattr(attn, "head_scale", None) is not None:
        mixed = mixed * attn.head_scale
    x = mixed.transpose(1, 2).flatten(2)
    return attn.out_proj(getattr(attn, "ln_inner", nn.Identity())(x))


def custom_attention(
    x: Tensor, attn: nn.Module, kind: str, bias: Tensor | None = None, external: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """One attention module run on tokens x (B, T, W), which went through LN1, with another matrix.

    Args:
        kind: see `Mode`. bias: added to the scores before the softmax, of a shape that goes with (B, H, T, T).
        external: for "proxy", the matrix (B, T, T) or (B, H, T, T); rows need not add up to 1.
    Returns: the output (B, T, W), and the matrix (B, H, T, T); None for "identity".
    Raises ClipkitError for an unknown kind, or "proxy" without a matrix of the right size.
    """
    checks.one_of("kind of attention", kind, KINDS)
    q, k, v, scale = heads_of(attn, x)
    if kind == "identity":
        return merge_heads(attn, v), None
    if kind == "proxy":
        if external is None or external.shape[-1] != x.shape[1] or external.shape[-2] != x.shape[1]:
            raise ClipkitError(f"proxy attention over {x.shape[1]} tokens needs a matrix of that size; pass guide= or external=")
        a = (external if external.ndim == 4 else external[:, None]).to(v.dtype)
        return merge_heads(attn, a @ v), a.expand(-1, v.shape[1], -1, -1)
    z = {"q": q, "k": k, "v": v}
    pairs = {"qk": "qk", "qq": "qq", "kk": "kk", "vv": "vv", "qq+kk": "qq kk", "near": "kk"}[kind].split()
    shift = 0 if bias is None else bias.to(q.dtype)
    a = sum(((z[left] @ z[right].transpose(-1, -2)) * scale + shift).softmax(-1) for left, right in pairs)
    return merge_heads(attn, a @ v), a


def neighbourhood(grid: tuple[int, int], sigma: float = 5.0, amplitude: float = 1.0, prefix: int = 1) -> Tensor:
    """ω (T, T) of NACLIP: amplitude · exp(−‖p_i − p_j‖² / 2σ²) between patches at grid places p, 0 where a prefix token is concerned.

    >>> [round(value, 3) for value in neighbourhood((1, 2), sigma=1.0, prefix=0)[0].tolist()]
    [1.0, 0.607]

    Source: arXiv:2404.08181, eq. 4, and its code (σ = 5, amplitude 1).
    """
    if sigma <= 0:
        raise ClipkitError(f"sigma is a width in patches and must be positive, got {sigma}")
    place = torch.cartesian_prod(*(torch.arange(n, dtype=torch.float32) for n in grid))  # (N, 2)
    bump = amplitude * torch.exp(-torch.cdist(place, place).square() / (2 * sigma**2))
    return F.pad(bump, (prefix, 0, prefix, 0))
