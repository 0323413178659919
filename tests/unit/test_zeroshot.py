"""Zero-shot weights against open_clip's builder, by hand, and with bad input."""

import pytest
import torch
from torch.nn import functional as F

from clipkit import ClipkitError
from clipkit.compat import import_open_clip
from clipkit.datasets import fill_templates
from clipkit.zeroshot import zeroshot_logits, zeroshot_weights


class HashedText:
    """Text features that depend on the text only: enough of a model for prompt pooling."""

    def text_features(self, texts):
        rows = [torch.randn(6, generator=torch.Generator().manual_seed(sum(map(ord, t)))) for t in texts]
        return F.normalize(torch.stack(rows), dim=-1)


def test_equals_open_clip_builder():
    class Module(torch.nn.Module):
        def encode_text(self, texts, normalize=False):
            return HashedText().text_features(texts)

    names, templates = ["cat", "dog", "red fox"], ["a photo of a {}.", "{}", "art of the {}"]
    theirs = import_open_clip().build_zero_shot_classifier(
        Module(), tokenizer=lambda texts: _Texts(texts), classnames=names, templates=[lambda c, t=t: t.format(c) for t in templates]
    )
    torch.testing.assert_close(zeroshot_weights(HashedText(), names, templates), theirs.T)


class _Texts(list):
    def to(self, *_):
        return self


def test_two_templates_by_hand():
    class Axes:
        def text_features(self, texts):
            return torch.eye(2)[[len(t) % 2 for t in texts]]

    # One template says e1, the other e0: the mean has length 1/sqrt 2 and is normalised only in "embedding".
    assert zeroshot_weights(Axes(), ["a"], ["{}", "{}b"]).norm().item() == pytest.approx(1)
    assert zeroshot_weights(Axes(), ["a"], ["{}", "{}b"], mode="logit").norm().item() == pytest.approx(0.5**0.5)


def test_logit_mode_is_the_mean_of_logits():
    names, templates, x = ["cat", "dog"], ["{}", "a {}", "the {}"], torch.randn(5, 6)
    single = torch.stack([zeroshot_logits(x, zeroshot_weights(HashedText(), names, [t]), 10) for t in templates]).mean(0)
    torch.testing.assert_close(zeroshot_logits(x, zeroshot_weights(HashedText(), names, templates, mode="logit"), 10), single)


def test_permuting_classes_permutes_logits():
    x, names = torch.randn(4, 6), ["a", "b", "c"]
    w = zeroshot_weights(HashedText(), names, ["{}"])
    torch.testing.assert_close(zeroshot_weights(HashedText(), names[::-1], ["{}"]), w.flip(0))
    assert zeroshot_logits(x, w).shape == (4, 3)


def test_bad_input():
    with pytest.raises(ClipkitError, match="duplicate class names"):
        fill_templates(["cat", "cat"], ["{}"])
    with pytest.raises(ClipkitError, match="no {} where"):
        fill_templates(["cat"], ["a photo"])
    with pytest.raises(ClipkitError, match="at least one class"):
        fill_templates([], ["{}"])
    with pytest.raises(ClipkitError, match="row 1"):
        zeroshot_logits(torch.tensor([[0.0, 1.0], [float("nan"), 0.0]]), torch.eye(2))
    with pytest.raises(ClipkitError, match="dimensions where"):
        zeroshot_logits(torch.ones(2, 3), torch.eye(2))
    with pytest.raises(ClipkitError, match="mode"):
        zeroshot_weights(HashedText(), ["a"], ["{}"], mode="max")
