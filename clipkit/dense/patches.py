"""Patch features in the joint space, from any vision transformer of open_clip, with the last blocks run in another mode.

The first blocks run once for any number of modes. Position embeddings are resized for other picture sizes, in a copy.
Towers without attention (convolutions) have one map of their own, and `proxy` can spread it.

Letters: B pictures, h × w grid of patches, W width of the tower, D joint dimensions.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipkit import checks
from clipkit.dense.attention import MODES, Mode, custom_attention, heads_of, merge_heads, mode_of, neighbourhood
from clipkit.dense.proxy import proxy_attention, proxy_matrix, resize
from clipkit.errors import ClipkitError


def value_maps(
    model,
    images: Tensor,
    modes: Sequence[str | Mode],
    guide: Tensor | None = None,
    beta: float = 1.2,
    gamma: float = 3.0,
    sigma: float = 5.0,
    amplitude: float = 1.0,
) -> list[Tensor]:
    """What each mode leaves of the tower before its last norm and projection: maps (B, W, h, w), the first blocks run once.

    Args:
        guide: features (B, C, h', w') of another model, for "proxy"; its maps then have the guide's grid. beta, gamma: see
            `proxy_matrix`. sigma, amplitude: see `neighbourhood`, for "naclip".
    Raises ClipkitError: pixels of another shape or with NaN, "proxy" without a guide, a mode that the tower cannot have.
    """
    modes, visual = [mode_of(m) for m in modes], model.module.visual
    pixels = _checked(model, images)
    if any(m.kind == "proxy" for m in modes):
        if guide is None:
            raise ClipkitError("the mode 'proxy' needs guide=features (B, C, h, w) of another model")
        if len(guide) != len(pixels):
            raise ClipkitError(f"{len(pixels)} pictures and a guide for {len(guide)} do not go together")
    if not is_vit(visual):
        own = _cells(model, pixels)
        return [_spread(own, m, guide, beta, gamma, type(visual).__name__) for m in modes]
    if visual.attn_pool is not None:
        raise ClipkitError("this ViT pools with learned queries (CoCa), so its patches do not live in the joint space; use a plain CLIP")
    x, grid = embed(visual, pixels)
    blocks = list(visual.transformer.resblocks)
    deepest = max(m.last_n for m in modes)
    if deepest > len(blocks):
        raise ClipkitError(f"a mode changes the last {deepest} blocks, this tower has {len(blocks)}")
    bias = neighbourhood(grid, sigma, amplitude).to(x) if any(m.kind == "near" for m in modes) else None
    reached: dict[int, Tensor] = {}  # block -> its input
    for i, block in enumerate(blocks):
        if any(i == len(blocks) - m.last_n for m in modes):
            reached[i] = x
        if i == len(blocks) - min(m.last_n for m in modes):
            break
        x = block(x)
    maps = []
    for m in modes:
        first = len(blocks) - m.last_n
        if m.kind == "proxy":
            maps.append(_proxied(blocks[first:], reached[first], m, grid, guide, beta, gamma))
        else:
            maps.append(_grid(_changed(blocks[first:], reached[first], m, bias), grid))
    return maps


@torch.no_grad()
def block_maps(model, images: np.ndarray, block: int, side: int = 2, batch: int = 16) -> Tensor:
    """Frozen joint-space maps of pictures by blocks: (N, side² D, h, w) float32, on the CPU.

    Each block of `block` pixels is seen as side × side cells, one after the other. A ResNet of CLIP's kind has its last halvings left
    out until its cells are that small (`finer`). Any other tower with larger cells gets the pictures enlarged; one whose cells are
    larger than a block has one cell a block.

    Args: images: (N, H, W, 3) uint8, H and W multiples of `block`. Raises ClipkitError: pictures that do not divide.
    """
    from clipkit.models.towers import dense_map

    if images.shape[1] % block or images.shape[2] % block:
        raise ClipkitError(f"pictures of {images.shape[1]} × {images.shape[2]} pixels do not divide into blocks of {block}")
    mean, std = (torch.tensor(model.preprocessing[of]).view(3, 1, 1) for of in ("mean", "std"))
    s, visual = model.image_size, model.module.visual
    fine = finer(visual, block // side) if type(visual).__name__ == "ModifiedResNet" else None

    def cells(x: Tensor) -> Tensor:
        if fine is not None:
            return dense_map(fine, x.to(model.device, model.dtype)).movedim(-1, 1).float().cpu()
        return project(model, value_maps(model, x, ["vanilla"])[0]).float().cpu()

    own = s // cells(torch.zeros(1, 3, s, s)).shape[-1]  # pixels of a cell
    side = 1 if own > block else side
    grow, found = max(1, own * side // block), []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(images[start : start + batch].transpose(0, 3, 1, 2).copy()).float() / 255
        x = F.interpolate(x, scale_factor=grow, mode="bilinear", antialias=True) if grow > 1 else x
        small = F.adaptive_avg_pool2d(cells((x - mean) / std), tuple(n * side // block for n in images.shape[1:3]))
        found.append(F.pixel_unshuffle(small, side))
    return torch.cat(found)


def finer(visual: nn.Module, stride: int) -> nn.Module:
    """A copy of CLIP's ResNet whose last stages do not halve, until a cell is at most `stride` pixels (but not below 4).

    Its weights are as they were; as in the released code of CLIP-EBC, which calls this reduction.
    """
    copied, own = copy.deepcopy(visual), 32
    for stage in (copied.layer4, copied.layer3, copied.layer2):
        if own <= stride:
            break
        for module in list(stage.modules()):
            for name, part in list(module.named_children()):
                if isinstance(part, nn.AvgPool2d):
                    setattr(module, name, nn.Identity())
        own //= 2
    return copied


def project(model, maps: Tensor) -> Tensor:
    """Maps (B, W, h, w) of the tower through its last norm and projection, cell by cell: (B, D, h, w)."""
    visual = model.module.visual
    cells = maps.movedim(1, -1)
    if is_vit(visual):
        cells = visual.ln_post(cells)
        cells = cells if visual.proj is None else cells @ visual.proj
    elif hasattr(model.module, "image_head"):  # lite and lit
        cells = model.module.image_head(cells)
    return cells.movedim(-1, 1)


def embed(visual: nn.Module, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Tokens (B, 1 + h w, W) that enter the first block, class token first, and the grid (h, w)."""
    x = visual.conv1(pixels)
    grid = tuple(x.shape[-2:])
    x = torch.cat([visual.class_embedding.to(x.dtype).expand(len(x), 1, -1), x.flatten(2).transpose(1, 2)], dim=1)
    return visual.ln_pre(x + resized_positions(visual, grid).to(x.dtype)), grid


