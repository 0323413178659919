"""Runs the released code of BARTScore on a tiny BART with fixed weights and stores the scores it computes in bartscore.json.

    git clone https://github.com/neulab/BARTScore && git -C BARTScore checkout 248f511
    python -m tests.calibration.bartscore_official BARTScore

Its `bart_score.py` is executed from the clone as it stands, on a model and tokenizer saved in a temporary folder. Only numbers are kept.
"""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from clipkit.compat import ensure_torchvision

VALUES = Path(__file__).with_name("bartscore.json")
SOURCES = [
    "This is a very good idea. Although simple, but very insightful.",
    "Can I take a look?",
    "A red cat; a blue cup.",
    "Two siblings live there.",
]
TARGETS = ["That's stupid.", "What's the problem?", "a red cat and a blue cup on a beach", ""]
REFERENCES = [["Good.", "It is clever."], ["May I see it?", "Show me."], ["cat, cup", "a cat"], ["two", "2 siblings"]]


def tiny_bart(folder: str | Path):
    """A BART of 16 dimensions whose weights are sines, with one token a byte; saved in `folder`. Returns (model, tokenizer)."""
    ensure_torchvision()
    from transformers import BartConfig, BartForConditionalGeneration, BartTokenizer

    folder = Path(folder)
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *_bytes(), "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = BartTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 32))}
    model = BartForConditionalGeneration(BartConfig(vocab_size=len(tokens), d_model=16, max_position_embeddings=128, **sizes)).eval()
    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(model.named_parameters())):
            at = torch.arange(weight.numel(), dtype=torch.float64)
            wave = torch.sin(at * (1.3 + 0.1 * math.sin(number)) + number).reshape(weight.shape)
            weight.copy_(1 + 0.1 * wave if "norm.weight" in name else 0.35 * wave)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def _bytes() -> list[str]:
    """The letter that stands for each byte in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) if b in plain else chr(256 + [x for x in range(256) if x not in plain].index(b)) for b in range(256)]


def main(clone: str) -> None:
    ensure_torchvision()
    spec = importlib.util.spec_from_file_location("official_bart_score", Path(clone) / "bart_score.py")
    official = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(official)
    release = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        tiny_bart(folder)
        scorer = official.BARTScorer("cpu", 1024, folder)
        found = {
            "score": scorer.score(SOURCES, TARGETS, 4),
            "score_one_by_one": scorer.score(SOURCES, TARGETS, 1),
            "multi_ref_mean": scorer.multi_ref_score(SOURCES, REFERENCES, "mean", 4),
            "multi_ref_max": scorer.multi_ref_score(SOURCES, REFERENCES, "max", 4),
        }
        scorer.max_length = 8
        found["score_cut_at_8"] = scorer.score(SOURCES, TARGETS, 4)
    stored = {
        name: {"repository": "neulab/BARTScore", "release": release, "call": f"BARTScorer: {name}", "value": [float(v) for v in values]}
        for name, values in found.items()
    }
    VALUES.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
