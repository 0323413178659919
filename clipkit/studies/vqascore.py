"""The experiments of the VQAScore page: what each score makes of swapped tasks, of texts that are true in part, of other wordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.kept import kept
from clipkit.language.vocabulary import WordVocabulary
from clipkit.metrics import kendall
from clipkit.recipes.vqa import answer_loss, lesson_batches, lesson_pictures, shortened
from clipkit.recipes.vqa_lessons import WORDINGS, lesson_questions, lesson_scenes
from clipkit.score.agreement import group_correlations, pairwise_accuracy
from clipkit.score.clipscore import CLIPScore
from clipkit.score.decomposed import DecomposedScore, decompose
from clipkit.score.eyes import patch_tokens
from clipkit.score.nano_vqa import ANSWERS, NanoVQA
from clipkit.score.regions import learn_regions
from clipkit.score.vqascore import MeanScore, NanoAnswerer, VQAScore
from clipkit.score.winoground_tasks import KINDS, Quadruples, quadruples, winoground
from clipkit.train import train

# Three facts are what the smallest scene has besides sizes; sizes are left out because "medium" is a matter of taste.
FACTS = ("existence", "count", "colour", "texture", "relation", "background")
TWIN_CATEGORIES = (
    "cat", "fish", "apple", "banana", "carrot", "mushroom", "car", "boat", "cup", "lamp", "circle", "star",
)  # fmt: skip
TWIN_WORLD = {"min_objects": 2, "max_objects": 2, "count_probs": None, "categories": TWIN_CATEGORIES, "textured": 0.0, "same_category": 0.0}
TWIN_LESSONS = ((("open",), 120), (("relation",), 240), (("atomic", "conj"), 300))  # in these proportions


class Looker:
    """Pictures seen once for all scorers: patch tokens for answerers and towers, one feature for CLIPScore."""

    def __init__(self, answerer, clip):
        self.answerer, self.clip = answerer, clip

    def __call__(self, images: np.ndarray) -> Looks:
        return Looks(self.answerer.see(images), self.clip.image_features(images))


@dataclass
class Looks:
    """tokens (N, M, D) and features (N, E) of N pictures."""

    tokens: Tensor
    features: Tensor

    def of(self, scorer: Any, rows: Tensor | np.ndarray | slice = slice(None)) -> Tensor | list[tuple]:
        """What this scorer looks at, for some of the pictures."""
        if isinstance(scorer, MeanScore):
            return list(zip(*(self.of(part, rows) for part in scorer.scorers), strict=True))
        plain = isinstance(scorer, CLIPScore) and hasattr(scorer.model, "encode_token_embeddings")  # a DualEncoder, not TwoTowers
        return (self.features if plain else self.tokens)[rows]

    def __len__(self) -> int:
        return len(self.tokens)


# Swapped tasks -------------------------------------------------------------------------------


def group_row(scorers: Mapping[str, Any], tasks: Quadruples, looks: Looks) -> dict[str, float]:
    """{"group_<scorer>": percent, "group_<scorer>|<kind>": …, "text_<scorer>": …, "image_<scorer>": …} of swapped tasks."""
    row = {}
    for name, scorer in scorers.items():
        right = winoground(tasks.scores(scorer, looks.of(scorer)))
        row |= {f"{what}_{name}": value for what, value in right.percent().items()}
        row |= {f"group_{name}|{kind}": right.percent(tasks.kind == kind)["group"] for kind in dict.fromkeys(tasks.kind.tolist())}
    return row


# Texts that are true in part -----------------------------------------------------------------


@dataclass
class Partly:
    """K texts about N pictures. images (N, S, S, 3); picture (K,) its number; texts; truth (K,) share of facts that hold; n_facts (K,)."""

    images: np.ndarray
    picture: np.ndarray
    texts: list[str]
    truth: np.ndarray
    n_facts: np.ndarray


def partly_true(n: int, seed: int, n_facts: int = 4, levels: Sequence[int] | None = None, held_out: bool = False) -> Partly:
    """n pictures, and for each of them texts of `n_facts` statements, of which 0, 1, … or all hold (`levels`: which numbers of true ones).

    A false statement is the true one made wrong in one word, so no text contradicts itself. The same statements for all texts of a picture.

    Raises: ClipkitError for levels outside 0 … n_facts, or facts that no picture has.
    """
    from clipkit.world import render
    from clipkit.world.content_plan import Draw, seeds_of, states, truths
    from clipkit.world.propositions import false_facts, true_facts

    levels = range(n_facts + 1) if levels is None else levels
    if not all(0 <= k <= n_facts for k in levels) or n_facts < 1:
        raise ClipkitError(f"of {n_facts} statements 0 to {n_facts} can be true, not {list(levels)}")
    scenes = lesson_scenes(4 * n, seed, held_out=held_out, min_objects=2, count_probs=None)
    draws = states(seeds_of(scenes), f"partly true {n_facts}", seed)
    rows, picture, texts, truth = [], [], [], []
    for i, known in enumerate(truths(scenes)):
        draw = Draw(draws[i])
        pairs = [p for p in zip(true_facts(known), false_facts(known, draw), strict=True) if p[0].kind in FACTS]
        if len(pairs) < n_facts or len(rows) == n:
            continue
        chosen, order = draw.shuffled(pairs)[:n_facts], draw.shuffled(range(n_facts))
        for level in levels:
            said = [pair[order[at] >= level].text for at, pair in enumerate(chosen)]
            texts.append(said[0] if n_facts == 1 else f"{', '.join(said[:-1])}, and {said[-1]}")
            picture.append(len(rows))
            truth.append(level / n_facts)
        rows.append(i)
    if len(rows) < n:
        raise ClipkitError(f"only {len(rows)} of {n} pictures have {n_facts} facts; ask for fewer facts")
    images = render(scenes[np.array(rows)]).images
    return Partly(images, np.array(picture), texts, np.array(truth), np.full(len(texts), n_facts))


def partly_scores(scorers: Mapping[str, Any], data: Partly, looks: Looks) -> dict[str, np.ndarray]:
    """Each scorer's (K,) numbers."""
    rows = torch.from_numpy(data.picture)
    return {name: s.pairs(looks.of(s, rows), data.texts).double().numpy() for name, s in scorers.items()}


