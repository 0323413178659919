"""CapS-Adapter: a cache of generated pictures and of the captions they were generated from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from clipkit import checks
from clipkit.adapt.cache import BETAS
from clipkit.adapt.tip_x import TipX
from clipkit.errors import ClipkitError

DELTAS = tuple(k / 10 for k in range(11))


def build_support(
    captioner: Callable[[Any, Sequence[str]], Sequence[str]],
    generator: Callable[[Sequence[str]], Any],
    images: Sequence[Any],
    labels: Sequence[int],
    classnames: Sequence[str],
    per_class: int,
    prefix: str = "A photo of {}. ",
) -> tuple[Any, list[str], np.ndarray]:
    """Caption target pictures, put the class name before, and generate `per_class` pictures of each class from that.

    Args:
        captioner: (pictures, their class names) -> one caption each. generator: texts -> one picture each.
        images: N target pictures. labels: (N,) integers. classnames: C names; every class needs a picture.
        per_class: generated pictures a class. A class with fewer captions uses them again, in turn.
        prefix: goes before each caption, with the name at {}; "" for none.

    Returns: the generated pictures, their C * per_class texts and labels, class by class.
    Raises ClipkitError: no picture of a class, labels out of range, a captioner that returns another number of texts.
    Source: arXiv:2405.16591, section 3.1. The few-shot variant of its released code puts the first class's name before
    every caption; here each caption gets its own.
    """
    checks.at_least(1, per_class=per_class, pictures=len(images))
    labels = checks.labels(labels, len(images), len(classnames)).numpy()
    captions = list(captioner(images, [classnames[y] for y in labels]))
    if len(captions) != len(labels):
        raise ClipkitError(f"the captioner returned {len(captions)} captions for {len(labels)} pictures")
    texts: list[str] = []
    for y, name in enumerate(classnames):
        own = [captions[i] for i in np.flatnonzero(labels == y)]
        if not own:
            raise ClipkitError(f"no target picture of class {name!r} to caption; give every class at least one")
        texts += [prefix.replace("{}", name) + own[k % len(own)] for k in range(per_class)]
    return generator(texts), texts, np.repeat(np.arange(len(classnames)), per_class)


class CapSAdapter(TipX):
    """Tip-X whose affinity mixes picture and caption: A = (1 - delta) f K_I^T + delta f K_T^T.

    Since A is linear in the keys, this is one cache whose keys are (1 - delta) K_I + delta K_T. The divergence
    compares with the pictures' signatures only. delta = 0 is Tip-X, and gamma = 0 besides is Tip-Adapter.

    Args:
        alpha, beta, gamma, **tip_x: see `TipX`. delta: in [0, 1], the captions' share.

    Attributes after `fit`: keys_ and captions_ (M, D), labels_ (M,), text_weights_ (C, D). After `search`: chosen_.

    Source: arXiv:2405.16591, eq. 5-8, and github.com/WLuLi/CapS-Adapter. Deliberate differences: that code takes
    signature="feature" and rescale="batch" (both can be asked for), and leaves D = 0 for the last N mod 10 test rows.
    """

    def __init__(self, alpha: float = 1.0, beta: float = 5.5, gamma: float = 1.0, delta: float = 0.5, **tip_x: Any):
        super().__init__(alpha, beta, gamma, **tip_x)
        checks.share(delta=delta)
        self.delta = float(delta)

    def fit(self, features: Tensor, captions: Tensor, labels: Tensor, text_weights: Tensor) -> CapSAdapter:  # type: ignore[override]
        """Keep (M, D) picture features and the (M, D) features of their captions, (M,) labels, (C, D) text weights.

        Raises ClipkitError: shapes that do not match, NaN, a label out of range.
        """
        features, captions = checks.features(features), checks.features(captions, "caption features")
        checks.same_shape(features, captions, what="features of pictures and of their captions")
        self.captions_ = captions.to(features)
        return super().fit(features, labels, text_weights)

    def search(self, features: Tensor, labels: Tensor, deltas: Sequence[float] = DELTAS, betas: Sequence[float] = BETAS, **grid: Any):
        """As `TipX.search`, with delta too. The paper's code tries 2.2 million settings."""
        return super().search(features, labels, betas=betas, delta=deltas, **grid)

    def _mixed_keys(self) -> Tensor:
        return (1 - self.delta) * self.keys_ + self.delta * self.captions_
