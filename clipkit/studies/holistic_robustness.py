"""Holistic robustness: a population of small models from two sources, six axes to measure them on, and photographs with two cues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from clipkit import checks
from clipkit.features.disturbed import FAMILIES
from clipkit.kept import kept
from clipkit.metrics import percent_right
from clipkit.models.pixels import normalise
from clipkit.pretrain.tiny_clip import SIDE
from clipkit.pretrain.word_bags import WORDS, WordBagClip, bags_of, objective_of
from clipkit.robust import calibration_under_shift, ood_metrics, ood_score, shape_bias, world_split
from clipkit.train import shuffled, train
from clipkit.world import BACKGROUNDS, CATEGORIES, WorldSpec, render, sample_scenes
from clipkit.world.conflict import cue_conflicts, fillings
from clipkit.world.counterfactuals import balanced
from clipkit.world.factors import FACTORS, VIEWS, changed, viewed
from clipkit.world.image_corruptions import corrupt
from clipkit.world.scene import Scenes
from clipkit.world.truth import without

BATCH, KNOWN = 64, 10
# All equally frequent; or a tail, and more often than not by chance at home in the usual colour.
SOURCES = {"even": {}, "crawl": {"zipf": 0.5, "background_bias": 0.35, "colour_bias": 0.35}}
LESSON = {"sizes": ("large",), "textured": 0.0, "rotate": False}  # one large thing, upright, of one colour
SCORES = ("max_softmax", "max_logit", "energy", "mcm")


@dataclass(frozen=True)
class Worlds:
    """What one seed's models learn and are examined on: KNOWN categories, and two sources of scenes of one thing each."""

    seed: int

    @cached_property
    def split(self):
        return world_split(self.seed, KNOWN)

    def numbers(self, scenes: Scenes) -> np.ndarray:
        """(N,) which of the known categories the first thing of each scene is."""
        place = {CATEGORIES.index(name): number for number, name in enumerate(self.split.known)}
        return np.array([place[c] for c in scenes.category[:, 0].tolist()])

    def spec(self, **options) -> WorldSpec:
        return WorldSpec(**{"max_objects": 1, "categories": tuple(self.split.known), **LESSON, **options})

    def learn(self, source: str, n: int, stream: int = 0, **options) -> Scenes:
        """n scenes of a source, to learn from. `options` change its spec, such as colour_bias=0.9."""
        checks.one_of("source", source, SOURCES)
        return sample_scenes(self.spec(**{**SOURCES[source], **options}), n, self._stream(stream))

    def exam(self, n: int, stream: int, categories: Sequence[str] | None = None) -> Scenes:
        """n flat scenes, categories equally often, nothing tied to them: what ImageNet is to the CLIPs of the paper."""
        return balanced(n, self._stream(stream), self.spec(categories=tuple(categories or self.split.known)))

    def _stream(self, number: int) -> int:
        return int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])


class Diet(NamedTuple):
    """How one model of the population is made; together with a seed it says everything."""

    tower: str = "conv"
    source: str = "even"
    objective: str = "captions"
    n: int = 1536
    steps: int = 100
    lr: float = 4e-3
    stages: tuple[int, ...] = (20, 45, 100)  # steps after which a snapshot is taken


def pixels_of(images: np.ndarray) -> Tensor:
    return normalise(images, (0.5,) * 3, (0.25,) * 3)


def asked(world: Worlds) -> Tensor:
    """(C,) word numbers of the known categories."""
    return torch.tensor([CATEGORIES.index(name) for name in world.split.known])


def lessons(world: Worlds, scenes: Scenes, seed: int):
    """Batches (pixels, names, words) of scenes for ever, in an order that depends on the seed alone."""
    pixels, numbers, words = pixels_of(render(scenes).images), torch.from_numpy(world.numbers(scenes)), bags_of(scenes, seed)
    rows = shuffled(len(pixels), BATCH, torch.Generator().manual_seed(seed), rest="drop")
    return ((pixels[r], numbers[r], words[r]) for r in rows)


