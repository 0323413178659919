"""Runs released code of t2v_metrics on small fixed inputs and stores what it computes in vqascore.json.

    git clone https://github.com/linzhiqiu/t2v_metrics && git -C t2v_metrics checkout 335e4c2
    python -m tests.calibration.vqascore_official t2v_metrics

The forward pass of its CLIP-FlanT5 is executed as it stands, on a T5 of 16 dimensions with weights that are sines and a picture that
is one token; so are its Winoground accuracies, its Kendall and its pairwise accuracies. Only numbers are kept.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import torch

from clipkit.compat import ensure_torchvision

VALUES = Path(__file__).with_name("vqascore.json")
TEXTS = ["a red cat", "two blue dogs in the snow", "a cat", "no cat"]
SAID = 'a red cat two blue dogs in the snow no does this figure show please answer yes or Yes No user assistant : ? . "'
IMAGE = 5  # the word that stands for the picture, in this test only
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def tiny_t5():
    """(model, tokenizer): a T5 of 16 dimensions whose weights are sines, one token a word, a closing </s>."""
    ensure_torchvision()
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    words = {w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *SAID.split()])}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.normalizer, raw.pre_tokenizer = normalizers.NFC(), pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(words), decoder_start_token_id=0, feed_forward_proj="gated-gelu", tie_word_embeddings=False, **sizes)
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(model.named_parameters())):
            at = torch.arange(weight.numel(), dtype=torch.float64)
            wave = torch.sin(at * (1.3 + 0.1 * math.sin(number)) + number).reshape(weight.shape)
            weight.copy_(1 + 0.1 * wave if "layer_norm" in name else 0.8 * wave)
    return model, tokenizer


def numbers():
    """Scores (12, 2, 2) with ties, and truth and metric (40,) and (8, 5) with ties."""
    rng = np.random.default_rng(0)
    truth = rng.integers(1, 4, 40)
    return (rng.integers(0, 4, (12, 2, 2)) + 2 * np.eye(2)) / 4, truth, np.round(truth + 1.5 * rng.normal(size=40), 1)


def _load(clone: Path, name: str, package: str = "", stubs: dict | None = None):
    """A file of the clone as a module of a package of stand-ins."""
    for path, content in (stubs or {}).items():
        sys.modules[path] = types.ModuleType(path)
        sys.modules[path].__dict__.update(content)
    module = types.ModuleType(f"{package}.{Path(name).stem}" if package else Path(name).stem)
    module.__package__ = package
    sys.modules[module.__name__] = module
    exec(compile((clone / name).read_text(), name, "exec"), module.__dict__)
    return module


def main(folder: str) -> None:
    clone = Path(folder)
    release = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    room, none = "official.models.vqascore_models", {"cv2": {}}
    _load(clone, "t2v_metrics/constants.py", "official", none | {"official": {}, "official.models": {}, room: {}})
    _load(clone, "t2v_metrics/models/vqascore_models/mm_utils.py", room)
    fake = {"CLIPT5ForConditionalGeneration": None, "ModelArguments": None}
    stubs = {f"{room}.vqa_model": {"VQAScoreModel": object}, f"{room}.clip_t5": {}, f"{room}.clip_t5.model": fake}
    official = _load(clone, "t2v_metrics/models/vqascore_models/clip_t5_model.py", room, stubs)
    model, tokenizer = tiny_t5()

    def answer(input_ids, attention_mask, decoder_attention_mask, labels, **rest):
        return model(input_ids=torch.where(input_ids < 0, IMAGE, input_ids), attention_mask=attention_mask, labels=labels)

    seen = types.SimpleNamespace(
        conversational_style="t5_chat", tokenizer=tokenizer, device="cpu", model=answer, load_images=lambda paths: torch.zeros(len(paths))
    )
    forward = official.CLIPT5Model.forward
    values = {"vqascore": forward(seen, [""] * len(TEXTS), TEXTS).tolist()}
    values["vqascore_no"] = forward(seen, [""] * len(TEXTS), TEXTS, answer_template="No").tolist()
    sys.path.insert(0, folder)
    evaluation = _load(clone, "dataset.py", "", none)
    scores, truth, metric = numbers()
    values["winoground"] = evaluation.get_winoground_acc(evaluation.get_winoground_scores(scores))
    for name, shape in (("pooled", (40,)), ("grouped", (8, 5))):
        gold, given = truth.reshape(shape), metric.reshape(shape)
        values[f"calibrated_{name}"] = list(map(float, evaluation.calc_metric(gold, given, "pairwise_acc_with_tie_optimization")))
        values[f"tau_b_{name}"] = float(evaluation.calc_metric(gold, given, "tau_b"))
        values[f"tau_c_{name}"] = float(evaluation.calc_metric(gold, given, "tau_c"))
    stored = {
        name: {"repository": "linzhiqiu/t2v_metrics", "release": release, "call": f"t2v_metrics: {name}", "value": value}
        for name, value in values.items()
    }
    VALUES.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
