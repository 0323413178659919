"""What the page on rewarded captions measures: pictures with references, captions on every scale, the best of many samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clipkit.generate.caption_grammar import grammatical_rate
from clipkit.generate.caption_metrics import attribute_prf, chair, listener_recall, ngram_repetition, retrieval_recall
from clipkit.generate.caption_model import CaptionDecoder
from clipkit.generate.cider import CiderD
from clipkit.kept import remembered
from clipkit.language.vocabulary import split_words

ASKED = ("background", "object", "relation")  # the slots of FineCapEval


@dataclass(frozen=True, eq=False)
class DescribedPictures:
    """Pictures with their truth and five references each.

    tokens: (N, M, D) for the captioner. features: (N, D), unit norm, of the same model. images: (N, S, S, 3) uint8.
    """

    scenes: object
    images: np.ndarray
    tokens: Tensor
    features: Tensor
    references: list[list[str]]


@remembered(4)
def described_pictures(clip, split: str, n: int, seed: int = 0) -> DescribedPictures:
    """n pictures of the captioner's world, of a split's own stream of scenes; asked for again in one session, they are the same object."""
    from clipkit.datasets.world import stream
    from clipkit.recipes.captioner import described
    from clipkit.world import render

    scenes, tokens, references = described(clip, n, stream(split, seed))
    return DescribedPictures(scenes, render(scenes).images, tokens, tokens[:, 0].contiguous(), references)


def cider_reward(pictures: DescribedPictures) -> Callable[[Tensor, Sequence[str]], dict[str, Tensor]]:
    """{"cider": CIDEr-D} against the pictures' references, the end of a caption counted as a word, as in the released code."""
    score = CiderD(pictures.references, end=True)
    return lambda rows, texts: {"cider": torch.as_tensor(score(texts, rows.cpu().numpy()), dtype=torch.float32)}


def of_pictures(reward, features: Tensor) -> Callable[[Tensor, Sequence[str]], Mapping[str, Tensor]]:
    """A `CLIPReward` that knows the pictures by their rows in `features`."""
    return lambda rows, texts: reward(features[rows.cpu()], texts)


def caption_numbers(pictures: DescribedPictures, texts: Sequence[str], graders: Mapping[str, tuple[object, Tensor]]) -> dict[str, float]:
    """All that is measured of captions, one for each picture. Shares are in percent.

    Args:
        graders: name -> (DualEncoder, its picture features (N, D)): R@1 of the pictures by their captions, as "recall_<name>".

    Returns: recall_…; recall_listener, the same for a listener who knows the truth; grammar (share of sentences); repetition;
        cider (CIDEr-D, not in percent); words a caption; said_… and right_…, recall and precision of each slot; invented, the
        share of objects mentioned that are not there.
    """
    found = {f"recall_{name}": 100 * retrieval_recall(grader.text_features(texts), images) for name, (grader, images) in graders.items()}
    found |= {
        "recall_listener": 100 * listener_recall(pictures.scenes, texts),
        "grammar": 100 * grammatical_rate(list(texts)),
        "repetition": 100 * ngram_repetition(texts),
        "cider": float(CiderD(pictures.references)(texts).mean()),
        "words": float(np.mean([len(split_words(t)) for t in texts])),
        "invented": 100 * chair(pictures.scenes, texts).per_mention,
    }
    for slot, prf in attribute_prf(pictures.scenes, texts).items():
        found |= {f"said_{slot}": 100 * prf.recall, f"right_{slot}": 100 * prf.precision}
    return found


def best_of(captioner: CaptionDecoder, pictures: DescribedPictures, reward, n: int = 20, seed: int = 0) -> list[str]:
    """Of n captions sampled for each picture the one that `reward` (a CLIPReward) rates highest: no training at all."""
    generator = torch.Generator(captioner.device).manual_seed(seed)
    texts = captioner.write(pictures.tokens.to(captioner.device), n, how="sample", generator=generator)
    rated = reward(pictures.features.repeat_interleave(n, 0), texts)["clip"].view(-1, n)
    return [texts[i * n + j] for i, j in enumerate(rated.argmax(1).tolist())]


def false_parts(scene, text: str) -> list[str]:
    """What a caption states and the scene denies, in short; "not a sentence" where the grammar does not know it."""
    from clipkit.generate.caption_grammar import grammatical
    from clipkit.world import check

    return check(scene, text).false + ([] if grammatical(text) else ["not a sentence"])


def with_faults(scene, text: str) -> list[tuple[str, bool | None]]:
    """A caption, and after it what is wrong with it, as `lab.sheet` shows them."""
    wrong = false_parts(scene, text)
    return [(text, None), *([("; ".join(wrong), False)] if wrong else [])]


def captioner_and_grammar(clip, mle_steps: int = 0, grammar_steps: int = 0, n: int = 4096):
    """(captioner, (model with tuned text tower, GrammarHead)): the shipped ones for nano, else trained now on n described pictures.

    Args:
        mle_steps, grammar_steps: of each training; 0 for the shipped one.
    Raises: ClipkitError for another model than nano without steps.
    """
    from clipkit.errors import ClipkitError
    from clipkit.generate.caption_model import load_captioner, train_captioner
    from clipkit.generate.clip_reward import finetune_text_grammar
    from clipkit.generate.references import brief_vocabulary
    from clipkit.generate.text_grammar import load_grammar

    if clip.name != "nano" and not (mle_steps and grammar_steps):
        raise ClipkitError(f"captioner and grammar head are shipped for nano only; for {clip.name} set mle_steps and grammar_steps")
    taught = described_pictures(clip, "train", n, 1) if mle_steps or grammar_steps else None
    if mle_steps:
        captioner = CaptionDecoder(brief_vocabulary(), clip.embed_dim, taught.tokens.shape[1]).to(clip.device)
        train_captioner(captioner, taught.tokens, taught.references, mle_steps, muon_lr=0.02)
    else:
        captioner = load_captioner(device=clip.device)
    if grammar_steps:
        tuned, head, _ = finetune_text_grammar(clip, taught.references, taught.features, grammar_steps, vocabulary=brief_vocabulary().words)
    else:
        tuned, head = load_grammar(clip)
    return captioner, (tuned, head)


def corruption_sheet(reward, captions: Sequence[str], vocabulary: Sequence[str], example: str, seed: int = 4):
    """A data frame, one row for "real" and for each corruption: the example (spoilt), its grammar reward, how often the head is right
    on `captions`, and how often the result is still a sentence; the last two in percent. `reward` is a CLIPReward with a head."""
    import pandas

    from clipkit.generate.clip_reward import grammar_accuracy
    from clipkit.language.word_noise import CORRUPTION_KINDS, corrupt_caption

    shown = {"real": example} | {kind: corrupt_caption(example, vocabulary, kind, seed) for kind in CORRUPTION_KINDS}
    right = grammar_accuracy(reward, captions, vocabulary, seed)
    several, rng = [t for t in captions if len(set(t.split())) > 1], np.random.default_rng(seed)
    fine = {"real": grammatical_rate(list(captions))}
    fine |= {kind: grammatical_rate([corrupt_caption(t, vocabulary, kind, rng) for t in several]) for kind in CORRUPTION_KINDS}
    rated = reward.grammar_head.probability(reward.encode(list(shown.values()))[0]).tolist()
    columns = {"caption": shown, "grammar reward": dict(zip(shown, rated, strict=True))}
    columns |= {"head right, %": {k: 100 * v for k, v in right.items()}, "still a sentence, %": {k: 100 * v for k, v in fine.items()}}
    return pandas.DataFrame(columns)
