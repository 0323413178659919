"""The sequence-to-sequence model, its noise, its corpora, its files: invariants, learning, and what is refused."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.recipes.corpora import caption_pairs, caption_vocabulary, reworded
from builder.recipes.language import source_target_batches
from builder.recipes.noising import infill, permute
from clipkit.errors import ClipkitError
from clipkit.language import Seq2Seq, WordVocabulary, load_seq2seq
from clipkit.language.corpora import documents
from clipkit.language.vocabulary import MASK
from clipkit.models.parts import save_part
from clipkit.world.caption_parser import check, parse
from clipkit.world.content_plan import truths

WORDS = WordVocabulary(["a", "red", "blue", "cat", "dog"])


def model(seed=0, **settings):
    torch.manual_seed(seed)
    return Seq2Seq(WORDS, width=16, heads=4, length=12, **settings).double().eval()


def test_a_source_and_its_padding():
    net = model()
    source, target = WORDS.encode(["a red cat", "a dog"]), WORDS.encode(["a cat", "dog"])
    longer = torch.cat([source, torch.zeros(2, 3, dtype=torch.long)], 1)
    torch.testing.assert_close(net.logprobs(source, target), net.logprobs(longer, target))
    torch.testing.assert_close(net.logprobs(source, target)[1:], net.logprobs(source[1:], target[1:]))
    other = WORDS.encode(["a blue cat", "a dog"])
    assert (net.logprobs(source, target)[0] - net.logprobs(other, target)[0]).abs().max() > 1e-8
    assert not torch.allclose(net.logprobs(source, target), net.logprobs(None, target))


def test_loss_is_the_cross_entropy_of_torch():
    net = model()
    source, target = WORDS.encode(["a red cat", "a dog"]), WORDS.encode(["a cat", "dog"])
    logits = net.logits(source, target[:, :-1])
    want = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target[:, 1:].flatten(), ignore_index=0)
    torch.testing.assert_close(net.loss(source, target), want)


def test_it_learns_to_turn_a_text_round_and_to_be_a_language_model_without_a_source():
    torch.manual_seed(0)
    net, rng = Seq2Seq(WORDS, width=32, layers=1, heads=2, length=8), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for step in range(250):
        rows = [rng.choice(WORDS.words, 3).tolist() for _ in range(48)]
        source, target = (WORDS.encode([" ".join(r[::d]) for r in rows]) for d in (1, -1))
        loss = net.loss(source if step % 5 else None, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    texts = ["a red cat", "dog dog blue", "cat a red"]
    assert net.eval().write(texts) == [" ".join(t.split()[::-1]) for t in texts]
    assert net.write(texts, how="beam") == net.write(texts) == net.write(texts, batch=1)
    with torch.no_grad():
        alone = -net.logprobs(None, WORDS.encode(texts))[:, 1:4].mean()
    assert abs(alone - np.log(5)) < 0.2  # five words, all alike


def test_texts_too_long_are_cut():
    net = model()
    assert net.tokens(["a " * 50]).shape == (1, 12)
    with pytest.raises(ClipkitError, match="longer than 12"):
        net.encode(WORDS.encode(["a " * 50]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10_000), st.sampled_from([0.15, 0.3, 0.6, 1.0]))
def test_infilling_takes_its_share_and_keeps_the_order(n, seed, rate):
    words = list(range(5, 5 + n))
    got = infill(words, np.random.default_rng(seed), rate)
    kept = [w for w in got if w != MASK]
    assert kept == sorted(kept) and set(kept) <= set(words)
    assert n - len(kept) <= np.ceil(rate * n) and MASK in got
    for a, b in zip(got, got[1:], strict=False):  # between neighbours that stayed nothing is missing
        assert MASK in (a, b) or b == a + 1


def test_infilling_on_average():
    rng = np.random.default_rng(0)
    gone = [20 - sum(w != MASK for w in infill(range(5, 25), rng)) for _ in range(400)]
    assert 4.5 < np.mean(gone) <= 6  # 30 % of 20; spans of length 0 use up their turn
    assert infill([7, 8], rng, 0.0) == [7, 8] and infill([], rng) == []
    with pytest.raises(ClipkitError, match="rate"):
        infill([7], rng, 1.5)


def test_permuting_keeps_parts_whole():
    rng = np.random.default_rng(0)
    words = [7, 8, 5, 9, 5, 10, 11]
    orders = {tuple(permute(words, rng, [5])) for _ in range(60)}
    assert len(orders) == 6 and tuple(words) in orders
    assert all(sorted(o) == sorted(words) and o.count(5) == 2 for o in orders)
    assert all("".join(map(chr, o)).find(chr(7) + chr(8)) >= 0 for o in orders)


@pytest.mark.parametrize("task", ["denoise", "summarise", "paraphrase"])
def test_pairs_are_in_the_vocabulary_and_true_of_one_scene(task):
    words = caption_vocabulary()
    sources, targets = caption_pairs(task, 200, seed=3)
    assert (sources, targets) == caption_pairs(task, 200, seed=3) and sources != caption_pairs(task, 200, seed=4)[0]
    for texts in (sources, targets):
        tokens = words.encode(texts)
        assert (tokens != words.unk).all() and tokens.shape[1] <= 64
    if task != "denoise":
        for truth, text in zip(truths(documents(200, 3)), targets, strict=True):
            assert check(truth, text).ok, text
    if task == "summarise":
        assert np.mean([len(s) > len(t) for s, t in zip(sources, targets, strict=True)]) > 0.95


def test_a_rewording_states_the_same():
    for a, b in zip(*reworded(documents(150, 1), 2), strict=True):
        one, two = parse(a), parse(b)
        assert sorted(one.items) == sorted(two.items) and set(one.places) == set(two.places), (a, b)
        assert a != b


def test_batches_for_training():
    words = caption_vocabulary()
    seen = list(islice(source_target_batches(words, "denoise", 16, seed=1, length=64), 3))
    assert len(seen) == 3
    for source, target in seen:
        assert len(source) == len(target) == 16 and (target != words.mask).all() and source.max() < len(words)
    assert any((source == words.mask).any() for source, _ in seen)
    again = list(islice(source_target_batches(words, "denoise", 16, seed=1, length=64), 3))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(seen, again, strict=True))


def test_a_file_gives_the_same_model(tmp_path):
    net = model().float()
    path = save_part(net, {"note": "x"}, tmp_path, "tiny")
    other = load_seq2seq(str(path), "cpu")
    assert other.vocabulary == WORDS and other.settings == net.settings and other.name == "tiny" and len(other.fingerprint) == 64
    source, target = WORDS.encode(["a red cat"]), WORDS.encode(["cat"])
    torch.testing.assert_close(other.logprobs(source, target), net.logprobs(source, target), atol=5e-3, rtol=0)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    for name in ("bad", "missing"):
        with pytest.raises(ClipkitError, match="clipkit pretrain"):
            load_seq2seq(name, "cpu", tmp_path)


def test_unknown_task():
    with pytest.raises(ClipkitError, match="did you mean 'summarise'"):
        caption_pairs("summarize", 2)
