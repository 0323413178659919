"""What the page on Trident works with: one object for the world, one for photographs, with the same names on both."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit.dense.affinity import filtered_affinity
from clipkit.dense.patches import is_vit, project, value_maps
from clipkit.dense.proxy import proxy_matrix
from clipkit.dense.text import text_classifier
from clipkit.errors import ClipkitError
from clipkit.studies import trident_measures as study


def centred(pixels: Tensor) -> Tensor:
    """Pixels in 0..1 as the small models take them."""
    return (pixels - 0.5) / 0.25


class WorldPage:
    """Scenes with masks: the models, what was chosen on validation scenes, and the maps of each draw, computed once.

    Args: n_val: validation scenes. search: choose the constants there too, else keep the published ones.
    Raises ClipkitError for a CLIP without attention layers, whose last block cannot be changed.
    """

    with_truth = True

    def __init__(self, clip, dino, segmenter, n_val: int, search: bool = True):
        if not is_vit(clip.module.visual):
            raise ClipkitError(f"{clip.name} has no vision transformer of open_clip to look into; for lite use -p dataset photos")
        self.clip, self.dino, self.segmenter, self.n_val, self.search = clip, dino, segmenter, n_val, search
        self._drawn: dict[tuple, tuple] = {}

    def bench(self, split: str, **constants) -> study.Bench:
        """Words and models of a split: the names of its half of the categories, and eight kinds of background that are one class."""
        from clipkit.datasets.segmentation import category_halves
        from clipkit.world import BACKGROUNDS
        from clipkit.world.prompts import CLASS_TEMPLATES

        templates = {0: CLASS_TEMPLATES["background"], -1: CLASS_TEMPLATES["category"]}
        text, groups = text_classifier(self.clip, [list(BACKGROUNDS), *category_halves()[split == "test"]], templates)
        guide = lambda x: self.dino.module.visual.grid(centred(x))  # noqa: E731
        return study.Bench(self.clip, guide, self.segmenter, text, groups, centred, **constants)

    @cached_property
    def constants(self) -> dict[str, float]:
        """keep, σ, β, γ and cos_fac as chosen on validation scenes; empty where nothing is searched."""
        from clipkit.datasets.segmentation import segmentation_scenes

        if not self.search:
            return {}
        bench, scenes = self.bench("val"), segmentation_scenes("val", self.n_val)
        found = study.choose_constants(bench, study.look(bench, scenes, arms=False))
        return {name: getattr(found, name) for name in ("keep", "sigma", "beta", "gamma", "cos_fac")}

    def draw(self, split: str, n: int, seed: int = 0) -> study.Drawn:
        """Scenes and the maps of every arm; the last ones are kept."""
        from clipkit.datasets.segmentation import segmentation_scenes

        key = (split, n, seed)
        if key not in self._drawn:
            while len(self._drawn) > 2:  # validation, the first test draw, the current one
                self._drawn.pop(list(self._drawn)[-1])
            self._drawn[key] = study.look(self.bench(split, **self.constants), segmentation_scenes(split, n, seed))
        return self._drawn[key]

    @cached_property
    def chosen(self) -> study.Choices:
        """Offsets, and how to refine and smooth; see `study.choose`."""
        return study.choose(self.bench("val", **self.constants), self.draw("val", self.n_val))

    def measure(self, n: int, seed: int) -> dict[str, float]:
        """All numbers of one draw of test scenes; see `study.evaluate`."""
        truth = self.draw("val", self.n_val).labels
        return study.evaluate(self.bench("test", **self.constants), self.chosen, self.draw("test", n, seed), truth)

    def label_map(self, drawn: study.Drawn, i: int, arm: str) -> tuple[Tensor, Tensor]:
        """Labels (1, S, S) and probabilities of one picture and arm."""
        return study.labels_of(drawn.scores[arm][i : i + 1], self.bench("test").groups, drawn.size, self.chosen.offsets[arm])

    @torch.no_grad()
    def near(self, drawn: study.Drawn, i: int, x: int, y: int) -> dict[str, np.ndarray]:
        """Heat maps of how alike the cell at a pixel is to all others, as CLIP, the guide and the global encoder see it."""
        bench = self.bench("test", **self.constants)
        picture, size = drawn.pixels[i : i + 1], drawn.pixels.shape[-1]
        small = centred(study.shrunk(picture, bench.crop))
        own = F.normalize(project(self.clip, value_maps(self.clip, small, ["vanilla"])[0]), dim=1)[0]
        at = lambda n: (y * n // size, x * n // size)  # noqa: E731
        (r, c), n = at(own.shape[-1]), drawn.embeddings[0].grid[0]
        found = {"CLIP's own vectors": (own[:, r, c] @ own.flatten(1)).reshape(own.shape[1:])}
        cell = at(n)[0] * n + at(n)[1]
        found["nano-dino, as a guide"] = proxy_matrix(bench.guide(picture), bench.beta, bench.gamma)[0, cell].reshape(n, n).sqrt()
        e, k = drawn.embeddings[i // study.BATCH], i % study.BATCH
        found["nano-sam, filtered"] = filtered_affinity(e.attention[k], e.values[k], bench.cos_fac)[cell].reshape(n, n).sqrt()
        return {name: heat.numpy() for name, heat in found.items()}

    def sharpen(self, drawn: study.Drawn, i: int) -> dict[str, np.ndarray]:
        """Label maps of one picture before and after the last step, and smoothed along colour."""
        coarse, p = self.label_map(drawn, i, study.BASE)
        e = drawn.embeddings[i // study.BATCH][i % study.BATCH : i % study.BATCH + 1]
        one = study.Drawn(drawn.scenes, drawn.pixels[i : i + 1], drawn.labels[i : i + 1], [e])
        [[sharp]] = study.sharpened(self.bench("test"), one, coarse, p, (self.chosen.iou_thresh,), self.chosen.skip)
        fine = study.smoothed(one, coarse, p, self.chosen.steps)
        found = {"the truth": one.labels, "coarse": coarse, "redrawn by the segmenter": sharp.labels, "smoothed along colour": fine}
        return {name: labels[0].numpy() for name, labels in found.items()}

    def stages(self, drawn: study.Drawn, i: int) -> dict[str, np.ndarray]:
        """One picture on its way: see the page's first figure."""
        steps = {"scores averaged": "averaged_logits", "vectors spliced": "spliced", "spread": study.BASE}
        found = {"the picture": drawn.scenes.images[i], "the truth": drawn.scenes.labels[i]}
        steps["spread, block " + ("dropped" if self.constants.get("keep") else "kept")] = "other_global"
        return found | {caption: self.label_map(drawn, i, arm)[0][0].numpy() for caption, arm in steps.items()}


