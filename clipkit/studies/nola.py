"""The page nola: two heads from the same pseudolabels, a student that is checked on the way, and the page's own figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clipkit.adapt.nola import FeatureLabeller, TunedTower, confident_count, named_clusters, select_confident
from clipkit.errors import ClipkitError
from clipkit.lab.pictures import image_grid
from clipkit.lab.plots import bars
from clipkit.lab.tables import Table, table
from clipkit.registry.scores import Scores

STAGES = {
    "single_prompt": "one prompt",
    "template_ensemble": "templates",
    "description_embedding": "descriptions (stage 1)",
    "clip_head": "head on CLIP",
    "dino_head": "labeller (stage 2)",
    "named_clusters": "named clusters",
}
STUDENTS = {"clip_self_training": "CLIP self-training", "nola": "student (stage 3)", "average": "student and labeller"}
CEILINGS = {"clip_truth": "true labels, CLIP", "dino_truth": "true labels, helper"}


def train_labellers(
    probs: Tensor,
    clip: tuple[Tensor, Tensor],
    other: tuple[Tensor, Tensor],
    truth: Tensor | None = None,
    least: int = 16,
    epochs: int = 50,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Stages 1 and 2 for both feature sets, from the same pseudolabels.

    Args: probs (N, C) zero-shot of the unlabelled pictures; clip, other: features of the unlabelled (N, .) and test pictures (M, .);
        truth (N,): labels for two more heads that see them all in as many steps, the ceilings clip_truth and dino_truth.
    Returns: test scores (M, C) by arm (clip_head, dino_head, named_clusters, the ceilings); the heads' logits (N, C).
    """
    rows, pseudo, _ = select_confident(probs, confident_count(len(probs), probs.shape[1], least=least))
    tests, pools, n_classes = {}, {}, probs.shape[1]
    for network, (pool, test) in (("clip", clip), ("dino", other)):
        head = FeatureLabeller(epochs=epochs).fit(pool[rows], pseudo, n_classes)
        tests[f"{network}_head"], pools[f"{network}_head"] = head.predict_logits(test), head.predict_logits(pool)
        if truth is not None:
            as_many_steps = FeatureLabeller(epochs=-(-epochs * len(rows) // len(pool)))
            tests[f"{network}_truth"] = as_many_steps.fit(pool, truth, n_classes).predict_logits(test)
    centres, names = named_clusters(other[0], probs)
    tests["named_clusters"] = names[torch.cdist(other[1], centres).argmin(1)]
    return tests, pools


def fit_with_checks(student: TunedTower, every: int, check: Callable[[TunedTower], tuple[float, ...]], **fit) -> list[tuple[float, ...]]:
    """Fit a student and check it after each `every` steps, and after the last. Returns what `check` found."""
    found, steps = [], fit["steps"]

    def after(step: int, tower: TunedTower) -> None:
        if (step + 1) % every == 0 or step + 1 == steps:
            found.append(check(tower))

    student.fit(**fit, after_step=after)
    return found


def neighbours(features: Tensor, labels: Tensor, k: int = 5) -> tuple[Tensor, Tensor]:
    """(N, k) nearest other rows of unit features (N, D) by cosine, and (N,) the share of them with the row's own label.

    Raises ClipkitError for fewer than k + 1 rows.
    """
    if len(features) <= k:
        raise ClipkitError(f"{k} neighbours want at least {k + 1} pictures, got {len(features)}")
    near = (features @ features.T).fill_diagonal_(-2).topk(k, dim=1).indices
    return near, (labels[near] == labels[:, None]).float().mean(1)


def draw_neighbours(data, features: Mapping[str, Tensor], labels: Tensor, k: int = 5, size: int | None = None) -> tuple[str, dict]:
    """Show the picture on which the last network is most ahead of the first, and its neighbours for each, the last on top.

    Arguments: data: N pictures; features: name of the network -> (N, D); labels (N,); size: to squeeze pictures to.
    Returns: the picture's class, and for each network the percentage of neighbours of the right class over all pictures.
    """
    found = {name: neighbours(x, labels, k) for name, x in features.items()}
    shares = [share for _, share in found.values()]
    i = int((shares[-1] - shares[0]).argmax())
    rows = {name: [i, *near[i].tolist()] for name, (near, _) in reversed(found.items())}
    names = [data.classnames[int(c)] for c in labels]
    titles = [f"for {name}:" if place == 0 else names[j] for name, row in rows.items() for place, j in enumerate(row)]
    alt = f"A picture of the class {names[i]} and its nearest neighbours. "
    alt += "; ".join(f"for {name}: {', '.join(names[j] for j in row[1:])}" for name, row in rows.items())
    shown = data.subset(np.array([j for row in rows.values() for j in row]))
    image_grid(list(shown.to_array(size)), titles, columns=k + 1, alt=alt)
    return names[i], {name: 100 * share.mean().item() for name, (_, share) in found.items()}


def draw_stages(runs: Scores, task: str, live: Scores):
    """A bar for each stage on one task and for the students; `live`: the run at hand. Returns the means, a Series by name."""
    import pandas as pd

    def named(scores: Scores):
        sides = (scores.wide(task=task, on="test"), STAGES), (scores.wide(), STUDENTS)
        return pd.concat([found[[arm for arm in names if arm in found]].rename(columns=names) for found, names in sides], axis=1)

    shown = named(runs)
    alt = "Test accuracy by stage: " + ", ".join(f"{name} {value:.1f} %" for name, value in shown.mean().items())
    bars(shown, alt=alt, arms=list(shown), title=f"Each stage on the task “{task}”", live=named(live))
    return shown.mean()


def table_by_task(runs: Scores) -> Table:
    """Accuracy of each stage by task, of the ceilings, and of the labels that the two heads give to the unlabelled pictures."""
    rows = runs.frame().dropna(subset="task").pivot_table("value", ["arm", "on"], "task", sort=False)
    names = {(arm, "test"): name for arm, name in (STAGES | CEILINGS).items()}
    names |= {("clip_head", "unlabelled"): "labels by the head on CLIP", ("dino_head", "unlabelled"): "labels by the labeller"}
    rows = rows.loc[[key for key in names if key in rows.index]]
    rows.index, rows.columns = [names[key] for key in rows.index], list(rows)
    return table(rows, caption="Accuracy, %, mean over the seeds")


def random_views(pixels: Tensor, generator: torch.Generator, scale: tuple[float, float]) -> Tensor:
    """Random resized crop (area share in `scale`), flip and brightness/contrast jitter, one draw an image.

    pixels (B, 3, S, S) normalised; returns the same shape. Colour stays: in the world it is content.
    """
    B = len(pixels)
    draw = lambda low, high: low + (high - low) * torch.rand(B, generator=generator)  # noqa: E731
    side = draw(*scale).sqrt()
    shift = [(1 - side) * draw(-1, 1) for _ in range(2)]
    flip = torch.where(torch.rand(B, generator=generator) < 0.5, -1.0, 1.0)
    zero = torch.zeros(B)
    theta = torch.stack([torch.stack([side * flip, zero, shift[0]], 1), torch.stack([zero, side, shift[1]], 1)], 1)
    view = F.grid_sample(pixels, F.affine_grid(theta, pixels.shape, align_corners=False), padding_mode="reflection", align_corners=False)
    return view * draw(0.8, 1.2)[:, None, None, None] + draw(-0.15, 0.15)[:, None, None, None]