def resized_positions(visual: nn.Module, grid: tuple[int, int]) -> Tensor:
    """Position embeddings (1 + h w, W) for a grid; the class token's stays, the others are resized (bicubic). Never written back."""
    own = visual.positional_embedding
    if tuple(visual.grid_size) == tuple(grid):
        return own
    patches = own[1:].T.reshape(1, -1, *visual.grid_size)
    patches = F.interpolate(patches.float(), size=tuple(grid), mode="bicubic", align_corners=False).to(own.dtype)
    return torch.cat([own[:1], patches[0].flatten(1).T])


def is_vit(visual: nn.Module) -> bool:
    """Whether the tower is open_clip's own vision transformer."""
    return type(visual).__name__ == "VisionTransformer"


def _changed(blocks: list[nn.Module], x: Tensor, mode: Mode, bias: Tensor | None) -> Tensor:
    """Tokens (B, T, W) after the changed blocks. A shift for "near" covers the class token with zeros."""
    if mode.dual_path:
        added = x
        for block in blocks:
            added = added + _attend(block, x, mode.kind, bias)
            x = block(x)
        return torch.cat([x[:, :1], added[:, 1:]], dim=1)
    for block in blocks:
        x = _finish(block, x, _attend(block, x, mode.kind, bias), mode)
    return x


def _attend(block: nn.Module, x: Tensor, kind: str, bias: Tensor | None) -> Tensor:
    out, _ = custom_attention(block.ln_1(x), block.attn, kind, bias if kind == "near" else None)
    return block.ls_1(getattr(block, "ln_attn", nn.Identity())(out))


def _finish(block: nn.Module, x: Tensor, out: Tensor, mode: Mode) -> Tensor:
    x = x + out if mode.residual else out
    return x + block.ls_2(block.mlp(block.ln_2(x))) if mode.mlp else x


def _proxied(blocks, x: Tensor, mode: Mode, grid: tuple[int, int], guide: Tensor, beta: float, gamma: float) -> Tensor:
    """The guide's correlations in place of attention; the class token is left out, as in the released code."""
    if mode.last_n != 1:
        raise ClipkitError("'proxy' is defined for the last block only; use last_n=1")
    block, x = blocks[0], x[:, 1:]
    v = heads_of(block.attn, block.ln_1(x))[2]
    size = tuple(guide.shape[-2:])
    out = merge_heads(block.attn, proxy_attention(v, guide.to(v.device), beta, gamma, grid))
    out = block.ls_1(getattr(block, "ln_attn", nn.Identity())(out))
    if mode.residual and size != tuple(grid):
        x = resize(x.transpose(1, 2).unflatten(2, grid), size).flatten(2).transpose(1, 2)
    return _finish(block, x, out, mode).transpose(1, 2).unflatten(2, size)


def _grid(x: Tensor, grid: tuple[int, int]) -> Tensor:
    return x[:, 1:].transpose(1, 2).unflatten(2, grid)


def _cells(model, pixels: Tensor) -> Tensor:
    """The one map of a tower without attention: before its head for lite and lit, after its projection for others."""
    from clipkit.models.towers import dense_map

    if hasattr(model.module, "image_head"):
        return model.module.visual(pixels)
    return dense_map(model.module.visual, pixels).movedim(-1, 1)


def _spread(own: Tensor, mode: Mode, guide: Tensor | None, beta: float, gamma: float, kind: str) -> Tensor:
    if mode.kind == "identity" or mode == MODES["vanilla"]:
        return own
    if mode.kind == "proxy":
        size = tuple(guide.shape[-2:])
        matrix = proxy_matrix(guide, beta, gamma).to(own.dtype)
        return (resize(own, size).flatten(2) @ matrix.transpose(1, 2)).unflatten(2, size)
    raise ClipkitError(f"an image tower of type {kind} has no attention to change: use the modes 'vanilla' (its own cells) or 'proxy'")


def _checked(model, images: Tensor) -> Tensor:
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ClipkitError("dense features are taken of normalised pixels (B, 3, H, W), floating point; use model.preprocess_batch(images)")
    patch = getattr(model.module.visual, "patch_size", (1, 1))
    if images.shape[2] % patch[0] or images.shape[3] % patch[1] or not images.shape[2] * images.shape[3]:
        raise ClipkitError(
            f"pictures of {images.shape[2]} × {images.shape[3]} pixels do not divide into patches of {patch}; resize them first"
        )
    return checks.finite(images, "pixels").to(model.device, model.dtype)