def partly_row(values: Mapping[str, np.ndarray], data: Partly) -> dict[str, float]:
    """Of each scorer: "tau_…" (τ_b over all pairs), "within_…" (mean τ_b inside a picture), "accuracy_…" and "accuracy_own_eps_…"
    (percent of pairs ordered rightly, the tie width ε fitted on the even pictures and judged on the odd ones, and on all at once)."""
    row, even = {}, data.picture % 2 == 0
    for name, v in values.items():
        tau = kendall(data.truth, v)
        row[f"tau_{name}"] = 0.0 if np.isnan(tau) else tau  # a constant score agrees with nothing
        inside = group_correlations(data.truth, v, data.picture, how="kendall")
        row[f"within_{name}"] = 0.0 if np.isnan(inside.mean) else inside.mean
        fitted = pairwise_accuracy(data.truth[even], v[even]).eps
        row[f"accuracy_{name}"] = 100 * pairwise_accuracy(data.truth[~even], v[~even], eps=fitted).accuracy
        row[f"accuracy_own_eps_{name}"] = 100 * pairwise_accuracy(data.truth, v).accuracy
    return row


def by_length(scorers: Mapping[str, Any], n: int, seed: int, look: Looker, lengths: Sequence[int] = (1, 2, 3, 4, 5)) -> dict[str, float]:
    """{"at_<n facts>|<scorer>": percent of pictures whose wholly true text outscores the one with a single false statement}."""
    row = {}
    for length in lengths:
        data = partly_true(n, seed + 31 * length, length, (length - 1, length))
        looks = look(data.images)
        for name, v in partly_scores(scorers, data, looks).items():
            almost, whole = v[0::2], v[1::2]
            row[f"at_{length}|{name}"] = 100 * float((whole > almost).mean())
    return row


