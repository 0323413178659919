"""CLOOB against CLIP on two heads over frozen features: the arms and their settings, one training, what is measured after it.

The training world has redundant cues: where a thing is and what colour it has follow what it is. The pictures that the
heads are judged on come from a world in which every factor is independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.errors import ClipkitError, unknown
from clipkit.pretrain.frozen_clip import TwoHeads, class_weights, feature_batches
from clipkit.pretrain.geometry import effective_dimension
from clipkit.pretrain.hopfield import retrieve
from clipkit.pretrain.losses import cloob_loss, decoupled_info_nce, equal_texts, info_loob, info_nce, memory_info_nce
from clipkit.studies.cloob_gradient_saturation import saturation
from clipkit.train import train

SCENES = {"max_objects": 1, "textured": 0.75}  # all four textures equally often
CUES = {"background_bias": 0.9, "colour_bias": 0.6}  # of the training world
FACTORS = ("category", "colour", "texture", "size", "background")
SECONDARY = ("colour", "texture", "size")
THUMBNAIL, CONTEXT, WATCHED = 8, 16, 256  # pixels a side; tokens a caption; pairs looked at on the way
MODES = ("var99", "participation", "entropy")  # of effective_dimension
LOSSES = ("info_nce", "memory_info_nce", "info_loob", "cloob", "decoupled")


@dataclass(frozen=True)
class Setting:
    """One arm: its loss, inverse temperature (learnt from there on, or fixed), learning rate, weight decay, and a memory's beta.

    `tau_scaled`: whether InfoLOOB and CLOOB are multiplied by the temperature, as the released code does. A constant factor
    should not matter to AdamW, but it does once gradients come near the 1e-6 that it adds to their size; it is off here.
    `hide_self`: no query of CLOOB recalls itself.
    """

    loss: str
    scale: float = 14.3
    lr: float = 2e-3
    learnt: bool = False
    beta: float | None = None
    weight_decay: float = 0.1
    tau_scaled: bool = False
    hide_self: bool = False

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)
        if (self.beta is not None) != (self.loss in ("memory_info_nce", "cloob")):
            raise ClipkitError(f"{self.loss} with beta={self.beta}: give a beta to the losses with a memory, and to no other")

    def objective(self) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """(image features, text features, logit scale, false negatives) -> loss."""
        if self.loss == "info_nce":
            return info_nce
        if self.loss == "memory_info_nce":
            return lambda x, y, s, same: memory_info_nce(x, y, s, self.beta, same)
        if self.loss == "info_loob":
            return lambda x, y, s, same: info_loob(x, y, s, self.tau_scaled, same)
        if self.loss == "cloob":
            return lambda x, y, s, same: cloob_loss(x, y, s, self.beta, self.tau_scaled, same, self.hide_self)
        return lambda x, y, s, same: decoupled_info_nce(x, y, s, false_negatives=same)


def two_by_two(chosen: Setting, weight_decay: float = 0.1) -> dict[str, Setting]:
    """Memory or none, InfoNCE or InfoLOOB, at the temperature, learning rate and beta of one setting of CLOOB.

    Returns: "nce", "memory_nce", "loob", "memory_loob". The decay is the released code's, for all four.
    """
    if chosen.beta is None:
        raise ClipkitError("the two by two needs the setting of an arm with a memory, to know its beta")
    common = {"scale": chosen.scale, "lr": chosen.lr, "weight_decay": weight_decay}
    memory = common | {"beta": chosen.beta}
    return {
        "nce": Setting("info_nce", **common),
        "memory_nce": Setting("memory_info_nce", **memory),
        "loob": Setting("info_loob", **common),
        "memory_loob": Setting("cloob", **memory),
    }


class Part(NamedTuple):
    """N scenes: standardised features (N, F), tokens (N, L), pictures (N, S, S, 3) uint8, captions, and labels (N,) a factor."""

    features: Tensor
    tokens: Tensor
    images: np.ndarray
    captions: list[str]
    labels: dict[str, np.ndarray]


@dataclass(eq=False)
class Course:
    """What one seed trains and judges with.

    Attributes: train, usual (new scenes of the training world), probe and test (independent factors); names and templates
    of the categories; vocabulary, a number of tokens; tokenize; device.
    """

    train: Part
    usual: Part
    probe: Part
    test: Part
    names: list[str]
    templates: list[str]
    vocabulary: int
    tokenize: Callable
    device: torch.device
    datasets: list = field(repr=False, default_factory=list)


def prepare(model, n_train: int, n_test: int, seed: int, split: str = "test") -> Course:
    """Draw the scenes of a seed and extract their features with a frozen `model` (a DualEncoder with an image tower).

    Features are the model's unit-norm vector and a thumbnail of 8 x 8 pixels: nano-dino was trained to look through
    colour, and the thumbnail brings it back. Both are standardised with the training scenes' mean and spread.

    Args: n_test: scenes of each of usual, probe and test. split: "test", or "val" to choose settings with.
    """
    from clipkit.datasets import load_dataset
    from clipkit.models import load_tokenizer
    from clipkit.paths import shipped

    tokenizer = load_tokenizer(shipped("models", "nano_bpe.txt.gz"), CONTEXT)
    biased, free = SCENES | CUES, SCENES
    wanted = {
        "train": ("train", biased, n_train, 2 * seed),
        "probe": ("train", free, n_test, 2 * seed + 1),
        "usual": (split, biased, n_test, 2 * seed),
        "test": (split, free, n_test, 2 * seed + 1),
    }
    found = {
        name: load_dataset("world", part, n=n, seed=number, captions=("short",), **knobs)
        for name, (part, knobs, n, number) in wanted.items()
    }
    parts, mean, spread = {}, None, None
    for name, data in found.items():
        thumbnails = F.adaptive_avg_pool2d(torch.as_tensor(data.array).permute(0, 3, 1, 2).float() / 255, THUMBNAIL)
        rows = torch.cat([model.image_features(data.images).cpu(), thumbnails.flatten(1)], 1)
        if mean is None:
            mean, spread = rows.mean(0), rows.std(0).clamp_min(1e-6)
        captions = [row[0] for row in data.captions]
        labels = {factor: np.asarray(getattr(data.scenes, factor)).reshape(len(data), -1)[:, 0] for factor in FACTORS}
        standard = ((rows - mean) / spread).to(model.device)
        parts[name] = Part(standard, tokenizer(captions).to(model.device), data.array, captions, labels)
    test = found["test"]
    return Course(
        **parts, names=list(test.classnames), templates=list(test.templates), vocabulary=tokenizer.vocab_size,
        tokenize=tokenizer, device=model.device, datasets=list(found.values()),
    )  # fmt: skip


class Trained(NamedTuple):
    """Heads after a training, and a row for every look on the way (see `fit`)."""

    heads: TwoHeads
    rows: list[dict[str, float]]


def fit(course: Course, setting: Setting, steps: int, seed: int, batch: int = 256, every: int | None = None) -> Trained:
    """Train two heads on the course's training scenes. Arms of one seed start from the same weights and see the same batches.

    Args:
        every: steps between looks; None: the end only. A look has the step, what `saturation` says of one fixed batch of
            training pairs under the arm's own memory and temperature, and the effective dimensions of the test pictures.
    """
    heads = TwoHeads(course.train.features.shape[1], course.vocabulary, seed, logit_scale=setting.scale, learnt=setting.learnt)
    heads = heads.to(course.device)
    objective, rows = setting.objective(), []
    watched = (course.train.features[:WATCHED], course.train.tokens[:WATCHED])
    same = equal_texts(watched[1])

    def loss(module: TwoHeads, pairs: tuple[Tensor, Tensor]) -> Tensor:
        return objective(*module(*pairs), module.logit_scale, equal_texts(pairs[1]))

    def look(step: int, module: TwoHeads, value: float) -> None:
        if step + 1 != steps and (every is None or step % every):
            return
        with torch.no_grad():
            x, y = module(*watched)
            z = module.encode_image(course.test.features)
        seen = saturation(x, y, module.logit_scale, setting.beta, same)
        dimensions = {mode: float(effective_dimension(z, mode)) for mode in MODES}
        rows.append({"step": step + 1, "scale": float(module.logit_scale.detach()), **seen, **dimensions})

    pool = feature_batches(course.train.features, course.train.tokens, batch, seed)
    train(heads, pool, loss, steps, lr=setting.lr, weight_decay=setting.weight_decay, warmup=max(1, steps // 10), after_step=look)
    return Trained(heads, rows)


@torch.no_grad()
def judge(course: Course, heads: TwoHeads, probes: bool = True) -> dict[str, float]:
    """Percent right: zero-shot on independent scenes ("zero_shot") and on the training world's ("usual"), R@1 both ways, probes.

    Retrieval is among the usual scenes; a caption equal to the right one counts. Probes are logistic regressions on the
    standardised features of the independent scenes, one a factor: "probe_colour" ..., and "secondary", the mean of colour,
    texture and size.
    """
    weights = class_weights(heads, course.tokenize, course.names, course.templates)
    z = {name: heads.encode_image(getattr(course, name).features) for name in ("usual", "probe", "test")}
    out = {}
    for key, name in (("zero_shot", "test"), ("usual", "usual")):
        guess = (z[name] @ weights.T).argmax(1).cpu().numpy()
        out[key] = 100 * float((guess == getattr(course, name).labels["category"]).mean())
    similarity = z["usual"] @ heads.encode_text(course.usual.tokens).T
    right = equal_texts(course.usual.tokens) | torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    for key, matrix in (("image_to_text", similarity), ("text_to_image", similarity.T)):
        out[key] = 100 * float(right.gather(1, matrix.argmax(1, keepdim=True)).float().mean())
    if probes:
        for factor in FACTORS:
            out[f"probe_{factor}"] = _probe(z["probe"], course.probe.labels[factor], z["test"], course.test.labels[factor])
        out["secondary"] = float(np.mean([out[f"probe_{factor}"] for factor in SECONDARY]))
    return out


def _probe(x: Tensor, labels: np.ndarray, x_test: Tensor, labels_test: np.ndarray) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    head = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300)).fit(x.cpu().numpy(), labels)
    return 100 * float(head.score(x_test.cpu().numpy(), labels_test))


def memory_curve(
    image_features: Tensor, text_features: Tensor, logit_scale: float, false_negatives: Tensor, betas: Iterable[float], sizes: Iterable[int]
) -> list[dict]:
    """What memories of several sharpness and sizes do to vectors that stay as they are: the change of the positives' mean probability.

    Args: (B, D) pairs; sizes: the first so many of them make the batch and its memory. Returns rows: beta, memory ("32 pairs"), change.
    """
    rows, betas = [], list(betas)
    for n in sizes:
        part = (image_features[:n], text_features[:n], logit_scale)
        same = false_negatives[:n, :n]
        plain = saturation(*part, None, same)["positive"]
        rows += [{"beta": b, "memory": f"{n} pairs", "change": saturation(*part, b, same)["positive"] - plain} for b in betas]
    return rows


@torch.no_grad()
def instant(course: Course, heads: TwoHeads, beta: float, n: int) -> dict[str, float]:
    """What a memory of n test pictures does at once to their effective dimensions, before any training reacts to it.

    Returns: "instant_var99", "instant_participation", "instant_entropy": change in percent from the vectors to what is recalled.
    """
    z = heads.encode_image(course.test.features[:n])
    recalled = retrieve(z, z, beta)
    return {f"instant_{m}": 100 * float(effective_dimension(recalled, m) / effective_dimension(z, m) - 1) for m in MODES}


def tune(courses: Iterable[tuple[int, Course]], candidates: Mapping[str, list[Setting]], steps: int, batch: int = 256) -> list[dict]:
    """Zero-shot accuracy on independent validation scenes of every candidate, mean over (seed, course) pairs, best first in each arm.

    Give it courses made with split="val" and seeds that no run uses. Returns rows: arm, setting, accuracy.
    """
    courses = list(courses)
    rows = []
    for arm, settings in candidates.items():
        scores = {s: np.mean([judge(c, fit(c, s, steps, k, batch).heads, probes=False)["zero_shot"] for k, c in courses]) for s in settings}
        rows += [{"arm": arm, "setting": s, "accuracy": float(v)} for s, v in sorted(scores.items(), key=lambda kv: -kv[1])]
    return rows


def around(setting: Setting, scales: Iterable[float], betas: Iterable[float | None] = (None,)) -> list[Setting]:
    """The settings that differ from one in temperature and, with a memory, in beta."""
    return [replace(setting, scale=scale, beta=beta) for scale in scales for beta in betas]
