"""Twelve few-shot methods behind one door, so that they can be compared on the same pictures with the same rules.

Each entry of `METHODS` takes what a method may look at (`FewShotInput`: never a test picture) and returns a function from
test features to logits. A method with settings of its own (`TUNED`) chooses them on `FewShotInput.val`; where that is None it
takes the fixed ones written here, the same for every task.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from clipkit.adapt.amu import AMU
from clipkit.adapt.cache import TipAdapter
from clipkit.adapt.clip_adapter import CLIPAdapter
from clipkit.adapt.gda import GDA
from clipkit.adapt.linear_probe import LinearProbe
from clipkit.adapt.prompting import PromptLearner
from clipkit.adapt.prototypes import NearestClassMean, PrototypeBlend
from clipkit.adapt.selection import ensemble_logits, equal_spread, select_alpha, selection_rows
from clipkit.adapt.zeroshot_probe import ZeroShotProbe
from clipkit.errors import ClipkitError
from clipkit.metrics import percent_right

if TYPE_CHECKING:
    from clipkit.features.few_shot import FewShot

RATIOS = (0.2, 0.4, 0.6, 0.8)  # CLIP-Adapter's paper chooses among such; its code has 0.2
STRENGTHS = (0.1, 1.0, 10.0, 100.0)
WEIGHTS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)  # of AMU's bias
STEPS = 200  # of training, where a paper's epochs would be too few for so few pictures
Predict = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class FewShotInput:
    """What a few-shot method may look at.

    Attributes:
        features: (N, D) of the labelled pictures, unit norm. labels: (N,) int64. auxiliary: (N, E), the same pictures
            seen by another network.
        text_weights: (C, D), unit norm.
        scale: the model's logit scale.
        val: (features, labels, auxiliary) of further labelled pictures for choosing settings, or None: fixed settings.
        prompt: makes an untrained `PromptLearner`.
        seed: of everything a method draws at random.
    """

    features: Tensor
    labels: Tensor
    auxiliary: Tensor
    text_weights: Tensor
    scale: float
    val: tuple[Tensor, Tensor, Tensor] | None = None
    prompt: Callable[[], PromptLearner] | None = None
    seed: int = 0

    def __post_init__(self):
        if len(self.features) != len(self.auxiliary) or (self.val is not None and len(self.val[0]) != len(self.val[2])):
            raise ClipkitError("features and auxiliary features must be of the same pictures, in the same order")

    @classmethod
    def of(cls, model, ours: FewShot, theirs: FewShot, text_weights: Tensor, shots: int, protocol: str, seed: int = 0) -> FewShotInput:
        """`shots` pictures a class of a draw, and those that the protocol allows (see `selection_rows`).

        ours, theirs: the same draw in the eyes of `model` and of the other network.
        """
        val = selection_rows(ours, shots, protocol)
        val = val and (*val, selection_rows(theirs, shots, protocol)[0])
        template = next((t for t in ours.templates if t.partition("{}")[0].strip()), None)  # the first with words to start from
        few = (*ours.shots(shots), theirs.shots(shots)[0])
        prompt = partial(PromptLearner, model, ours.classnames, n_ctx=4, template=template)
        return cls(*few, text_weights, model.logit_scale.item(), val, prompt, seed)

    @property
    def shots(self) -> float:
        """Labelled pictures a class, on average over the classes that have any."""
        return len(self.labels) / len(self.labels.unique())

    def fixed(self) -> FewShotInput:
        """The same without pictures for choosing settings."""
        return replace(self, val=None)

    def with_val(self) -> FewShotInput:
        """The same with the pictures for choosing settings among the training pictures: the other use of those labels."""
        if self.val is None:
            return self
        features, auxiliary = torch.cat([self.features, self.val[0]]), torch.cat([self.auxiliary, self.val[2]])
        return replace(self, features=features, labels=torch.cat([self.labels, self.val[1]]), auxiliary=auxiliary, val=None)


def zero_shot(data: FewShotInput) -> Predict:
    return lambda x, _: data.scale * x @ data.text_weights.T


def nearest_mean(data: FewShotInput) -> Predict:
    head = NearestClassMean(data.scale).fit(data.features, data.labels, data.text_weights)
    return lambda x, _: head.predict_logits(x)


def prototype_blend(data: FewShotInput) -> Predict:
    head = PrototypeBlend(data.scale).fit(data.features, data.labels, data.text_weights)
    return lambda x, _: head.predict_logits(x)


def linear_probe(data: FewShotInput) -> Predict:
    """From nothing, without the text. Fixed: scikit-learn's own strength, 1."""
    val = data.val or (data.features, data.labels)
    head = LinearProbe(STRENGTHS if data.val else (1.0,)).fit(data.features, data.labels, *val[:2])
    seen = torch.as_tensor(head.classes_)

    def predict(x: Tensor, _: Tensor) -> Tensor:
        logits = x.new_full((len(x), len(data.text_weights)), -torch.inf)
        return logits.index_copy(1, seen.to(x.device), torch.as_tensor(head.logits(x)).to(x))

    return predict


