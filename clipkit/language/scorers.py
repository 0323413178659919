"""How likely a model finds a text, given another text or a picture: one call for our own, Hugging Face's and caption models."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from clipkit.errors import ClipkitError, unknown
from clipkit.language.seq2seq import Seq2Seq
from clipkit.language.transformer import TextDecoder
from clipkit.language.vocabulary import WordVocabulary

NORMS = ("mean", "sum")


class Rows(NamedTuple):
    """A batch of target texts: tokens (B, L), log-probabilities (B, L), which tokens count (B, L), which of them are special."""

    tokens: Tensor
    logprobs: Tensor
    counted: Tensor
    special: Tensor


class DecoderBackend:
    """A TextDecoder and what reads its source. `<bos>` is given and does not count, `<eos>` counts and is special.

    Args: read: a batch of sources to (memory (B, S, W), mask (B, S) or None).
    """

    def __init__(self, read: Callable[[Sequence], tuple[Tensor, Tensor | None]], decoder: TextDecoder, vocabulary: WordVocabulary):
        self.read, self.decoder, self.vocabulary = read, decoder, vocabulary

    def rows(self, sources: Sequence | None, targets: Sequence[str]) -> Rows:
        v, device = self.vocabulary, self.decoder.positions.device
        tokens = v.encode(targets)
        tokens = (tokens if tokens.shape[1] <= self.decoder.length else v.encode(targets, self.decoder.length)).to(device)
        memory, mask = (None, None) if sources is None else self.read(sources)
        counted = (tokens != v.pad) & (tokens != v.bos)
        return Rows(tokens, self.decoder.logprobs(tokens, memory, mask), counted, tokens == v.eos)

    def word(self, token: int) -> str:
        return self.vocabulary.tokens[token]


class OwnBackend(DecoderBackend):
    """A Seq2Seq; each different source of a batch is read once."""

    def __init__(self, model: Seq2Seq):
        super().__init__(self._read, model.decoder, model.vocabulary)
        self.model = model

    def _read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        known = {t: i for i, t in enumerate(dict.fromkeys(texts))}
        memory, mask = self.model.encode(self.model.tokens(list(known)))
        rows = torch.tensor([known[t] for t in texts], device=memory.device)
        return memory[rows], mask[rows]

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The encoder's output (B, L, W), and which tokens are words (B, L)."""
        return self.model.embed(list(texts))

    def write(self, texts: Sequence[str], beams: int = 4) -> list[str]:
        """What the model writes by beam search."""
        return self.model.write(list(texts), how="beam", beams=beams)


class HuggingFaceBackend:
    """A `transformers` encoder–decoder and its tokenizer, scored as BARTScore's released code does.

    The target has the special tokens its tokenizer adds (BART: `<s>` and `</s>`), and all of them count. `labels` are given, so
    the library makes the decoder's input by a shift to the right. Such a model always reads something: no source is an empty one.

    Source: github.com/neulab/BARTScore, bart_score.py.
    """

    def __init__(self, model, tokenizer, max_length: int = 1024):
        self.model, self.tokenizer, self.max_length = model.eval(), tokenizer, max_length

    def rows(self, sources: Sequence[str] | None, targets: Sequence[str]) -> Rows:
        source, target = self._read([""] * len(targets) if sources is None else sources), self._read(targets)
        tokens, mask = target["input_ids"], target["attention_mask"].bool()
        logits = self.model(**source, labels=tokens).logits
        found = logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        return Rows(tokens, found.masked_fill(~mask, 0.0), mask, self._special(tokens) & mask)

    def _read(self, texts: Sequence[str]) -> dict[str, Tensor]:
        how = {"max_length": self.max_length, "truncation": True, "padding": True, "return_tensors": "pt"}
        found = self.tokenizer(list(texts), **how)
        return {k: found[k].to(self.model.device) for k in ("input_ids", "attention_mask")}

    def _special(self, tokens: Tensor) -> Tensor:
        return torch.isin(tokens, torch.tensor(self.tokenizer.all_special_ids, device=tokens.device))

    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The encoder's output (B, L, W), and which tokens are words (B, L)."""
        read = self._read(texts)
        return self.model.get_encoder()(**read).last_hidden_state, read["attention_mask"].bool() & ~self._special(read["input_ids"])

    def write(self, texts: Sequence[str], beams: int = 4) -> list[str]:
        """What the model generates by beam search, with the lengths of its own configuration."""
        return self.tokenizer.batch_decode(self.model.generate(**self._read(texts), num_beams=beams), skip_special_tokens=True)

    def word(self, token: int) -> str:
        return self.tokenizer.convert_ids_to_tokens(token)


