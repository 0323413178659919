"""The page clip_reward_captioning: pictures with references, rewards by rows, captions on every scale, the best of many samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from torch import Tensor
from torch.nn.functional import cross_entropy

from clipkit import lab
from clipkit.datasets import Dataset
from clipkit.datasets.world import stream
from clipkit.errors import ClipkitError
from clipkit.features import extract, text_features
from clipkit.features.samples import own_pictures
from clipkit.generate.caption_grammar import grammatical, grammatical_rate
from clipkit.generate.caption_metrics import attribute_prf, chair, listener_recall, ngram_repetition, reference_recall, retrieval_recall
from clipkit.generate.caption_model import CaptionDecoder, described, train_captioner
from clipkit.generate.cider import CiderD
from clipkit.generate.clip_reward import PROMPT, CLIPReward, GrammarHead, grammar_accuracy
from clipkit.kept import kept, remembered
from clipkit.language.vocabulary import WordVocabulary, split_words
from clipkit.language.word_noise import CORRUPTION_KINDS, corrupt_caption
from clipkit.train import minimise, shuffled
from clipkit.world import check, render

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class DescribedPictures:
    """Pictures with references: of the world with their scenes, or a Dataset's (scenes: None).

    tokens: (N, M, D) for the captioner. features: (N, D), unit norm, of the same model. images: (N, S, S, 3) uint8, or the Dataset.
    """

    scenes: object
    images: np.ndarray | Dataset
    tokens: Tensor
    features: Tensor
    references: list[list[str]]


@remembered(4)
def described_pictures(clip, split: str, n: int, seed: int = 0) -> DescribedPictures:
    """n pictures of the captioner's world, of a split's own stream of scenes; asked for again in one session, they are the same object."""
    scenes, tokens, references = described(clip, n, stream(split, seed))
    return DescribedPictures(scenes, render(scenes).images, tokens, tokens[:, 0].contiguous(), references)


@remembered(8)
def captioned_photographs(clip, name: str, split: str, n: int, seed: int = -1) -> DescribedPictures:
    """At most n of a data set's pictures that are the seed's own (any other seed: of all), the model's feature as their one token.

    References are in lower case and without marks. Raises ClipkitError for a data set without captions.
    """
    data = own_pictures(name, split, n, seed)
    if data.captions is None:
        raise ClipkitError(f"{name} has no captions; give a folder with a captions.csv: columns image, caption and, better, split")
    found = extract(clip, data)
    data = data.subset(found.index)
    references = [[" ".join(w for w in split_words(text) if w[0].isalnum()) for text in row] for row in data.captions]
    return DescribedPictures(None, data, found.image[:, None], found.image, references)


def look_at(model, pictures: DescribedPictures) -> Tensor:
    """The pictures' features (N, D) of another model."""
    return model.image_features(pictures.images) if isinstance(pictures.images, np.ndarray) else extract(model, pictures.images).image


def learn_captions(pictures: DescribedPictures, device, steps: int, rare: int = 5, length: int = 20) -> CaptionDecoder:
    """A captioner taught from nothing by likelihood, kept on disk, by references that are short enough and whose words are no rarer."""
    vocabulary = WordVocabulary.from_texts((text for row in pictures.references for text in row), rare)
    sayable = lambda ids: vocabulary.unk not in ids and len(ids) <= length - 2  # noqa: E731
    known = [[text for text in row if sayable(vocabulary.ids(text))] for row in pictures.references]
    rows = [i for i, texts in enumerate(known) if texts]
    if not rows:
        raise ClipkitError(f"no caption whose every word is said {rare} times: more captioned pictures are needed")
    captioner = CaptionDecoder(vocabulary, pictures.tokens.shape[2], pictures.tokens.shape[1], width=128, length=length)
    inputs = vocabulary.words, captioner.settings, pictures.tokens[rows], [known[i] for i in rows], steps
    captioner.load_state_dict(kept("captioner", captioner_weights, *inputs))
    return captioner.to(device).eval()


def captioner_weights(words: list[str], settings: dict, tokens: Tensor, references: list[list[str]], steps: int) -> dict[str, Tensor]:
    """What `learn_captions` keeps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        captioner = CaptionDecoder(WordVocabulary(words), **settings)
    train_captioner(captioner, tokens, references, steps, batch=64)
    return dict(captioner.state_dict())


class FrozenGrammar(CLIPReward):
    """A reward whose grammar head reads the frozen text feature: for text towers that do not pool at the end of the text."""

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """The features (N, D), entries of about one for the head, and as they are."""
        features = CLIPReward(self.clip, self.prompt, batch=self.batch).encode(texts)[1]
        return features * self.clip.embed_dim**0.5, features


def learn_grammar(clip, captions: Sequence[str], words: Sequence[str], steps: int = 300) -> FrozenGrammar:
    """A head that tells captions from their spoilt copies by the model's text features; the towers stay as they are."""
    real, rng = [t for t in captions if len(set(t.split())) > 1], np.random.default_rng(0)
    texts = [*real, *(corrupt_caption(t, words, rng=rng) for t in real)]
    read = text_features(clip, [f"{PROMPT} {t}" for t in texts]) * clip.embed_dim**0.5
    labels = torch.arange(len(texts)).lt(len(real)).long()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = GrammarHead(clip.embed_dim)
    rows = shuffled(len(texts), min(256, len(texts)), torch.Generator().manual_seed(0), "carry")
    minimise(lambda some: cross_entropy(head(read[some]), labels[some]), list(head.parameters()), steps, 3e-3, rows)
    return FrozenGrammar(clip, grammar_head=head.to(clip.device).requires_grad_(False))


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
        share of objects mentioned that are not there. Without scenes the listener is `reference_recall`, and there are said_word, the
        share of the words on which two people agree that are said, and right_word, the share of the words said that somebody said.
    """
    measured = {f"recall_{name}": 100 * retrieval_recall(grader.text_features(texts), images) for name, (grader, images) in graders.items()}
    measured |= {
        "repetition": 100 * ngram_repetition(texts),
        "cider": float(CiderD(pictures.references)(texts).mean()),
        "words": float(np.mean([len(split_words(t)) for t in texts])),
    }
    if pictures.scenes is None:
        said = [set(t.split()) - ENGLISH_STOP_WORDS for t in texts]
        told = [Counter(w for t in row for w in set(t.split()) - ENGLISH_STOP_WORDS) for row in pictures.references]
        agreed = [{w for w, n in words.items() if n > 1} for words in told]
        found = sum(len(mine & theirs) for mine, theirs in zip(said, agreed, strict=True)) / max(1, sum(map(len, agreed)))
        heard = sum(len(mine & set(theirs)) for mine, theirs in zip(said, told, strict=True)) / max(1, sum(map(len, said)))
        return measured | {
            "recall_listener": 100 * reference_recall(pictures.references, texts),
            "said_word": 100 * found,
            "right_word": 100 * heard,
        }
    measured |= {
        "recall_listener": 100 * listener_recall(pictures.scenes, texts),
        "grammar": 100 * grammatical_rate(list(texts)),
        "invented": 100 * chair(pictures.scenes, texts).per_mention,
    }
    for slot, prf in attribute_prf(pictures.scenes, texts).items():
        measured |= {f"said_{slot}": 100 * prf.recall, f"right_{slot}": 100 * prf.precision}
    return measured


def with_errors(scene, text: str) -> list[tuple[str, bool | None]]:
    """A caption, and after it what it states and the scene denies, or that it is no sentence, as `lab.sheet` shows them."""
    wrong = check(scene, text).false + ([] if grammatical(text) else ["not a sentence"])
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