class PhotoPage:
    """Photographs without masks; see `clipkit.studies.trident_photographs`."""

    with_truth = False

    def __init__(self, clip, segmenter, dataset):
        from clipkit.studies.trident_photographs import photo_bench

        self.dataset, self._bench = dataset, photo_bench(clip, segmenter, dataset.classnames, dataset.templates)
        self.constants: dict[str, float] = {}
        self._drawn: dict[tuple, tuple] = {}

    def bench(self, split: str = "test") -> study.Bench:
        """Words and models."""
        return self._bench

    def draw(self, split: str, n: int, seed: int = 0):
        """Pictures at random, as many as there are at most: a `study.Drawn` whose labels are the pictures' classes."""
        from clipkit.studies.trident_photographs import photo_scores, squares

        if (n, seed) not in self._drawn:
            rows = np.random.default_rng(seed).permutation(len(self.dataset))[:n]
            pixels = squares([self.dataset.images[int(i)] for i in rows])
            scores, embeddings = photo_scores(self._bench, pixels)
            self._drawn = {(n, seed): study.Drawn(None, pixels, torch.as_tensor(self.dataset.labels[rows]), embeddings, scores)}
        return self._drawn[(n, seed)]

    def measure(self, n: int, seed: int) -> dict[str, float]:
        """What can be said without truth; see `clipkit.studies.trident_photographs.without_truth`."""
        from clipkit.studies.trident_photographs import without_truth

        drawn = self.draw("test", n, seed)
        return without_truth(self._bench, drawn.scores, drawn.labels.numpy())

    def stages(self, drawn: study.Drawn, i: int) -> dict[str, np.ndarray]:
        """One picture and the label map of each arm, class 0 written like any other."""
        found = {"the picture": (255 * drawn.pixels[i]).round().byte().permute(1, 2, 0).numpy()}
        captions = {"own_cells": "CLIP's own cells", "averaged_logits": "scores averaged", "spliced": "vectors spliced"}
        captions |= {study.BASE: "spread", "global_colour": "spread by colour"}
        for arm, caption in captions.items():
            found[caption] = 1 + study.labels_of(drawn.scores[arm][i : i + 1], self._bench.groups, (128, 128), 0.0)[0][0].numpy()
        return found


