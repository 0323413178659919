"""Public arrays of vectors that real CLIPs made, laid out as `features:` files.   python -m builder.realclip SOURCE OUT

SOURCE holds the arrays under the names that their authors gave them (`ARRAYS`). None of them comes with the book: records on
them are made where they lie, and name the file without its folder.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

ARRAYS = {
    "micrographs_clip_vitb32_867.npy, micrographs_867.csv": "Subham2507/mic_hackathon (MIT): micrographs of DoITPoMS by CLIP ViT-B/32",
    "modality_gap_clip_*.npy": "Weixin-Liang/Modality-Gap (MIT): 500 pairs of MSCOCO by CLIP ViT-B/16, trained and with random weights",
    "flickr8k_1000_*": "ketaki-19/CLIP-GPT2-Image-Captioning: 1,000 photographs by CLIP ViT-B/32, a caption each",
    "lvis_v1_*": "facebookresearch/Detic (Apache-2.0): 1,203 names by CLIP ViT-B/32, with the pictures of LVIS that hold them",
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
    np.savez(out / "micrographs.npz", image=image, text=np.ones((len(TECHNIQUES), image.shape[1]), np.float32))
    _table(out / "micrographs.csv", ("label", "split"), [(name, "train" if learns else "test") for _, name, learns in chosen])


def pairs(source: Path, out: Path) -> None:
    """coco_pairs.npz, .csv: pictures and captions, row by row, by the trained model and ("untrained_...") by the untrained one."""
    trained, untrained = (np.load(source / f"modality_gap_clip_{name}.npy") for name in ("vitb16_coco500", "random_init"))
    names = {"image": trained[0], "text": trained[1], "untrained_image": untrained[0], "untrained_text": untrained[1]}
    np.savez(out / "coco_pairs.npz", **names)
    _table(out / "coco_pairs.csv", ("caption",), [(f"caption {i}",) for i in range(len(trained[0]))])


def names(source: Path, out: Path) -> None:
    """names.npz, .csv, .json: 1,000 photographs with a caption each; and 1,203 names, with "pictures" of LVIS that hold each."""
    known = sorted(json.loads((source / "lvis_v1_train_cat_info.json").read_text()), key=lambda one: one["id"])
    said = json.loads((source / "flickr8k_1000_captions.json").read_text())
    text, image = (np.load(source / name).astype(np.float32) for name in ("lvis_v1_clip_a+cname.npy", "flickr8k_1000_clip_vitb32_images.npy"))
    np.savez(out / "names.npz", image=image, text=text, pictures=np.array([one["image_count"] for one in known]))
    (out / "names.json").write_text(json.dumps({"texts": [one["name"].replace("_", " ") for one in known]}))
    _table(out / "names.csv", ("caption",), [(caption,) for caption in said])


def _table(path: Path, columns: tuple, rows: list) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    for make in (micrographs, pairs, names):
        make(source, out)
