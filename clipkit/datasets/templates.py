"""Prompt templates that travel with the data: sentences with one "{}" where the class name goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from clipkit.errors import ClipkitError

# Ours, for photographs of anything. The first is the one to use when there is to be only one.
PHOTO: tuple[str, ...] = (
    "a photo of a {}.",
    "a picture showing a {}.",
    "a close-up photo of one {}.",
    "a {} seen from a distance.",
    "a {} in its usual surroundings.",
    "a blurry snapshot of a {}.",
    "a well-lit photo of the {}.",
    "part of a {} in a cropped photo.",
)
# For the names of ImageNet's classes, from which `lite` and `lit` learnt.
NAMING: tuple[str, ...] = (
    "{}",
    "a photo of a {}.",
    "a {}",
    "a picture of the {}.",
    "a close-up photo of a {}.",
    "this is a {}.",
    "{} in the wild or in use",
    "a blurry low resolution photo of a {}.",
)
# For small, coarse photographs such as CIFAR's.
SMALL_PHOTO: tuple[str, ...] = (
    "a photo of a {}.",
    "a small photo of a {}.",
    "a coarse, low-resolution photo of a {}.",
    "a tiny picture of one {}.",
    "a blurry photo of the {}.",
    "a thumbnail that shows a {}.",
)
DIGITS: tuple[str, ...] = (
    "a handwritten {}.",
    "the digit {}.",
    "the number {} written by hand.",
    "a scan of a handwritten digit {}.",
    "a white {} on a black background.",
    "somebody wrote the number {}.",
)
# For drawings: emoji, clip art.
DRAWING: tuple[str, ...] = (
    "a drawing of {}.",
    "clip art of {}.",
    "an icon of {}.",
    "a simple picture of {} on white.",
    "a sign that shows {}.",
)


def openai_templates() -> list[str]:
    """The eighty templates of the CLIP authors' ImageNet notebook, as open_clip ships them (imported here, not copied)."""
    from clipkit.compat import import_open_clip

    return [template("{}") for template in import_open_clip().OPENAI_IMAGENET_TEMPLATES]  # open_clip keeps them as functions


def fill_templates(classnames: Sequence[str], templates: Sequence[str]) -> list[list[str]]:
    """Every template with every class name: one list of prompts a class.

    >>> fill_templates(["cat"], ["a photo of a {}.", "{}"])
    [['a photo of a cat.', 'cat']]

    Raises: ClipkitError for no or duplicate class names, or a template without its {} place.
    """
    if not classnames or not templates:
        raise ClipkitError("zero-shot needs at least one class name and one template")
    twice = [name for name, count in Counter(classnames).items() if count > 1]
    if twice:
        raise ClipkitError(f"duplicate class names {twice}: merge the classes or tell them apart by name")
    for template in templates:
        if "{}" not in template:
            raise ClipkitError(f"template {template!r} has no {{}} where the class name goes")
    return [[template.replace("{}", name) for template in templates] for name in classnames]
