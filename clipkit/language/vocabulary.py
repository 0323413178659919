"""A vocabulary of whole words: for corpora of a few hundred word types, where subwords would only hide the words.

Five special tokens come first and keep their numbers in every vocabulary:
`<pad>` 0, `<bos>` 1, `<eos>` 2, `<unk>` 3 (a word it does not know), `<mask>` 4 (a word to be guessed).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from clipkit.errors import ClipkitError

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<mask>")
PAD, BOS, EOS, UNK, MASK = range(len(SPECIALS))
_WORD = re.compile(r"<mask>|[\w'\-]+|[^\w\s]")
_CLOSING = re.compile(r" (?=[,.;:!?)])")


def split_words(text: str) -> list[str]:
    """Lower-case words and punctuation marks of a text, each a token of its own.

    >>> split_words("Two red apples, in the snow.")
    ['two', 'red', 'apples', ',', 'in', 'the', 'snow', '.']
    """
    return _WORD.findall(text.lower())


class WordVocabulary:
    """Words to numbers and back. `words` come after the special tokens, in the order given.

    >>> vocabulary = WordVocabulary(["a", "red", "cat"])
    >>> vocabulary.encode(["a red cat", "a dog"]).tolist()
    [[1, 5, 6, 7, 2], [1, 5, 3, 2, 0]]
    >>> vocabulary.decode(vocabulary.encode(["A red cat"]))
    ['a red cat']
    """

    pad, bos, eos, unk, mask = PAD, BOS, EOS, UNK, MASK

    def __init__(self, words: Iterable[str]):
        self.words = [w for w in words if w not in SPECIALS]
        if len(set(self.words)) != len(self.words):
            twice = next(w for w, n in Counter(self.words).items() if n > 1)
            raise ClipkitError(f"the vocabulary holds {twice!r} twice; give each word once")
        self.tokens = [*SPECIALS, *self.words]
        self._id = {w: i for i, w in enumerate(self.tokens)}

    @classmethod
    def from_texts(cls, texts: Iterable[str], min_count: int = 1) -> WordVocabulary:
        """All words that occur at least `min_count` times in `texts`, in alphabetical order."""
        counts = Counter(w for text in texts for w in split_words(text))
        return cls(sorted(w for w, n in counts.items() if n >= min_count))

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WordVocabulary) and self.words == other.words

    __hash__ = None

    def __contains__(self, word: str) -> bool:
        return word in self._id

    def id(self, word: str) -> int:
        """Number of one word; that of `<unk>` where it is not known."""
        return self._id.get(word, UNK)

    def ids(self, text: str) -> list[int]:
        """Numbers of the words of one text, without `<bos>` and `<eos>`."""
        return [self._id.get(w, UNK) for w in split_words(text)]

    def encode(self, texts: Sequence[str] | str, length: int | None = None) -> Tensor:
        """Texts to tokens (B, L) int64: `<bos>` words `<eos>`, padded on the right.

        Args:
            length: L; longer texts lose words at their end, never their `<eos>`. None: as long as the longest text.
        """
        rows = [[BOS, *self.ids(t), EOS] for t in ([texts] if isinstance(texts, str) else texts)]
        if length is None:
            length = max(map(len, rows), default=2)
        if length < 2:
            raise ClipkitError(f"a length of {length} leaves no place for <bos> and <eos>; use 2 or more")
        tokens = torch.full((len(rows), length), PAD, dtype=torch.long)
        for i, row in enumerate(rows):
            if len(row) > length:
                row = [*row[: length - 1], EOS]
            tokens[i, : len(row)] = torch.tensor(row)
        return tokens

    def decode(self, tokens: Tensor | Sequence[Sequence[int]]) -> list[str]:
        """Tokens (B, L) to texts: up to the first `<eos>`, without `<bos>` and `<pad>`, punctuation set to the word before it.

        Raises ClipkitError for a number outside the vocabulary.
        """
        rows = tokens.tolist() if isinstance(tokens, Tensor) else [list(map(int, row)) for row in tokens]
        texts = []
        for row in rows:
            words = []
            for i in row[: row.index(EOS)] if EOS in row else row:
                if not 0 <= i < len(self.tokens):
                    raise ClipkitError(
                        f"token {i} is outside this vocabulary of {len(self.tokens)}; was the text encoded with another one?"
                    )
                if i not in (PAD, BOS):
                    words.append(self.tokens[i])
            texts.append(_CLOSING.sub("", " ".join(words)))
        return texts
