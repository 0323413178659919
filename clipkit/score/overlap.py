"""Scores of a text against reference texts: shared words (ROUGE, chrF) and matched embeddings.

Thin covers of sacrebleu and rouge_score: one call for many texts, an array of one number a text, 0 to 1.
`references`: one list of references for each hypothesis.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit import checks
from clipkit.errors import ClipkitError

ROUGES = ("rouge1", "rouge2", "rougeL")
AGGREGATES = ("mean", "max")


def flat(references: Sequence[Sequence[str]], hypotheses: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """All references in one list, and the number of the text each belongs to; ClipkitError for a text without any."""
    if len(references) != len(hypotheses):
        raise ClipkitError(f"{len(references)} lists of references for {len(hypotheses)} texts: give one list for each")
    for i, r in enumerate(references):
        if isinstance(r, str) or not len(r):
            raise ClipkitError(f"text {i} needs a list of one or more references, got {r!r}; wrap a single one: [reference]")
    return [r for row in references for r in row], np.repeat(np.arange(len(references)), [len(r) for r in references])


def over_references(values: np.ndarray, owner: np.ndarray, n: int, how: str = "mean") -> np.ndarray:
    """Values (M,) of pairs to one number (n,) a text: mean or maximum over the pairs of `owner` (M,)."""
    checks.one_of("aggregate over references", how, AGGREGATES)
    if how == "mean":
        return np.bincount(owner, values, n) / np.bincount(owner, minlength=n)
    out = np.full(n, -np.inf)
    np.maximum.at(out, owner, values)
    return out


# Blocks of scripts that are written without spaces between words: Thai and Lao, Tibetan, Myanmar, Khmer, kana, Han.
_UNSPACED = (
    *((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3005, 0x3007), (0x3040, 0x312F), (0x31A0, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF)),
)


class _Words:
    """Tokenizer for rouge_score: lower-case words of any script, stemmed where asked."""

    def __init__(self, stem: bool):
        from rouge_score.tokenizers import DefaultTokenizer

        self.ascii = DefaultTokenizer(stem)

    def tokenize(self, text: str) -> list[str]:
        if text.isascii():
            return self.ascii.tokenize(text)
        apart, alone = [], False  # alone: the character before is a word of its own
        for c in unicodedata.normalize("NFKC", text).lower():
            kind = unicodedata.category(c)[0]
            if kind == "M":  # a mark belongs to the letter before it
                apart.append(c)
            elif kind not in "LN":
                apart.append(" ")
            else:
                single = any(low <= ord(c) <= high for low, high in _UNSPACED)
                apart += [" ", c] if single or alone else [c]
                alone = single
        return [token for word in "".join(apart).split() for token in (self.ascii.tokenize(word) if word.isascii() else [word])]


def rouge(
    references: Sequence[Sequence[str]], hypotheses: Sequence[str], kinds: Sequence[str] = ROUGES, agg: str = "mean", stem: bool = False
) -> dict[str, np.ndarray]:
    """ROUGE as precision, recall and F: {"rouge1_p": (N,), "rouge1_r": …, "rouge1_f": …, …}.

    Args: kinds: of rouge_score ("rouge1", "rouge2", "rougeL"); agg: over references; stem: Porter's stemmer.

    Words are letters and digits of any script; of scripts that put no space between words (Chinese, Japanese, Thai …)
    each character counts as one. For ASCII texts that is rouge_score's own rule, which knows a to z and 0 to 9 only and
    gives two equal Russian texts 0. A text without a word has 0.

    >>> {k: round(float(v[0]), 3) for k, v in rouge([["a red cat"]], ["a red dog in snow"], ["rouge1"]).items()}
    {'rouge1_p': 0.4, 'rouge1_r': 0.667, 'rouge1_f': 0.5}
    """
    from rouge_score.rouge_scorer import RougeScorer

    texts, owner = flat(references, hypotheses)
    scorer, known = RougeScorer(list(kinds), tokenizer=_Words(stem)), {}
    rows = []
    for text, i in zip(texts, owner, strict=True):
        key = (text, hypotheses[i])
        if key not in known:
            found = scorer.score(*key)
            known[key] = [v for kind in kinds for v in found[kind]]
        rows.append(known[key])
    columns = np.array(rows).reshape(len(rows), -1).T
    names = [f"{kind}_{part}" for kind in kinds for part in "prf"]
    return {name: over_references(column, owner, len(hypotheses), agg) for name, column in zip(names, columns, strict=True)}


def chrf(references: Sequence[Sequence[str]], hypotheses: Sequence[str], word_order: int = 0) -> np.ndarray:
    """chrF (character 6-grams, recall weighs twice), or chrF++ with `word_order=2`; the best reference counts."""
    from sacrebleu.metrics import CHRF

    flat(references, hypotheses)
    metric = CHRF(word_order=word_order)
    return np.array([metric.sentence_score(h, list(r)).score / 100 for h, r in zip(hypotheses, references, strict=True)])


def greedy_match(a: Tensor, b: Tensor, a_mask: Tensor, b_mask: Tensor) -> Tensor:
    """BERTScore's P, R and F of text a (the hypothesis) against b: each token takes its most similar one on the other side.

    Args: a (B, L, D), b (B, M, D) token embeddings; a_mask, b_mask bool, True where a token counts.
    Returns: (B, 3). A text without a counted token has 0.

    Source: arXiv:1904.09675, section 3, without the weighting by rarity.
    """
    cosine = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(1, 2)  # (B, L, M)
    cosine = cosine.masked_fill(~(a_mask[:, :, None] & b_mask[:, None]), -1.0)
    each = lambda best, mask: (best * mask).sum(1) / mask.sum(1).clamp_min(1)  # noqa: E731
    p, r = each(cosine.amax(2), a_mask), each(cosine.amax(1), b_mask)
    some = a_mask.any(1) & b_mask.any(1)
    f = torch.where(p + r > 0, 2 * p * r / (p + r).where(p + r > 0, torch.ones_like(p)), torch.zeros_like(p))
    return torch.stack([p, r, f], 1) * some[:, None]


@torch.no_grad()
def embedding_match(
    embed: Callable[[list[str]], tuple[Tensor, Tensor]],
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[str],
    agg: str = "mean",
    batch: int = 512,
) -> dict[str, np.ndarray]:
    """BERTScore with the embeddings of `embed`: {"embedding_p": (N,), "embedding_r": …, "embedding_f": …}.

    Args: embed: texts to token embeddings (B, L, D) and a mask (B, L) of the tokens that count; called once a different text.
    """
    texts, owner = flat(references, hypotheses)
    known = sorted({*texts, *hypotheses}, key=lambda t: (len(t), t))
    row = {t: i for i, t in enumerate(known)}
    parts = [embed(known[i : i + batch]) for i in range(0, len(known), batch)]
    longest = max(m.shape[1] for _, m in parts)
    vectors = torch.cat([F.pad(v, (0, 0, 0, longest - v.shape[1])) for v, _ in parts])
    masks = torch.cat([F.pad(m, (0, longest - m.shape[1])) for _, m in parts])
    pairs = torch.tensor([(row[hypotheses[i]], row[t]) for t, i in zip(texts, owner, strict=True)]).reshape(-1, 2)
    found = [greedy_match(vectors[p[:, 0]], vectors[p[:, 1]], masks[p[:, 0]], masks[p[:, 1]]) for p in pairs.split(batch)]
    columns = torch.cat(found).double().T.cpu().numpy()
    return {f"embedding_{part}": over_references(c, owner, len(hypotheses), agg) for part, c in zip("prf", columns, strict=True)}
