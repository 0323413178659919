"""Self-critical loss, combined reward and corruptions against stored values of the released code of arXiv:2205.13115.

Deliberate differences: our tokens begin with `<bos>`; a corruption that leaves the caption as it is is drawn again (there, a shuffle of
six words does so once in 720 times).
"""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipkit.generate import R_CODE, CLIPReward, GrammarHead, WeightedReward, advantages, self_critical_loss, word_mask
from clipkit.language.word_noise import corrupt_caption
from tests.calibration.clip_reward_official import CAPTION, DRAWS, VALUES, B, D, K, batch, texts

STORED = json.loads(VALUES.read_text())
THEIRS = STORED["value"]


def ours(advantage):
    given = batch()
    words = given["words"] + 4  # their 0 is the end, and padding after it
    words[given["words"] == 0] = 2
    ended = (given["words"] == 0).cumsum(1) > 1
    words[ended] = 0
    tokens = F.pad(words, (1, 0), value=1)
    logprobs = F.pad(given["scores"].gather(2, given["words"][..., None])[..., 0], (1, 0))
    return self_critical_loss(logprobs, word_mask(tokens), advantage).item()


def test_provenance_is_complete():
    assert STORED["repository"] == "j-min/CLIP-Caption-Reward" and len(STORED["release"]) == 40


def test_the_loss_1e_12():
    assert ours(batch()["rewards"]) == pytest.approx(THEIRS["token_loss"], abs=1e-12)


def test_the_mean_of_the_others_as_baseline_1e_12():
    assert ours(advantages(batch()["rewards"].view(B, K)).flatten()) == pytest.approx(THEIRS["leave_one_out_loss"], abs=1e-12)


def test_two_clip_s_plus_grammar_each_above_its_greedy_caption_1e_10():
    samples, greedy, pictures, weight = texts()
    head = GrammarHead(D).double()
    head.layers = torch.nn.Linear(D, 2, bias=False).double()
    head.layers.weight.data = weight
    reward = CLIPReward(types.SimpleNamespace(), grammar_head=head)
    state = torch.cat([samples, greedy])
    reward.encode = lambda rows: (state[[int(r) for r in rows]],) * 2
    total, _ = WeightedReward([lambda rows, t: reward(pictures[rows], t)], R_CODE)(
        torch.cat([torch.arange(B).repeat_interleave(K), torch.arange(B)]), [str(i) for i in range(B * K + B)]
    )
    found = advantages(total[: B * K].view(B, K), total[B * K :]).flatten()
    np.testing.assert_allclose(found.detach(), THEIRS["advantage"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["repeat", "remove", "insert", "swap", "shuffle"])
def test_corruptions_are_drawn_alike(kind):
    """Lengths of the results, and how often the first word stays: within 5 standard errors of 20,000 draws of theirs and 5,000 of ours."""
    rng, n = np.random.default_rng(0), 5_000
    found = [corrupt_caption(CAPTION, ["z", "y"], kind, rng).split() for _ in range(n)]
    shares = [sum(len(f) == length for f in found) / n for length in range(21)] + [sum(f[:1] == ["a"] for f in found) / n]
    for mine, theirs in zip(shares, THEIRS[kind], strict=True):
        assert abs(mine - theirs) < 5 * np.sqrt(max(theirs * (1 - theirs), 1 / n) * (1 / n + 1 / DRAWS)) + 0.002
