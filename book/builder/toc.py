"""The table of contents: parts in reading order, finished pages under each, then the reference pages."""

from __future__ import annotations

from clipkit.registry.papers import Registry

FRONT = ("start", "how_to_read")
BACK = ("ledger", "glossary", "api", "references")
TEACHING = ("teaching", "marking", "jupyterhub")


def page_path(part: str, slug: str) -> str:
    """A page's path inside the staged source, without suffix."""
    return f"{part}/{slug}"


def toc(registry: Registry, built: set[str], howtos: tuple[str, ...] = ()) -> dict:
    """The jupyter-book table of contents, as a dictionary.

    Args: built: slugs of the pages that exist. howtos: paths of the how-to pages, without suffix.
    """
    parts = []
    for part in registry.parts():
        sections = [{"file": page_path(part.id, e.slug)} for e in registry.of_part(part.id) if e.slug in built]
        parts.append({"file": f"parts/{part.id}", "title": part.title, **({"sections": sections} if sections else {})})
    return {
        "format": "jb-book",
        "root": "index",
        "parts": [
            {"caption": "First", "chapters": _files(FRONT)},
            {"caption": "The papers", "chapters": parts},
            {"caption": "Teaching", "chapters": _files(TEACHING)},
            *([{"caption": "How to", "chapters": _files(howtos)}] if howtos else []),
            {"caption": "Reference", "chapters": _files(BACK)},
        ],
    }


def _files(names: tuple[str, ...]) -> list[dict]:
    return [{"file": name} for name in names]
