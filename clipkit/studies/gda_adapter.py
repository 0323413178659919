"""What a page about few-shot heads runs on one draw: heads under selection protocols, long tails, classes without pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from clipkit.adapt.cache import TipAdapter
from clipkit.adapt.gda import GDA
from clipkit.adapt.prototypes import PrototypeBlend
from clipkit.adapt.selection import PROTOCOLS, ensemble_logits, equal_spread, select_alpha, selection_rows
from clipkit.errors import ClipkitError
from clipkit.features.few_shot import FewShot
from clipkit.metrics import percent_right

Fit = Callable[[Tensor, Tensor, Tensor], object]  # (features, labels, text_weights) -> a fitted head with predict_logits


def percent(logits: Tensor, labels: Tensor) -> float:
    """Percent of rows whose largest logit is the label's.

    >>> percent(torch.eye(2), torch.tensor([0, 0]))
    50.0
    """
    return percent_right(logits, labels)


def macro_percent(logits: Tensor, labels: Tensor) -> float:
    """Mean over the classes that occur of the percent right in each."""
    return float(np.mean([percent(logits[labels == c], labels[labels == c]) for c in labels.unique()]))


def protocol_scores(
    draw: FewShot,
    text_weights: Tensor,
    shots: Sequence[int],
    heads: Mapping[str, Fit],
    scale: float,
    alone: Collection[str] = (),
    complete: Collection[str] = (),
) -> dict[str, float]:
    """Test accuracy of each head under each selection protocol: {"arm|protocol|shots": percent}.

    Each head is fitted once for each number of shots. What is then chosen on the protocol's pictures (`selection_rows`):
    - a head with a method `search` sets its own numbers; under "fixed" it stays as it came;
    - heads in `complete` have nothing to choose;
    - any other is added to zero-shot with a weight from `select_alpha`; under "fixed" the weight is that of equal
      spread on the support times k / 4, the proportion of the prototype blend, or, for heads in `alone`, the head
      stands without zero-shot. log10 of the weight is under "alpha of ARM|protocol|shots".

    Args:
        text_weights: (C, D). heads: arm -> fit(features, labels, text_weights). scale: the model's logit scale.
    """
    found: dict[str, float] = {}
    test, truth = draw.test

    def zero_shot(features: Tensor) -> Tensor:
        return scale * features @ text_weights.T

    for k in shots:
        x, y = draw.shots(k)
        for arm, fit in heads.items():
            head = fit(x, y, text_weights)
            for protocol in PROTOCOLS:
                rows, key = selection_rows(draw, k, protocol), f"{arm}|{protocol}|{k}"
                if rows is not None and hasattr(head, "search"):
                    head.search(*rows)
                logits = head.predict_logits(test)
                if arm not in complete and not hasattr(head, "search") and not (rows is None and arm in alone):
                    if rows is None:
                        alpha = k / 4 * equal_spread(zero_shot(x), head.predict_logits(x))
                    else:
                        alpha = select_alpha(zero_shot(rows[0]), head.predict_logits(rows[0]), rows[1])
                    found[f"alpha of {key}"] = math.log10(alpha) if alpha > 0 else -9.0
                    logits = ensemble_logits(zero_shot(test), logits, alpha)
                found[key] = percent(logits, truth)
    return found


def zipf_shots(n_classes: int, most: int, seed: int) -> np.ndarray:
    """(C,) training pictures of each class under Zipf's law: most, most/2, most/3 ... rounded up, in a random order.

    >>> sorted(zipf_shots(5, 16, 0).tolist())
    [4, 4, 6, 8, 16]
    """
    if n_classes < 1 or most < 1:
        raise ClipkitError(f"n_classes and most must be at least 1, got {n_classes} and {most}")
    return np.ceil(most / (1 + np.random.default_rng(seed).permutation(n_classes))).astype(int)


def long_tail(draw: FewShot, text_weights: Tensor, most: int, scale: float, seed: int) -> dict[str, float]:
    """Macro accuracy of heads on a support with a long tail, settings chosen on validation pictures thinned alike.

    Returns {arm: percent} and, for the classes with the fewest pictures alone, {arm_rare: percent}; arms gda_zipf (uniform
    prior), gda_zipf_prior (the support's), tip_zipf, blend_zipf, zero_shot_macro.
    """
    few = zipf_shots(len(text_weights), most, seed)
    thin, rare = draw.thinned(few), torch.as_tensor(few == few.min())
    (x, y), (xv, yv), (xt, yt) = thin.pool, thin.val, thin.test
    logits = {"zero_shot_macro": scale * xt @ text_weights.T}
    logits["blend_zipf"] = PrototypeBlend(scale).fit(x, y, text_weights).predict_logits(xt)
    logits["tip_zipf"] = TipAdapter(1.0, 5.5, scale).fit(x, y, text_weights).search(xv, yv).predict_logits(xt)
    for arm, prior in (("gda_zipf", "uniform"), ("gda_zipf_prior", "empirical")):
        head = GDA(prior=prior).fit(x, y, text_weights).predict_logits
        alpha = select_alpha(scale * xv @ text_weights.T, head(xv), yv)
        logits[arm] = ensemble_logits(logits["zero_shot_macro"], head(xt), alpha)
    found = {arm: macro_percent(guess, yt) for arm, guess in logits.items()}
    return found | {f"{arm}_rare": macro_percent(guess[rare[yt]], yt[rare[yt]]) for arm, guess in logits.items()}


def new_classes(draw: FewShot, text_weights: Tensor, most: int, scale: float, seed: int) -> dict[str, float]:
    """Accuracy when a random half of the classes has no picture, each half judged among its own classes.

    Arms: zero_shot_base, zero_shot_new; gda_base and gda_new as in the released code (mean of the classes' covariances,
    pseudo-inverse; new precision), gda_shared_base and gda_shared_new (the paper's shrunk precision for both). The mixing
    weight is chosen on validation pictures of the base half and used for both, as in the released code.

    Raises ClipkitError for fewer than two classes.
    """
    if len(text_weights) < 2:
        raise ClipkitError("halves need at least two classes")
    halves = torch.as_tensor(np.random.default_rng(seed).permutation(len(text_weights))).tensor_split(2)
    base, new = (half.sort().values for half in halves)
    seen, unseen, found = draw.of(base), draw.of(new), {}
    for arm, head, precision in (("gda", GDA("none", cov="class_mean"), "new"), ("gda_shared", GDA(), "shared")):
        head.fit(*seen.shots(most), text_weights[base])
        alpha = select_alpha(scale * seen.val[0] @ text_weights[base].T, head.predict_logits(seen.val[0]), seen.val[1])
        extended = head.extend(text_weights[new], precision=precision)
        for kind, part, weights, used in (("base", seen, text_weights[base], head), ("new", unseen, text_weights[new], extended)):
            zero_shot = scale * part.test[0] @ weights.T
            found[f"zero_shot_{kind}"] = percent(zero_shot, part.test[1])
            found[f"{arm}_{kind}"] = percent(ensemble_logits(zero_shot, used.predict_logits(part.test[0]), alpha), part.test[1])
    return found
