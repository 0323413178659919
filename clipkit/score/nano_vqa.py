"""A small model that answers questions about pictures: frozen picture tokens and the question's words in one transformer.

Letters in shapes: N pictures, B pairs, M picture tokens, D their width, L words, W width, A answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from clipkit.errors import ClipkitError, unknown
from clipkit.language.transformer import Encoder
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.parts import load_part
from clipkit.score.eyes import Eyes, LookUp
from clipkit.world.taxonomy import BACKGROUNDS, COLOURS
from clipkit.world.words import NUMBERS

# Of the shipped answerers.
ANSWERS: tuple[str, ...] = ("yes", "no", *COLOURS, *NUMBERS[1:], *BACKGROUNDS, "left", "right", "above", "below")
MASKS = ("bidirectional", "causal")


class NanoVQA(nn.Module):
    """Picture tokens (B, M, D) and a question to scores of a closed list of answers.

    One row of tokens: pictures (M / 4 cells), words, and one last token at which the answer is read. Before the transformer each
    word looks up the patches it resembles (`LookUp`), under every mask: words come after the pictures. Mask:
        "bidirectional": every token sees every other, as in the encoder of CLIP-FlanT5;
        "causal": each sees itself and those before it, as in LLaVA: no picture token sees a word.

    Args:
        vocabulary: of the questions. answers: the answers. picture_width: D. picture_length: M, a square of even side.
        width, layers, heads: of the transformer. length: longest question in words, with `<bos>` and `<eos>`.

    Source: arXiv:2404.01291, section 4 (CLIP-FlanT5), at a ten-thousandth of its size and with a classifier for the decoder.
    """

    def __init__(
        self,
        vocabulary: WordVocabulary,
        answers: Sequence[str],
        picture_width: int = 256,
        picture_length: int = 64,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        length: int = 96,
        mask: str = "bidirectional",
    ):
        super().__init__()
        if mask not in MASKS:
            raise unknown("mask", mask, MASKS)
        if len(set(answers)) < len(answers) or not answers:
            raise ClipkitError("give a list of distinct answers, at least one")
        self.vocabulary, self.answers, self.mask, self.length = vocabulary, tuple(answers), mask, length
        self.settings = {
            "picture_width": picture_width, "picture_length": picture_length, "width": width, "layers": layers, "heads": heads,
            "length": length, "mask": mask,
        }  # fmt: skip
        self.eyes, self.look_up = Eyes(vocabulary, picture_width, picture_length, width), LookUp(width)
        self.places = nn.Parameter(0.05 * torch.randn(picture_length // 4, width))
        self.positions = nn.Parameter(0.05 * torch.randn(length, width))
        self.ask = nn.Parameter(0.05 * torch.randn(width))
        self.encoder = Encoder(width, layers, heads)
        self.head = nn.Linear(width, len(answers))

    @property
    def device(self) -> torch.device:
        return self.places.device

    @property
    def header(self) -> dict:
        """What its file needs besides the weights, see `clipkit.models.parts`."""
        return {"question_answerer": self.settings, "words": self.vocabulary.words, "answers": list(self.answers)}

    def encode(self, questions: Sequence[str]) -> Tensor:
        """Questions to tokens (B, L). Raises ClipkitError for one that is longer than `length`."""
        tokens = self.vocabulary.encode(questions)
        if tokens.shape[1] > self.length:
            raise ClipkitError(f"a question has {tokens.shape[1]} tokens, this model reads {self.length}; shorten it")
        return tokens

    def forward(self, pictures: Tensor, tokens: Tensor, offset: Tensor | None = None) -> Tensor:
        """Scores (B, A) of the answers.

        Args:
            pictures: (B, M, D). tokens: (B, L) of `encode`, or (1, L) for one question about all.
            offset: (B,) int64, place at which each question starts; drawn at random in training, so that the places that only
                long questions reach are learnt as well. None: 0.

        Raises: ClipkitError for other shapes, or NaN in the pictures.
        """
        x, mask = self._row(pictures, tokens, offset)
        n = x.shape[1]
        allowed = mask[:, None, None, :].expand(-1, 1, n, -1)
        if self.mask == "causal":
            allowed = allowed & torch.ones(n, n, dtype=torch.bool, device=x.device).tril()
        for block in self.encoder.blocks:
            x, _ = block(x, allowed)
        return self.head(self.encoder.norm(x[:, -1]))

    def _row(self, pictures: Tensor, tokens: Tensor, offset: Tensor | None) -> tuple[Tensor, Tensor]:
        """The row (B, M / 4 + L + 1, W) and which of it is real (B, …)."""
        if tokens.ndim != 2 or tokens.is_floating_point() or tokens.shape[0] not in (1, len(pictures)) or tokens.shape[1] > self.length:
            raise ClipkitError(f"questions are integer tokens (B, L) of `encode`, one for each picture, got {tuple(tokens.shape)}")
        patches = self.eyes.patches(pictures)
        tokens = tokens.expand(len(pictures), -1)
        at = torch.arange(tokens.shape[1], device=tokens.device)
        at = at if offset is None else (at + offset[:, None]) % self.length
        words = self.eyes.words(tokens)
        told = tokens != self.vocabulary.pad
        said = words * (self.eyes.width**0.5 / 4) + self.positions[at] + self.look_up(self.eyes, words, patches, told)
        last = self.ask.expand(len(pictures), 1, -1)
        seen = self.eyes.cells(patches) + self.places
        real = torch.ones(len(pictures), seen.shape[1] + 1, dtype=torch.bool, device=pictures.device)
        mask = torch.cat([real[:, 1:], told, real[:, :1]], 1)
        return torch.cat([seen, said, last], 1), mask

    @torch.no_grad()
    def logprobs(self, pictures: Tensor, questions: Sequence[str], batch: int = 512) -> Tensor:
        """Log-probability (B, A) of every answer to question i about picture i, float32 on the CPU. One question serves all pictures."""
        if len(questions) not in (1, len(pictures)):
            raise ClipkitError(f"{len(questions)} questions about {len(pictures)} pictures: give one for each, or one for all")
        if not len(pictures):
            return torch.empty(0, len(self.answers))
        questions = list(questions) * (len(pictures) if len(questions) == 1 else 1)
        order = sorted(range(len(questions)), key=lambda i: len(questions[i]))  # like lengths together: less padding
        out = torch.empty(len(questions), len(self.answers))
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            tokens = self.encode([questions[i] for i in rows]).to(self.device)
            out[rows] = self(pictures[rows].to(self.device), tokens).float().log_softmax(-1).cpu()
        return out

    def answer(self, pictures: Tensor, questions: Sequence[str]) -> list[str]:
        """The likeliest answer to each question."""
        return [self.answers[i] for i in self.logprobs(pictures, questions).argmax(1).tolist()]


def load_vqa(name: str = "nano-vqa", device: str = "auto", folder: str | Path | None = None) -> NanoVQA:
    """A shipped answerer (nano-vqa, nano-vqa-atomic, nano-itm), or one saved at the path `name`; float32, in evaluation.

    Its `name` and `fingerprint` are set. It reads `patch_tokens` of nano.
    Raises ClipkitError when the file is missing or holds something else.
    """

    def build(header: dict) -> NanoVQA:
        return NanoVQA(WordVocabulary(header["words"]), header["answers"], **header["question_answerer"])

    return load_part("question_answerer", build, name, device, folder)
