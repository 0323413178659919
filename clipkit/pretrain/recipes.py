"""The table of recipes: how each shipped checkpoint was made. `python -m builder pretrain NAME` follows them in the repository.

A new checkpoint is another line of `RECIPES` and, for a new kind, a maker in `book/builder/recipes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from clipkit.pretrain.worlds import BIAS, lesson, moving, worlds

# 32 px pictures; a vocabulary of byte pairs learnt on the world's own language.
VIT = {"image_size": 32, "layers": 4, "width": 128, "head_width": 32, "patch_size": 4, "pool_type": "avg", "pos_embed_type": "sin_cos_2d"}
# A ResNet halves its picture five times; from 32 px nothing would be left, so it sees 64.
CONV = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64}
# The self-supervised tower: about three times as fast as the ViT on a processor core, with a grid as fine (8 × 8).
OUTLINE_CONV = {"image_size": 32, "widths": [32, 64, 96], "strides": [2, 1]}


@dataclass(frozen=True)
class Recipe:
    """One checkpoint. kind: chooses the maker; settings: that maker's own; steps, batch: of the (last) training."""

    name: str
    kind: str
    note: str
    settings: dict
    steps: int
    batch: int
    lr: float = 1e-3
    muon_lr: float | None = 0.02
    weight_decay: float = 0.05
    precision: str = "bf16"
    seed: int = 0

    @property
    def loop(self) -> dict:
        """Arguments of `clipkit.train.train`."""
        return {"lr": self.lr, "muon_lr": self.muon_lr, "weight_decay": self.weight_decay, "precision": self.precision}


def _clip(vision: dict, **bias) -> dict:
    return {
        "embed_dim": 128,
        "vision": vision,
        "text": {"context_length": 64, "width": 128, "heads": 4, "layers": 2},
        "worlds": worlds(**bias),
        "lesson": lesson(**bias),
        "before": {"lesson": (5000, 64), "text": (600, 256)},  # phases before the last: (steps, batch)
        "joint_lr": 0.1,  # of the learning rates, in the last phase: at the full rate it wears off the shapes that the lesson taught
        "registers": {"name": 0.06, "short": 0.42, "detailed": 0.32, "rewrite": 0.1, "hypernym": 0.05, "alt_text": 0.05},
        "hard": 0.6,  # share of the passes with one background or one colour a batch
    }


# Made before the others: a shorter lesson on single objects, then all weights at the full rate.
_EARLY = {"lesson": lesson((0.25, 0.2, 0.55)), "before": {"lesson": (900, 64)}, "joint_lr": 1.0}
_SIDES_FIRST = ((("open",), 150), (("relation",), 300))

RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in (
        Recipe("nano", "clip", "the small CLIP of the book: a ViT on an unbiased world", _clip(VIT), 500, 128),
        Recipe("nano-biased", "clip", "the same ViT on a long-tailed world whose colours and backgrounds follow the category",
            _clip(VIT, **BIAS), 500, 128),
        Recipe("nano-conv", "clip", "a small ResNet with attention pooling on the unbiased world",
            _clip(CONV) | _EARLY, 400, 128, muon_lr=None),
        Recipe("nano-dino", "dino", "learnt without a label, caption or given mask: fixed cameras, what moves is cut out, recoloured and "
            "set elsewhere", {"embed_dim": 128, "vision": OUTLINE_CONV, "worlds": moving()}, 4000, 64, lr=3e-3, muon_lr=None),
        Recipe("nano-local", "regional", "nano with a class token that learnt to look at parts of a picture: patches keep to themselves",
            {"vision": {**VIT, "pool_type": "tok"}}, 720, 40, muon_lr=0.01),
        Recipe("nano-sam", "segmenter", "a promptable segmenter of drawings, learnt from masks without names: the book's stand-in for SAM",
            {"widths": (20, 48, 64, 80), "heads": 2, "head_width": 24, "prompt_width": 40}, 1050, 12,
            lr=3e-3, muon_lr=None, weight_decay=0.02, precision="fp32"),
        Recipe("nano-captioner", "captioner", "says the salient thing of a picture in a few words: a small decoder over nano's frozen "
            "patch tokens", {"width": 96, "layers": 2, "heads": 4, "length": 24}, 2000, 128, lr=2e-3),
        Recipe("nano-grammar", "grammar", "nano's text tower, taught to tell captions from captions spoilt word by word, and the head "
            "that tells", {}, 800, 128, lr=5e-4, muon_lr=None, weight_decay=0.01),
        Recipe("nano-vqa", "vqa", "answers questions about one or two facts of a picture",
            {"lessons": (*_SIDES_FIRST, (("atomic", "conj"), 1400)), "regions": 600}, 1850, 256),
        Recipe("nano-vqa-atomic", "vqa", "answers questions about one fact of a picture",
            {"lessons": (*_SIDES_FIRST, (("atomic",), 1400)), "regions": 600}, 1850, 256),
        Recipe("nano-itm", "vqa", "nano-vqa, then: captions and captions with words exchanged",
            {"lessons": ((("caption",), 400),), "start": "nano-vqa"}, 400, 256, lr=5e-4),
        Recipe("nano-negclip", "two_towers", "one vector a picture, one a text, over nano's frozen patches, tuned on captions with words "
            "exchanged", {"layers": 2, "regions": 600}, 1850, 256),
        Recipe("nano-bart", "seq2seq", "writes spoilt captions as they were: BART's lesson without labels",
            {"task": "denoise", "width": 128, "layers": 2, "heads": 4, "length": 64}, 1500, 96, lr=2e-3),
        Recipe("nano-bart-short", "seq2seq", "nano-bart, then: dense captions told short",
            {"task": "summarise", "start": "nano-bart"}, 900, 96, muon_lr=0.01),
        Recipe("nano-bart-para", "seq2seq", "nano-bart-short, then: facts in other words",
            {"task": "paraphrase", "start": "nano-bart-short"}, 500, 96, muon_lr=0.01),
        Recipe("lit", "lit", "photographs: packaged towers locked, two heads tuned contrastively on captions and on 1,000 named things",
            {"shares": {"flickr8k": 500, "imagenet_samples": 400, "tiny_imagenet": 100}, "noise": (0.7, 0.5), "dim": 464, "shared": 192},
            250, 1000, lr=2e-3, muon_lr=None),
    )
}  # fmt: skip
