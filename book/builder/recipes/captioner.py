"""`nano-captioner` and `nano-grammar`: both learn from described pictures of one world, over the frozen nano."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from clipkit.generate.caption_grammar import grammatical_rate
from clipkit.generate.caption_metrics import attribute_prf, chair, retrieval_recall
from clipkit.generate.caption_model import CAPTION_WORLD, CaptionDecoder, described, train_captioner
from clipkit.generate.cider import CiderD
from clipkit.generate.clip_reward import CLIPReward, GrammarHead, finetune_text_grammar, grammar_accuracy
from clipkit.generate.references import brief_vocabulary
from clipkit.models import load_model
from clipkit.world import caption_batch

PICTURES, HELD_OUT = 12_288, 90_001  # described pictures to learn from; seed of those the cards are measured on
GRAMMAR_PICTURES = 6_000
TEXT_SIDE = ("token_embedding", "positional_embedding", "transformer.", "ln_final", "text_projection")  # weights that are saved


def make_captioner(recipe, steps: int, device: str, tick, folder: Path) -> tuple[CaptionDecoder, dict]:
    """The likelihood stage. Settings: those of `CaptionDecoder`."""
    model = load_model("nano", device=device)
    _, pictures, references = described(model, PICTURES, 1_000 + recipe.seed)
    captioner = CaptionDecoder(brief_vocabulary(), model.embed_dim, pictures.shape[1], **recipe.settings).to(device)
    history = train_captioner(captioner, pictures, references, steps, recipe.batch, seed=recipe.seed, after_step=tick, **recipe.loop)
    data = {"world": CAPTION_WORLD, "pictures": len(pictures), "references": len(references[0]), "pictures_seen": steps * recipe.batch}
    return captioner, {"data": data, "training": history.summary(), **captioner_numbers(captioner, model)}


def captioner_numbers(captioner: CaptionDecoder, model, n: int = 512) -> dict:
    """Of held-out pictures: nats a word of a reference; CIDEr-D and, in percent, what greedy captions get right; sampled ones' grammar."""
    scenes, pictures, references = described(model, n, HELD_OUT)
    pictures = pictures.to(captioner.device)
    written = captioner.write(pictures)
    sampled = captioner.write(pictures, how="sample", generator=torch.Generator(pictures.device).manual_seed(0))
    tokens = captioner.vocabulary.encode([r[0] for r in references]).to(captioner.device)
    with torch.no_grad():
        nats = float(captioner.loss(pictures, tokens))
    found = attribute_prf(scenes, written)
    percent = {f"{slot}_{what}": 100 * getattr(prf, what) for slot, prf in found.items() for what in ("precision", "recall")}
    percent |= {"grammatical": 100 * grammatical_rate(written), "grammatical_sampled": 100 * grammatical_rate(sampled)}
    percent |= {"invented_objects": 100 * chair(scenes, written).per_mention}
    return {
        "nats_a_word": round(nats, 3),
        "cider_d": round(float(CiderD(references)(written).mean()), 3),
        "percent": {name: round(value, 1) for name, value in percent.items()},
    }


class TextGrammar(nn.Module):
    """What is saved of a model and a head by `finetune_text_grammar`: the weights of TEXT_SIDE and the head's."""

    def __init__(self, tuned, head: GrammarHead):
        super().__init__()
        self.head = head
        self._tower = {k: v for k, v in tuned.module.state_dict().items() if k.startswith(TEXT_SIDE)}

    @property
    def header(self) -> dict:
        """What its file needs besides the weights, see `clipkit.models.parts`."""
        return {"grammar": {"dim": self.head.dim}}

    def state_dict(self) -> dict[str, Tensor]:
        return self._tower | super().state_dict()


def make_grammar(recipe, steps: int, device: str, tick, folder: Path) -> tuple[TextGrammar, dict]:
    """nano's text tower taught to tell references from spoilt ones, with its head. No settings."""
    model = load_model("nano", device=device)
    _, pictures, references = described(model, GRAMMAR_PICTURES, 5_000 + recipe.seed)
    words = brief_vocabulary().words
    options = {"batch": recipe.batch, "vocabulary": words, "seed": recipe.seed, "after_step": tick}
    tuned, head, history = finetune_text_grammar(model, references, pictures[:, 0], steps, **recipe.loop, **options)
    data = {"world": CAPTION_WORLD, "pictures": len(pictures), "references": len(references[0])}
    return TextGrammar(tuned, head), {"data": data, "training": history.summary(), **grammar_numbers(model, tuned, head, words)}


def grammar_numbers(model, tuned, head: GrammarHead, words, n: int = 500) -> dict:
    """Percent right of the head on held-out references, and text-to-picture R@1 among n pictures before and after, by detailed captions."""
    scenes, pictures, references = described(model, n, HELD_OUT)
    right = grammar_accuracy(CLIPReward(tuned, grammar_head=head), [t for rows in references for t in rows[:2]], words)
    recall = {}
    for name, one in (("before", model), ("after", tuned)):
        for register, texts in (("detailed", caption_batch(scenes, "detailed", HELD_OUT)), ("references", [r[0] for r in references])):
            features = CLIPReward(one).encode(texts)[1].cpu()
            recall[f"recall_{register}_{name}"] = retrieval_recall(features, pictures[:, 0])
    return {"percent": {name: round(100 * value, 1) for name, value in (right | recall).items()}}
