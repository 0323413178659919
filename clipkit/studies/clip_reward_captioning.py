"""The page clip_reward_captioning: pictures with references, rewards by rows, captions on every scale, the best of many samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from clipkit import lab
from clipkit.datasets.world import stream
from clipkit.errors import ClipkitError
from clipkit.generate.caption_grammar import grammatical, grammatical_rate
from clipkit.generate.caption_metrics import attribute_prf, chair, listener_recall, ngram_repetition, retrieval_recall
from clipkit.generate.caption_model import CaptionDecoder, described, load_captioner, train_captioner
from clipkit.generate.cider import CiderD
from clipkit.generate.clip_reward import CLIPReward, finetune_text_grammar, grammar_accuracy
from clipkit.generate.references import brief_vocabulary
from clipkit.generate.text_grammar import load_grammar
from clipkit.kept import remembered
from clipkit.language.vocabulary import split_words
from clipkit.language.word_noise import CORRUPTION_KINDS, corrupt_caption
from clipkit.world import check, render

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


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
    scenes, tokens, references = described(clip, n, stream(split, seed))
    return DescribedPictures(scenes, render(scenes).images, tokens, tokens[:, 0].contiguous(), references)


def load_or_train(clip, mle_steps: int = 0, grammar_steps: int = 0, n: int = 4096):
    """(captioner, model with tuned text tower, GrammarHead): the shipped ones for nano, else trained now on n described pictures.

    Args:
        mle_steps, grammar_steps: of each training; 0 for the shipped one.
    Raises: ClipkitError for another model than nano without steps.
    """
    if clip.name != "nano" and not (mle_steps and grammar_steps):
        raise ClipkitError(f"captioner and grammar head are shipped for nano only; for {clip.name} set mle_steps and grammar_steps")
    train = described_pictures(clip, "train", n, 1) if mle_steps or grammar_steps else None
    if mle_steps:
        captioner = CaptionDecoder(brief_vocabulary(), clip.embed_dim, train.tokens.shape[1]).to(clip.device)
        train_captioner(captioner, train.tokens, train.references, mle_steps, muon_lr=0.02)
    else:
        captioner = load_captioner(device=clip.device)
    if not grammar_steps:
        return captioner, *load_grammar(clip)
    words = brief_vocabulary().words
    tuned, head, _ = finetune_text_grammar(clip, train.references, train.features, grammar_steps, vocabulary=words)
    return captioner, tuned, head


def cider_reward(pictures: DescribedPictures) -> Callable[[Tensor, Sequence[str]], dict[str, Tensor]]:
    """{"cider": CIDEr-D} against the pictures' references, the end of a caption counted as a word, as in the released code."""
    score = CiderD(pictures.references, end=True)
    return lambda rows, texts: {"cider": torch.as_tensor(score(texts, rows.cpu().numpy()), dtype=torch.float32)}


def reward_by_rows(reward: CLIPReward, features: Tensor) -> Callable[[Tensor, Sequence[str]], Mapping[str, Tensor]]:
    """A `CLIPReward` that knows the pictures by their rows in `features` (N, D)."""
    return lambda rows, texts: reward(features[rows.cpu()], texts)


def best_of(captioner: CaptionDecoder, pictures: DescribedPictures, reward: CLIPReward, n: int = 20, seed: int = 0) -> list[str]:
    """Of n captions sampled for each picture the one that `reward` rates highest: no training at all."""
    generator = torch.Generator(captioner.device).manual_seed(seed)
    texts = captioner.write(pictures.tokens.to(captioner.device), n, how="sample", generator=generator)
    rated = reward(pictures.features.repeat_interleave(n, 0), texts)["clip"].view(-1, n)
    return [texts[i * n + j] for i, j in enumerate(rated.argmax(1).tolist())]


