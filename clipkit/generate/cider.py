"""CIDEr-D as a reward: all candidates of a batch at once, against references whose statistics were computed beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clipkit.errors import ClipkitError
from clipkit.language.vocabulary import split_words

ORDERS, SIGMA = 4, 6.0  # n-grams of one to four words; width of the length penalty, in words
_BASE = 1 << 15  # word numbers are below this, so that four of them fit in 60 bits


class CiderD:
    """Similarity of candidates to the references of their pictures, by n-grams that are rare among all references.

    For n = 1 … 4, let g(c) be the counts of caption c's n-grams, each times log(pictures / pictures whose references have it).

        CIDEr-D(c, refs) = 10 · mean over n, refs of  exp(−(l_c − l_r)² / 2σ²) · min(g(c), g(r)) · g(r) / (|g(c)| |g(r)|)

    with the length l one word less than the caption has (at least 0). A "CIDEr of 110" in the literature is 100 times this.

    Args:
        references: for each picture at least one text.
        end: count the end of a caption as a word. Without it a policy that maximises the score ends in "a dog in the" [1].
        like: another CiderD whose document frequencies are used, those of the training references for instance.

    Raises ClipkitError: a picture without a reference, no words, or (without `like`) one picture, or references that all have
    the same n-grams: pycocoevalcap then gives 0 to everything.

    Equal to pycocoevalcap's Cider to rounding (texts split by `split_words`), in one pass of numpy over a batch.
    Source: arXiv:1411.5726, section 5; [1] arXiv:1612.00563, code.

    >>> CiderD([["a red cat"], ["two dogs"]])(["a red cat", "a dog"]).round(2).tolist()
    [7.5, 0.0]
    """

    def __init__(self, references: Sequence[Sequence[str]], end: bool = False, like: CiderD | None = None):
        if not len(references) or not all(len(rows) for rows in references):
            raise ClipkitError("every picture needs at least one reference, and there must be a picture")
        if any(isinstance(rows, str) for rows in references):
            raise ClipkitError("references are a list of texts for each picture; wrap a single text in a list")
        self.end = end
        self._words: dict[str, int] = {} if like is None else dict(like._words)
        texts = [text for rows in references for text in rows]
        self._counts = np.array([len(rows) for rows in references])
        self._first = np.concatenate([[0], np.cumsum(self._counts)[:-1]])  # where a picture's references begin
        if not any(map(split_words, texts)):
            raise ClipkitError("no reference has a word")
        owner, grams, order, times, self._lengths = self._ngrams(texts, learn=True)
        if like is None:
            picture = np.repeat(np.arange(len(references)), self._counts)[owner]
            pairs = np.unique(np.stack([grams, picture]), axis=1)
            self._grams, frequency = np.unique(pairs[0], return_counts=True)
            self._log_pictures = float(np.log(len(references)))
            self._idf = self._log_pictures - np.log(np.maximum(1.0, frequency))
            if not self._idf.any():
                raise ClipkitError(
                    "every n-gram is in the references of every picture, so even a perfect caption would score 0; give the references of "
                    "several pictures, or the document frequencies of others: like=CiderD(...)"
                )
        else:
            self._grams, self._idf, self._log_pictures = like._grams, like._idf, like._log_pictures
        self._keys, inverse = np.unique(grams, return_inverse=True)  # n-grams of these references
        weight = times * self._rarity(grams)
        self._norms = self._norm(owner, order, weight, len(texts))
        position = owner * len(self._keys) + inverse
        rank = np.argsort(position)
        self._position, self._weight = position[rank], weight[rank]

    def __len__(self) -> int:
        return len(self._counts)

    def __call__(self, texts: Sequence[str], rows: Sequence[int] | None = None) -> np.ndarray:
        """(N,) float64: the score of each text for picture `rows[i]`; without `rows`, text i belongs to picture i.

        Raises: ClipkitError for another number of texts than pictures, or a row that is no picture.
        """
        rows = np.arange(len(texts)) if rows is None else np.asarray(rows)
        if len(rows) != len(texts):
            raise ClipkitError(f"{len(texts)} texts but {len(rows)} rows: say for each text whose picture's it is")
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise ClipkitError(f"rows are from 0 to {len(self) - 1}, the pictures with references; got {rows.min()} to {rows.max()}")
        if not len(texts):
            return np.zeros(0)
        owner, grams, order, times, lengths = self._ngrams(texts)
        weight = times * self._rarity(grams)
        norms = self._norm(owner, order, weight, len(texts))
        # Each n-gram that some reference has, against each reference of its text's picture.
        place = np.minimum(np.searchsorted(self._keys, grams), len(self._keys) - 1)
        known = self._keys[place] == grams
        owner, place, order, weight = owner[known], place[known], order[known], weight[known]
        n_refs = self._counts[rows]
        fan = n_refs[owner]
        entry = np.repeat(np.arange(len(owner)), fan)
        turn = np.arange(len(entry)) - np.repeat(np.cumsum(fan) - fan, fan)
        reference = self._first[rows[owner]][entry] + turn
        wanted = reference * len(self._keys) + place[entry]
        at = np.minimum(np.searchsorted(self._position, wanted), len(self._position) - 1)
        theirs = np.where(self._position[at] == wanted, self._weight[at], 0.0)
        # (text, reference, order) sums, over the norms and with the length penalty
        pair_first = np.cumsum(n_refs) - n_refs
        pair = pair_first[owner][entry] + turn
        product = np.minimum(weight[entry], theirs) * theirs
        total = np.bincount(pair * ORDERS + order[entry], product, int(n_refs.sum()) * ORDERS).reshape(-1, ORDERS)
        text = np.repeat(np.arange(len(texts)), n_refs)
        reference = self._first[rows][text] + np.arange(len(text)) - pair_first[text]
        scale = norms[text] * self._norms[reference]
        total = np.divide(total, scale, out=np.where(scale == 0, total, 0.0), where=scale != 0)
        gap = (lengths[text] - self._lengths[reference]).astype(np.float64)
        score = total.mean(1) * np.exp(-(gap**2) / (2 * SIGMA**2))
        return 10.0 * np.bincount(text, score, len(texts)) / n_refs

    def _rarity(self, grams: np.ndarray) -> np.ndarray:
        """log(pictures / document frequency); an n-gram that no reference has counts as if one had it."""
        at = np.minimum(np.searchsorted(self._grams, grams), len(self._grams) - 1)
        return np.where(self._grams[at] == grams, self._idf[at], self._log_pictures)

    @staticmethod
    def _norm(owner: np.ndarray, order: np.ndarray, weight: np.ndarray, n: int) -> np.ndarray:
        return np.sqrt(np.bincount(owner * ORDERS + order, weight**2, n * ORDERS)).reshape(n, ORDERS)

    def _ngrams(self, texts: Sequence[str], learn: bool = False):
        """Different n-grams of each text: owner, key, order (0 to 3), times; and the texts' lengths in bigrams."""
        rows = [split_words(text) + ["<end>"] * self.end for text in texts]
        table = self._words
        if learn:
            for row in rows:
                for word in row:
                    table.setdefault(word, len(table) + 1)
        # Words that no reference has get numbers of their own within the batch: their n-grams must not be mixed up.
        new: dict[str, int] = {}
        numbers = [[table.get(w) or new.setdefault(w, len(table) + 1 + len(new)) for w in row] for row in rows]
        if len(table) + len(new) >= _BASE:
            raise ClipkitError(f"more than {_BASE - 2} different words; score the texts in smaller batches")
        length = np.array([len(row) for row in numbers])
        ids = np.zeros((len(rows), max(int(length.max()), ORDERS)), np.int64)
        for i, row in enumerate(numbers):
            ids[i, : len(row)] = row
        keys, owners = [], []
        key = np.zeros_like(ids)
        for n in range(ORDERS):
            width = ids.shape[1] - n
            key = key[:, :width] * _BASE + ids[:, n:]
            real = np.arange(width) < (length - n)[:, None]
            keys.append(key[real])
            owners.append(np.nonzero(real)[0])
        grams, owner = np.concatenate(keys), np.concatenate(owners)
        order = np.lexsort((grams, owner))
        grams, owner = grams[order], owner[order]
        starts = np.flatnonzero(np.concatenate([[True], (np.diff(grams) != 0) | (np.diff(owner) != 0)])) if len(grams) else np.zeros(0, int)
        times = np.diff(np.append(starts, len(grams))).astype(np.float64)
        grams, owner = grams[starts], owner[starts]
        size = (grams >= _BASE).astype(np.int64) + (grams >= _BASE**2) + (grams >= _BASE**3)
        return owner, grams, size, times, np.maximum(length - 1, 0)
