"""ComCLIP's score and its cut-out pictures against stored values of the released code."""

import json

import pytest
import torch

from clipkit.zeroshot import box_mask, comclip_score, cut_out
from tests.calibration.comclip_official import (
    BOXES,
    HEIGHT,
    MATCHED,
    SENTENCE,
    TRIPLET,
    VALUES,
    WIDTH,
    encode_picture,
    encode_words,
    picture,
)

STORED = json.loads(VALUES.read_text())


def parts_of(name: str) -> dict[str, torch.Tensor]:
    """Subject, object and predicate (3, H, W); our boxes end before their last row and column, the released ones with it."""
    image, (subject, predicate, other) = torch.from_numpy(picture(name)).movedim(2, 0), TRIPLET
    boxes = {
        what: [[x0, y0, x1 + 1, y1 + 1] for x0, y0, x1, y1 in map(BOXES[name].get, matched)] for what, matched in MATCHED[name].items()
    }
    boxes[predicate] = boxes[subject] + boxes[other] if boxes[subject] and boxes[other] else []
    masks = {what: box_mask(torch.tensor(found, dtype=torch.float32).reshape(-1, 4), HEIGHT, WIDTH) for what, found in boxes.items()}
    return {what: cut_out(image, masks[what]) for what in (subject, other, predicate)}


def test_provenance_is_complete():
    assert {"repository", "commit", "call", "value"} <= set(STORED) and len(STORED["commit"]) == 40


@pytest.mark.parametrize("name", ["pos", "neg"])
def test_as_many_pixels_are_blackened(name):
    ours = [int((part == 0).all(0).sum()) for part in parts_of(name).values()]
    theirs = STORED["value"]["as_they_come"]["black_pixels"][name]
    assert ours == [theirs["cat"], theirs["dog"], theirs["predicate"]]


@pytest.mark.parametrize("name", ["pos", "neg"])
@pytest.mark.parametrize("unit", [False, True])
def test_score_1e_6(name, unit):
    text, whole = encode_words(SENTENCE, unit), encode_picture(picture(name), unit)
    found = parts_of(name)
    parts = torch.stack([encode_picture(part.movedim(0, 2).numpy(), unit) for part in found.values()])
    keys = torch.stack([encode_words(what, unit) for what in found])
    ours = comclip_score(text[None], whole[None], parts[None], keys[None], normalise=unit).item()
    assert ours == pytest.approx(STORED["value"]["of_unit_length" if unit else "as_they_come"][name], abs=1e-6)
    # The other convention is another method: on these vectors it gives another number.
    assert abs(comclip_score(text[None], whole[None], parts[None], keys[None], normalise=not unit).item() - ours) > 1e-4 or unit
