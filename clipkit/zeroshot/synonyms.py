"""The names a class goes by, from a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from clipkit.errors import ClipkitError

PHOTO_SYNONYMS = Path(__file__).with_name("photo_synonyms.json")  # ours: CIFAR-10 and Imagenette


def read_synonyms(path: str | Path | None, classnames: Sequence[str]) -> dict[str, list[str]]:
    """Class name -> its names, from a JSON file {class: [name, ...]}; None for our own, of CIFAR-10's and Imagenette's classes.

    Raises: ClipkitError for a file that cannot be read, and naming a class that has no names in it.
    """
    path = Path(path or PHOTO_SYNONYMS)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ClipkitError(f"the names in {path} cannot be read ({error}); a JSON file {{class: [name, ...]}} is wanted") from None
    for name in classnames:
        if not isinstance(found, dict) or not isinstance(found.get(name), list) or not found[name]:
            raise ClipkitError(f"{path.name} has no names of class {name!r}; give synonyms=FILE.json with {{class: [name, ...]}}")
    return {name: [str(other) for other in found[name]] for name in classnames}
