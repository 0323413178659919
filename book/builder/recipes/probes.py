"""What a model can and cannot do in the world: the numbers on a checkpoint's card.

Every probe uses scenes the model has not seen (its own seed) and chance is known, so that a weakness is
measured, not hidden.
"""

from __future__ import annotations

import numpy as np
import torch

from clipkit.pretrain.attribute_binding import scene_features, two_way, word_order
from clipkit.zeroshot import zeroshot_weights

PROBE_SEED = 90_210  # far from every training seed


def zeroshot_accuracy(model, factor: str, n: int = 1500, seed: int = PROBE_SEED, **spec) -> float:
    """Percent of single-object scenes whose `factor` (category, colour, background …) zero-shot names."""
    from clipkit.world import CLASS_TEMPLATES, WorldSpec, classnames, sample_scenes

    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=1, **spec), n, seed)
    labels = getattr(scenes, factor)
    labels = torch.as_tensor(np.asarray(labels if labels.ndim == 1 else labels[:, 0], dtype=np.int64))
    weights = zeroshot_weights(model, classnames(factor), CLASS_TEMPLATES[factor])
    return 100 * (scene_features(model, scenes) @ weights.T).argmax(1).eq(labels).double().mean().item()


def retrieval(model, n: int = 256, seed: int = PROBE_SEED + 1, rounds: int = 4) -> dict[str, float]:
    """Recall (percent) at 1 and 5, image to text and back, among `n` detailed captions; mean of `rounds` draws.

    Captions that two scenes share count as right for both.
    """
    from clipkit.world import WorldSpec, caption_batch, sample_scenes

    totals = {"i2t_r1": 0.0, "i2t_r5": 0.0, "t2i_r1": 0.0, "t2i_r5": 0.0}
    for k in range(rounds):
        scenes = sample_scenes(WorldSpec(), n, seed + k)
        captions = caption_batch(scenes, "detailed", seed=seed)
        same = torch.tensor(np.array([[a == b for b in captions] for a in captions]))  # (n, n) truth, symmetric
        similarity = scene_features(model, scenes) @ model.text_features(captions).T
        for name, matrix in (("i2t", similarity), ("t2i", similarity.T)):
            for top in (1, 5):
                hit = same.gather(1, matrix.topk(top, dim=1).indices).any(1)
                totals[f"{name}_r{top}"] += 100 * hit.double().mean().item() / rounds
    return totals


def counting_accuracy(model, n: int = 1500, seed: int = PROBE_SEED + 10) -> dict[str, float]:
    """Percent right when the model picks the number of equal objects, by true count 1 to 10 (chance: 10)."""
    from clipkit.world import CLASS_TEMPLATES, WorldSpec, classnames, sample_scenes

    scenes = sample_scenes(WorldSpec(min_objects=1, max_objects=10, same_category=1.0), n, seed)
    truth = torch.as_tensor((scenes.category >= 0).sum(1))
    numbers = classnames("count")
    weights = zeroshot_weights(model, numbers, CLASS_TEMPLATES["count"])
    guess = (scene_features(model, scenes) @ weights.T).argmax(1) + 1
    out = {"all": 100 * (guess == truth).double().mean().item()}
    for count in range(1, len(numbers) + 1):
        rows = truth == count
        if rows.any():
            out[str(count)] = 100 * (guess[rows] == count).double().mean().item()
    return out


def relations_and_order(model, n: int = 1000, seed: int = PROBE_SEED + 20) -> dict[str, float]:
    """Two-object scenes: true caption against one with the relation turned round, or colours exchanged."""
    from clipkit.world import WorldSpec, fill, sample_scenes
    from clipkit.world import relations as relations_of
    from clipkit.world.words import OPPOSITE, RELATION_WORDS

    scenes = sample_scenes(WorldSpec(min_objects=2, max_objects=2, textured=0.0), n, seed)
    rows, true, false = [], [], []
    for k in range(len(scenes)):
        scene = scenes[k]
        a, b = scene.objects[:2]
        found = relations_of(scene)
        if found and (a.category, a.colour) != (b.category, b.colour):
            i, relation, j = found[0]
            one, two = (fill("a {}", f"{o.colour} {o.category}") for o in (scene.objects[i], scene.objects[j]))
            rows.append(k)
            true.append(f"{one} {RELATION_WORDS[relation]} {two}")
            false.append(f"{one} {RELATION_WORDS[OPPOSITE[relation]]} {two}")
    return {"relation": two_way(model, true, false, scenes[np.array(rows)]), "word_order": word_order(model, n, seed)}


def card_numbers(model) -> dict:
    """All probes of an image–text model, percent, rounded to one decimal."""
    out: dict = {f"zeroshot_{factor}": zeroshot_accuracy(model, factor) for factor in ("category", "colour", "background")}
    out["retrieval_256"] = retrieval(model)
    out["counting"] = counting_accuracy(model)
    out |= relations_and_order(model)
    return _rounded(out)


def knn_accuracy(features: torch.Tensor, labels: torch.Tensor, test: torch.Tensor, test_labels: torch.Tensor, k: int = 10) -> float:
    """Percent right of the k nearest neighbours' vote (cosine), for towers without a text side."""
    from sklearn.neighbors import KNeighborsClassifier

    head = KNeighborsClassifier(k, metric="cosine").fit(features.numpy(), labels.numpy())
    return 100 * float(head.score(test.numpy(), test_labels.numpy()))


def vision_card_numbers(model, n: int = 3000) -> dict:
    """Nearest-neighbour accuracy of a vision-only model for category, colour and background."""
    from clipkit.world import WorldSpec, sample_scenes

    spec = WorldSpec(min_objects=1, max_objects=1)
    train, test = sample_scenes(spec, n, PROBE_SEED), sample_scenes(spec, 1000, PROBE_SEED + 1)
    a, b = scene_features(model, train), scene_features(model, test)
    first = lambda s, f: torch.as_tensor(getattr(s, f) if getattr(s, f).ndim == 1 else getattr(s, f)[:, 0])  # noqa: E731
    return _rounded({f"knn_{f}": knn_accuracy(a, first(train, f), b, first(test, f)) for f in ("category", "colour", "background")})


def _rounded(value):
    return {k: _rounded(v) for k, v in value.items()} if isinstance(value, dict) else round(value, 1)


def known_failures(numbers: dict) -> list[str]:
    """Sentences about what the numbers of a card show to be weak."""
    said = []
    beyond = [v for k, v in numbers.get("counting", {}).items() if k.isdigit() and int(k) > 4]
    if beyond:
        said.append(f"counting beyond four: {sum(beyond) / len(beyond):.0f} % right (chance 10)")
    for factor in ("colour", "background"):
        if numbers.get(f"knn_{factor}", 100) < 50:
            said.append(f"{factor}: {numbers[f'knn_{factor}']:.0f} % right among nearest neighbours; training hides it")
    for key, what in (("relation", "left/right and above/below"), ("word_order", "which colour belongs to which object")):
        if key in numbers:
            said.append(f"{what}: {numbers[key]:.0f} % right between two captions (chance 50)")
    return said
