"""Self-critical training: captions are sampled, rewarded, and made likelier where they beat a baseline.

Letters in shapes: B pictures, K samples of each, L words (`<bos>` first, `<eos>` last, then padding), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from clipkit import checks
from clipkit.errors import ClipkitError
from clipkit.generate.caption_model import CaptionDecoder
from clipkit.train import shuffled

Reward = Callable[[Tensor, Sequence[str]], tuple[Tensor, dict[str, Tensor]]]


def advantages(rewards: Tensor, greedy: Tensor | None = None) -> Tensor:
    """What each sample earned above its baseline: rewards (B, K) minus the greedy caption's (B,), or, without it, minus the mean
    of the picture's other K − 1 samples. Returns (B, K).

    Raises: ClipkitError for other shapes, NaN, or K = 1 without a greedy caption.
    Source: arXiv:1612.00563, eq. 9 (greedy); arXiv:1909.00652 for the mean of the others.
    """
    if rewards.ndim != 2 or (greedy is not None and greedy.shape != rewards.shape[:1]):
        raise ClipkitError(
            f"rewards are (B, K) and greedy (B,), got {tuple(rewards.shape)} and {greedy if greedy is None else greedy.shape}"
        )
    checks.finite(rewards, "rewards")
    if greedy is not None:
        return rewards - greedy[:, None]
    k = rewards.shape[1]
    if k < 2:
        raise ClipkitError("the mean of the other samples needs K of at least 2; take more samples or the greedy baseline")
    return (rewards - rewards.mean(1, keepdim=True)) * k / (k - 1)


def word_mask(tokens: Tensor, pad: int = 0) -> Tensor:
    """(N, L) bool: every word of tokens (N, L) up to and including `<eos>`, without `<bos>`, which is given and not chosen."""
    mask = tokens != pad
    mask[:, 0] = False
    return mask


def self_critical_loss(logprobs: Tensor, mask: Tensor, advantage: Tensor) -> Tensor:
    """−Σ advantage · log p over the number of words, whose gradient is the policy gradient; a 0-d tensor.

    Args: logprobs, mask: (N, L), N = B · K. advantage: (N,), a constant.
    Raises: ClipkitError for other shapes.
    Source: the code of arXiv:2205.13115, which divides by the words of the batch, so that a long caption weighs more.
    """
    if logprobs.shape != mask.shape or advantage.shape != logprobs.shape[:1]:
        raise ClipkitError(
            f"log-probabilities {tuple(logprobs.shape)}, mask {tuple(mask.shape)} and advantages {tuple(advantage.shape)} do not fit"
        )
    return (-advantage.detach()[:, None] * logprobs * mask).sum() / mask.sum()


def kl_to(scores: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Mean over words of KL(p ‖ q) between next-word distributions given by scores (N, L, V) each; mask (N, L). A 0-d tensor.

    The gradient is exact for the words that were sampled, and ignores how they came to be sampled.
    """
    p, q = scores.log_softmax(-1), reference.log_softmax(-1)
    return ((p.exp() * (p - q)).sum(-1) * mask).sum() / mask.sum()


@dataclass(frozen=True)
class SelfCritical:
    """Settings of self-critical training.

    k: captions sampled of each picture. reference, kl: a frozen captioner and the weight of the penalty for leaving it, not in the
    paper. batch: pictures a step. lr: of Adam, constant, as in the paper. clip_norm: of the gradient.
    """

    k: int = 5
    reference: CaptionDecoder | None = None
    kl: float = 0.0
    batch: int = 32
    lr: float = 1e-3
    clip_norm: float = 1.0


def scst_step(
    captioner: CaptionDecoder,
    optimiser: torch.optim.Optimizer,
    pictures: Tensor,
    rows: Tensor,
    reward: Reward,
    settings: SelfCritical,
    generator: torch.Generator | None = None,
) -> dict[str, float]:
    """One step: sample k captions of each picture, reward them, follow the policy gradient.

    Args:
        pictures: picture tokens (B, M, D). rows: (B,) what the reward knows the pictures by.
        reward: (rows (N,), N texts) -> (total (N,), {part: (N,)}), see `WeightedReward`. Called once for all samples and baselines.

    Returns: {"reward", "baseline" (the likeliest captions'), "kl", each part}, means over the samples.
    Raises: ClipkitError for a reward that is not finite.
    """
    vocabulary, b, k = captioner.vocabulary, len(pictures), settings.k
    captioner.eval()
    sampled = captioner.sample(pictures, k, how="sample", generator=generator)  # (B · K, L)
    texts = vocabulary.decode(sampled) + captioner.write(pictures)
    total, parts = reward(torch.cat([rows.repeat_interleave(k), rows]), texts)
    earned, greedy = total.float().to(pictures.device).split([b * k, b])
    advantage = advantages(earned.view(b, k), greedy).flatten()

    captioner.train()
    scores = captioner.logits(pictures.repeat_interleave(k, 0), sampled[:, :-1])  # (B · K, L − 1, V)
    mask = word_mask(sampled, vocabulary.pad)[:, 1:]
    chosen = scores.log_softmax(-1).gather(-1, sampled[:, 1:, None]).squeeze(-1)
    loss = self_critical_loss(chosen, mask, advantage)
    penalty = torch.zeros(())
    if settings.reference is not None and settings.kl:
        with torch.no_grad():
            theirs = settings.reference.logits(pictures.repeat_interleave(k, 0), sampled[:, :-1])
        penalty = kl_to(scores, theirs, mask)
        loss = loss + settings.kl * penalty
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(captioner.parameters(), settings.clip_norm)
    optimiser.step()
    captioner.eval()
    log = {"reward": earned, "baseline": greedy, "kl": penalty} | {name: part[: b * k].float() for name, part in parts.items()}
    return {name: float(value.detach().mean()) for name, value in log.items()}


def self_critical_training(
    captioner: CaptionDecoder,
    pictures: Tensor,
    reward: Reward,
    steps: int,
    settings: SelfCritical = SelfCritical(),
    seed: int = 0,
    looks: Sequence[int] = (),
    look: Callable[[CaptionDecoder], dict[str, float]] | None = None,
) -> tuple[CaptionDecoder, list[dict[str, float]], list[dict[str, float]]]:
    """`scst_step` for `steps` batches from (N, M, D) picture tokens; the captioner given stays as it is.

    Args:
        reward: its rows are positions in `pictures`. looks: after which steps (0: before the first) to call `look(captioner)`.

    Returns: (trained copy, log of every step, what each look returned with its "step").
    """
    trained = captioner.copy().eval()
    optimiser = torch.optim.Adam(trained.parameters(), lr=settings.lr, betas=(0.9, 0.98))
    generator = torch.Generator(trained.device).manual_seed(seed)
    order = shuffled(len(pictures), settings.batch, torch.Generator().manual_seed(seed), "carry")
    log, seen = [], []
    for step in range(steps + 1):
        if look is not None and step in looks:
            seen.append({"step": step, **look(trained)})
        if step == steps:
            break
        rows = next(order)
        log.append(scst_step(trained, optimiser, pictures[rows].to(trained.device).float(), rows, reward, settings, generator))
    return trained, log, seen
