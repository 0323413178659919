"""Runs pieces of MetaCLIP's released code on fixed inputs and stores what they say in metaclip.json.

    git clone https://github.com/facebookresearch/MetaCLIP && git -C MetaCLIP checkout f47f784
    python -m tests.calibration.metaclip_official MetaCLIP

The functions are taken from the repository's files as they stand, one by one, because the files import what they do not need here.
Only numbers are kept.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from clipkit.world import NAMES, WorldSpec, crawl, name_shares, sample_scenes

VALUES = Path(__file__).with_name("metaclip.json")
WORDS = ["a", "of", "photo", "a photo", "photo of", "hot", "hot dog", "D.C.", "Cat", "2"]
ENTRIES = [*(name for names in NAMES.values() for name in names), *WORDS]
SPECIAL = ["hot dog, cat.", '"cat" (dog) cat-dog #cat', "CAT Cat cat", "a\tdog\r\na cat", "Washington, D.C.", "", "  cat  "]
SPECIAL += ["`cat`;dog:cat?dog!cat"]
COUNTS = [3, 0, 1, 1, 40, 7, 7, 7, 900, 120, 20, 2, 20, 5000, 60]
THRESHOLDS, SHARES = (1, 2, 7, 20, 21, 500, 5001), (0.001, 0.02, 0.06, 0.2, 0.9)
T, DRAWS = 6, 3000  # threshold and repetitions of the sampling


def texts() -> list[str]:
    return SPECIAL + crawl(sample_scenes(WorldSpec(max_objects=1, zipf=1.0), 300, 3), name_shares(0), 3).captions


def pieces(clone: str, file: str, names: tuple[str, ...], **known) -> dict:
    source = subprocess.check_output(["git", "-C", clone, "show", f"HEAD:{file}"], text=True)
    wanted = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name in names]
    space = dict(known)
    exec(compile(ast.Module(wanted, []), file, "exec"), space)
    return space


def main(clone: str) -> None:
    release = subprocess.check_output(["git", "-C", clone, "rev-parse", "HEAD"], text=True).strip()
    found = {}

    def keep(name: str, call: str, value) -> None:
        found[name] = {"repository": "facebookresearch/MetaCLIP", "release": release, "call": call, "value": value}

    plain = pieces(clone, "metaclip/metaclip1/substr_matching.py", ("spacing", "substr_matching"), spaced_metadata=None)
    matched = [plain["substr_matching"](text, ENTRIES) for text in texts()]
    keep("matching", "substr_matching of metaclip1/substr_matching.py on texts() and ENTRIES", matched)
    curate = pieces(clone, "metaclip/curation/curate.py", ("p_to_t", "t_to_p", "count_to_prob"), np=np)
    counts = np.array(COUNTS, dtype=np.uint64)
    keep("share", "t_to_p of curation/curate.py on COUNTS, for each of THRESHOLDS", [curate["t_to_p"](counts, t) for t in THRESHOLDS])
    keep("threshold", "p_to_t of curation/curate.py on COUNTS, for each of SHARES", [int(curate["p_to_t"](counts, p)) for p in SHARES])
    keep("probability", "count_to_prob of curation/curate.py on COUNTS, t = 20", curate["count_to_prob"](counts, 20).tolist())
    balance = pieces(clone, "metaclip/metaclip1/indexing/balance_sampling.py", ("balance_sampling",), np=np)["balance_sampling"]
    pairs = np.array([(entry, n) for n, ids in enumerate(matched) for entry in ids])
    total = np.bincount(pairs[:, 0], minlength=len(ENTRIES)).astype(np.uint64)
    np.random.seed(0)  # noqa: NPY002 (their code draws from it)
    times = np.zeros(len(matched))
    for _ in range(DRAWS):
        times[balance(total, pairs, T)] += 1
    keep("sampling", "times kept in DRAWS calls of indexing/balance_sampling.py, max_match = T, np.random.seed(0)", times.tolist())
    VALUES.write_text(json.dumps(found, indent=None, separators=(", ", ": ")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
