"""VR-LwF: lessons in styles or of pictures that a model does not know, and the points of each arm along its knob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clipkit.adapt.continual import L2SP, Budget, Lesson, Replay, continual_finetune, random_token_texts
from clipkit.adapt.retained import Suite, interpolated, retention
from clipkit.adapt.tunable import Tuned
from clipkit.datasets import Dataset, load_dataset
from clipkit.errors import ClipkitError
from clipkit.features.samples import own_pictures
from clipkit.kept import fingerprint
from clipkit.world import CLASS_TEMPLATES, WorldSpec, caption_batch, sample_scenes

NEW_STYLE = "blueprint"  # not in the pretraining of nano, which has SEEN
SEEN = ("flat", "shaded", "pastel", "sketch")
LENGTH, PER_STEP, POOL = 6, 64, 256  # tokens of a random text; texts a step; texts in all
PHOTO = "a photo of a {}."


@dataclass(eq=False)
class Material:
    """What a seed learns and is asked: the update first, then the sessions.

    `kept`: what should stay: "untouched" classes, "colours", "retrieval", where there are such. `texts`: replayed, by arm.
    """

    towers: nn.Module
    names: list[list[str]] = field(default_factory=list)
    lessons: list[Lesson] = field(default_factory=list)
    tests: list[Suite] = field(default_factory=list)
    kept: dict[str, Suite] = field(default_factory=dict)
    texts: dict[str, Tensor] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all of it, for `kept`."""
        return fingerprint([self.towers, self.names, self.lessons, self.tests, self.kept, self.texts])

    def add_lesson(self, model: Tuned, learn: Dataset, ask: Dataset, template: str) -> None:
        texts = model.prompts(learn.classnames, template)
        self.lessons.append(Lesson(model.images(learn), torch.as_tensor(learn.labels), texts))
        self.tests.append(Suite(model.images(ask), texts, torch.as_tensor(ask.labels)))
        self.names.append(list(learn.classnames))

    def held(self, arm: str, strength: float, lesson: int = 0) -> Replay | L2SP | None:
        """What holds the student of an arm in a lesson. LwF knows the class names of this session and of those before."""
        if arm == "l2_sp":
            return L2SP(strength)
        if arm.startswith(("fine_tuning", "interpolation")):
            return None
        if arm == "lwf":
            known = [x.texts for x in self.lessons[1 : lesson + 1] or self.lessons[:1]]
            longest = max(x.shape[1] for x in known)
            pad = (lambda x: F.pad(x, (0, 0, 0, longest - x.shape[1]))) if known[0].ndim == 3 else (lambda x: x)
            return Replay(strength, torch.cat([pad(x) for x in known]), per_step=PER_STEP)
        if arm == "random_directions":
            return Replay(strength, directions=self.texts[arm], per_step=PER_STEP)
        texts = self.texts["vr_lwf" if arm == "frozen_text" else arm]
        return Replay(strength, texts, student_text=arm != "frozen_text", per_step=PER_STEP)

    def measure(self, towers: nn.Module, asked: Mapping[str, Suite], colours: bool = False) -> dict[str, float]:
        """Percent right in `asked` and of what should stay; several sets of untouched classes are one mean."""
        found = retention(towers, {**asked, **{k: suite for k, suite in self.kept.items() if colours or k != "colours"}})
        untouched = [found.pop(k) for k in list(found) if k.startswith("untouched")]
        return {**found, "untouched": sum(untouched) / len(untouched)}


def replayed(material: Material, model: Tuned, captions: Sequence[str], names: Tensor, seed: int) -> None:
    """Fill `material.texts`. Without captions there are no arms of captions and of their words."""
    dice, rng, texts = torch.Generator().manual_seed(seed), np.random.default_rng(seed), material.texts
    blank, read = model.model.tokenize([""])[0], lambda said: model.texts(model.model.tokenize(said))
    texts["vr_lwf"] = model.texts(random_token_texts(blank, model.words, POOL, LENGTH, dice))
    texts["lwf_all_names"] = names
    texts["random_directions"] = F.normalize(torch.randn(POOL, material.towers.encode_text(names[:2]).shape[1], generator=dice), dim=1)
    if captions:
        words = np.array(sorted({word for caption in captions for word in caption.replace(",", "").split()}))
        texts["replay_real_captions"] = read([captions[i] for i in rng.permutation(len(captions))[:POOL]])
        texts["random_words"] = read([" ".join(row) for row in rng.choice(words, (POOL, LENGTH))])


