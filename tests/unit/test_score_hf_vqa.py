"""The transformers back-end, on a LLaVA of random weights that is built here and read back from its folder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from clipkit.compat import ensure_torchvision
from clipkit.errors import ClipkitError
from clipkit.score.hf_vqa import HFVQA
from clipkit.score.vqascore import VQAScore

WORDS = [
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    "<image>",
    "USER",
    ":",
    "ASSISTANT",
    "Yes",
    "yes",
    "No",
    "no",
    "is",
    "there",
    "a",
    "cat",
    "dog",
    "?",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    ensure_torchvision()
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("llava")
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, **special, extra_special_tokens={"image_token": "<image>"})
    size = {"height": 8, "width": 8}
    eyes = transformers.CLIPImageProcessor(size={"shortest_edge": 8}, crop_size=size)
    processor = transformers.LlavaProcessor(
        eyes, tokenizer, patch_size=4, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=8, patch_size=4
    )
    text = transformers.LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        pad_token_id=0,
        eos_token_id=3,
    )
    config = transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=4, image_seq_length=4)
    model = transformers.LlavaForConditionalGeneration(config)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def vqa(folder):
    return HFVQA.load(str(folder), device="cpu", batch=2)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
QUESTIONS = ["is there a cat ?", "is there a dog ?", "cat ?"]


def test_probability_is_that_of_the_first_token_with_spellings_summed(vqa):
    prompt = vqa.prompt.format(QUESTIONS[0])
    inputs = vqa.processor(images=vqa.see(IMAGES[:1]), text=[prompt], return_tensors="pt")
    with torch.no_grad():
        p = vqa.model(**inputs).logits[0, -1].softmax(-1)
    found = vqa.logprobs(IMAGES[:1], QUESTIONS[:1], ["yes", "no"]).exp()
    wanted = [p[WORDS.index("Yes")] + p[WORDS.index("yes")], p[WORDS.index("No")] + p[WORDS.index("no")]]
    torch.testing.assert_close(found[0], torch.stack(wanted), atol=1e-5, rtol=1e-4)


def test_batches_and_padding_do_not_change_a_score(vqa):
    together = vqa.logprobs(IMAGES, QUESTIONS, ["yes"])
    alone = torch.cat([vqa.logprobs(IMAGES[i : i + 1], QUESTIONS[i : i + 1], ["yes"]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert together.std() > 0


def test_geometric_mean_counts_the_closing_token(vqa):
    prompt = vqa.prompt.format(QUESTIONS[1])
    inputs = vqa.processor(images=vqa.see(IMAGES[1:2]), text=[f"{prompt} Yes"], return_tensors="pt")
    with torch.no_grad():
        p = vqa.model(**inputs).logits[0].softmax(-1)
    wanted = (p[-2, WORDS.index("Yes")] * p[-1, WORDS.index("</s>")]).sqrt()
    found = VQAScore(vqa, question="is there a {} ?", norm="geo").pairs(IMAGES[1:2], ["dog"])
    torch.testing.assert_close(found[0], wanted, atol=1e-5, rtol=1e-4)


def test_the_score_takes_pictures_by_texts(vqa):
    scores = VQAScore(vqa, question="is there a {} ?", norm="yes_no")(IMAGES, ["cat", "dog"])
    assert scores.shape == (3, 2) and bool(((scores > 0) & (scores < 1)).all())
    seen = vqa.logprobs([*IMAGES[:1]] * 2, ["is there a cat ?", "is there a dog ?"], ["yes", "no"])
    torch.testing.assert_close(scores[0], (seen[:, 0] - seen.logsumexp(1)).exp(), atol=1e-4, rtol=1e-4)


def test_refusals(vqa, tmp_path):
    with pytest.raises(ClipkitError, match="knows no spelling"):
        vqa.logprobs(IMAGES[:1], QUESTIONS[:1], ["perhaps"])
    with pytest.raises(ClipkitError, match="one for each"):
        vqa.logprobs(IMAGES[:2], QUESTIONS[:1], ["yes"])
    with pytest.raises(ClipkitError, match="same token"):
        vqa.logprobs(IMAGES[:1], QUESTIONS[:1], ["yes", "Yes"])
    with pytest.raises(ClipkitError, match="needs one"):
        HFVQA(vqa.model, vqa.processor, prompt="no place")
    with pytest.raises(ClipkitError, match="cannot be loaded"):
        HFVQA.load(str(tmp_path))
