"""Alternative texts for figures: the lab stores one with each figure's output, and Sphinx reads it here.

myst-nb names an output's image file after the SHA-256 of its bytes; alt.json maps that hash to the text.
"""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes


def add_alt(app, doctree):
    texts = json.loads((Path(__file__).parent / "alt.json").read_text(encoding="utf-8"))
    for image in doctree.findall(nodes.image):
        text = texts.get(Path(image["uri"]).stem)
        if text and not image.get("alt"):
            image["alt"] = text


def setup(app):
    app.connect("doctree-read", add_alt)
    return {"version": "1", "parallel_read_safe": True}
