"""Data sets as their owner says they are: names, templates, columns, splits, shares; and any folder as pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipkit.datasets import load_dataset
from clipkit.datasets.mine import has_splits, mine_of, pairs
from clipkit.errors import ClipkitError
from clipkit.notices import forget, notices


@pytest.fixture(autouse=True)
def _fresh(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()


def paint(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


def flowers(root: Path, n: int = 10) -> str:
    for k, name in enumerate(("daisy", "tulip")):
        for i in range(n):
            paint(root / name / f"{i}.png", 20 * i + k)
    return f"folder:{root}"


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_nothing_said_changes_nothing(tmp_path):
    assert mine_of(flowers(tmp_path), names=None) == f"folder:{tmp_path}"


def test_own_names_and_templates(tmp_path):
    names, templates = (
        written(tmp_path / "n.txt", "oxeye daisy\n\n Tulpe 🌷\n"),
        written(tmp_path / "t.txt", "\ufeffein Foto von {}\n{}, nah"),
    )
    data = load_dataset(mine_of(flowers(tmp_path / "f"), names=names, templates=templates))
    assert data.classnames == ["oxeye daisy", "Tulpe 🌷"] and data.templates == ["ein Foto von {}", "{}, nah"]
    assert data.name == f"folder:{tmp_path / 'f'}" and len(data) == 20 and "daisy → oxeye daisy" in notices()[0]
    some = load_dataset(mine_of(f"folder:{tmp_path / 'f'}", names=written(tmp_path / "s.txt", "tulip = garden tulip")))
    assert some.classnames == ["daisy", "garden tulip"] and data.fingerprint != some.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"names": "one\n"}, "1 names for the 2 classes of folder:.*daisy, tulip"),
        ({"names": "a\na\n"}, "'a' stands for two classes"),
        ({"names": "rose = Rose\n"}, "unknown class of .* 'rose'"),
        ({"names": " \n"}, "is empty"),
        ({"names": None}, "absent.txt cannot be read .*No such file"),
        ({"templates": "a photo\n"}, "template 'a photo' must contain"),
        ({"fractions": "0.5,0.5"}, "not three shares"),
        ({"fractions": "a,b,c"}, "not three shares"),
        ({"fractions": "1,0,0"}, "leave no picture for 'test'"),
        ({"splits": "train"}, "'train' is not NAME=VALUE"),
        ({"splits": "fold=a"}, "unknown name in splits 'fold'"),
        ({"splits": "test=tulips"}, "unknown folder for a split.*did you mean 'tulip'"),
        ({"splits": "train=daisy"}, "unknown split of folder"),
        ({"columns": "image=file"}, "there is no table"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path, settings, message):
    [(kind, text)] = settings.items()
    if kind in ("names", "templates"):
        settings = {kind: str(tmp_path / "absent.txt") if text is None else written(tmp_path / f"{kind}.txt", text)}
    with pytest.raises(ClipkitError, match=message):
        load_dataset(mine_of(flowers(tmp_path / "f", 2), **settings))


def test_settings_of_folders_are_for_folders():
    with pytest.raises(ClipkitError, match="for folder:PATH, not for digits"):
        load_dataset(mine_of("digits", fractions="0.5,0.2,0.3"))


def test_a_split_by_content_is_disjoint_whole_even_and_stays_with_the_pictures(tmp_path):
    here = mine_of(flowers(tmp_path / "a"), fractions="0.6,0.2,0.2")
    parts = {split: load_dataset(here, split) for split in ("train", "val", "test")}
    assert {s: Counter(d.labels.tolist()) for s, d in parts.items()} == {
        "train": {0: 6, 1: 6},
        "val": {0: 2, 1: 2},
        "test": {0: 2, 1: 2},
    }
    assert len({path for part in parts.values() for path in part.paths}) == 20 and all(d.split == s for s, d in parts.items())
    for i, file in enumerate(sorted((tmp_path / "a").rglob("*.png"), reverse=True)):  # the same pictures under other names
        (tmp_path / "b" / file.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / file.parent.name / f"x{i}.png").write_bytes(file.read_bytes())
    there = load_dataset(mine_of(f"folder:{tmp_path / 'b'}", fractions="0.6,0.2,0.2"), "test")
    assert sorted(there.images.each_digest()) == sorted(parts["test"].images.each_digest())


def test_copies_of_a_picture_stay_in_one_part(tmp_path):
    flowers(tmp_path, 6)
    for i in range(6):
        (tmp_path / "daisy" / f"copy{i}.png").write_bytes((tmp_path / "daisy" / f"{i}.png").read_bytes())
    parts = [load_dataset(mine_of(f"folder:{tmp_path}", fractions="0.5,0,0.5"), split) for split in ("train", "test")]
    assert not {*parts[0].images.each_digest()} & {*parts[1].images.each_digest()} and sum(map(len, parts)) == 18


def test_folders_called_otherwise_share_one_numbering(tmp_path):
    for part, name, value in (("lernen", "daisy", 1), ("lernen", "tulip", 2), ("pruefung", "tulip", 3), ("pruefung", "rose", 4)):
        paint(tmp_path / part / name / "0.png", value)
    name = mine_of(f"folder:{tmp_path}", splits="train=lernen,test=pruefung")
    train, test = load_dataset(name, "train"), load_dataset(name, "test")
    assert train.classnames == test.classnames == ["daisy", "rose", "tulip"]
    assert train.labels.tolist() == [0, 2] and [test.classnames[i] for i in test.labels] == ["rose", "tulip"]


def test_columns_and_splits_of_a_table(tmp_path):
    for i in range(4):
        paint(tmp_path / "img" / f"{i}.png", i)
    rows = ["img/0.png;ein Hund;dog;a", "img/1.png;eine Katze, müde;cat;a", "img/2.png;noch ein Hund;dog;b", "img/3.png;nichts;cat;c"]
    written(tmp_path / "liste.csv", "\n".join(["Datei;Text;Art;fold", *rows]))
    columns = "table=liste.csv,image=Datei,caption=Text,label=Art,split=fold"
    name = mine_of(f"folder:{tmp_path}", columns=columns, splits="train=a,test=b")
    train, test = load_dataset(name, "train"), load_dataset(name, "test")
    assert train.captions == [["ein Hund"], ["eine Katze, müde"]] and train.labels.tolist() == [1, 0] and train.paths[0] == "img/0.png"
    assert test.captions == [["noch ein Hund"]] and test.classnames == ["cat", "dog"] and test.labels.tolist() == [1]
    whole = load_dataset(mine_of(f"folder:{tmp_path}", columns=columns.rpartition(",")[0]))
    assert len(whole) == 4
    with pytest.raises(ClipkitError, match="has no column 'gruppe'"):
        load_dataset(mine_of(f"folder:{tmp_path}", columns=f"{columns},split=gruppe".replace("split=fold,", "")))


def test_what_says_its_splits(tmp_path):
    assert not has_splits(flowers(tmp_path / "flat", 1)) and has_splits("digits")
    paint(tmp_path / "two" / "Train" / "cat" / "0.png", 0)
    assert has_splits(f"folder:{tmp_path / 'two'}")
    for header, told in (("image,caption", False), ("image,caption,split", True)):
        paint(tmp_path / header / "0.png", 0)
        written(tmp_path / header / "captions.csv", f"{header}\n")
        assert has_splits(f"folder:{tmp_path / header}") is told
    assert pairs(None, "splits", ("train",)) == {}


def test_pictures_anywhere_below_a_folder(tmp_path):
    flowers(tmp_path, 1)
    paint(tmp_path / "0.png", 9)
    data = load_dataset(f"unsorted:{tmp_path}")
    assert data.paths == ["0.png", "daisy/0.png", "tulip/0.png"] and data.labels is None
    with pytest.raises(ClipkitError, match="has no split 'train'"):
        load_dataset(f"unsorted:{tmp_path}", "train")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ClipkitError, match="no picture anywhere below"):
        load_dataset(f"unsorted:{tmp_path / 'empty'}")
