"""Trials: each head sees what its protocol allows and no more; thinning and halving do what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from clipkit.adapt import GDA, NearestClassMean, TipAdapter, ZeroShotProbe, select_alpha
from clipkit.adapt.selection import PROTOCOLS, equal_spread
from clipkit.errors import ClipkitError
from clipkit.features.few_shot import FewShot, turns
from clipkit.studies.gda_adapter import long_tail, macro_percent, new_classes, percent, protocol_scores, zipf_shots

SCALE = 20.0


@pytest.fixture
def drawn():
    g = torch.Generator().manual_seed(0)
    w = normalize(torch.randn(6, 10, generator=g), dim=1)
    parts = {}
    for name, n in (("pool", 8), ("val", 4), ("test", 20)):
        y = torch.arange(6).repeat(n)
        parts[name] = normalize(w[y] + 0.5 * torch.randn(len(y), 10, generator=g) + 0.3, dim=1), y
    return FewShot(turn=turns(parts["pool"][1].numpy()), classnames=list("abcdef"), templates=["{}"], **parts), w


def gda(x, y, w):
    return GDA().fit(x, y, w)


def test_scores_are_those_of_the_steps_written_out(drawn):
    draw, w = drawn
    (xt, yt), (x, y), (xv, yv) = draw.test, draw.shots(4), draw.val
    heads = {
        "gda": gda,
        "probe": lambda *a: ZeroShotProbe(SCALE, epochs=20).fit(*a),
        "mean": lambda *a: NearestClassMean(SCALE).fit(*a),
        "tip": lambda *a: TipAdapter(1.0, 5.5, SCALE).fit(*a),
    }
    found = protocol_scores(draw, w, (1, 4), heads, SCALE, alone=("probe",), complete=("mean",))
    assert {key for key in found if not key.startswith("alpha")} == {f"{a}|{p}|{k}" for a in heads for p in PROTOCOLS for k in (1, 4)}
    head, zs = gda(x, y, w), SCALE * xt @ w.T
    alpha = select_alpha(SCALE * xv @ w.T, head.predict_logits(xv), yv)
    assert found["gda|full_val|4"] == percent(zs + alpha * head.predict_logits(xt), yt)
    assert found["alpha of gda|full_val|4"] == pytest.approx(np.log10(alpha))
    spread = equal_spread(SCALE * x @ w.T, head.predict_logits(x))
    assert found["gda|fixed|4"] == percent(zs + spread * head.predict_logits(xt), yt)  # k / 4 = 1
    assert found["probe|fixed|4"] == percent(heads["probe"](x, y, w).predict_logits(xt), yt) and "alpha of probe|fixed|4" not in found
    assert len({found[f"mean|{p}|4"] for p in PROTOCOLS}) == 1 and "alpha of mean|full_val|4" not in found
    tip = heads["tip"](x, y, w)
    assert found["tip|fixed|4"] == percent(tip.predict_logits(xt), yt)
    assert found["tip|full_val|4"] == percent(tip.search(xv, yv).predict_logits(xt), yt)


def test_test_labels_reach_the_oracle_only(drawn):
    draw, w = drawn
    turned = FewShot(draw.pool, draw.turn, draw.val, (draw.test[0], (draw.test[1] + 1) % 6), draw.classnames, draw.templates)
    one, other = (protocol_scores(d, w, (2,), {"gda": gda}, SCALE) for d in (draw, turned))
    for protocol in PROTOCOLS[:-1]:
        assert one[f"alpha of gda|{protocol}|2"] == other[f"alpha of gda|{protocol}|2"]
    best = max(one[f"gda|{p}|2"] for p in ("fewshot_val", "full_val"))
    assert one["gda|oracle_test|2"] >= best


def test_macro_accuracy_by_hand():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert macro_percent(logits, torch.tensor([0, 0, 0, 1])) == 50.0 and percent(logits, torch.tensor([0, 0, 0, 1])) == 75.0


def test_zipf_shots():
    few = zipf_shots(48, 16, 3)
    assert few.max() == 16 and few.min() == 1 and sorted(few.tolist()) == sorted(zipf_shots(48, 16, 4).tolist())
    assert few.tolist() != zipf_shots(48, 16, 4).tolist() and zipf_shots(1, 5, 0).tolist() == [5]
    with pytest.raises(ClipkitError, match="at least 1"):
        zipf_shots(0, 1, 0)


def test_long_tail(drawn):
    draw, w = drawn
    found = long_tail(draw, w, 8, SCALE, seed=1)
    assert found["zero_shot_macro"] == pytest.approx(macro_percent(SCALE * draw.test[0] @ w.T, draw.test[1]))
    few = zipf_shots(6, 8, 1)
    rare = torch.as_tensor(few == few.min())[draw.test[1]]
    assert found["zero_shot_macro_rare"] == pytest.approx(macro_percent((SCALE * draw.test[0] @ w.T)[rare], draw.test[1][rare]))
    assert all(0 <= value <= 100 for value in found.values()) and len(found) == 10
    assert found == long_tail(draw, w, 8, SCALE, seed=1) != long_tail(draw, w, 8, SCALE, seed=2)


def test_new_classes(drawn):
    draw, w = drawn
    found = new_classes(draw, w, 8, SCALE, seed=0)
    order = np.random.default_rng(0).permutation(6)
    for kind, classes in (("base", order[:3]), ("new", order[3:])):
        part = draw.of(classes)
        assert found[f"zero_shot_{kind}"] == percent(SCALE * part.test[0] @ w[np.sort(classes)].T, part.test[1])
    assert set(found) == {f"{arm}_{kind}" for arm in ("zero_shot", "gda", "gda_shared") for kind in ("base", "new")}
    with pytest.raises(ClipkitError, match="two classes"):
        new_classes(draw, w[:1], 8, SCALE, seed=0)
