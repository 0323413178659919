"""Photographs of things whose colour people would name without looking, by the names of their classes. For `concept_association_bias`."""

from __future__ import annotations

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.loading import load_dataset
from clipkit.errors import ClipkitError

# Of class names: the colour that people would name first. None of a colour's own name, such as "brown bear".
PHOTO_COLOURS = {
    **dict.fromkeys(("lemon", "banana", "school bus", "sulphur butterfly", "corn"), "yellow"),
    **dict.fromkeys(("goldfish", "monarch", "carrot", "pumpkin", "lifeboat"), "orange"),
    **dict.fromkeys(("ladybug", "pomegranate", "American lobster", "strawberry", "tomato", "fire engine", "lesser panda"), "red"),
    **dict.fromkeys(("bullfrog", "mantis", "grasshopper", "guacamole", "broccoli", "cucumber", "Granny Smith", "lime"), "green"),
    **dict.fromkeys(("bison", "acorn", "pretzel", "teddy", "cockroach", "meat loaf"), "brown"),
    **dict.fromkeys(("tarantula", "chimpanzee", "gorilla", "blackberry"), "black"),
    **dict.fromkeys(("African elephant", "koala", "dugong"), "gray"),
    **dict.fromkeys(("cauliflower", "albatross", "polar bear", "mashed potato"), "white"),
    **{"hog": "pink", "eggplant": "purple", "blueberry": "blue"},
}


def photographed(dataset: str) -> tuple[Dataset, np.ndarray, np.ndarray, list[str], list[str]]:
    """The M labelled photographs whose class is in PHOTO_COLOURS, numbers (M,) of noun and colour, nouns, colours. ClipkitError: few."""
    data = load_dataset(dataset, "test")
    known = [next((n for n in name.split(", ") if n in PHOTO_COLOURS), None) for name in data.classnames or ()]
    rows = np.array([i for i, label in enumerate(data.labels if known else ()) if known[label]], int)
    said = [known[data.labels[i]] for i in rows]
    nouns, palette = sorted(set(said)), sorted({PHOTO_COLOURS[noun] for noun in said})
    if len(rows) < 4 or len(palette) < 2:
        raise ClipkitError(
            f"{dataset}: {len(rows)} labelled photographs of things with a known colour; such are {', '.join(PHOTO_COLOURS)}"
        )
    colour = [palette.index(PHOTO_COLOURS[noun]) for noun in said]
    return data.subset(rows), np.array([nouns.index(noun) for noun in said]), np.array(colour), nouns, palette
