"""Settings that every page takes for data and models of one's own: kept as parameters, loaded by another name."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import clipkit.lab.notebook
from clipkit import lab, load_dataset
from clipkit.errors import ClipkitError
from clipkit.lab.own import SETTINGS
from clipkit.notices import notices
from clipkit.press import notebooks
from clipkit.registry.papers import load_registry

CELL = "preset = 'smoke'\nseed = 0\ndataset = 'world'\nmodel = 'nano'\npretrained = None"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def page(monkeypatch):
    """page(cell of papermill, what it does with own pictures) -> the run and what the cells see."""

    def run(given: str, takes: str = "split"):
        space: dict = {}
        exec(f"{CELL}\n{given}", space)
        shell = SimpleNamespace(user_ns=space, history_manager=SimpleNamespace(input_hist_raw=["", CELL, f"# Parameters\n{given}"]))
        monkeypatch.setattr(clipkit.lab.notebook, "kernel", lambda: shell)
        named = {name: space[name] for name in ("preset", "seed", "dataset", "model", "pretrained")}
        entry = SimpleNamespace(slug="page", claims=[], own_pictures=takes)
        return lab.start("page", {"smoke": {"n_seeds": 1}}, entry=entry, **named), space

    return run


@pytest.fixture
def flowers(tmp_path) -> str:
    for k, name in enumerate(("daisy", "tulip")):
        (tmp_path / "f" / name).mkdir(parents=True)
        for i in range(5):
            Image.fromarray(np.full((8, 8, 3), 20 * i + k, np.uint8)).save(tmp_path / "f" / name / f"{i}.png")
    return f"folder:{tmp_path / 'f'}"


def test_names_and_templates_are_parameters_of_the_run_and_reach_the_data(page, flowers, tmp_path):
    (tmp_path / "n.txt").write_text("oxeye\nTulpe\n")
    (tmp_path / "t.txt").write_text("so ein {}\n")
    given = f"dataset = {flowers!r}\nnames = {str(tmp_path / 'n.txt')!r}\ntemplates = {str(tmp_path / 't.txt')!r}\nfractions = '0.5,0,0.5'"
    run, space = page(given)
    data = load_dataset(space["dataset"], "train")
    assert data.classnames == ["oxeye", "Tulpe"] and data.templates == ["so ein {}"]
    assert run.dataset == flowers == data.name and run.names == str(tmp_path / "n.txt") and run.asked["templates"].endswith("t.txt")
    run.uses(data)
    assert run.dataset_used() == "folder:f" and run.report(run.over_seeds(lambda seed: {"a": 1.0}, progress=False)).payload["parameters"][
        "names"
    ] == ("n.txt")
    before = run.used
    (tmp_path / "t.txt").write_text("noch ein {}\n")  # another file of the same name is another run
    again, _ = page(given)
    again.uses(data)
    assert again.used != before


def test_a_folder_in_one_piece_is_split_by_content_and_that_is_said(page, flowers):
    _, space = page(f"dataset = {flowers!r}")
    sizes = [len(load_dataset(space["dataset"], split)) for split in ("train", "val", "test")]
    assert sizes == [6, 2, 2] and any("60, 20, 20 % of each class are taken as train, val and test" in said for said in notices())
    for given, takes in ((f"dataset = {flowers!r}", "test"), ("dataset = 'digits'", "split"), ("", "split")):
        _, space = page(given, takes)
        assert space["dataset"] in given or space["dataset"] == "world"


def test_precision_is_of_the_model(page):
    run, space = page("precision = 'bf16'")
    assert space["model"] == "cast:bf16:nano" and run.model == "nano" and run.params["precision"] == "bf16"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("names = 'n.txt'", "names: for labelled or captioned pictures of your own, not for world"),
        ("dataset = 'features:x.npz'\ntemplates = 't.txt'", "templates: for labelled"),
        ("dataset = 'features:x.npz'\nprecision = 'bf16'", "loads no network"),
        ("dataset = 'text:x.csv'\nsplits = 'train=a'", "splits: for labelled"),
        ("nams = 'n.txt'", "unknown parameter of page 'nams'; did you mean 'names'"),
    ],
)
def test_what_cannot_be_is_one_sentence(page, given, message):
    with pytest.raises(ClipkitError, match=message):
        page(given)


@pytest.mark.parametrize("takes", ["masks", "boxes"])
def test_a_page_that_wants_masks_or_boxes_takes_no_settings_of_classes(page, flowers, takes):
    with pytest.raises(ClipkitError, match="names: for labelled or captioned pictures of your own"):
        page(f"dataset = {flowers!r}\nnames = 'n.txt'", takes)


def test_captions_and_prompts_that_are_cut_are_said(page, tmp_path):
    (tmp_path / "f").mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "f" / "0.png")
    (tmp_path / "f" / "captions.csv").write_text(f"image,caption\n0.png,{'a red cat and ' * 40}\n")
    run, space = page(f"dataset = 'folder:{tmp_path / 'f'}'", "test")

    class Model:
        name, fingerprint, notes, context_length = "m", "ab", [], 8

        def tokenize(self, texts):
            import torch

            return torch.tensor([[*map(ord, (text + 8 * " ")[:8])] for text in texts])

    run.uses(Model(), load_dataset(space["dataset"]))
    assert any(said.startswith("m reads 8 tokens: 1 texts are longer") for said in notices())


def test_no_page_has_a_parameter_of_these_names():
    own = {e.slug: set(notebooks.parameters(notebooks.read(e.notebook_path))) & set(SETTINGS) for e in load_registry().finished()}
    assert not any(own.values())


def test_pages_load_by_the_variables_that_the_settings_rewrite():
    for entry in load_registry().finished():
        code = "\n".join(cell.source for cell in notebooks.read(entry.notebook_path).cells if cell.cell_type == "code")
        assert entry.own_pictures == "masks" or not {"run.dataset", "run.model"} & set(re.findall(r"run\.\w+", code)), entry.slug


def test_the_command_line_takes_them_on_every_page():
    notebook = notebooks.read(Path(load_registry().entry("gda_adapter").notebook_path))
    notebooks.check_parameters(notebook, dict.fromkeys(SETTINGS, "x"), "gda_adapter")
    with pytest.raises(ClipkitError, match="unknown parameter of gda_adapter 'name'; did you mean 'names'"):
        notebooks.check_parameters(notebook, {"name": "x"}, "gda_adapter")
