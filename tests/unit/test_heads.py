"""Heads take what scikit-learn's take: tensors, arrays, lists, names; and give back the kind they got."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score

import clipkit.adapt
from clipkit.adapt import (
    AMU,
    GDA,
    CLIPAdapter,
    CrossModalProbe,
    LogisticHead,
    NearestClassMean,
    PrototypeBlend,
    TipAdapter,
    TipX,
    ZeroShotProbe,
)
from clipkit.errors import ClipkitError
from clipkit.heads import Head

NAMES = np.array(["tram", "cat", "boat"])  # not in the order of the alphabet
HEADS = {
    "gda": GDA,
    "logistic": lambda: LogisticHead(50.0),
    "probe": lambda: ZeroShotProbe(50.0, epochs=3),
    "blend": lambda: PrototypeBlend(50.0),
    "means": NearestClassMean,
    "tip": lambda: TipAdapter(1.0, 5.5, 50.0),
    "tip_x": TipX,
    "adapter": lambda: CLIPAdapter(steps=5),
    "cross_modal": lambda: CrossModalProbe(steps=20),
}


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(0)
    w = F.normalize(torch.randn(3, 16), dim=1)
    y = torch.arange(24) % 3
    return F.normalize(w[y] + 0.15 * torch.randn(24, 16), dim=1), y, w


def same(make, x, y, w, test):
    torch.manual_seed(1)
    return make().fit(x, y, w).predict_logits(test)


@pytest.mark.parametrize("name", HEADS)
def test_arrays_and_lists_give_the_numbers_of_tensors_as_arrays(name, data):
    (x, y, w), make = data, HEADS[name]
    ours = same(make, x, y, w, x)
    assert isinstance(ours, torch.Tensor)
    for kind in (lambda t: t.numpy(), lambda t: t.tolist(), lambda t: t.double().numpy()):
        found = same(make, kind(x), y.tolist(), kind(w), kind(x))
        assert isinstance(found, np.ndarray) and found.dtype == np.float32
        np.testing.assert_allclose(found, ours.detach().numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_half_precision_is_computed_in_single_on_a_processor(name, data):
    (x, y, w), make = data, HEADS[name]
    for kind in (torch.float16, torch.bfloat16):
        found = same(make, x.to(kind), y, w.to(kind), x.to(kind))
        expected = same(make, x.to(kind).float(), y, w.to(kind).float(), x.to(kind).float())
        assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("name", HEADS)
def test_names_are_labels_too(name, data):
    (x, y, w), make = data, HEADS[name]
    torch.manual_seed(1)
    head = make().fit(x.numpy(), NAMES[y.numpy()], w.numpy(), classes=list(NAMES))
    torch.manual_seed(1)
    numbered = make().fit(x, y, w)
    predicted = head.predict(x.numpy())
    assert predicted.tolist() == NAMES[numbered.predict(x).numpy()].tolist()
    assert head.score(x.numpy(), NAMES[y.numpy()]) == pytest.approx(100 * accuracy_score(NAMES[y.numpy()], predicted))
    assert numbered.score(x, y) == pytest.approx(100 * accuracy_score(y, numbered.predict(x)))
    numbered.fit(x, y, w)
    assert numbered.classes_ is None and numbered.predict(x).dtype == torch.int64


def test_without_text_the_names_are_numbered_by_the_alphabet(data):
    x, y, w = data
    head = GDA().fit(x.numpy(), NAMES[y.numpy()].tolist())
    assert head.classes_ == ["boat", "cat", "tram"]
    np.testing.assert_allclose(head.predict_logits(x.numpy()), GDA().fit(x, 2 - y).predict_logits(x).numpy(), rtol=1e-4, atol=1e-4)
    assert head.score(x, NAMES[y.numpy()]) > 90


def test_two_networks(data):
    x, y, w = data
    auxiliary = torch.cat([x, x[:, :4]], 1)
    head = AMU().fit(x.numpy(), auxiliary.numpy(), NAMES[y.numpy()], w.numpy(), classes=list(NAMES))
    assert head.predict(x.numpy(), auxiliary.numpy()).tolist()[:1] == [NAMES[int(y[0])]]
    assert head.score(x.numpy(), auxiliary.numpy(), NAMES[y.numpy()]) > 90


def test_what_is_wrong_is_said(data):
    x, y, w = data
    with pytest.raises(ClipkitError, match="names in the order of the text weights"):
        GDA().fit(x, NAMES[y.numpy()], w)
    with pytest.raises(ClipkitError, match="label 'cat' is none of the 2 classes"):
        GDA().fit(x, NAMES[y.numpy()], classes=["tram", "boat"])
    with pytest.raises(ClipkitError, match="not fitted"):
        GDA().predict(x)
    with pytest.raises(TypeError, match="GDA.fit: got an unexpected keyword argument 'weights'"):
        GDA().fit(x, y, weights=w)


def test_every_head_on_features_is_one():
    """Whoever has `fit(features, labels, ...)` and `predict_logits` shares this face."""
    for name in clipkit.adapt.__all__:
        kind = getattr(clipkit.adapt, name)
        if inspect.isclass(kind) and hasattr(kind, "predict_logits") and hasattr(kind, "fit"):
            takes = list(inspect.signature(kind.fit).parameters)
            assert issubclass(kind, Head) or "pixels" in takes, name
