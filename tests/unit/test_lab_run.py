"""From parameters to runs: types, presets, seeds, the loop that loses nothing."""

from __future__ import annotations

import doctest
import random
import subprocess
import sys

import numpy as np
import pytest

import clipkit.lab.notebook
import clipkit.lab.seedloop
import clipkit.lab.settings
from clipkit import lab
from clipkit.errors import ClipkitError
from clipkit.lab.notebook import literals
from clipkit.lab.seedloop import run_seeds, store_path
from clipkit.lab.settings import convert, settle
from clipkit.notices import notice
from clipkit.registry.records import Record

PRESETS = {
    "smoke": {"n_test": 128, "n_seeds": 1, "rate": 0.1},
    "quick": {"n_test": 1000, "n_seeds": 2, "rate": 1},
    "full": {"n_test": 4000, "n_seeds": 5, "rate": 1},
}
ENTRY = {"slug": "page", "claims": []}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLIPKIT_DATA", str(tmp_path / "data"))


def start(**parameters):
    return lab.start("page", PRESETS, entry=ENTRY, **parameters)


def test_doctests():
    assert doctest.testmod(clipkit.lab.settings).failed == 0
    assert doctest.testmod(clipkit.lab.notebook).failed == 0


def test_importing_the_lab_costs_little():
    code = "import sys, clipkit.lab; print(sorted({'torch', 'pandas', 'matplotlib', 'scipy', 'seaborn', 'IPython'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_presets_and_overrides():
    run = start(preset="full", seed=3, n_test=None, shots=16)
    assert (run.n_test, run.shots, run.preset, run.seed, run.seeds) == (4000, 16, "full", 3, [3, 4, 5, 6, 7])
    assert start(n_test=50).n_test == 50 and start(n_test="50").n_test == 50
    assert start(n_seeds=3).seeds == [0, 1, 2]
    assert start(rate="1e-4").rate == 1e-4
    assert start(device="cpu").device == "cpu" and start(device="cpu").params["device"] == "cpu"


def test_seeding_reaches_python_numpy_and_torch():
    import torch

    draws = []
    for _ in range(2):
        start(seed=7, device="cpu")
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(()))))  # noqa: NPY002
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("value", "kind", "example", "result"),
    [
        ("16", int, 4, 16),
        (16.0, int, 4, 16),
        ("-3", int, 4, -3),
        (12345678901234567890, int, 1, 12345678901234567890),
        (2, float, 0.5, 2.0),
        ("false", bool, True, False),
        (2024, str, "x", "2024"),
        ("1,2,4", list, [1], [1, 2, 4]),
        ("[0.1, 1]", list, [0.5], [0.1, 1.0]),
        (4, list, [1], [4]),
        (["a"], tuple, None, ("a",)),
        ({"a": 1}, dict, None, {"a": 1}),
    ],
)
def test_conversions(value, kind, example, result):
    found = convert("p", value, kind, example)
    assert found == result and type(found) is kind


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("sixteen", int, "a whole number"),
        (1.5, int, "a whole number"),
        (True, int, "a whole number"),
        (None, int, "a whole number"),
        (float("inf"), int, "a whole number"),
        ("much", float, "a number"),
        (True, str, "a text"),
        (None, str, "a text"),
        ("perhaps", bool, "True or False"),
        ("1,x", list, "a list"),
        ([1], dict, "a mapping"),
    ],
)
def test_refusals_name_parameter_value_and_type(value, kind, expected):
    with pytest.raises(ClipkitError) as error:
        convert("shots", value, kind, [1] if kind is list else None)
    assert f"shots = {value!r}" in str(error.value) and expected in str(error.value) and "-p shots" in str(error.value)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"preset": "ful"}, "did you mean 'full'"),
        ({"preset": 3}, "unknown preset 3"),
        ({"seed": 1.5}, "seed = 1.5"),
        ({"seed": -1}, "out of range"),
        ({"seed": None}, "seed = None"),
        ({"n_test": "many"}, "n_test = 'many'"),
        ({"n_seeds": 0}, "at least one seed"),
        ({"model": None}, "model = None"),
        ({"device": "gpu0"}, "cannot be used here"),
        ({"device": "cuda:99"}, "cannot be used here"),
        ({"shots": "x", "types": {"shots": int}}, "shots = 'x'"),
        ({"claims": 3}, "cannot be called 'claims'"),
    ],
)
def test_bad_parameters(parameters, said):
    with pytest.raises(ClipkitError, match=said):
        start(**parameters)


def test_unknown_attribute_suggests():
    with pytest.raises(AttributeError, match="did you mean 'n_test'"):
        _ = start().n_tset


def test_presets_must_agree_on_their_keys():
    with pytest.raises(ClipkitError, match="preset 'b' lacks y"):
        settle({"a": {"x": 1, "y": 1}, "b": {"x": 1}}, "a", {})


