"""Teaching CLIP to count: scenes of equal things whose size, area and extent are chosen, photographs, crops; counters without words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from clipkit.adapt.retained import Suite
from clipkit.adapt.tunable import LayerHeads, Tuned
from clipkit.datasets import ArrayImages, Dataset, load_dataset
from clipkit.datasets.dots import dotted_photographs
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.features.samples import own_pictures
from clipkit.kept import fingerprint
from clipkit.pretrain.counting import COUNTS, CountingPairs, OtherPairs, counterfactual_captions, stated_count
from clipkit.world import CATEGORIES, CLASS_TEMPLATES, WorldSpec, caption_batch, render, sample_scenes
from clipkit.world.numerosity import CONTROLS, count_scenes
from clipkit.world.words import NUMBERS, noun_phrase

NEW, K = 8, len(COUNTS)  # categories that no counting scene of the training shows
FEWEST = 10  # test pictures of a number that is asked
LOGISTIC, PHOTO = 0.03, "a photo of a {}."  # C of logistic regression, chosen on tuning seeds


@dataclass(eq=False)
class Material:
    """What a seed learns from and is asked. `tail`: as many counting pairs as `pairs`, few of them of high numbers.

    tests: counting pairs by name, "usual" first; areas (n,): what the things of a world's test cover. numbers: how many of the nine,
    from two on, have test pictures. kept: what should stay.
    """

    towers: nn.Module
    pairs: CountingPairs
    others: OtherPairs
    tests: dict[str, CountingPairs]
    kept: dict[str, Suite]
    tail: CountingPairs | None = None
    areas: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: int = K

    def __post_init__(self):
        if isinstance(self.towers, LayerHeads):
            self.towers.standardise(torch.cat([self.pairs.images, self.others.images]), torch.cat([self.pairs.texts, self.others.texts]))
        self.fingerprint = fingerprint([self.towers, self.pairs, self.others, self.tests, self.kept, self.tail])


def counting_pairs(part: Tuned, images: Tensor, captions: Sequence[Sequence[str]], shown: np.ndarray) -> CountingPairs:
    """Pictures with K captions each that state two, three, ...; the true one is at `shown` (N,)."""
    rows = {text: i for i, text in enumerate(dict.fromkeys(text for row in captions for text in row))}
    texts, true = part.texts(part.model.tokenize([*rows])), torch.as_tensor(shown, dtype=torch.int64)
    return CountingPairs(images, texts, torch.tensor([[rows[text] for text in row] for row in captions]), true, true)


def world_material(part: Tuned, seed: int, per_count: int, n_test: int) -> Material:
    """per_count scenes of each number to learn from, as many ordinary ones as all of these, n_test scenes of each number a test.

    NEW categories are in no counting scene to learn from, nor is one number of each of the others.
    """
    rng = np.random.default_rng([seed, 41])
    order, every = rng.permutation(len(CATEGORIES)), np.arange(K)
    known, lack = order[NEW:], np.arange(len(order) - NEW) % K  # the number that is never shown of a known category
    said = [[f"a photo of {noun_phrase(n, name)}" for n in COUNTS] for name in CATEGORIES]
    texts = part.texts(part.model.tokenize([text for row in said for text in row]))

    def draw(shown: np.ndarray, stream: int, control: str = "usual", of: str = "known") -> tuple[CountingPairs, np.ndarray]:
        pools = {"known": [known[lack != k] for k in every], "held": [known[lack == k] for k in every], "new": [order[:NEW]] * K}[of]
        category = np.array([rng.choice(pools[k]) for k in shown])
        scenes, areas = count_scenes(category, shown + 2, 1000 * seed + stream, control)
        captions, true = torch.as_tensor(category)[:, None] * K + torch.arange(K), torch.as_tensor(shown)
        return CountingPairs(drawn(part, scenes), texts, captions, true, true), areas

    even = np.repeat(every, n_test)
    tests = {control: draw(even, 10 + i, control) for i, control in enumerate(CONTROLS)}
    tests |= {"new categories": draw(even, 20, of="new"), "new pairs": draw(even, 21, of="held")}
    pairs, areas = draw(np.repeat(every, per_count), 1)
    share = 0.524**every  # as from 1,400 twos down to 8 tens
    tail = draw(np.repeat(every, np.maximum(1, (share / share.sum() * K * per_count).round().astype(int))), 2)[0]
    scenes = sample_scenes(WorldSpec(), K * per_count, 1000 * seed + 3)
    others = OtherPairs(drawn(part, scenes), part.texts(part.model.tokenize(caption_batch(scenes, "short", seed))))
    single = load_dataset("world", "test", n=K * n_test, seed=seed, captions=())
    colours, pictures = load_dataset("world", "test", n=1, factor="colour", captions=()).classnames, part.images(single)
    few = load_dataset("world", "test", n=200, seed=seed + 7, min_objects=2, max_objects=3, captions=("detailed",))
    kept = {
        "category": Suite(pictures, part.prompts(single.classnames, CLASS_TEMPLATES["category"][0]), torch.as_tensor(single.labels)),
        "colour": Suite(pictures, part.prompts(colours, CLASS_TEMPLATES["colour"][0]), torch.as_tensor(single.scenes.colour[:, 0]).long()),
        "retrieval": Suite(part.images(few), part.texts(part.model.tokenize([row[0] for row in few.captions]))),
    }
    of = {"learnt": areas, **{name: area for name, (_, area) in tests.items()}}
    return Material(part.towers, pairs, others, {name: test for name, (test, _) in tests.items()}, kept, tail, of)


def drawn(part: Tuned, scenes) -> Tensor:
    """What the image tower takes of scenes."""
    return part.images(Dataset("world", "all", ArrayImages(render(scenes, part.model.image_size).images)))


def caption_material(part: Tuned, name: str, seed: int, per_count: int, n_test: int, keep: Sequence[str] = ()) -> Material:
    """Captioned photographs: captions that state a number, at most per_count pictures of each to learn from, and other pairs.

    A caption of the seed's own test pictures is asked among the numbers from two on that FEWEST of all test pictures state. The
    training pictures are the same for every seed. keep: labelled data sets that should not suffer.

    Raises ClipkitError: no captions, or none that state two numbers often enough.
    """
    train, every = load_dataset(name, "train"), load_dataset(name, "test")
    if train.captions is None:
        raise ClipkitError(f"{name} has no captions, which this page needs of it, and no table of objects either")
    said = [[(text, n) for text in row if (n := stated_count(text))] for row in train.captions]
    first = np.array([row[0][1] if row else 0 for row in said])
    rng = np.random.default_rng([0, 43])
    rows = np.concatenate([rng.permutation(np.flatnonzero(first == n))[:per_count] for n in COUNTS])
    plain = rng.permutation(np.flatnonzero(first == 0))[: len(rows)]
    asked = [{n for text in row if (n := stated_count(text))} for row in every.captions]
    numbers = next((k for k, n in enumerate(COUNTS) if sum(n in row for row in asked) < FEWEST), K)
    if numbers < 2 or not len(plain):
        raise ClipkitError(f"{name}: too few captions state two, and three, or none states no number")
    own = own_pictures(name, "test", n_test, seed)
    trials = [(i, text, n - 2) for i, row in enumerate(own.captions) for text in row if (n := stated_count(text)) and n - 2 < numbers]
    of, texts, shown = zip(*trials, strict=True)
    images = part.images(own)
    tests = {"usual": counting_pairs(part, images[list(of)], counterfactual_captions(texts, [n + 2 for n in shown]), np.array(shown))}
    pairs = counterfactual_captions([said[i][0][0] for i in rows], first[rows])
    pairs = counting_pairs(part, part.images(train.subset(rows)), pairs, first[rows] - 2)
    others = other_pairs(part, train.subset(plain))
    found = Suite(images, part.texts(part.model.tokenize([row[0] for row in own.captions])))
    return Material(part.towers, pairs, others, tests, {"retrieval": found, **named_suites(part, keep, n_test, seed)}, numbers=numbers)


def other_pairs(part: Tuned, data: Dataset) -> OtherPairs:
    """Pictures with their first captions."""
    return OtherPairs(part.images(data), part.texts(part.model.tokenize([row[0] for row in data.captions])))


def named_suites(part: Tuned, names: Sequence[str], n: int, seed: int) -> dict[str, Suite]:
    """Zero-shot accuracy on labelled data sets, of the seed's own test pictures."""
    found = {}
    for number, name in enumerate(names):
        data = own_pictures(name, "test", n, seed)
        found[f"category {number}"] = Suite(part.images(data), part.prompts(data.classnames, PHOTO), torch.as_tensor(data.labels))
    return found