def world_material(model: Tuned, seed: int, n_class: int, n_test: int) -> Material:
    """Twelve categories in a style that is new: an update on all of them at once, or four sessions of three.

    n_class pictures a category to learn from; n_test new ones, as many of the other 36 in SEEN styles, half as many with captions.
    """
    template, rng = CLASS_TEMPLATES["category"][0], np.random.default_rng([seed, 31])
    everything = load_dataset("world", "test", n=1, captions=()).classnames
    order = [everything[i] for i in rng.permutation(len(everything))]
    knobs = {"styles": (NEW_STYLE,), "categories": order[:12], "narrow": True, "factor": "category", "captions": ()}
    learn = load_dataset("world", "train", per_class=n_class, seed=seed, **knobs)
    ask = load_dataset("world", "test", n=n_test, seed=seed + 1000, **knobs)
    found = Material(model.towers)
    found.add_lesson(model, learn, ask, template)
    for k in range(0, 12, 3):
        found.add_lesson(model, only(learn, order[k : k + 3]), only(ask, order[k : k + 3]), template)
    old = load_dataset("world", "test", n=n_test, seed=seed, styles=SEEN, categories=order[12:], captions=())
    images, all_names = model.images(old), model.prompts(everything, template)
    found.kept["untouched"] = Suite(images, all_names, torch.as_tensor(old.labels))
    colours = load_dataset("world", "test", n=1, factor="colour", captions=()).classnames
    found.kept["colours"] = Suite(images, model.prompts(colours, CLASS_TEMPLATES["colour"][0]), torch.as_tensor(old.scenes.colour[:, 0]))
    pairs = load_dataset("world", "test", n=n_test // 2, seed=seed + 7, styles=SEEN, min_objects=2, max_objects=3, captions=("detailed",))
    found.kept["retrieval"] = pairs_suite(model, pairs)
    scenes = sample_scenes(WorldSpec(styles=SEEN, max_objects=2), POOL, 10_000 + seed)
    replayed(found, model, caption_batch(scenes, "short", seed), all_names, seed)
    return found


def folder_material(
    model: Tuned, dataset: str, seed: int, n: int, more: Sequence[str] = (), keep: Sequence[str] = (), captions: str | None = None
) -> Material:
    """An update on a labelled data set, then sessions on it and on `more` in turn; zero-shot should stay on the sets of `keep`.

    Without `keep` the update is on half of the classes, and the others are what should stay. captions: a captioned data set, for
    retrieval and for replayed captions. At most n pictures of each for a seed, and no test picture for two.

    Raises ClipkitError: a set without labels or captions; fewer than four classes and nothing else to keep.
    """
    parts = {name: [_pictures(name, split, n, seed, "labels") for split in ("train", "test")] for name in (dataset, *more)}
    rest = [_pictures(name, "test", n, seed, "labels") for name in keep]
    if not keep:
        names, whole = parts[dataset][1].classnames, parts[dataset][1]
        if len(names) < 4:
            raise ClipkitError(f"{dataset} has {len(names)} classes: to learn some and keep some it takes four, or -p keep folder:OTHER")
        parts[dataset] = [only(part, names[: len(names) // 2]) for part in parts[dataset]]
        rest = [only(whole, names[len(names) // 2 :], narrow=False)]
    pairs = [_pictures(captions, split, most, seed, "captions") for split, most in (("train", POOL), ("test", n))] if captions else []
    found = Material(model.towers)
    for name in (dataset, dataset, *more):
        found.add_lesson(model, *parts[name], PHOTO)
    for number, data in enumerate(rest):
        suite = Suite(model.images(data), model.prompts(data.classnames, PHOTO), torch.as_tensor(data.labels))
        found.kept[f"untouched {number}"] = suite
    if pairs:
        found.kept["retrieval"] = pairs_suite(model, pairs[1])
    every = list(dict.fromkeys(name for data in (*rest, *(both[0] for both in parts.values())) for name in data.classnames))
    replayed(found, model, [row[0] for row in pairs[0].captions] if pairs else [], model.prompts(every, PHOTO), seed)
    return found


def _pictures(name: str, split: str, n: int, seed: int, what: str) -> Dataset:
    data = own_pictures(name, split, n, seed)
    if getattr(data, what) is None:
        raise ClipkitError(f"{name} has no {what}, which this page needs of it; give a data set with {what}")
    return data


def only(data: Dataset, names: Sequence[str], narrow: bool = True) -> Dataset:
    """The pictures of some classes; with `narrow` no other class is named."""
    place = {data.classnames.index(name): i for i, name in enumerate(names)}
    part = data.subset(np.flatnonzero(np.isin(data.labels, list(place))))
    if narrow:
        part.labels, part.classnames = np.array([place[label] for label in part.labels.tolist()]), list(names)
    return part


def pairs_suite(model: Tuned, data: Dataset) -> Suite:
    """Each picture's first caption finds its picture again."""
    return Suite(model.images(data), model.texts(model.model.tokenize([row[0] for row in data.captions])))


def curve(material: Material, arm: str, knobs: Sequence[float], budget: Budget, strength: float = 0.0) -> list[dict[str, float]]:
    """The points of an arm along its knob, percent right: "new", "untouched", "retrieval"; of "fine_tuning" also "colours".

    Knobs are strengths λ; of "fine_tuning" shares of the learning rate; of "interpolation" shares of the tuned weights, and of
    "vr_lwf_interpolated" of weights that random texts held with `strength`.
    """
    found = []

    def learn(held, share=1.0):
        return continual_finetune(material.towers, material.lessons[:1], held, replace(budget, lr=share * budget.lr))[0]

    def measure(student):
        found.append(material.measure(student, {"new": material.tests[0]}, colours=arm == "fine_tuning"))

    if arm == "fine_tuning":
        for share in knobs:
            measure(learn(None, share))
    elif arm in ("interpolation", "vr_lwf_interpolated"):
        end = learn(None if arm == "interpolation" else material.held("vr_lwf", strength))
        for share in knobs:
            measure(interpolated(material.towers, end, share))
    else:
        for knob in knobs:
            measure(learn(material.held(arm, knob)))
    return found


def in_sessions(material: Material, arm: str, knob: float, budget: Budget) -> dict[str, list]:
    """One session after the other: "accuracy" of each session's test, rows of lists, and of "untouched" classes, a list.

    Row 0 of either is before any. With "interpolation" the weights after a session are mixed with those before, share `knob`.
    """
    before, asked = material.towers, {str(k): suite for k, suite in enumerate(material.tests[1:])}
    rows = [material.measure(before, asked)]
    for number, lesson in enumerate(material.lessons[1:], 1):
        after = continual_finetune(before, [lesson], material.held(arm, knob, number), budget)[0]
        before = interpolated(before, after, knob) if arm == "interpolation" else after
        rows.append(material.measure(before, asked))
    return {"accuracy": [[row[k] for k in asked] for row in rows], "untouched": [row["untouched"] for row in rows]}