def trained(diet: Diet, seed: int) -> Tensor:
    """(stages, P) weights of `WordBagClip(tower, seed)` after each of the stages of one training."""
    world, net, found = Worlds(seed), WordBagClip(diet.tower, seed), []
    batches = lessons(world, world.learn(diet.source, diet.n), seed)

    def keep(step: int, net: WordBagClip, _: float) -> None:
        if step + 1 in diet.stages:
            found.append(parameters_to_vector(net.parameters()).detach().clone())

    train(net, batches, objective_of(diet.objective, asked(world)), diet.steps, lr=diet.lr, after_step=keep)
    return torch.stack(found)


def loaded(tower: str, weights: Tensor) -> WordBagClip:
    """A network with the weights (P,)."""
    net = WordBagClip(tower, 0)
    vector_to_parameters(weights.clone(), net.parameters())  # else they would share memory, and training would move both
    return net.eval()


FINE_TUNINGS = ("cross-entropy", "contrastive", "last layer")


class Tuning(NamedTuple):
    """On new scenes, a thing in its usual colour with probability `binding`; "last layer": cross-entropy, its last linear map alone."""

    how: str = "cross-entropy"
    binding: float = 0.9
    steps: int = 40
    lr: float = 4e-3


def finetuned(diet: Diet, start: Tensor, tuning: Tuning, seed: int) -> Tensor:
    """(P,) weights of a model of that diet with weights `start` (P,), tuned further. Raises ClipkitError for another way."""
    checks.one_of("fine-tuning", tuning.how, FINE_TUNINGS)
    world, net = Worlds(seed), loaded(diet.tower, start)
    if tuning.how == "last layer":
        net.requires_grad_(False)
        [module for module in net.visual.modules() if isinstance(module, nn.Linear)][-1].requires_grad_(True)
    scenes = world.learn("even", 512, stream=7, colour_bias=tuning.binding)
    named = ((x, y, asked(world)[y][:, None]) for x, y, _ in lessons(world, scenes, seed))
    objective = "captions" if tuning.how == "contrastive" else "labels"
    train(net, named, objective_of(objective, asked(world)), tuning.steps, lr=tuning.lr)
    return parameters_to_vector(net.parameters()).detach()


@dataclass(frozen=True, eq=False)
class Exams:
    """All pictures a seed's models are examined on, in one tensor; `rows`: set -> where it lies, `labels`: set -> (n,) or None."""

    pixels: Tensor
    rows: Mapping[str, slice]
    labels: Mapping[str, Tensor | None]
    names: Tensor
    places: Tensor
    cues: tuple[Tensor, Tensor]
    captions: Tensor

    def sets(self, *kinds: str) -> list[str]:
        return [name for name in self.rows if name.partition(":")[0] in kinds]


@lru_cache(maxsize=2)
def exams(seed: int, n: int, few: int) -> Exams:
    """n pictures for each factor, `few` for each view, corruption and kind of unknown thing."""
    world, of = Worlds(seed), {}
    scenes = world.exam(n, 1)
    stranger = CATEGORIES.index(world.split.far[seed % len(world.split.far)])
    images, label = render(scenes).images, torch.from_numpy(world.numbers(scenes))
    like = {"own": world.learn("crawl", n, 3), "bound": world.learn("even", n, 8, colour_bias=Tuning().binding)}
    for name, one in {"val": world.exam(n, 2), **like}.items():
        of[name] = render(one).images, torch.from_numpy(world.numbers(one))
    of["id"] = images, label
    for factor in FACTORS:
        of[f"factor:{factor}"] = changed(scenes, factor, seed, stranger), label
    for view in VIEWS:
        of |= {f"view:{view} {k}": (viewed(images[:few], view, k), label[:few]) for k in (1, 2, 3)}
    for name in FAMILIES:
        of |= {f"corruption:{name} {k}": (corrupt(images[:few], name, k, seed), label[:few]) for k in (1, 3, 5)}
    for kind in ("near", "far"):
        of[f"unknown:{kind}"] = render(world.exam(few, 4, getattr(world.split, kind))).images, None
    of["unknown:empty"] = render(without(world.exam(few, 5))).images, None
    cues = cue_conflicts(n, seed, SIDE, world.split.known)
    of["filling"], of["conflict"] = (fillings(world.split.known, SIDE), torch.arange(KNOWN)), (cues.images, None)
    ends = np.cumsum([0, *(len(drawn) for drawn, _ in of.values())]).tolist()
    rows = {name: slice(a, b) for name, a, b in zip(of, ends, ends[1:], strict=False)}
    number = {int(word): k for k, word in enumerate(asked(world))}
    shape, texture = (torch.tensor([number[c] for c in cue.tolist()]) for cue in (cues.shape, cues.texture))
    everything = pixels_of(np.concatenate([drawn for drawn, _ in of.values()]))
    places = torch.tensor([WORDS.index(place) for place in BACKGROUNDS])
    labels = {name: label for name, (_, label) in of.items()}
    return Exams(everything, rows, labels, asked(world), places, (shape, texture), bags_of(scenes))


