"""The commands `record` and `sweep`, which `builder.cli` lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from clipkit.errors import ClipkitError
from clipkit.paths import writable
from clipkit.press.cli import Force, Jobs, Parameters, Preset, Slug, Slugs, given_parameters, tell
from clipkit.registry.papers import load_registry

NAMED = 6  # changed definitions that a line of `--list-stale` names


def record(
    slugs: Slugs = None,
    stale: Annotated[bool, Option("--stale", help="run again the records that no longer match the code")] = False,
    list_stale: Annotated[bool, Option("--list-stale", help="only list them")] = False,
    preset: Preset = "full",
    parameter: Parameters = None,
    jobs: Jobs = 1,
    force: Force = False,
    book: Annotated[bool, Option("--book", help="as one of the book's own, which the ledger counts; without it, as yours")] = False,
) -> int:
    """Run pages and keep the numbers in data/records.

    The same run recorded again overwrites its record; other parameters or files make another, beside it.
    """
    from builder.runs import record as records
    from builder.runs.frozen import require_committed
    from clipkit.press import notebooks
    from clipkit.press.runner import job_for, read_status, require_notebooks, run_jobs

    registry, wanted = load_registry(), []
    if stale or list_stale:
        found = records.stale_records(registry)
        for old, changed in found:
            more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
            print(f"stale: {old.slug} {old.file_name}: changed {', '.join(changed[:NAMED])}{more}")
        if list_stale or not found:
            print(f"{len(found)} stale records")
            return 0
        for old, _ in found:
            entry = registry.entry(old.slug)
            given = records.rerun_parameters(entry, old)
            if given is None:
                print(f"skipped: {old.slug} {old.file_name} needs its data: clipkit record {old.slug} -p dataset folder:PATH ...")
            else:
                wanted.append((entry, given, old))
    elif slugs:
        wanted = [
            (entry, given_parameters(preset, parameter), None) for entry in require_notebooks([registry.entry(slug) for slug in slugs])
        ]
    else:
        raise ClipkitError("name the pages to record, or say --stale")
    commits = {entry.slug: require_committed(entry) for entry, *_ in wanted}  # before anything is run
    results = run_jobs([job_for(entry, given, records.record_output(entry.slug, given)) for entry, given, _ in wanted], jobs, force)
    code = tell(results)
    for (entry, _, old), result in zip(wanted, results, strict=True):
        if result.ok:
            made = records.make_record(entry, notebooks.read(result.output), read_status(result.output), commits[entry.slug], book)
            verdicts = ", ".join(f"{claim} {found['verdict']}" for claim, found in made.claims.items())
            print(f"recorded {entry.slug}/{records.save(made, old).name}: {verdicts}")
    return code


GRID = "NAME=VALUE,VALUE or NAME=FIRST..LAST, for instance: --grid model=nano,lite shots=1,2,4 seed=0..4"


def sweep(
    slug: Slug,
    grid: Annotated[list[str], Option(metavar="AXIS [AXIS]...", help=GRID)],
    more: Annotated[list[str] | None, Argument(metavar="AXIS", hidden=True)] = None,  # behind the first; an option takes one word
    scheduler: Annotated[str | None, Option(metavar="ADDRESS", help="run on the workers of this Dask scheduler (tcp://host:port)")] = None,
    arms: Annotated[
        str | None, Option(metavar="ARM,ARM", help="what summary and plot show (default: the arms that the page's claims name)")
    ] = None,
    out: Annotated[
        Path | None, Option(metavar="FOLDER", help="where table, summary and plot go (default: data/runs/sweeps/SLUG-table)")
    ] = None,
    preset: Preset = "quick",
    parameter: Parameters = None,
    jobs: Jobs = 1,
    force: Force = False,
) -> int:
    """Run one page for every combination of a grid of parameters; the rows go into one parquet file."""
    from builder.runs import sweep as sweeps
    from clipkit.press.runner import require_notebooks, run_jobs

    (entry,) = require_notebooks([load_registry().entry(slug)])
    made = sweeps.plan(entry, [*grid, *(more or ())], given_parameters(preset, parameter), arms.split(",") if arms else [])
    folder = writable(out or sweeps.default_folder(entry))  # told before the work, not after
    try:
        if scheduler:
            from builder.runs.cluster import run_on_cluster

            results = run_on_cluster(made.jobs, scheduler, force)
        else:
            results = run_jobs(made.jobs, jobs, force)
    except KeyboardInterrupt:
        if not sweeps.rows(made).empty:
            sweeps.write(made, folder)
        raise
    code = tell(sweeps.checked(results))
    print(sweeps.overview(sweeps.write(made, folder), made))
    print(f"{folder / sweeps.ROWS}, {sweeps.SUMMARY} and {sweeps.PICTURE} beside it")
    return code