def crop_material(
    part: Tuned, name: str, things: tuple[str | None, str], seed: int, sizes: tuple[int, int], others: str, keep: Sequence[str] = ()
) -> Material:
    """Photographs with a dot for every thing, cut into squares that show two to ten; half of the photographs are to learn from.

    things: the kind to count, and what it is called, many. sizes: squares of each number to learn from and to be asked. others: a
    captioned data set for the ordinary pairs and for retrieval.
    """
    train, test = dotted_photographs(name, things[0]).halves()
    sets = [(train, 0, sizes[0]), (test.subset(dealt(len(test), seed)), seed, sizes[1])]
    captions, made = [f"a photo of {NUMBERS[n]} {things[1]}" for n in COUNTS], []
    for photographs, stream, n in sets:
        images, shown = photographs.squares(COUNTS, n, stream, part.model.image_size)
        images, shown = part.images(Dataset(name, "all", ArrayImages(images))), shown - 2
        made.append(counting_pairs(part, images, [captions] * len(shown), shown))
    said, own = load_dataset(others, "train"), own_pictures(others, "test", 20 * sizes[1], seed)
    said = said.subset(np.random.default_rng([0, 43]).permutation(len(said))[: len(made[0].shown)])
    found = other_pairs(part, own)
    kept = {"retrieval": Suite(found.images, found.texts), **named_suites(part, keep, 20 * sizes[1], seed)}
    return Material(part.towers, made[0], other_pairs(part, said), {"usual": made[1]}, kept)


