"""`clipkit classify` and `clipkit retrieve`: right tables, bad input in one line, a text that is cut is said."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import average_precision_score

from clipkit import load_dataset, load_model
from clipkit.errors import ClipkitError
from clipkit.notices import forget, notices, say_cut
from clipkit.press import predict
from clipkit.press.cli import main
from clipkit.zeroshot.classifier import zeroshot_logits, zeroshot_weights

NAMES, TEMPLATES = ["cat", "dog", "<script>", "red | car"], ["a photo of a {}.", "{}"]


@pytest.fixture(autouse=True)
def _fresh(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    forget()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three pictures with captions, one file that is none, names and templates."""
    place = tmp_path / "photos"
    (place / "below").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b é.png", "below/c.png"):
        Image.fromarray(rng.integers(0, 255, (40, 32, 3), dtype=np.uint8)).save(place / name)
    (place / "broken.jpg").write_bytes(b"no picture")
    rows = ["image,caption", 'a.png,"a cat, asleep"', "a.png,a red cat", "b é.png,a dog", "below/c.png,two cars", "broken.jpg,gone"]
    (place / "captions.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    (tmp_path / "templates.txt").write_text("\n".join(TEMPLATES), encoding="utf-8")
    return place


def told(path: Path) -> list[dict]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def classified(folder: Path, out: Path, *more: str) -> int:
    names, templates = str(folder.parent / "names.txt"), str(folder.parent / "templates.txt")
    return main(["classify", str(folder), "--names", names, "--templates", templates, "--model", "nano", "--out", str(out), *more])


def test_predictions_are_those_of_the_zero_shot_classifier(folder, tmp_path, capsys):
    out = tmp_path / "out.csv"
    assert classified(folder, out, "--top-k", "3") == 0
    rows, model = told(out), load_model("nano")
    data = load_dataset(f"unsorted:{folder}")
    logits = zeroshot_logits(model.image_features(data.images), zeroshot_weights(model, NAMES, TEMPLATES), model.logit_scale.item())
    best = logits.softmax(1).topk(3)
    readable = [row for row in rows if not row["problem"]]
    assert [row["image"] for row in readable] == data.paths == ["a.png", "b é.png", "below/c.png"]
    assert [[row[f"name_{k}"] for k in (1, 2, 3)] for row in readable] == [[NAMES[c] for c in row] for row in best.indices.tolist()]
    assert np.allclose([[float(row[f"score_{k}"]) for k in (1, 2, 3)] for row in readable], best.values.numpy(), atol=1e-4)
    (bad,) = [row for row in rows if row["problem"]]
    assert bad["image"] == "broken.jpg" and bad["name_1"] == "" and "cannot identify" in bad["problem"]
    said = capsys.readouterr().out
    assert "3 pictures, 4 names; 1 cannot be read" in said and "broken.jpg: cannot identify" in said


def test_mean_average_precision_of_several_labels_a_picture(folder, tmp_path, capsys):
    (tmp_path / "labels.csv").write_text("image,label\na.png,cat|dog\nbelow/c.png,dog\na.png,<script>\nb é.png,\n", encoding="utf-8")
    assert classified(folder, tmp_path / "out.csv", "--labels", str(tmp_path / "labels.csv")) == 0
    found, logits = predict.classify(load_model("nano"), load_dataset(f"unsorted:{folder}"), NAMES, TEMPLATES)
    truth = np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0]])
    expected = np.mean([average_precision_score(truth[:, c], logits[:, c].numpy()) for c in range(3)])
    assert f"mean average precision {100 * expected:.1f} %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, place: (p / "names.txt").write_text("cat\ncat\n"), "duplicate class names ['cat']"),
        (lambda p, place: (p / "names.txt").write_bytes(b"\xff\xfe\x00"), "names.txt cannot be read (it is not in UTF-8)"),
        (lambda p, place: (p / "names.txt").unlink(), "names.txt cannot be read (No such file"),
        (lambda p, place: (p / "templates.txt").write_text("a photo\n"), "has no {} where"),
        (lambda p, place: [file.unlink() for file in place.rglob("*.*") if file.suffix in (".png", ".jpg")], "no picture anywhere below"),
        (lambda p, place: (p / "labels.csv").write_text("image,label\nz.png,cat\n"), "line 2: there is no picture 'z.png'"),
        (lambda p, place: (p / "labels.csv").write_text("image,label\na.png,cow\n"), "line 2: 'cow'"),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, capsys, change, message):
    (tmp_path / "labels.csv").write_text("image,label\na.png,cat\n")
    change(tmp_path, folder)
    assert classified(folder, tmp_path / "out.csv", "--labels", str(tmp_path / "labels.csv")) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("clipkit: ") and message in error and not (tmp_path / "out.csv").exists()


