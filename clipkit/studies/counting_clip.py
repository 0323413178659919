"""Teaching CLIP to count: scenes of equal things whose size, area and extent are chosen, photographs, crops; counters without words."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from torch import Tensor, nn

from clipkit.adapt.retained import Suite, retention
from clipkit.adapt.tunable import LayerHeads, Tuned
from clipkit.datasets import ArrayImages, Dataset, load_dataset
from clipkit.datasets.dots import TABLES, dotted_photographs
from clipkit.datasets.folder import locate
from clipkit.dealing import dealt
from clipkit.errors import ClipkitError
from clipkit.features.samples import own_pictures
from clipkit.kept import fingerprint
from clipkit.language.caption_numbers import COUNTS, counterfactual_captions, stated_count
from clipkit.pretrain.counting import CountingPairs, CountRecipe, OtherPairs, count_scores, tune_to_count
from clipkit.world import CATEGORIES, CLASS_TEMPLATES, WorldSpec, caption_batch, render, sample_scenes
from clipkit.world.numerosity import CONTROLS, count_scenes
from clipkit.world.words import NUMBERS, noun_phrase

NEW, K = 8, len(COUNTS)  # categories that no counting scene of the training shows
FEWEST, TESTED = 10, 20  # test pictures of a number that is asked; other test pictures of a seed, by those of a number
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
            images, texts = (torch.cat([getattr(x, name) for x in (self.pairs, self.others)]) for name in ("images", "texts"))
            self.towers = copy.deepcopy(self.towers).standardise(images, texts)
        self.fingerprint = fingerprint([self.towers, self.pairs, self.others, self.tests, self.kept, self.tail, self.numbers])

    def measure(self, towers: nn.Module) -> dict[str, dict]:
        """What towers guess in each test, {"guesses": {test: (N,)}}; in "blind" every picture of the usual test is their mean, so
        that captions decide alone; and percent right of what should stay ("kept")."""
        usual = self.tests["usual"]
        mean = replace(usual, images=usual.images.mean(0, keepdim=True).expand_as(usual.images))
        scores = {name: count_scores(towers, test)[:, : self.numbers] for name, test in {**self.tests, "blind": mean}.items()}
        return {"guesses": {name: found.argmax(1) for name, found in scores.items()}, "kept": retention(towers, self.kept)}


def taught(material: Material, pairs: CountingPairs, recipe: CountRecipe) -> dict[str, dict]:
    """What `Material.measure` finds of towers tuned on `pairs`."""
    return material.measure(tune_to_count(material.towers, pairs, material.others, recipe))


def counting_pairs(part: Tuned, images: Tensor, captions: Sequence[Sequence[str]], shown: np.ndarray) -> CountingPairs:
    """Pictures with K captions each that state two, three, ...; the true one is at `shown` (N,)."""
    rows = {text: i for i, text in enumerate(dict.fromkeys(text for row in captions for text in row))}
    texts, true = part.texts(part.model.tokenize([*rows])), torch.as_tensor(shown, dtype=torch.int64)
    return CountingPairs(images, texts, torch.tensor([[rows[text] for text in row] for row in captions]), true, true)


def load(part: Tuned, dataset: str, seed: int, sizes: tuple[int, int], keep: Sequence[str], others: str, things: tuple) -> Material:
    """What a seed learns from and is asked: of the world, of captioned photographs, or of photographs with a table of objects.

    sizes: pictures of each number to learn from and to be asked. keep: labelled data sets that should not suffer. others: captioned,
    and things: the kind to count and its name, beside a table of objects.
    """
    if dataset == "world":
        return world_material(part, seed, *sizes)
    folder = dataset.removeprefix("folder:")
    if folder != dataset and any((locate(folder) / table).is_file() for table in TABLES):
        return crop_material(part, dataset, seed, sizes, keep, others, things)
    return caption_material(part, dataset, seed, sizes, keep)


def world_material(part: Tuned, seed: int, per_count: int, n_test: int) -> Material:
    """per_count scenes of each number to learn from, as many ordinary ones as all of these, n_test scenes of each number a test.

    NEW categories are in no counting scene to learn from, nor is one number of each of the others.
    """
    rng = np.random.default_rng([seed, 41])
    order, every = rng.permutation(len(CATEGORIES)), np.arange(K)
    known, lack = order[NEW:], np.arange(len(order) - NEW) % K  # the number that is never shown of a known category
    said = [[f"a photo of {noun_phrase(n, name)}" for n in COUNTS] for name in CATEGORIES]
    texts = part.texts(part.model.tokenize([text for row in said for text in row]))

    def look(scenes) -> Tensor:
        return part.images(Dataset("world", "all", ArrayImages(render(scenes, part.model.image_size).images)))

    def draw(shown: np.ndarray, stream: int, control: str = "usual", of: str = "known") -> tuple[CountingPairs, np.ndarray]:
        pools = {"known": [known[lack != k] for k in every], "held": [known[lack == k] for k in every], "new": [order[:NEW]] * K}[of]
        category = np.array([rng.choice(pools[k]) for k in shown])
        scenes, areas = count_scenes(category, shown + 2, 1000 * seed + stream, control)
        captions, true = torch.as_tensor(category)[:, None] * K + torch.arange(K), torch.as_tensor(shown)
        return CountingPairs(look(scenes), texts, captions, true, true), areas

    even = np.repeat(every, n_test)
    tests = {control: draw(even, 10 + i, control) for i, control in enumerate(CONTROLS)}
    tests |= {"new categories": draw(even, 20, of="new"), "new pairs": draw(even, 21, of="held")}
    pairs, areas = draw(np.repeat(every, per_count), 1)
    share = 0.524**every  # as from 1,400 twos down to 8 tens
    tail = draw(np.repeat(every, np.maximum(1, (share / share.sum() * K * per_count).round().astype(int))), 2)[0]
    scenes = sample_scenes(WorldSpec(), K * per_count, 1000 * seed + 3)
    others = OtherPairs(look(scenes), part.texts(part.model.tokenize(caption_batch(scenes, "short", seed))))
    single = load_dataset("world", "test", n=K * n_test, seed=seed, captions=())
    colours, pictures = load_dataset("world", "test", n=1, factor="colour", captions=()).classnames, part.images(single)
    few = other_pairs(part, load_dataset("world", "test", n=200, seed=seed + 7, min_objects=2, max_objects=3, captions=("detailed",)))
    kept = {
        "category": Suite(pictures, part.prompts(single.classnames, CLASS_TEMPLATES["category"][0]), torch.as_tensor(single.labels)),
        "colour": Suite(pictures, part.prompts(colours, CLASS_TEMPLATES["colour"][0]), torch.as_tensor(single.scenes.colour[:, 0]).long()),
        "retrieval": Suite(few.images, few.texts),
    }
    of = {"learnt": areas, **{name: area for name, (_, area) in tests.items()}}
    return Material(part.towers, pairs, others, {name: test for name, (test, _) in tests.items()}, kept, tail, of)


def caption_material(part: Tuned, name: str, seed: int, sizes: tuple[int, int], keep: Sequence[str] = ()) -> Material:
    """Captioned photographs: captions that state a number, at most sizes[0] pictures of each to learn from, and other pairs.

    A caption of the seed's own test pictures is asked among the numbers from two on that FEWEST of all test pictures state. The
    training pictures are the same for every seed. Raises ClipkitError where captions are missing or state numbers too rarely.
    """
    train, every = load_dataset(name, "train"), load_dataset(name, "test")
    if train.captions is None:
        raise ClipkitError(f"{name} has no captions, which this page needs of it, and no table of objects either")
    said = [next(((text, n) for text in row if (n := stated_count(text))), ("", 0)) for row in train.captions]  # the first that counts
    first = np.array([n for _, n in said])
    rng = np.random.default_rng([0, 43])
    rows = np.concatenate([rng.permutation(np.flatnonzero(first == n))[: sizes[0]] for n in COUNTS])
    plain = rng.permutation(np.flatnonzero(first == 0))[: len(rows)]
    asked = [{n for text in row if (n := stated_count(text))} for row in every.captions]
    numbers = next((k for k, n in enumerate(COUNTS) if sum(n in row for row in asked) < FEWEST), K)
    if numbers < 2 or not len(plain):
        raise ClipkitError(f"{name}: too few captions state two, and three, or none states no number")
    own = own_pictures(name, "test", TESTED * sizes[1], seed)
    trials = [(i, text, n - 2) for i, row in enumerate(own.captions) for text in row if (n := stated_count(text)) and n - 2 < numbers]
    of, texts, shown = zip(*trials, strict=True)
    images = part.images(own)
    tests = {"usual": counting_pairs(part, images[list(of)], counterfactual_captions(texts, [n + 2 for n in shown]), np.array(shown))}
    captions = counterfactual_captions([said[i][0] for i in rows], first[rows])
    pairs = counting_pairs(part, part.images(train.subset(rows)), captions, first[rows] - 2)
    kept = kept_suites(part, own, keep, TESTED * sizes[1], seed)
    return Material(part.towers, pairs, other_pairs(part, train.subset(plain)), tests, kept, numbers=numbers)


def other_pairs(part: Tuned, data: Dataset) -> OtherPairs:
    """Pictures with their first captions."""
    return OtherPairs(part.images(data), part.texts(part.model.tokenize([row[0] for row in data.captions])))


def kept_suites(part: Tuned, own: Dataset, names: Sequence[str], n: int, seed: int) -> dict[str, Suite]:
    """R@1 of the captions of the seed's own pictures, zero-shot accuracy on labelled data sets."""
    pairs = other_pairs(part, own)
    found = {"retrieval": Suite(pairs.images, pairs.texts)}
    for name in names:
        data = own_pictures(name, "test", n, seed)
        found[name] = Suite(part.images(data), part.prompts(data.classnames, PHOTO), torch.as_tensor(data.labels))
    return found