def test_types_from_the_parameters_cell():
    cells = [
        "%matplotlib inline",
        "shots = 16\nrates: list[float] = [0.5]\nalpha: float = None\nn = f(2)",
        "# Parameters\nshots = 'sixteen'",
    ]
    found = literals(cells)
    assert found == {"shots": (None, 16), "rates": (list, [0.5]), "alpha": (float, None)}
    good = settle({"quick": {}}, "quick", {"shots": "4", "rates": "1,2", "alpha": None, "other": object}, literals=found)
    assert good == {"shots": 4, "rates": [1.0, 2.0], "alpha": None, "other": object}
    with pytest.raises(ClipkitError, match="shots = 'sixteen'.*for instance -p shots 16"):
        settle({"quick": {}}, "quick", {"shots": "sixteen"}, literals=found)
    assert settle({"quick": {}}, "quick", {"alpha": None}, {"alpha": int | None}) == {"alpha": None}


def test_scores_come_back_as_scores_of_all_seeds():
    def experiment(seed):
        scores = lab.Scores()
        scores.add("gda", 10.0 * seed, shots=4)
        scores.add("gda", 10.0 * seed + 1, shots=16)
        return scores

    runs = start(n_seeds=3).over_seeds(experiment, progress=False)
    assert runs.seeds == [0, 1, 2] and runs.values("gda", shots=16).tolist() == [1.0, 11.0, 21.0]


@pytest.fixture
def shell(monkeypatch):
    """A notebook's kernel: its cells so far, its variables."""

    class Shell:
        def __init__(self):
            self.user_ns, self.history_manager = {}, self
            self.input_hist_raw = [""]

        def run(self, *sources):
            for source in sources:
                self.input_hist_raw.append(source)
                exec(source, self.user_ns)

    made = Shell()
    monkeypatch.setattr(clipkit.lab.notebook, "kernel", lambda: made)
    return made


def begin(shell, **more):
    names = ("preset", "seed", "dataset", "rates")
    return start(**{name: shell.user_ns[name] for name in names}, **more)


CELL = "preset = 'smoke'  # smoke, quick or full\nseed = 0\ndataset: str = 'world'\nrates = (0.1, 1.0)"


def test_a_misspelt_parameter_from_outside_stops_the_page(shell):
    shell.run(CELL, "# Parameters\npreset = 'smoke'\ndatset = 'folder:x'\n", "import math")
    with pytest.raises(
        ClipkitError, match="unknown parameter of page 'datset'; did you mean 'dataset'. Choices: preset, seed, dataset, rates"
    ):
        begin(shell)


@pytest.mark.parametrize(
    "cells",
    [
        [CELL],  # as it was written
        [CELL, "# Parameters\nseed = 3\ndataset = 'digits'\n"],
        ["# Parameters\n" + CELL],  # an author's own comment
        ["# Parameters\n" + CELL, "# Parameters\nseed = 3\n"],
        ["import math", CELL, "# Parameters\nseed = 3\n"],
        ["%matplotlib inline".replace("%", "# "), CELL, "x = 1"],
    ],
)
def test_parameters_that_exist_pass(shell, cells):
    shell.run(*cells)
    assert begin(shell).seed == shell.user_ns["seed"]


@pytest.mark.parametrize(
    ("given", "seen"),
    [("seed = 1e3", 1000), ("seed = '7'", 7), ("seed = 7.0", 7), ("rates = '0.5,2'", (0.5, 2.0)), ("dataset = 2024", "2024")],
)
def test_cells_see_the_converted_value_under_the_same_name(shell, given, seen):
    shell.run(CELL, f"# Parameters\n{given}\n")
    run, name = begin(shell), given.split()[0]
    value = shell.user_ns[name]
    assert value == seen == getattr(run, name) and type(value) is type(seen)


def test_what_the_preset_decides_stays_none_in_the_cells(shell):
    shell.run(CELL + "\nn_test = None")
    assert begin(shell, n_test=None).n_test == 128 and shell.user_ns["n_test"] is None


def test_what_a_run_says_is_shown_with_its_claims_and_recorded():
    notice("said before the run began")
    run = start(preset="smoke")
    notice("folder:/home/me/flowers: 1 of 9 images looked at cannot be read & is left out; the first is /home/me/flowers/a/1.jpg: cut")

    class Model:
        name, fingerprint, notes = "ViT-B-32", "ab", ["activation GELU, from the architecture"]

    run.uses(Model())
    frame = run.over_seeds(lambda seed: {"arm": 1.0}, progress=False)
    report = run.report(frame)
    first = "folder:flowers: 1 of 9 images looked at cannot be read & is left out; the first is 1.jpg: cut"
    assert report.payload["notes"] == [first, "ViT-B-32: activation GELU, from the architecture"]
    assert "What this run said:" in report.text and "cannot be read &amp; is left out" in report.html
    about = {"hashes": {"definitions": [], "registry": "r", "models": {}, "data": {}}, "versions": {}, "seconds": 1.0, "date": "2026-01-01"}
    assert Record.from_output(report.payload, **about).notes == report.payload["notes"]
    assert "What this run said" not in start(preset="smoke").report(frame).text


