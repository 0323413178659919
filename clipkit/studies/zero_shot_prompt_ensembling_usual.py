"""Pictures like those of pretraining: the world's diet of a shipped `nano`, or crops of photographs for other models."""

from __future__ import annotations

import numpy as np

from clipkit.errors import ClipkitError, unknown

STREAM = 2**32 - 5  # scenes of no data set and of no recipe


def diet(name: str, n: int, seed: int = 0, side: int | None = None) -> tuple[np.ndarray, list[str]]:
    """About n fresh pictures (n', side, side, 3) uint8 and their captions, from the mixture of worlds and registers of a recipe.

    Args:
        name: a contrastive recipe of `clipkit.recipes.table`. n: at least one scene is drawn of every world of the mixture.
        seed: another one draws other scenes. side: pixels, by default the recipe's image size.

    Raises: ClipkitError for an unknown recipe, one without captions, or n below 1.
    """
    from clipkit.recipes.table import RECIPES
    from clipkit.world import WorldSpec, caption_batch, render, sample_scenes

    usable = [known for known, recipe in RECIPES.items() if recipe.kind == "clip"]
    if name not in usable:
        raise unknown("recipe with captions", name, usable)
    if n < 1:
        raise ClipkitError(f"n must be at least 1, got {n}")
    told, images, captions = RECIPES[name].settings, [], []
    total = sum(weight for _, weight in told["worlds"])
    for number, (arguments, weight) in enumerate(told["worlds"]):
        scenes = sample_scenes(WorldSpec(**arguments), max(1, round(n * weight / total)), STREAM - 1000 * seed - number)
        images.append(render(scenes, size=side or told["vision"]["image_size"]).images)
        captions += caption_batch(scenes, told["registers"], seed=seed)
    return np.concatenate(images), captions


def photo_crops(n: int, seed: int = 0, side: int = 96) -> np.ndarray:
    """n square crops (n, side, side, 3) uint8 of the packaged photographs, each a random tenth to all of the shorter side."""
    from PIL import Image

    from clipkit.datasets import load_dataset

    if n < 1:
        raise ClipkitError(f"n must be at least 1, got {n}")
    photos, rng = load_dataset("photos").images, np.random.default_rng(seed)
    whole = [photos[i].convert("RGB") for i in range(len(photos))]
    out = np.empty((n, side, side, 3), np.uint8)
    for i in range(n):
        photo = whole[i % len(whole)]
        edge = max(8, int(min(photo.size) * rng.uniform(0.1, 1.0)))
        x, y = (int(rng.integers(0, length - edge + 1)) for length in photo.size)
        out[i] = np.asarray(photo.resize((side, side), Image.Resampling.BICUBIC, box=(x, y, x + edge, y + edge)))
    return out


def usual_features(model, n: int, source: str | None = None, seed: int = 0):
    """Features (n', D) of pictures that stand for those of a model's pretraining.

    Args:
        model: a DualEncoder. n: about how many.
        source: a data set (its split "test"); None: the diet of a shipped nano, or, for any other model, at most 500 crops
            of the packaged photographs.
    """
    if source is not None:
        from clipkit.datasets import load_dataset
        from clipkit.features import extract

        return extract(model, load_dataset(source, "test")).image[:n]
    return model.image_features(diet(model.name, n, seed)[0] if model.name.startswith("nano") else photo_crops(min(n, 500), seed))
