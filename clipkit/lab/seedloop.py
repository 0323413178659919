"""The loop over seeds: one experiment, many seeds, nothing finished is lost."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clipkit.definitions import DATA
from clipkit.errors import ClipkitError
from clipkit.lab.notebook import cells
from clipkit.lab.seeds import seed_everything
from clipkit.paths import PACKAGE, cache_dir
from clipkit.registry.records import json_ready, write_json
from clipkit.registry.scores import Scores, of_mapping

if TYPE_CHECKING:
    import pandas

Experiment = Callable[[int], Mapping[str, float] | Scores]


def run_seeds(experiment: Experiment, seeds: Iterable[int], store: Path | None = None, progress: bool = True) -> pandas.DataFrame | Scores:
    """Call `experiment(seed)` for each seed, all generators seeded with it first.

    Arguments:
        experiment: seed -> Scores, or simply {arm: number}; the same rows each time, finite numbers.
        seeds: distinct whole numbers.
        store: JSON file in which finished seeds wait for the next try, should one fail or the run be stopped;
            removed when all are done.
        progress: a bar with the time left, on standard error, gone when done.

    Returns:
        Scores where rows have axes beside the arm; otherwise a DataFrame of float64 with the index `seed`, in the
        order given, and a column for each arm.

    Raises ClipkitError after the last seed when some failed, with the first failure as its cause.
    """
    seeds = list(seeds)
    if len(set(seeds)) < len(seeds) or not seeds:
        raise ClipkitError(f"seeds must be distinct, and at least one: {seeds}")
    found = _read(store, seeds)
    failures: dict[int, Exception] = {}
    for seed in _bar([s for s in seeds if s not in found], len(found), progress):
        seed_everything(seed)
        try:
            scores = of_mapping(experiment(seed))
            scores.seeds = [seed]
            Scores.join({**dict(list(found.items())[:1]), seed: scores})  # the same rows as the other seeds'
            found[seed] = scores
        except Exception as error:  # the other seeds are still worth having
            failures[seed] = error
            continue
        _keep(store, found)
    if failures:
        told = "; ".join(f"seed {seed}: {type(error).__name__}: {error}" for seed, error in failures.items())
        kept = "; the finished seeds are kept, run the cell again to go on" if store and found else ""
        raise ClipkitError(f"{len(failures)} of {len(seeds)} seeds failed ({told}){kept}") from next(iter(failures.values()))
    if store:
        store.unlink(missing_ok=True)
    joined = Scores.join({seed: found[seed] for seed in seeds})
    return joined if joined.axes else joined.wide()


def _bar(seeds: list[int], done: int, progress: bool) -> Iterable[int]:
    if not progress or not seeds:
        return seeds
    from tqdm import tqdm

    total = len(seeds) + done
    return tqdm(seeds, desc="seeds", total=total, initial=done, unit="seed", leave=False, delay=1, file=sys.stderr)


def _read(store: Path | None, seeds: list[int]) -> dict[int, Scores]:
    if store is None or not store.is_file():
        return {}
    try:
        kept = json.loads(store.read_text(encoding="utf-8"))["seeds"]
        return {int(seed): Scores.from_dict(found, [int(seed)]) for seed, found in kept.items() if int(seed) in seeds}
    except (ValueError, KeyError, TypeError, AttributeError, ClipkitError):
        return {}  # half-written by something else than us: computing again is always right


def _keep(store: Path | None, found: Mapping[int, Scores]) -> None:
    if store is None:
        return
    try:
        write_json(store, {"seeds": {str(seed): scores.to_dict(digits=17) for seed, scores in found.items()}})
    except ClipkitError as error:  # the numbers are in memory still
        warnings.warn(f"finished seeds cannot be kept on disk: {error}", stacklevel=3)


def store_path(slug: str, parameters: Mapping, experiment: Callable, extra: object = None) -> Path:
    """Where the finished seeds of exactly this experiment wait.

    The name holds a digest of the parameters, the notebook's cells so far (as a set: running a cell twice changes
    nothing), the experiment's source, clipkit's files of code and data, and `extra` (fingerprints of model and
    data, and all seeds of the run: among them the pictures are dealt out).
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
    found = ((path, path.stat()) for path in sorted(PACKAGE.rglob("*")) if path.suffix in (".py", *DATA))
    return [[path.relative_to(PACKAGE).as_posix(), stat.st_size, stat.st_mtime_ns] for path, stat in found]
