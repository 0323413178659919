"""The command line, `clipkit COMMAND`: a function a command, its arguments the options, its docstring the help."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option, Typer, TyperException
from typer.core import TyperGroup
from typer.main import get_command

from clipkit.errors import ClipkitError
from clipkit.paths import writable, write_atomically
from clipkit.registry.papers import load_registry

if TYPE_CHECKING:
    from clipkit.press.runner import Result

NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)  # the place is at fault, not the program
Slug = Annotated[str, Argument(metavar="SLUG", help="page of the registry")]
Slugs = Annotated[list[str] | None, Argument(metavar="SLUG", help="pages of the registry")]
Preset = Annotated[Literal["smoke", "quick", "full"], Option()]
Parameters = Annotated[list[tuple] | None, Option("-p", "--parameter", metavar="NAME VALUE", help="as papermill's -p")]
Jobs = Annotated[int, Option(metavar="N", help="so many notebooks at a time")]
Force = Annotated[bool, Option("--force", help="run even what is up to date")]


class Commands(TyperGroup):
    """Turns what a command raises into one line and an exit code."""

    def invoke(self, ctx) -> int:
        try:
            return super().invoke(ctx) or 0
        except ClipkitError as error:
            print(f"{ctx.info_name}: {error}", file=sys.stderr)
            return 2
        except BrokenPipeError:  # `clipkit ledger | head` has read enough
            sys.stdout = None
            return 0
        except OSError as error:
            if error.errno not in NO_ACCESS:
                raise
            hint = "mend its permissions or the disk, or name another place"
            print(f"{ctx.info_name}: {error.filename or 'a file'} cannot be used ({error.strerror}); {hint}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"{ctx.info_name}: interrupted; what was finished is kept, and the same command goes on from there", file=sys.stderr)
            return 130


def new_app(text: str) -> Typer:
    """An empty command line; `text` is what its help says first."""
    settings = {"help_option_names": ["-h", "--help"]}
    return Typer(cls=Commands, help=text, add_completion=False, rich_markup_mode=None, context_settings=settings)


NAMED = 6  # changed definitions that a line of `--list-stale` names
app = new_app("Run, record and print the book; see `clipkit COMMAND --help`.")


def main(arguments: list[str] | None = None, app: Typer = app, name: str = "clipkit") -> int:
    """Run one command; returns the exit code: 0 well, 1 a notebook failed, 2 something the caller can mend, 130 interrupted.

    Raises SystemExit(2), after one line that says why, for a command or an option that does not exist.
    """
    commands = get_command(app)
    for command in commands.commands.values():
        for option in command.params:
            if option.name == "parameter":
                option.nargs = 2  # typer has no annotation for an option that may be repeated and takes two words
    try:
        return commands(arguments, prog_name=name, standalone_mode=False) or 0
    except TyperException as error:
        print(f"{name}: {' '.join(error.format_message().split()).rstrip('.')}; see: {name} --help", file=sys.stderr)
        raise SystemExit(2) from None


def _given(preset: str, parameter: list[tuple[str, str]] | None) -> dict:
    from clipkit.press.notebooks import typed

    return {"preset": preset, **{name: typed(value) for name, value in parameter or ()}}


def _told(results: list[Result]) -> int:
    """Print what became of the jobs; returns the exit code."""
    from clipkit.press.runner import summary

    print(summary(results))
    return int(not all(result.ok for result in results))


@app.command()
def run(
    slugs: Slugs = None,
    everything: Annotated[bool, Option("--all", help="every page that has a notebook")] = False,
    preset: Preset = "quick",
    parameter: Parameters = None,
    jobs: Jobs = 1,
    force: Force = False,
) -> int:
    """Run notebooks; what is up to date is skipped."""
    from clipkit.press.runner import job_for, require_notebooks, run_jobs

    if not slugs and not everything:
        raise ClipkitError("name the pages to run, or say --all")
    registry = load_registry()
    entries = registry.finished() if everything else require_notebooks([registry.entry(slug) for slug in slugs])
    return _told(run_jobs([job_for(entry, _given(preset, parameter)) for entry in entries], jobs, force))


@app.command()
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
    from clipkit.press import notebooks
    from clipkit.press import record as records
    from clipkit.press.frozen import require_committed
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
        wanted = [(entry, _given(preset, parameter), None) for entry in require_notebooks([registry.entry(slug) for slug in slugs])]
    else:
        raise ClipkitError("name the pages to record, or say --stale")
    commits = {entry.slug: require_committed(entry) for entry, *_ in wanted}  # before anything is run
    results = run_jobs([job_for(entry, given, records.record_output(entry.slug, given)) for entry, given, _ in wanted], jobs, force)
    code = _told(results)
    for (entry, _, old), result in zip(wanted, results, strict=True):
        if result.ok:
            made = records.make_record(entry, notebooks.read(result.output), read_status(result.output), commits[entry.slug], book)
            verdicts = ", ".join(f"{claim} {found['verdict']}" for claim, found in made.claims.items())
            print(f"recorded {entry.slug}/{records.save(made, old).name}: {verdicts}")
    return code


GRID = "NAME=VALUE,VALUE or NAME=FIRST..LAST, for instance: --grid model=nano,lite shots=1,2,4 seed=0..4"


@app.command()
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
    from clipkit.press import sweep as sweeps
    from clipkit.press.runner import require_notebooks, run_jobs

    (entry,) = require_notebooks([load_registry().entry(slug)])
    made = sweeps.plan(entry, [*grid, *(more or ())], _given(preset, parameter), arms.split(",") if arms else [])
    folder = writable(out or sweeps.default_folder(entry))  # told before the work, not after
    try:
        if scheduler:
            from clipkit.press.cluster import run_on_cluster

            results = run_on_cluster(made.jobs, scheduler, force)
        else:
            results = run_jobs(made.jobs, jobs, force)
    except KeyboardInterrupt:
        if not sweeps.rows(made).empty:
            sweeps.write(made, folder)
        raise
    code = _told(sweeps.checked(results))
    print(sweeps.overview(sweeps.write(made, folder), made))
    print(f"{folder / sweeps.ROWS}, {sweeps.SUMMARY} and {sweeps.PICTURE} beside it")
    return code


@app.command()
def ledger(
    csv: Annotated[str | None, Option(metavar="FILE", help="write it as CSV (- for the terminal)")] = None,
    json: Annotated[str | None, Option(metavar="FILE", help="write it as JSON (- for the terminal)")] = None,
) -> None:
    """Every claim with its verdict."""
    from clipkit.press import ledger as books

    rows = books.ledger(load_registry())
    for target, text in ((csv, books.to_csv), (json, books.to_json)):
        if target == "-":
            print(text(rows), end="")
        elif target:
            write_atomically(Path(target), text(rows))
            print(target)
    if not csv and not json:
        print(books.to_text(rows))


@app.command()
def papers() -> None:
    """Check the registry and list its pages."""
    registry = load_registry()
    for part in registry.parts():
        print(part.title)
        for entry in registry.of_part(part.id):
            tested = sum(bool(claim.tests) for claim in entry.claims)
            print(f"  {'page   ' if entry.has_notebook else 'planned'} {entry.slug:32} {tested}/{len(entry.claims)} claims  {entry.title}")
    done = sum(entry.has_notebook for entry in registry.papers())
    print(f"{len(registry.papers())} papers, {done} with a page; {len(registry.foundations())} pages of our own")


@app.command()
def features(
    model: str = "nano",
    pretrained: str | None = None,
    dataset: str = "world",
    split: str = "test",
    n: Annotated[int | None, Option(help="so many images at most")] = None,
    batch: int = 256,
    device: str = "auto",
) -> None:
    """Extract and cache the features of a data set; a page that looks at some of its pictures finds them."""
    from clipkit.datasets import load_dataset
    from clipkit.features import extract
    from clipkit.models import load_model

    clip = load_model(model, pretrained, device=device)
    found = extract(clip, load_dataset(dataset, split=split, n=n), batch=batch, progress=True)
    print(f"{found.image.shape[0]} features of {found.image.shape[1]} numbers; {len(found.skipped)} images skipped")
    for path, reason in found.skipped[:10]:
        print(f"  skipped {path}: {reason}")


Folder = Annotated[str, Argument(metavar="FOLDER", help="pictures, in folders or not")]
Precision = Annotated[Literal["fp32", "bf16", "fp16"], Option()]


@app.command()
def classify(
    folder: Folder,
    names: Annotated[str, Option(metavar="FILE", help="class names, one a line")],
    templates: Annotated[str | None, Option(metavar="FILE", help="prompts, one a line, {} for the name")] = None,
    model: str = "lit",
    pretrained: str | None = None,
    top_k: Annotated[int, Option(help="so many names a picture")] = 5,
    labels: Annotated[Path | None, Option(metavar="FILE", help="table image,label: tells mean average precision")] = None,
    out: Annotated[Path, Option(metavar="FILE")] = Path("predictions.csv"),
    precision: Precision = "fp32",
    batch: int = 64,
    device: str = "auto",
) -> None:
    """What a model takes the pictures of a folder for: a CSV with the likeliest names and their scores."""
    from clipkit.datasets import load_dataset
    from clipkit.datasets.mine import read_lines
    from clipkit.datasets.templates import PHOTO
    from clipkit.models import load_model
    from clipkit.press import predict

    writable(out.resolve().parent)  # told before the work, not after
    words, prompts = read_lines(names), read_lines(templates) if templates else list(PHOTO)
    data = load_dataset(f"unsorted:{folder}", readable=False)
    truth = None if labels is None else predict.read_labels(labels, data, words)
    found, logits = predict.classify(load_model(model, pretrained, device, precision), data, words, prompts, batch)
    predict.write_predictions(out, data, found, logits, words, top_k)
    print(f"{out}: {len(found)} pictures, {len(words)} names{_skipped(found)}")
    if truth is not None:
        print(f"mean average precision {predict.mean_average_precision(truth[found.index], logits):.1f} %")


@app.command()
def retrieve(
    folder: Folder,
    model: str = "lit",
    pretrained: str | None = None,
    split: str = "test",
    columns: Annotated[str | None, Option(help="what the table calls them: table=FILE.csv,image=…,caption=…")] = None,
    out: Annotated[Path, Option(metavar="FILE")] = Path("ranks.csv"),
    precision: Precision = "fp32",
    batch: int = 64,
    device: str = "auto",
) -> None:
    """How well captions and pictures of a folder with a captions.csv find each other: recall, and a CSV of ranks."""
    from clipkit.datasets import load_dataset
    from clipkit.datasets.mine import mine_of
    from clipkit.models import load_model
    from clipkit.press import predict

    writable(out.resolve().parent)
    data = load_dataset(mine_of(f"folder:{folder}", columns=columns), split=split, readable=False)
    found, recall = predict.retrieve(load_model(model, pretrained, device, precision), data, out, batch)
    print(f"{out}: {len(found)} pictures{_skipped(found)}")
    for way, values in recall.items():
        print(f"{way}: " + ", ".join(f"R@{k} {value:.1f} %" for k, value in zip(predict.AT, values, strict=True)))


def _skipped(found) -> str:
    lines = "".join(f"\n  cannot be read: {path}: {reason}" for path, reason in found.skipped[:10])
    return f"; {len(found.skipped)} cannot be read{lines}" if found.skipped else ""


@app.command(hidden=True)
def pretrain(names: Annotated[list[str] | None, Argument(metavar="NAME")] = None) -> None:
    """Say where the shipped checkpoints are made: an older message, which records are tied to, names this command."""
    raise ClipkitError(f"checkpoints are made in the repository: make pretrain NAME={' '.join(names or ['nano'])!r}")
