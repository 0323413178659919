"""Content hashes: when is a run, or a record, still about the code and data in front of us?"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable
from functools import cache
from glob import glob
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import clipkit
from clipkit.datasets.local_paths import candidates
from clipkit.definitions import Reached, reached, reached_by
from clipkit.paths import PACKAGE, hash_file, shipped_files
from clipkit.press.notebooks import INSTALL, PRESETS
from clipkit.registry.papers import Entry
from clipkit.syntax import python_source

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
    return hash_file(path)[:LENGTH]


def folder_digest(folder: Path) -> str:
    """Hash of the names and contents of all files below a folder: the same wherever the folder lies."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()}\0{file_digest(path)}\n".encode())
    return total.hexdigest()[:LENGTH]


def own_code(notebook) -> list:
    """The code cells (nbformat nodes) of a page: all but the one that installs, and parameters injected by papermill."""
    foreign = {"injected-parameters", INSTALL}
    return [cell for cell in notebook.cells if cell.cell_type == "code" and not foreign & set(cell.metadata.get("tags", []))]


def code_cells(notebook) -> list[str]:
    """Sources of `own_code`."""
    return [cell.source for cell in own_code(notebook)]


def model_files(strings: Iterable[str], parameters: dict) -> dict[str, str]:
    """Hashes of the packaged checkpoints that the code's strings or a parameter name."""
    names = {*strings, *(value for value in parameters.values() if isinstance(value, str))}
    names |= {"lite"} if "lit" in names else set()  # the heads of lit read the map of lite, too
    found = {}
    for path in shipped_files("models"):
        if path.suffix in (".safetensors", ".pt", ".npz", ".json", ".bin") and {path.stem, path.stem.partition("_")[0]} & names:
            found[path.name] = file_digest(path)
    return found


def local_inputs(parameters: dict) -> dict[str, str]:
    """Parameter -> hash of the files it names: pictures, descriptions, texts, shards, a checkpoint, whatever is read from this machine.

    A value is a path, bare or behind a kind ("folder:../flowers", "hf:rows.parquet"); braces stand for any text
    ("wds:part-{0..7}.tar"). What comes with the code, or from a hub, is not among them.
    """
    found = {}
    for name, value in parameters.items():
        texts = value if isinstance(value, (list, tuple)) else [value]
        digests = [folder_digest(p) if p.is_dir() else file_digest(p) for text in texts if isinstance(text, str) for p in _local(text)]
        if digests:
            found[name] = digests[0] if len(digests) == 1 else digest(digests)
    return found


def _local(text: str) -> list[Path]:
    """The files or folders of this machine that a parameter means, none for a name."""
    rest = re.sub(r"^\w{2,}:", "", text)
    if "{" in rest:
        rest = re.sub(r"\{[^{}]*\}", "*", rest)
        return next((found for place in candidates(rest) if (found := sorted(map(Path, glob(str(place)))))), [])
    return [place for place in candidates(rest) if rest and os.path.exists(place)][:1]


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
    """Everything an executed page depends on, named, so that a re-run can say why.

    `definitions`: digest -> name of all that any of its cells reaches, figures and tables too.
    """
    cells = code_cells(notebook)
    found = reached(python_source(cells), given=parameters)
    return {
        "notebook": digest(cells),
        "parameters": {key: parameters[key] for key in sorted(parameters)},
        "registry": digest(entry.code_text()),
        "definitions": dict(found.digests),
        "models": model_files(found.strings, parameters),
        "data": local_inputs(parameters),
        "versions": environment(),
    }


def record_parts(entry: Entry, notebook, parameters: dict) -> dict:
    """What a record is tied to: what its experiment reaches, the tests fixed in the registry, models and data.

    `definitions`: digest -> name. Figures, captions and prose are not among them, nor is where anything lives.
    """
    found = experiment(code_cells(notebook), parameters)
    return {
        "definitions": dict(found.digests),
        "registry": digest([[claim.id, claim.fixed()] for claim in entry.claims]),
        "models": model_files(found.strings, parameters),
        "data": local_inputs(parameters),
    }


def experiment(cells: list[str], parameters: dict, package: Path = PACKAGE) -> Reached:
    """What the functions given to `run.over_seeds` reach, and the seeding; all that any cell reaches where there are none.

    Statements after the last `over_seeds` cannot matter to it. `lab.start` and its `Run` are not followed: a record holds
    the parameters they settle, and what they report is read from the numbers. Of a table of presets only this one counts.
    """
    from clipkit.lab.run import Run, start
    from clipkit.lab.seeds import seed_everything

    tree = ast.parse(python_source(cells))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "over_seeds"]
    if not calls:
        return reached(tree, given=parameters, package=package)
    runs = {getattr(call.func.value, "id", "") for call in calls}
    last = max(call.lineno for call in calls)
    tree.body = [_Preset(parameters).visit(node) for node in tree.body if node.lineno <= last and _called_on(node) not in runs]
    roots = [value for call in calls for value in (*call.args[:1], *(k.value for k in call.keywords if k.arg == "experiment"))]
    found = [reached(tree, root, given=parameters, without=(start, Run), package=package) for root in roots]
    return Reached.of(*found, reached_by(seed_everything, package=package))


def _called_on(node: ast.stmt) -> str | None:
    """`run` of a statement `run.uses(...)`, which only notes something; None of any other statement."""
    function = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else None


class _Preset(ast.NodeTransformer):
    """Leaves of a dictionary of presets the one that a run is of."""

    def __init__(self, parameters: dict):
        self.preset = parameters.get("preset")

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        names = [getattr(key, "value", None) for key in node.keys]
        if self.preset in names and len(names) > 1 and set(names) <= set(PRESETS):
            node.keys, node.values = [ast.Constant(self.preset)], [node.values[names.index(self.preset)]]
        return self.generic_visit(node)


def differences(old: dict, new: dict) -> list[str]:
    """Names of what changed between two sets of parts: `notebook`, `clipkit.dense.metrics.mean_iou`, ...

    Of definitions, those that are new; when there are none but some are gone, their names as far as `old` has them.
    """
    changed = []
    for key in new:
        before, now = old.get(key), new[key]
        if key == "definitions":
            known = before if isinstance(before, dict) else {it: f"a definition ({it})" for it in before or ()}
            fresh, gone = ({name for it, name in a.items() if it not in b} for a, b in ((now, known), (known, now)))
            changed += sorted(fresh) or [f"no longer used: {name}" for name in sorted(gone)]
        elif isinstance(now, dict) and isinstance(before, dict):
            changed += [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        elif before != now:
            changed.append(key)
    return changed


def key(parts: dict) -> str:
    """One hash of all parts; of the definitions their digests only, so that moving code does not change it."""
    return digest({**parts, "definitions": sorted(parts["definitions"])})
