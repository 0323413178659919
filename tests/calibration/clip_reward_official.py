"""Runs the released code of CLIP-Caption-Reward on small fixed input; stores what it says in clip_reward.json.

    git clone https://github.com/j-min/CLIP-Caption-Reward && git -C CLIP-Caption-Reward checkout ca5fe53
    python -m tests.calibration.clip_reward_official CLIP-Caption-Reward

Executed as they stand: `RewardCriterion` and the leave-one-out criterion of captioning/modules/losses.py, the CLIP and grammar reward of
captioning/utils/rewards.py (with a stand-in for CLIP whose features are given), the corruptions of retrieval/text_utils.py and
the loss functions of retrieval/clip_model.py. Only numbers are kept.
"""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
import types
from pathlib import Path

import torch

from tests.calibration.official import features

VALUES = Path(__file__).with_name("clip_reward.json")
B, K, L, D = 3, 2, 5, 512
CAPTION, DRAWS = "a b c d e f", 20_000


def batch() -> dict[str, torch.Tensor]:
    """Scores (B K, L, V), words (B K, L) as the code has them (no start, 0 is end and padding), and rewards (B K,)."""
    scores = features(B * K * L, 7, 0.3).view(B * K, L, 7).log_softmax(-1)
    words = torch.tensor([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [1, 2, 3, 4, 5], [6, 6, 0, 0, 0], [2, 1, 4, 0, 0], [5, 3, 2, 1, 0]])
    return {"scores": scores, "words": words, "rewards": features(B * K, 2, 0.9)[:, 0]}


def texts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pooled states of the samples (B K, D) and of the greedy captions (B, D), picture features (B, D), head's weights (2, D)."""
    return features(B * K, D, 0.2), features(B, D, 1.1), features(B, D, 2.3), features(2, D, 0.7)


def spoilt_lengths(way, *arguments) -> list[float]:
    """Share of results with 0, 1, 2 … 20 words, and last of those that begin with "a"."""
    found = [way(CAPTION, *arguments).split() for _ in range(DRAWS)]
    return [sum(len(f) == n for f in found) / DRAWS for n in range(21)] + [sum(f[:1] == ["a"] for f in found) / DRAWS]


def main(clone: str) -> None:
    sys.path.insert(0, clone)
    for name in ("captioning.utils.misc", "captioning.utils", "captioning", "captioning.modules"):
        package = types.ModuleType(name)
        package.__path__ = [f"{clone}/{name.replace('.', '/')}"]
        sys.modules[name] = package
    sys.modules["captioning.utils.misc"].decode_sequence = lambda vocab, rows: [str(row) for row in rows]
    losses, rewards = importlib.import_module("captioning.modules.losses"), importlib.import_module("captioning.utils.rewards")
    given = batch()
    found: dict[str, list] = {
        "token_loss": losses.RewardCriterion()(given["scores"], given["words"], given["rewards"][:, None].expand(-1, L)).item()
    }
    opt = types.SimpleNamespace(
        structure_loss_type="new_self_critical", train_sample_n=K, entropy_reward_weight=0, self_cider_reward_weight=0
    )
    losses.get_scores = lambda *_: given["rewards"].numpy()
    found["leave_one_out_loss"] = losses.StructureLosses(opt)(given["scores"], given["words"], [0] * B)["loss"].item()

    samples, greedy, pictures, weight = texts()

    class Stand:
        mode = "clip_s"
        clip_model = types.SimpleNamespace(text_projection=lambda x: x)

        def eval(self):
            pass

        def text_extract(self, rows, proj_norm=True):
            return samples if len(rows) == B * K else greedy

        def grammar_score_head(self, x):
            return x @ weight.T

        def __call__(self, text_feat, img_feat, mode):
            return 2.5 * (text_feat * img_feat).sum(1).clamp(min=0)  # calc_clip_s of captioning/utils/clipscore.py

    opt = types.SimpleNamespace(clipscore_reward_weight=2.0, use_grammar=True, use_grammar_baseline=True, verbose=False)
    clip, _, grammar = rewards.get_self_critical_clipscore_reward(
        torch.zeros(B, L), [0] * B, torch.zeros(B * K, L), opt, Stand(), pictures, None
    )
    found["advantage"] = (clip + grammar)[:, 0].tolist()

    ways = importlib.import_module("retrieval.text_utils")
    random.seed(0)
    for name, arguments in (("repeat", ()), ("remove", ()), ("insert", (["z", "y"],)), ("swap", (["z", "y"],)), ("shuffle", ())):
        found[name] = spoilt_lengths(getattr(ways, name), *arguments)
    release = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    VALUES.write_text(json.dumps({"repository": "j-min/CLIP-Caption-Reward", "release": release, "value": found}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
