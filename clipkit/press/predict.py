"""`clipkit classify` and `clipkit retrieve`: what a model says of one's own pictures, as tables.

Features come from `extract`, so a command that was killed goes on with the pictures it has not seen; a table is whole or absent.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from clipkit import checks
from clipkit.datasets import Dataset
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError, unknown
from clipkit.features import extract, text_features
from clipkit.features.extraction import Features
from clipkit.features.text import pool_features
from clipkit.metrics import percent
from clipkit.notices import say_cut
from clipkit.paths import writable, write_atomically

SHARD = 256  # pictures that a kill can cost
AT = (1, 5, 10)  # recall at these ranks


def seen(model, dataset: Dataset, batch: int) -> Features:
    """Features of the pictures that can be read, with a bar; who could not be read is in `skipped`."""
    return extract(model, dataset, batch=batch, progress=True, shard=SHARD)


def classify(model, dataset: Dataset, names: Sequence[str], templates: Sequence[str], batch: int = 64) -> tuple[Features, Tensor]:
    """Features of M readable pictures and their logits (M, C) for C class names, by the mean of all templates.

    Raises ClipkitError for a name that stands twice, a template without {}, no picture that can be read.
    """
    weights = F.normalize(pool_features(model, names, templates).mean(0), dim=-1)
    say_cut(model, [template.replace("{}", name) for template in templates for name in names])
    found = seen(model, dataset, batch)
    return found, model.logit_scale.item() * found.image @ weights.T


def write_predictions(out: Path, dataset: Dataset, found: Features, logits: Tensor, names: Sequence[str], top_k: int) -> None:
    """A line a picture: the `top_k` likeliest names with their probability among all names, or why it could not be read."""
    checks.at_least(1, top_k=top_k)
    best = logits.softmax(1).topk(min(top_k, len(names)))
    width, why = best.values.shape[1], dict(found.skipped)
    told = dict.fromkeys(range(len(dataset)), [""] * 2 * width)
    for i, scores, classes in zip(found.index.tolist(), best.values.tolist(), best.indices.tolist(), strict=True):
        told[i] = [cell for score, c in zip(scores, classes, strict=True) for cell in (names[c], f"{score:.4f}")]
    header = ["image", *(f"{word}_{k}" for k in range(1, width + 1) for word in ("name", "score")), "problem"]
    rows = ([path, *told[i], why.get(dataset.images.name(i), "")] for i, path in enumerate(dataset.paths))
    _write(out, header, rows)


def read_labels(table: Path, dataset: Dataset, names: Sequence[str]) -> Tensor:
    """(N, C) bool from a table with columns image and label; a picture with several has several lines, or "cat|dog".

    Raises ClipkitError with the line of a picture or a label that is not known.
    """
    _, rows = read_table(table, ("image", "label"))
    where = {path: i for i, path in enumerate(dataset.paths)}
    truth = torch.zeros(len(dataset), len(names), dtype=torch.bool)
    for row in rows:
        if row["image"] not in where:
            raise ClipkitError(f"{table}, line {row.line}: there is no picture {row['image']!r} below the folder; correct the line")
        for label in filter(None, map(str.strip, row["label"].split("|"))):
            if label not in names:
                raise unknown(f"label in {table}, line {row.line}:", label, names)
            truth[where[row["image"]], list(names).index(label)] = True
    return truth


def mean_average_precision(truth: Tensor, logits: Tensor) -> float:
    """Percent; the mean over classes with a picture of how well a class's logits rank its pictures. Both (M, C)."""
    from sklearn.metrics import average_precision_score

    there = truth.any(0)
    if not there.any():
        raise ClipkitError("no readable picture has a label; mean average precision needs some")
    return 100 * float(average_precision_score(truth[:, there].numpy(), logits[:, there].numpy(), average="macro"))


def ranks(images: Tensor, texts: Tensor, owner: Tensor) -> tuple[Tensor, Tensor]:
    """Of each text (T, D) the rank of its picture among images (M, D); of each picture the rank of its best text. First is 1.

    `owner` (T,): the row of a text's picture. Whatever scores the same as the right answer counts as ahead of it.
    """
    of_image, of_text = [], []
    for part, own in zip(texts.split(1024), owner.split(1024), strict=True):
        scores = part @ images.T
        of_image.append((scores >= scores.gather(1, own[:, None])).sum(1))
    for i, row in enumerate(images):
        scores, own = texts @ row, owner == i
        of_text.append(1 + (scores[~own] >= scores[own].max()).sum())
    return torch.cat(of_image), torch.stack(of_text)


def retrieve(model, dataset: Dataset, out: Path, batch: int = 64) -> tuple[Features, dict[str, list[float]]]:
    """Features of the readable pictures; percent of captions that find their picture, and of pictures that find a caption, among
    the first 1, 5 and 10. Writes a line a caption with both ranks. Raises ClipkitError without captions.
    """
    if dataset.captions is None:
        raise ClipkitError(f"{dataset.name} has no captions; give a folder with a captions.csv of columns image and caption")
    found = seen(model, dataset, batch)
    told = [(row, text) for row, i in enumerate(found.index.tolist()) for text in dataset.captions[i]]
    texts, owner = [text for _, text in told], torch.tensor([row for row, _ in told])
    say_cut(model, texts)
    of_image, of_text = ranks(found.image, text_features(model, texts), owner)
    paths = [dataset.paths[i] for i in found.index.tolist()]
    lines = [[paths[row], text, int(rank), int(of_text[row])] for (row, text), rank in zip(told, of_image, strict=True)]
    there = set(paths)
    lines += [[path, "", "", ""] for path in dataset.paths if path not in there]
    _write(out, ["image", "caption", "rank_of_image", "rank_of_caption"], lines)
    both = {"text to image": of_image, "image to text": of_text}
    return found, {way: [percent(rank <= k) for k in AT] for way, rank in both.items()}


def _write(out: Path, header: list[str], rows) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    writable(out.resolve().parent)
    write_atomically(out, text.getvalue())