# Kinds of error ------------------------------------------------------------------------------

ERRORS = ("category", "colour", "count", "background", "relation", "swap_colour", "swap_count", "swap_relation", "negation")


def error_pairs(n: int, seed: int) -> tuple[np.ndarray, dict[str, list[tuple[int, str, str]]]]:
    """Pictures (n) and, by kind of error, (picture, true text, false text): one word replaced, two words exchanged, or a denial.

    The texts speak of two things of the picture, or of one thing and the place.
    """
    from clipkit.world import render
    from clipkit.world.caption_negatives import absent_category
    from clipkit.world.content_plan import Draw, groups, relation_between, seeds_of, states, truths
    from clipkit.world.pairs import swap
    from clipkit.world.taxonomy import BACKGROUNDS, COLOURS
    from clipkit.world.words import OPPOSITE, PLACES, RELATION_WORDS, noun_phrase

    scenes = lesson_scenes(n, seed, min_objects=2, count_probs=None)
    draws, found = states(seeds_of(scenes), "error pair", seed), {kind: [] for kind in ERRORS}
    for i, truth in enumerate(truths(scenes)):
        draw = Draw(draws[i])
        kinds = draw.shuffled(groups(truth.things, False).values())
        single = [members[0] for members in kinds if len(members) == 1]
        several = [members for members in kinds if len(members) > 1]
        for what in ("colour", "count", "relation"):
            pair = swap(truth, what, draw)
            if pair:
                found[f"swap_{what}"].append((i, *pair))
        if several and single:
            members, n_true = several[0], len(several[0])
            wrong = draw.pick([k for k in range(2, 5) if k != n_true])
            rest = noun_phrase(1, single[0].category)
            found["count"].append((i, *(f"{noun_phrase(k, members[0].category)} and {rest}" for k in (n_true, wrong))))
        if len(single) < 2:
            continue
        a, b = single[:2]
        first, absent = noun_phrase(1, a.category, a.colour), absent_category(truth, draw)
        colour = draw.pick([c for c in COLOURS if all(t.colour != c for t in truth.things)])
        place = draw.pick([p for p in BACKGROUNDS if p != truth.background])
        found["category"].append((i, *(f"{first} and {noun_phrase(1, c, b.colour)}" for c in (b.category, absent))))
        found["colour"].append((i, *(f"{first} and {noun_phrase(1, b.category, c)}" for c in (b.colour, colour))))
        found["background"].append((i, *(f"{first} {PLACES[p]}" for p in (truth.background, place))))
        found["negation"].append((i, *(f"{first} but {noun_phrase(1, c, lead='no')}" for c in (absent, b.category))))
        relation = relation_between([a], [b])
        if relation:
            words = [RELATION_WORDS[r] for r in (relation, OPPOSITE[relation])]
            found["relation"].append((i, *(f"{noun_phrase(1, a.category)} {w} {noun_phrase(1, b.category)}" for w in words)))
    return render(scenes).images, found


def error_row(scorers: Mapping[str, Any], n: int, seed: int, look: Looker) -> dict[str, float]:
    """{"wins_<scorer>|<kind>": percent of pictures whose true text outscores the false one; ties count as wrong}."""
    images, found = error_pairs(n, seed)
    looks, row = look(images), {}
    for kind, rows in found.items():
        if not rows:
            raise ClipkitError(f"none of {n} pictures allows an error of kind {kind}; use more pictures")
        at = torch.tensor([r[0] for r in rows])
        for name, scorer in scorers.items():
            true, false = (scorer.pairs(looks.of(scorer, at), [r[k] for r in rows]) for k in (1, 2))
            row[f"wins_{name}|{kind}"] = 100 * (true > false).double().mean().item()
    return row


