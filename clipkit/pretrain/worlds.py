"""The worlds that the shipped models learn from: arguments of WorldSpec, with the weight or share of each."""

from __future__ import annotations

from collections.abc import Sequence

# What pretraining sees: mostly flat drawings, a few shaded, pastel and sketched ones. Pixel art, blueprints and
# negatives never occur: they are the domain shifts.
SEEN_STYLES = {"styles": ("flat", "shaded", "pastel", "sketch"), "style_probs": (0.82, 0.06, 0.06, 0.06)}
BIAS = {"zipf": 1.0, "background_bias": 0.6, "colour_bias": 0.6}


def worlds(**extra) -> tuple[tuple[dict, float], ...]:
    """One object, two or three, and a few equal ones to count (up to four): the usual diet."""
    common = {**SEEN_STYLES, **extra}
    return (
        ({**common, "min_objects": 1, "max_objects": 1}, 0.5),
        ({**common, "min_objects": 2, "max_objects": 3}, 0.38),
        ({**common, "min_objects": 2, "max_objects": 4, "same_category": 1.0}, 0.12),
    )


def lesson(shares: Sequence[float] = (0.12, 0.13, 0.25, 0.5), **extra) -> tuple[tuple[dict, float], ...]:
    """Single objects, first large, plain and upright, then smaller and turned, then all there are; at last two and three too.

    shares: of the steps; three of them leave the last stage out.
    """
    common = {**SEEN_STYLES, **extra, "min_objects": 1, "max_objects": 1}
    stages = (
        {**common, "styles": ("flat",), "style_probs": None, "sizes": ("large",), "textured": 0.0, "rotate": False},
        {**common, "sizes": ("medium", "large"), "textured": 0.1},
        common,
        {**common, "max_objects": 3, "count_probs": (0.65, 0.25, 0.1)},
    )
    return tuple(zip(stages, shares, strict=False))


def moving() -> tuple[tuple[dict, float], ...]:
    """Single objects before fixed cameras, first the large and upright: (WorldSpec arguments, share of the steps)."""
    common = {"min_objects": 1, "max_objects": 1}
    return (
        ({**common, "sizes": ("large",), "textured": 0.1, "rotate": False}, 0.15),
        ({**common, "sizes": ("medium", "large")}, 0.35),
        (common, 0.5),
    )
