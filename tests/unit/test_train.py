"""The one training loop: does it minimise, repeat itself, and stop with a clear word?"""

import itertools
from functools import partial

import pytest
import torch
from torch import nn

from clipkit import ClipkitError
from clipkit.train import cosine_schedule, minimise, shuffled, train

X = torch.linspace(-1, 1, 32)[:, None]
Y = 3 * X + 0.5


def squared(module, batch):
    x, y = batch
    return (module(x) - y).square().mean()


def fit(steps=200, **kwargs):
    torch.manual_seed(0)
    module = nn.Linear(1, 1)
    return module, train(module, itertools.repeat((X, Y)), squared, steps, lr=0.1, weight_decay=0.0, **kwargs)


def test_finds_the_line():
    module, history = fit()
    assert module.weight.item() == pytest.approx(3, abs=1e-2)
    assert module.bias.item() == pytest.approx(0.5, abs=1e-2)
    assert history.loss[-1] < 1e-4 < history.loss[0] and len(history.loss) == 200


def test_same_seed_same_run():
    assert fit(30)[1].loss == fit(30)[1].loss


def test_schedule():
    factors = [cosine_schedule(s, 100, 10) for s in range(100)]
    assert factors[:10] == pytest.approx([k / 10 for k in range(1, 11)])
    assert all(a >= b for a, b in itertools.pairwise(factors[10:])) and 0 < factors[-1] < 1e-3


def test_frozen_parameters_stay():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))
    module[0].requires_grad_(False)
    before = module[0].weight.clone()
    train(module, itertools.repeat((X, Y)), squared, 10)
    assert torch.equal(module[0].weight, before)


def test_weight_decay_spares_vectors():
    module = nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(1.0)
        module.bias.fill_(1.0)
    train(module, itertools.repeat(None), lambda m, _: 0.0 * m(X).sum(), 5, lr=0.1, weight_decay=1.0)
    assert module.weight.item() < 1 and module.bias.item() == 1


def test_moving_average_is_smoother_than_the_last_step():
    plain, _ = fit(20)
    averaged, _ = fit(20, ema=0.9)
    assert averaged.weight.item() != plain.weight.item()


def test_clear_words():
    with pytest.raises(ClipkitError, match="ran out after 3 of 10"):
        train(nn.Linear(1, 1), [(X, Y)] * 3, squared, 10)
    with pytest.raises(ClipkitError, match="loss is nan at step 0"):
        train(nn.Linear(1, 1), itertools.repeat((X * float("nan"), Y)), squared, 3)
    with pytest.raises(ClipkitError, match="precision"):
        train(nn.Linear(1, 1), [(X, Y)], squared, 1, precision="fp8")


def test_early_stop():
    def stop(step, module, value):
        if step == 4:
            raise StopIteration

    assert len(fit(50, after_step=stop)[1].loss) == 5


# -- small heads ----------------------------------------------------------------------------------
@pytest.mark.parametrize("batch", [1, 3, 4, 7, 10])
@pytest.mark.parametrize("n", [4, 7])
def test_a_round_takes_every_row_once_and_what_is_left_over_is_kept_dropped_or_carried(n, batch):
    generator = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    kept = shuffled(n, batch, generator())
    for _ in range(3):
        assert sorted(torch.cat([next(kept) for _ in range(-(-n // batch))]).tolist()) == list(range(n))
    rows = shuffled(n, batch, generator(), "drop")
    for _ in range(3):
        found = torch.cat([next(rows) for _ in range(max(1, n // batch))]).tolist()
        assert len(found) == len(set(found)) == (n // batch * batch or n)
    rows = shuffled(n, batch, generator(), "carry")
    found = [next(rows) for _ in range(2 * n)]
    assert {len(some) for some in found} == {batch}
    assert (torch.bincount(torch.cat(found[:n]), minlength=n) == batch).all()  # n batches are `batch` whole rounds


def test_orders_depend_on_the_seed_alone():
    one, two, other = (shuffled(9, 4, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    first = [next(one).tolist() for _ in range(6)]
    assert first == [next(two).tolist() for _ in range(6)] != [next(other).tolist() for _ in range(6)]


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, partial(torch.optim.SGD, momentum=0.9)])
def test_minimise_finds_the_line_with_any_optimiser(optimiser):
    w = torch.zeros(2, requires_grad=True)
    losses = minimise(lambda rows: (w[0] * X[rows] + w[1] - Y[rows]).square().mean(), [w], 300, 0.1, shuffled(32, 8), optimiser)
    assert w.tolist() == pytest.approx([3, 0.5], abs=1e-2) and losses[-1] < 1e-3 < losses[0] and w.grad is None


def test_minimise_steps_by_its_rate():
    w, seen = torch.zeros(1, requires_grad=True), []
    sgd = torch.optim.SGD
    minimise(lambda rows: w.sum(), [w], 4, 0.5, None, sgd, lambda step: float(step), lambda step: seen.append((step, w.item())))
    assert seen == [(0, 0.0), (1, -0.5), (2, -1.5), (3, -3.0)]
    w = torch.zeros(1, requires_grad=True)
    minimise(lambda rows: w.sum(), [w], 4, 1.0, None, sgd)
    assert w.item() == pytest.approx(-sum(cosine_schedule(s, 4) for s in range(4)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd([w], lr=1.0), 7)
    for step in range(7):
        assert schedule.get_last_lr()[0] == pytest.approx(cosine_schedule(step, 7))
        schedule.optimizer.step()
        schedule.step()


def test_minimise_leaves_all_else_without_a_gradient():
    w, fixed = torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)
    minimise(lambda rows: (w * fixed).sum(), [w], 2, 0.1)
    assert fixed.grad is None and fixed.item() == 1 and w.item() < 1
    assert minimise(lambda rows: w.sum(), [w], 0, 0.1).shape == (0,)


def test_minimise_says_what_is_wrong():
    w = torch.ones(1, requires_grad=True)
    with pytest.raises(ClipkitError, match="the loss is nan at step 0: lower lr"):
        minimise(lambda rows: (w * float("nan")).sum(), [w], 2, 0.1)
    with pytest.raises(ClipkitError, match="lr must be positive"):
        minimise(lambda rows: w.sum(), [w], 2, 0.0)
    with pytest.raises(ClipkitError, match="batch must be at least 1"):
        next(shuffled(3, 0))
    with pytest.raises(ClipkitError, match="treatment of the rest"):
        next(shuffled(3, 2, rest="keeps"))
