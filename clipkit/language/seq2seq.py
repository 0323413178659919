"""A small sequence-to-sequence transformer: an encoder reads one text, a decoder writes another (BART's shape)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from clipkit.errors import ClipkitError
from clipkit.language.transformer import Encoder, TextDecoder
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.parts import load_part


class Seq2Seq(nn.Module):
    """Encoder and decoder over one vocabulary; both sides and the output layer share the embedding table.

    Args:
        vocabulary: a WordVocabulary. width, layers, heads: of both halves. length: longest text on either side, in tokens.

    Source: arXiv:1910.13461 (BART) and 1706.03762; layer norm stands before each part, unlike in BART.
    """

    def __init__(
        self, vocabulary: WordVocabulary, width: int = 128, layers: int = 2, heads: int = 4, length: int = 64, dropout: float = 0.0
    ):
        super().__init__()
        self.vocabulary, self.length = vocabulary, length
        self.settings = {"width": width, "layers": layers, "heads": heads, "length": length}
        self.encoder = Encoder(width, layers, heads, dropout=dropout)
        self.decoder = TextDecoder(len(vocabulary), width, layers, heads, length, dropout=dropout)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))

    @property
    def device(self) -> torch.device:
        return self.positions.device

    @property
    def header(self) -> dict:
        """What its file needs besides the weights, see `clipkit.models.parts`."""
        return {"seq2seq": self.settings, "words": self.vocabulary.words}

    def tokens(self, texts: list[str]) -> Tensor:
        """Texts to tokens (B, L) on the model's device; what is longer than `length` is cut."""
        tokens = self.vocabulary.encode(texts)
        return (tokens if tokens.shape[1] <= self.length else self.vocabulary.encode(texts, self.length)).to(self.device)

    def encode(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Source tokens (B, S) to the memory (B, S, W) and its mask (B, S). Raises ClipkitError for more than `length` tokens."""
        if tokens.shape[1] > self.length:
            raise ClipkitError(f"a source of {tokens.shape[1]} tokens is longer than {self.length}; encode with length={self.length}")
        mask = tokens != self.vocabulary.pad
        x = self.decoder.embedding(tokens) + self.positions[: tokens.shape[1]]
        return self.encoder(x, mask), mask

    def logits(self, source: Tensor | None, target: Tensor) -> Tensor:
        """Scores (B, L, V) of the word after each place of target (B, L), given source (B, S); without a source: a language model."""
        return self.decoder.logits(target, *(self.encode(source) if source is not None else ()))

    def logprobs(self, source: Tensor | None, target: Tensor) -> Tensor:
        """log p(target_t | target_<t, source), (B, L): 0 at `<bos>` and padding. source (B, S) or None, target (B, L)."""
        return self.decoder.logprobs(target, *(self.encode(source) if source is not None else ()))

    def loss(self, source: Tensor | None, target: Tensor) -> Tensor:
        """Mean negative log-probability of a target word, `<eos>` counted, `<bos>` and padding not."""
        return -self.logprobs(source, target).sum() / (target[:, 1:] != self.vocabulary.pad).sum()

    @torch.no_grad()
    def write(self, texts: list[str], batch: int = 128, **how) -> list[str]:
        """The texts it writes for source texts. `how`: arguments of `TextDecoder.generate`, such as how="beam"."""
        written = []
        for start in range(0, len(texts), batch):
            memory, mask = self.encode(self.tokens(texts[start : start + batch]))
            written += self.vocabulary.decode(
                self.decoder.generate(memory, self.vocabulary.bos, self.vocabulary.eos, memory_mask=mask, **how)
            )
        return written

    @torch.no_grad()
    def embed(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """The encoder's output for texts, (B, L, W), and which of its tokens are words, (B, L) bool; for matching embeddings."""
        tokens = self.tokens(texts)
        memory, mask = self.encode(tokens)
        return memory, mask & (tokens != self.vocabulary.bos) & (tokens != self.vocabulary.eos)


def load_seq2seq(name: str = "nano-bart", device: str = "auto", folder: str | Path | None = None) -> Seq2Seq:
    """A shipped model (nano-bart, nano-bart-short, nano-bart-para), or one saved at the path `name`; float32, in evaluation.

    Its `name` and `fingerprint` (of the file's bytes) are set. Raises ClipkitError when the file is missing or holds something else.
    """
    return load_part("seq2seq", lambda header: Seq2Seq(WordVocabulary(header["words"]), **header["seq2seq"]), name, device, folder)
