"""The shipped captioner and grammar tower: how they are made, saved and loaded."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from clipkit.errors import ClipkitError
from clipkit.generate.caption_model import CaptionDecoder, picture_tokens, train_captioner
from clipkit.generate.clip_reward import CLIPReward, GrammarHead, finetune_text_grammar, grammar_accuracy
from clipkit.language.vocabulary import WordVocabulary
from clipkit.models.parts import load_part, part_card, read_part, save_part

# One to three objects, mostly several: so that there is more to say than is usually said.
CAPTION_WORLD = {"max_objects": 3, "count_probs": (0.2, 0.4, 0.4)}
PICTURES, HELD_OUT = 12_288, 90_001  # described pictures to learn from; seed of those the cards are measured on
GRAMMAR_PICTURES = 6_000
TEXT_SIDE = ("token_embedding", "positional_embedding", "transformer.", "ln_final", "text_projection")


def described(model, n: int, seed: int, k: int = 5):
    """Scenes of CAPTION_WORLD, their picture tokens (n, 17, D) and k references for each."""
    from clipkit.generate.references import brief_references
    from clipkit.world import WorldSpec, render, sample_scenes

    scenes = sample_scenes(WorldSpec(**CAPTION_WORLD), n, seed)
    return scenes, picture_tokens(model, render(scenes).images), brief_references(scenes, k, seed)


def make_captioner(recipe, folder: Path, steps: int, device: str, after_step=None) -> dict:
    """Likelihood stage of `nano-captioner`: train, measure, save. Returns the card. `recipe.vision`: settings of CaptionDecoder."""
    from clipkit.generate.references import brief_vocabulary
    from clipkit.models import load_model

    model = load_model("nano", device=device)
    _, pictures, references = described(model, PICTURES, 1_000 + recipe.seed)
    captioner = CaptionDecoder(brief_vocabulary(), model.embed_dim, pictures.shape[1], **recipe.vision).to(device)
    loop = {"lr": recipe.lr, "muon_lr": recipe.muon_lr, "weight_decay": recipe.weight_decay, "precision": recipe.precision}
    history = train_captioner(captioner, pictures, references, steps, recipe.batch, seed=recipe.seed, after_step=after_step, **loop)
    data = {"world": CAPTION_WORLD, "pictures": len(pictures), "references": len(references[0]), "pictures_seen": steps * recipe.batch}
    card = part_card(recipe, steps, history, loop, captioner, device, data=data, **captioner_numbers(captioner, model))
    save_part(captioner, {"captioner": captioner.settings, "words": captioner.vocabulary.words}, card, folder, recipe.name)
    return card


def captioner_numbers(captioner: CaptionDecoder, model, n: int = 512) -> dict:
    """Of held-out pictures: nats a word of a reference; CIDEr-D and, in percent, what greedy captions get right; sampled ones' grammar."""
    from clipkit.generate.caption_grammar import grammatical_rate
    from clipkit.generate.caption_metrics import attribute_prf, chair
    from clipkit.generate.cider import CiderD

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


def make_grammar(recipe, folder: Path, steps: int, device: str, after_step=None) -> dict:
    """`nano-grammar`: nano's text tower taught to tell references from spoilt ones, with its head. Returns the card."""
    from clipkit.generate.references import brief_vocabulary
    from clipkit.models import load_model

    model = load_model("nano", device=device)
    _, pictures, references = described(model, GRAMMAR_PICTURES, 5_000 + recipe.seed)
    words = brief_vocabulary().words
    loop = {"lr": recipe.lr, "muon_lr": recipe.muon_lr, "weight_decay": recipe.weight_decay, "precision": recipe.precision}
    options = {"batch": recipe.batch, "vocabulary": words, "seed": recipe.seed, "after_step": after_step}
    tuned, head, history = finetune_text_grammar(model, references, pictures[:, 0], steps, **loop, **options)
    data = {"world": CAPTION_WORLD, "pictures": len(pictures), "references": len(references[0])}
    card = part_card(recipe, steps, history, loop, head, device, data=data, **grammar_numbers(model, tuned, head, words))
    state = {k: v for k, v in tuned.module.state_dict().items() if k.startswith(TEXT_SIDE)}
    state |= {f"head.{k}": v for k, v in head.state_dict().items()}
    save_part(state, {"grammar": {"dim": head.dim}}, card, folder, recipe.name)
    return card


def grammar_numbers(model, tuned, head: GrammarHead, words, n: int = 500) -> dict:
    """Percent right of the head on held-out references, and text-to-picture R@1 among n pictures before and after, by detailed captions."""
    from clipkit.generate.caption_metrics import retrieval_recall
    from clipkit.world import caption_batch

    scenes, pictures, references = described(model, n, HELD_OUT)
    right = grammar_accuracy(CLIPReward(tuned, grammar_head=head), [t for rows in references for t in rows[:2]], words)
    recall = {}
    for name, one in (("before", model), ("after", tuned)):
        for register, texts in (("detailed", caption_batch(scenes, "detailed", HELD_OUT)), ("references", [r[0] for r in references])):
            features = CLIPReward(one).encode(texts)[1].cpu()
            recall[f"recall_{register}_{name}"] = retrieval_recall(features, pictures[:, 0])
    return {"percent": {name: round(100 * value, 1) for name, value in (right | recall).items()}}


def load_captioner(name: str = "nano-captioner", device: str = "auto", folder: str | Path | None = None) -> CaptionDecoder:
    """The shipped captioner, or one saved at the path `name`; float32, in evaluation. It reads `picture_tokens` of nano.

    Its `name` and `fingerprint` are set. Raises ClipkitError when the file is missing or holds something else.
    """

    def build(header: dict) -> CaptionDecoder:
        return CaptionDecoder(WordVocabulary(header["words"]), **header["captioner"])

    return load_part("captioner", build, name, device, folder)


def load_grammar(clip, name: str = "nano-grammar", folder: str | Path | None = None):
    """(model with the fine-tuned text tower, GrammarHead) for `clip`, which must be the model the tower was tuned from (nano).

    `clip` itself stays as it is. Raises ClipkitError when the file is missing, or its weights do not fit.
    """
    path, header, state = read_part("grammar", name, folder)
    head = GrammarHead(header["grammar"]["dim"])
    head.load_state_dict({k.removeprefix("head."): v for k, v in state.items() if k.startswith("head.")})
    tuned = copy.deepcopy(clip)
    own = tuned.module.state_dict()
    text = {k: v for k, v in state.items() if not k.startswith("head.")}
    if any(k not in own or own[k].shape != v.shape for k, v in text.items()):
        raise ClipkitError(f"the text tower in {path.name} does not fit {clip.name}; it was tuned from nano")
    tuned.module.load_state_dict(own | text)
    tuned.name = path.stem
    tuned.module.eval().requires_grad_(False)
    return tuned, head.to(clip.device).eval().requires_grad_(False)
