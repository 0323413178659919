"""Runs ComCLIP's released code for ComVG on two small pictures with boxes; stores what it says.

    git clone https://github.com/eric-ai-lab/ComCLIP
    python -m tests.calibration.comclip_official ComCLIP

`ComVG/comclip.py` and `ComVG/helper_function.py` are executed as they stand. Stand-ins meet what is not there: CLIP (two fixed
linear encoders), pandas (no table is read), the command line, and a graphics card (`cuda` does nothing). The script uses three
names that it does not define (`args.data_path`, `CAPTION_PATH`, `MATCHING_PATH`): they are given. Only numbers are kept.
With encoders of unit length the same lines compute what `winoground/comclip.py` does with CLIP's normalised output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import torch
from PIL import Image

VALUES = Path(__file__).with_name("comclip.json")
HEIGHT, WIDTH, CELLS, DIMS = 20, 24, 4, 6
SENTENCE, TRIPLET = "the small cat chases a dog", ["cat", "chases", "dog"]
# What the detector calls each box (x0 y0 x1 y1, the last row and column included), and which of these names match subject and object.
BOXES = {
    "pos": {"a cat": [2, 3, 9, 12], "a tail": [8, 1, 11, 6], "a dog": [13, 8, 21, 17]},
    "neg": {"a cat": [4, 9, 12, 18], "a ball": [15, 2, 20, 7]},
}
MATCHED = {"pos": {"cat": ["a cat", "a tail"], "dog": ["a dog"]}, "neg": {"cat": ["a cat"], "dog": []}}


def picture(name: str) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 without a black pixel, which the released code would take for outside of the box."""
    y, x, c = np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), np.arange(3), indexing="ij")
    phase = {"pos": 0.3, "neg": 1.7}[name]
    return (130 + 110 * np.sin(0.5 * x * (c + 1) + 0.37 * y + phase + c)).clip(2, 255).astype(np.uint8)


def encode_picture(image: np.ndarray, unit: bool) -> torch.Tensor:
    """(DIMS,) float64 of a picture (HEIGHT, WIDTH, 3): means of cells, mixed by a fixed table. `unit`: of unit length."""
    cells = image.astype(np.float64).reshape(CELLS, HEIGHT // CELLS, CELLS, WIDTH // CELLS, 3).mean((1, 3)).reshape(-1) / 255
    table = np.cos(0.7 * np.arange(DIMS)[:, None] + 0.11 * np.arange(cells.size)) + 0.8
    found = torch.from_numpy(table @ cells)
    return found / found.norm() if unit else found


def encode_words(words: str, unit: bool) -> torch.Tensor:
    """(DIMS,) float64 of a text, from its letters."""
    k = np.arange(1, DIMS + 1)
    found = torch.from_numpy(1.5 + sum(np.sin(k * (ord(letter) + 3 * place)) for place, letter in enumerate(words)) / len(words))
    return found / found.norm() if unit else found


class _Model:
    def __init__(self, unit: bool):
        self.unit = unit

    def cuda(self, *_):
        return self

    eval = cuda

    def encode_image(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.stack([encode_picture(one.numpy(), self.unit) for one in pictures])

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.stack([encode_words("".join(map(chr, row.tolist())), self.unit) for row in tokens])


def run(clone: str, unit: bool) -> dict[str, float]:
    """The score of the right and of the wrong picture, by the released `compute_one_row`."""
    folder = Path(clone) / "ComVG"
    helper = types.ModuleType("helper_function")
    exec(compile((folder / "helper_function.py").read_text(), "helper_function.py", "exec"), helper.__dict__)
    tokens = lambda text: torch.tensor([[ord(letter) for letter in text]])  # noqa: E731
    clip = types.SimpleNamespace(load=lambda name, device: (_Model(unit), lambda image: np.asarray(image.convert("RGB"))), tokenize=tokens)
    with tempfile.TemporaryDirectory() as place:
        for name in BOXES:
            Image.fromarray(picture(name)).save(f"{place}/{name}.jpg", format="PNG")
            Path(f"{place}/{name}.json").write_text(json.dumps({what: [box] for what, box in BOXES[name].items()}))
            Path(f"{place}/7-{name}.match").write_text(json.dumps(MATCHED[name]))
        args = types.SimpleNamespace(image_path=place, data_path="")
        parser = types.SimpleNamespace(add_argument=lambda *_, **__: None, parse_args=lambda: args)
        modules = {"helper_function": helper, "clip": clip, "pandas": types.SimpleNamespace(read_csv=lambda path: None)}
        modules["argparse"] = types.SimpleNamespace(ArgumentParser=lambda **_: parser)
        before, cuda = {name: sys.modules.get(name) for name in modules}, torch.Tensor.cuda
        sys.modules.update(modules)
        torch.Tensor.cuda = lambda self, *_: self
        try:
            space = {"__name__": "comclip", "CAPTION_PATH": f"{place}/{{}}.json", "MATCHING_PATH": f"{place}/{{}}-{{}}.match"}
            exec(compile((folder / "comclip.py").read_text(), "comclip.py", "exec"), space)
            row = types.SimpleNamespace(
                sentence=SENTENCE, pos_triplet=",".join(TRIPLET), sentence_id=7, pos_image_id="pos", neg_image_id="neg"
            )
            found = space["compute_one_row"](0, row)
            black = {}
            for name in BOXES:
                parts, matched = helper.create_sub_image_obj(7, name, space["IMAGE_PATH"], space["CAPTION_PATH"], space["MATCHING_PATH"])
                [predicate], _ = helper.create_relation_object(parts, *TRIPLET, name, matched, space["IMAGE_PATH"])
                parts = {**parts, "predicate": predicate}
                black[name] = {part: int((np.asarray(image.convert("RGB")) == 0).all(-1).sum()) for part, image in parts.items()}
        finally:
            torch.Tensor.cuda = cuda
            for name, module in before.items():
                sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    return {"pos": found["pos_score"], "neg": found["neg_score"], "black_pixels": black}


def main() -> None:
    clone = sys.argv[1]
    commit = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    row = {"repository": "eric-ai-lab/ComCLIP", "commit": commit, "call": "ComVG/comclip.py: compute_one_row"}
    row["value"] = {"as_they_come": run(clone, False), "of_unit_length": run(clone, True)}
    VALUES.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
