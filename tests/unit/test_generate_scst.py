"""Self-critical training: the gradient is the policy gradient, baselines leave it unbiased, a bandit is learnt, and the end counts."""

import itertools

import pytest
import torch

from clipkit import ClipkitError
from clipkit.generate import (
    CaptionDecoder,
    SelfCritical,
    advantages,
    kl_to,
    scst_step,
    self_critical_loss,
    self_critical_training,
    word_mask,
)
from clipkit.language import WordVocabulary

VOCABULARY = WordVocabulary(["good", "bad"])


def captioner(seed=0, **options):
    torch.manual_seed(seed)
    return CaptionDecoder(VOCABULARY, picture_width=4, picture_length=2, width=8, layers=1, heads=2, length=4, **options)


def test_advantages_by_hand():
    rewards = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    assert advantages(rewards, torch.tensor([2.0, 1.0])).tolist() == [[-1, 0, 4], [-1, -1, 2]]
    torch.testing.assert_close(advantages(rewards), torch.tensor([[-3.0, -1.5, 4.5], [-1.5, -1.5, 3.0]]))
    others = torch.stack([rewards[:, [1, 2]].mean(1), rewards[:, [0, 2]].mean(1), rewards[:, [0, 1]].mean(1)], 1)
    torch.testing.assert_close(advantages(rewards), rewards - others)


def test_the_mask_ends_with_the_end():
    tokens = VOCABULARY.encode(["good", "good bad"], 6)
    assert word_mask(tokens).int().tolist() == [[0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0]]


def test_the_loss_by_hand():
    logprobs, mask = -torch.ones(2, 4), torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]]).bool()
    advantage = torch.tensor([1.0, -2.0])
    assert self_critical_loss(logprobs, mask, advantage).item() == pytest.approx((3 - 2) / 4)


@pytest.mark.parametrize("baseline", ["none", "loo"])
def test_the_expected_gradient_is_the_policy_gradient(baseline):
    """Vocabulary of three signs, two places: all nine texts and all pairs of them are enumerated, in double precision."""
    torch.manual_seed(0)
    theta = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)  # independent scores of the two places
    texts = torch.tensor(list(itertools.product(range(3), repeat=2)))
    reward = torch.randn(9, dtype=torch.float64)

    def logprob(rows):
        return theta.log_softmax(-1)[torch.arange(2), texts[rows]]  # (N, 2)

    everything = torch.arange(9)
    probability = logprob(everything).sum(1).exp()
    truth = torch.autograd.grad(-(probability * reward).sum(), theta)[0]
    probability = probability.detach()
    expected = torch.zeros_like(theta)
    for a, b in itertools.product(range(9), repeat=2):
        rows, rewards = torch.tensor([a, b]), torch.stack([reward[a], reward[b]])
        gain = advantages(rewards[None])[0] if baseline == "loo" else rewards
        loss = self_critical_loss(logprob(rows), torch.ones(2, 2, dtype=torch.bool), gain) * 2  # both texts have two words
        expected += probability[a] * probability[b] * torch.autograd.grad(loss, theta)[0]
    torch.testing.assert_close(expected, truth)


def test_the_step_follows_the_gradient_of_its_own_samples():
    model, pictures = captioner().double(), torch.randn(3, 2, 4, dtype=torch.float64)
    seen = {}

    def reward(rows, texts):
        seen["rows"], seen["texts"] = rows, texts
        return torch.tensor([float(len(t)) + r for r, t in zip(rows.tolist(), texts, strict=True)]), {}

    before = model.copy()
    log = scst_step(model, torch.optim.SGD(model.parameters(), 1.0), pictures, torch.arange(3), reward,
                    SelfCritical(k=2, clip_norm=1e9), generator=torch.Generator().manual_seed(1))  # fmt: skip
    assert seen["rows"].tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2] and seen["texts"][6:] == before.write(pictures)
    tokens = VOCABULARY.encode(seen["texts"][:6], model.length)
    sampled = before.sample(pictures, 2, how="sample", generator=torch.Generator().manual_seed(1))
    total = torch.tensor([float(len(t)) + r for r, t in zip(seen["rows"].tolist(), seen["texts"], strict=True)])
    gain = advantages(total[:6].view(3, 2), total[6:]).flatten()
    assert sampled.shape[1] <= tokens.shape[1]
    before.double()
    loss = self_critical_loss(before.logprobs(pictures.repeat_interleave(2, 0), sampled), word_mask(sampled), gain)
    loss.backward()
    for new, old in zip(model.parameters(), before.parameters(), strict=True):
        if old.grad is not None:
            torch.testing.assert_close(new, old - old.grad)
    assert log["reward"] == pytest.approx(total[:6].mean().item()) and log["baseline"] == pytest.approx(total[6:].mean().item())


