"""`features:PATH`: vectors that some model made of pictures (and of texts), in place of the pictures, for pages that need no pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clipkit.datasets.base import Dataset, cut
from clipkit.datasets.classnames import numbered
from clipkit.datasets.images import ArrayImages
from clipkit.datasets.local_paths import candidates, find
from clipkit.datasets.splits import SPLITS, split_of
from clipkit.datasets.table import read_table
from clipkit.errors import ClipkitError, unknown

KINDS = (".npy", ".npz", ".safetensors", ".pt")
_COLUMNS, _FACTS = ("label", "caption", "split"), ("classnames", "texts", "scale")


class VectorImages(ArrayImages):
    """Vectors (N, D) float32 where a data set has its images; whoever asks for a picture is told that there is none."""

    def __init__(self, array: np.ndarray, names=None):
        self.array, self.names = array, names

    def __getitem__(self, i: int):
        raise ClipkitError(f"{self.name(i)} is a vector, no picture; what needs pictures takes folder:PATH")


class VectorFile(NamedTuple):
    """All rows; the split of each, or None; the vectors of T texts, or None; the scale of the logits."""

    dataset: Dataset
    splits: np.ndarray | None
    text: dict[str, np.ndarray] | None
    scale: float


def load(tail: str, split: str, root: str | Path | None, seed: int, *, fractions: tuple[float, float, float] | None = None) -> Dataset:
    """A data set whose `images.array` is (N, D) float32, of unit length. `load_model` of the same name is the model to it.

    Without a column "split" everything is "test", unless `fractions` (train, val, test) asks for a stratified cut. The only
    template is "{}": a class name is the text that its vector stands for. For the layout see `read_vectors`.
    """
    held, split = read_vectors(tail, root), split_of(split) or split
    if held.splits is None or fractions is not None:
        dataset = cut(held.dataset, split, fractions, seed)
    elif split in held.splits:
        dataset = held.dataset.subset(held.splits == split)
    else:
        raise unknown(f"split of {held.dataset.name}", split, sorted(set(held.splits.tolist())))
    dataset.split = split
    return dataset


def read_vectors(tail: str, root: str | Path | None = None) -> VectorFile:
    """A file of vectors and what lies beside it.

    PATH.npy holds the image vectors (N, D), and PATH.text.npy, if it is there, those of texts (T, D). PATH.npz, PATH.safetensors
    and PATH.pt (weights only) hold them by name: "image" and, as far as there are any, "text" and "labels" (N,).
    Beside it, both optional: PATH.csv, a line for each image vector with columns among label, caption, split; PATH.json with
    keys among classnames, texts (T of them), scale (of the logits; 100). Text vectors are of `texts`; without these of the
    class names, or of the captions, whichever are as many.

    Raises ClipkitError: no such file, one that cannot be read, wrong shapes, NaN or zero vectors (naming the first row), an
    empty cell, numbers of vectors and lines that differ, texts that nobody names.
    """
    path, name = find(tail, root), f"features:{tail}"
    if not path.is_file():
        raise ClipkitError(f"{name}: no such file; looked for {' and '.join(str(place.absolute()) for place in candidates(tail, root))}")
    held, facts = _arrays(path), _facts(path.with_suffix(".json"))
    image = _unit(held.get("image"), f"{path}, 'image'")
    column = _columns(path.with_suffix(".csv"), len(image))
    labels, classnames = held.get("labels"), facts.get("classnames")
    if "label" in column:
        number, names = numbered(column["label"], name)
        number, classnames = (number, names) if classnames is None else ({c: i for i, c in enumerate(classnames)}, classnames)
        labels = [number.get(label, -1) for label in column["label"]]
        if -1 in labels:
            raise unknown(f"label of {name}", column["label"][labels.index(-1)], classnames)
    text, captions = held.get("text"), column.get("caption")
    if text is not None:
        text = _unit(text, f"{path}, 'text'", image.shape[1])
        options = [said for said in (facts.get("texts"), classnames, captions) if said is not None]
        said = next((said for said in options if len(said) == len(text)), None)
        if said is None:
            sizes = " or ".join(str(len(said)) for said in options) or "no"
            raise ClipkitError(f"{path}: {len(text)} text vectors, but {sizes} texts; name them as 'texts' in {path.stem}.json")
        text = dict(zip(reversed(said), text[::-1], strict=True))  # of equal texts the first
    images = VectorImages(image, [f"{name} row {i}" for i in range(len(image))])
    dataset = Dataset(name, "test", images, labels, classnames, captions=captions and [[caption] for caption in captions])
    return VectorFile(dataset, column.get("split"), text, float(facts.get("scale", 100.0)))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix not in KINDS:
        raise unknown("kind of file of vectors", path.suffix, KINDS)
    try:
        if path.suffix == ".npy":
            text = path.with_suffix(".text.npy")
            return {"image": np.load(path)} | ({"text": np.load(text)} if text.is_file() else {})
        if path.suffix == ".npz":
            return dict(np.load(path))
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            held = load_file(path)
        else:
            import torch

            held = torch.load(path, map_location="cpu", weights_only=True)
            held = held if isinstance(held, dict) else {"image": held}
        return {key: (x.float() if x.is_floating_point() else x).numpy() for key, x in held.items()}
    except Exception as error:  # numpy, pickle, zip and safetensors have a family of errors each
        raise ClipkitError(f"{path} cannot be read ({type(error).__name__}: {str(error).partition(chr(10))[0]}); write it again") from error


def _facts(path: Path) -> dict:
    try:
        facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise ClipkitError(f"{path} is not valid JSON: {error}") from error
    if strange := [key for key in facts if key not in _FACTS]:
        raise unknown(f"key of {path}", strange[0], _FACTS)
    return facts


def _columns(path: Path, n: int) -> dict:
    """The n cells of each column that means something; nothing when there is no table."""
    columns, rows = read_table(path, ()) if path.is_file() else (_COLUMNS[:0], [])
    if path.is_file() and len(rows) != n:
        raise ClipkitError(f"{path} has {len(rows)} lines for {n} vectors; give one line for each")
    known = [column for column in _COLUMNS if column in columns]
    if rows and not known:
        raise ClipkitError(f"{path} has none of the columns {', '.join(_COLUMNS)}, but {', '.join(columns)}")
    for row in rows:
        if empty := [column for column in known if not row[column]]:
            raise ClipkitError(f"{path}, line {row.line}: no {empty[0]} (the cell is empty); fill it in")
        if "split" in known and split_of(row["split"]) is None:
            raise unknown(f"split in {path}, line {row.line}:", row["split"], SPLITS)
    found = {column: [row[column] for row in rows] for column in known}
    return found | ({"split": np.array([split_of(one) for one in found["split"]])} if "split" in found else {})


def _unit(x: np.ndarray | None, what: str, width: int | None = None) -> np.ndarray:
    """(N, D) float32, each row of unit length."""
    if x is None or x.ndim != 2 or not len(x) or x.dtype.kind != "f" or width not in (None, x.shape[1]):
        got = "nothing" if x is None else f"{x.shape} {x.dtype}"
        raise ClipkitError(f"{what}: want vectors of floating-point numbers (N, {width or 'D'}), got {got}")
    length = np.linalg.norm(x.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.isfinite(length) & (length > 0)))
    if len(bad):
        raise ClipkitError(f"{what}: {len(bad)} rows are zero, NaN or infinite, the first is row {bad[0]}; compute them again")
    return (x / length[:, None]).astype(np.float32)
