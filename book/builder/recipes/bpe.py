"""A byte-pair vocabulary of our own, in the file format of open_clip's SimpleTokenizer.

A world caption needs some hundred words, not 49,408 tokens. `train_bpe` learns the merges, `save_bpe`
writes them, and open_clip's own tokenizer class reads them: 256 bytes, 256 bytes that end a word, the
merges, and two special tokens.

Source: Sennrich et al., arXiv:1508.07909, algorithm 1, on bytes.
"""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from clipkit.errors import ClipkitError

Merge = tuple[str, str]
MAX_MERGES = 49152 - 256 - 2  # the tokenizer reads no more lines than this


@lru_cache(maxsize=1)
def _reference():
    """open_clip's tokenizer with its own vocabulary: lends its cleaning, word pattern and byte alphabet."""
    from clipkit.compat import import_open_clip

    return import_open_clip().SimpleTokenizer()


def byte_words(text: str) -> list[str]:
    """The words of a text as strings over the byte alphabet, cut as SimpleTokenizer cuts them.

    >>> byte_words("Two red cats!")
    ['two', 'red', 'cats', '!']
    """
    import regex

    t = _reference()
    return ["".join(t.byte_encoder[b] for b in w.encode()) for w in regex.findall(t.pat, t.clean_fn(text))]


def train_bpe(corpus: Iterable[str], n_merges: int) -> list[Merge]:
    """Learn up to `n_merges` merges: again and again join the most frequent neighbouring pair.

    Ties go to the pair that sorts first, so the same corpus gives the same file everywhere. Stops early when
    every word is one token. Raises ClipkitError for an empty corpus or an impossible `n_merges`.
    """
    if not 0 <= n_merges <= MAX_MERGES:
        raise ClipkitError(f"n_merges must lie in 0..{MAX_MERGES}, got {n_merges}")
    counts: Counter[str] = Counter()
    for text in corpus:
        counts.update(byte_words(text))
    if not counts:
        raise ClipkitError("the corpus has no words to learn a vocabulary from")
    vocabulary = [([*w[:-1], w[-1] + "</w>"], n) for w, n in sorted(counts.items())]
    pairs: Counter[Merge] = Counter()
    homes: dict[Merge, set[int]] = defaultdict(set)  # words a pair occurs in: only those change with a merge
    for i, (symbols, n) in enumerate(vocabulary):
        for pair in zip(symbols, symbols[1:], strict=False):
            pairs[pair] += n
            homes[pair].add(i)
    merges: list[Merge] = []
    while len(merges) < n_merges:
        best = min(pairs.items(), key=lambda item: (-item[1], item[0]), default=(None, 0))
        if best[1] <= 0:
            break
        pair = best[0]
        merges.append(pair)
        for i in sorted(homes.pop(pair)):
            symbols, n = vocabulary[i]
            for old in zip(symbols, symbols[1:], strict=False):
                pairs[old] -= n
            joined = merge_word(symbols, pair)
            for new in zip(joined, joined[1:], strict=False):
                pairs[new] += n
                homes[new].add(i)
            vocabulary[i] = (joined, n)
        pairs = +pairs  # drops the pairs that are gone
    return merges


def merge_word(symbols: list[str], pair: Merge) -> list[str]:
    """Join every occurrence of `pair`, left to right.

    >>> merge_word(["a", "b", "a", "b", "b"], ("a", "b"))
    ['ab', 'ab', 'b']
    """
    out: list[str] = []
    i = 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def save_bpe(merges: list[Merge], path: str | Path) -> Path:
    """Write merges as a gzipped text file, the same bytes for the same merges."""
    text = "\n".join(["#version: 0.2", *(" ".join(m) for m in merges)])  # no newline at the end: it would read as a merge
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path
