"""What a run and a record are tied to: hashes that change when they should and only then."""

from __future__ import annotations

import ast

import nbformat.v4 as v4
import pytest

from clipkit.press import hashing, notebooks
from clipkit.registry.papers import load_registry
from clipkit.syntax import python_source


def page(*cells, parameters="preset = 'quick'\nseed = 0"):
    first = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return v4.new_notebook(cells=[first, *[v4.new_code_cell(cell) for cell in cells]])


def test_magics_do_not_break_the_reading():
    source = python_source(["%matplotlib inline\n!ls\nx = 1", "from builder.toc import toc"])
    assert [type(node).__name__ for node in ast.parse(source).body] == ["Pass", "Pass", "Assign", "ImportFrom"]


def test_injected_parameters_are_not_the_pages_code():
    notebook = page("a = 1")
    before = hashing.code_cells(notebook)
    notebook.cells.insert(1, v4.new_code_cell("seed = 3", metadata={"tags": ["injected-parameters"]}))
    assert hashing.code_cells(notebook) == before


def test_folder_digest_depends_on_content_not_on_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "cat").mkdir(parents=True)
        (tmp_path / name / "cat" / "0.txt").write_text("miaow")
    same = hashing.folder_digest(tmp_path / "one")
    assert hashing.folder_digest(tmp_path / "two") == same
    (tmp_path / "two" / "cat" / "0.txt").write_text("woof!")
    assert hashing.folder_digest(tmp_path / "two") != same
    assert hashing.local_inputs({"dataset": f"folder:{tmp_path / 'one'}"}) == {"dataset": same}
    assert hashing.local_inputs({"dataset": "world", "model": "nano", "n": 3, "pairs": None}) == {}
    assert hashing.local_inputs({"dataset": "folder:/nowhere/at/all", "text": "x" * 5000, "empty": "", "kind": "hf:"}) == {}


@pytest.mark.parametrize("form", ["{}", "hf:{}", "wds:{}"])
def test_any_file_that_a_parameter_names_is_an_input(tmp_path, monkeypatch, form):
    for name in ("a-0.tar", "a-1.tar"):
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    for value, touched in (
        (form.format("a-0.tar"), "a-0.tar"),
        (form.format(tmp_path / "a-{0..1}.tar"), "a-1.tar"),
        (["nano", "a-1.tar"], "a-1.tar"),
    ):
        before = hashing.local_inputs({"descriptions": value})
        assert list(before) == ["descriptions"]
        (tmp_path / touched).write_text((tmp_path / touched).read_text() + "more")
        assert hashing.local_inputs({"descriptions": value})["descriptions"] != before["descriptions"]


def test_packaged_checkpoints_named_by_parameter_or_code(tmp_path, monkeypatch):
    entry = load_registry().entry("trident")
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    for name in ("nano", "nano-biased", "nano-sam", "lite_map", "lit", "other"):
        (tmp_path / "models" / f"{name}.safetensors").write_bytes(name.encode())
    notebook = page("m, s = load_model('nano-biased'), load_segmenter()", "def experiment(seed):\n    return m, s")
    notebook.cells.insert(0, v4.new_code_cell("from clipkit import load_model\nfrom clipkit.dense.segmenter import load_segmenter"))
    notebook.cells.append(v4.new_code_cell("runs = run.over_seeds(experiment)\nother = load_model('other')"))
    stems = lambda **given: {name.partition(".")[0] for name in hashing.record_parts(entry, notebook, given)["models"]}  # noqa: E731
    assert stems(model="nano") == {"nano", "nano-biased", "nano-sam"}
    assert stems(model="lite") == {"nano", "nano-biased", "nano-sam", "lite_map"}  # nano is load_model's default
    assert stems(model="lit") == {"nano", "nano-biased", "nano-sam", "lite_map", "lit"}
    assert "other.safetensors" in hashing.run_parts(entry, notebook, {"model": "nano"})["models"]


def test_a_run_is_tied_to_its_figures_and_a_record_is_not():
    figure = "from clipkit import lab\nlab.bars(runs, title='one')"
    notebook = page("def experiment(seed):\n    return {'a': seed}", "runs = run.over_seeds(experiment)", figure)
    entry = load_registry().entry("trident")
    run, record = (f(entry, notebook, {"preset": "quick"}) for f in (hashing.run_parts, hashing.record_parts))
    assert "clipkit.lab.plots.bars" in run["definitions"].values()
    seeding = {"clipkit.lab.seeds.seed_everything", "clipkit.lab.seeds.LARGEST", "clipkit.errors.ClipkitError"}
    assert set(record["definitions"].values()) == {"notebook.experiment", *seeding}
    notebook.cells[-1].source = figure.replace("one", "two")
    assert hashing.record_parts(entry, notebook, {"preset": "quick"}) == record
    assert hashing.key(hashing.run_parts(entry, notebook, {"preset": "quick"})) != hashing.key(run)
    notebook.cells.insert(1, v4.new_markdown_cell("Other words."))
    assert hashing.record_parts(entry, notebook, {"preset": "quick"}) == record


def test_differences_have_names():
    old = {"registry": "a", "models": {"x": "1", "y": "2"}, "definitions": ["1", "2"]}
    new = {"registry": "a", "models": {"x": "1", "y": "3", "z": "4"}, "definitions": {"1": "m.f", "3": "m.g", "4": "m.g"}}
    assert hashing.differences(old, new) == ["y", "z", "m.g"]
    assert hashing.differences(old, {"definitions": {"1": "m.f"}}) == ["no longer used: a definition (2)"]
    assert hashing.differences({"definitions": {"1": "m.f", "2": "n.f"}}, {"definitions": {"1": "m.f"}}) == ["no longer used: n.f"]
    assert hashing.differences({"definitions": ["1"]}, {"definitions": {"1": "moved.f"}}) == []
    assert hashing.key({"definitions": {"1": "m.f"}}) == hashing.key({"definitions": {"1": "moved.f"}})


@pytest.mark.parametrize("text", ["3", "-2", "1e-3", "0.5", "True", "False", "None", "folder:../x", "ViT-B-32", "", "nan", "1_000", "true"])
def test_command_line_values_are_typed_as_papermill_types_them(text):
    from papermill.cli import _resolve_type

    ours, theirs = notebooks.typed(text), _resolve_type(text)
    assert type(ours) is type(theirs) and (ours == theirs or ours != ours)


def test_parameters_are_read_from_their_cell():
    notebook = page(parameters="preset = 'quick'  # p\nshots: int = 16\nrate = -1e-3")
    assert notebooks.parameters(notebook) == {"preset": "quick", "shots": 16, "rate": -0.001}
    notebooks.check_parameters(notebook, {"shots": 4}, "x")
    with pytest.raises(Exception, match="unknown parameter of x 'shot'; did you mean 'shots'"):
        notebooks.check_parameters(notebook, {"shot": 4}, "x")
    with pytest.raises(Exception, match="unknown preset 'fast'"):
        notebooks.check_parameters(notebook, {"preset": "fast"}, "x")
    with pytest.raises(Exception, match="not a plain literal"):
        notebooks.parameters(page(parameters="n = 2 * 3 + len('x')"))
