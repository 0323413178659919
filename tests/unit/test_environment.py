"""One set of versions: lock file, environment.yml and pyproject agree; importing the package costs nothing."""

import re
import subprocess
import sys
import tomllib

import yaml

from clipkit import paths
from clipkit.compat import ensure_torchvision, import_open_clip
from clipkit.errors import DISTRIBUTION


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


def lock() -> dict[str, str]:
    rows = (paths.ROOT / "requirements.lock").read_text().splitlines()
    return {canonical(a): b for a, b in (r.split("==") for r in rows if r and not r.startswith("#"))}


def project() -> dict:
    return tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["project"]


def names(groups: list[list[str]]) -> set[str]:
    return {canonical(re.match(r"[\w.-]+", r).group(0)) for g in groups for r in g} - {DISTRIBUTION}


def wanted() -> set[str]:
    """What the book's own environment holds: not the two extras that only a reader may add."""
    extras = {name: rows for name, rows in project()["optional-dependencies"].items() if name not in ("lm", "languages")}
    return names([project()["dependencies"], *extras.values()])


def test_lock_holds_exact_versions_of_everything_we_name():
    assert wanted() <= set(lock())
    assert all(re.fullmatch(r"[\w.!+]+", v) for v in lock().values())
    assert lock()["torch"] == "2.13.0" and lock()["torchvision"] == "0.28.0"


def test_conda_environment_is_the_cpu_build_of_what_pages_need_in_the_same_versions():
    (pip,) = [d["pip"] for d in yaml.safe_load((paths.ROOT / "environment.yml").read_text())["dependencies"] if isinstance(d, dict)]
    pinned = {canonical(a): b for a, b in (r.split("==") for r in pip if "==" in r)}
    extras = project()["optional-dependencies"]
    assert set(pinned) == names([project()["dependencies"], extras["pages"], extras["photos"]])
    assert {k: v.removesuffix("+cpu") for k, v in pinned.items()} == {k: lock()[k] for k in pinned}
    assert {k for k, v in pinned.items() if v.endswith("+cpu")} == {"torch", "torchvision"}
    assert any("https://download.pytorch.org/whl/cpu" in row for row in pip) and "--editable ." in pip


def test_the_oldest_torch_we_ask_for_has_what_we_use():
    """torch.optim.Muon is in torch from 2.9 on; torchvision 0.24 is its companion."""
    import torch

    assert {"torch>=2.9", "torchvision>=0.24"} <= set(project()["dependencies"])
    assert torch.optim.Muon


def test_the_named_packages_are_there():
    named = {"jupyter", "jupyter-book", "torch", "open-clip-torch", "seaborn", "papermill", "nbval"}
    assert named <= wanted()
    assert set(project()["optional-dependencies"]) >= {"book", "test", "pages", "photos", "cluster"}


def test_import_is_cheap():
    code = "import sys, clipkit, clipkit.press.cli; sys.exit(any(m in sys.modules for m in ('torch', 'open_clip', 'matplotlib', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_torchvision_loads_beside_this_torch():
    ensure_torchvision()
    import torchvision

    ensure_torchvision()  # a second call does nothing
    assert torchvision.transforms.functional.resize is not None
    assert import_open_clip().__version__
