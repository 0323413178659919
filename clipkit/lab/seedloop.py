"""The loop over seeds: one experiment, many seeds, nothing finished is lost."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.errors import ClipkitError
from clipkit.lab.notebook import cells
from clipkit.lab.seeds import seed_everything
from clipkit.paths import PACKAGE, cache_dir
from clipkit.registry.records import json_ready, write_json

if TYPE_CHECKING:
    import pandas

Experiment = Callable[[int], Mapping[str, float]]


def run_seeds(experiment: Experiment, seeds: Iterable[int], store: Path | None = None, progress: bool = True) -> pandas.DataFrame:
    """Call `experiment(seed)` for each seed, all generators seeded with it first.

    Arguments:
        experiment: seed -> {arm: number}; the same arms each time, finite numbers.
        seeds: distinct whole numbers.
        store: JSON file in which finished seeds wait for the next try, should one fail or the run be stopped;
            removed when all are done.
        progress: a bar with the time left, on standard error, gone when done.

    Returns:
        DataFrame of float64: index `seed` in the order given, a column for each arm.

    Raises ClipkitError after the last seed when some failed, with the first failure as its cause.
    """
    import pandas

    seeds = list(seeds)
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ClipkitError(f"seeds must be distinct, and at least one: {seeds}")
    rows = _read(store, seeds)
    failures: dict[int, Exception] = {}
    for seed in _bar([s for s in seeds if s not in rows], len(rows), progress):
        seed_everything(seed)
        try:
            rows[seed] = _checked(experiment(seed), seed, next(iter(rows.values()), None))
        except Exception as error:  # the other seeds are still worth having
            failures[seed] = error
            continue
        _keep(store, rows)
    if failures:
        told = "; ".join(f"seed {seed}: {type(error).__name__}: {error}" for seed, error in failures.items())
        kept = "; the finished seeds are kept, run the cell again to go on" if store and rows else ""
        raise ClipkitError(f"{len(failures)} of {len(seeds)} seeds failed ({told}){kept}") from next(iter(failures.values()))
    if store:
        store.unlink(missing_ok=True)
    table = pandas.DataFrame([rows[seed] for seed in seeds], index=pandas.Index(seeds, name="seed"), dtype="float64")
    return table


def _checked(row: object, seed: int, other: Mapping | None) -> dict[str, float]:
    if not isinstance(row, Mapping) or not row:
        raise ClipkitError(f"the experiment must return a mapping arm -> number, not {type(row).__name__}")
    numbers = {}
    for arm, value in row.items():
        try:
            numbers[str(arm)] = float(value)
        except (TypeError, ValueError):
            raise ClipkitError(f"arm {arm!r} is a {type(value).__name__}, not one number") from None
        if not math.isfinite(numbers[str(arm)]):
            raise ClipkitError(f"arm {arm!r} is {numbers[str(arm)]} at seed {seed}")
    if other is not None and set(other) != set(numbers):
        raise ClipkitError(f"the arms differ from the other seeds': {', '.join(sorted(set(other) ^ set(numbers)))}")
    return numbers


def _bar(seeds: list[int], done: int, progress: bool) -> Iterable[int]:
    if not progress or not seeds:
        return seeds
    from tqdm import tqdm

    total = len(seeds) + done
    return tqdm(seeds, desc="seeds", total=total, initial=done, unit="seed", leave=False, delay=1, file=sys.stderr)


def _read(store: Path | None, seeds: list[int]) -> dict[int, dict[str, float]]:
    if store is None or not store.is_file():
        return {}
    try:
        kept = json.loads(store.read_text(encoding="utf-8"))["rows"]
        return {int(seed): dict(row) for seed, row in kept.items() if int(seed) in seeds}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # half-written by something else than us: computing again is always right


def _keep(store: Path | None, rows: Mapping[int, Mapping[str, float]]) -> None:
    if store is None:
        return
    try:
        write_json(store, {"rows": {str(seed): dict(row) for seed, row in rows.items()}})
    except ClipkitError as error:  # the numbers are in memory still
        warnings.warn(f"finished seeds cannot be kept on disk: {error}", stacklevel=3)


def store_path(slug: str, parameters: Mapping, experiment: Callable, extra: object = None) -> Path:
    """Where the finished seeds of exactly this experiment wait.

    The name holds a digest of the parameters, the notebook's cells so far (as a set: running a cell twice changes
    nothing), the experiment's source, clipkit's files, and `extra` (fingerprints of model and data). The number of
    seeds is left out: more seeds continue where fewer stopped.
    """
    try:
        source = inspect.getsource(experiment)
    except (OSError, TypeError):
        source = repr(getattr(getattr(experiment, "__code__", None), "co_code", experiment))
    rest = {name: value for name, value in parameters.items() if name not in ("n_seeds", "seed")}
    content = [slug, json_ready(rest, "parameters"), source, sorted(set(cells())), _package_state(), json_ready(extra, "extra")]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]
    return cache_dir("seeds") / f"{slug}-{digest}.json"


def _package_state() -> list:
    found = ((path, path.stat()) for path in sorted(PACKAGE.rglob("*.py")))
    return [[path.relative_to(PACKAGE).as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in found]
