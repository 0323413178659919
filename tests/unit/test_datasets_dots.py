"""Pictures with a dot for every object: folders with a table, and crowds of the world."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clipkit.datasets.dots import dotted_photographs, dotted_scenes
from clipkit.errors import ClipkitError
from clipkit.notices import notices


@pytest.fixture
def cells(tmp_path):
    """Nine pictures of 60 x 40 pixels, picture i with i objects, one of them of another kind; the last has no line."""
    (tmp_path / "images").mkdir()
    rows, rng = ["filename,kind,xmin,ymin,xmax,ymax"], np.random.default_rng(0)
    for i in range(9):
        Image.fromarray(rng.integers(0, 255, (40, 60, 3)).astype(np.uint8)).save(tmp_path / "images" / f"{i}.png")
        rows += [f"{i}.png,{'white' if k == 0 else 'red'},{4 * k},10,{4 * k + 2},20" for k in range(i if i < 8 else 0)]
    (tmp_path / "boxes.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def rewrite(cells, old, new, table="boxes.csv"):
    text = (cells / "boxes.csv").read_text().replace(old, new, 1)
    (cells / "boxes.csv").unlink()
    (cells / table).write_text(text)


def test_boxes_become_dots(cells):
    found = dotted_photographs(f"folder:{cells}")
    assert [len(points) for points in found.dots] == [0, 1, 2, 3, 4, 5, 6, 7, 0]
    assert found.dots[2].tolist() == [[1, 15], [5, 15]]
    assert any("2 of 9 pictures have no line in boxes.csv" in said for said in notices())
    assert [len(p) for p in dotted_photographs(str(cells), "red").dots] == [0, 0, 1, 2, 3, 4, 5, 6, 0]
    first, second = found.halves()
    assert (len(first), len(second)) == (4, 5) and not set(first.data.paths) & set(second.data.paths)


def test_dots_and_sized_boxes_are_read_too(cells):
    boxes = dotted_photographs(str(cells))
    rewrite(cells, "xmin,ymin,xmax,ymax", "x,y,w,h", "instances.csv")
    assert dotted_photographs(str(cells)).dots[2].tolist() == [[1, 20], [4 + 3, 20]]
    (cells / "instances.csv").unlink()
    lines = [f"{i}.png,{x},{y}" for i, points in enumerate(boxes.dots) for x, y in points]
    (cells / "dots.csv").write_text("\n".join(["filename,x,y", *lines]))
    dots = dotted_photographs(str(cells))
    assert all(np.array_equal(a, b) for a, b in zip(dots.dots, boxes.dots, strict=True)) and dots.fingerprint == boxes.fingerprint


def test_dots_move_with_their_pictures(cells):
    found = dotted_photographs(str(cells))
    before, made = found.fingerprint, found.at(128, 16)
    assert made.pictures.shape == (9, 128, 192, 3)
    assert np.allclose(made.dots[2], found.dots[2] * [192 / 60, 128 / 40])
    Image.new("RGB", (30, 80)).save(cells / "images" / "2.png")  # of another shape: brought to that of the first
    other = dotted_photographs(str(cells))
    assert np.allclose(other.at(128, 16).dots[2], found.dots[2] * [192 / 30, 128 / 80]) and other.fingerprint != before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3.png,white,0", "30.png,white,0", "line .*there is no picture '30.png'"),
        ("3.png,white,0", "3.png,white,left", "must be numbers of pixels"),
        ("3.png,white,0,10,2,20", "3.png,white,0,10,2,200", "3.png: an object lies outside its picture of 60 × 40"),
        ("xmin", "left", "no column 'xmin'"),
    ],
)
def test_one_clear_error(cells, old, new, message):
    rewrite(cells, old, new)
    with pytest.raises(ClipkitError, match=message):
        dotted_photographs(str(cells))


def test_what_is_wanted_is_said(cells, tmp_path):
    with pytest.raises(ClipkitError, match="unknown kind of object.*'reed'"):
        dotted_photographs(str(cells), "reed")
    for i in range(2, 9):
        (cells / "images" / f"{i}.png").unlink()
    with pytest.raises(ClipkitError, match="2 pictures are too few"):
        dotted_photographs(str(cells))
    (cells / "boxes.csv").unlink()
    with pytest.raises(ClipkitError, match=r"has no table of objects: dots.csv \(filename, x, y\) or"):
        dotted_photographs(f"folder:{cells}")


def test_crowds_of_the_world_are_counted():
    made = dotted_scenes("train", 6, 0, (3, 9))
    assert made.pictures.shape == (6, 128, 128, 3) and all(3 <= len(p) <= 9 and p.max() <= 128 for p in made.dots)
    assert dotted_scenes("test", 6, 0, (3, 9)).fingerprint != made.fingerprint == dotted_scenes("train", 6, 0, (3, 9)).fingerprint


def test_squares_show_the_numbers_that_are_asked():
    from scipy.ndimage import label

    from clipkit.datasets import ArrayImages, Dataset
    from clipkit.datasets.dots import DottedPhotographs

    rng, grid = np.random.default_rng(0), np.stack(np.meshgrid(np.arange(8, 160, 24), np.arange(8, 160, 24)), 2).reshape(-1, 2)
    dots = [(grid + rng.integers(0, 9, grid.shape)).astype(np.float32) for _ in range(3)]
    pictures = np.zeros((3, 164, 164, 3), np.uint8)
    for picture, points in zip(pictures, dots, strict=True):
        for x, y in points.astype(int):
            picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    photographs = DottedPhotographs(Dataset("dots", "all", ArrayImages(pictures)), dots)
    seen, numbers = photographs.squares((1, 4, 9), 4, 1, 200)
    assert seen.shape == (12, 200, 200, 3) and numbers.tolist() == [1] * 4 + [4] * 4 + [9] * 4
    assert [label(square.max(2) > 100)[1] for square in seen] == numbers.tolist()
    again, other = (photographs.squares((1, 4, 9), 4, seed, 200)[0] for seed in (1, 2))
    assert np.array_equal(seen, again) and not np.array_equal(seen, other)
    with pytest.raises(ClipkitError, match="things found"):
        photographs.squares((60,), 1, 0, 32)