def test_a_place_that_cannot_be_written_is_told_before_the_work(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert classified(folder, tmp_path / "file" / "out.csv") == 2
    assert "cannot write in" in capsys.readouterr().err


def test_retrieval_of_ones_own_captions(folder, tmp_path, capsys):
    out = tmp_path / "ranks.csv"
    assert main(["retrieve", str(folder), "--model", "nano", "--out", str(out)]) == 0
    rows, model = told(out), load_model("nano")
    images = model.image_features(load_dataset(f"unsorted:{folder}").images)
    texts, owner = ["a cat, asleep", "a red cat", "a dog", "two cars"], [0, 0, 1, 2]
    scores = (images @ model.text_features(texts).T).numpy()
    assert [int(row["rank_of_image"]) for row in rows[:4]] == [1 + (scores[:, t] > scores[i, t]).sum() for t, i in enumerate(owner)]
    best = [
        1 + (np.delete(scores[i], [t for t in range(4) if owner[t] == i]) > scores[i][np.array(owner) == i].max()).sum() for i in range(3)
    ]
    assert [int(row["rank_of_caption"]) for row in rows[:4]] == [best[i] for i in owner]
    assert rows[4] == {"image": "broken.jpg", "caption": "", "rank_of_image": "", "rank_of_caption": ""}
    at_1 = np.mean([int(row["rank_of_image"]) == 1 for row in rows[:4]])
    assert f"text to image: R@1 {100 * at_1:.1f} %, R@5 100.0 %, R@10 100.0 %" in capsys.readouterr().out


def test_retrieval_needs_captions_and_takes_other_columns(folder, tmp_path, capsys):
    (folder / "captions.csv").rename(folder / "texte.csv")
    (folder / "texte.csv").write_text("Datei;Text\na.png;ein Hund\nb é.png;zwei\n", encoding="utf-8")
    columns = ["--columns", "table=texte.csv,image=Datei,caption=Text"]
    assert main(["retrieve", str(folder), "--model", "nano", "--out", str(tmp_path / "r.csv"), *columns]) == 0
    assert [row["image"] for row in told(tmp_path / "r.csv")] == ["a.png", "b é.png"]
    capsys.readouterr()
    (folder / "one" / "d.png").parent.mkdir()
    (folder / "a.png").rename(folder / "one" / "d.png")
    assert main(["retrieve", str(folder / ".."), "--model", "nano"]) == 2
    assert "has no captions; give a folder with a captions.csv" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 6), m=st.integers(1, 3), seed=st.integers(0, 1000))
def test_ranks_by_sorting(n, m, seed):
    rng = torch.Generator().manual_seed(seed)
    images, texts, owner = torch.randn(n, 4, generator=rng), torch.randn(n * m, 4, generator=rng), torch.arange(n).repeat(m)
    of_image, of_text = predict.ranks(images, texts, owner)
    scores = images @ texts.T
    assert of_image.tolist() == [scores[:, t].argsort(descending=True).tolist().index(int(owner[t])) + 1 for t in range(n * m)]
    for i in range(n):
        order = owner[scores[i].argsort(descending=True)].tolist()
        assert int(of_text[i]) == order.index(i) + 1


def test_features_that_are_all_alike_find_nothing():
    same = torch.ones(4, 2)
    of_image, of_text = predict.ranks(same, same, torch.arange(4))
    assert of_image.tolist() == [4] * 4 and of_text.tolist() == [4] * 4


def test_no_label_at_all():
    with pytest.raises(ClipkitError, match="no readable picture has a label"):
        predict.mean_average_precision(torch.zeros(2, 3, dtype=torch.bool), torch.zeros(2, 3))


class Words:
    """Reads four words: begin, two words, end."""

    name, context_length = "words", 4

    def tokenize(self, texts):
        rows = [[1, *(2 + sum(map(ord, word)) for word in text.split())][:3] + [0] for text in texts]
        return torch.tensor([(row + [0] * 4)[:4] for row in rows])


def test_texts_that_are_cut_are_counted():
    assert say_cut(Words(), ["a", "a cat", "a red cat", "a red cat", "some very long text"]) == 2
    assert notices() == ["words reads 4 tokens: 2 texts are longer and cut, the first is 'a red cat' …"]
    forget()
    assert say_cut(Words(), ["a cat"]) == 0 and notices() == []
    nano = load_model("nano")
    assert say_cut(nano, ["a red cat"]) == 0 and say_cut(nano, ["a red cat and " * 40]) == 1
    assert say_cut(load_model("nano-dino"), ["a red cat and " * 40]) == 0  # it has no text tower, so it cuts nothing
