"""Dense captions: a phrase and a box for each object and each region of the background."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from clipkit.world.content_plan import HashRandom, Item, SceneFacts, Thing, side_of, truths
from clipkit.world.english import phrase
from clipkit.world.taxonomy import STUFF
from clipkit.world.words import SIDES

# What a background is made of, top to bottom.
BACKGROUND_STUFF: dict[str, tuple[str, ...]] = {
    "meadow": ("sky", "hill", "grass"),
    "beach": ("sky", "water", "sand"),
    "sea": ("sky", "water"),
    "snow": ("sky", "hill", "snowfield"),
    "desert": ("sky", "dune"),
    "night": ("night sky", "hill"),
    "city": ("sky", "building", "road"),
    "room": ("wall", "floor"),
}


class Region(NamedTuple):
    """A phrase and where it is: box (x0, y0, x1, y1), 0..1, y downwards."""

    phrase: str
    box: tuple[float, float, float, float]


def object_phrase(thing: Thing, coloured: bool = True, side: bool = True) -> str:
    """One object: "a small striped red cat on the left"."""
    item = Item(
        1,
        thing.category,
        thing.colour if coloured else "",
        "" if thing.texture == "plain" else thing.texture,
        "" if thing.size == "medium" else thing.size,
    )
    where = SIDES.get(side_of(thing), "") if side else ""
    return f"{phrase(item)} {where}" if where else phrase(item)


def dense_text(truth: SceneFacts, draw: HashRandom) -> str:
    """All phrases of a dense caption in one line: "a red cat on the left; a blue cup; sky; grass"."""
    return "; ".join([object_phrase(t, truth.coloured) for t in truth.things] + list(BACKGROUND_STUFF[truth.background]))


def dense_regions(scene, stuff: np.ndarray | None = None) -> list[Region]:
    """One region for each object of a Scene, in its order, then one for each kind of stuff, in the order of STUFF. For `cloc`.

    Args:
        scene: a Scene. Object boxes are its own (amodal: as if nothing lay in front).
        stuff: (S, S) label map of the scene's background (`Rendered.stuff`); None renders the scene to get it.
    """
    if stuff is None:
        from clipkit.world import Scenes, render

        stuff = render(Scenes.from_list([scene]), size=64, masks=True).stuff[0]
    truth = next(truths(scene))
    found = [
        Region(object_phrase(t, truth.coloured, side=False), tuple(float(v) for v in o.box))
        for t, o in zip(truth.things, scene.objects, strict=True)
    ]
    side = len(stuff)
    for label in np.unique(stuff):
        rows, columns = np.nonzero(stuff == label)
        box = (columns.min() / side, rows.min() / side, (columns.max() + 1) / side, (rows.max() + 1) / side)
        found.append(Region(STUFF[label], tuple(float(v) for v in box)))
    return found
