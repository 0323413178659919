"""Photographs with captions and boxes: what is read, what is refused."""

import numpy as np
import pytest
from PIL import Image

from clipkit.datasets.boxes import boxed_photographs, photo_nouns
from clipkit.errors import ClipkitError

CAPTIONS = "image,caption\n" + "".join(f'images/{i}.png,"a dog and a cat, number {i}"\n' for i in range(8))
BOXES = "filename,category,x,y,w,h\n" + "".join(f"{i}.png,Dog,1,2,4,5\n{i}.png,cat,{i},0,3,3\n" for i in range(7))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(8):
        Image.fromarray(np.full((10, 12, 3), 20 * i, np.uint8)).save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "captions.csv").write_text(CAPTIONS)
    (tmp_path / "instances.csv").write_text(BOXES)
    return tmp_path


def test_boxes_belong_to_their_picture_and_parts_are_disjoint(folder):
    val, test = (boxed_photographs(f"folder:{folder}", split) for split in ("val", "test"))
    assert (len(val), len(test)) == (2, 6) and not {*val.data.paths} & {*test.data.paths}
    assert val.fingerprint != test.fingerprint == boxed_photographs(f"folder:{folder}", "test").fingerprint
    for part in (val, test):
        for i, path in enumerate(part.data.paths):
            n = int(path[7:-4])
            assert part.captions[i] == [f"a dog and a cat, number {n}"]
            assert part.categories[i] == (["dog", "cat"] if n < 7 else [])
            assert part.boxes[i].tolist() == ([[1, 2, 5, 7], [n, 0, n + 3, 3]] if n < 7 else [])
    assert list(test.subset(np.array([3, 1])).data.paths) == [test.data.paths[3], test.data.paths[1]]


def test_a_moved_box_is_another_data_set(folder):
    before = boxed_photographs(f"folder:{folder}", "test").fingerprint
    (folder / "instances.csv").write_text(BOXES.replace(",1,2,4,5", ",1,2,4,6"))
    assert boxed_photographs(f"folder:{folder}", "test").fingerprint != before


@pytest.mark.parametrize(
    ("line", "said"),
    [("0.png,dog,1,2,x,5", "line 2.*numbers"), ("0.png,dog,1,2,0,5", "line 2.*above 0"), ("0.png,,1,2,3,5", "line 2.*category")],
)
def test_a_box_that_is_none_is_named(folder, line, said):
    (folder / "instances.csv").write_text(f"filename,category,x,y,w,h\n{line}\n")
    with pytest.raises(ClipkitError, match=said):
        boxed_photographs(f"folder:{folder}", "test")


def test_a_folder_without_boxes_says_what_is_wanted(folder):
    (folder / "instances.csv").unlink()
    with pytest.raises(ClipkitError, match="no captions with boxes.*instances.csv"):
        boxed_photographs(f"folder:{folder}", "test")


def test_other_words_for_a_class():
    nouns = photo_nouns(["person", "dog", "bus"])
    assert nouns["women"] == nouns["man"] == "person" and nouns["buses"] == "bus" and nouns["puppy"] == "dog" and "sofa" not in nouns
