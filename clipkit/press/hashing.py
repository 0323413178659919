"""Content hashes: when is a run, or a record, still about the code and data in front of us?"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import clipkit
from clipkit.paths import PACKAGE, shipped_files
from clipkit.press import install
from clipkit.press.imports import named_files, reached_files
from clipkit.registry.papers import Entry

# Files of the lab that draw or lay out: a page is run anew when they change, but no recorded number can.
DRAWING = frozenset(
    f"clipkit/lab/{name}.py"
    for name in (
        "caption_sheet", "class_change", "clouds", "dumbbells", "figures", "forest", "known_unknown", "label_maps", "neighbours",
        "palette", "phrase_sheet", "pictures", "plots", "reliability", "scatter", "score_panels", "tables", "task_panels",
        "verdict_picture",
    )
)  # fmt: skip
DOORS = frozenset(("clipkit/datasets/__init__.py", "clipkit/models/__init__.py"))  # define load_dataset and load_model; others only export
LENGTH = 16  # hexadecimal digits kept of a SHA-256: 64 bits are plenty to notice a change


def digest(value: object) -> str:
    """Short hash of text, bytes or anything JSON can write."""
    if not isinstance(value, (str, bytes)):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()[:LENGTH]


def file_digest(path: Path) -> str:
    """Short hash of a file's bytes, remembered while its size and time stay the same."""
    stat = path.stat()
    return _file_digest(path, stat.st_size, stat.st_mtime_ns)


@cache
def _file_digest(path: Path, _size: int, _mtime: int) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:LENGTH]


def folder_digest(folder: Path) -> str:
    """Hash of the names and contents of all files below a folder: the same wherever the folder lies."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return total.hexdigest()[:LENGTH]


def own_code(notebook) -> list:
    """The code cells (nbformat nodes) of a page: all but the one that installs, and parameters injected by papermill."""
    foreign = {"injected-parameters", install.TAG}
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not foreign & set(cell.metadata.get("tags", []))]


def code_cells(notebook) -> list[str]:
    """Sources of `own_code`."""
    return [cell.source for cell in own_code(notebook)]


def python_source(cells: list[str]) -> str:
    """Code cells as one Python text; IPython's `%magic` and `!shell` lines become comments."""
    lines = "\n".join(cells).splitlines()
    return "\n".join(f"pass  # {line}" if line.lstrip()[:1] in ("%", "!") else line for line in lines) + "\n"


def _relative(paths: set[Path]) -> dict[str, str]:
    return {path.relative_to(PACKAGE.parent).as_posix(): file_digest(path) for path in sorted(paths)}


def model_files(cells: list[str], parameters: dict) -> dict[str, str]:
    """Hashes of the packaged checkpoints that the code or a parameter names, and of local ones given by path."""
    names = {parameters.get("model"), parameters.get("pretrained")} | string_literals(python_source(cells))
    found = {}
    for path in shipped_files("models"):
        if path.suffix in (".safetensors", ".pt", ".npz", ".json", ".bin") and path.stem in names:
            found[path.name] = file_digest(path)
    local = Path(str(parameters.get("pretrained") or ""))
    if parameters.get("pretrained") and local.is_file():
        found[local.name] = file_digest(local)
    return found


def string_literals(source: str) -> set[str]:
    """All string constants of a Python text."""
    return {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def data_path(parameters: dict) -> Path | None:
    """The local folder behind `dataset="folder:PATH"` (or torchvision/wds with a path), if there is one."""
    name = str(parameters.get("dataset") or "")
    kind, _, rest = name.partition(":")
    path = Path(rest).expanduser() if rest else None
    return path if kind in ("folder", "wds", "cifar10") and path is not None and path.exists() else None


def data_fingerprint(parameters: dict) -> str | None:
    """Hash of the local data a run reads, or None when the data comes with the code (or is not on this machine)."""
    path = data_path(parameters)
    if path is None:
        return None
    return folder_digest(path) if path.is_dir() else file_digest(path)


def environment() -> dict[str, str]:
    """Versions that results depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("torch", "open_clip_torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return {**found, "clipkit": clipkit.__version__}  # not from the metadata: pip knows another project by this name


def run_parts(entry: Entry, notebook, parameters: dict) -> dict:
    """Everything an executed page depends on, named, so that a re-run can say why."""
    cells = code_cells(notebook)
    return {
        "notebook": digest(cells),
        "parameters": {key: parameters[key] for key in sorted(parameters)},
        "registry": digest(entry.code_text()),
        "files": _relative(reached_files(python_source(cells))),
        "models": model_files(cells, parameters),
        "data": data_fingerprint(parameters),
        "versions": environment(),
    }


def record_parts(entry: Entry, notebook, parameters: dict) -> dict:
    """What a record is tied to: code cells, the tests fixed in the registry, models, data, the clipkit files imported by name.

    Files that only draw are left out (`DRAWING`).
    """
    cells = code_cells(notebook)
    return {
        "notebook": digest(cells),
        "registry": digest([[claim.id, claim.test] for claim in entry.claims]),
        "files": numeric(_relative(named_files(python_source(cells)))),
        "models": model_files(cells, parameters),
        "data": data_fingerprint(parameters),
    }


def numeric(files: dict[str, str]) -> dict[str, str]:
    """The files that numbers can depend on: all but those that only draw, and a room's list of what it exports."""
    return {name: found for name, found in files.items() if name not in DRAWING and (name in DOORS or not name.endswith("/__init__.py"))}


def differences(old: dict, new: dict) -> list[str]:
    """Names of what changed between two sets of parts: `notebook`, `clipkit/world/rasterizer.py`, ..."""
    changed = []
    for key in new:
        before, now = old.get(key), new[key]
        if isinstance(now, dict) and isinstance(before, dict):
            changed += [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        elif before != now:
            changed.append(key)
    return changed
