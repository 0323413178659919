"""Public arrays of vectors that real CLIPs made, laid out as `features:` files.   python -m builder.realclip SOURCE OUT

SOURCE holds the arrays under the names that their authors gave them (`ARRAYS`). None of them comes with the book: records on
them are made where they lie, and name the file without its folder.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

ARRAYS = {
    "micrographs_clip_vitb32_867.npy, micrographs_867.csv": "Subham2507/mic_hackathon (MIT): micrographs of DoITPoMS by CLIP ViT-B/32",
    "modality_gap_clip_*.npy": "Weixin-Liang/Modality-Gap (MIT): 500 pairs of MSCOCO by CLIP ViT-B/16, trained and with random weights",
}
# What made the picture; of the commonest as many are kept as of the second, so that it is not two thirds of the test.
TECHNIQUES = {
    "reflected light microscopy": "^Reflected light microscopy$",
    "scanning electron microscopy": "SEM|scanning electron",
    "transmission electron microscopy": "TEM|HREM",
    "atomic force microscopy": "AFM",
    "cross-polarised light microscopy": "^Cross-polarised",
    "transmitted light microscopy": "^Transmitted",
}
TRAINING = 24  # of a class at most, and no more than 3 in 5


def micrographs(source: Path, out: Path) -> None:
    """micrographs.npz, .csv: labels by technique, cut by a fixed lot into train and test.

    Nobody gave vectors of these names, so all of them stand for one direction: zero-shot is at chance and adds nothing to a head.
    """
    with (source / "micrographs_867.csv").open(newline="") as table:
        said = [row["technique"] for row in csv.DictReader(table)]
    kind = [next((name for name, form in TECHNIQUES.items() if re.search(form, one)), None) for one in said]
    most = Counter(filter(None, kind)).most_common(2)[1][1]
    rows = np.random.default_rng(0).permutation(len(kind))
    kept = {name: [r for r in rows if kind[r] == name][:most] for name in TECHNIQUES}
    chosen = sorted((r, name, i < min(TRAINING, 3 * len(own) // 5)) for name, own in kept.items() for i, r in enumerate(own))
    image = np.load(source / "micrographs_clip_vitb32_867.npy")[[r for r, _, _ in chosen]]
    np.savez(out / "micrographs.npz", image=image, text=np.ones((sum(map(bool, kept.values())), image.shape[1])))
    _table(out / "micrographs.csv", ("label", "split"), [(name, "train" if learns else "test") for _, name, learns in chosen])


def pairs(source: Path, out: Path) -> None:
    """coco_pairs.npz and coco_untrained.npz, .csv: the same pictures and captions, by the model and by the one before its training."""
    for kind, name in {"pairs": "vitb16_coco500", "untrained": "random_init"}.items():
        image, text = np.load(source / f"modality_gap_clip_{name}.npy")
        np.savez(out / f"coco_{kind}.npz", image=image, text=text)
        _table(out / f"coco_{kind}.csv", ("caption",), [(f"caption {i}",) for i in range(len(image))])


def _table(path: Path, columns: tuple, rows: list) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for make in (micrographs, pairs):
        make(source, out)
