"""`torchvision:NAME` and `cifar10`: torchvision's classification data sets, read from files that are already there."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np

from clipkit import paths
from clipkit.datasets.base import Dataset, cut
from clipkit.datasets.classnames import readable
from clipkit.datasets.digits import CLASSNAMES as DIGIT_NAMES
from clipkit.datasets.images import ArrayImages, ImageSequence, LazyImages, UnreadableImage, file_images, to_rgb
from clipkit.datasets.templates import DIGITS, PHOTO, SMALL_PHOTO
from clipkit.errors import ClipkitError, unknown

NAMES = (
    "Caltech101", "Caltech256", "CIFAR10", "CIFAR100", "CLEVRClassification", "Country211", "DTD", "EMNIST", "EuroSAT", "FakeData",
    "FashionMNIST", "FER2013", "FGVCAircraft", "Flowers102", "Food101", "GTSRB", "ImageNet", "Imagenette", "INaturalist", "KMNIST",
    "MNIST", "OxfordIIITPet", "PCAM", "Places365", "QMNIST", "RenderedSST2", "SEMEION", "StanfordCars", "STL10", "SUN397", "SVHN", "USPS",
)  # fmt: skip
_OF_DIGITS = ("MNIST", "QMNIST", "SEMEION", "SVHN", "USPS")
_OTHER_NAMES_OF_SPLITS = {"val": ("val", "valid"), "train": ("train", "trainval")}


def load(
    tail: str,
    split: str,
    root: str | Path | None,
    seed: int,
    *,
    download: bool = False,
    classnames: list[str] | None = None,
    fractions: tuple[float, float, float] | None = None,
    **options,
) -> Dataset:
    """A torchvision data set with its classes; other options go to its class.

    Args:
        tail: its name, in any case ("Food101", "cifar100").
        root: folder torchvision reads (its own layout); default `data/torchvision` of the checkout.
        download: fetch it when it is not there; never done unasked.
        classnames: needed for the few data sets that do not carry theirs.
        fractions: for data sets without splits of their own (EuroSAT, SUN397 ...), shares of train, val, test.
    """
    from clipkit.compat import ensure_torchvision

    ensure_torchvision()
    import torchvision

    by_lower = {name.lower(): name for name in NAMES}
    if tail.lower() not in by_lower:
        raise unknown("torchvision data set", tail, NAMES)
    kind = by_lower[tail.lower()]
    folder = Path(root) if root is not None else paths.data_dir() / "torchvision"
    raw, whole = _open(getattr(torchvision.datasets, kind), kind, split, folder, download, options)

    labels = _labels(raw)
    names = classnames or _classnames(raw, kind)
    if names is None:
        raise ClipkitError(f"torchvision:{kind} does not carry its class names; pass classnames=[...] ({int(labels.max()) + 1} of them)")
    small = kind in ("CIFAR10", "CIFAR100", "STL10")
    dataset = Dataset(
        name="cifar10" if kind == "CIFAR10" else f"torchvision:{kind}",
        split="test" if whole else split,
        images=_images(raw, kind),
        labels=labels,
        classnames=list(names),
        templates=list(DIGITS if kind in _OF_DIGITS else SMALL_PHOTO if small else PHOTO),
    )
    if whole:
        dataset = cut(dataset, split, fractions, seed)
        dataset.split = split
    return dataset


def _open(cls: type, kind: str, split: str, folder: Path, download: bool, options: dict) -> tuple[object, bool]:
    """The torchvision object for this split, and whether it is the whole set because it has no splits."""
    takes = inspect.signature(cls.__init__).parameters
    kwargs = dict(options)
    if "root" in takes:
        kwargs["root"] = str(folder)
    if download:  # a class that cannot download says so itself
        kwargs["download"] = True
    if kind == "EMNIST":
        kwargs.setdefault("split", "digits")  # its own "split" is a choice of alphabet
    tries: list[dict] = [{}]
    if "train" in takes or kind == "EMNIST":
        if split not in ("train", "test"):
            raise unknown(f"split of torchvision:{kind}", split, ["train", "test"])
        tries = [{"train": split == "train"}]
    elif "split" in takes:
        tries = [{"split": s} for s in _OTHER_NAMES_OF_SPLITS.get(split, (split,))]
    error: Exception | None = None
    for attempt in tries:
        try:
            return cls(**kwargs, **attempt), tries == [{}]
        except TypeError as wrong:
            raise ClipkitError(f"torchvision:{kind}: {wrong}; it takes {', '.join(list(takes)[1:])}") from wrong
        except ModuleNotFoundError as wrong:
            raise ClipkitError(f"torchvision:{kind} needs the package {wrong.name}; install it with: pip install {wrong.name}") from wrong
        except ValueError as wrong:  # torchvision's own check of a split's name
            error = error or ClipkitError(f"torchvision:{kind}, split {split!r}: {wrong}")
        except (RuntimeError, OSError) as wrong:
            error = ClipkitError(_how_to_get(kind, folder, download, wrong))
            break
    raise error


def _how_to_get(kind: str, folder: Path, download: bool, why: Exception) -> str:
    if download:
        return f"torchvision:{kind} could not be downloaded to {folder} ({_first_line(why)}); copy its files there from another machine"
    advice = "pass download=True, or root=FOLDER with torchvision's files in it, or use folder:PATH for images in class folders"
    return f"torchvision:{kind} is not at {folder} ({_first_line(why)}); {advice}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _labels(raw) -> np.ndarray:
    """(N,) int64, from whichever attribute this class keeps them in; by looking at every item when there is none."""
    for attribute in ("targets", "_labels", "labels", "y"):
        values = getattr(raw, attribute, None)
        if values is not None and len(values) == len(raw):
            return np.asarray(values).astype(np.int64)
    for attribute in ("_samples", "samples"):
        pairs = getattr(raw, attribute, None)
        if pairs is not None and len(pairs) == len(raw) and not isinstance(pairs[0][1], str):
            return np.array([pair[1] for pair in pairs], dtype=np.int64)
    return np.array([int(raw[i][1]) for i in range(len(raw))], dtype=np.int64)


def _classnames(raw, kind: str) -> list[str] | None:
    if kind in _OF_DIGITS:
        return list(DIGIT_NAMES)
    names = getattr(raw, "classes", None) or getattr(raw, "categories", None)
    if not names:
        return [f"class {i}" for i in range(raw.num_classes)] if kind == "FakeData" else None
    plain = [name[0] if isinstance(name, tuple) else str(name) for name in names]  # ImageNet's are tuples of synonyms
    return [readable(re.sub(r"^\d+[ .]-? ?", "", name)) or name for name in plain]  # "1 - one", "001.ak47"


def _images(raw, kind: str) -> ImageSequence:
    """In memory where torchvision holds an array, files where it holds paths, one by one through its own reader otherwise."""
    data = getattr(raw, "data", None)
    data = data.numpy() if hasattr(data, "numpy") else data
    if isinstance(data, np.ndarray) and data.dtype == np.uint8 and len(data) == len(raw):
        if data.ndim == 3:
            data = np.repeat(data[..., None], 3, axis=-1)
        elif data.shape[1] == 3 and data.shape[-1] != 3:
            data = np.ascontiguousarray(data.transpose(0, 2, 3, 1))
        return ArrayImages(data)
    for attribute in ("_image_files", "_images", "_samples", "samples"):
        items = getattr(raw, attribute, None)
        if items is not None and len(items) == len(raw):
            files = [item[0] if isinstance(item, tuple) else item for item in items]
            if all(isinstance(f, (str, Path)) for f in files) and Path(files[0]).is_file():
                return file_images([Path(f) for f in files])

    def read(i: int):
        try:
            return to_rgb(raw[i][0])
        except Exception as error:
            raise UnreadableImage(f"torchvision:{kind} image {i}", error) from error

    def digests(items) -> list[str]:
        import hashlib

        return [hashlib.sha256(np.asarray(read(i)).tobytes()).hexdigest() for i in items]

    return LazyImages(range(len(raw)), read, digests, [f"torchvision:{kind} image {i}" for i in range(len(raw))])
