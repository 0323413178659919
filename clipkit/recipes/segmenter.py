"""The recipe of `nano-sam`: the promptable segmenter of `clipkit.dense`, trained on true masks without names."""

from __future__ import annotations

from pathlib import Path

SMALL = 0.87  # share of the steps on pictures of 80 px, where a step takes a quarter of the time
PROMPTS = 3  # a picture


def make_segmenter(recipe, folder: Path, steps: int, device: str, after_step=None) -> dict:
    """Train, measure, save checkpoint and card in `folder`; returns the card."""

    from clipkit.datasets.segmentation import category_halves
    from clipkit.dense.segmenter import Segmenter
    from clipkit.models.parts import part_card
    from clipkit.models.shipped_segmenter import save_segmenter
    from clipkit.recipes.segmenter_training import TRAINING_STYLES, segment_batches, segmenter_loss, segmenter_numbers
    from clipkit.train import train

    module = Segmenter(**recipe.vision).to(device)
    batches = segment_batches(steps, recipe.batch, recipe.seed, PROMPTS, small=SMALL)
    settings = {"lr": recipe.lr, "weight_decay": recipe.weight_decay, "precision": recipe.precision}
    history = train(module, batches, segmenter_loss, steps, after_step=after_step, **settings)
    shown, tested = category_halves()
    told = {"prompts": PROMPTS, "pictures": steps * recipe.batch, "small_share": SMALL, **settings}
    data = {"categories": list(shown), "styles": list(TRAINING_STYLES)}
    never_seen = {"categories": list(tested), "styles": ["flat"]}
    numbers = segmenter_numbers(module)
    card = part_card(recipe, steps, history, told, module, device, data=data, never_seen=never_seen, percent=numbers)
    save_segmenter(module, card, folder, recipe.name)
    return card