def test_over_seeds_is_a_frame_and_seeds_each_call():
    run = start(preset="full")
    runs = run.over_seeds(lambda seed: {"noise": np.random.rand(), "seed_itself": seed}, progress=False)  # noqa: NPY002
    assert runs.index.tolist() == [0, 1, 2, 3, 4] and runs.index.name == "seed" and list(runs) == ["noise", "seed_itself"]
    assert runs["noise"][2] == np.random.RandomState(2).rand()
    assert (runs.dtypes == "float64").all()


def test_a_failing_seed_loses_nothing():
    run, calls, broken = start(preset="full"), [], {1, 3}

    def experiment(seed):
        calls.append(seed)
        if seed in broken:
            raise RuntimeError(f"no luck at {seed}")
        return {"a": seed / 3}

    with pytest.raises(ClipkitError, match=r"2 of 5 seeds failed \(seed 1: RuntimeError: no luck at 1; seed 3.*kept") as error:
        run.over_seeds(experiment, progress=False)
    assert isinstance(error.value.__cause__, RuntimeError) and calls == [0, 1, 2, 3, 4]
    broken.clear()
    calls.clear()
    runs = run.over_seeds(experiment, progress=False)
    assert calls == [1, 3] and runs["a"].tolist() == [seed / 3 for seed in range(5)]  # exact, in the order of the seeds
    calls.clear()
    run.over_seeds(experiment, progress=False)
    assert calls == [0, 1, 2, 3, 4]  # a finished run leaves nothing behind: the next one is live


def test_interrupting_keeps_the_finished():
    run, calls = start(preset="full"), []

    def experiment(seed):
        calls.append(seed)
        if seed == 2 and calls.count(2) == 1:
            raise KeyboardInterrupt
        return {"a": seed}

    with pytest.raises(KeyboardInterrupt):
        run.over_seeds(experiment, progress=False)
    run.over_seeds(experiment, progress=False)
    assert calls == [0, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ([1], "mapping arm -> number"),
        ({}, "at least one number"),
        ({"a": "x"}, "not one number"),
        ({"a": np.ones(2)}, "2 numbers for 1 seeds"),
        ({"a": float("nan")}, "seed 0: ClipkitError: arm 'a' is nan"),
    ],
)
def test_what_an_experiment_must_return(returned, said):
    with pytest.raises(ClipkitError, match=said):
        run_seeds(lambda seed: returned, [0], progress=False)


def test_arms_must_be_the_same():
    with pytest.raises(ClipkitError, match="seed 1.*arms differ.*arm 'b'"):
        run_seeds(lambda seed: {"a": 1, "b": 2} if seed == 0 else {"a": 1}, [0, 1], progress=False)
    with pytest.raises(ClipkitError, match="distinct"):
        run_seeds(lambda seed: {"a": 1}, [0, 0], progress=False)


def test_store_depends_on_what_matters():
    def one(seed):
        return {"a": 1}

    def two(seed):
        return {"a": 2}

    base = store_path("page", {"shots": 1, "n_seeds": 2}, one)
    assert base == store_path("page", {"shots": 1, "n_seeds": 5}, one)  # more seeds go on from fewer
    others = [
        store_path("page", {"shots": 2}, one),
        store_path("page", {"shots": 1}, two),
        store_path("other", {"shots": 1}, one),
        store_path("page", {"shots": 1}, one, [{"fingerprint": "x"}]),
    ]
    assert len({base, *others}) == 5


def test_a_broken_store_is_computed_anew(tmp_path):
    store = tmp_path / "s.json"
    store.write_text('{"rows": {"0": ')
    assert run_seeds(lambda seed: {"a": seed}, [0, 1], store, progress=False)["a"].tolist() == [0, 1]
    assert not store.exists()


def test_a_full_disk_costs_the_store_not_the_run(tmp_path, monkeypatch):
    def full(path, content):
        raise ClipkitError("cannot write s.json: No space left on device")

    monkeypatch.setattr(clipkit.lab.seedloop, "write_json", full)
    with pytest.warns(UserWarning, match="No space left"):
        runs = run_seeds(lambda seed: {"a": seed}, [0], tmp_path / "s.json", progress=False)
    assert len(runs) == 1


def test_progress_leaves_nothing_behind(capsys):
    run_seeds(lambda seed: {"a": seed}, [0, 1])
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.strip() == ""


def test_uses_notes_models_and_data():
    class Thing:
        def __init__(self, **facts):
            self.__dict__.update(facts)

    run = start()
    run.uses(
        Thing(name="nano", fingerprint="m1"),
        Thing(name="world", images=[], fingerprint="d2"),
        Thing(name="world", images=[], fingerprint="d1"),
    )
    assert (run.fingerprint("model"), run.fingerprint("dataset")) == ("m1", "d1+d2")
    with pytest.raises(ClipkitError, match="no fingerprint"):
        run.uses(3)
