"""`emoji`: 1,900 emoji as Google and as Twitter draw them, with names and tags in 28 languages, from two packages of npm."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset
from clipkit.datasets.images import ArrayImages
from clipkit.datasets.packaged import fixed_part, on_white, package_folder
from clipkit.datasets.templates import DRAWING
from clipkit.errors import ClipkitError, unknown

COMMAND = "npm install emoji-datasource emojibase-data --prefix {}"
STYLES = ("google", "twitter")  # Apple's and Facebook's drawings, in the same package, are not free
SIDE = 32  # pixels of a drawing; on the sheet each has a border of one pixel
# Man, woman, person, their signs, "facing right", joiner and selector: without them "woman running" and "running" are one emoji.
_PERSON = frozenset({"1F468", "1F469", "1F9D1", "2640", "2642", "27A1", "200D", "FE0F"})


def load(
    tail: str, split: str, root: str | Path | None, seed: int, *, style: str = "google", label: str = "category", language: str = "en"
) -> Dataset:
    """Drawings of 32 x 32 pixels on white. Captions are the name and the tags, joined by commas.

    Args:
        root: folder in which npm installed (see `packaged.package_folder`).
        style: "google", "twitter" or "both": all of the one, then all of the other. `paths` tell them apart.
        label: "category" (9) or "subcategory".
        language: of the captions; a folder of emojibase-data, for instance "de", "zh", "hi".

    The split is by code point, whatever the style, language and seed, and is the same for all people doing one thing (man,
    woman or person). An emoji that either style draws exactly as an earlier one (some flags, some families) is left out.

    Raises ClipkitError with npm's command where the packages are missing or damaged.
    """
    if style not in (*STYLES, "both"):
        raise unknown("style of emoji", style, (*STYLES, "both"))
    if label not in ("category", "subcategory"):
        raise unknown("label of emoji", label, ("category", "subcategory"))
    modules = package_folder("emoji", ("node_modules/emoji-datasource", "node_modules/emojibase-data"), COMMAND, root) / "node_modules"
    languages = sorted(path.parent.name for path in modules.glob("emojibase-data/*/data.json"))
    if language not in languages:
        raise unknown("language of emoji", language, languages)
    try:
        entries = [e for e in _json(modules / "emoji-datasource/emoji.json") if e["category"] != "Component"]
        told = {_bare(e["hexcode"]): e for e in _json(modules / f"emojibase-data/{language}/data.json")}
        drawn = {s: _cut(modules / f"emoji-datasource/img/{s}/sheets/{SIDE}.png", entries) for s in STYLES}
        own = np.flatnonzero(np.all([_is_new(looks) for looks in drawn.values()], axis=0))
        entries = [entries[i] for i in own]
        codes = [e["unified"] for e in entries]
        names = [told[_bare(code)] for code in codes]
        said = [e[label].replace("&", "and").replace("-", " ").lower() for e in entries]
        captions = [[text for text in (e["label"], ", ".join(e.get("tags", ()))) if text] for e in names]
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        what = f"no name for {error}" if isinstance(error, KeyError) else str(error)
        raise ClipkitError(
            f"emoji: the packages in {modules} do not fit or are damaged ({what}); {COMMAND.format(modules.parent)}"
        ) from error
    rows, labels, classnames = fixed_part("emoji", split, [_what_is_done(code) for code in codes], said)
    styles = STYLES if style == "both" else (style,)
    places = [f"{s}/{codes[i].lower()}" for s in styles for i in rows]
    return Dataset(
        name="emoji",
        split=split,
        images=ArrayImages(np.concatenate([drawn[s][own][rows] for s in styles]), [f"emoji {place}" for place in places]),
        labels=np.tile(labels, len(styles)),
        classnames=classnames,
        templates=list(DRAWING),
        captions=[captions[i] for i in rows] * len(styles),
        paths=places,
    )


def _json(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def _bare(code: str) -> str:
    return code.replace("-FE0F", "")


def _what_is_done(code: str) -> str:
    """What is left of a sequence of code points without its people; the sequence where nothing is."""
    return "-".join(part for part in code.split("-") if part not in _PERSON) or code


def _cut(sheet: Path, entries: list[dict]) -> np.ndarray:
    """(N, 32, 32, 3) uint8, one drawing for each entry."""
    from PIL import Image

    with Image.open(sheet) as image:
        pixels = np.asarray(on_white(image))
    corners = ((e["sheet_y"] * (SIDE + 2) + 1, e["sheet_x"] * (SIDE + 2) + 1) for e in entries)
    return np.stack([pixels[y : y + SIDE, x : x + SIDE] for y, x in corners])


def _is_new(drawn: np.ndarray) -> np.ndarray:
    """(N,) bool: no earlier drawing of (N, H, W, 3) is the same."""
    _, first, of = np.unique(drawn.reshape(len(drawn), -1), axis=0, return_index=True, return_inverse=True)
    return first[of.ravel()] == np.arange(len(drawn))
