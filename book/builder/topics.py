"""What the search looks through first: a line a page or planned paper, with its names, topics, people and text.

Sphinx's index knows words of pages alone, and ranks a page that mentions a word above the one that is about it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from builder.settings import BOOK
from clipkit.registry.papers import Entry, Registry
from clipkit.registry.parts import BY_ID


def topics(registry: Registry, built: set[str], texts: dict[str, str]) -> list[dict]:
    """Where a page is (`at`), its title, a note, and the words to find it by, in four fields from heavy to light.

    Arguments:
        built: slugs that have a page; the others are found in the list of their part.
        texts: path without suffix -> Markdown of the book's own pages.
    """
    further = yaml.safe_load((BOOK / "search.yml").read_text(encoding="utf-8"))
    found = [_paper(entry, entry.slug in built, further.get(entry.slug, "")) for entry in registry.entries]
    for path, text in texts.items():
        title = re.search(r"^# (.+)$", text, re.M)[1]
        found.append({"at": [path, ""], "title": title, "note": "", "words": [title, further.get(path, ""), "", ""]})
    return found


def _paper(entry: Entry, built: bool, further: str) -> dict:
    at = [f"{entry.part}/{entry.slug}", ""] if built else [f"parts/{entry.part}", f"#{entry.slug}"]
    names = f"{entry.slug.replace('_', ' ')} {entry.slug.replace('_', '')} {entry.title} {entry.arxiv or ''}"
    text = " ".join([entry.idea, BY_ID[entry.part].title, *(claim.text for claim in entry.claims)])
    words = [names, f"{', '.join(entry.tags)}, {further}", " ".join(entry.authors), text]
    return {"at": at, "title": entry.title, "note": entry.idea if built else f"planned: {entry.idea}", "words": words}


def search_script(found: list[dict], script: Path = BOOK / "search.js") -> str:
    """The script of the search page: the topics, then what ranks them."""
    return f"const TOPICS = {json.dumps(found, ensure_ascii=False)};\n{script.read_text(encoding='utf-8')}"
