"""One extraction on disk: shards under names made of their content, and the manifest that ties them together.

How a file is written, so that no lock is needed, is told in `clipkit.kept`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from clipkit.errors import ClipkitError
from clipkit.kept import find_tensors, is_whole, read_facts, write_tensors
from clipkit.paths import hash_file, write_atomically

FORMAT = 2  # raise it when what is stored, or how it is computed, changes: older caches are then left alone
MANIFEST = "manifest.json"
log = logging.getLogger("clipkit.features")


def key_of(identity: dict) -> str:
    """Short hash of everything that a set of tensors depends on."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


class FeatureStore:
    """One extraction on disk: `<folder>/manifest.json` and its shards.

    Args:
        folder: where they are.
        identity: what the features depend on (hashes of model and images, sizes); its hash is the key that every
            shard carries. Without it the store can only be read.
    """

    def __init__(self, folder: Path, identity: dict | None = None):
        self.folder, self.identity = Path(folder), identity
        self.key = None if identity is None else key_of(identity)

    @classmethod
    def open(cls, folder: str | Path, model=None, dataset=None) -> FeatureStore:
        """A finished store, for reading rows without knowing how they were made.

        Raises ClipkitError when there is no whole extraction in `folder`, or when it was made by another
        model or from other images than those given.
        """
        store = cls(Path(folder))
        manifest = store.manifest()
        if manifest is None:
            raise ClipkitError(f"{folder} holds no finished features (no readable {MANIFEST}); run extract(model, dataset) to make them")
        identity, made_by, made_from = manifest["identity"], manifest["model"], manifest["data"]
        if model is not None and identity["model"] != model.fingerprint:
            raise ClipkitError(f"the features in {folder} are from model {made_by}, not from {model.name}; extract them with this model")
        if dataset is not None and identity["data"] != dataset.images_fingerprint:
            raise ClipkitError(f"the features in {folder} are of {made_from}, not of {dataset.name}; extract them from these images")
        store.identity, store.key = identity, manifest["key"]
        if any(not is_whole(store.folder / s["file"]) for s in manifest["shards"]):
            raise ClipkitError(f"a shard in {folder} is missing or damaged; run extract(model, dataset) to mend it")
        return store

    def manifest(self) -> dict | None:
        """The manifest, or None when it is absent, unreadable, or not of this store's identity."""
        try:
            found = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
            complete = found["format"] == FORMAT and isinstance(found["shards"], list)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not complete or found["key"] != key_of(found["identity"]):
            return None
        if self.identity is not None and found["identity"] != self.identity:
            log.warning("%s holds features of another model or other images; they are not used", self.folder)
            return None
        return found

    def finished(self) -> dict | None:
        """The manifest when every shard it lists is there and whole, else None."""
        found = self.manifest()
        return found if found and all(is_whole(self.folder / s["file"]) for s in found["shards"]) else None

    def find_shard(self, start: int) -> Path | None:
        return find_tensors(self.folder, f"{start:09d}", self.key)

    def write_shard(self, start: int, image: Tensor, index: Tensor, skipped: list) -> Path:
        """Features (n, D), their positions (n,) int64, and [position, path, reason] of what was skipped. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        facts = {"key": self.key, "skipped": skipped}
        path, _ = write_tensors(self.folder, f"{start:09d}", {"image": image, "index": index}, facts)
        return path

    def write_manifest(self, shards: list[Path], model: str, data: str) -> None:
        """Last of all, so that a manifest always means a finished extraction. Raises OSError."""
        from clipkit import __version__

        entries = []
        for path in shards:
            with safe_open(path, "pt") as stored:
                shape = stored.get_slice("image").get_shape()
            entries.append({"file": path.name, "rows": shape[0], "sha256": hash_file(path)})
        rows = sum(e["rows"] for e in entries)
        manifest = {
            "format": FORMAT,
            "clipkit": __version__,
            "key": self.key,
            "identity": self.identity,
            "model": model,
            "data": data,
            "shape": [rows, self.identity["embed_dim"]],
            "dtype": "float32",
            "shards": entries,
        }
        write_atomically(self.folder / MANIFEST, json.dumps(manifest, indent=1).encode())

    def rows(self, start: int = 0, stop: int | None = None) -> tuple[Tensor, Tensor]:
        """Rows [start, stop) of the features (n, D) and their positions (n,); only these are read, through a memory map."""
        manifest = self.manifest()
        stop = manifest["shape"][0] if stop is None else min(stop, manifest["shape"][0])
        image, index, first = [], [], 0
        for entry in manifest["shards"]:
            lo, hi = max(start - first, 0), min(stop - first, entry["rows"])
            if lo < hi:
                with safe_open(self.folder / entry["file"], "pt") as stored:
                    image.append(stored.get_slice("image")[lo:hi])
                    index.append(stored.get_slice("index")[lo:hi])
            first += entry["rows"]
        if not image:
            return torch.empty(0, manifest["shape"][1]), torch.empty(0, dtype=torch.int64)
        return (torch.cat(image), torch.cat(index)) if len(image) > 1 else (image[0], index[0])

    def skipped(self) -> list[list]:
        """[position, path, reason] of every image that was skipped, from the shards."""
        return [s for entry in self.manifest()["shards"] for s in read_facts(self.folder / entry["file"]).get("skipped", [])]