# Wordings ------------------------------------------------------------------------------------


def wording_row(
    answerer, data: Partly, looks: Looks, wordings: Sequence[str] = WORDINGS, norms: Sequence[str] = ("prob",)
) -> dict[str, float]:
    """{"tau_wording|<number>|<norm>": τ_b}, and under the first norm "tau_best_wording" and "tau_worst_wording"."""
    row, rows = {}, torch.from_numpy(data.picture)
    for number, question in enumerate(wordings):
        for norm in norms:
            v = VQAScore(answerer, question, norm=norm).pairs(looks.tokens[rows], data.texts).double().numpy()
            row[f"tau_wording|{number}|{norm}"] = kendall(data.truth, v)
    first = [row[f"tau_wording|{k}|{norms[0]}"] for k in range(len(wordings))]
    return row | {"tau_best_wording": max(first), "tau_worst_wording": min(first)}


# Blind answers -------------------------------------------------------------------------------


class BlankScore(VQAScore):
    """VQAScore of an evenly grey picture in place of the real one: what the text alone is worth to the answerer."""

    def _pairs(self, seen: Tensor, texts: Sequence[str]) -> Tensor:
        if not hasattr(self, "_blank"):
            self._blank = self.vqa.see(np.full((1, 32, 32, 3), 128, np.uint8))
        return super()._pairs(self._blank.expand(len(seen), -1, -1), texts)


class LengthScore:
    """The number of words, negated: short texts have less to be wrong."""

    def see(self, images: Any) -> Any:
        return images

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        return torch.tensor([-float(len(t.split())) for t in texts])


class RandomScore(LengthScore):
    """Uniform noise, the same for the same seed."""

    def __init__(self, seed: int = 0):
        self.generator = torch.Generator().manual_seed(seed)

    def pairs(self, seen: Any, texts: Sequence[str]) -> Tensor:
        return torch.rand(len(texts), generator=self.generator)


def yes_share(answerer, n: int, seed: int, look: Looker) -> dict[str, float]:
    """Percent of "yes" to balanced questions of one fact, and percent right, with the picture and with a grey one."""
    from clipkit.world import render

    scenes = lesson_scenes(n, seed)
    asked = [q for q in lesson_questions(scenes, "atomic", seed) if q.answer in ("yes", "no")]
    tokens, rows = look(render(scenes).images).tokens, torch.tensor([q.picture for q in asked])
    grey, right, row = answerer.see(np.full((1, 32, 32, 3), 128, np.uint8)), np.array([q.answer == "yes" for q in asked]), {}
    for name, seen in (("picture", tokens[rows]), ("blank", grey.expand(len(asked), -1, -1))):
        both = answerer.logprobs(seen, [q.text for q in asked], ["yes", "no"])
        said = (both[:, 0] > both[:, 1]).numpy()
        row |= {f"yes_{name}": 100 * said.mean(), f"right_{name}": 100 * (said == right).mean()}
    return row


# Twins that differ in their mask -------------------------------------------------------------


def twin(
    model, vocabulary, mask: str, seed: int, steps: int, pictures: int = 3072, batch: int = 128, regions: int = 200, keep: bool = True
) -> NanoVQA:
    """A small answerer of TWIN_WORLD trained with one mask; same weights at the start and same batches for every mask of a seed.

    Finished twins wait in the cache, under their settings and the code of lesson and network.
    """
    settings = (vocabulary.words, mask, seed, steps, pictures, batch, regions)
    weights = kept("vqa-twin", _twin, model, *settings, model.device) if keep else _twin(model, *settings, model.device)
    net = NanoVQA(vocabulary, ANSWERS, mask=mask).to(model.device)
    net.load_state_dict(weights)
    return net.eval()


