"""What comes from outside runs no code: no pickle is read, no word of a reader acts in a page or a figure."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from builder import size
from clipkit import lab, load_dataset
from clipkit.errors import ClipkitError
from clipkit.lab import figures
from clipkit.lab.tables import table
from clipkit.models.checkpoint import load_weights

HOSTILE = ["<script>alert(1)</script>", "costs $3, not $4", "$x^{$", r"$\frac", "a|b", "🦊", "\u202eשלום"]
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "eval", "exec"}


def calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}, node.lineno


def unsafe(source: str) -> list[str]:
    """Calls that would run what a file says."""
    found = []
    for name, options, line in calls(ast.parse(source)):
        wrong = name in RUNS_CODE or name.partition(".")[0] in RUNS_CODE or name in ("joblib.load", "yaml.unsafe_load", "yaml.full_load")
        wrong |= name == "torch.load" and options.get("weights_only") != "True"
        wrong |= name == "yaml.load" and "SafeLoader" not in options.get("Loader", "")
        wrong |= name.endswith("np.load") and options.get("allow_pickle", "False") != "False"
        found += [f"line {line}: {name}"] if wrong else []
    return found


def test_nothing_reads_what_could_run():
    sources = [*size.modules(), *size.modules(size.BUILDER)]
    assert len(sources) > 200
    told = [f"{path.name} {said}" for path in sources for said in unsafe(path.read_text(encoding="utf-8"))]
    assert not told, "\n".join(told)


@pytest.mark.parametrize(
    "line",
    ["torch.load(p)", "torch.load(p, weights_only=False)", "pickle.load(f)", "yaml.load(t)", "np.load(p, allow_pickle=True)", "eval(x)"],
)
def test_the_check_finds_each_of_them(line):
    assert unsafe(line) and not unsafe("torch.load(p, weights_only=True); yaml.load(t, Loader=yaml.SafeLoader); np.load(p)")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("kind", ["checkpoint", "vectors.pt", "vectors.npy", "vectors.npz"])
def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path, kind):
    file, touched = tmp_path / (kind if "." in kind else f"{kind}.pt"), tmp_path / "touched"
    if file.suffix == ".pt":
        torch.save({"image": Bomb(touched), "state_dict": Bomb(touched)}, file)
    else:
        save = np.save if file.suffix == ".npy" else np.savez
        save(file, **({"arr": np.array([Bomb(touched)])} if save is np.save else {"image": np.array([Bomb(touched)])}))
    with pytest.raises(ClipkitError):
        load_weights(torch.nn.Linear(1, 1), file, "ViT-B-32") if kind == "checkpoint" else load_dataset(f"features:{file}")
    assert not touched.exists()
    pickle.loads(pickle.dumps(Bomb(touched)))  # the bomb is one
    assert touched.exists()


@pytest.mark.filterwarnings("ignore:Glyph")  # no font has every sign; a box is shown for it
@pytest.mark.parametrize("word", HOSTILE)
def test_a_class_name_is_text_in_tables_and_figures(word, monkeypatch):
    shown = []
    monkeypatch.setattr(figures, "publish", lambda bundle, metadata=None: shown.append(bundle))
    frame = pd.DataFrame({word: [1.0, 2.0]}, index=[word, "b"])
    html = table(frame, caption=word).html
    assert html.count("<script") == 0 and html.count("<th") == table(frame.set_axis(["a", "b"]), caption="c").html.count("<th")
    lab.image_grid(np.zeros((1, 32, 32, 3), np.uint8), [word])
    lab.heatmap(pd.DataFrame([[1.0, 2.0]], columns=[word, "b"], index=[word]), alt=word, title=word)
    assert len(shown) == 2 and word in shown[1]["text/plain"]


def test_dollars_are_dollars_and_powers_of_ten_are_powers(monkeypatch):
    with figures.style():
        drawing = figures.new_figure()
        axes = drawing.subplots()
        axes.set_xscale("log")
        axes.set_xlim(1, 1000)
        title = axes.set_title("$3 or $4")
        figures.png(drawing)
        assert not title.get_parse_math() and all(tick.label1.get_parse_math() for tick in axes.xaxis.get_major_ticks())


def test_paths_of_a_reader_are_text(tmp_path):
    folder = tmp_path / "<b>f & g" / "$x$ | <i>"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "0.png")
    data = load_dataset(f"folder:{folder.parent}")
    assert data.classnames == ["$x$ | <i>"]
