"""`clipkit sweep`: a page over a grid of parameters; every combination's rows in one table, a summary and a plot beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from builder.runs import grid
from clipkit.errors import ClipkitError, MissingExtra
from clipkit.lab.sweeps import ROWS, SUMMARY
from clipkit.paths import data_dir, writable, write_atomically
from clipkit.press import hashing, notebooks
from clipkit.press.runner import Result, is_fresh, job_for
from clipkit.press.worker import Job
from clipkit.registry.papers import Entry
from clipkit.registry.records import portable
from clipkit.registry.scores import Scores

if TYPE_CHECKING:
    import pandas

ABOUT = ("model", "dataset", "preset")  # stand in the table even when they are not swept
PICTURE = "summary.png"


@dataclass(frozen=True)
class Plan:
    """What is to be run: one job a combination, in the order of the grid (the last axis changes fastest)."""

    entry: Entry
    axes: dict[str, list[object]]
    common: dict[str, object]
    jobs: list[Job]
    arms: list[str] = field(default_factory=list)  # to show; none: those the claims name


def plan(entry: Entry, words: Sequence[str], common: Mapping[str, object], arms: Sequence[str] = ()) -> Plan:
    """Check the whole grid and make its jobs; nothing runs, and nothing is written.

    Arguments:
        entry: a page that has a notebook.
        words: `NAME=VALUE,VALUE` or `NAME=FIRST..LAST`, see `grid.parse`.
        common: parameters of all combinations, `preset` among them.
        arms: what summary and plot show; by default the arms that the page's claims name.

    Raises ClipkitError for a grid that cannot be run (see `grid`), MissingExtra without pyarrow.
    """
    if find_spec("pyarrow") is None:  # before hours of work, not after
        raise MissingExtra("pyarrow", "cluster")
    axes = grid.parse(words)
    combinations = grid.combinations(entry.slug, notebooks.read(entry.notebook_path), axes, common)
    jobs = [replace(_job(entry, given), label=grid.name_of(portable(given), list(axes))) for given in combinations]
    return Plan(entry, axes, {name: value for name, value in common.items() if name not in axes}, jobs, list(arms))


def _job(entry: Entry, given: dict) -> Job:
    said = "-".join(f"{name}_{value}" for name, value in portable(given).items() if name != "preset")
    safe = "".join(c if c.isalnum() or c in "_-." else "_" for c in said)[:80]
    name = f"{safe}-{hashing.digest(given)[:8]}.ipynb"  # the digest tells combinations apart whose names were cut
    return job_for(entry, given, data_dir() / "runs" / "sweeps" / entry.slug / name)


def default_folder(entry: Entry) -> Path:
    """Where the table of a sweep goes unless the caller names another place."""
    return data_dir() / "runs" / "sweeps" / f"{entry.slug}-table"


def checked(results: Sequence[Result]) -> list[Result]:
    """The results, with those marked as failed that ran to their end and left no claims output to take rows from."""
    found = []
    for result in results:
        silent = result.ok and notebooks.claims_output(notebooks.read(result.output)) is None
        why = "the run left no claims output; the page's claims cell must run for every combination"
        found.append(replace(result, state="failed", why=why) if silent else result)
    return found


def rows(made: Plan) -> pandas.DataFrame:
    """The finished combinations as a long table: one row for each combination, seed and arm.

    Columns: the grid's axes, model, dataset and preset, `seed`, `arm`, `value` (float64), `key` (the content hash of
    the run the row is from). An arm measured at several settings has them behind its name: "gda shots=4". Where
    combinations overlap because each runs several seeds, a seed's row stands there once.
    """
    import pandas

    found = []
    names = [name for name in dict.fromkeys((*made.axes, *ABOUT)) if name != "seed"]
    for job in made.jobs:
        payload = notebooks.claims_output(notebooks.read(Path(job.output))) if is_fresh(job) else None
        if payload is None:
            continue
        used = {**payload["parameters"], **portable(job.parameters)}
        about = {name: _cell(used.get(name)) for name in names}
        scores = Scores.from_dict(payload["scores"], payload["seeds"])
        for arm, values in scores.by_name().items():
            found += [{**about, "seed": seed, "arm": arm, "value": v, "key": job.key} for seed, v in zip(scores.seeds, values, strict=True)]
    table = pandas.DataFrame(found, columns=[*names, "seed", "arm", "value", "key"])
    return table.drop_duplicates([*names, "seed", "arm"], ignore_index=True).astype({"value": "float64"})


def _cell(value: object) -> object:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value


def summarise(table: pandas.DataFrame) -> pandas.DataFrame:
    """Mean of each arm over the seeds of a combination, with its 95 % interval from five seeds on (else empty)."""
    import pandas

    from clipkit.registry.verdict import interval

    names = [name for name in table.columns if name not in ("seed", "value", "key")]
    lines = []
    for place, group in table.groupby(names, sort=False, dropna=False):
        values = group.value.tolist()
        found = interval(values)
        ends = {"low": found.low, "high": found.high} if found else {"low": None, "high": None}
        lines.append({**dict(zip(names, place, strict=True)), "mean": sum(values) / len(values), **ends, "seeds": len(values)})
    return pandas.DataFrame(lines, columns=[*names, "mean", "low", "high", "seeds"])


def write(made: Plan, folder: Path) -> pandas.DataFrame:
    """Write rows.parquet, summary.csv and summary.png of the finished combinations; returns the summary.

    Raises ClipkitError when nothing is finished.
    """
    table = rows(made)
    if table.empty:
        raise ClipkitError("no combination is finished, so there are no rows to write; mend the failures above and run the same line again")
    table.attrs = _about(made)
    summary = summarise(table)
    writable(folder)
    from builder.runs.sweep_picture import picture, shown_arms

    write_atomically(folder / ROWS, table.to_parquet(index=False))
    write_atomically(folder / SUMMARY, summary.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    write_atomically(folder / PICTURE, picture(table, shown_arms(table.arm, made.entry, made.arms), made.axes, made.entry.title))
    return summary


def _about(made: Plan) -> dict:
    """What the table is of; pandas keeps it in the parquet file and gives it back as `attrs`."""
    notebook = notebooks.read(made.entry.notebook_path)
    parts = hashing.record_parts(made.entry, notebook, {**notebooks.parameters(notebook), **made.jobs[0].parameters})
    return {
        "slug": made.entry.slug,
        "grid": portable(made.axes),
        "common": portable(made.common),
        "combinations": len(made.jobs),
        "finished": sum(map(is_fresh, made.jobs)),
        "hashes": {"registry": parts["registry"], "definitions": sorted(parts["definitions"])},
        "versions": hashing.environment(),
        "date": date.today().isoformat(),
    }


def overview(summary: pandas.DataFrame, made: Plan) -> str:
    """The summary for a terminal: an arm a line, a combination a column, as far as it fits."""
    from builder.runs.sweep_picture import shown_arms
    from clipkit.lab.tables import to_text

    names = [name for name in made.axes if name != "seed" and summary[name].nunique(dropna=False) > 1]
    arms = [arm for group in shown_arms(summary.arm, made.entry, made.arms).values() for arm in group]
    wide = summary[summary.arm.isin(arms)].assign(at=lambda t: [" ".join(f"{n}={r[n]}" for n in names) or "mean" for _, r in t.iterrows()])
    columns = list(dict.fromkeys(wide["at"]))[:12]
    cell = {(row.arm, row["at"]): f"{row['mean']:.2f}" for _, row in wide.iterrows()}
    lines = [[arm, *(cell.get((arm, column), "") for column in columns)] for arm in dict.fromkeys(wide.arm)]
    return to_text(["arm", *columns], lines, numeric=[False] + [True] * len(columns))
