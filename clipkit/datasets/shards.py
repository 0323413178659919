"""`wds:SHARDS`: local webdataset tars, read at random by position instead of streamed."""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clipkit.datasets.base import Dataset, cut
from clipkit.datasets.classnames import numbered, readable, words
from clipkit.datasets.fingerprints import file_digests
from clipkit.datasets.images import SUFFIXES, LazyImages, decode
from clipkit.datasets.local_paths import find
from clipkit.datasets.templates import PHOTO
from clipkit.errors import ClipkitError, MissingExtra, unknown

_MEMBER = re.compile(r"^((?:.*/)?[^/.]+)\.([^/]*)$")  # webdataset's rule: the key ends at the first dot of the file's name


@dataclass
class _Sample:
    key: str
    where: tuple[str, int, int] | None = None  # tar, offset, length of the encoded image
    captions: list[str] = field(default_factory=list)
    label: int | str | None = None


def load(
    tail: str,
    split: str,
    root: str | Path | None,
    seed: int,
    *,
    classnames: list[str] | None = None,
    fractions: tuple[float, float, float] | None = None,
) -> Dataset:
    """Samples of tar shards: KEY.jpg (or png, webp ...) with KEY.txt (caption), KEY.cls (label) or KEY.json (both).

    Args:
        tail: paths of tars below `root`, with braces ("train-{0000..0007}.tar"); "{split}" stands for the split.
        classnames: names of the labels; else the lines of classnames.txt beside the first shard. Labels may be words
            (then they are the names, unless names are given, among which they must be) or numbers from 0.
        fractions: see `cut`, for shards whose names do not say their split.

    The tars are indexed once (headers only), then each image is read from its place, so rows can be chosen freely.
    """
    shards = expand(tail.replace("{split}", split), root)
    samples = [sample for shard in shards for sample in _index(shard)]
    if not samples:
        raise ClipkitError(f"wds:{tail} holds no samples")
    for sample in samples:
        if sample.where is None:
            raise ClipkitError(f"wds:{tail}: sample {sample.key!r} has no image (one of {', '.join(sorted(SUFFIXES))})")
    labelled = [sample.label is not None for sample in samples]
    captioned = [bool(sample.captions) for sample in samples]
    for what, has in (("label", labelled), ("caption", captioned)):
        if any(has) and not all(has):
            raise ClipkitError(f"wds:{tail}: sample {samples[has.index(False)].key!r} has no {what}, though others have")
    in_words = [isinstance(sample.label, str) for sample in samples]
    if any(in_words) and not all(in_words):
        some, other = samples[in_words.index(True)], samples[in_words.index(False)]
        raise ClipkitError(f"wds:{tail}: {some.key!r} has the label {some.label!r}, {other.key!r} has {other.label}; use words or numbers")
    beside = shards[0].with_name("classnames.txt")
    if any(in_words) and classnames is None and not beside.is_file():
        classnames = numbered((sample.label for sample in samples), f"wds:{tail}")[1]
    elif any(labelled) and classnames is None:
        if not beside.is_file():
            raise ClipkitError(f"wds:{tail} has labels without names; pass classnames=[...] or write them to {beside}, one a line")
        classnames = beside.read_text(encoding="utf-8").split("\n")
        classnames = classnames[:-1] if classnames[-1] == "" else classnames
    if any(in_words):
        number = {readable(name): i for i, name in reversed(list(enumerate(classnames)))}
        number |= {words(name): i for i, name in reversed(list(enumerate(classnames)))}
        for sample in samples:
            known = next((w for w in (words(sample.label), readable(sample.label)) if w in number), None)
            if known is None:
                raise unknown(f"label of sample {sample.key!r} of wds:{tail}", sample.label, classnames)
            sample.label = number[known]
    names = [f"{Path(sample.where[0]).name}:{sample.key}" for sample in samples]
    dataset = Dataset(
        name=f"wds:{tail}",
        split="test",
        images=LazyImages([(*s.where, name) for s, name in zip(samples, names, strict=True)], _read, _digests, names),
        labels=np.array([s.label for s in samples], dtype=np.int64) if any(labelled) else None,
        classnames=list(classnames) if any(labelled) else None,
        templates=list(PHOTO),
        captions=[s.captions for s in samples] if any(captioned) else None,
        paths=names,
    )
    if "{split}" not in tail:
        dataset = cut(dataset, split, fractions, seed)
    dataset.split = split
    return dataset