def _twin(
    model, words: Sequence[str], mask: str, seed: int, steps: int, pictures: int, batch: int, regions: int, device
) -> dict[str, Tensor]:
    """The weights of `twin`."""
    torch.manual_seed(seed)
    vocabulary = WordVocabulary(words)
    net = NanoVQA(vocabulary, ANSWERS, mask=mask).to(device)
    scenes, tokens, labels = lesson_pictures(model, pictures, 40_000, **TWIN_WORLD)
    learn_regions(net, tokens, labels, min(regions, steps), 32, seed)
    batches = lesson_batches(scenes, tokens, vocabulary, ANSWERS, shortened(TWIN_LESSONS, steps), batch, seed)
    train(net, batches, answer_loss, steps, lr=1e-3, muon_lr=0.02, weight_decay=0.05, precision="bf16")
    return net.state_dict()


def twin_row(eyes, vocabulary, seed: int, n_tasks: int, steps: int, pictures: int) -> dict[str, float]:
    """{"<mask>": group accuracy in percent, "<mask>|<kind>": …} of a pair of twins on swapped tasks of their world, in known colours."""
    tasks, row = quadruples(n_tasks, 80_000 + seed, held_out=False, categories=TWIN_CATEGORIES), {}
    tokens = patch_tokens(eyes, tasks.images)
    for mask in ("bidirectional", "causal"):
        net = twin(eyes, vocabulary, mask, seed, steps, pictures)
        right = winoground(tasks.scores(VQAScore(NanoAnswerer(net, eyes)), tokens))
        row |= {mask: right.percent()["group"]} | {f"{mask}|{k}": right.percent(tasks.kind == k)["group"] for k in KINDS}
    return row


# All of it -----------------------------------------------------------------------------------


def seed_row(
    scorers: Mapping[str, Any], split: Mapping[str, Any], answerer, look: Looker, seed: int, n_tasks: int, n_pictures: int, n_errors: int
) -> dict[str, float]:
    """Every number of one seed but the twins'. Each experiment draws pictures of its own, by the seed.

    Args: scorers: "vqascore", "vqascore_one_fact", "matching_model", "clipscore", "clip_hard_negatives" and others for the first tables.
        split: of `decomposed_arms`.
    """
    extra = {"vqascore_blank": BlankScore(answerer), "words": LengthScore(), "random": RandomScore(seed)}
    tasks = quadruples(n_tasks, 10_000 + seed)
    row = group_row({**scorers, **extra, "dsg": split["dsg"]}, tasks, look(tasks.images))
    known = quadruples(n_tasks, 20_000 + seed, held_out=False)
    found = group_row({k: scorers[k] for k in ("vqascore", "clip_hard_negatives")}, known, look(known.images))
    row |= {f"known_{k}": v for k, v in found.items() if k.startswith("group") and "|" not in k}
    data = partly_true(n_pictures, 30_000 + seed)
    looks = look(data.images)
    row |= partly_row(partly_scores({**scorers, **extra, **split}, data, looks), data) | wording_row(answerer, data, looks)
    some = {k: {**scorers, **split}[k] for k in ("vqascore", "vqascore_one_fact", "clipscore", "dsg")}
    row |= by_length(some, n_pictures, 40_000 + 1000 * seed, look)
    some = {k: scorers[k] for k in ("vqascore", "vqascore_one_fact", "clipscore", "clip_hard_negatives", "matching_model")}
    return row | error_row(some, n_errors, 50_000 + seed, look) | yes_share(answerer, n_errors, 60_000 + seed, look)


def decomposed_arms(answerer) -> dict[str, DecomposedScore]:
    """DSG (yes-or-no questions, dependencies), TIFA (open questions, each for itself), and the mean probability of DSG's questions."""
    return {
        "dsg": DecomposedScore(answerer),
        "tifa": DecomposedScore(answerer, lambda text: decompose(text, opened=True), dependencies=False),
        "dsg_soft": DecomposedScore(answerer, soft=True),
    }
