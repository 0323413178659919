"""Our byte-pair vocabulary: hand-worked merges, parity with a naive trainer, round trips through open_clip's tokenizer."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.recipes.bpe import byte_words, merge_word, save_bpe, train_bpe
from clipkit.errors import ClipkitError
from clipkit.models.nano import load_tokenizer

CORPUS = ["low lower lowest", "newer wider", "a red cat, two red cats", "zwei rote Katzen", "两只红色的猫", "ñandú 33"] * 3


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(save_bpe(train_bpe(CORPUS, 60), tmp_path_factory.mktemp("bpe") / "bpe.txt.gz"), 32)


def naive_bpe(corpus, n_merges):
    """Recount everything for each merge."""
    vocabulary = [([*w[:-1], w[-1] + "</w>"], n) for w, n in Counter(w for t in corpus for w in byte_words(t)).items()]
    merges = []
    for _ in range(n_merges):
        pairs = Counter()
        for symbols, n in vocabulary:
            for pair in zip(symbols, symbols[1:], strict=False):
                pairs[pair] += n
        if not pairs:
            break
        pair = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(pair)
        vocabulary = [(merge_word(s, pair), n) for s, n in vocabulary]
    return merges


def test_hand_worked_merges():
    # l-o and o-w occur three times each; "l o" sorts first, then "lo w" and "lo w</w>" follow by count
    assert train_bpe(["low low lower"], 2) == [("l", "o"), ("lo", "w</w>")]
    assert train_bpe(["aaa"], 5) == [("a", "a"), ("aa", "a</w>")]


def test_equals_the_naive_trainer():
    assert train_bpe(CORPUS, 60) == naive_bpe(CORPUS, 60)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(alphabet="abcd 猫", min_size=1, max_size=12), min_size=1, max_size=6))
def test_equals_the_naive_trainer_on_any_corpus(corpus):
    if any(byte_words(t) for t in corpus):
        assert train_bpe(corpus, 10) == naive_bpe(corpus, 10)


def test_sizes_and_special_tokens(tokenizer):
    merges = train_bpe(CORPUS, 60)
    assert tokenizer.vocab_size == 512 + len(merges) + 2
    tokens = tokenizer(["a red cat", "cat " * 100])
    assert tokens.shape == (2, 32) and tokens[0, 0] == tokenizer.vocab_size - 2
    assert tokens.max() == tokenizer.vocab_size - 1 and tokens[1, -1] == tokenizer.vocab_size - 1  # cut, still ended


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_encoding_round_trips_any_text(tokenizer, text):
    cleaned = tokenizer.clean_fn(text)
    assert tokenizer.decode(tokenizer.encode(text)).replace(" ", "") == "".join(cleaned.split()).replace("</w>", "")


def test_chinese_and_known_words(tokenizer):
    assert tokenizer.decode(tokenizer.encode("两只红色的猫 red")).strip() == "两只红色的猫 red"
    assert len(tokenizer.encode("red")) == 1 and len(tokenizer.encode("red cat")) == 2


def test_stops_when_everything_is_merged_and_is_reproducible(tmp_path):
    merges = train_bpe(["cat cat dog"], 1000)
    assert len(merges) == 4 and merges == train_bpe(["cat cat dog"], 1000)
    assert save_bpe(merges, tmp_path / "a.gz").read_bytes() == save_bpe(merges, tmp_path / "b.gz").read_bytes()


def test_failures(tmp_path):
    with pytest.raises(ClipkitError, match="no words"):
        train_bpe([" "], 5)
    with pytest.raises(ClipkitError, match="n_merges"):
        train_bpe(["a"], -1)
    with pytest.raises(ClipkitError, match="missing or damaged"):
        load_tokenizer(tmp_path / "none.gz", 8)
