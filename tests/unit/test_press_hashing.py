"""What a page stands on: names followed to files, hashes that change when they should and only then."""

from __future__ import annotations

import nbformat.v4 as v4
import pytest

from clipkit.paths import PACKAGE
from clipkit.press import hashing, imports, notebooks


def names(paths) -> set[str]:
    return {path.relative_to(PACKAGE).as_posix() for path in paths}


def test_a_name_is_followed_to_the_file_that_defines_it():
    assert names(imports.named_files("from clipkit.zeroshot import zeroshot_weights")) == {"zeroshot/classifier.py"}
    assert names(imports.named_files("from clipkit.press import entry")) == {"press/registry.py"}
    assert names(imports.named_files("from clipkit import lab\nlab.judge([1], 'better', 1)")) >= {"lab/verdict.py"}
    assert names(imports.named_files("import clipkit.press.toc as t\nt.toc")) == {"press/toc.py"}
    assert names(imports.named_files("import numpy\nx = numpy.zeros(3)")) == set()


def test_an_attribute_through_a_room_does_not_bring_the_whole_room():
    found = names(imports.named_files("from clipkit import lab\nrun = lab.holm([0.1])"))
    assert "lab/stats.py" in found and "lab/pictures.py" not in found


def test_reached_files_are_transitive_and_include_data_beside():
    found = names(imports.reached_files("from clipkit.press.toc import toc"))
    assert {"press/toc.py", "press/registry.py", "press/schema.py", "errors.py", "paths.py"} <= found
    assert "press/kernel.py" not in found


def test_lazy_exports_are_found():
    assert "models/__init__.py" in names(imports.named_files("from clipkit import load_model"))


def page(*cells, parameters="preset = 'quick'\nseed = 0"):
    first = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return v4.new_notebook(cells=[first, *[v4.new_code_cell(cell) for cell in cells]])


def test_magics_do_not_break_the_reading():
    source = hashing.python_source(["%matplotlib inline\n!ls\nx = 1", "from clipkit.press.toc import toc"])
    assert names(imports.named_files(source)) == {"press/toc.py"}


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
    assert hashing.data_fingerprint({"dataset": f"folder:{tmp_path / 'one'}"}) == same
    assert hashing.data_fingerprint({"dataset": "world"}) is None
    assert hashing.data_fingerprint({"dataset": "folder:/nowhere/at/all"}) is None


def test_packaged_checkpoints_named_by_parameter_or_code(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    for name in ("nano", "nano-biased", "other"):
        (tmp_path / "models" / f"{name}.safetensors").write_bytes(name.encode())
    found = hashing.model_files(["m = load_model('nano-biased')"], {"model": "nano"})
    assert set(found) == {"nano.safetensors", "nano-biased.safetensors"}


def test_files_that_only_draw_do_not_make_a_record_stale():
    """Nothing that computes may be among them, and whatever of the lab draws must be."""
    lab = PACKAGE / "lab"
    sources = {f"clipkit/lab/{path.name}": path.read_text(encoding="utf-8") for path in lab.glob("*.py") if path.name != "__init__.py"}
    draws = {name for name, text in sources.items() if "matplotlib" in text or "seaborn" in text}
    assert draws <= hashing.DRAWING <= set(sources)
    computes = ("claims", "partial", "records", "run", "seedloop", "seeds", "settings", "stats", "verdict")
    computing = {f"clipkit/lab/{name}.py" for name in computes}
    assert not computing & hashing.DRAWING
    files = {f"clipkit/{name}.py": "1" for name in ("lab/plots", "lab/stats", "lab/__init__", "models/__init__")}
    assert set(hashing.numeric(files)) == {"clipkit/registry/stats.py", "clipkit/models/__init__.py"}


def test_differences_have_names():
    old = {"notebook": "a", "files": {"x.py": "1", "y.py": "2"}}
    new = {"notebook": "a", "files": {"x.py": "1", "y.py": "3", "z.py": "4"}}
    assert hashing.differences(old, new) == ["y.py", "z.py"]


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