def test_a_bandit_is_learnt():
    pictures = torch.randn(8, 2, 4)
    reward = lambda rows, texts: (torch.tensor([t.split().count("good") - t.split().count("bad") for t in texts]).float(), {})  # noqa: E731
    model, log, seen = self_critical_training(captioner(), pictures, reward, 60, SelfCritical(batch=8, lr=0.02, k=4),
                                              looks=(0, 60), look=lambda m: {"words": len(m.write(pictures)[0])})  # fmt: skip
    assert {word for text in model.write(pictures) for word in text.split()} == {"good"}
    assert log[-1]["reward"] > log[0]["reward"] + 0.7 and [row["step"] for row in seen] == [0, 60]


def test_which_picture_matters_is_learnt_and_the_given_captioner_stays():
    pictures = torch.eye(2)[:, None].repeat(1, 2, 2)  # two different pictures
    reward = lambda rows, texts: (torch.tensor([float(("good" in t) == (r == 0)) for r, t in zip(rows.tolist(), texts, strict=True)]), {})  # noqa: E731
    start = captioner()
    state = {k: v.clone() for k, v in start.state_dict().items()}
    model, _, _ = self_critical_training(start, pictures, reward, 80, SelfCritical(batch=2, lr=0.02, k=8))
    said = model.write(pictures)
    assert "good" in said[0] and "good" not in said[1]
    assert all(torch.equal(v, state[k]) for k, v in start.state_dict().items())


def test_a_penalty_holds_the_captioner_back():
    pictures = torch.randn(8, 2, 4)
    reward = lambda rows, texts: (torch.tensor([float("good" in t) for t in texts]), {})  # noqa: E731
    far = {}
    for kl in (0.0, 10.0):
        start = captioner()
        model, log, _ = self_critical_training(start, pictures, reward, 30, SelfCritical(batch=8, lr=0.02, k=4, reference=start, kl=kl))
        tokens = VOCABULARY.encode(["good bad"] * 8)
        far[kl] = (model.logits(pictures, tokens) - start.logits(pictures, tokens)).abs().mean().item()
    assert far[10.0] < 0.5 * far[0.0] and log[-1]["kl"] < 0.1


def test_kl_by_hand():
    p, q, mask = torch.zeros(1, 2, 2), torch.tensor([[[0.0, 0.0], [0.0, 1.0]]]), torch.tensor([[True, True]])
    second = (0.5 * (torch.tensor([0.0, 1.0]).log_softmax(0).neg() - torch.tensor(2.0).log())).sum().item()
    assert kl_to(p, q, mask).item() == pytest.approx(second / 2) and kl_to(p, p, mask).item() == 0.0
    assert kl_to(p, q, torch.tensor([[True, False]])).item() == 0.0


def test_bad_input_is_refused_in_one_sentence():
    one = torch.ones(2, 1)
    for call, message in (
        (lambda: advantages(one), "K of at least 2"),
        (lambda: advantages(one * float("nan")), "NaN"),
        (lambda: advantages(one[:, 0]), "rewards are"),
        (lambda: advantages(one, torch.ones(3)), "rewards are"),
        (lambda: self_critical_loss(one, one.bool(), torch.ones(3)), "do not fit"),
    ):
        with pytest.raises(ClipkitError, match=message):
            call()
