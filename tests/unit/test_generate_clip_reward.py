"""CLIP as a reward: the formula, each text once, weights as documented, the grammar stage, and the hack it has to stop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from clipkit import ClipkitError, load_model
from clipkit.generate import (
    R_CODE,
    R_PAPER,
    CLIPReward,
    GrammarHead,
    WeightedReward,
    brief_references,
    brief_vocabulary,
    finetune_text_grammar,
    grammar_accuracy,
    grammar_loss,
    pooled_text,
)
from clipkit.generate.caption_model import CAPTION_WORLD
from clipkit.generate.text_grammar import load_grammar
from clipkit.language.word_noise import CORRUPTION_KINDS
from clipkit.pretrain import info_nce
from clipkit.world import WorldSpec, caption_batch, render, sample_scenes

nano = load_model("nano", device="cpu")
scenes = sample_scenes(WorldSpec(**CAPTION_WORLD), 64, 9)
features = nano.image_features(render(scenes).images)
texts = caption_batch(scenes, "short", seed=4)


def head():
    torch.manual_seed(0)
    return GrammarHead(128)


def test_the_formula():
    found = CLIPReward(nano)(features, texts)
    direct = 2.5 * (features * nano.text_features([f"a picture of {t}" for t in texts])).sum(1).clamp(min=0)
    assert set(found) == {"clip"}
    torch.testing.assert_close(found["clip"], direct, atol=1e-5, rtol=0)
    assert (CLIPReward(nano)(-features, texts)["clip"] == 0).any()  # never below 0
    torch.testing.assert_close(CLIPReward(nano, weight=1.0, prompt="")(features, texts)["clip"],
                               (features * nano.text_features(texts)).sum(1).clamp(min=0), atol=1e-5, rtol=0)  # fmt: skip


def test_pooled_text_is_the_state_before_the_projection():
    tokens = nano.tokenize(texts)
    state, found = pooled_text(nano, tokens)
    torch.testing.assert_close(F.normalize(state @ nano.module.text_projection, dim=-1), found)
    torch.testing.assert_close(found, nano.encode_text(tokens))


def test_equal_texts_are_encoded_once_and_come_back_in_place():
    many = [texts[i % 5] for i in range(64)]
    seen = []

    class Counting:
        name, module, device = nano.name, nano.module, nano.device

        def tokenize(self, rows):
            seen.extend(rows)
            return nano.tokenize(rows)

        def encode_text(self, tokens):
            return nano.encode_text(tokens)

    reward = CLIPReward(Counting(), grammar_head=head(), batch=2)
    found = reward(features, many)
    assert len(seen) == 5
    one_by_one = [CLIPReward(nano, grammar_head=head())(features[i : i + 1], [t]) for i, t in enumerate(many)]
    for name in ("clip", "grammar"):
        torch.testing.assert_close(found[name], torch.cat([row[name] for row in one_by_one]), atol=1e-5, rtol=0)


def test_no_gradient_reaches_the_reward_model():
    shown = features.clone().requires_grad_()
    assert not CLIPReward(nano, grammar_head=head())(shown, texts)["grammar"].requires_grad


def test_the_head_by_hand():
    h = GrammarHead(2)
    h.layers[0].weight.data = torch.eye(2)
    h.layers[2].weight.data = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert h(torch.tensor([[1.0, 3.0], [-5.0, 1.0]])).tolist() == [[1.0, 6.0], [0.0, 2.0]]
    assert h.probability(torch.tensor([[1.0, 3.0]])).item() == pytest.approx(1 / (1 + np.exp(-5)))


def test_paper_and_code_differ_by_the_documented_weights():
    parts = {"clip": torch.tensor([0.5, 1.0]), "grammar": torch.tensor([1.0, 0.0])}
    source = lambda rows, texts: parts  # noqa: E731
    paper, code = (WeightedReward([source], w)(torch.arange(2), ["", ""])[0] for w in (R_PAPER, R_CODE))
    assert paper.tolist() == [0.5 + 2 * 1, 1.0] and code.tolist() == [2 * 0.5 + 1, 2.0]
    torch.testing.assert_close(paper - code, parts["grammar"] - parts["clip"])


def test_parts_without_a_weight_are_logged_only():
    both = [lambda rows, texts: {"a": torch.ones(1)}, lambda rows, texts: {"b": torch.full((1,), 5.0)}]
    total, parts = WeightedReward(both, {"a": 3.0})(torch.arange(1), [""])
    assert total.tolist() == [3.0] and set(parts) == {"a", "b"}


def test_the_grammar_loss_is_its_two_parts():
    spoilt, h = [t[::-1] for t in texts], head()
    with torch.no_grad():
        found = grammar_loss(nano, h, features, texts, spoilt).item()
        states, said = pooled_text(nano, nano.tokenize([f"a picture of {t}" for t in [*texts, *spoilt]]))
        labels = torch.tensor([1] * 64 + [0] * 64)
        wanted = info_nce(features, said[:64], nano.logit_scale) + F.cross_entropy(h(states), labels)
    assert found == pytest.approx(wanted.item(), abs=1e-5)


def test_the_grammar_stage_learns_and_leaves_the_pictures_alone():
    references, words = brief_references(scenes, 5), brief_vocabulary().words
    before = {k: v.clone() for k, v in nano.module.state_dict().items()}
    tuned, h, history = finetune_text_grammar(nano, references, features, 12, lr=2e-3, batch=64, vocabulary=words)
    right = grammar_accuracy(CLIPReward(tuned, grammar_head=h), [r[0] for r in references], words)
    start = grammar_accuracy(CLIPReward(nano, grammar_head=head()), [r[0] for r in references], words)
    assert set(right) == {"real", *CORRUPTION_KINDS}
    balanced = lambda found: (found["real"] + np.mean([found[k] for k in CORRUPTION_KINDS])) / 2  # noqa: E731
    assert balanced(right) > balanced(start) + 0.05 and np.mean(history.loss[-5:]) < history.loss[0]
    assert all(torch.equal(v, before[k]) for k, v in nano.module.state_dict().items())
    torch.testing.assert_close(tuned.image_features(render(scenes[:4]).images), features[:4], atol=1e-6, rtol=0)
    assert not torch.equal(tuned.text_features(texts), nano.text_features(texts))


def test_the_shipped_head_tells_captions_from_spoilt_ones_and_still_retrieves():
    from clipkit.generate import retrieval_recall

    tuned, h = load_grammar(nano)
    references = [t for rows in brief_references(scenes, 5, seed=12) for t in rows]
    right = grammar_accuracy(CLIPReward(tuned, grammar_head=h), references, brief_vocabulary().words)
    assert right["real"] > 0.85 and np.mean([right[k] for k in CORRUPTION_KINDS]) > 0.85
    detailed = caption_batch(scenes, "detailed", 1)
    recall = [retrieval_recall(CLIPReward(m).encode(detailed)[1], features) for m in (nano, tuned)]
    assert recall[1] > recall[0] - 0.15


def test_saying_it_again_pays_for_some_pictures():
    """The hack: with CLIP alone a stuttered caption beats its clean parent for a good share of the pictures."""
    clean = [r[0] for r in brief_references(scenes, 1)]
    stuttered = [f"{t} {t}" for t in clean]
    reward = CLIPReward(nano)
    share = (reward(features, stuttered)["clip"] > reward(features, clean)["clip"]).float().mean().item()
    assert share > 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CLIPReward(nano)(features, texts[:3]), "3 captions"),
        (lambda: CLIPReward(nano)(features * float("nan"), texts), "NaN"),
        (lambda: CLIPReward(nano, weight=0.0), "positive"),
        (lambda: GrammarHead(4)(torch.ones(2, 5)), "pooled text states"),
        (lambda: WeightedReward([], {"a": 1.0}), "at least one source"),
        (lambda: WeightedReward([lambda rows, texts: {"a": torch.ones(1)}], {"b": 1.0})(torch.arange(1), [""]), "unknown part"),
        (lambda: finetune_text_grammar(nano, [["a cat"]], features, 1), "captions for 1"),
        (lambda: grammar_accuracy(CLIPReward(nano), ["a cat"], ["dog"]), "no grammar head"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, message):
    with pytest.raises(ClipkitError, match=message):
        call()
