"""Heads whose numbers mean something for features of unit length only refuse others, whichever head it is."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from clipkit.adapt import AMU, CLIPAdapter, TipAdapter, TipX, ZeroShotProbe
from clipkit.errors import ClipkitError

X = F.normalize(torch.randn(8, 6, generator=torch.Generator().manual_seed(0)), dim=1)
Y = torch.arange(8) % 2
W = F.normalize(torch.randn(2, 6, generator=torch.Generator().manual_seed(1)), dim=1)


@pytest.mark.parametrize("head", [TipAdapter, TipX, CLIPAdapter, ZeroShotProbe, AMU])
@pytest.mark.parametrize("factor", [12.0, 0.1])
def test_raw_features_are_refused(head, factor):
    more = (X,) if head is AMU else ()
    with pytest.raises(ClipkitError, match=f"features must be of unit length, row . has length {factor:.3g}"):
        head().fit(factor * X, *more, Y, W)


@pytest.mark.parametrize("head", [TipAdapter, TipX])
def test_test_features_too_and_half_precision_is_near_enough(head):
    fitted = head().fit(X, Y, W)
    with pytest.raises(ClipkitError, match="unit length"):
        fitted.predict_logits(20 * X)
    assert torch.isfinite(fitted.predict_logits(X.bfloat16().float())).all()
