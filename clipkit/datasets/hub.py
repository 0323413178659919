"""`hf:NAME`: image data sets read with the `datasets` library, from the hub or from a local folder or file."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clipkit import paths
from clipkit.datasets.base import Dataset
from clipkit.datasets.classnames import class_names, numbered
from clipkit.datasets.images import LazyImages, UnreadableImage, decode
from clipkit.datasets.local_paths import find
from clipkit.datasets.splits import split_of, words_for
from clipkit.datasets.templates import PHOTO
from clipkit.errors import ClipkitError, MissingExtra, unknown
from clipkit.notices import notice

_LABEL_NAMES = ("label", "labels", "fine_label", "class", "target")
_TEXT_NAMES = ("text", "caption", "captions", "sentence", "sentences", "description")
_FILES = {".parquet": "parquet", ".arrow": "arrow"}


def load(
    tail: str,
    split: str,
    root: str | Path | None,
    seed: int,
    *,
    image: str | None = None,
    label: str | None = None,
    text: str | None = None,
    classnames: list[str] | None = None,
    **options,
) -> Dataset:
    """Rows of a hub data set; images, labels and captions are recognised by the type of their column.

    Args:
        tail: a name on the hub ("user/name"), or a local path (below `root`): a folder written by
            `save_to_disk`, a folder of images or parquet files, or one parquet file.
        image, label, text: column names, for when the type does not decide.
        classnames: names of the labels, for a label column that is plain integers.
        options: passed to `datasets.load_dataset`.

    Raises MissingExtra (hub), and ClipkitError for an unreachable hub, an unknown split, or columns that do not decide.
    """
    if importlib.util.find_spec("datasets") is None:
        raise MissingExtra("datasets", "hub")
    if not tail:
        raise ClipkitError("hf: needs a name on the hub or a local path, for example hf:user/name")
    rows = _rows(tail, split, root, options)
    columns = _columns(rows, {"image": image, "label": label, "text": text}, tail)
    names = [f"hf:{tail} row {i}" for i in range(len(rows))]
    labels, found_names = _labels(rows, columns["label"], classnames, tail)
    return Dataset(
        name=f"hf:{tail}",
        split=split,
        images=_images(rows, columns["image"], names),
        labels=labels,
        classnames=found_names,
        templates=list(PHOTO),
        captions=_captions(rows, columns["text"], tail),
    )


def _rows(tail: str, split: str, root: str | Path | None, options: dict):
    """The `datasets.Dataset` of one split, under any of its usual names ("val" also finds "validation")."""
    import datasets

    local = find(tail, root)
    cache = str(paths.cache_dir("hub"))
    wanted = words_for(split)
    try:
        if (local / "dataset_dict.json").is_file() or (local / "state.json").is_file():
            found = datasets.load_from_disk(str(local))
        elif local.is_file():
            if local.suffix not in _FILES:
                raise unknown(f"kind of file for hf:{tail}", local.suffix, _FILES)
            found = datasets.load_dataset(_FILES[local.suffix], data_files={split: str(local)}, cache_dir=cache, **options)
        elif local.is_dir():
            found = datasets.load_dataset(str(local), cache_dir=cache, **options)
        else:
            return _from_hub(tail, wanted, options)
    except (datasets.exceptions.DatasetGenerationError, FileNotFoundError, ValueError) as error:
        raise ClipkitError(f"hf:{tail}: the datasets library cannot read {local}: {_first_line(error)}") from error
    if isinstance(found, datasets.Dataset):  # saved without splits: it is whatever it was saved as, so it must not pass for train
        found = {str(found.split or "test"): found}
    for name in wanted:
        if name in found:
            return found[name]
    for name in found:
        if split_of(name) == split:
            return found[name]
    raise unknown(f"split of hf:{tail}", split, found)


def _from_hub(tail: str, wanted: Sequence[str], options: dict):
    import datasets

    error: Exception | None = None
    for name in wanted:
        try:
            return datasets.load_dataset(tail, split=name, **options)
        except ValueError as wrong:  # "Unknown split"
            error = error or ClipkitError(f"hf:{tail}, split {wanted[0]!r}: {_first_line(wrong)}")
        except Exception as wrong:  # offline, no such name, gated ...: the library has a class for each
            raise ClipkitError(
                f"hf:{tail} is neither a local path nor to be had from the hub ({_first_line(wrong)}); "
                "fetch it on a connected machine, save_to_disk(FOLDER), and use hf:FOLDER"
            ) from wrong
    raise error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _columns(rows, asked: dict[str, str | None], tail: str) -> dict[str, str | None]:
    """Which column holds what: the asked one, else the only one of a fitting type, else one with a usual name."""
    import datasets

    features = rows.features
    for column in asked.values():
        if column is not None and column not in features:
            raise unknown(f"column of hf:{tail}", column, features)

    def is_text(feature) -> bool:
        inner = getattr(feature, "feature", feature)  # a list of strings counts
        return isinstance(inner, datasets.Value) and "string" in inner.dtype

    def pick(what: str, candidates: list[str], usual: Sequence[str]) -> str | None:
        if asked[what] or len(candidates) <= 1:
            return asked[what] or (candidates[0] if candidates else None)
        named = [name for name in usual if name in candidates]
        if named:
            return named[0]
        raise ClipkitError(f"hf:{tail} has several columns that could be the {what}: {', '.join(candidates)}; pass {what}=COLUMN")

    image = pick("image", [c for c, f in features.items() if isinstance(f, datasets.Image)], ("image", "img"))
    if image is None:
        raise ClipkitError(f"hf:{tail} has no image column; its columns are: {', '.join(f'{c} ({f})' for c, f in features.items())}")
    label = pick("label", [c for c, f in features.items() if isinstance(f, datasets.ClassLabel)], _LABEL_NAMES)
    if label is None:  # plain integers count only under a usual name
        whole = [c for c, f in features.items() if c in _LABEL_NAMES and isinstance(f, datasets.Value) and "int" in f.dtype]
        label = pick("label", whole, _LABEL_NAMES)
    texts = [c for c, f in features.items() if is_text(f) and c != label]
    if asked["text"] is None and not set(texts) & set(_TEXT_NAMES) and len(texts) > 1:
        texts = []  # several strings, none with a usual name: file names, ids ...; captions are then asked for by name
    return {"image": image, "label": label, "text": pick("text", texts, _TEXT_NAMES)}


def _images(rows, column: str, names: list[str]) -> LazyImages:
    """Encoded images, decoded when asked for; the digest is of the encoded bytes."""
    import datasets

    encoded = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))

    def source(i: int) -> bytes | str:
        cell = encoded[int(i)][column]
        if cell is None:
            raise UnreadableImage(names[i], "the cell is empty")
        return cell["bytes"] if cell["bytes"] is not None else cell["path"]

    def digest(i: int) -> str:
        try:
            content = source(i)
            return hashlib.sha256(content if isinstance(content, bytes) else Path(content).read_bytes()).hexdigest()
        except (UnreadableImage, OSError):
            return "unreadable"

    return LazyImages(range(len(rows)), lambda i: decode(source(i), names[i]), lambda items: [digest(i) for i in items], names)


def _labels(rows, column: str | None, classnames: list[str] | None, tail: str) -> tuple[np.ndarray | None, list[str] | None]:
    import datasets

    if column is None:
        return None, None
    values = list(rows[column])
    if empty := [i for i, v in enumerate(values) if v is None or (isinstance(v, str) and not v.strip())]:
        raise ClipkitError(f"hf:{tail}: row {empty[0]} has no {column!r} ({len(empty)} such rows in all); fill them in or filter them out")
    if isinstance(rows.features[column], datasets.ClassLabel):
        return np.array(values, dtype=np.int64), classnames or class_names(rows.features[column].names, f"hf:{tail}")
    if values and isinstance(values[0], str):
        number, names = numbered(values, f"hf:{tail}")
        return np.array([number[v] for v in values], dtype=np.int64), classnames or names
    if classnames is None:
        raise ClipkitError(f"hf:{tail}: column {column!r} holds integers without names; pass classnames=[...]")
    return np.array(values, dtype=np.int64), list(classnames)


def _captions(rows, column: str | None, tail: str) -> list[list[str]] | None:
    if column is None:
        return None
    found = [list(value) if isinstance(value, (list, tuple)) else [value] for value in rows[column]]
    gaps = [i for i, texts in enumerate(found) if not texts or any(text is None for text in texts)]
    if gaps:
        notice(f"hf:{tail}: {len(gaps)} rows have no caption in {column!r}, the first is row {gaps[0]}; an empty text stands for it")
    return [[text or "" for text in texts] or [""] for texts in found]
