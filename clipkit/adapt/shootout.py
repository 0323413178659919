"""Twelve few-shot methods behind one door, so that they can be compared on the same pictures with the same rules.

Each entry of `METHODS` takes what a method may look at (`Given`: never a test picture) and returns a function from
test features to logits. A method with settings of its own (`TUNED`) chooses them on `Given.val`; where that is None it
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
class Given:
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
    def of(cls, model, ours: FewShot, theirs: FewShot, text_weights: Tensor, shots: int, protocol: str, seed: int = 0) -> Given:
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

    def fixed(self) -> Given:
        """The same without pictures for choosing settings."""
        return replace(self, val=None)

    def with_val(self) -> Given:
        """The same with the pictures for choosing settings among the training pictures: the other use of those labels."""
        if self.val is None:
            return self
        features, auxiliary = torch.cat([self.features, self.val[0]]), torch.cat([self.auxiliary, self.val[2]])
        return replace(self, features=features, labels=torch.cat([self.labels, self.val[1]]), auxiliary=auxiliary, val=None)


def zero_shot(given: Given) -> Predict:
    return lambda x, _: given.scale * x @ given.text_weights.T


def nearest_mean(given: Given) -> Predict:
    head = NearestClassMean(given.scale).fit(given.features, given.labels, given.text_weights)
    return lambda x, _: head.predict_logits(x)


def prototype_blend(given: Given) -> Predict:
    head = PrototypeBlend(given.scale).fit(given.features, given.labels, given.text_weights)
    return lambda x, _: head.predict_logits(x)


def linear_probe(given: Given) -> Predict:
    """From nothing, without the text. Fixed: scikit-learn's own strength, 1."""
    val = given.val or (given.features, given.labels)
    head = LinearProbe(STRENGTHS if given.val else (1.0,)).fit(given.features, given.labels, *val[:2])
    seen = torch.as_tensor(head.classes_)

    def predict(x: Tensor, _: Tensor) -> Tensor:
        logits = x.new_full((len(x), len(given.text_weights)), -torch.inf)
        return logits.index_copy(1, seen.to(x.device), torch.as_tensor(head.logits(x)).to(x))

    return predict


def zero_shot_probe(given: Given) -> Predict:
    """ZS-LP: starts from the text weights. Nothing to choose."""
    head = ZeroShotProbe(given.scale, seed=given.seed).fit(given.features, given.labels, given.text_weights)
    return lambda x, _: head.predict_logits(x)


def clap(given: Given) -> Predict:
    """The same, held near the text weights where zero-shot is good. Nothing to choose."""
    head = ZeroShotProbe(given.scale, penalty="clap", seed=given.seed).fit(given.features, given.labels, given.text_weights)
    return lambda x, _: head.predict_logits(x)


def tip_adapter(given: Given) -> Predict:
    """Fixed: `trust` for alpha, beta 5.5."""
    head = _cache(given)
    return lambda x, _: head.predict_logits(x)


def tip_adapter_f(given: Given) -> Predict:
    """The cache of `tip_adapter` with its keys trained for 200 steps; alpha and beta are chosen before and again after."""
    head = _cache(given)
    head.finetune(given.features, given.labels, epochs=math.ceil(STEPS / math.ceil(len(given.features) / 256)), seed=given.seed)
    if given.val:
        head.search(*given.val[:2])
    return lambda x, _: head.predict_logits(x)


def _cache(given: Given) -> TipAdapter:
    head = TipAdapter(1.0, 5.5, given.scale).fit(given.features, given.labels, given.text_weights)
    if given.val:
        return head.search(*given.val[:2])
    head.alpha = trust(given, head.predict_logits(given.features) - zero_shot(given)(given.features, given.auxiliary))
    return head


def gda(given: Given) -> Predict:
    """Fixed: `trust` for alpha."""
    head, zs = GDA().fit(given.features, given.labels, given.text_weights), zero_shot(given)
    if given.val:
        x, y, a = given.val
        alpha = select_alpha(zs(x, a), head.predict_logits(x), y)
    else:
        alpha = trust(given, head.predict_logits(given.features))
    return lambda x, a: ensemble_logits(zs(x, a), head.predict_logits(x), alpha)


def clip_adapter(given: Given) -> Predict:
    """Fixed: ratio 0.2, the one in the paper's code."""
    best, chosen = -1.0, None
    for ratio in RATIOS if given.val else RATIOS[:1]:
        head = CLIPAdapter(ratio, scale=given.scale, steps=STEPS, seed=given.seed).fit(given.features, given.labels, given.text_weights)
        right = percent_right(head.predict_logits(given.val[0]), given.val[1]) if given.val else 0.0
        if right > best:
            best, chosen = right, head
    return lambda x, _: chosen.predict_logits(x)


def amu(given: Given) -> Predict:
    """The only method that sees the auxiliary features. Fixed: `trust` for alpha. Chosen: alpha, after training."""
    head = AMU(scale=given.scale, centre=True, lr=5e-3, steps=100, seed=given.seed)  # as on the page amu_tuning
    head.fit(given.features, given.auxiliary, given.labels, given.text_weights)
    if given.val:
        x, y, a = given.val
        head.alpha = select_alpha(zero_shot(given)(x, a), head.bias(x, a), y, WEIGHTS)
    else:
        head.alpha = trust(given, head.bias(given.features, given.auxiliary))
    return head.predict_logits


def coop(given: Given) -> Predict:
    """One context for all classes, from the template's words; 50, 100 or 200 steps for 1, 2 to 4, or more shots. Nothing to choose."""
    if given.prompt is None:
        raise ClipkitError("coop needs Given.prompt, a function that makes a PromptLearner")
    steps = 50 if given.shots < 1.5 else 100 if given.shots < 4.5 else 200  # the paper's epochs, here of all pictures at once
    head = given.prompt().fit(given.features, given.labels, steps=steps, lr=0.01, optimizer="adam", seed=given.seed)
    return lambda x, _: head.predict_logits(x)


def trust(given: Given, head_logits: Tensor) -> float:
    """The weight of a head when nothing may be tried out: shots / 4 times the weight at which it varies as much as zero-shot.

    head_logits: (N, C) on the labelled pictures. At four shots a class both have an equal say, as in `PrototypeBlend`.
    """
    return given.shots / 4 * equal_spread(zero_shot(given)(given.features, given.auxiliary), head_logits)


METHODS: dict[str, Callable[[Given], Predict]] = {
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
