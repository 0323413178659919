"""What is kept: found again, built anew when inputs, code or file change, safe with two writers and where nothing can be written."""

from __future__ import annotations

import doctest
import errno
import functools
import logging
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from clipkit import kept as file
from clipkit import paths
from clipkit.errors import ClipkitError
from clipkit.kept import fingerprint, kept, remembered

BUILT: list = []


def squares(x, n):
    BUILT.append(n)
    half = torch.arange(3.0, requires_grad=True)
    return {"x": x * n, "pair": (half, half), "list": [np.arange(2), 1.5, None, "text", True], 7: np.float32(0.5)}


def other_squares(x, n):
    BUILT.append(n)
    return {"x": x * n * n}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIPKIT_CACHE", str(tmp_path / "cache"))
    BUILT.clear()


def files():
    return sorted((paths.cache_dir("kept")).glob("*"))


def test_examples_in_docstrings():
    found = doctest.testmod(file)
    assert found.attempted > 0 and found.failed == 0


def test_what_was_built_is_found_again_the_same():
    first, again = (kept("squares", squares, torch.ones(2), 3) for _ in range(2))
    assert BUILT == [3] and len(files()) == 1 and files()[0].suffix == ".safetensors"
    for found in (first, again):
        assert torch.equal(found["x"], torch.full((2,), 3.0)) and isinstance(found["pair"], tuple)
        assert not found["pair"][0].requires_grad and torch.equal(*found["pair"])
        assert found["list"][0].tolist() == [0, 1] and found["list"][1:] == [1.5, None, "text", True] and found[7] == 0.5


def test_other_inputs_names_or_code_are_built_anew(monkeypatch):
    kept("squares", squares, torch.ones(2), 3)
    kept("squares", squares, torch.ones(2), 4)
    kept("squares", squares, torch.zeros(2), 3)
    kept("squares", squares, torch.ones(2, dtype=torch.float64), 3)
    kept("cubes", squares, torch.ones(2), 3)
    kept("squares", other_squares, torch.ones(2), 3)
    assert len(BUILT) == 6 == len(files())
    monkeypatch.setattr(file, "FORMAT", file.FORMAT + 1)  # written by another version
    kept("squares", squares, torch.ones(2), 3)
    monkeypatch.setattr(torch, "__version__", "9.9")
    kept("squares", squares, torch.ones(2), 3)
    assert len(BUILT) == 8


def test_the_code_of_the_inputs_classes_counts(monkeypatch):
    from clipkit.studies.perceptionclip import TwoPlaces

    seen, real = [], file._code
    monkeypatch.setattr(file, "_code", lambda function: seen.append(function) or real(function))
    kept("place", describe, TwoPlaces(3))
    assert seen == [describe, TwoPlaces]


def describe(place):
    return place.seed


@pytest.mark.parametrize("spoil", [lambda data: data[:-3], lambda data: data[:40], lambda data: b"", lambda data: data[:-1] + b"x"])
def test_a_damaged_file_is_built_anew(spoil):
    first = kept("squares", squares, torch.ones(2), 3)
    (path,) = files()
    path.write_bytes(spoil(path.read_bytes()))
    assert torch.equal(kept("squares", squares, torch.ones(2), 3)["x"], first["x"]) and BUILT == [3, 3]


def test_two_writers_leave_a_whole_file():
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kept("squares", squares, torch.ones(2), 3)["x"].tolist(), range(16)))
    assert found == [[3.0, 3.0]] * 16 and len(files()) == 1 and not [p for p in files() if p.name.endswith(".tmp")]


def test_a_cache_that_cannot_be_written_costs_time_only(monkeypatch, caplog):
    def full(path, data):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(file, "write_atomically", full)
        assert kept("squares", squares, torch.ones(2), 3)["x"].tolist() == [3, 3]
    assert "Read-only" in caplog.text and "CLIPKIT_CACHE" in caplog.text and not files()
    kept("squares", squares, torch.ones(2), 3)
    with monkeypatch.context() as patched:  # what is there is still read
        patched.setattr(file, "write_atomically", full)
        kept("squares", squares, torch.ones(2), 3)
    assert BUILT == [3, 3]


