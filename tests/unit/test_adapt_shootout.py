"""The methods side by side: each sees only what it may, falls back to what it must, and solves an easy problem."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from clipkit.adapt import TipAdapter
from clipkit.adapt.shootout import CLOSED_FORM, METHODS, TRAINED, TUNED, FewShotInput, fixed_weight
from clipkit.errors import ClipkitError

C, D = 5, 16
FAST = [name for name in METHODS if name != "coop"]


def unit(n: int, d: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def near(centres: torch.Tensor, labels: torch.Tensor, seed: int, noise: float = 0.15) -> torch.Tensor:
    return normalize(centres[labels] + noise * torch.randn(len(labels), D, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture(scope="module")
def problem():
    """Pictures close to their class's centre; texts that point between it and the next class's: labels are needed."""
    centres, other = unit(C, D, 0), unit(C, D, 1)
    y, y_val, y_test = (torch.arange(n) % C for n in (20, 10, 50))
    val = (near(centres, y_val, 3), y_val, near(other, y_val, 4))
    data = FewShotInput(
        near(centres, y, 2), y, near(other, y, 5), normalize(centres + 1.2 * centres.roll(1, 0), dim=1), scale=20.0, val=val
    )
    return data, near(centres, y_test, 6), near(other, y_test, 7), y_test


def test_every_method_is_of_one_kind():
    assert {*CLOSED_FORM, *TRAINED, "zero_shot"} == set(METHODS) and not set(CLOSED_FORM) & set(TRAINED)
    assert set(TUNED) < set(METHODS)


@pytest.mark.parametrize("name", FAST)
def test_labels_are_learnt_from(problem, name):
    data, x, a, y = problem
    right, zero_shot = ((METHODS[method](data)(x, a).argmax(1) == y).double().mean().item() for method in (name, "zero_shot"))
    assert zero_shot < 0.5 and (name == "zero_shot" or right > zero_shot)


@pytest.mark.parametrize("name", FAST)
def test_fixed_settings_do_not_look_at_further_pictures(problem, name):
    data, x, a, _ = problem
    wrong = replace(data, val=(data.val[0], data.val[1].flip(0), data.val[2]))
    torch.testing.assert_close(METHODS[name](data.fixed())(x, a), METHODS[name](wrong.fixed())(x, a))
    if name not in TUNED:  # and these never do
        torch.testing.assert_close(METHODS[name](data)(x, a), METHODS[name](wrong)(x, a))


@pytest.mark.parametrize("name", FAST)
def test_the_same_seed_gives_the_same_logits(problem, name):
    data, x, a, _ = problem
    assert torch.equal(METHODS[name](data)(x, a), METHODS[name](data)(x, a))


def test_only_amu_sees_the_other_network(problem):
    data, x, a, _ = problem
    blind = replace(data.fixed(), auxiliary=unit(len(data.labels), D, 9))
    for name in FAST:
        same = torch.allclose(METHODS[name](data.fixed())(x, a), METHODS[name](blind)(x, unit(len(x), D, 10)))
        assert same == (name != "amu"), name


def test_a_class_without_pictures_is_not_an_error_for_the_probe(problem):
    data, x, a, _ = problem
    rows = data.labels != 2
    few = replace(data, features=data.features[rows], labels=data.labels[rows], auxiliary=data.auxiliary[rows]).fixed()
    logits = METHODS["linear_probe"](few)(x, a)
    assert torch.isinf(logits[:, 2]).all() and torch.isfinite(logits[:, [0, 1, 3, 4]]).all()


def test_trust_grows_with_shots_and_ignores_the_heads_own_scale(problem):
    data, *_ = problem
    head = torch.randn(len(data.labels), C, generator=torch.Generator().manual_seed(0))
    assert data.shots == 4.0
    assert fixed_weight(data, 10 * head) == pytest.approx(fixed_weight(data, head) / 10, rel=1e-5)
    twice = replace(
        data,
        **{name: getattr(data, name).repeat(2, *[1] * (getattr(data, name).ndim - 1)) for name in ("features", "labels", "auxiliary")},
    )
    assert fixed_weight(twice, head.repeat(2, 1)) == pytest.approx(2 * fixed_weight(data, head), rel=1e-5)


def test_tip_adapter_is_clipkits_with_the_chosen_settings(problem):
    data, x, a, _ = problem
    direct = TipAdapter(scale=20.0).fit(data.features, data.labels, data.text_weights).search(*data.val[:2])
    assert torch.equal(METHODS["tip_adapter"](data)(x, a), direct.predict_logits(x))


def test_validation_pictures_can_be_trained_on_instead(problem):
    data, *_ = problem
    both = data.with_val()
    assert len(both.features) == 30 and both.val is None and both.shots == 6.0
    assert torch.equal(both.labels[20:], data.val[1]) and torch.equal(both.auxiliary[20:], data.val[2])
    assert data.fixed().with_val().val is None


def test_material_is_cut_from_two_draws_of_the_same_pictures():
    from clipkit.features.samples import draw
    from clipkit.models import load_model

    model, other = load_model("nano", device="cpu").freeze(), load_model("nano-conv", device="cpu")
    ours, theirs = (draw(net, "digits", 0, shots=4, n_val=4, n_test=20) for net in (model, other))
    w = unit(10, ours.test[0].shape[1], 0)
    data = FewShotInput.of(model, ours, theirs, w, 2, "fewshot_val")
    assert data.shots == 2.0 and len(data.val[0]) == 20 and data.scale == pytest.approx(model.logit_scale.item())
    assert torch.equal(data.labels, theirs.shots(2)[1]) and torch.equal(data.auxiliary, theirs.shots(2)[0])
    assert FewShotInput.of(model, ours, theirs, w, 2, "fixed").val is None
    assert len(FewShotInput.of(model, ours, theirs, w, 2, "full_val").val[0]) == 40
    assert data.prompt().classnames == ours.classnames
    bare = replace(ours, templates=["{}"])  # no template has words to start from: random vectors
    assert FewShotInput.of(model, bare, theirs, w, 2, "fixed").prompt().context.shape[0] == 4


def test_what_is_missing_is_told(problem):
    data, *_ = problem
    with pytest.raises(ClipkitError, match="needs FewShotInput.prompt"):
        METHODS["coop"](data)
    with pytest.raises(ClipkitError, match="of the same pictures"):
        replace(data, auxiliary=data.auxiliary[1:])


def test_coop_moves_from_its_template_towards_the_labels():
    from clipkit.adapt import PromptLearner
    from clipkit.models import load_model
    from clipkit.zeroshot import zeroshot_weights

    model = load_model("nano", device="cpu").freeze()
    names = ["cat", "car", "tree"]
    w = zeroshot_weights(model, names, ["a photo of a {}."])
    y = torch.arange(6) % 3
    x = normalize(w[(y + 1) % 3] + 0.1 * unit(6, w.shape[1], 0), dim=1)  # every picture looks like the next class
    data = FewShotInput(x, y, x, w, model.logit_scale.item(), prompt=lambda: PromptLearner(model, names, template="a photo of a {}."))
    before = torch.nn.functional.cross_entropy(METHODS["zero_shot"](data)(x, x), y)
    assert torch.nn.functional.cross_entropy(METHODS["coop"](data)(x, x), y) < before - 0.1
