"""Model cards: how a shipped model was made and what was measured on it."""

from __future__ import annotations

import json
from pathlib import Path

from clipkit.errors import ClipkitError, unknown
from clipkit.paths import data_dir


def list_cards() -> list[str]:
    """Names of the models with a card in `data/models`."""
    return sorted(p.name.removesuffix(".card.json") for p in (data_dir() / "models").glob("*.card.json"))


def load_card(name: str) -> dict:
    """The card of a shipped model; ClipkitError when there is none or it is not JSON."""
    path: Path = data_dir() / "models" / f"{name}.card.json"
    if not path.is_file():
        raise unknown("model card", name, list_cards())
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ClipkitError(f"{path} is not valid JSON; restore it from the repository") from error