class Seq2SeqScorer:
    """log p(target | source) of many pairs.

    Args:
        model: a Seq2Seq; a `transformers` encoder–decoder with its `tokenizer`; a captioner (`clipkit.generate`: sources are its
            picture tokens, N of (M, D)); or any backend with `rows` and `word`.
        batch: pairs at once; the result does not depend on it.

    >>> from clipkit.language import Seq2Seq, WordVocabulary
    >>> scorer = Seq2SeqScorer(Seq2Seq(WordVocabulary(["a", "cat"]), width=8, heads=2))
    >>> scorer.logprob(["a cat", "cat"], ["cat", "a a cat"]).shape
    torch.Size([2])
    """

    def __init__(self, model, tokenizer=None, batch: int = 128, max_length: int = 1024):
        self.batch = batch
        if isinstance(model, Seq2Seq):
            self.backend = OwnBackend(model)
        elif hasattr(model, "rows"):
            self.backend = model
        elif hasattr(model, "memory") and isinstance(getattr(model, "decoder", None), TextDecoder):  # a captioner
            self.backend = DecoderBackend(lambda p: (model.memory(torch.stack(list(p))), None), model.decoder, model.vocabulary)
        elif tokenizer is not None:
            self.backend = HuggingFaceBackend(model, tokenizer, max_length)
        else:
            raise ClipkitError(f"a {type(model).__name__} needs its tokenizer: Seq2SeqScorer(model, tokenizer)")

    @torch.no_grad()
    def logprob(self, src: Sequence | None, tgt: Sequence[str], norm: str = "mean", skip_special: bool = False) -> Tensor:
        """log p(tgt | src), (N,) float64 on the CPU.

        Args:
            src: N sources (texts, or what the backend reads); None: without a source, where the model is a language model too.
            norm: "mean" over the target's tokens (BARTScore's equal weights), or "sum".
            skip_special: leave special tokens out of sum and length; a text without any word has 0 then.

        Raises: ClipkitError for lists of different lengths, an unknown `norm`.

        Source: arXiv:2106.11520, eq. 2, with weights 1/m.
        """
        if norm not in NORMS:
            raise unknown("norm", norm, NORMS)
        total, length = torch.zeros(len(tgt), dtype=torch.float64), torch.zeros(len(tgt), dtype=torch.float64)
        for places, rows in self._batches(src, tgt):
            counted = rows.counted & ~rows.special if skip_special else rows.counted
            found = (rows.logprobs.double() * counted).sum(1).cpu(), counted.sum(1).double().cpu()
            for value, part in zip((total, length), found, strict=True):
                for place, v in zip(places, part, strict=True):
                    value[place] = v
        return total / length.clamp_min(1) if norm == "mean" else total

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings (B, L, W) of texts by the model's encoder, and which tokens are words (B, L) bool."""
        return self.backend.embed(texts)

    @torch.no_grad()
    def write(self, texts: Sequence[str], beams: int = 4) -> list[str]:
        """What the model itself writes for source texts, by beam search."""
        return self.backend.write(texts, beams)

    @torch.no_grad()
    def tokens(self, src: Sequence | None, tgt: Sequence[str]) -> list[list[tuple[str, float]]]:
        """For each pair the target's counted tokens, each with its log-probability."""
        out: list[list[tuple[str, float]]] = [[] for _ in tgt]
        for places, rows in self._batches(src, tgt):
            for place, ids, values, counted in zip(places, rows.tokens, rows.logprobs, rows.counted, strict=True):
                pairs = [(self.backend.word(int(i)), float(v)) for i, v, c in zip(ids, values, counted, strict=True) if c]
                for p in place:
                    out[p] = pairs
        return out

    def _batches(self, src: Sequence | None, tgt: Sequence[str]):
        """Equal pairs once, texts of like length together; yields the places of each row's pair, and Rows."""
        if src is not None and len(src) != len(tgt):
            raise ClipkitError(f"{len(src)} sources and {len(tgt)} targets: give one source for each target")
        textual = src is None or all(isinstance(s, str) for s in src)
        places: dict = {}
        for i, t in enumerate(tgt):
            places.setdefault((t, (src[i] if src is not None else "") if textual else i), []).append(i)
        order = sorted(places, key=lambda k: (len(k[0].split()), len(str(k[1])), k[1], k[0])) if textual else list(places)
        for start in range(0, len(order), self.batch):
            keys = order[start : start + self.batch]
            at = [places[k] for k in keys]
            sources = None if src is None else [src[p[0]] for p in at]
            yield at, self.backend.rows(sources, [k[0] for k in keys])


def load_scorer(checkpoint: str, device: str = "auto", max_length: int = 1024, batch: int = 16) -> Seq2SeqScorer:
    """A scorer from a shipped model ("nano-bart-short", or the path of one saved elsewhere), or from a `transformers` name or folder.

    Raises: ClipkitError where the checkpoint cannot be found.
    """
    from clipkit.compat import ensure_torchvision
    from clipkit.devices import resolve_device
    from clipkit.language.seq2seq import load_seq2seq

    if checkpoint.startswith("nano-") or checkpoint.endswith(".safetensors"):
        model = load_seq2seq(checkpoint, device)
        scorer = Seq2SeqScorer(model)
        scorer.name, scorer.fingerprint = model.name, model.fingerprint
        return scorer
    ensure_torchvision()  # transformers imports it
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        tokenizer, model = AutoTokenizer.from_pretrained(checkpoint), AutoModelForSeq2SeqLM.from_pretrained(checkpoint)
    except (OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ClipkitError(
            f"no sequence-to-sequence model {checkpoint!r} ({reason}); give a hub name, a folder, or nano-bart-short"
        ) from error
    scorer = Seq2SeqScorer(model.to(resolve_device(device)), tokenizer, batch, max_length)
    digest = hashlib.sha256()
    for _, weight in sorted(model.state_dict().items()):
        digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    scorer.name, scorer.fingerprint = checkpoint, digest.hexdigest()
    return scorer
