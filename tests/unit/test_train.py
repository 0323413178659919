"""The one training loop: does it minimise, repeat itself, and stop with a clear word?"""

import itertools

import pytest
import torch
from torch import nn

from clipkit import ClipkitError
from clipkit.train import cosine_schedule, train

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
