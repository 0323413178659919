"""log p(target | source): transformers' own loss, our own model word by word, pictures as sources, invariants, and what is refused."""

from __future__ import annotations

import doctest

import pytest
import torch

from clipkit.errors import ClipkitError
from clipkit.language import DecoderBackend, Seq2Seq, Seq2SeqScorer, TextDecoder, WordVocabulary, load_scorer, scorers
from tests.calibration.bartscore_official import SOURCES, TARGETS, tiny_bart

WORDS = WordVocabulary(["a", "red", "blue", "cat", "dog", "in", "snow"])
SRC = ["a red cat", "a blue dog in snow", "cat", "a red cat"]
TGT = ["a cat", "dog in snow", "a red cat in snow", "a cat"]


@pytest.fixture(scope="module")
def own():
    torch.manual_seed(0)
    return Seq2Seq(WORDS, width=16, heads=4, length=12).double().eval()


@pytest.fixture(scope="module")
def bart(tmp_path_factory):
    path = tmp_path_factory.mktemp("bart")
    return (*tiny_bart(path), str(path))


def test_examples_in_docstrings():
    found = doctest.testmod(scorers)
    assert found.attempted > 0 and found.failed == 0


def test_own_model_word_by_word(own):
    """The definition: read the source, then one softmax for each word of the target."""
    got = Seq2SeqScorer(own, batch=2)
    total, mean = got.logprob(SRC, TGT, "sum"), got.logprob(SRC, TGT)
    bare, bare_mean = (got.logprob(SRC, TGT, norm, skip_special=True) for norm in ("sum", "mean"))
    for i, (s, t) in enumerate(zip(SRC, TGT, strict=True)):
        memory, mask = own.encode(WORDS.encode([s]))
        words, value, last = [WORDS.bos], 0.0, 0.0
        for w in [*WORDS.ids(t), WORDS.eos]:
            last = own.decoder.logits(torch.tensor([words]), memory, mask)[0, -1].log_softmax(-1)[w].item()
            value, words = value + last, [*words, w]
        n = len(words) - 1
        assert total[i].item() == pytest.approx(value) and mean[i].item() == pytest.approx(value / n)
        assert bare[i].item() == pytest.approx(value - last) and bare_mean[i].item() == pytest.approx((value - last) / (n - 1))


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_order_batches_and_neighbours_change_nothing(own, batch):
    want = Seq2SeqScorer(own).logprob(SRC, TGT)
    got = Seq2SeqScorer(own, batch=batch)
    torch.testing.assert_close(got.logprob(SRC, TGT), want)
    torch.testing.assert_close(got.logprob(SRC[::-1], TGT[::-1]), want.flip(0))
    torch.testing.assert_close(got.logprob(SRC[1:2], TGT[1:2]), want[1:2])
    assert want[0] == want[3] and got.logprob([], []).shape == (0,)


def test_tokens_add_up_to_the_score(own):
    scorer = Seq2SeqScorer(own)
    for row, text, value in zip(scorer.tokens(SRC, TGT), TGT, scorer.logprob(SRC, TGT, "sum"), strict=True):
        assert [w for w, _ in row] == [*text.split(), "<eos>"] and sum(v for _, v in row) == pytest.approx(value.item())


def test_without_a_source_it_is_the_language_model(own):
    got = Seq2SeqScorer(own).logprob(None, TGT, "sum")
    torch.testing.assert_close(got, own.logprobs(None, WORDS.encode(TGT)).sum(1))


def test_long_texts_are_cut(own):
    assert torch.isfinite(Seq2SeqScorer(own).logprob(["a " * 40], ["red " * 40])).all()


