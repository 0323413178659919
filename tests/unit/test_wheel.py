"""The package away from its repository: a wheel that carries its data, installed by a page's own first cell, run from an empty folder."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest

from builder import install
from clipkit.errors import DISTRIBUTION
from clipkit.paths import ROOT
from clipkit.registry.papers import load_registry

PAGE = "foundations/judging_claims"
BUILD = "import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])"
SHIPPED = ("papers.yml", "models", "prompts", "records", "sweeps")


def call(command: list, folder: Path, **settings: str) -> str:
    """What a program prints, run in `folder` with nothing of the checkout in its environment; a failure shows all of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLIPKIT_", "PYTHON", "XDG_"))}
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True, env={**kept, **settings})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tree(folder: Path) -> dict[str, str]:
    """Name -> digest of all files below a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built as an index would: sources packed first, the wheel from the pack. The checkout gets no droppings of it."""
    desk = tmp_path_factory.mktemp("build")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "LICENSE-BOOK"):
        shutil.copy(ROOT / name, desk)
    shutil.copytree(ROOT / "clipkit", desk / "clipkit", ignore=shutil.ignore_patterns("__pycache__"))
    for name in SHIPPED:
        source = ROOT / "data" / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, (desk / "data").mkdir(exist_ok=True) or desk / "data" / name)
    for made in ("cache", "runs"):  # what lies beside the data in a used checkout
        (desk / "data" / made).mkdir()
        (desk / "data" / made / "junk.json").write_text("{}")
    call([sys.executable, "-c", BUILD, desk / "dist"], desk)
    (pack,) = (desk / "dist").glob("*.tar.gz")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", desk / "dist"]
    call([sys.executable, "-m", "pip", "wheel", *options, pack], desk)
    (built,) = (desk / "dist").glob("*.whl")
    return built


def test_the_wheel_carries_what_is_committed_and_nothing_that_is_made(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"clipkit", "clip_claim_by_claim"}  # no builder
    carried = {name for name in names if name.startswith("clipkit/_data/")}
    wanted = [path for name in SHIPPED for path in [ROOT / "data" / name, *(ROOT / "data" / name).rglob("*")] if path.is_file()]
    assert carried == {"clipkit/_data/" + path.relative_to(ROOT / "data").as_posix() for path in wanted}
    assert {"clipkit/_data/papers.yml", "clipkit/_data/models/nano.safetensors", "clipkit/_data/prompts/pool.yml"} <= carried


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, wheel):
    """An environment without clipkit (but with this one's other packages), an empty folder with one downloaded page, and a home.

    The page's first cell is run alone, which installs the package; then the whole page, which finds it there.
    """
    place = tmp_path_factory.mktemp("elsewhere")
    venv.create(place / "env", with_pip=False, symlinks=True)
    here = sysconfig.get_path("purelib", vars={"base": place / "env", "platbase": place / "env"})
    others = sysconfig.get_path("purelib")  # named in a .pth: its own .pth files, the editable clipkit among them, are not read
    Path(here, "others.pth").write_text(others + "\n")
    page = install.with_install(nbformat.read(ROOT / "notebooks" / f"{PAGE}.ipynb", as_version=4))
    (place / "desk").mkdir()
    nbformat.write(page, place / "desk" / "page.ipynb")
    python = next((place / "env").glob("[bS]*/python*"))
    settings = {"HOME": str(place / "home"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent), "PIP_NO_DEPS": "1"}
    settings |= {"PIP_IGNORE_INSTALLED": "1", "PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "1"}

    def python_in_it(*words, **more):
        return call([python, *words], place / "desk", **{**settings, **more})

    missing = "import importlib.util as u; print(u.find_spec('clipkit'))"
    assert python_in_it("-c", missing).strip() == "None"
    python_in_it("-m", "IPython", "-c", install.SOURCE)
    before = tree(Path(here))
    run = ("-m", "papermill", "page.ipynb", "out.ipynb", "--no-progress-bar", "-p", "preset", "smoke")
    python_in_it(*run, PIP_FIND_LINKS=str(place))  # nothing can be installed any more, and nothing has to be
    return place, Path(here), before, python_in_it


def test_a_page_in_an_empty_folder_installs_the_package_and_runs(elsewhere):
    place, here, _, python_in_it = elsewhere
    assert python_in_it("-c", "import clipkit; print(clipkit.__file__)").strip() == str(here / "clipkit" / "__init__.py")
    executed = nbformat.read(place / "desk" / "out.ipynb", as_version=4)
    first = next(cell for cell in executed.cells if cell.cell_type == "code")
    assert install.is_install(first) and first.outputs == []
    assert all(output.output_type != "error" for cell in executed.cells for output in cell.get("outputs", []))
    assert any("clipkit" in kind for c in executed.cells for o in c.get("outputs", []) for kind in o.get("data", {}))  # the claims


def test_an_installation_is_never_written_to(elsewhere):
    place, here, before, _ = elsewhere
    assert tree(here) == before
    assert sorted(path.name for path in (place / "desk").iterdir()) == ["out.ipynb", "page.ipynb"]
    assert any((place / "home").rglob("world/*/*.npz"))  # the caches are in the home


def test_commands_away_from_the_repository(elsewhere):
    _, _, _, python_in_it = elsewhere
    ledger = list(csv.DictReader(python_in_it("-m", "clipkit", "ledger", "--csv", "-").splitlines()))
    assert {row["slug"] for row in ledger} == {entry.slug for entry in load_registry(ROOT / "data" / "papers.yml").entries}
    recorded = {path.parent.name for path in (ROOT / "data" / "records").glob("*/*.json")}
    assert {row["slug"] for row in ledger if row["date"]} == recorded
    assert any(row["stale"] == "False" for row in ledger if row["date"])  # without notebooks there is nothing to be stale against


def test_the_name_pip_knows():
    import tomllib

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"] == DISTRIBUTION