def measure_captions(pictures: DescribedPictures, texts: Sequence[str], graders: Mapping[str, tuple[object, Tensor]]) -> dict[str, float]:
    """All that is measured of captions, one for each picture. Shares are in percent.

    Args:
        graders: name -> (DualEncoder, its picture features (N, D)): R@1 of the pictures by their captions, as "recall_<name>".

    Returns: recall_…; recall_listener, the same for a listener who knows the truth; grammar (share of sentences); repetition;
        cider (CIDEr-D, not in percent); words a caption; said_… and right_…, recall and precision of each slot; invented, the
        share of objects mentioned that are not there.
    """
    measured = {f"recall_{name}": 100 * retrieval_recall(grader.text_features(texts), images) for name, (grader, images) in graders.items()}
    measured |= {
        "recall_listener": 100 * listener_recall(pictures.scenes, texts),
        "grammar": 100 * grammatical_rate(list(texts)),
        "repetition": 100 * ngram_repetition(texts),
        "cider": float(CiderD(pictures.references)(texts).mean()),
        "words": float(np.mean([len(split_words(t)) for t in texts])),
        "invented": 100 * chair(pictures.scenes, texts).per_mention,
    }
    for slot, prf in attribute_prf(pictures.scenes, texts).items():
        measured |= {f"said_{slot}": 100 * prf.recall, f"right_{slot}": 100 * prf.precision}
    return measured


def errors(scene, text: str) -> list[str]:
    """What a caption states and the scene denies, in short; "not a sentence" where the grammar does not know it."""
    return check(scene, text).false + ([] if grammatical(text) else ["not a sentence"])


def with_errors(scene, text: str) -> list[tuple[str, bool | None]]:
    """A caption, and after it what is wrong with it, as `lab.sheet` shows them."""
    wrong = errors(scene, text)
    return [(text, None), *([("; ".join(wrong), False)] if wrong else [])]


def corruption_table(reward: CLIPReward, captions: Sequence[str], vocabulary: Sequence[str], example: str) -> pandas.DataFrame:
    """One row for "real" and for each corruption: the example (corrupted), its grammar reward, how often the head is right on
    `captions`, and how often the result is still a sentence; the last two in percent. `reward` has a head."""
    import pandas

    seed = 4  # of all corruptions, the example's and those that the head is judged on
    rng, several = np.random.default_rng(seed), [t for t in captions if len(set(t.split())) > 1]
    shown = {"real": example} | {kind: corrupt_caption(example, vocabulary, kind, seed) for kind in CORRUPTION_KINDS}
    corrupted = {"real": list(captions)}
    corrupted |= {kind: [corrupt_caption(t, vocabulary, kind, rng) for t in several] for kind in CORRUPTION_KINDS}
    columns = {
        "caption": shown,
        "grammar reward": dict(zip(shown, reward.grammar_head.probability(reward.encode(list(shown.values()))[0]).tolist(), strict=True)),
        "head right, %": {kind: 100 * share for kind, share in grammar_accuracy(reward, captions, vocabulary, seed).items()},
        "still a sentence, %": {kind: 100 * grammatical_rate(texts) for kind, texts in corrupted.items()},
    }
    return pandas.DataFrame(columns)


def draw_paths(axes: Axes, paths: pandas.DataFrame) -> None:
    """Recall against grammar, a line for each arm through its steps: thin for each seed, thick with markers for their mean.

    paths: columns arm, seed, step, measure ("grammar", "recall"), value.
    """
    for arm, look in lab.looks(paths.arm.unique()).items():
        table = paths[paths.arm == arm].pivot_table("value", ["seed", "step"], "measure")
        for _, one in table.groupby("seed"):
            axes.plot(one.grammar, one.recall, color=look.colour, linewidth=0.7, alpha=0.5)
        mean = table.groupby("step").mean()
        axes.plot(mean.grammar, mean.recall, color=look.colour, marker=look.marker, linestyle=look.line, label=lab.label(arm))
    axes.legend()