def test_a_cache_of_somebody_else_is_read(monkeypatch):
    kept("squares", squares, torch.ones(2), 3)

    def not_mine(folder):
        raise paths.NotWritable(folder, "read only")

    monkeypatch.setattr(paths, "writable", not_mine)
    assert kept("squares", squares, torch.ones(2), 3)["x"].tolist() == [3, 3] and BUILT == [3]
    assert kept("squares", squares, torch.ones(2), 4)["x"].tolist() == [4, 4] and BUILT == [3, 4]


def test_a_folder_of_ones_own(tmp_path):
    kept("squares", squares, torch.ones(2), 3, folder=tmp_path / "mine")
    assert len(list((tmp_path / "mine").iterdir())) == 1 and not files()


def strange():
    return object()


@pytest.mark.parametrize(
    ("build", "inputs", "said"),
    [
        (functools.partial(squares, torch.ones(1)), (2,), "top level"),
        (squares, (torch.ones(1), object()), "object has no fingerprint"),
        (strange, (), "object cannot be kept"),
        (complex, (1, 2), "source"),
    ],
)
def test_what_cannot_be_kept_is_said(build, inputs, said):
    with pytest.raises(ClipkitError, match=said):
        kept("wrong", build, *inputs)


def test_a_closure_is_refused():
    n = 3
    with pytest.raises(ClipkitError, match="top level"):
        kept("closed", lambda: n)
    with pytest.raises(ClipkitError, match="closes over values"):
        kept("squares", squares, torch.ones(1), lambda: n)


# -- fingerprints ---------------------------------------------------------------------------------
@dataclass
class Setting:
    lr: float
    names: tuple


@dataclass
class OtherSetting:
    lr: float
    names: tuple


class Model:
    fingerprint = "abc"


def net(seed, width=3):
    torch.manual_seed(seed)
    return nn.Linear(2, width)


def test_fingerprints_tell_apart_what_differs_and_nothing_else():
    x = torch.arange(6.0).reshape(2, 3)
    things = [
        1, 1.0, True, "1", None, b"1", [1], (1, 1), [[1], 1], {"a": 1}, {"a": 2}, {"b": 1}, {1, 2}, x, x.T.contiguous(), x.reshape(3, 2),
        x.double(), x.bfloat16(), x.numpy().astype(np.int32), np.array(["a", "b"]), Setting(1.0, ("a",)), OtherSetting(1.0, ("a",)),
        Setting(1.0, ("b",)), Model(), net(0), net(1), net(0, 4), torch.device("cpu"), torch.float32, np.float32(1), squares, other_squares,
    ]  # fmt: skip
    found = [fingerprint(thing) for thing in things]
    assert len(set(found)) == len(things)
    again = [[1, "a"], {"b": 2, "a": 1}, OrderedDict(a=1, b=2), {2, 1}, x.clone(), x.T.T, net(0), Setting(1.0, ("a",))]
    same = [[1, "a"], {"a": 1, "b": 2}, {"a": 1, "b": 2}, {1, 2}, x, x, net(0), Setting(1.0, ("a",))]
    assert [fingerprint(a) for a in again] == [fingerprint(b) for b in same]


# -- in memory ------------------------------------------------------------------------------------
def test_the_latest_results_stay_in_memory():
    calls = []

    @remembered(2)
    def build(model, n, scale=1):
        calls.append(n)
        return [n * scale]

    one = build(Model(), 1)
    assert build(Model(), 1) is one and build(Model(), 1, scale=2) is not one
    build(Model(), 3)  # the first is forgotten
    assert build(Model(), 1) == one and build(Model(), 1) is not one
    assert calls == [1, 1, 3, 1]
    build.forget()
    build(Model(), 3)
    assert calls[-1] == 3 and len(calls) == 5
