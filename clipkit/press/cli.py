"""The command line, `clipkit COMMAND`: a function a command, its arguments the options, its docstring the help."""

from __future__ import annotations

import errno
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option, Typer, TyperException
from typer.core import TyperGroup
from typer.main import get_command

from clipkit.errors import ClipkitError
from clipkit.paths import ROOT, writable, write_atomically
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


BOOK = ROOT / "book"  # of a clone
OF_A_CLONE = ("record", "sweep", "pretrain", "book", "page", "new", "check")  # what an installation is asked for, and has not
app = new_app(
    "Run pages, read their claims, try models on your own pictures; see `clipkit COMMAND --help`.\n\n"
    "In a clone of the book also: record, sweep, pretrain and all of `python -m builder --help`."
)


def main(arguments: list[str] | None = None, others: Typer | None = None, name: str = "clipkit") -> int:
    """Run one command; returns the exit code: 0 well, 1 a notebook failed, 2 something the caller can mend, 130 interrupted.

    `others`: a command line instead of this one. What this one does not know is asked of the clone's builder, where there is one.

    Raises SystemExit(2), after one line that says why, for a command or an option that does not exist.
    """
    commands, words = get_command(others or app), sys.argv[1:] if arguments is None else arguments
    if others is None and words and words[0].isalpha() and words[0] not in commands.commands and (BOOK / "builder").is_dir():
        sys.path.append(str(BOOK))
        return importlib.import_module("builder.cli").main(words, name=name)
    for command in commands.commands.values():
        for option in command.params:
            if option.name == "parameter":
                option.nargs = 2  # typer has no annotation for an option that may be repeated and takes two words
    try:
        return commands(arguments, prog_name=name, standalone_mode=False) or 0
    except TyperException as error:
        if words and words[0] in OF_A_CLONE and words[0] not in commands.commands:
            print(f"{name}: {words[0]!r} needs a clone of the book's repository; say it there; see: {name} --help", file=sys.stderr)
        else:
            print(f"{name}: {' '.join(error.format_message().split()).rstrip('.')}; see: {name} --help", file=sys.stderr)
        raise SystemExit(2) from None


def given_parameters(preset: str, parameter: list[tuple[str, str]] | None) -> dict:
    """The parameters of a run, each of the type that papermill's -p gives it."""
    from clipkit.press.notebooks import typed

    return {"preset": preset, **{name: typed(value) for name, value in parameter or ()}}


def tell(results: list[Result]) -> int:
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
    return tell(run_jobs([job_for(entry, given_parameters(preset, parameter)) for entry in entries], jobs, force))


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