PROMPTS = ("name", "all places", "wrong place")


def classifier(net: WordBagClip, of: Exams, prompt: str = "name") -> Tensor:
    """(C, D) unit vectors: of the names, their mean over "cat, beach" for all places, or all at one place."""
    checks.one_of("prompt", prompt, PROMPTS)
    if prompt == "name":
        return net.texts(of.names[:, None])
    pairs = torch.cartesian_prod(of.names, of.places).view(len(of.names), len(of.places), 2)
    return F.normalize(net.texts(pairs).mean(1), dim=1) if prompt == "all places" else net.texts(pairs[:, 0])


@torch.no_grad()
def measured(net: WordBagClip, of: Exams, prompts: Sequence[str] = PROMPTS[:1]) -> list[dict[str, float | str]]:
    """The six axes of one network, percent or points, for each of the prompts."""
    x, scale = torch.cat([net.pictures(part) for part in of.pixels.split(256)]), float(net.logit_scale)
    return [{"prompt": prompt, **_axes(net, x, prompt, scale, of)} for prompt in prompts]


def _axes(net: WordBagClip, x: Tensor, prompt: str, scale: float, of: Exams) -> dict[str, float]:
    """Of features (N, D) of all pictures."""
    w = classifier(net, of, prompt)
    logits = {name: scale * x[rows] @ w.T for name, rows in of.rows.items()}
    right = {name: percent_right(logits[name], label) for name, label in of.labels.items() if label is not None}
    found = {name: right[name] for name in ("id", "own", "bound", "filling", *of.sets("factor"))}
    found |= {kind: float(np.mean([right[name] for name in of.sets(kind)])) for kind in ("factor", "view", "corruption")}
    bias = shape_bias(logits["conflict"].argmax(1), *of.cues)
    found |= {"shape_bias": bias.bias, "cue_accuracy": bias.cue_accuracy}
    strange = torch.cat([x[of.rows[name]] for name in of.sets("unknown")])  # equally many of each kind
    for score in SCORES if prompt == PROMPTS[0] else SCORES[:1]:
        known, unknown = (ood_score(score, some, w, scale) for some in (x[of.rows["id"]], strange))
        found["auroc" if score == SCORES[0] else f"auroc:{score}"] = ood_metrics(known, unknown).auroc
    found |= calibration_under_shift({name: logits[name] for name in ("val", "id", *of.sets("factor", "view", "corruption"))}, of.labels)
    t = net.texts(of.captions)[: len(of.captions) // 3]
    found["recall"] = percent_right(t @ x[of.rows["id"]][: len(t)].T, torch.arange(len(t)))
    return found


def axes(diet: Diet, seed: int, n: int, few: int, prompts: tuple[str, ...]) -> list[dict]:
    """What `measured` finds of each stage of a training, which is kept; `stage` counts from 0."""
    weights = kept("holistic", trained, diet, seed)
    found = [measured(loaded(diet.tower, stage), exams(seed, n, few), prompts) for stage in weights]
    return [{"stage": stage, **row} for stage, rows in enumerate(found) for row in rows]


def axes_tuned(diet: Diet, stage: int, tuning: Tuning, seed: int, n: int, few: int) -> dict:
    """The same of the model of one stage, tuned further."""
    start = kept("holistic", trained, diet, seed)[stage]
    return measured(loaded(diet.tower, finetuned(diet, start, tuning, seed)), exams(seed, n, few))[0]
