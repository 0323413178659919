"""The same scenes with one visual factor changed, and pictures seen from elsewhere. For `holistic_robustness`.

The factors follow ImageNet-X (Idrissi et al., arXiv:2211.01866), which tags photographs with what is unusual about them; there
several factors change at once, here one. The views stand for 3D common corruptions (Kar et al., arXiv:2203.01441): they move the
picture as a plane before a camera, since a drawn scene has no depth of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.world.counterfactuals import elsewhere, in_other_colour
from clipkit.world.rendering import render
from clipkit.world.scene import Scenes
from clipkit.world.taxonomy import COLOURS
from clipkit.world.truth import occlude

FACTORS = ("pose", "background", "pattern", "colour", "smaller", "larger", "partial view", "occlusion", "style", "second thing")
VIEWS = ("roll", "tilt", "turn", "distance", "light")
NEW_STYLES = ("pixel", "blueprint", "negative")


def changed(scenes: Scenes, factor: str, seed: int, stranger: int) -> np.ndarray:
    """(N, 32, 32, 3) uint8: the same scenes with one of FACTORS changed; `stranger`: category of the second thing.

    Raises ClipkitError for an unknown factor.
    """
    checks.one_of("factor", factor, FACTORS)
    rng, n = np.random.default_rng([seed, FACTORS.index(factor)]), len(scenes)
    side = rng.integers(0, 2, n)
    if factor == "occlusion":
        return occlude(scenes, 0.5, seed=seed).images
    if factor == "background":
        return render(elsewhere(scenes, seed)).images
    if factor == "colour":
        return render(in_other_colour(scenes, seed)).images
    if factor == "pose":
        return render(scenes.replace(angle=np.where(side, 60, -60)[:, None])).images
    if factor == "partial view":  # the border of the picture cuts the thing in half
        return render(scenes.replace(x=(side * 1.0)[:, None])).images
    if factor == "second thing":
        two = {name: getattr(scenes, name).copy() for name in ("category", "colour", "scale", "x", "y", "depth", "texture", "size")}
        for name, value in {"category": stranger, "scale": 0.34, "y": 0.2, "depth": -1, "texture": 0, "size": 0}.items():
            two[name][:, 1] = value
        two["colour"][:, 1], two["x"][:, 1] = rng.integers(0, len(COLOURS), n), 0.2 + 0.6 * side
        return render(replace(scenes, **two)).images
    styles = np.array(NEW_STYLES)[rng.integers(0, 3, n)]
    if factor == "style":
        return np.concatenate([render(scenes[i : i + 1].replace(style=str(styles[i]))).images for i in range(n)])
    turns = {"pattern": {"texture": rng.integers(1, 4, n)}, "smaller": {"scale": 0.55 * scenes.scale}, "larger": {"scale": 1.0}}
    return render(scenes.replace(**turns[factor])).images


def viewed(images: np.ndarray, view: str, severity: int) -> np.ndarray:
    """(N, S, S, 3) uint8 pictures as a camera sees them that has moved, or with the light elsewhere; severity 1 to 3.

    roll: turned in its plane by 20, 40, 60 degrees; tilt, turn: a plane that leans back or sideways; distance: further away, the border
    repeated; light: bright at the left, dark at the right. Raises ClipkitError: an unknown view or severity.
    """
    checks.one_of("view", view, VIEWS)
    if severity not in (1, 2, 3):
        raise ClipkitError(f"severity of a view goes from 1 to 3, got {severity}")
    import torch
    import torch.nn.functional as F

    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    if view == "light":
        ramp = 1 + 0.3 * severity * torch.linspace(1, -1, x.shape[3])
        return (x * ramp).clamp(0, 255).round().byte().permute(0, 2, 3, 1).numpy()
    angle, lean = np.deg2rad(20 * severity), 0.25 * severity
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    matrix = {
        "roll": [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
        "tilt": [[1, 0, 0], [0, 1, 0], [0, lean, 1]],
        "turn": [[1, 0, 0], [0, 1, 0], [lean, 0, 1]],
        "distance": [[1 + lean, 0, 0], [0, 1 + lean, 0], [0, 0, 1]],
    }[view]
    at = (torch.arange(x.shape[2]) + 0.5) / x.shape[2] * 2 - 1
    grid = torch.stack([*torch.meshgrid(at, at, indexing="xy"), torch.ones(len(at), len(at))], -1) @ torch.tensor(matrix).T
    grid = (grid[..., :2] / grid[..., 2:].clamp(min=0.1)).expand(len(x), -1, -1, -1)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False).round().byte().permute(0, 2, 3, 1).numpy()
