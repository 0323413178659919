"""Prompt templates that travel with the data: sentences with one "{}" where the class name goes."""

from __future__ import annotations

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


def openai_templates() -> list[str]:
    """The eighty templates of the CLIP authors' ImageNet notebook, as open_clip ships them (imported here, not copied)."""
    return _from_open_clip("OPENAI_IMAGENET_TEMPLATES")


def simple_templates() -> list[str]:
    """The seven templates that the CLIP authors found to do nearly as well as all eighty, as open_clip ships them."""
    return _from_open_clip("SIMPLE_IMAGENET_TEMPLATES")


def _from_open_clip(name: str) -> list[str]:
    from clipkit.compat import import_open_clip

    return [template("{}") for template in getattr(import_open_clip(), name)]  # open_clip keeps them as functions
