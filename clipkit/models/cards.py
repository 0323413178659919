"""Model cards: how a shipped model was made and what was measured on it."""

from __future__ import annotations

import json

from clipkit.errors import ClipkitError, unknown
from clipkit.paths import shipped, shipped_files


def list_cards() -> list[str]:
    """Names of the models with a card, shipped or in `models` of one's own data folder."""
    return sorted(path.name.removesuffix(".card.json") for path in shipped_files("models", "*.card.json"))


def load_card(name: str) -> dict:
    """The card of a shipped model; ClipkitError when there is none or it is not JSON."""
    path = shipped("models", f"{name}.card.json")
    if not path.is_file():
        raise unknown("model card", name, list_cards())
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ClipkitError(f"{path} is not valid JSON; restore it from the repository") from error
