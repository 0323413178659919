"""`extract`: image features of a data set, decoded ahead of the model, written shard by shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import Tensor

from clipkit import paths
from clipkit.datasets import Dataset, UnreadableImage
from clipkit.errors import ClipkitError
from clipkit.features.reuse import find_pictures, note_pictures
from clipkit.features.store import FORMAT, FeatureStore, key_of, log
from clipkit.features.stream import ahead, cores
from clipkit.kept import read_facts
from clipkit.notices import notice

if TYPE_CHECKING:
    from clipkit.models import DualEncoder

SHARD = 2048  # images a shard: what a kill can cost; independent of the batch, so that any batch finds the same shards
PIECE = 8  # images a decoding job


@dataclass(eq=False)
class Features:
    """Features of the images that could be read.

    Attributes:
        image: (M, D) float32, unit norm, on the CPU.
        index: (M,) int64, their positions in the data set, ascending.
        skipped: (path, reason) of the N - M images that could not be read.
        labels: (M,) int64, or None when the data set has none.
        folder: where they are stored; None without a cache.
        cached: True when a finished extraction was read from disk.
    """

    image: Tensor
    index: Tensor
    skipped: list[tuple[str, str]]
    labels: Tensor | None = None
    folder: Path | None = None
    cached: bool = False

    def __len__(self) -> int:
        return len(self.image)

    def __repr__(self) -> str:
        origin = "from the cache" if self.cached else "computed"
        return f"Features({len(self)} images x {self.image.shape[1]}, {len(self.skipped)} skipped, {origin})"


def extract(
    model: DualEncoder,
    dataset: Dataset,
    batch: int = 256,
    cache: bool = True,
    workers: int | None = None,
    progress: bool = False,
    shard: int = SHARD,
) -> Features:
    """Image features of a data set; a second call with the same weights and images reads them from disk.

    So does a call with some of the images of a data set that was extracted before, whatever it is called.

    The features do not depend on the batch size beyond rounding (about 1e-6 in float32, where a matrix product may
    be summed in another order), nor on the number of workers.

    Args:
        batch: images a forward pass.
        cache: keep and use features under `paths.cache_dir("features")`.
        workers: decoding threads; None is one for each core, 0 decodes in the calling thread.
        progress: show a bar with the time left.
        shard: images a file. A killed run loses at most one; another size does not find the files of this one.

    Raises ClipkitError when a feature is NaN or infinite (naming the first image), when no image can be read,
    or for a batch or shard below 1. A full disk is reported once and costs the cache, not the features.
    """
    if batch < 1 or shard < 1:
        raise ClipkitError(f"batch and shard must be at least 1, not {batch} and {shard}")
    store = _store(model, dataset, shard) if cache else None
    if store is not None and store.finished() is not None:
        image, index = store.rows()
        return _report(dataset, Features(image, index, [(p, r) for _, p, r in store.skipped()], folder=store.folder, cached=True))

    images, positions, skipped, files = [], [], [], []
    known = None if store is None else find_pictures(store, dataset)
    parts = _shards(model, dataset, store, batch, shard, cores() if workers is None else workers, progress)
    for start, part, path in parts if known is None else [(0, known, None)]:
        if store is not None and path is None:
            try:
                path = store.write_shard(start, *part)
            except OSError as error:
                store = _give_up(store, error)
        images.append(part[0])
        positions.append(part[1])
        skipped += part[2]
        files.append(path)
    if store is not None and files:
        try:
            store.write_manifest(files, f"{model.name} {model.pretrained or ''}".strip(), f"{dataset.name} {dataset.split}")
            note_pictures(store, dataset)
        except OSError as error:
            store = _give_up(store, error)
    return _report(
        dataset,
        Features(
            torch.cat(images) if images else torch.empty(0, model.embed_dim),
            torch.cat(positions) if positions else torch.empty(0, dtype=torch.int64),
            [(path, reason) for _, path, reason in skipped],
            folder=None if store is None else store.folder,
            cached=known is not None,
        ),
    )


def _store(model: DualEncoder, dataset: Dataset, shard: int) -> FeatureStore | None:
    identity = {
        "format": FORMAT,
        "model": model.fingerprint,
        "embed_dim": model.embed_dim,
        "image_size": model.image_size,
        "data": dataset.images_fingerprint,
        "images": len(dataset),
        "shard": shard,
    }
    try:
        return FeatureStore(paths.cache_dir("features") / key_of(identity), identity)
    except OSError as error:
        return _give_up(None, error)


def _give_up(store: FeatureStore | None, error: OSError) -> None:
    """Say once that nothing more is cached; what is written stays and is found by the next run."""
    log.warning(
        "features cannot be written to %s (%s); they are computed but not kept. Free some space, or set CLIPKIT_CACHE to another folder.",
        error.filename or (store.folder if store else "the cache"),
        error.strerror or error,
    )


def _shards(model, dataset, store, batch, shard, workers, progress) -> Iterator[tuple[int, tuple[Tensor, Tensor, list], Path | None]]:
    """(start, (image, index, skipped), path or None) of each shard in order: found on disk, or computed."""

    def plan() -> Iterator[tuple[int, range, Path | None]]:
        for start in range(0, len(dataset), shard):
            stop = min(start + shard, len(dataset))
            # looked up when its turn comes: an earlier run, or another process meanwhile, may have finished it
            found = None if store is None else store.find_shard(start)
            step = stop - start if found else batch
            for low in range(start, stop, step):
                yield start, range(low, min(low + step, stop)), found

    def pieces(item) -> list[range]:
        _, rows, found = item
        if found:
            return []
        size = PIECE if dataset.array is None else len(rows)
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    parts: list[tuple[Tensor, Tensor, list]] = []
    stream = ahead(plan(), pieces, lambda piece: _load(model, dataset, piece), workers)
    with _bar(len(dataset), progress) as bar:
        for (start, rows, found), loaded in stream:
            if found:
                stored = load_file(found)
                yield start, (stored["image"], stored["index"], read_facts(found).get("skipped", [])), found
            else:
                parts.append(_encode(model, dataset, loaded))
                if rows.stop == min(start + shard, len(dataset)):
                    image, index, skipped = zip(*parts, strict=True)
                    yield start, (torch.cat(image), torch.cat(index), sum(skipped, [])), None
                    parts = []
            bar.update(len(rows))


def _bar(total: int, shown: bool):
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="image", disable=not shown)


def _load(model, dataset, rows: range) -> tuple[Tensor | None, list[int], list]:
    """Pixels (n, 3, H, W) of the readable images, their positions, and [position, path, reason] of the others."""
    if dataset.array is not None:
        return model.preprocess_batch(dataset.array[rows.start : rows.stop]), list(rows), []
    readable, positions, skipped = [], [], []
    for i in rows:
        try:
            readable.append(dataset.images[i])
            positions.append(i)
        except UnreadableImage as error:
            skipped.append([i, error.path, error.reason])
    return model.preprocess_batch(readable) if readable else None, positions, skipped


@torch.no_grad()
def _encode(model, dataset, loaded: list) -> tuple[Tensor, Tensor, list]:
    """One forward pass over what the decoding threads brought: features (n, D), positions (n,), skipped."""
    pixels = [part[0] for part in loaded if part[0] is not None]
    positions = [i for part in loaded for i in part[1]]
    skipped = [s for part in loaded for s in part[2]]
    if not positions:
        return torch.empty(0, model.embed_dim), torch.empty(0, dtype=torch.int64), skipped
    features = model.encode_image(pixels[0] if len(pixels) == 1 else torch.cat(pixels)).float().cpu()
    wrong = torch.nonzero(~torch.isfinite(features).all(dim=1)).flatten()
    if len(wrong):
        name = dataset.images.name(positions[int(wrong[0])])
        raise ClipkitError(
            f"{model.name} gives NaN or infinite features for {name} ({len(wrong)} of {len(positions)} images in its batch); "
            "check the weights, or use precision='fp32'"
        )
    return features, torch.tensor(positions, dtype=torch.int64), skipped


def _report(dataset: Dataset, features: Features) -> Features:
    """Fill in the labels; say how many images were skipped, in every run and not only in the first (see `notices`)."""
    if features.skipped:
        path, reason = features.skipped[0]
        said = f"{len(features.skipped)} of {len(dataset)} images of {dataset.name} cannot be read"
        if not len(features):
            raise ClipkitError(f"{said}, so there are no features; the first is {path}: {reason}")
        notice(f"{said} and are skipped; the first is {path}: {reason}")
    if dataset.labels is not None:
        features.labels = torch.from_numpy(dataset.labels)[features.index]
    return features
