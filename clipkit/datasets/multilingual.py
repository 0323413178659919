"""ImageNet's class names and prompts in some ninety languages, from the package clip-benchmark (extra `languages`).

Names were collected from BabelNet, so no language has all thousand; prompts are CLIP's, translated by a machine.
Source: Geigle et al., arXiv:2306.08658 (Babel-ImageNet).
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from clipkit.errors import MissingExtra, unknown


class ForeignNames(NamedTuple):
    """classes: which of ImageNet's thousand; names of these; templates with one "{}"."""

    classes: list[int]
    names: list[str]
    templates: list[str]


def foreign_names(language: str) -> ForeignNames:
    """Names and prompts of ImageNet's classes in a language, by its two- or three-letter code, for instance "DE" or "sw".

    Raises MissingExtra without clip-benchmark, ClipkitError for a language that it lacks, with those it has.
    """
    names, prompts = _read("babel_imagenet"), _read("nllb_dist13b_prompts")
    code = language.upper()
    if code not in (both := sorted(names.keys() & prompts.keys())):
        raise unknown("language", language, both)
    classes, said = names[code]
    return ForeignNames(classes, said, [" ".join(prompt.split()) for prompt in prompts[code] if prompt.count("{}") == 1])


@lru_cache(2)
def _read(name: str) -> dict:
    found = find_spec("clip_benchmark")  # not imported: it would load much more
    if found is None:
        raise MissingExtra("clip-benchmark", "languages")
    return json.loads((Path(found.submodule_search_locations[0]) / "datasets" / f"{name}.json").read_text(encoding="utf-8"))