def numbers(page: WorldPage | PhotoPage, runs, card: dict, known=None) -> dict[str, str]:
    """Everything the page's sentences print, as text; "–" for what a run without masks cannot know."""
    means, bench = runs.mean(), page.bench("test")
    arms = (
        "averaged_logits",
        "spliced",
        "averaged_then_global",
        "global_dino",
        "global_colour",
        "global_truth",
        "other_averaged",
        "other_global",
    )
    arms += ("other_truth", "proxy_dino", "proxy_colour", "vanilla", "accepted", "refined", "unrefined", "colour_smoothed", "refined_miou")
    arms += ("unrefined_miou", "floor", "ceiling_8", "ceiling_32")
    found = {arm: means.get(arm, np.nan) for arm in arms}
    found |= {"global_step": means.get(study.BASE, np.nan), "tau": means.get("order_agreement", np.nan)}
    best = "–"
    if page.with_truth:
        best = means[["naclip", "clearclip", "sclip", "maskclip"]].idxmax()
        found |= {"best_own_miou": means[best]} | {f"{c}_vanilla": known.loc["vanilla", c] for c in ("on", "off", "auc")}
        found |= {"auc_keys": known.loc["keys, rest dropped", "auc"], "on_values": known.loc["values, rest dropped", "on"]}
    else:
        found |= dict.fromkeys(("best_own_miou", "on_vanilla", "off_vanilla", "auc_vanilla", "auc_keys", "on_values"), np.nan)
    percent = card["percent"]
    said = {"best_own": best, "side": bench.side, "crop": bench.crop, "stride": bench.stride, "sam_size": f"{card['parameters'] / 1e6:.2f}"}
    said |= {"sam_minutes": f"{card['training']['minutes']:.0f}", "sam_own": percent["own_segment"]}
    said |= {"sam_before": percent["prompt_iou"], "sam_after": percent["mask_iou"]}
    names = {"sigma": "σ", "beta": "β", "gamma": "γ", "cos_fac": "λ"}
    said["tuned"] = (
        ", ".join(f"{name} = {page.constants[k]:g}" for k, name in names.items() if k in page.constants) or "the published constants"
    )
    kept = page.constants.get("keep", False)
    said |= {"block": "kept" if kept else "dropped", "block_other": "dropped" if kept else "kept"}
    kinds = (
        "SAM is a stand-in here, trained on drawings; the experiment says how.",
        "This run is on photographs without masks: no verdicts, and a dash where a number needs the truth.",
    )
    said["stand_in"] = kinds[not page.with_truth]
    return {k: str(v) for k, v in said.items()} | {
        k: "–" if v != v else f"{v:.1f}".replace("-", "\N{MINUS SIGN}") for k, v in found.items()
    }