def test_transformers_model_equals_its_own_loss(bart):
    model, tokenizer, _ = bart
    scorer = Seq2SeqScorer(model, tokenizer, batch=3)
    got, total = scorer.logprob(SOURCES, TARGETS), scorer.logprob(SOURCES, TARGETS, "sum")
    for i, (s, t) in enumerate(zip(SOURCES, TARGETS, strict=True)):
        source, target = tokenizer(s, return_tensors="pt"), tokenizer(t, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            loss = model(**source, labels=target).loss.item()
        assert got[i].item() == pytest.approx(-loss, abs=1e-5)
        assert total[i].item() == pytest.approx(-loss * target.shape[1], abs=1e-4)


def test_transformers_special_tokens(bart):
    scorer = Seq2SeqScorer(*bart[:2])
    rows = scorer.tokens(SOURCES, TARGETS)
    assert all(r[0][0] == "<s>" and r[-1][0] == "</s>" for r in rows) and len(rows[3]) == 2
    bare = scorer.logprob(SOURCES, TARGETS, skip_special=True)
    for row, value in zip(rows, bare, strict=True):
        inner = [v for w, v in row if w not in ("<s>", "</s>")]
        assert value.item() == pytest.approx(sum(inner) / max(1, len(inner)), abs=1e-5)


@pytest.mark.filterwarnings("ignore:Using the model-agnostic")
def test_transformers_model_reads_an_empty_source_for_none_and_embeds_and_writes(bart):
    scorer = Seq2SeqScorer(*bart[:2])
    torch.testing.assert_close(scorer.logprob(None, TARGETS), scorer.logprob([""] * 4, TARGETS))
    vectors, words = scorer.embed(["ab", "abcd"])
    assert vectors.shape == (2, 6, 16) and words.sum(1).tolist() == [2, 4]
    written = scorer.write(SOURCES, beams=2)
    assert len(written) == 4 and all(isinstance(t, str) for t in written)


def test_own_model_embeds_words_and_writes(own):
    vectors, words = Seq2SeqScorer(own).embed(["a red cat", "dog"])
    assert vectors.shape == (2, 5, 16) and words.tolist() == [[False, True, True, True, False], [False, True, False, False, False]]
    assert Seq2SeqScorer(own).write(SRC) == own.write(SRC, how="beam")


def test_a_folder_loads_and_a_missing_one_says_what_to_do(bart):
    torch.testing.assert_close(load_scorer(bart[2], "cpu").logprob(SOURCES, TARGETS), Seq2SeqScorer(*bart[:2]).logprob(SOURCES, TARGETS))
    with pytest.raises(ClipkitError, match="nano-bart-short"):
        load_scorer("/no/such/folder")


def test_pictures_as_sources():
    """A decoder on picture features: the same call, whatever the order of the pictures."""
    torch.manual_seed(1)
    decoder = TextDecoder(len(WORDS), 16, 1, 2, 12, memory_width=5).eval()
    pictures = [torch.randn(4, 5) for _ in TGT]
    scorer = Seq2SeqScorer(DecoderBackend(lambda batch: (torch.stack(list(batch)), None), decoder, WORDS), batch=2)
    got = scorer.logprob(pictures, TGT, "sum")
    want = decoder.logprobs(WORDS.encode(TGT), torch.stack(pictures)).sum(1).double()
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)
    assert got[0] != got[3]  # the same words, another picture


def test_a_captioner_is_a_scorer_too():
    from clipkit.generate.caption_model import CaptionDecoder

    torch.manual_seed(2)
    captioner = CaptionDecoder(WORDS, picture_width=6, picture_length=4, width=16, layers=1, heads=2, length=12).eval()
    pictures = torch.randn(4, 3, 6)
    got = Seq2SeqScorer(captioner, batch=3).logprob(pictures, TGT, "sum")
    torch.testing.assert_close(got, captioner.logprobs(pictures, WORDS.encode(TGT)).sum(1).double(), atol=1e-5, rtol=0)


def test_what_is_refused(own, bart):
    scorer = Seq2SeqScorer(own)
    with pytest.raises(ClipkitError, match="one source for each"):
        scorer.logprob(["a"], ["a", "b"])
    with pytest.raises(ClipkitError, match="unknown norm"):
        scorer.logprob(["a"], ["a"], "median")
    with pytest.raises(ClipkitError, match="needs its tokenizer"):
        Seq2SeqScorer(bart[0])