def zero_shot_probe(data: FewShotInput) -> Predict:
    """ZS-LP: starts from the text weights. Nothing to choose."""
    head = ZeroShotProbe(data.scale, seed=data.seed).fit(data.features, data.labels, data.text_weights)
    return lambda x, _: head.predict_logits(x)


def clap(data: FewShotInput) -> Predict:
    """The same, held near the text weights where zero-shot is good. Nothing to choose."""
    head = ZeroShotProbe(data.scale, penalty="clap", seed=data.seed).fit(data.features, data.labels, data.text_weights)
    return lambda x, _: head.predict_logits(x)


def tip_adapter(data: FewShotInput) -> Predict:
    """Fixed: `fixed_weight` for alpha, beta 5.5."""
    head = _cache(data)
    return lambda x, _: head.predict_logits(x)


def tip_adapter_f(data: FewShotInput) -> Predict:
    """The cache of `tip_adapter` with its keys trained for 200 steps; alpha and beta are chosen before and again after."""
    head = _cache(data)
    head.finetune(data.features, data.labels, epochs=math.ceil(STEPS / math.ceil(len(data.features) / 256)), seed=data.seed)
    if data.val:
        head.search(*data.val[:2])
    return lambda x, _: head.predict_logits(x)


def _cache(data: FewShotInput) -> TipAdapter:
    head = TipAdapter(1.0, 5.5, data.scale).fit(data.features, data.labels, data.text_weights)
    if data.val:
        return head.search(*data.val[:2])
    head.alpha = fixed_weight(data, head.predict_logits(data.features) - zero_shot(data)(data.features, data.auxiliary))
    return head


def gda(data: FewShotInput) -> Predict:
    """Fixed: `fixed_weight` for alpha."""
    head, zs = GDA().fit(data.features, data.labels, data.text_weights), zero_shot(data)
    if data.val:
        x, y, a = data.val
        alpha = select_alpha(zs(x, a), head.predict_logits(x), y)
    else:
        alpha = fixed_weight(data, head.predict_logits(data.features))
    return lambda x, a: ensemble_logits(zs(x, a), head.predict_logits(x), alpha)


def clip_adapter(data: FewShotInput) -> Predict:
    """Fixed: ratio 0.2, the one in the paper's code."""
    best, chosen = -1.0, None
    for ratio in RATIOS if data.val else RATIOS[:1]:
        head = CLIPAdapter(ratio, scale=data.scale, steps=STEPS, seed=data.seed).fit(data.features, data.labels, data.text_weights)
        right = percent_right(head.predict_logits(data.val[0]), data.val[1]) if data.val else 0.0
        if right > best:
            best, chosen = right, head
    return lambda x, _: chosen.predict_logits(x)


def amu(data: FewShotInput) -> Predict:
    """The only method that sees the auxiliary features. Fixed: `fixed_weight` for alpha. Chosen: alpha, after training."""
    head = AMU(scale=data.scale, centre=True, lr=5e-3, steps=100, seed=data.seed)  # as on the page amu_tuning
    head.fit(data.features, data.auxiliary, data.labels, data.text_weights)
    if data.val:
        x, y, a = data.val
        head.alpha = select_alpha(zero_shot(data)(x, a), head.bias(x, a), y, WEIGHTS)
    else:
        head.alpha = fixed_weight(data, head.bias(data.features, data.auxiliary))
    return head.predict_logits


def coop(data: FewShotInput) -> Predict:
    """One context for all classes, from the template's words; 50, 100 or 200 steps for 1, 2 to 4, or more shots. Nothing to choose."""
    if data.prompt is None:
        raise ClipkitError("coop needs FewShotInput.prompt, a function that makes a PromptLearner")
    steps = 50 if data.shots < 1.5 else 100 if data.shots < 4.5 else 200  # the paper's epochs, here of all pictures at once
    head = data.prompt().fit(data.features, data.labels, steps=steps, lr=0.01, optimizer="adam", seed=data.seed)
    return lambda x, _: head.predict_logits(x)


def fixed_weight(data: FewShotInput, head_logits: Tensor) -> float:
    """The weight of a head when nothing may be tried out: shots / 4 times the weight at which it varies as much as zero-shot.

    head_logits: (N, C) on the labelled pictures. At four shots a class both have an equal say, as in `PrototypeBlend`.
    """
    return data.shots / 4 * equal_spread(zero_shot(data)(data.features, data.auxiliary), head_logits)


METHODS: dict[str, Callable[[FewShotInput], Predict]] = {
    function.__name__: function
    for function in (
        zero_shot,
        nearest_mean,
        prototype_blend,
        tip_adapter,
        gda,
        linear_probe,
        zero_shot_probe,
        clap,
        tip_adapter_f,
        clip_adapter,
        amu,
        coop,
    )
}
CLOSED_FORM = ("nearest_mean", "prototype_blend", "tip_adapter", "gda")
TRAINED = ("linear_probe", "zero_shot_probe", "clap", "tip_adapter_f", "clip_adapter", "amu", "coop")
TUNED = ("tip_adapter", "gda", "linear_probe", "tip_adapter_f", "clip_adapter", "amu")
