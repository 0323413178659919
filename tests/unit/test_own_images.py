"""Folders and tables as people have them: read as they were meant, or refused in one sentence, never misread in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipkit.datasets import load_dataset, shared_images, warn_of_shared
from clipkit.datasets.classnames import class_names, numbered, readable
from clipkit.datasets.splits import split_of
from clipkit.datasets.unreadable import unreadable
from clipkit.errors import ClipkitError
from clipkit.notices import forget, notices


@pytest.fixture(autouse=True)
def _fresh(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()


def paint(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)
    return path


def tree(root: Path, *folders: str, n: int = 2) -> Path:
    for k, folder in enumerate(folders):
        for i in range(n):
            paint(root / folder / f"{i}.png", 10 * k + i)
    return root


def table(root: Path, text: str | bytes, n: int = 4) -> str:
    for i in range(n):
        paint(root / f"{i}.png", i)
    (root / "captions.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return f"folder:{root}"


# Splits and classes --------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "TESTING"), ("train", "test")])
def test_split_folders_by_any_case_and_word(tmp_path, names):
    tree(tmp_path, f"{names[0]}/cat", f"{names[0]}/dog", f"{names[1]}/dog")
    train, test = (load_dataset(f"folder:{tmp_path}", s) for s in ("train", "test"))
    assert train.classnames == test.classnames == ["cat", "dog"]
    assert (len(train), test.labels.tolist()) == (4, [1, 1]) and (train.split, test.split) == ("train", "test")


@pytest.mark.parametrize("word", ["val", "valid", "Validation", "dev"])
def test_every_word_for_validation(tmp_path, word):
    tree(tmp_path, "train/cat", f"{word}/cat", n=1)
    assert len(load_dataset(f"folder:{tmp_path}", "val")) == 1 and split_of(word) == "val"


def test_two_folders_for_one_split_are_refused(tmp_path):
    tree(tmp_path, "val/cat", "validation/cat")
    with pytest.raises(ClipkitError, match="'val' and 'validation' both mean the split 'val'"):
        load_dataset(f"folder:{tmp_path}", "val")


def test_a_class_called_train_stays_a_class(tmp_path):
    tree(tmp_path, "train", "bus", "car")
    assert load_dataset(f"folder:{tmp_path}").classnames == ["bus", "car", "train"]


def test_folders_beside_the_splits_and_splits_inside_classes_are_said(tmp_path):
    tree(tmp_path / "a", "train/cat", "test/cat", "extra/cat")
    load_dataset(f"folder:{tmp_path / 'a'}")
    assert "the folders extra are left out" in notices()[-1]
    tree(tmp_path / "b", "cat/train", "cat/test", "dog/train")
    load_dataset(f"folder:{tmp_path / 'b'}")
    assert any("'cat' is taken for a class" in said for said in notices())


def test_tables_of_splits_share_one_numbering(tmp_path):
    table(tmp_path / "train", "image,caption,label\n0.png,a,apple\n1.png,b,bird\n2.png,c,hot_dog\n")
    table(tmp_path / "test", "image,caption,label\n0.png,a,hot dog\n1.png,b,zebra\n")
    train, test = (load_dataset(f"folder:{tmp_path}", s) for s in ("train", "test"))
    assert train.classnames == test.classnames == ["apple", "bird", "hot dog", "zebra"]
    assert train.labels.tolist() == [0, 1, 2] and test.labels.tolist() == [2, 3]


def test_a_table_and_class_folders_share_one_numbering(tmp_path):
    table(tmp_path / "train", "image,caption,label\n0.png,a,apple\n1.png,b,dog\n")
    tree(tmp_path / "test", "cat", "dog", n=1)
    train, test = (load_dataset(f"folder:{tmp_path}", s) for s in ("train", "test"))
    assert train.classnames == test.classnames == ["apple", "cat", "dog"]
    assert train.labels.tolist() == [0, 2] and test.labels.tolist() == [1, 2]


def test_a_split_column_inside_a_split_folder_is_of_that_split(tmp_path):
    table(tmp_path / "train", "image,caption,split\n0.png,a,train\n1.png,b,train\n")
    table(tmp_path / "test", "image,caption,split\n0.png,a,test\n")
    assert len(load_dataset(f"folder:{tmp_path}", "train")) == 2


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("02_daisy", "daisy"),
        ("03-rose", "rose"),
        ("_tulip", "tulip"),
        ("747-400", "747-400"),
        ("3d_printer", "3d printer"),
        ("n01855672", "goose"),
        ("n01855672_goose", "goose"),
        ("7", "7"),
    ],
)
def test_names_of_folders(folder, name):
    assert readable(folder) == name


def test_names_stay_apart_and_what_cannot_be_helped_is_said():
    assert class_names(["1_euro", "2_euro", "50_cent"], "x") == ["1 euro", "2 euro", "50 cent"] and not notices()
    assert class_names(["n99999999", "cat"], "x")[0] == "n99999999"
    assert "1 class names are WordNet ids" in notices()[-1]
    class_names(["Polish", "polish"], "x")
    assert "differ only in capitals" in notices()[-1]
    assert numbered(["b ", "a_c", "a c", "b"], "x") == ({"a c": 0, "a_c": 0, "b": 1, "b ": 1}, ["a c", "b"])


# Files ---------------------------------------------------------------------------------------------


def test_litter_and_hidden_folders_are_no_pictures(tmp_path):
    tree(tmp_path, "cat", "dog", "cat/.ipynb_checkpoints", "cat/@eaDir", "@eaDir", "__MACOSX/cat", ".git/x", "cat/deep/er")
    for name in ("._0.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    found = load_dataset(f"folder:{tmp_path}")
    assert found.classnames == ["cat", "dog"]
    assert found.paths == ["cat/0.png", "cat/1.png", "cat/deep/er/0.png", "cat/deep/er/1.png", "dog/0.png", "dog/1.png"]
    assert not notices()


def test_other_suffixes_are_read_or_counted(tmp_path):
    tree(tmp_path, "dog")
    picture = Image.fromarray(np.full((16, 16, 3), 9, np.uint8))
    (tmp_path / "cat").mkdir()
    for suffix, kind in {"JPG": "JPEG", "jfif": "JPEG", "jpe": "JPEG", "jp2": "JPEG2000", "TIF": "TIFF", "Png": "PNG"}.items():
        picture.save(tmp_path / "cat" / f"x.{suffix}", kind)
    for name in ("a.heic", "b.HEIC", "c", "notes.txt", "labels.json"):
        (tmp_path / "cat" / name).write_bytes(b"x")
    found = load_dataset(f"folder:{tmp_path}")
    assert sum(path.startswith("cat/") for path in found.paths) == 6
    (said,) = notices()
    assert "3 files are not read as images (2 .heic, 1 with no suffix), the first is a.heic" in said


def test_a_class_of_foreign_files_says_which(tmp_path):
    tree(tmp_path, "dog")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.heic").write_bytes(b"x")
    with pytest.raises(ClipkitError, match="'cat' has no images but 1 other files, the first a.heic"):
        load_dataset(f"folder:{tmp_path}")


def test_pictures_beside_the_classes_are_counted(tmp_path):
    paint(tree(tmp_path, "cat", "dog") / "stray.png")
    assert len(load_dataset(f"folder:{tmp_path}")) == 4
    assert "1 images lie beside the class folders, the first is stray.png" in notices()[-1]


def test_unreadable_pictures_are_left_out_counted_and_named(tmp_path):
    tree(tmp_path, "cat", "dog", n=4)
    whole = (tmp_path / "dog" / "3.png").read_bytes()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    (tmp_path / "dog" / "3.png").write_bytes(whole[: len(whole) // 2])
    found = load_dataset(f"folder:{tmp_path}")
    assert found.paths == ["cat/0.png", "cat/2.png", "cat/3.png", "dog/0.png", "dog/1.png", "dog/2.png"]
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    (said,) = notices()
    assert "2 of 8 images looked at cannot be read and are left out" in said and "cat/1.png" in said
    whole_set = load_dataset(f"folder:{tmp_path}", readable=False)
    assert len(whole_set) == 8 and sorted(unreadable(whole_set.images)) == [1, 7]
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "cat" / "1.png")  # mended: seen at once, the outcome is kept by content
    assert len(load_dataset(f"folder:{tmp_path}")) == 7


@pytest.mark.parametrize("n", [3, 6])
def test_a_sample_replaces_what_cannot_be_read(tmp_path, n):
    tree(tmp_path, "cat", "dog", n=4)
    for name in ("cat/0.png", "dog/2.png"):
        (tmp_path / name).write_bytes(b"broken")
    for seed in range(5):
        found = load_dataset(f"folder:{tmp_path}", n=n, seed=seed)
        assert len(found) == n and not {"cat/0.png", "dog/2.png"} & set(found.paths)
        assert [found.images[i].size for i in range(n)] == [(8, 8)] * n


def test_no_readable_picture_is_one_sentence(tmp_path):
    tree(tmp_path, "cat")
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(ClipkitError, match="2 of 2 images looked at cannot be read, so none is left; the first is .*cat/0.png"):
        load_dataset(f"folder:{tmp_path}")


def test_fewer_pictures_than_asked_are_all_taken_and_said(tmp_path):
    tree(tmp_path, "cat", "dog")
    assert len(load_dataset(f"folder:{tmp_path}", n=64)) == 4
    assert "64 images asked of" in notices()[-1] and "all 4 are taken" in notices()[-1]
    with pytest.raises(ClipkitError, match="at least one"):
        load_dataset(f"folder:{tmp_path}", n=0)


def test_pictures_in_both_splits_are_counted_by_content(tmp_path):
    tree(tmp_path, "train/cat", "train/dog", "test/cat")
    shutil.copy(tmp_path / "train" / "dog" / "1.png", tmp_path / "test" / "cat" / "another_name.png")
    train, test = (load_dataset(f"folder:{tmp_path}", s) for s in ("train", "test"))
    assert [test.paths[i] for i in shared_images(train, test)] == ["cat/another_name.png"]
    warn_of_shared(train, test)
    assert "1 of 3 test images are training images too" in notices()[-1]
    forget()
    warn_of_shared(train, train.subset([]))
    assert not notices()


# Tables --------------------------------------------------------------------------------------------

ROWS = "image,caption,label\n0.png,un café,Käse\n1.png,a cat,cat\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_way_a_spreadsheet_saves_a_table(tmp_path, encoding, separator, end):
    name = table(tmp_path, ROWS.replace(",", separator).replace("\n", end).encode(encoding))
    found = load_dataset(name)
    assert found.captions == [["un café"], ["a cat"]] and found.classnames == ["Käse", "cat"]
    assert bool(notices()) == (encoding == "cp1252") and all("'0.png" in said and "café" in said for said in notices())


def test_bytes_of_no_encoding_are_refused_with_the_file(tmp_path):
    with pytest.raises(ClipkitError, match="captions.csv is neither UTF-8 nor UTF-16"):
        load_dataset(table(tmp_path, b"image,caption\n0.png,\x81\x8d\n"))
    with pytest.raises(ClipkitError, match="captions.csv begins as utf-16|captions.csv is damaged: it begins as utf-16"):
        load_dataset(table(tmp_path, b"\xff\xfei\x00m"[:5]))


def test_excels_first_line_empty_lines_and_trailing_separators(tmp_path):
    found = load_dataset(table(tmp_path, "sep=;\nImage ;CAPTION;Label\n0.png;a, b;cat;;\n;;\n\n1.png;c;dog\n"))
    assert found.captions == [["a, b"], ["c"]] and found.classnames == ["cat", "dog"]


def test_a_semicolon_in_a_text_does_not_change_the_separator(tmp_path):
    assert load_dataset(table(tmp_path, "image,caption\n0.png,one; two; three\n")).captions == [["one; two; three"]]


def test_backslashes_of_windows(tmp_path):
    paint(tmp_path / "img" / "0.png", 7)
    found = load_dataset(table(tmp_path, "image,caption\nimg\\0.png,a\n"))
    assert np.asarray(found.images[0])[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,caption,label\n0.png,a,cat\n1.png,b,\n", "line 3: no label"),
        ("image,caption,label\n0.png,a,cat\n1.png,b\n", "line 3: 2 cells, but the header has 3 columns"),
        ("image,caption,label\n0.png,a cat, a dog,cat\n", "line 2: 4 cells, but the header has 3 columns; put a text"),
        ("image,caption\n0.png,a\n\n1.png,b, c\n", "line 4: 3 cells"),
        ('image,caption\n0.png,"two\nlines"\n1.png,b,c\n', "line 4: 3 cells"),
        ("image,caption\n0.png,a\n1.png,\n", "line 3: no caption"),
        ("image,caption\n,a\n", "line 2: no image"),
        ("image,caption,split\n0.png,a,train\n1.png,b,\n", "line 3: no split"),
        ("image,caption,split\n0.png,a,train\n1.png,b,holdout\n", "line 3: split 'holdout' is none of train, val and test"),
        ("image,caption,label\n0.png,a,cat\n0.png,b,dog\n", "line 3: '0.png' is 'dog' here and 'cat' above"),
        ("image,caption,caption\n0.png,a,b\n", "two columns 'caption'"),
        ('image,caption\n0.png,"a cat\n', "after line 1: unexpected end of data"),
        ("image,caption\n7.png,a\n8.png,b\n", "names '7.png', which is not in .*; 2 files are missing in all"),
    ],
)
def test_slips_in_a_table_are_named_by_their_line(tmp_path, text, words):
    with pytest.raises(ClipkitError, match=words):
        load_dataset(table(tmp_path, text), "train" if "split" in text else "test")


def test_cells_are_trimmed_and_splits_recognised(tmp_path):
    name = table(tmp_path, "image,caption,label,split\n0.png,a,cat,test\n1.png,b,cat ,Test\n2.png,c, cat,testing \n3.png,d,cat,Training\n")
    test, train = load_dataset(name, "test"), load_dataset(name, "train")
    assert len(test) == 3 and test.classnames == ["cat"] and train.paths == ["3.png"]


def test_a_table_for_labels_alone_has_no_captions(tmp_path):
    found = load_dataset(table(tmp_path, "image,caption,label\n0.png,,cat\n1.png,,dog\n"))
    assert found.captions is None and found.labels.tolist() == [0, 1]


def test_one_image_in_two_splits_of_a_table_is_said(tmp_path):
    name = table(tmp_path, "image,caption,split\n0.png,a,train\n1.png,b,train\n1.png,b,test\n")
    load_dataset(name, "train")
    assert "1 images are in train and in test" in notices()[-1] and "1.png" in notices()[-1]
