"""CLOOB against CLIP: two heads over frozen features, their arms, one training, and what is measured after it.

The training world has redundant cues: where a thing is and what colour it has follow what it is. The pictures that the
heads are judged on come from a world in which every factor is independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from clipkit.datasets import Dataset, load_dataset
from clipkit.errors import ClipkitError, unknown
from clipkit.features import extract
from clipkit.features.samples import own_pictures, some_rows
from clipkit.metrics import percent, percent_right
from clipkit.models import load_tokenizer
from clipkit.paths import shipped
from clipkit.pretrain.frozen_clip import ProjectionHeads, class_weights, feature_batches, tokenize_each
from clipkit.pretrain.geometry import effective_dimension
from clipkit.pretrain.gradient_saturation import saturation
from clipkit.pretrain.hopfield import retrieval_weights, retrieve
from clipkit.pretrain.losses import cloob_loss, decoupled_info_nce, equal_texts, info_loob, info_nce, memory_info_nce
from clipkit.train import train

SCENES = {"max_objects": 1, "textured": 0.75}  # all four textures equally often
CUES = {"background_bias": 0.9, "colour_bias": 0.6}  # of the training world
FACTORS = ("category", "colour", "texture", "size", "background")
SECONDARY = ("colour", "texture", "size")
THUMBNAIL, CONTEXT, WATCHED = 8, 16, 256  # pixels a side; tokens a caption; pairs that a training is watched on
MODES = ("var99", "participation", "entropy")  # of effective_dimension
OTHER = {"clipart": "emoji", "emoji": "clipart"}  # drawings to train on, and others on which nothing was trained or chosen
LOSSES = ("info_nce", "memory_info_nce", "info_loob", "cloob", "decoupled")


@dataclass(frozen=True)
class LossSetting:
    """One arm: its loss, inverse temperature (learnt from there on, or fixed), learning rate, weight decay, and a memory's beta.

    The released code multiplies InfoLOOB and CLOOB by the temperature. It is left out: a constant factor does matter to AdamW
    once gradients come near the 1e-6 that it adds to their size. `hide_self`: no query of CLOOB recalls itself.
    """

    loss: str
    scale: float = 14.3
    lr: float = 2e-3
    learnt: bool = False
    beta: float | None = None
    weight_decay: float = 0.1
    hide_self: bool = False

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)
        if (self.beta is not None) != (self.loss in ("memory_info_nce", "cloob")):
            raise ClipkitError(f"{self.loss} with beta={self.beta}: give a beta to the losses with a memory, and to no other")

    @property
    def objective(self) -> Callable[..., Tensor]:
        """(image features, text features, logit scale, false_negatives=...) -> loss."""
        return {
            "info_nce": info_nce,
            "memory_info_nce": partial(memory_info_nce, beta=self.beta),
            "info_loob": partial(info_loob, tau_scaled=False),
            "cloob": partial(cloob_loss, beta=self.beta, tau_scaled=False, hide_self=self.hide_self),
            "decoupled": decoupled_info_nce,
        }[self.loss]


def cross_memory_and_loss(chosen: LossSetting, weight_decay: float = 0.1) -> dict[str, LossSetting]:
    """Memory or none, InfoNCE or InfoLOOB, at the temperature, learning rate and beta of one setting of CLOOB.

    Returns: "nce", "memory_nce", "loob", "memory_loob". The decay is the released code's, for all four.
    """
    if chosen.beta is None:
        raise ClipkitError("the two by two needs the setting of an arm with a memory, to know its beta")
    common = {"scale": chosen.scale, "lr": chosen.lr, "weight_decay": weight_decay}
    return {
        "nce": LossSetting("info_nce", **common),
        "memory_nce": LossSetting("memory_info_nce", **common, beta=chosen.beta),
        "loob": LossSetting("info_loob", **common),
        "memory_loob": LossSetting("cloob", **common, beta=chosen.beta),
    }


class SceneSplit(NamedTuple):
    """N scenes: standardised features (N, F), tokens of their captions (N, L), data set, labels (N,) of each factor."""

    features: Tensor
    tokens: Tensor
    data: Dataset
    labels: dict[str, np.ndarray]


caption_tokenizer = cache(lambda: load_tokenizer(shipped("models", "nano_bpe.txt.gz"), CONTEXT))  # that of `nano`
_tokens = cache(lambda texts: tokenize_each(caption_tokenizer(), texts))  # texts: a tuple


def load_splits(tower, n_train: int, n_test: int, seed: int, split: str = "test", dataset: str = "world") -> dict[str, SceneSplit]:
    """The scenes of a seed: "train" and "biased" (new scenes of the training world), "probe" and "test" (independent factors).

    Features are the unit-norm vector of a frozen `tower` and a thumbnail of 8 x 8 pixels: nano-dino was trained to look
    through colour, and the thumbnail brings it back. Both are standardised with the training scenes' mean and spread.
    Of drawings (a data set of OTHER) all seeds train on the same; "biased" are the seed's own of their data set, "test" its own
    of the other one. There is no "probe", features are the tower's alone, and a text is all that is told of a picture.

    Args: n_test: scenes of each of biased, probe and test. split: "test", or "val" to choose settings with.
    """
    if dataset == "world":
        new = partial(load_dataset, "world", captions=("short",), **SCENES)
        parts = {
            "train": new("train", n=n_train, seed=2 * seed, **CUES),
            "probe": new("train", n=n_test, seed=2 * seed + 1),
            "biased": new(split, n=n_test, seed=2 * seed, **CUES),
            "test": new(split, n=n_test, seed=2 * seed + 1),
        }
    else:
        every = load_dataset(dataset, "train")
        parts = {"train": every.subset(some_rows(len(every), n_train, 0)), "biased": own_pictures(dataset, split, n_test, seed)}
        parts["test"] = own_pictures(OTHER[dataset], "train", n_test, seed)
    splits = {}
    for role, data in parts.items():
        if dataset == "world":
            pixels = torch.as_tensor(data.array).permute(0, 3, 1, 2).float() / 255
            rows = torch.cat([tower.image_features(data.images, 64).cpu(), F.adaptive_avg_pool2d(pixels, THUMBNAIL).flatten(1)], 1)
            labels = {factor: np.asarray(getattr(data.scenes, factor)).reshape(len(data), -1)[:, 0] for factor in FACTORS}
        else:
            found = extract(tower, data)
            data, rows = data.subset(found.index.numpy()), found.image
            labels = {"category": np.asarray(data.labels)}
        if role == "train":
            mean, spread = rows.mean(0), rows.std(0).clamp_min(1e-6)
        tokens = _tokens(tuple(", ".join(texts) for texts in data.captions)).to(tower.device)
        splits[role] = SceneSplit(((rows - mean) / spread).to(tower.device), tokens, data, labels)
    return splits


class TrainedHeads(NamedTuple):
    """Heads after a training, and a row for every measurement on the way (see `train_heads`)."""

    heads: ProjectionHeads
    log: list[dict[str, float]]


def new_heads(train_split: SceneSplit, seed: int, **options) -> ProjectionHeads:
    """Untrained heads for the features and the vocabulary of these scenes."""
    return ProjectionHeads(train_split.features.shape[1], caption_tokenizer().vocab_size, seed, **options).to(train_split.features.device)


def train_heads(splits: Mapping, setting: LossSetting, steps: int, seed: int, batch: int = 256, every: int | None = None) -> TrainedHeads:
    """Train two heads on the training scenes. Arms of one seed start from the same weights and see the same batches.

    Args:
        every: steps between measurements; None: a twentieth of the training. One has the step, what `saturation` says of one
            fixed batch of training pairs under the arm's own memory and temperature ("gradient": that of the arm's own loss,
            InfoNCE or InfoLOOB), and the effective dimensions of the test pictures.
    """
    features, tokens = splits["train"][:2]
    watched, log = (features[:WATCHED], tokens[:WATCHED]), []
    heads = new_heads(splits["train"], seed, logit_scale=setting.scale, learnt=setting.learnt)

    def loss(module: ProjectionHeads, pairs: tuple[Tensor, Tensor]) -> Tensor:
        return setting.objective(*module(*pairs), module.logit_scale, false_negatives=equal_texts(pairs[1]))

    def measure(step: int, module: ProjectionHeads, value: float) -> None:
        if step + 1 != steps and step % (every or max(1, steps // 20)):
            return
        with torch.no_grad():
            x, y = module(*watched)
            z = module.encode_image(splits["test"].features)
        sure = saturation(x, y, module.logit_scale, setting.beta, equal_texts(watched[1]))
        sure["gradient"] = sure["gradient_loob" if setting.loss in ("info_loob", "cloob") else "gradient_nce"]
        dimensions = {mode: float(effective_dimension(z, mode)) for mode in MODES}
        log.append({"step": step + 1, "scale": float(module.logit_scale.detach()), **sure, **dimensions})

    batches = feature_batches(features, tokens, batch, seed)
    train(heads, batches, loss, steps, lr=setting.lr, weight_decay=setting.weight_decay, warmup=max(1, steps // 10), after_step=measure)
    return TrainedHeads(heads, log)


@torch.no_grad()
def evaluate_heads(splits: Mapping[str, SceneSplit], heads: ProjectionHeads, probes: bool = True) -> dict[str, float]:
    """Percent right: zero-shot on independent scenes ("zero_shot") and on the training world's ("biased"), R@1 both ways, probes.

    Retrieval is among the biased scenes; a caption equal to the right one counts. Probes are logistic regressions on the
    features of the independent scenes, one a factor: "probe_colour" ..., and "secondary", the mean of colour, texture and size.
    """
    z = {role: heads.encode_image(splits[role].features) for role in splits if role != "train"}
    found, tokens = {}, splits["biased"].tokens
    for name, role in (("zero_shot", "test"), ("biased", "biased")):
        data = splits[role].data
        classifier = class_weights(heads, lambda texts: _tokens(tuple(texts)), data.classnames, data.templates)
        found[name] = percent_right(z[role] @ classifier.T, splits[role].labels["category"])
    similarity = z["biased"] @ heads.encode_text(tokens).T
    right = equal_texts(tokens) | torch.eye(len(tokens), dtype=torch.bool, device=tokens.device)
    for name, matrix in (("image_to_text", similarity), ("text_to_image", similarity.T)):
        found[name] = percent(right.gather(1, matrix.argmax(1, keepdim=True)))
    if probes:
        for factor in FACTORS:
            known, asked = ((z[role].cpu().numpy(), splits[role].labels[factor]) for role in ("probe", "test"))
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(*known)
            found[f"probe_{factor}"] = 100 * float(probe.score(*asked))
        found["secondary"] = float(np.mean([found[f"probe_{factor}"] for factor in SECONDARY]))
    return found


def sweep_memory(x: Tensor, y: Tensor, logit_scale: float, same: Tensor, betas: Sequence[float], sizes: Iterable[int]) -> pd.DataFrame:
    """How memories of several sharpness change the positives' mean probability, of vectors that stay as they are.

    Args: x, y, same: as for `saturation`; sizes: the first so many pairs make the batch and its memory.
    Returns: rows of beta, memory ("32 pairs"), change.
    """
    rows = []
    for n in sizes:
        plain, *sure = (saturation(x[:n], y[:n], logit_scale, b, same[:n, :n])["positive"] for b in (None, *betas))
        rows += [{"beta": b, "memory": f"{n} pairs", "change": p - plain} for b, p in zip(betas, sure, strict=True)]
    return pd.DataFrame(rows)


@torch.no_grad()
def dimension_change(features: Tensor, beta: float) -> dict[str, float]:
    """What a memory of features (N, D) does to their effective dimensions before any training reacts to it: mode -> percent."""
    recalled = retrieve(features, features, beta)
    return {m: 100 * float(effective_dimension(recalled, m) / effective_dimension(features, m) - 1) for m in MODES}


def show_recall(images: np.ndarray, features: Tensor, query: int, betas: Sequence[float]) -> None:
    """A picture and the five that a memory of all (N, D) features returns most, a row for each beta, with their shares."""
    from clipkit import lab

    rows, titles = [], []
    for beta in betas:
        share, order = retrieval_weights(features[query : query + 1], features, beta)[0].sort(descending=True)
        rows += [query, *order[:5].tolist()]
        titles += [f"β = {beta:g}", *(f"{100 * s:.0f} %" for s in share[:5])]
    alt = "Three rows for three values of beta, each with the asking picture and the five that come back most, with their shares: "
    alt += "; ".join(", ".join(titles[i : i + 6]) for i in range(0, len(titles), 6))
    lab.image_grid(images[rows], titles, columns=6, alt=alt, title=f"What a memory of {len(features)} pictures recalls")
