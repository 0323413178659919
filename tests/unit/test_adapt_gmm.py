"""EM with one covariance: scikit-learn's tied mixture, the closed form with known labels, a likelihood that never falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.mixture import GaussianMixture

from clipkit.adapt import gmm_em
from clipkit.errors import ClipkitError


def clouds(n=300, c=3, d=4, seed=0, dtype=torch.float64, apart=2.0):
    rng = np.random.default_rng(seed)
    y = rng.integers(c, size=n)
    mix = rng.normal(size=(d, d))
    x = apart * rng.normal(size=(c, d))[y] + rng.normal(size=(n, d)) @ mix
    start = torch.tensor(np.eye(c)[y] + 0.8 * rng.dirichlet(np.ones(c), n))
    return torch.tensor(x, dtype=dtype), (start / start.sum(1, keepdim=True)).to(dtype), torch.tensor(y)


@pytest.mark.parametrize("n_iter", [1, 2, 7])
def test_equals_scikit_learns_tied_mixture(n_iter):
    x, r, _ = clouds()
    ours = gmm_em(x, r, n_iter=n_iter, prior="estimated", ridge=0.0)
    # scikit-learn starts from parameters: give it those of our first M-step, by their own formulas
    mass = r.sum(0)
    means = r.T @ x / mass[:, None]
    covariance = (x.T @ x - (means.T * mass) @ means) / len(x)
    theirs = GaussianMixture(
        3, covariance_type="tied", reg_covar=0.0, max_iter=max(1, n_iter - 1), tol=0.0, means_init=means.numpy(),
        precisions_init=torch.linalg.inv(covariance).numpy(), weights_init=(mass / len(x)).numpy(),
    )  # fmt: skip
    if n_iter == 1:  # before any step of its own
        theirs._initialize_parameters(x.numpy(), np.random.RandomState(0))
        theirs.precisions_cholesky_ = np.linalg.cholesky(theirs.precisions_init)
    else:
        with pytest.warns(match="did not converge"):
            theirs.fit(x.numpy())
    np.testing.assert_allclose(ours.posterior_, theirs.predict_proba(x.numpy()), atol=1e-8)
    np.testing.assert_allclose(ours.means_, theirs.means_, atol=1e-8)
    np.testing.assert_allclose(ours.likelihoods_[-1], theirs.score(x.numpy()), atol=1e-8)
    if n_iter > 1:
        np.testing.assert_allclose(ours.precision_, theirs.precisions_, atol=1e-7)
        np.testing.assert_allclose(ours.shares_, theirs.weights_, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_certain_posteriors_give_linear_discriminant_analysis(dtype):
    x, _, y = clouds(dtype=dtype)
    head = gmm_em(x, torch.nn.functional.one_hot(y).to(dtype), n_iter=1, prior="estimated", ridge=0.0)
    lda = LinearDiscriminantAnalysis(solver="lsqr", store_covariance=True).fit(x.numpy(), y.numpy())  # covariance over n, as here
    np.testing.assert_allclose(head.precision_, np.linalg.inv(lda.covariance_), rtol=1e-4 if dtype == torch.float32 else 1e-8)
    np.testing.assert_allclose(
        head.predict_logits(x).softmax(1), lda.predict_proba(x.numpy()), atol=1e-4 if dtype == torch.float32 else 1e-8
    )
    assert head.predict_logits(x).dtype == dtype
    torch.testing.assert_close(head.predict_logits(x).softmax(1), head.posterior_, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("prior", ["uniform", "estimated"])
@pytest.mark.parametrize("seed", range(3))
def test_likelihood_never_falls_without_a_ridge(prior, seed):
    x, _, _ = clouds(seed=seed)
    r = torch.rand(len(x), 3, dtype=x.dtype, generator=torch.Generator().manual_seed(seed))
    path = np.array(gmm_em(x, r / r.sum(1, keepdim=True), n_iter=40, prior=prior, ridge=0.0).likelihoods_)
    assert (np.diff(path) > -1e-10).all() and path[-1] > path[0]
    short = gmm_em(x, r / r.sum(1, keepdim=True), n_iter=40, prior=prior, ridge=0.0, tol=1e-3).likelihoods_
    assert 1 < len(short) < 40


def test_finds_clouds_that_a_few_pictures_hint_at():
    x, r, y = clouds(n=600, d=6, apart=4.0)
    r[60:] = 1 / 3  # nine pictures in ten say nothing
    head = gmm_em(x, r, n_iter=100)
    taught = gmm_em(x, torch.nn.functional.one_hot(y).double(), n_iter=1)  # with all labels
    right, best = ((h.predict_logits(x).argmax(1) == y).float().mean() for h in (head, taught))
    assert right > best - 0.03 and best > 0.8


def test_invariances():
    x, r, _ = clouds()
    a = gmm_em(x, r, n_iter=5, ridge=0.0)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gmm_em(x[order], r[order], n_iter=5, ridge=0.0).posterior_, a.posterior_[order])
    torch.testing.assert_close(gmm_em(x, r[:, [2, 0, 1]], n_iter=5, ridge=0.0).posterior_, a.posterior_[:, [2, 0, 1]])
    turn = torch.randn(4, 4, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(gmm_em(x @ turn + 3, r, n_iter=5, ridge=0.0).posterior_, a.posterior_, atol=1e-6, rtol=1e-5)  # affine


def test_labels_stay_what_they_are():
    x, r, y = clouds()
    wrong = r.new_full(r.shape, 1 / 3)  # without labels: a mixture that cannot start
    head = gmm_em(x[20:], wrong[20:], n_iter=30, labelled=(x[:20], y[:20]))
    assert (head.posterior_.argmax(1) == y[20:]).float().mean() > 0.85 and head.posterior_.shape == (280, 3)
    blind = gmm_em(x[20:], wrong[20:], n_iter=30)
    torch.testing.assert_close(blind.means_[0], blind.means_[1])  # nothing tells the classes apart


def test_closed_classes_take_no_unlabelled_picture():
    x, r, y = clouds(apart=4.0)
    old, new = y == 0, y != 0
    head = gmm_em(
        x[new], r[new] * torch.tensor([0.0, 1.0, 1.0]) / r[new, 1:].sum(1, keepdim=True), labelled=(x[old], y[old]), classes=[1, 2]
    )
    assert head.posterior_[:, 0].max() == 0
    torch.testing.assert_close(head.means_[0], x[old].mean(0))
    assert (head.predict_logits(x).argmax(1) == y).float().mean() > 0.9


def test_empty_classes_one_class_and_many():
    x, r, _ = clouds()
    r = torch.cat([r, torch.zeros(len(r), 1, dtype=r.dtype)], 1)
    head = gmm_em(x, r, n_iter=1, prior="estimated")
    torch.testing.assert_close(head.means_[3], x.mean(0))
    assert head.posterior_[:, 3].max() < 1e-200 and torch.isfinite(head.predict_logits(x)).all()
    one = gmm_em(x, torch.ones(len(x), 1, dtype=x.dtype), n_iter=2, ridge=0.0)
    torch.testing.assert_close(torch.linalg.inv(one.precision_), torch.cov(x.T, correction=0))
    wide = torch.nn.functional.normalize(torch.randn(1200, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    many = gmm_em(wide, torch.eye(1000).repeat(2, 1)[:1200], n_iter=2)
    assert many.posterior_.shape == (1200, 1000) and torch.isfinite(many.posterior_).all()
    few = gmm_em(wide[:10], torch.eye(2).repeat(5, 1), n_iter=3)  # fewer pictures than dimensions: the ridge carries it
    assert torch.isfinite(few.predict_logits(wide)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"posterior": torch.ones(300, 3)}, "sum to 1"),
        ({"posterior": torch.ones(5, 1)}, "one a picture"),
        ({"features": torch.full((300, 4), float("nan"))}, "NaN"),
        ({"n_iter": 0}, "n_iter must be at least 1"),
        ({"ridge": -1.0}, "ridge must be at least 0"),
        ({"prior": "flat"}, "unknown prior"),
        ({"labelled": (torch.zeros(2, 4), torch.tensor([0, 3]))}, "labels must lie"),
        ({"labelled": (torch.zeros(2, 5), torch.tensor([0, 1]))}, "dimensions"),
        ({"features": torch.ones(300, 4), "ridge": 0.0}, "singular"),
    ],
)
def test_what_cannot_be_is_said(change, message):
    x, r, _ = clouds()
    with pytest.raises(ClipkitError, match=message):
        gmm_em(**{"features": x, "posterior": r, **change})
    with pytest.raises(ClipkitError, match="dimensions"):
        gmm_em(x, r, 1).predict_logits(x[:, :2])