def counters(material: Material) -> dict[str, dict[str, Tensor]]:
    """Guesses without words on each test, {arm: {test: (N,)}}: logistic and ridge (rounded) regression on what the image tower
    holds; in the world also on the area that the things cover, which is no number."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    x, y = material.pairs.images.double().numpy(), material.pairs.shown.numpy()
    weight = (len(y) / np.bincount(y))[y]
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=LOGISTIC, class_weight="balanced", max_iter=300)).fit(x, y)
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))).fit(x, y, ridgecv__sample_weight=weight)
    seen = {name: test.images.double().numpy() for name, test in material.tests.items()}
    found = {"logistic_head": {name: logistic.predict(rows) for name, rows in seen.items()}}
    found["ridge_head"] = {name: ridge.predict(rows).round().clip(0, material.numbers - 1).astype(int) for name, rows in seen.items()}
    if material.areas:
        reader = make_pipeline(PolynomialFeatures(3), StandardScaler(), LogisticRegression(max_iter=500))
        reader.fit(material.areas["learnt"][:, None], y)
        found["area_reader"] = {name: reader.predict(material.areas[name][:, None]) for name in material.tests}
    return {arm: {name: torch.as_tensor(guess) for name, guess in of.items()} for arm, of in found.items()}


def told_by_text(pairs: CountingPairs, seed: int) -> float:
    """Percent right of logistic regression that sees captions only: stated, or with another number drawn at random? Chance is 50."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng, n = np.random.default_rng(seed), len(pairs.stated)
    rows = rng.permutation(n)
    stated = pairs.stated.numpy()
    at = np.stack([stated, (stated + rng.integers(1, K, n)) % K], 1)  # true, false
    x = pairs.texts[pairs.captions[np.arange(n)[:, None], at]].numpy()  # (n, 2, S)
    half = [np.concatenate([x[part, 0], x[part, 1]]) for part in (rows[: n // 2], rows[n // 2 :])]
    truth = [np.repeat([1, 0], len(part)) for part in (rows[: n // 2], rows[n // 2 :])]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=LOGISTIC, max_iter=300)).fit(half[0], truth[0])
    return 100 * float(model.score(half[1], truth[1]))