def expand(pattern: str, root: str | Path | None) -> list[Path]:
    """Local tars named by a pattern with braces; every one must exist."""
    if "://" in pattern or pattern.startswith("pipe:"):
        raise ClipkitError(f"wds:{pattern}: only local tars; download them first and give their path")
    names = [pattern]
    if "{" in pattern:
        try:
            import braceexpand
        except ImportError as error:
            raise MissingExtra("braceexpand", "hub") from error
        try:
            names = list(braceexpand.braceexpand(pattern))
        except braceexpand.UnbalancedBracesError as error:
            raise ClipkitError(f"wds:{pattern}: a brace is not closed; write for example shard-{{0000..0007}}.tar") from error
    shards = [find(name, root) for name in names]
    absent = [str(shard) for shard in shards if not shard.is_file()]
    if absent:
        raise ClipkitError(f"wds:{pattern}: {len(absent)} of {len(shards)} shards are not there, the first is {absent[0]}")
    return shards


def _index(shard: Path) -> list[_Sample]:
    """Samples of one tar in its order: headers and small text members are read, images are not."""
    samples: dict[str, _Sample] = {}
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                match = _MEMBER.match(member.name)
                if not member.isfile() or match is None:
                    continue
                key, kind = match.group(1), match.group(2).lower()
                sample = samples.setdefault(key, _Sample(key))
                if f".{kind}" in SUFFIXES:
                    sample.where = (str(shard), member.offset_data, member.size)
                elif kind in ("txt", "text", "cls", "json"):
                    _note(sample, kind, tar.extractfile(member).read(), shard)
    except tarfile.TarError as error:
        raise ClipkitError(f"cannot read shard {shard}: {error}; it must be a whole, uncompressed tar") from error
    return list(samples.values())


def _note(sample: _Sample, kind: str, content: bytes, shard: Path) -> None:
    """Put a text member's content into its sample."""
    try:
        if kind in ("txt", "text"):
            sample.captions.append(content.decode("utf-8").strip())
        elif kind == "cls":
            sample.label = _label(content.decode("utf-8"))
        else:
            facts = json.loads(content)
            if not isinstance(facts, dict):
                raise ValueError(f"a mapping is expected, not {type(facts).__name__}")
            caption = facts.get("caption", facts.get("text"))
            captions = [] if caption is None else [caption] if isinstance(caption, str) else caption
            if not isinstance(captions, list) or not all(isinstance(c, str) for c in captions):
                raise ValueError(f"the caption is {caption!r}, not a text or a list of texts")
            sample.captions += captions
            label = facts.get("label", facts.get("cls"))
            sample.label = sample.label if label is None else _label(label)
    except ValueError as error:
        raise ClipkitError(f"{shard}: member {sample.key}.{kind} cannot be understood: {error}") from error


def _label(value: object) -> int | str:
    """A class number, or a class in words. Raises ValueError for what is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"the label is {value!r}, neither a whole number nor a word")
    value = value.strip()
    return int(value) if value.lstrip("+-").isdigit() else value


def _read(item: tuple[str, int, int, str]):
    shard, offset, length, name = item
    with open(shard, "rb") as stream:
        stream.seek(offset)
        return decode(stream.read(length), name)


def _digests(items) -> list[str]:
    """The tar's content and the place in it: hashing whole tars lets a second look cost a `stat`."""
    of_tar = {}
    tars = sorted({item[0] for item in items})
    for tar, digest in zip(tars, file_digests(tars), strict=True):
        of_tar[tar] = digest
    return [f"{of_tar[tar]}:{offset}:{length}" for tar, offset, length, _ in items]