def crop_material(
    part: Tuned, name: str, seed: int, sizes: tuple[int, int], keep: Sequence[str], others: str, things: tuple[str | None, str]
) -> Material:
    """Photographs with a dot for every thing, cut into squares that show two to ten; half of the photographs are to learn from."""
    train, test = dotted_photographs(name, things[0]).halves()
    sets = [(train, 0, sizes[0]), (test.subset(dealt(len(test), seed)), seed, sizes[1])]
    captions, made = [f"a photo of {NUMBERS[n]} {things[1]}" for n in COUNTS], []
    for photographs, stream, n in sets:
        images, shown = photographs.squares(COUNTS, n, stream, part.model.image_size)
        images, shown = part.images(Dataset(name, "all", ArrayImages(images))), shown - 2
        made.append(counting_pairs(part, images, [captions] * len(shown), shown))
    said, own = load_dataset(others, "train"), own_pictures(others, "test", TESTED * sizes[1], seed)
    said = said.subset(np.random.default_rng([0, 43]).permutation(len(said))[: len(made[0].shown)])
    kept = kept_suites(part, own, keep, TESTED * sizes[1], seed)
    return Material(part.towers, made[0], other_pairs(part, said), {"usual": made[1]}, kept)


def counters(material: Material) -> dict[str, dict[str, Tensor]]:
    """Guesses without words on each test, {arm: {test: (N,)}}: logistic and ridge (rounded) regression on what the image tower
    holds; in the world also on the area that the things cover, which is no number."""
    x, y = material.pairs.images.double().numpy(), material.pairs.shown.numpy()
    weight, most = (len(y) / np.bincount(y))[y], material.numbers - 1
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=LOGISTIC, max_iter=300, class_weight="balanced")).fit(x, y)
    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13))).fit(x, y, ridgecv__sample_weight=weight)
    heads, found = {"logistic_head": logistic, "ridge_head": ridge}, {}
    for arm, head in heads.items():
        guess = {name: head.predict(test.images.double().numpy()).round() for name, test in material.tests.items()}
        found[arm] = {name: rows.clip(0, most).astype(int) for name, rows in guess.items()}
    if material.areas:
        reader = make_pipeline(PolynomialFeatures(3), StandardScaler(), LogisticRegression(max_iter=500))
        reader.fit(material.areas["learnt"][:, None], y)
        found["area_reader"] = {name: reader.predict(material.areas[name][:, None]) for name in material.tests}
    return {arm: {name: torch.as_tensor(guess) for name, guess in of.items()} for arm, of in found.items()}


def told_by_text(pairs: CountingPairs, seed: int) -> float:
    """Percent right of logistic regression that sees captions only: as stated, or with another number? Chance is 50; cross-validated."""
    dice = torch.Generator().manual_seed(seed)
    other = (pairs.stated + torch.randint(1, K, pairs.stated.shape, generator=dice)) % K
    x = torch.cat([pairs.texts[pairs.captions.gather(1, n[:, None])[:, 0]] for n in (pairs.stated, other)]).double().numpy()
    halves = StratifiedKFold(2, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=LOGISTIC, max_iter=300))
    return 100 * float(cross_val_score(model, x, np.repeat([1, 0], len(other)), cv=halves).mean())
