"""What `lit`'s card says: retrieval, naming, order of words and numbers, on parts of the pictures that no head has seen."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from clipkit.datasets import load_dataset
from clipkit.datasets.templates import NAMING
from clipkit.models.base import DualEncoder
from clipkit.pretrain.geometry import modality_gap
from clipkit.zeroshot.classifier import zeroshot_weights

ZERO_SHOT = (
    "cifar10",
    "imagenette",
    "tiny_imagenet",
    "dtd10",
    "rsscn7",
    "clothing",
    *(f"pacs/{d}" for d in ("photo", "art_painting", "cartoon", "sketch")),
)
CANNOT = (  # the numbers beside it say how far
    "Sentences and pictures are pooled before the heads: order of words, who does what to whom, numbers and negation are mostly lost. "
    "What neither ImageNet's classes nor Flickr8k's captions speak of (textures, aerial views, drawings, written words) is seen poorly."
)
PROTOCOL = (
    "No head was trained on a picture of the parts measured (test of each folder); the image tower has learnt ImageNet's training "
    "pictures, to which tiny_imagenet's belong. Settings, fifteen variants seen to the end, were chosen on 600 training photographs of "
    "flickr8k held out, and on training pictures of cifar10 and imagenette, which train no head. Held-out retrieval was 3.5 points "
    "better than that of the test. The image tower ran in bfloat16 over training pictures; sentences were kept in half precision."
)
NUMBERS = ("one", "two", "three", "four", "five")


def recalls(images: Tensor, texts: Tensor, owner: Tensor, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Recall in percent, both ways, of pictures (N, D) and texts (T, D), text t belonging to picture owner[t] (T,).

    From a text: its picture among the k nearest. From a picture: one of its texts among the k nearest.
    """
    cosines = images @ texts.T  # (N, T)
    own = owner == torch.arange(len(images))[:, None]
    above = (cosines > cosines[owner, torch.arange(len(texts))]).sum(0)  # pictures nearer than a text's own
    best = cosines.masked_fill(~own, -2).amax(1, keepdim=True)
    ahead = (cosines > best).sum(1)  # texts nearer than a picture's first own one; no own one is
    ranks = {"text_to_image": above, "image_to_text": ahead}
    return {f"{way}_{k}": percent(rank < k) for way, rank in ranks.items() for k in ks}


def percent(right: Tensor) -> float:
    return round(100 * float(right.float().mean()), 1)


def named(model: DualEncoder, dataset) -> float:
    """Percent of a labelled data set's pictures named right from the class names in lite's eight prompts."""
    classifier = zeroshot_weights(model, dataset.classnames, NAMING)
    return percent((model.image_features(dataset.images) @ classifier.T).argmax(1) == torch.from_numpy(dataset.labels))


def preferred(model: DualEncoder, images: Tensor, true: Sequence[str], false: Sequence[str]) -> float:
    """Percent of pictures (N, D) nearer to their true text than to its false one; 50 by chance."""
    return percent((images * (model.text_features(true) - model.text_features(false))).sum(1) > 0)


def other_number(text: str) -> str | None:
    """The text with its first number word exchanged for the next, "two" for "three"; None without one ("one" is often a pronoun)."""
    found = re.search(rf"\b({'|'.join(NUMBERS[1:])})\b", text, re.IGNORECASE)
    return found and text[: found.start()] + NUMBERS[NUMBERS.index(found[0].lower()) % 4 + 1] + text[found.end() :]


def probe(model: DualEncoder, data: Path) -> dict:
    """What a card says of the model; what needs a folder that is not there is left out."""
    flickr = load_dataset(f"folder:{(data / 'flickr8k').resolve()}", "test")
    images = model.image_features(flickr.images)
    captions = [c for group in flickr.captions for c in group]
    owner = torch.arange(len(images)).repeat_interleave(torch.tensor([len(group) for group in flickr.captions]))
    texts = model.text_features(captions)
    found = recalls(images, texts, owner)
    draw = random.Random(0)
    found["caption_before_its_words_shuffled"] = preferred(
        model, images[owner], captions, [" ".join(draw.sample(w := c.split(), len(w))) for c in captions]
    )
    counted = [(i, c, other) for i, c in zip(owner.tolist(), captions, strict=True) if (other := other_number(c))]
    rows, true, false = zip(*counted, strict=True)
    found["caption_before_another_number"] = preferred(model, images[list(rows)], true, false)
    zero_shot = {
        name: named(model, load_dataset(f"folder:{(data / name).resolve()}", "test")) for name in ZERO_SHOT if (data / name).is_dir()
    }
    return {
        "percent": found | {f"zero_shot_{name.replace('/', '_')}": value for name, value in zero_shot.items()},
        "cannot": CANNOT,
        "protocol": PROTOCOL,
        "modality_gap": round(float(modality_gap(images, texts)), 3),
        "temperature": round(1 / float(model.logit_scale.detach()), 4),
    }
